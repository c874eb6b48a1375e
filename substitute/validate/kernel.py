"""Validation of a kernel: its definition at many sizes, and programs of the kinds that it takes, by dispatch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..embed import Built
from ..errors import UsageError
from ..isolate import Call
from ..model.kernel import Kernel
from ..progress import Progress, silent
from .build import Change, build_bundle
from .bundle import Bundle
from .judge import STANDARD, Options
from .kernel_verdict import KernelVerdict
from .own_code import Baseline
from .programs import Function
from .run import build_and_judge
from .subjects import Sized, Wanted, is_formed_in
from .targets import backend_of, flags_for

FUSED = ("--iree-opt-level=O2",)
"""Flags with which IREE fuses several reductions into one dispatch, for definitions that have several."""


def validate_kernel(
    kernel: Kernel,
    *,
    device: str = "local-task",
    quick: bool = False,
    seed: int = 0,
    case: str = "",
    flags: Sequence[str] = (),
    emitted: bool = False,
    isolate: bool = False,
    options: Options = STANDARD,
    progress: Progress = silent,
) -> KernelVerdict:
    """One kernel of the catalog (with its forms read) on one device. `case`: only cases that hold this text.

    `emitted`: the verdicts also name the code that was embedded.
    Raises `SubstituteError` for what cannot be compiled or run; a wrong result is a verdict.
    """
    check_device(kernel, device)
    start = time.perf_counter()
    arguments = {
        "folder": kernel.folder,
        "name": kernel.name,
        "device": device,
        "quick": quick,
        "seed": seed,
        "case": case,
        "flags": tuple(flags),
        "emitted": emitted,
        "deferred": quick,
    }
    build = Call(bundle_kernel, arguments)
    seconds, verdicts = build_and_judge(build, isolate=isolate, options=options, progress=progress)
    seconds = {**seconds, "all": time.perf_counter() - start}
    return KernelVerdict(
        kernel=kernel.name,
        folder=str(kernel.folder),
        device=device,
        seed=seed,
        quick=quick,
        dispatches=verdicts,
        message=explain_unjudged([bool(v.skipped) for v in verdicts], case),
        seconds=seconds,
    )


def bundle_kernel(
    folder: Path,
    name: str,
    device: str,
    *,
    quick: bool,
    seed: int,
    case: str = "",
    flags: Sequence[str] = (),
    emitted: bool = False,
    changed: Change | None = None,
    deferred: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """The programs for a kernel, compiled for a device, with their cases. `changed`: see `build_bundle`.

    `deferred`: see `Wanted`.
    """
    with Baseline() as own_code:  # before this process has the compiler's threads
        return _bundle(
            folder,
            name,
            device,
            quick=quick,
            seed=seed,
            case=case,
            flags=flags,
            emitted=emitted,
            own_code=own_code,
            changed=changed,
            deferred=deferred,
            progress=progress,
        )


def _bundle(
    folder: Path,
    name: str,
    device: str,
    *,
    quick: bool,
    seed: int,
    case: str,
    flags: Sequence[str],
    emitted: bool,
    own_code: Baseline,
    changed: Change | None,
    deferred: bool,
    progress: Progress,
) -> Bundle:
    from ..catalog.catalog import load_catalog
    from .kinds import functions_of_kinds
    from .programs import definition_functions, definition_parts, module_text, shape_sets

    kernel = load_catalog([folder], builtin=False, kept=True).kernel(name)
    functions, parts = [], []
    if kernel.forms:
        functions = definition_functions(kernel, quick=quick, random=np.random.default_rng(seed))
        parts = [definition_parts(kernel)]
    functions += functions_of_kinds(
        _kinds(kernel), first=len(functions), quick=quick, elements=_elements_of_results(kernel)
    )
    if not functions:
        raise UsageError(
            f"{name} has neither a definition nor kinds, so that there is nothing to draw",
            where=str(folder),
            expected="[definition], or kinds in kernel.toml",
            found="a kernel that is chosen by name",
            next_step="validate a model in which it is used: iree-substitute validate MODEL --kernels DIR",
        )
    if any(len(form.program.cores) > 1 for form in kernel.forms):
        flags = (*flags, *FUSED)
    wanted = Wanted(
        quick=quick,
        seed=seed,
        case=case,
        launches=8,
        shapes=shape_sets(functions),
        labels={f.name: f.label for f in functions},
        turned=changed is None,
        emitted=emitted,
        deferred=deferred,
        cover=lambda built: _covering(kernel, functions, built, device=device, quick=quick, seed=seed),
    )
    bundle, _ = build_bundle(
        module_text([*parts, *(f.text for f in functions)]),
        device=device,
        kernels=[folder],
        builtin=False,
        only=name,
        flags=flags_for(device, flags),
        wanted=wanted,
        own_code=own_code,
        changed=changed,
        progress=progress,
    )
    return bundle


def _covering(
    kernel: Kernel, functions: Sequence[Function], built: Sequence[Built], *, device: str, quick: bool, seed: int
) -> dict[str, list[Sized]]:
    """Return shapes for the functions of open sizes that cover what the kernel's code may do."""
    from .covering import DEFAULT, QUICK, cover_sizes, speed_of
    from .thresholds import join, read_payload, read_source

    open_ = [f for f in functions if f.form is not None]
    budget = QUICK if quick else DEFAULT
    found: dict[str, list[Sized]] = {}
    payloads = {id(one.payload): one for one in built}
    for function in open_:
        assert function.form is not None
        of_function = [b for b in payloads.values() if is_formed_in(function.name, b.substitution.dispatch.name)]
        # the source has fewer numbers that mean nothing, such as those of mathematical functions
        source = read_source(kernel)
        numbers = join([replace(source, first=source.ordered), *(read_payload(b.payload) for b in of_function)])
        sets = cover_sizes(
            kernel,
            function.form,
            numbers,
            budget=budget.share(len(open_)),
            speed=speed_of(device),
            random=np.random.default_rng(seed),
        )
        found[function.name] = [
            Sized(label=", ".join(f"{a}={s}" for a, s in sizes.items()), shapes=function.shapes_at(sizes))
            for sizes in sets
        ]
    return found


def explain_unjudged(skipped: Sequence[bool], case: str) -> str:
    """Return why none of the dispatches that a kernel took was judged; empty: one was. `skipped`: of each of them."""
    if not skipped:
        return f"no case holds {case!r}" if case else "it took no dispatch of the programs that were drawn for it"
    return "no dispatch that it took could be judged" if all(skipped) else ""


def check_device(kernel: Kernel, device: str) -> None:
    """Raises `UsageError` for a kernel that is not for this device's backend."""
    backend = backend_of(device)
    known = sorted({target.backend for target in kernel.targets})
    if backend is not None and backend not in known:
        raise UsageError(
            f"{kernel.name} is not for {device}",
            where=str(kernel.folder),
            expected=f"a device for {' or '.join(known)}",
            found=f"{device}, which is {backend}",
            next_step="choose another --device",
        )


def find_kernels(what: Sequence[str], *, folders: Sequence[Path] = (), builtin: bool = True) -> list[Kernel]:
    """Kernels by name, of the catalog, or by folder (all that are in it), each once. Raises `UsageError`."""
    from ..catalog.catalog import load_catalog

    found: dict[str, Kernel] = {}
    names = [word for word in what if not Path(word).is_dir()]
    for word in what:
        if word not in names:
            found |= {k.name: k for k in load_catalog([Path(word)], builtin=False, kept=True).kernels}
    if names:
        catalog = load_catalog(folders, builtin=builtin, kept=True)
        found |= {kernel.name: kernel for name in names for kernel in catalog.family(name)}
    return list(found.values())


def _elements_of_results(kernel: Kernel) -> frozenset[str]:
    """Return the types of the results that a definition's core computes; empty for a kernel that selects by kinds."""
    if kernel.kinds:
        return frozenset()
    operands = [operand for form in kernel.forms for operand in form.program.operands]
    return frozenset(operand.type.element for operand in operands)


def _kinds(kernel: Kernel) -> tuple[str, ...]:
    """Kinds that it selects by, or whose programs may have more loops than the definition has axes."""
    from ..read.kind import kind_of

    if kernel.kinds:
        return kernel.kinds
    found = dict.fromkeys(kind_of(form.program) for form in kernel.forms) if kernel.groups or kernel.slots else {}
    if "reduction" in found:
        found["normalization"] = None
    return tuple(found)
