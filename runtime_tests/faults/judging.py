"""Three judges of one module: the protocol, and two comparisons as people make them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from substitute.device.raw import RawModule
from substitute.errors import DeviceError
from substitute.validate.elements import is_float
from substitute.validate.judge import judge_dispatch
from substitute.validate.launch import Arrangement, run_case

from .group import Prepared

TOLERANCES = {"f32": (1.3e-6, 1e-5), "f16": (1e-3, 1e-5), "bf16": (1.6e-2, 1e-5), "f64": (1e-7, 1e-7)}
"""Relative and absolute, by element type, as frameworks' test helpers have them; integers have to be equal."""
LOOSE = 1e-2
LIMIT_S = 90.0
"""After which a kernel counts as one that hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What each judge says: empty where it lets a module pass, else why not."""

    ours: str = ""
    loose: str = ""
    """`allclose(rtol=1e-2, atol=1e-2)` on five normal draws at one shape."""
    typed: str = ""
    """The same draws with tolerances by type, against the golden in float64."""


def judge(prepared: Prepared, module: bytes) -> Judged:
    """All three, in a child process; one that dies or hangs is found by all of them."""
    died = _in_child(lambda: _judge_typical(prepared, module), "died")
    if isinstance(died, str):
        return Judged(ours=died, loose=died, typed=died)
    ours = _in_child(lambda: _judge_protocol(prepared, module), "died")
    return replace(died, ours=ours)


def _judge_protocol(prepared: Prepared, module: bytes) -> str:
    """The first finding of the protocol, dispatches of few elements first."""
    bundle = prepared.bundle
    subjects = sorted(bundle.subjects, key=lambda s: sum(sum(c.sizes) for c in s.cases))
    try:
        baseline = RawModule(bundle.baseline, device=bundle.device) if bundle.baseline is not None else None
        candidate = RawModule(module, device=bundle.device)
    except DeviceError as error:
        return f"load: {error}".partition("\n")[0]
    for subject in subjects:
        verdict = judge_dispatch(
            candidate, subject.cases, name=subject.name, kernel=subject.kernel,
            baseline=baseline if subject.cases[0].entry in bundle.beside else None,
        )  # fmt: skip
        if not verdict.passed:
            first = verdict.failures[0] if verdict.failures else None
            if first is None:
                return f"{verdict.stage}: {verdict.message}"
            return f"{first.stage}: {first.message} ({first.label} [{first.inputs}])"
    return ""


def _judge_typical(prepared: Prepared, module: bytes) -> Judged:
    loose = typed = ""
    try:
        candidate = RawModule(module, device=prepared.bundle.device)
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


def _in_child(work: Callable[[], Any], died: str) -> Any:
    """`work()` in a fork of this process, in which neither the compiler nor the runtime is loaded."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def run() -> None:
        import os
        import sys

        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the simulated device speaks of every finding
        try:
            send.send(work())
        except BaseException as error:
            send.send(f"launch: {type(error).__name__}: {error}")
        send.close()
        sys.stdout.flush()
        os._exit(0)

    child = context.Process(target=run)
    child.start()
    send.close()
    try:
        if not receive.poll(LIMIT_S):
            return f"launch: it had not ended after {LIMIT_S:g} s"
        return receive.recv()
    except EOFError:
        child.join()
        return f"launch: the process {died} ({child.exitcode})"
    finally:
        child.kill()
        child.join()
