"""pytest plugin: every `kernel.toml` becomes tests, one for each of its targets and each device that can run it.

pytest loads this file in every project where the package is installed, so it imports next to nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .errors import SubstituteError
    from .model.kernel import Kernel, TargetRule
    from .validate.kernel_verdict import KernelVerdict

MANIFEST = "kernel.toml"
DEVICES = "local-task vulkan cuda-sim cuda hip"
"""Devices on which kernels are tried by default."""
DRIVERS = {
    "llvm-cpu": ("local-task", "local-sync"),
    "vulkan-spirv": ("vulkan",),
    "cuda": ("cuda-sim", "cuda"),
    "rocm": ("hip",),
}
"""Drivers that run each backend's code."""


class WrongKernel(Exception):
    """A kernel whose results are wrong."""

    def __init__(self, verdict: KernelVerdict, replay: str) -> None:
        super().__init__(verdict.kernel)
        self.verdict = verdict
        self.replay = replay


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options and ini keys; all begin with `iree`."""
    group = parser.getgroup("iree-substitute", "kernels for IREE (every kernel.toml is collected)")
    group.addoption(
        "--iree-device",
        action="append",
        default=[],
        metavar="NAME",
        help="Try kernels on this device only; may be given several times.",
    )
    group.addoption("--iree-seed", type=int, default=0, metavar="N", help="For the shapes and inputs that are drawn.")
    group.addoption("--iree-thorough", action="store_true", help="All cases: minutes for a kernel, not seconds.")
    group.addoption("--no-iree-kernels", action="store_true", help="Collect no kernels.")
    parser.addini("iree_devices", type="args", default=DEVICES.split(), help="Devices on which kernels are tried.")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a kernel's manifest as a file of tests."""
    if file_path.name != MANIFEST or parent.config.getoption("--no-iree-kernels"):
        return None
    return KernelFile.from_parent(parent, path=file_path)


class KernelFile(pytest.File):
    """One `kernel.toml`."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each target and device; one that fails if the manifest is wrong."""
        from .catalog.manifest import read_manifests
        from .errors import SubstituteError

        try:
            manifests = read_manifests(self.path)
        except SubstituteError as error:
            yield KernelItem.from_parent(self, name=self.path.parent.name, kernel="", device="", error=error)
            return
        for manifest in manifests:
            yield from self._items(manifest.kernel)

    def _items(self, kernel: Kernel) -> Iterator[pytest.Item]:
        several = len({t.backend for t in kernel.targets}) < len(kernel.targets)
        known: set[str] = set()
        for target in kernel.targets:
            for device in self._devices(target):
                words = [target.backend, *(target.architectures if several else ()), device]
                name = f"{kernel.name}[{'-'.join(words)}]"
                if name not in known:
                    known.add(name)
                    yield KernelItem.from_parent(self, name=name, kernel=kernel.name, device=device)

    def _devices(self, target: TargetRule) -> list[str]:
        """Return the wanted devices that run this target's code; a simulated GPU has the target's own architecture."""
        wanted = self.config.getoption("--iree-device") or self.config.getini("iree_devices")
        found = []
        for device in wanted:
            driver = device.partition("://")[0]
            if driver not in DRIVERS.get(target.backend, ()):
                continue
            if device == "cuda-sim" and target.architectures:
                found += [f"cuda-sim://{architecture}" for architecture in target.architectures]
            else:
                found.append(device)
        return found


class KernelItem(pytest.Item):
    """One kernel on one device."""

    def __init__(self, *, kernel: str, device: str, error: SubstituteError | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.kernel = kernel
        self.device = device
        self.error = error

    def runtest(self) -> None:
        """Validate the kernel against its golden; skip, with the reason, if the device is not available."""
        if self.error is not None:
            raise self.error
        from .catalog.catalog import load_catalog
        from .device import available_devices
        from .read.definition import read_forms
        from .validate.kernel import validate_kernel

        driver = self.device.partition("://")[0]
        reason = available_devices().get(driver, "this runtime does not have the driver")
        if reason:
            pytest.skip(f"{self.device}: {reason}")
        kernel = load_catalog([self.path.parent], builtin=False, read_forms=read_forms).kernel(self.kernel)
        if not kernel.forms and not kernel.kinds:
            pytest.skip("the kernel is chosen by name and has no definition: validate a model that uses it")
        seed, quick = self.config.getoption("--iree-seed"), not self.config.getoption("--iree-thorough")
        verdict = validate_kernel(kernel, device=self.device, quick=quick, seed=seed, isolate=True)
        if not verdict.passed:
            words = ["iree-substitute validate", str(self.path.parent), f"--device={self.device}", f"--seed={seed}"]
            raise WrongKernel(verdict, " ".join([*words, *(["--quick"] if quick else [])]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the failure's message; a traceback only for an unexpected error."""
        from .errors import SubstituteError

        error = excinfo.value
        if isinstance(error, SubstituteError):
            return str(error)
        if isinstance(error, WrongKernel):
            return _words(error)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the item's place and name."""
        return self.path, None, self.name


def _words(wrong: WrongKernel) -> str:
    from .validate.verdict_text import failure_lines

    verdict = wrong.verdict
    lines = [f"{verdict.kernel} is wrong on {verdict.device}", *filter(None, [verdict.message])]
    for dispatch in verdict.dispatches:
        lines += failure_lines(dispatch, wrong.replay)
    return "\n".join([*lines, f"again: {wrong.replay}"])
