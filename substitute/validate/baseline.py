"""IREE's own code for the same cases: run after every candidate, and compared with its results.

On CUDA a launch that faults breaks the device, and IREE's own code does fault. So it only runs after all candidates,
and its failures never fail one. The exception is a number that it keeps and the candidate flushes as subnormal.
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
from ..device.drivers import extract_reason
from ..device.raw import RawModule
from ..errors import DeviceError
from .case import Case
from .criteria import check_kept, check_signs, check_values
from .elements import quiet
from .launch import PATTERNS, Arrangement, run_case
from .picture import histogram
from .statistics import Errors, measure, pool
from .verdict import CaseVerdict

SIMULATED = {"findings": "report", "steps": "60000", "approximations": "nearest"}
"""Settings of the simulated device for IREE's own code: findings that a real device would not notice do not stop it
(IREE's masked loads leave registers unwritten, and select other values later), and long launches are given up."""

SLOW_S = 1.0
"""Processor time of a case after which the dispatch is not launched again: some code that IREE generates takes a time
that grows with the square of a row's length."""
TOO_LONG = "step-limit"
"""Kind of finding of a launch that the simulated device gave up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """Results of IREE's own code for a case."""

    values: tuple[NDArray[Any], ...] = ()
    """One array for each result; none if it failed."""
    faults: tuple[str, ...] = ()
    """Bytes that it changed although they are not results."""
    error: str = ""
    """Reason why there are no values."""


@quiet
def run_baseline(module: RawModule, case: Case) -> BaselineRun:
    """Launch a case once."""
    try:
        (run,) = run_case(module, case, Arrangement(pattern=PATTERNS[0]))
    except DeviceError as error:
        return BaselineRun(error=f"IREE's own code fails: {describe_failure(error)}")
    values = tuple(e.read(case.binding(run.contents, e.area.binding)) for e in case.expected)
    return BaselineRun(values=values, faults=tuple(map(str, run.faults)))


class Baselines:
    """IREE's own code on a device. A dispatch that exceeded its time is not launched again, and none after `until`.

    `until` is on the clock of `time.monotonic`. Raises `DeviceError` if the module cannot be loaded.
    """

    def __init__(self, module: bytes, device: str, until: float = math.inf) -> None:
        if is_simulated(device):
            for setting, value in SIMULATED.items():
                os.environ.setdefault(SETTINGS[setting], value)
        self._raw = RawModule(module, device=device)
        self._until = until
        self._slow: dict[str, str] = {}

    def close(self) -> None:
        """Release the module."""
        self._raw.close()

    def run(self, case: Case) -> BaselineRun:
        """Run a case. Raises `DeviceError` if an earlier case broke the device for good."""
        if time.monotonic() > self._until:
            return BaselineRun(error="IREE's own code has had its time")
        if case.entry in self._slow:
            return BaselineRun(error=self._slow[case.entry])
        if not self._raw.recover():
            raise DeviceError(f"it took {self._raw.device} with it")
        start = time.process_time()
        theirs = run_baseline(self._raw, case)
        if TOO_LONG in theirs.error:
            self._slow[case.entry] = f"not launched, since in a case before {theirs.error}"
        elif (took := time.process_time() - start) > SLOW_S:
            self._slow[case.entry] = f"not launched, since in a case before IREE's own code took {took:.0f} s"
        return theirs


@quiet
def add_baseline(
    verdict: CaseVerdict,
    case: Case,
    theirs: BaselineRun,
    *,
    at: tuple[int, int] | None,
    zeros: Sequence[NDArray[np.int64]] = (),
    signs: Sequence[NDArray[np.int64]] = (),
) -> CaseVerdict:
    """Return a verdict on a candidate, completed by the results of IREE's own code.

    `at`: the result and the element in it that the verdict's place shows. It passes or fails as before, except that
    `zeros`, for each result the positions that a candidate flushed to zero, are wrong where IREE's own code did not,
    and `signs`, those of zeros with the wrong sign, where its signs are right.
    """
    if not verdict.entered:
        return verdict
    if theirs.error:
        return replace(verdict, notes=(*verdict.notes, f"judged by the golden alone: {theirs.error}"))
    wrong = _fault(case, theirs)
    if wrong:
        where = f"{case.label} [{case.inputs}]"
        verdict = replace(verdict, notes=(*verdict.notes, f"IREE's own code is wrong in case {where}: {wrong}"))
    elif verdict.passed:
        verdict = _kept(verdict, zeros, theirs)
        if verdict.passed:
            verdict = _signed(verdict, case, signs, theirs)
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


def _kept(verdict: CaseVerdict, zeros: Sequence[NDArray[np.int64]], theirs: BaselineRun) -> CaseVerdict:
    for positions, values in zip(zeros, theirs.values, strict=False):
        finding = check_kept(positions, values)
        if finding is not None:
            return replace(verdict, stage=finding.stage, message=finding.message)
    return verdict


def _signed(verdict: CaseVerdict, case: Case, signs: Sequence[NDArray[np.int64]], theirs: BaselineRun) -> CaseVerdict:
    for positions, values, expected in zip(signs, theirs.values, case.expected, strict=False):
        finding = check_signs(positions, values, expected.values)
        if finding is not None:
            return replace(verdict, stage=finding.stage, message=finding.message)
    return verdict


def errors_of(case: Case, values: Sequence[NDArray[Any]]) -> Errors:
    """Return the errors of all results together."""
    return pool(
        [measure(found, e.values, e.allowed, e.area.element) for found, e in zip(values, case.expected, strict=True)]
    )


def _fault(case: Case, theirs: BaselineRun) -> str:
    """Return the first error of IREE's own code; empty if it agrees with the golden."""
    for found, e in zip(theirs.values, case.expected, strict=True):
        finding = check_values(found, e.values, e.allowed, e.area.element)
        if finding is not None:
            return finding.message
    return theirs.faults[0] if theirs.faults else ""


def describe_failure(error: DeviceError) -> str:
    """Return the failure and the device's message, or else the first line of the runtime's message."""
    if error.found:
        return f"{error.what}: {error.found}"
    details = error.details.strip().partition("\n")[0]
    return f"{error.what}: {extract_reason(RuntimeError(details))}" if details else error.what
