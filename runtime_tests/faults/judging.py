"""Three judges of one module: the protocol, and two comparisons as people make them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime_tests.faults.group import Prepared
from substitute.device.raw import Grid, RawModule
from substitute.errors import DeviceError
from substitute.validate.elements import is_float
from substitute.validate.judge import judge_dispatch
from substitute.validate.launch import Arrangement, run_case

TOLERANCES = {"f32": (1.3e-6, 1e-5), "f16": (1e-3, 1e-5), "bf16": (1.6e-2, 1e-5), "f64": (1e-7, 1e-7)}
"""Relative and absolute, by element type, as frameworks' test helpers have them; integers have to be equal."""
LOOSE = 1e-2
LIMIT_S = 60.0
"""After which a launch counts as one that hangs."""
Tell = Callable[["Judged | None"], None]
"""Takes what is known so far, or None: it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Finding of each judge: empty if it accepts a module, else the reason."""

    ours: str = ""
    loose: str = ""
    """`allclose(rtol=1e-2, atol=1e-2)` on five normal draws at one shape."""
    typed: str = ""
    """The same draws with tolerances by type, against the golden in float64."""


def judge(prepared: Prepared, module: bytes) -> Judged:
    """Run all three judges in a child process; a crash or a hang counts as a finding of all that had not finished."""

    def work(tell: Tell) -> None:
        try:
            candidate = _Audible(module, device=prepared.bundle.device, tell=tell)
        except DeviceError as error:
            return tell(_all(f"load: {error.what}"))
        typical = _judge_typical(prepared, candidate)
        tell(typical)
        tell(replace(typical, ours=_judge_protocol(prepared, candidate)))

    return in_child(work)


class _Audible(RawModule):
    """A module that reports every launch that ended."""

    def __init__(self, module: bytes, *, device: str, tell: Tell) -> None:
        super().__init__(module, device=device)
        self._tell = tell

    def launch(self, entry: str, *grids: Grid) -> list[tuple[NDArray[np.uint8], ...]]:
        found = super().launch(entry, *grids)
        self._tell(None)
        return found


def _all(why: str) -> Judged:
    return Judged(ours=why, loose=why, typed=why)


def _judge_protocol(prepared: Prepared, candidate: RawModule) -> str:
    """The first finding of the protocol, dispatches of few elements first."""
    bundle = prepared.bundle
    subjects = sorted(bundle.subjects, key=lambda s: sum(sum(c.sizes) for c in s.cases))
    try:
        baseline = RawModule(bundle.baseline, device=bundle.device) if bundle.baseline is not None else None
    except DeviceError as error:
        return f"load: {error}".partition("\n")[0]
    for subject in subjects:
        verdict = judge_dispatch(
            candidate,
            subject.cases,
            name=subject.name,
            kernel=subject.kernel,
            baseline=baseline if subject.cases[0].entry in bundle.beside else None,
        )
        if not verdict.passed:
            first = verdict.failures[0] if verdict.failures else None
            if first is None:
                return f"{verdict.stage}: {verdict.message}"
            return f"{first.stage}: {first.message} ({first.label} [{first.inputs}])"
    return ""


def _judge_typical(prepared: Prepared, candidate: RawModule) -> Judged:
    loose = typed = ""
    try:
        for case in (c for s in prepared.typical for c in s.cases):
            (run,) = run_case(candidate, case, Arrangement(pattern=0))
            for e in case.expected:
                found = e.read(case.binding(run.contents, e.area.binding))
                element = e.area.element
                loose = loose or _close(found, e.values, element, (LOOSE, LOOSE))
                typed = typed or _close(found, e.values, element, TOLERANCES.get(element, (0.0, 0.0)))
    except DeviceError as error:
        loose = typed = f"launch: {error.what}"
    return Judged(loose=loose, typed=typed)


def _close(found: NDArray[Any], golden: NDArray[Any], element: str, tolerance: tuple[float, float]) -> str:
    a, b = found.astype(np.float64), np.asarray(golden).astype(np.float64)
    if not is_float(element):  # IREE's integers have no sign: the same bits are equal
        b = np.asarray(golden).astype(found.dtype).astype(np.float64)
    relative, absolute = tolerance
    return "" if np.allclose(a, b, rtol=relative, atol=absolute, equal_nan=True) else "not close"


def in_child(work: Callable[[Tell], None], *, limit_s: float = LIMIT_S) -> Judged:
    """Return the last message of `work`, in a fork of this process, which has loaded neither compiler nor runtime."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def run() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the simulated device prints every finding
        try:
            work(send.send)
            send.send("done")
        except Exception as error:  # a fault of the judge must not pass for a fault that was found
            send.send(error)
        os._exit(0)

    child = context.Process(target=run)
    child.start()
    send.close()
    told: Judged | None = None
    try:
        while True:
            if not receive.poll(limit_s):
                return _ended(told, f"launch: it had not ended after {limit_s:g} s")
            message = receive.recv()
            if isinstance(message, Exception):
                raise message
            if message == "done":
                assert told is not None
                return told
            told = message or told
    except EOFError:
        child.join()
        return _ended(told, f"launch: the process died ({child.exitcode})")
    finally:
        child.kill()
        child.join()


def _ended(told: Judged | None, why: str) -> Judged:
    return _all(why) if told is None else replace(told, ours=why)
