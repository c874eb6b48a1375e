"""Time of validating a built-in kernel, and of a model's golden results relative to IREE's compilation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import ValidationError
from ..model.kernel import Kernel
from ..progress import Progress
from .samples import GoldenSample, ValidationSample

DEVICES = {"llvm-cpu": "local-task", "vulkan-spirv": "vulkan"}
"""Device on which each backend's kernels are validated; a simulated device has no meaningful times."""


def measure_validations(*, thorough: bool, progress: Progress) -> list[ValidationSample]:
    """Validate every built-in kernel with a device here, quickly, and if `thorough` with all cases as well.

    Each runs in separate processes, as on the command line. Raises `ValidationError` for a kernel that is wrong.
    """
    samples = []
    chosen = _kernels()
    for number, (kernel, device) in enumerate(chosen):
        progress(f"validate {kernel.name}", number / len(chosen))
        quick_s, quick_cases = _validated(kernel, device, quick=True)
        thorough_s, cases = _validated(kernel, device, quick=False) if thorough else (None, 0)
        samples.append(
            ValidationSample(
                kernel=kernel.name,
                device=device,
                quick_s=quick_s or 0.0,
                thorough_s=thorough_s,
                quick_cases=quick_cases,
                thorough_cases=cases,
                passed=True,
            )
        )
    return samples


def measure_golden(name: str, model: Path, flags: Sequence[str], progress: Progress) -> GoldenSample:
    """Audit a model on this machine's CPU."""
    from ..validate.audit import audit_model

    audit = audit_model(model, device="local-task", flags=flags, isolate=True, progress=progress)
    return GoldenSample(
        model=name,
        dispatches=len(audit.dispatches),
        compile_s=audit.compile_seconds,
        golden_s=sum(d.golden_seconds for d in audit.dispatches),
    )


def _kernels() -> list[tuple[Kernel, str]]:
    """Return built-in kernels that can be validated alone, with the device for each."""
    from ..catalog.catalog import load_catalog
    from ..device import available_devices

    there = {name for name, reason in available_devices().items() if not reason}
    found = []
    for kernel in load_catalog([]).kernels:
        backends = {target.backend for target in kernel.targets}
        device = next((d for b, d in DEVICES.items() if b in backends and d in there), None)
        if device is not None and (kernel.forms or kernel.kinds):
            found.append((kernel, device))
    return found


def _validated(kernel: Kernel, device: str, *, quick: bool) -> tuple[float | None, int]:
    """Return the seconds and the number of cases of a validation."""
    from ..validate.kernel import validate_kernel

    start = time.perf_counter()
    verdict = validate_kernel(kernel, device=device, quick=quick, isolate=True)
    seconds = time.perf_counter() - start
    if not verdict.passed:
        raise ValidationError(
            f"{kernel.name} is wrong on {device}",
            expected="a kernel that passes before it is timed",
            found=verdict.message or "cases that fail",
            next_step=f"iree-substitute validate {kernel.name} --device={device}" + (" --quick" if quick else ""),
        )
    return seconds, sum(len(d.cases) for d in verdict.dispatches)
