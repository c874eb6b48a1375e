"""Runs a case as often as the protocol asks, and judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device.raw import RawModule
from ..errors import DeviceError
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
)
from .elements import storage_type
from .launch import PATTERNS, Arrangement, Ran, run_case
from .picture import Histogram, Picture, error_map, histogram
from .statistics import Errors, measure, pool
from .verdict import CaseVerdict, DispatchVerdict, Place, combine

SHIFTS = {"local-task": (0, 64), "local-sync": (0, 64)}
"""Bytes by which buffers are moved in the first and the second launch: IREE promises 64 on the CPU."""
DEVICE_SHIFTS = (0, 256)
"""Elsewhere: no device asks for more of a binding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How thoroughly cases are judged."""

    criteria: BaselineCriteria = field(default_factory=BaselineCriteria)
    in_flight: bool = True
    """Also with another grid of the same dispatch at the same time."""


STANDARD = Options()
"""What is done where nothing else is asked for."""


def judge_case(
    candidate: RawModule, case: Case, *, baseline: RawModule | None = None, options: Options = STANDARD
) -> CaseVerdict:
    """One case: launched in two arrangements, once more with two grids in flight, and compared with its golden."""
    shifts = SHIFTS.get(candidate.device.partition("://")[0], DEVICE_SHIFTS)
    arrangements = [Arrangement(pattern=p, shift=s) for p, s in zip(PATTERNS, shifts, strict=True)]
    verdict = CaseVerdict(label=case.label, inputs=case.inputs, seed=case.seed)
    try:
        runs = [run_case(candidate, case, a)[0] for a in arrangements]
        flying = run_case(candidate, case, *arrangements) if options.in_flight else ()
    except DeviceError as error:
        return replace(verdict, stage="launch", message=_words(error))
    theirs, notes = _baseline(baseline, case, arrangements[0])
    verdict = replace(verdict, notes=notes)
    finding, expected = _find(case, runs, flying)
    verdict = _with_errors(verdict, case, runs[0], theirs)
    if finding is None:
        return replace(verdict, blind=blind_spots(case))
    return replace(
        verdict, stage=finding.stage, message=finding.message, place=_place(case, expected, finding, runs[0], theirs)
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
    """All cases of a dispatch, then the first once more after all others, then their errors beside the baseline's."""
    verdicts = [judge_case(candidate, case, baseline=baseline, options=options) for case in cases]
    if verdicts and all(v.passed for v in verdicts):
        verdicts[0] = _again(candidate, cases[0], verdicts[0])
    verdict = combine(name, kernel, tuple(verdicts))
    if not verdict.passed:
        return verdict
    finding = check_beside(*_together(verdicts), options.criteria)
    return verdict if finding is None else replace(verdict, stage=finding.stage, message=finding.message)


def blind_spots(case: Case) -> tuple[str, ...]:
    """Which wrong results would pass: all zeros, all the same, those of a launch before (the poison)."""
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


def _find(case: Case, runs: Sequence[Ran], flying: Sequence[Ran]) -> tuple[Finding | None, Expected | None]:
    """The first stage that does not pass, in the protocol's order, and the result in which it does not."""
    for run in (*runs, *flying):
        if run.faults:
            return Finding(stage="guard", message="; ".join(map(str, run.faults))), None
    patterns = (runs[0].arrangement.pattern, runs[1].arrangement.pattern)
    for e in case.expected:
        first, second = (e.read(_binding(case, run, e)) for run in runs)
        finding = (
            check_form(first, np.shape(e.values), storage_type(e.area.element))
            or check_written(first, second, patterns, _poisoned(case, e))
            or check_values(first, e.values, e.allowed, e.area.element, signs=case.copies)
            or check_values(second, e.values, e.allowed, e.area.element, signs=case.copies)
        )
        if finding is not None:
            return finding, e
    for e in case.expected if case.repeatable else ():
        first = e.read(_binding(case, runs[0], e))
        others = ((runs[1], "in other memory"), *((run, "with another grid in flight") for run in flying))
        for run, how in others:
            finding = check_repeated(first, e.read(_binding(case, run, e)), how)
            if finding is not None:
                return finding, e
    return None, None


def _binding(case: Case, run: Ran, expected: Expected) -> Bytes:
    return case.binding(run.contents, expected.area.binding)


def _poisoned(case: Case, expected: Expected) -> NDArray[np.bool_]:
    """Which of the elements hold poison before the launch."""
    marks = tuple(np.zeros(size, np.uint8) for size in case.sizes)
    for part in case.filled:
        marks[part.resource][part.start : part.stop] = 0xFF
    found = np.ascontiguousarray(expected.read(case.binding(marks, expected.area.binding))).reshape(-1)
    if not found.size:
        return np.zeros(0, bool)
    return np.asarray((found.view(np.uint8) == 0).reshape(found.size, -1).all(axis=1))


def _baseline(module: RawModule | None, case: Case, arrangement: Arrangement) -> tuple[Ran | None, tuple[str, ...]]:
    if module is None:
        return None, ()
    try:
        (run,) = run_case(module, case, arrangement)
    except DeviceError as error:
        return None, (f"IREE's own code fails: {_words(error)}",)
    finding = next(
        (
            f for e in case.expected
            if (f := check_values(e.read(_binding(case, run, e)), e.values, e.allowed, e.area.element)) is not None
        ),
        None,
    )  # fmt: skip
    if finding is None and not run.faults:
        return run, ()
    what = finding.message if finding is not None else str(run.faults[0])
    return run, (f"IREE's own code is wrong in case {case.label} [{case.inputs}]: {what}",)


def _with_errors(verdict: CaseVerdict, case: Case, run: Ran, theirs: Ran | None) -> CaseVerdict:
    def errors(ran: Ran) -> Errors:
        return pool([
            measure(e.read(_binding(case, ran, e)), e.values, e.allowed, e.area.element) for e in case.expected
        ])  # fmt: skip

    worst = max(
        (float(excess(e.read(_binding(case, run, e)), e.values, e.allowed, e.area.element).max(initial=0.0))
         for e in case.expected),
        default=0.0,
    )  # fmt: skip
    return replace(
        verdict, worst=worst, errors=errors(run), picture=_picture(case, run, theirs),
        baseline=errors(theirs) if theirs is not None and not verdict.notes else None,
        judged=sum(int(np.count_nonzero(~np.isinf(e.allowed))) for e in case.expected),
    )  # fmt: skip


def _picture(case: Case, run: Ran, theirs: Ran | None) -> Picture | None:
    """Of the result with the largest error."""

    def share(e: Expected) -> NDArray[np.float64]:
        found, golden = e.read(_binding(case, run, e)), np.asarray(e.values)
        flat = excess(found, golden, e.allowed, e.area.element)
        finite = [np.isfinite(np.asarray(x).reshape(-1).astype(np.float64)) for x in (found, golden)]
        return np.where(finite[0] != finite[1], np.inf, flat).reshape(golden.shape)

    def counted(e: Expected, ran: Ran) -> Histogram:
        return histogram(e.read(_binding(case, ran, e)), e.values, e.area.element)

    shares = [(e, share(e)) for e in case.expected]
    if not shares:
        return None
    worst, cells = max(shares, key=lambda pair: float(pair[1].max(initial=0.0)))
    area = worst.area
    return Picture(
        case=f"{case.label} [{case.inputs}]", result=f"binding {area.binding}, {area.element}",
        candidate=counted(worst, run), baseline=counted(worst, theirs) if theirs is not None else None,
        map=error_map(cells) if worst.coordinates is None else None,
    )  # fmt: skip


def _words(error: DeviceError) -> str:
    """What failed, and the first line of the runtime's own words."""
    details = error.details.strip().partition("\n")[0]
    return f"{error.what}: {details}" if details else error.what


def _together(verdicts: Sequence[CaseVerdict]) -> tuple[Errors, Errors]:
    """Errors of all cases that have a baseline to be compared with."""
    both = [(v.errors, v.baseline) for v in verdicts if v.baseline is not None]
    return pool([c for c, _ in both]), pool([b for _, b in both])


def _again(candidate: RawModule, case: Case, verdict: CaseVerdict) -> CaseVerdict:
    """The first case after all others: what it gives must not depend on what ran before."""
    arrangement = Arrangement(pattern=PATTERNS[1])
    try:
        (run,) = run_case(candidate, case, arrangement)
    except DeviceError as error:
        return replace(verdict, stage="launch", message=_words(error))
    for e in case.expected:
        found = e.read(_binding(case, run, e))
        finding = check_values(found, e.values, e.allowed, e.area.element, signs=case.copies)
        if finding is not None:
            place = _place(case, e, finding, run, None)
            message = f"after the other cases ran: {finding.message}"
            return replace(verdict, stage="repeat", message=message, place=place)
    return verdict


def _place(case: Case, expected: Expected | None, finding: Finding, run: Ran, theirs: Ran | None) -> Place | None:
    if expected is None or finding.first < 0:
        return None
    at = finding.first

    def element(values: NDArray[Any]) -> str:
        return str(np.asarray(values).reshape(-1)[at])

    area = expected.area
    shape = "x".join(map(str, (*area.shape, area.element)))
    return Place(
        operand=f"binding {area.binding} at byte {area.offset}: {shape}",
        coordinates=expected.position(at),
        candidate=element(expected.read(_binding(case, run, expected))),
        golden=element(expected.values),
        baseline="" if theirs is None else element(expected.read(_binding(case, theirs, expected))),
        allowed=float(np.asarray(expected.allowed).reshape(-1)[at]),
    )
