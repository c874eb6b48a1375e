"""The half with the device: needs iree-base-runtime and NumPy, and CuPy for what libraries do; no compiler."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from runtime_tests.gpu.bits import compare_item
from runtime_tests.gpu.cupy_gpu import CupyGpu, reason_against_cupy
from runtime_tests.gpu.device import Facts, Gpu
from runtime_tests.gpu.libcuda import LibcudaGpu, real_driver, reason_against_gpu, simulated_gpu
from runtime_tests.gpu.measure import measure
from runtime_tests.gpu.package import Capability, Index, Item, Timed, WholeModel, read_index
from runtime_tests.gpu.results import Dispatch, ItemResult, ModelResult, Results, TimingResult
from runtime_tests.gpu.sanitizer import TOOLS, Sanitized, find_sanitizer, sanitize
from runtime_tests.gpu.timing import ROUNDS
from substitute.device.cuda_sim.driver import is_simulated
from substitute.errors import CompilerCrash, DeviceError, SubstituteError, UsageError
from substitute.isolate import Call, isolated
from substitute.progress import Progress

T = TypeVar("T")
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "nvidia-cublas", "torch")
"""Packages whose versions are kept besides those of a validation."""
NO_TIMES = "the simulated device says whether a kernel is right, not how fast it is"


def require_device(device: str, folder: Path) -> None:
    """Raises `UsageError` for a device that is neither CUDA nor simulated CUDA, `DeviceError` where there is no GPU."""
    if is_simulated(device):
        return
    if device != "cuda":
        raise UsageError(
            "this command is for CUDA devices",
            where="--device",
            expected="cuda, cuda-sim or cuda-sim://sm_90",
            found=device,
            next_step="choose the GPU with CUDA_VISIBLE_DEVICES=NUMBER where there are several",
        )
    # in a separate process: CUDA that was initialised before a fork is unusable in the child
    reason: str = isolated(Call(gpu_reason, {}), _silent)
    if reason:
        raise DeviceError(
            "there is no GPU to run on",
            expected="an NVIDIA GPU and its driver",
            found=reason,
            next_step=f"copy {folder} to a machine with one and run `python {folder.name}/run.pyz --run {folder.name}`"
            ", or add --device cuda-sim for all that the simulated device can do",
        )


def gpu_reason(progress: Progress) -> str:
    """`reason_against_gpu`, as a call that can travel."""
    return reason_against_gpu()


def open_gpu(device: str) -> Gpu:
    """Open the device that launches directly, besides IREE's driver. Raises `DeviceError`."""
    if is_simulated(device):
        return simulated_gpu(device)
    if not reason_against_cupy():
        return CupyGpu()
    library = real_driver()
    if library is None:
        raise DeviceError("there is no CUDA driver", expected="libcuda.so.1", found="no such library")
    return LibcudaGpu(library)


def run(
    folder: Path,
    *,
    device: str,
    only: str = "",
    rounds: int = ROUNDS,
    sanitizer: bool = True,
    command: str,
    environment: Mapping[str, str],
    progress: Progress,
) -> Results:
    """Run everything of a folder of `--build` whose name contains `only`.

    Every step runs in a separate process: after a fault a CUDA context is unusable. Raises `UsageError`, `DeviceError`.
    """
    from substitute.validate.validation import now

    require_device(device, folder)
    index = chosen(read_index(folder), only)
    facts: Facts = isolated(Call(device_facts, {"device": device}), _silent)
    items, models, timings = [], [], []
    for number, item in enumerate(index.items):
        progress(f"run {item.name}", number / len(index.items))
        items.append(_item(folder, item, device, facts.capability))
    for number, model in enumerate(index.models):
        progress(f"run {model.name}", number / len(index.models))
        models.append(_model(folder, model, device))
    sanitized: tuple[Sanitized, ...] = ()
    if sanitizer and not facts.simulated:
        sanitized = _sanitized(folder, only, environment, progress)
    for number, timed in enumerate(index.timed if not facts.simulated else ()):
        progress(f"time {timed.problem.name}", number / len(index.timed))
        timings.append(_timing(folder, timed, device, rounds))
    progress("", None)
    return Results(
        command=command,
        date=now(),
        built=index.made,
        device=facts,
        versions=versions(index),
        items=tuple(items),
        models=tuple(models),
        sanitized=sanitized,
        timings=tuple(timings),
        no_timings=NO_TIMES if facts.simulated else "",
    )


def chosen(index: Index, only: str) -> Index:
    """Return the index reduced to names that contain `only`. Raises `UsageError` if none does."""
    found = replace(
        index,
        items=tuple(i for i in index.items if only in i.name),
        models=tuple(m for m in index.models if only in m.name),
        timed=tuple(t for t in index.timed if only in t.problem.name),
    )
    if not (found.items or found.models or found.timed):
        names = [
            *(i.name for i in index.items),
            *(m.name for m in index.models),
            *(t.problem.name for t in index.timed),
        ]
        raise UsageError(
            "there is nothing of this name",
            where="--only",
            expected=", ".join(names) or "a folder with something",
            found=only,
        )
    return found


def reason_to_skip(item: Item, capability: Capability) -> str:
    """Return why a bundle's kernel is not the one that such a device takes; empty if it is."""
    codes = [code for started in item.started for code in started.kernels if code.target == item.needs]
    if not item.started:
        return "no dispatch of it has a case"
    if any(code.runs_on(capability) for code in codes):
        return ""
    return f"its kernel is for {item.needs}; this device is {capability[0]}.{capability[1]}"


def versions(index: Index) -> dict[str, str]:
    """Package → version, here and where the folder was built."""
    from importlib.metadata import PackageNotFoundError, version

    from substitute.validate.validation import installed_versions

    found = installed_versions()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, **{f"{name} (where it was built)": v for name, v in index.versions.items()}}


def device_facts(device: str, progress: Progress) -> Facts:
    """Return the properties that the device reports. Raises `DeviceError`."""
    return open_gpu(device).facts


def _item(folder: Path, item: Item, device: str, capability: Capability) -> ItemResult:
    empty = ItemResult(name=item.name, kernels=item.kernels, skipped=reason_to_skip(item, capability))
    if empty.skipped:
        return empty
    call = Call(run_item, {"folder": folder, "item": item, "device": device})
    return _step(call, lambda error: replace(empty, error=error))


def run_item(folder: Path, item: Item, device: str, progress: Progress) -> ItemResult:
    """Judge one bundle through IREE's driver against its golden, then compare it bit for bit with direct launches."""
    from substitute.device.raw import RawModule
    from substitute.validate.bundle_file import load_bundle
    from substitute.validate.run import judge_bundle

    bundle = load_bundle(folder / item.bundle)
    verdicts = judge_bundle(bundle, device=device, progress=_silent)
    with RawModule(bundle.candidate, device=device) as module:
        bits = compare_item(folder, item, bundle, open_gpu(device), module)
    dispatches = []
    for verdict in verdicts:
        failed = next((c for c in verdict.cases if not c.passed), None)
        dispatches.append(
            Dispatch(
                name=verdict.name,
                kernel=verdict.kernel,
                cases=len(verdict.cases),
                passed=verdict.passed,
                worst=verdict.worst,
                skipped=verdict.skipped,
                message=verdict.message if failed is None else f"{failed.stage}: {failed.message}",
            )
        )
    return ItemResult(name=item.name, kernels=item.kernels, dispatches=tuple(dispatches), bits=tuple(bits))


def launch_only(folder: Path, *, device: str, only: str) -> int:
    """Make only the direct launches, in this process, to be run under a memory checker; return their number.

    Raises `DeviceError` if one fails.
    """
    from substitute.validate.bundle_file import load_bundle

    require_device(device, folder)
    gpu = open_gpu(device)
    count = 0
    for item in chosen(read_index(folder), only).items:
        if reason_to_skip(item, gpu.facts.capability):
            continue
        for compared in compare_item(folder, item, load_bundle(folder / item.bundle), gpu, None):
            if compared.error:
                raise DeviceError("a launch failed", where=compared.dispatch, found=compared.error)
            count += 1
    return count


def _model(folder: Path, model: WholeModel, device: str) -> ModelResult:
    call = Call(run_model, {"folder": folder, "model": model, "device": device})
    return _step(call, lambda error: ModelResult(name=model.name, kernels=model.kernels, error=error))


def run_model(folder: Path, model: WholeModel, device: str, progress: Progress) -> ModelResult:
    """Call a whole model and compare its results with the expected ones."""
    from substitute.device import Session

    with np.load(folder / model.arrays, allow_pickle=False) as arrays:
        inputs = [arrays[f"i{n}"] for n in range(sum(name.startswith("i") for name in arrays.files))]
        expected = [arrays[f"e{n}"] for n in range(sum(name.startswith("e") for name in arrays.files))]
    with Session(folder / model.vmfb, device=device) as session:
        found = session.call(None, inputs)
    return ModelResult(name=model.name, kernels=model.kernels, worst=worst_error(found, expected, model.absolute))


def worst_error(found: Sequence[Any], expected: Sequence[Any], absolute: float) -> float:
    """Largest |error| ÷ allowed; infinite where shapes differ or a result is not a number."""
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            return float("inf")
        error = np.abs(a.astype(np.float64) - b)
        worst = max(worst, float(np.where(np.isfinite(error), error, np.inf).max(initial=0.0)) / absolute)
    return worst


def _timing(folder: Path, timed: Timed, device: str, rounds: int) -> TimingResult:
    call = Call(run_timing, {"folder": folder, "timed": timed, "device": device, "rounds": rounds})
    return _step(call, lambda error: TimingResult(problem=timed.problem.name, error=error))


def run_timing(folder: Path, timed: Timed, device: str, rounds: int, progress: Progress) -> TimingResult:
    """One problem, measured. Raises `SubstituteError`."""
    measured = measure(open_gpu(device), folder, timed, rounds=rounds)
    return TimingResult(problem=timed.problem.name, measured=measured)


def _sanitized(folder: Path, only: str, environment: Mapping[str, str], progress: Progress) -> tuple[Sanitized, ...]:
    found = find_sanitizer(environment)
    argv = [*own_command(), "--run", str(folder), "--device", "cuda", "--launch-only"]
    results = []
    for number, tool in enumerate(TOOLS):
        progress(f"compute-sanitizer: {tool}", number / len(TOOLS))
        results.append(sanitize(found, [*argv, *(["--only", only] if only else [])], environment, tool=tool))
        if results[-1].status == "absent":
            break
    return tuple(results)


def own_command() -> list[str]:
    """Return the command that started this program, to start it again."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.parent:
        return [sys.executable, "-m", spec.parent]
    return [sys.executable, sys.argv[0]]


def _step(call: Call, failed: Callable[[str], T]) -> T:
    """Return the result of a call in a separate process, or of `failed` with a one-line reason."""
    try:
        return cast(T, isolated(call, _silent))
    except CompilerCrash as crash:
        return failed(f"the process that ran it died: {crash.found}")
    except SubstituteError as error:
        details = error.details.strip().partition("\n")[0]
        return failed("; ".join(part for part in (error.what, error.found, details) if part))


def _silent(_what: str, _share: float | None) -> None:
    """Ignore the progress inside of a step."""


def shown_command(argv: Sequence[str]) -> str:
    """Return the command line that repeats the run."""
    return shlex.join(["python", "-m", "runtime_tests.gpu", *argv])
