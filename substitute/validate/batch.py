"""Validation of several kernels, in parallel on request; and conversion of verdicts to a `Validation` for reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.atomic import replacement
from ..errors import SubstituteError, UsageError
from ..isolate import Call, isolated
from ..model.kernel import Kernel
from ..progress import Progress, silent
from .bundle_file import save_bundle
from .judge import STANDARD, Options
from .kernel import bundle_kernel, check_device, validate_kernel
from .kernel_verdict import KernelVerdict
from .sweep import Done, sweep
from .validation import ResultLine, Validation, installed_versions
from .verdict import DispatchVerdict

if TYPE_CHECKING:
    from .model import ModelVerdict


def validate_kernels(
    kernels: Sequence[Kernel],
    *,
    device: str = "local-task",
    quick: bool = False,
    seed: int = 0,
    case: str = "",
    flags: Sequence[str] = (),
    emitted: bool = False,
    jobs: int = 1,
    cluster: str = "",
    options: Options = STANDARD,
    progress: Progress = silent,
) -> list[KernelVerdict]:
    """Validate each kernel on the device, `jobs` at a time, or on the Dask cluster of this address.

    An exception of one kernel becomes its verdict, and does not affect the others. Raises `SubstituteError` for a
    device or a cluster that is not available.
    """
    common = {
        "device": device,
        "quick": quick,
        "seed": seed,
        "case": case,
        "flags": tuple(flags),
        "emitted": emitted,
        "isolate": True,
        "options": options,
    }
    errors: dict[str, SubstituteError] = {}
    for kernel in kernels:
        try:
            check_device(kernel, device)
        except SubstituteError as error:
            errors[kernel.name] = error
    if errors and len(errors) == len(kernels):
        raise next(iter(errors.values()))
    tasks = {k.name: Call(validate_kernel, {"kernel": k, **common}) for k in kernels if k.name not in errors}
    done: dict[str, Done] = {name: Done(error=error) for name, error in errors.items()}
    if jobs == 1 and not cluster:
        for name, task in tasks.items():
            try:
                done[name] = Done(value=task(prefixed(progress, name)))
            except SubstituteError as error:
                done[name] = Done(error=error)
    else:
        done |= sweep(tasks, jobs=jobs, cluster=cluster, progress=progress)
    return [
        found.value
        if (found := done[kernel.name]).error is None
        else KernelVerdict(
            kernel=kernel.name,
            folder=str(kernel.folder),
            device=device,
            seed=seed,
            quick=quick,
            dispatches=(),
            error=str(found.error),
        )
        for kernel in kernels
    ]


def bundle_kernels(
    kernels: Sequence[Kernel],
    path: Path,
    *,
    device: str,
    quick: bool,
    seed: int,
    case: str = "",
    flags: Sequence[str] = (),
    progress: Progress = silent,
) -> list[Path]:
    """Write a self-running bundle for one kernel to `path`, or for several into the folder `path`."""
    places = [path] if len(kernels) == 1 else [path / f"{kernel.name}.bundle" for kernel in kernels]
    for kernel, place in zip(kernels, places, strict=True):
        check_device(kernel, device)
        arguments = {
            "folder": kernel.folder,
            "name": kernel.name,
            "device": device,
            "quick": quick,
            "seed": seed,
            "case": case,
            "flags": tuple(flags),
        }
        bundle = isolated(Call(bundle_kernel, arguments), prefixed(progress, kernel.name))
        write_bundle(bundle, place, title=kernel.name, seed=seed)
    return places


def write_bundle(bundle: object, path: Path, *, title: str, seed: int) -> None:
    """Write a self-running bundle. Raises `UsageError` for one without a case, or a path that cannot be used."""
    from dataclasses import replace

    from .bundle import Bundle

    assert isinstance(bundle, Bundle)
    if not any(subject.cases for subject in bundle.subjects):
        raise UsageError(
            f"there is nothing to put into a bundle of {title}",
            where=str(path),
            expected="a dispatch that a kernel takes and whose golden is known",
            found="none",
            next_step="`iree-substitute inspect MODEL` says why no kernel fits",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = replace(bundle, title=title, seed=seed, versions=installed_versions())
        with replacement(path) as temporary:
            save_bundle(whole, temporary, runnable=True)
    except OSError as error:
        raise UsageError(
            "the bundle could not be written",
            where=str(path),
            expected="a file in a folder that can be written",
            found=error.strerror or str(error),
            next_step="choose another place",
        ) from None


def summarize_kernels(
    verdicts: Sequence[KernelVerdict], *, device: str, seed: int, command: str, started: str
) -> Validation:
    """Return the validation of kernels, for reports."""
    dispatches: list[DispatchVerdict] = []
    seconds: dict[str, float] = {}
    for verdict in verdicts:
        dispatches += verdict.dispatches
        if why := verdict.error or verdict.message:
            dispatches.append(
                DispatchVerdict(
                    name=verdict.kernel,
                    kernel=verdict.kernel,
                    cases=(),
                    stage="files" if verdict.error else "golden",
                    message=why,
                )
            )
        for step in ("build", "run"):
            seconds[step] = seconds.get(step, 0.0) + verdict.seconds.get(step, 0.0)
    return Validation(
        title=", ".join(v.kernel for v in verdicts),
        device=device,
        seed=seed,
        command=command,
        started=started,
        versions=installed_versions(),
        dispatches=tuple(dispatches),
        seconds=seconds,
    )


def summarize_model(verdict: ModelVerdict, *, title: str, command: str, started: str) -> Validation:
    """Return the validation of a model, for reports."""
    results = tuple(
        ResultLine(
            name=f"result {r.number}: {r.type}",
            passed=r.passed,
            detail=r.reason or f"{r.share:.2g} of the largest magnitude, {r.tolerance:g} is allowed",
        )
        for r in verdict.results
    )
    return Validation(
        title=title,
        device=verdict.device,
        seed=verdict.seed,
        command=command,
        started=started,
        versions=installed_versions(),
        dispatches=verdict.dispatches,
        results=results,
        seconds=verdict.seconds,
        unproven=verdict.unproven,
    )


def prefixed(progress: Progress, name: str) -> Progress:
    """Return a progress that names the kernel before each step."""
    return lambda what, share: progress(f"{name}: {what}", share)
