"""IREE's own code for the same cases: run after every candidate, and set beside what they gave.

On CUDA a launch that faults takes the device with it, and IREE's own code does fault. So nothing of it runs before the
candidates have, and what becomes of it never fails one: only that it keeps subnormal numbers, where one does not, does.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device.cuda_sim.driver import SETTINGS, is_simulated
from ..device.drivers import reason_of
from ..device.raw import RawModule
from ..errors import CompilerCrash, DeviceError
from ..isolate import Call, Progress, isolated
from .case import Case
from .criteria import check_kept, check_values
from .launch import PATTERNS, Arrangement, run_case
from .picture import histogram
from .statistics import Errors, measure, pool
from .verdict import CaseVerdict

RUN = "beside "
"""What the progress says before the number of a case."""
SIMULATED = {"findings": "report", "steps": "60000"}
"""How the simulated device runs IREE's own code: what a real device would not notice does not stop it (IREE's masked
loads leave registers unwritten, and choose other values for them later), and what takes minutes is given up."""

TOO_LONG = "step-limit"
"""What the simulated device says of a launch that it gave up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What IREE's own code gave for a case."""

    values: tuple[NDArray[Any], ...] = ()
    """One array for each result; none if it failed."""
    faults: tuple[str, ...] = ()
    """Bytes that it changed and should not have."""
    error: str = ""
    """Why there are no values."""


def run_baseline(module: RawModule, case: Case) -> Theirs:
    """One launch."""
    try:
        (run,) = run_case(module, case, Arrangement(pattern=PATTERNS[0]))
    except DeviceError as error:
        return Theirs(error=f"IREE's own code fails: {words(error)}")
    values = tuple(e.read(case.binding(run.contents, e.area.binding)) for e in case.expected)
    return Theirs(values=values, faults=tuple(map(str, run.faults)))


def run_baselines(
    *, module: bytes, device: str, cases: Sequence[Case], first: int = 0, patience_s: float = math.inf,
    progress: Progress,
) -> tuple[Theirs, ...]:  # fmt: skip
    """What IREE's own code gives for cases, until one of them takes the device with it: at least one.

    A dispatch that took too long once is not launched again, and after `patience_s` none is. `first` is the number of
    the first case, for the progress.
    Raises `DeviceError` if the module cannot be loaded.
    """
    if is_simulated(device):
        for setting, value in SIMULATED.items():
            os.environ.setdefault(SETTINGS[setting], value)
    found: list[Theirs] = []
    slow: dict[str, str] = {}
    start = time.perf_counter()
    with RawModule(module, device=device) as raw:
        for number, case in enumerate(cases):
            progress(f"{RUN}{first + number}", None)
            if time.perf_counter() - start > patience_s:
                theirs = Theirs(error="IREE's own code has had its time")
            elif case.entry in slow:
                theirs = Theirs(error=slow[case.entry])
            else:
                theirs = run_baseline(raw, case)
            found.append(theirs)
            if TOO_LONG in theirs.error:
                slow[case.entry] = f"not launched, since in a case before {theirs.error}"
            if theirs.error and not raw.recover():
                break
    return tuple(found)


def run_baselines_apart(
    *, module: bytes, device: str, cases: Sequence[Case], patience_s: float, progress: Progress
) -> tuple[tuple[Theirs, ...], str]:
    """The same in child processes, another one whenever a case took the device, or the process, with it.

    Second: why there is none for the last of the cases; empty if there is one for all.
    """
    found: list[Theirs] = []
    while len(found) < len(cases):
        first = len(found)
        arguments = {
            "module": module, "device": device, "cases": cases[first:], "first": first, "patience_s": patience_s,
        }  # fmt: skip
        try:
            found += isolated(Call(run_baselines, arguments), progress)
        except CompilerCrash as crash:
            if not crash.where.startswith(RUN):
                return tuple(found), crash.found
            at = int(crash.where.removeprefix(RUN))
            lost = Theirs(error="what IREE's own code gave was lost when a later case ended its process")
            died = Theirs(error=f"IREE's own code fails: the process that ran it died: {crash.found}")
            found += [*[lost] * (at - first), died]
        except DeviceError as error:
            return tuple(found), words(error)
    return tuple(found), ""


def set_beside(
    verdict: CaseVerdict,
    case: Case,
    theirs: Theirs,
    *,
    at: tuple[int, int] | None,
    zeros: Sequence[NDArray[np.int64]] = (),
) -> CaseVerdict:
    """A verdict on a candidate with what IREE's own code gave.

    `at`: the result and the element in it that the verdict's place shows. It passes or fails as before, but that
    `zeros`, for each result the positions that a candidate flushed to zero, are wrong where IREE's own code did not.
    """
    if theirs.error:
        return replace(verdict, notes=(*verdict.notes, f"judged by the golden alone: {theirs.error}"))
    wrong = _fault(case, theirs)
    if wrong:
        where = f"{case.label} [{case.inputs}]"
        verdict = replace(verdict, notes=(*verdict.notes, f"IREE's own code is wrong in case {where}: {wrong}"))
    elif verdict.passed:
        verdict = _kept(verdict, zeros, theirs)
    if verdict.place is not None and at is not None:
        number, element = at
        shown = str(theirs.values[number].reshape(-1)[element])
        verdict = replace(verdict, place=replace(verdict.place, baseline=shown))
    picture = verdict.picture
    if picture is not None:
        e = case.expected[picture.number]
        drawn = histogram(theirs.values[picture.number], e.values, e.area.element)
        picture = replace(picture, baseline=drawn)
    return replace(verdict, picture=picture, baseline=None if wrong else errors_of(case, theirs.values))


def _kept(verdict: CaseVerdict, zeros: Sequence[NDArray[np.int64]], theirs: Theirs) -> CaseVerdict:
    for positions, values in zip(zeros, theirs.values, strict=False):
        finding = check_kept(positions, values)
        if finding is not None:
            return replace(verdict, stage=finding.stage, message=finding.message)
    return verdict


def errors_of(case: Case, values: Sequence[NDArray[Any]]) -> Errors:
    """Of all results together."""
    return pool([
        measure(found, e.values, e.allowed, e.area.element) for found, e in zip(values, case.expected, strict=True)
    ])  # fmt: skip


def _fault(case: Case, theirs: Theirs) -> str:
    """What the golden has against it; empty if nothing."""
    for found, e in zip(theirs.values, case.expected, strict=True):
        finding = check_values(found, e.values, e.allowed, e.area.element)
        if finding is not None:
            return finding.message
    return theirs.faults[0] if theirs.faults else ""


def words(error: DeviceError) -> str:
    """What failed, and what the device said of it, or else the first line of the runtime's own words."""
    if error.found:
        return f"{error.what}: {error.found}"
    details = error.details.strip().partition("\n")[0]
    return f"{error.what}: {reason_of(RuntimeError(details))}" if details else error.what
