"""`validate --mutate`: makes small faults in a kernel's code, and reports those that the chosen cases do not detect."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import SubstituteError
from ...isolate import Call, isolated
from ...model.kernel import Kernel
from ...progress import Progress, silent
from ..batch import prefixed
from ..bundle import Bundle
from ..judge import STANDARD, Options
from ..kernel import bundle_kernel, check_device, explain_unjudged
from . import ptx_text
from .code import Code
from .embed import Extraction
from .judge import MutationRun
from .llvm_text import mutants_of
from .mutant import Mutant, MutationReport

COUNT = 100
"""Default number of mutants that are drawn of a kernel."""


def mutate_kernels(
    kernels: Sequence[Kernel],
    *,
    device: str = "local-task",
    quick: bool = False,
    seed: int = 0,
    count: int = COUNT,
    case: str = "",
    flags: Sequence[str] = (),
    options: Options = STANDARD,
    progress: Progress = silent,
) -> list[MutationReport]:
    """Judge mutants of each kernel. An exception of one kernel becomes its report, and does not affect the others.

    Raises `SubstituteError` if every kernel does.
    """
    reports: list[MutationReport] = []
    errors: list[SubstituteError] = []
    for kernel in kernels:
        try:
            report = mutate_kernel(
                kernel,
                device=device,
                quick=quick,
                seed=seed,
                count=count,
                case=case,
                flags=flags,
                options=options,
                progress=prefixed(progress, kernel.name),
            )
        except SubstituteError as error:
            errors.append(error)
            report = MutationReport(
                kernel=kernel.name,
                device=device,
                seed=seed,
                quick=quick,
                file=str(kernel.payload.path),
                outcomes=(),
                possible=0,
                error=str(error),
            )
        reports.append(report)
    if errors and len(errors) == len(kernels):
        raise errors[0]
    return reports


def mutate_kernel(
    kernel: Kernel,
    *,
    device: str = "local-task",
    quick: bool = False,
    seed: int = 0,
    count: int = COUNT,
    case: str = "",
    flags: Sequence[str] = (),
    options: Options = STANDARD,
    progress: Progress = silent,
) -> MutationReport:
    """Judge up to `count` mutants of a kernel by the cases that validation would choose. Raises `SubstituteError`."""
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
    bundle, codes = isolated(Call(bundle_codes, arguments), progress)
    every = join([mutant for code in codes if code.entries for mutant in _mutants(code)], codes)
    mutants = draw(every, count, seed=seed)
    report = MutationReport(
        kernel=kernel.name,
        device=device,
        seed=seed,
        quick=quick,
        file=str(kernel.payload.path),
        outcomes=(),
        possible=len(every),
    )
    if not mutants:
        return replace(report, message=_no_mutants(kernel, bundle, codes, case))
    run = MutationRun(bundle, codes, mutants, progress)
    wrong = run.run(options)
    if wrong:
        return replace(report, message=f"the kernel itself is wrong: {wrong}")
    return replace(report, outcomes=tuple(run.outcomes[n] for n in range(len(mutants))))


def bundle_codes(
    folder: Path,
    name: str,
    device: str,
    *,
    quick: bool,
    seed: int,
    case: str,
    flags: Sequence[str],
    progress: Progress,
) -> tuple[Bundle, list[Code]]:
    """Return the programs for a kernel with their cases, and the codes that they launch."""
    extraction = Extraction()
    bundle = bundle_kernel(
        folder, name, device, quick=quick, seed=seed, case=case, flags=flags, changed=extraction, progress=progress
    )
    entries: dict[int, list[str]] = defaultdict(list)
    for subject in bundle.subjects:
        for number in extraction.codes_of(subject.name) if subject.cases else ():
            entries[number].append(subject.cases[0].entry)
    return bundle, [replace(code, entries=tuple(entries[code.number])) for code in extraction.codes]


def join(mutants: Sequence[Mutant], codes: Sequence[Code]) -> list[Mutant]:
    """Return mutants in which the same change is made in the PTX of several dispatches: the kernel has one text.

    Generated code differs from dispatch to dispatch, and each has mutants of its own.
    """
    found: dict[tuple[object, ...], Mutant] = {}
    counts: dict[tuple[object, ...], int] = defaultdict(int)
    for mutant in mutants:
        change = (mutant.operator, mutant.before.strip(), mutant.after.strip())
        counts[mutant.code, *change] += 1
        joined = codes[mutant.code].format == "ptx" and not codes[mutant.code].title
        key = (*change, counts[mutant.code, *change]) if joined else (mutant.code, mutant.place, *change)
        first = found.get(key)
        found[key] = mutant if first is None else replace(first, elsewhere=(*first.elsewhere, mutant))
    return list(found.values())


def draw(mutants: Sequence[Mutant], count: int, *, seed: int) -> list[Mutant]:
    """Return at most `count` of the mutants, one of each operator in turn, so that rare ones are included."""
    chance = random.Random(seed)
    groups: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        groups[mutant.operator].append(mutant)
    for members in groups.values():
        chance.shuffle(members)
    drawn: list[Mutant] = []
    while len(drawn) < count and any(groups.values()):
        for members in groups.values():
            if members and len(drawn) < count:
                drawn.append(members.pop())
    return sorted(drawn, key=lambda m: (m.code, m.place))


def _mutants(code: Code) -> list[Mutant]:
    find = mutants_of if code.format == "llvm" else ptx_text.mutants_of
    return find(code.text, code=code.number, title=code.title)


def _no_mutants(kernel: Kernel, bundle: Bundle, codes: Sequence[Code], case: str) -> str:
    reason = explain_unjudged([not subject.cases for subject in bundle.subjects], case)
    if reason:
        return reason
    if not codes:
        return f"there is no code of kind {kernel.payload.kind} in which faults could be planted"
    return "no operator finds anything to change in its code"
