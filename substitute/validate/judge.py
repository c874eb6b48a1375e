"""Launches of a case as the protocol requires, and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device.raw import RawModule
from ..errors import DeviceError
from .baseline import add_baseline, describe_failure, errors_of, run_baseline
from .case import Bytes, Case, Expected
from .criteria import (
    BaselineCriteria,
    Finding,
    check_beside,
    check_form,
    check_repeated,
    check_values,
    check_written,
    excess,
    flushed,
    holds,
    wrong_signs,
)
from .elements import quiet, storage_type, ulp
from .launch import GUARD_BYTES, PATTERNS, Arrangement, Ran, granule, run_case, selects_fallback
from .picture import Picture, error_map, histogram
from .statistics import Errors, pool
from .verdict import CaseVerdict, DispatchVerdict, Place, combine

LOCAL_SHIFT = 64
"""Bytes by which buffers are moved in the second launch on the CPU, and by what operands have to be multiples of."""
DEVICE_SHIFT = 256
"""Elsewhere: no device asks for more of a binding."""
ABOUT_ONE = 0x3F
"""A byte of which each floating-point number is between 0.0001 and 2."""
BEHIND = (0, GUARD_BYTES)
"""Bytes of the guard that bindings include in the first and the second launch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of judging cases."""

    criteria: BaselineCriteria = field(default_factory=BaselineCriteria)
    in_flight: bool = True
    """Also with another grid of the same dispatch at the same time."""
    near: bool = False
    """See `Arrangement`; then nothing is beside inaccessible pages, and everything at multiples of 64 bytes."""
    pages: bool = True
    """Also launch beside inaccessible pages, if the device is this machine's CPU."""
    errors: bool = True
    """Also how large the errors are, and what they look like."""
    limit_s: float = 0.0
    """Processor time that a case may take in a process of its own; 0: what its size suggests."""


USUALLY_OFF = 64.0
"""By how many times what is allowed an algorithm that rounds otherwise is off, for usual numbers, at most."""
DECLARE = (
    "small integers are right, and errors are larger than the definition's own order of operations explains: where the "
    "algorithm is the reason (Winograd's, Strassen's), kernel.toml says how far it may be off: [accuracy], with "
    'max_error = "4·γ", relative_to = "element" or "operands", and a reason'
)
STANDARD = Options()
"""Default options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate's case compared with its golden only."""

    verdict: CaseVerdict
    at: tuple[int, int] | None = None
    """The result, and the element of it, that the verdict's place shows."""
    zeros: tuple[NDArray[np.int64], ...] = ()
    """For each result: positions that hold zero because subnormal numbers may."""
    signs: tuple[NDArray[np.int64], ...] = ()
    """For each result: positions of zeros with the wrong sign."""


def judge_case(
    candidate: RawModule, case: Case, *, baseline: RawModule | None = None, options: Options = STANDARD
) -> CaseVerdict:
    """One case: launched in two arrangements, once more with two grids in flight, and compared with its golden."""
    judged = judge_alone(candidate, case, options=options)
    if baseline is None:
        return judged.verdict
    return add_baseline(
        judged.verdict, case, run_baseline(baseline, case), at=judged.at, zeros=judged.zeros, signs=judged.signs
    )


@quiet
def judge_alone(
    candidate: RawModule, case: Case, *, options: Options = STANDARD, single: RawModule | None = None
) -> Judged:
    """The same without IREE's own code. `single`: the candidate on a device of one thread, for some of the launches."""
    local = candidate.device.startswith("local")
    shift = LOCAL_SHIFT + (0 if options.near else granule(case)) if local else DEVICE_SHIFT
    arrangements = [
        Arrangement(pattern=p, shift=s, behind=b, near=options.near)
        for p, s, b in zip(PATTERNS, (0, shift), BEHIND, strict=True)
    ]
    verdict = CaseVerdict(label=case.label, inputs=case.inputs, seed=case.seed)
    if selects_fallback(candidate, case):
        return Judged(verdict=replace(verdict, entered=False))
    if case.refused:
        return Judged(verdict=replace(verdict, stage="launch", message=case.refused))
    try:
        runs = [run_case(candidate, case, a)[0] for a in arrangements]
        flying = run_case(candidate, case, *arrangements) if options.in_flight else ()
        guarded = [
            run_case(single or candidate, case, Arrangement(pattern=pattern, beside=where))[0]
            for where, pattern in zip(("end", "start"), PATTERNS, strict=True)
            if options.pages and candidate.guards and not options.near
        ]
    except DeviceError as error:
        return Judged(verdict=replace(verdict, stage="launch", message=describe_failure(error)))
    finding, number = _find(case, runs, flying, guarded)
    verdict = replace(verdict, empty=not any(e.values.size for e in case.expected))
    verdict = _with_errors(verdict, case, runs[0]) if options.errors else replace(verdict, judged=_count(case))
    if finding is not None and finding.stage in ("unwritten", "non-finite", "error"):
        finding = _accumulation(candidate, case, finding, number)
    if finding is None:
        zeros = tuple(
            flushed(e.read(_binding(case, runs[0], e)), e.values, e.allowed, e.area.element) for e in case.expected
        )
        signs = tuple(wrong_signs(e.read(_binding(case, runs[0], e)), e.values, e.area.element) for e in case.expected)
        return Judged(verdict=replace(verdict, blind=blind_spots(case)), zeros=zeros, signs=signs if case.signs else ())
    verdict = replace(
        verdict, stage=finding.stage, message=finding.message, place=_place(case, number, finding, runs[0])
    )
    return Judged(verdict=verdict, at=None if verdict.place is None else (number, finding.first))


def judge_cases(candidate: RawModule, cases: Sequence[Case], *, options: Options = STANDARD) -> list[Judged]:
    """All cases of a dispatch by their goldens alone, then the first once more after all others."""
    judged = [judge_alone(candidate, case, options=options) for case in cases]
    if judged and all(j.verdict.passed for j in judged):
        again = judge_again(candidate, cases[0])
        if not again.verdict.passed:
            judged[0] = again
    return judged


def conclude(
    name: str, kernel: str, verdicts: Sequence[CaseVerdict], *, options: Options = STANDARD, declared: str = ""
) -> DispatchVerdict:
    """The verdict on a dispatch from those on its cases: all of them, then their errors beside the baseline's.

    `declared`: the bound of errors that its kernel declares, which the baseline's errors say nothing of.
    """
    verdict = replace(combine(name, kernel, tuple(verdicts)), declared=declared)
    if not declared and _rounds_otherwise(verdicts):
        verdict = replace(verdict, notes=(*verdict.notes, DECLARE))
    if not verdict.passed or declared:
        return verdict
    finding = check_beside(*_together(verdicts), options.criteria)
    return verdict if finding is None else replace(verdict, stage=finding.stage, message=finding.message)


def _rounds_otherwise(verdicts: Sequence[CaseVerdict]) -> bool:
    """Return True if what fails may be an algorithm that is right, and rounds otherwise than the definition says.

    Small integers have no rounding in it, and usual numbers are not far off.
    """
    failed = [v for v in verdicts if not v.passed]
    integers = [v for v in verdicts if v.inputs in ("exact", "ones")]
    return (
        any(v.stage == "error" for v in failed)
        and bool(integers)
        and all(v.passed for v in integers)
        and all(v.stage in ("error", "non-finite") for v in failed)
        and all(v.worst <= USUALLY_OFF for v in failed if v.inputs == "normal")
    )


def judge_dispatch(
    candidate: RawModule,
    cases: Sequence[Case],
    *,
    name: str,
    kernel: str,
    baseline: RawModule | None = None,
    options: Options = STANDARD,
) -> DispatchVerdict:
    """All cases of a dispatch, then IREE's own code for them."""
    judged = judge_cases(candidate, cases, options=options)
    if baseline is None:
        return conclude(name, kernel, [j.verdict for j in judged], options=options)
    beside = [
        add_baseline(j.verdict, case, run_baseline(baseline, case), at=j.at, zeros=j.zeros, signs=j.signs)
        for j, case in zip(judged, cases, strict=True)
    ]
    return conclude(name, kernel, beside, options=options)


def blind_spots(case: Case) -> tuple[str, ...]:
    """Return the wrong results that would pass: all zeros, a constant, those of an earlier launch (the poison)."""
    found = []
    for name in ("all zeros", "the same everywhere"):
        if name != "all zeros" and all(np.size(e.values) < 2 for e in case.expected):
            continue  # one number is always the same
        if all(_would_pass(e, _fake(name, e), copies=case.copies) for e in case.expected):
            found.append(name)
    return tuple(found)


def _fake(name: str, expected: Expected) -> NDArray[Any]:
    kind = storage_type(expected.area.element)
    values = np.asarray(expected.values)
    if name == "all zeros" or not values.size:
        return np.zeros(values.shape, kind)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.full(values.shape, values.reshape(-1)[0], dtype=values.dtype).astype(kind)


def _would_pass(expected: Expected, fake: NDArray[Any], *, copies: bool) -> bool:
    element = expected.area.element
    return check_values(fake, expected.values, expected.allowed, element, signs=copies) is None


def _find(case: Case, runs: Sequence[Ran], flying: Sequence[Ran], guarded: Sequence[Ran]) -> tuple[Finding | None, int]:
    """The first stage that does not pass, in the protocol's order, and the number of the result, or -1 for none."""
    for run in (*runs, *flying, *guarded):
        if run.faults:
            return Finding(stage="guard", message="; ".join(dict.fromkeys(map(str, run.faults)))), -1
    patterns = (runs[0].arrangement.pattern, runs[1].arrangement.pattern)
    for number, e in enumerate(case.expected):
        first, second = (e.read(_binding(case, run, e)) for run in runs)
        finding = (
            check_form(first, np.shape(e.values), storage_type(e.area.element))
            or check_written(first, second, patterns, _poisoned(case, e))
            or check_values(first, e.values, e.allowed, e.area.element, signs=case.copies)
            or check_values(second, e.values, e.allowed, e.area.element, signs=case.copies)
        )
        for run in guarded:
            third = e.read(_binding(case, run, e))
            finding = finding or check_values(third, e.values, e.allowed, e.area.element, signs=case.copies)
        if finding is not None:
            return finding, number
    for number, e in enumerate(case.expected if case.repeatable else ()):
        first = e.read(_binding(case, runs[0], e))
        others = (
            (runs[1], "in other memory"),
            *((run, "with another grid in flight") for run in flying),
            *((run, "beside an inaccessible page, by one thread") for run in guarded),
        )
        for run, how in others:
            finding = check_repeated(first, e.read(_binding(case, run, e)), how)
            if finding is not None:
                return finding, number
    return None, -1


def _accumulation(candidate: RawModule, case: Case, finding: Finding, number: int) -> Finding:
    """The finding, or a better one where the result is right if its memory held zeros before, and else is not."""
    expected = case.expected[number]
    try:
        (zeros,) = run_case(candidate, case, Arrangement(pattern=0))
        (ones,) = run_case(candidate, case, Arrangement(pattern=ABOUT_ONE))
    except DeviceError:
        return finding
    right = expected.read(_binding(case, zeros, expected))
    moved = expected.read(_binding(case, ones, expected))
    if check_values(right, expected.values, expected.allowed, expected.area.element, signs=case.copies) is not None:
        return finding
    if check_values(moved, expected.values, expected.allowed, expected.area.element, signs=case.copies) is None:
        return finding
    left = _poisoned(case, expected) & holds(moved, ABOUT_ONE)
    with np.errstate(invalid="ignore"):
        absorbed = np.abs(np.asarray(expected.values, np.float64)) < ulp(moved, expected.area.element)
    if left.all() or (left & ~absorbed.reshape(-1)).any():
        return finding  # left as it was: zeros are right by chance
    return replace(
        finding,
        stage="accumulates",
        message="the result depends on what its memory held before, and is right where that is zero: the kernel adds "
        "to a result that nobody clears",
    )


def _binding(case: Case, run: Ran, expected: Expected) -> Bytes:
    return case.binding(run.contents, expected.area.binding)


def _poisoned(case: Case, expected: Expected) -> NDArray[np.bool_]:
    """Return a mask of the elements that hold poison before the launch."""
    marks = tuple(np.zeros(size, np.uint8) for size in case.sizes)
    for part in case.filled:
        marks[part.resource][part.start : part.stop] = 0xFF
    found = np.ascontiguousarray(expected.read(case.binding(marks, expected.area.binding))).reshape(-1)
    if not found.size:
        return np.zeros(0, bool)
    return np.asarray((found.view(np.uint8) == 0).reshape(found.size, -1).all(axis=1))


def _with_errors(verdict: CaseVerdict, case: Case, run: Ran) -> CaseVerdict:
    found = [e.read(_binding(case, run, e)) for e in case.expected]
    worst = max(
        (
            float(excess(f, e.values, e.allowed, e.area.element).max(initial=0.0))
            for f, e in zip(found, case.expected, strict=True)
        ),
        default=0.0,
    )
    return replace(
        verdict,
        worst=worst,
        errors=errors_of(case, found),
        picture=_picture(case, found),
        judged=_count(case),
    )


def _count(case: Case) -> int:
    """The number of elements that can be judged."""
    return sum(int(np.count_nonzero(~np.isinf(e.allowed))) for e in case.expected)


def _picture(case: Case, results: Sequence[NDArray[Any]]) -> Picture | None:
    """Return the picture of the result with the largest error."""

    def share(e: Expected, found: NDArray[Any]) -> NDArray[np.float64]:
        golden = np.asarray(e.values)
        flat = excess(found, golden, e.allowed, e.area.element)
        finite = [np.isfinite(np.asarray(x).reshape(-1).astype(np.float64)) for x in (found, golden)]
        return np.where(finite[0] != finite[1], np.inf, flat).reshape(golden.shape)

    shares = [share(e, found) for e, found in zip(case.expected, results, strict=True)]
    if not shares:
        return None
    number = max(range(len(shares)), key=lambda i: float(shares[i].max(initial=0.0)))
    worst = case.expected[number]
    area = worst.area
    return Picture(
        case=f"{case.label} [{case.inputs}]",
        result=f"{area.name or f'binding {area.binding}'}, {area.element}",
        candidate=histogram(results[number], worst.values, area.element),
        baseline=None,
        map=error_map(shares[number]) if worst.coordinates is None else None,
        number=number,
    )


def _together(verdicts: Sequence[CaseVerdict]) -> tuple[Errors, Errors]:
    """Errors of all cases that have a baseline to be compared with."""
    both = [(v.errors, v.baseline) for v in verdicts if v.baseline is not None]
    return pool([c for c, _ in both]), pool([b for _, b in both])


@quiet
def judge_again(candidate: RawModule, case: Case, *, how: str = "after the other cases ran", shift: int = 0) -> Judged:
    """A case once more, in other circumstances, such as after others: what it gives must not depend on them.

    `shift`: see `Arrangement`.
    """
    verdict = CaseVerdict(label=case.label, inputs=case.inputs, seed=case.seed)
    if selects_fallback(candidate, case):
        return Judged(verdict=replace(verdict, entered=False))
    try:
        (run,) = run_case(candidate, case, Arrangement(pattern=PATTERNS[1], shift=shift))
    except DeviceError as error:
        return Judged(verdict=replace(verdict, stage="launch", message=f"{how}: {describe_failure(error)}"))
    for number, e in enumerate(case.expected):
        found = e.read(_binding(case, run, e))
        finding = check_values(found, e.values, e.allowed, e.area.element, signs=case.copies)
        if finding is not None:
            place = _place(case, number, finding, run)
            message = f"{how}: {finding.message}"
            verdict = replace(_with_errors(verdict, case, run), stage="repeat", message=message, place=place)
            return Judged(verdict=verdict, at=None if place is None else (number, finding.first))
    return Judged(verdict=verdict)


def _place(case: Case, number: int, finding: Finding, run: Ran) -> Place | None:
    if number < 0 or finding.first < 0:
        return None
    at, expected = finding.first, case.expected[number]

    def element(values: NDArray[Any]) -> str:
        return str(np.asarray(values).reshape(-1)[at])

    return Place(
        operand=expected.area.described,
        coordinates=expected.position(at),
        candidate=element(expected.read(_binding(case, run, expected))),
        golden=element(expected.values),
        baseline="",
        allowed=float(np.asarray(expected.allowed).reshape(-1)[at]),
    )
