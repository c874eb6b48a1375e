"""Runs the tasks of a bundle, one after the other, in this process or in a child that sends each value at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from ..device.counted import counted_memory
from ..device.cuda_sim.driver import SETTINGS, is_simulated
from ..device.guarded import guarded_memory
from ..device.raw import RawModule, guards_memory
from ..isolate import send_part
from ..progress import Progress
from .baseline import Baselines
from .bundle import Bundle
from .case import Case
from .judge import LOCAL_SHIFT, Judged, Options, judge_again, judge_alone
from .launch import granule
from .tasks import Task, Turned, Value
from .verdict import CaseVerdict

RUN = "run "
"""The progress's text before the name of a dispatch."""
BESIDE = "beside "
PATIENCE_S = 3.0
PATIENCE_SHARE = 0.5
"""Limit of the time of IREE's own code: the seconds in any case, else this share of the kernels' time, which are
launched more often. Simulated and software devices are slow, and its part of a verdict is the smaller one."""
ONE_THREAD = "local-sync"
"""The device of this machine's CPU that runs one workgroup after the other."""
PAUSES = 24
"""Pauses of about half a millisecond in a launch of code that changes static variables."""


@contextmanager
def simulating(device: str, coverage: str = "") -> Iterator[None]:
    """Let a simulated device that is opened here give approximate instructions the largest error they may have.

    `coverage`: the file in which it writes down the ways of branches. What the environment says already counts.
    """
    wanted = {"approximations": "worst", "coverage": coverage} if is_simulated(device) else {}
    chosen = {SETTINGS[name]: value for name, value in wanted.items() if value and SETTINGS[name] not in os.environ}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            del os.environ[name]


class Runner:
    """Runs tasks in this process, one after the other."""

    def __init__(
        self, bundle: Bundle, device: str, options: Options, *, began: float, beside_began: float, coverage: str = ""
    ) -> None:
        self.bundle, self.device, self.options = bundle, device, options
        self._coverage = coverage
        self._began, self._beside_began = began, beside_began
        self._candidate: RawModule | None = None
        self._single: RawModule | None = None
        self._baselines: Baselines | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module in (self._candidate, self._single):
            if module is not None:
                module.close()
        if self._baselines is not None:
            self._baselines.close()

    def run(self, task: Task) -> Value:
        """Raises `DeviceError` if the module cannot be loaded."""
        case = self.bundle.subjects[task.subject].cases[task.case]
        if task.kind == "beside":
            if self._baselines is None:
                assert self.bundle.baseline is not None
                now = time.monotonic()
                patience_s = max(PATIENCE_S, PATIENCE_SHARE * ((self._beside_began or now) - self._began))
                self._baselines = Baselines(self.bundle.baseline, self.device, (self._beside_began or now) + patience_s)
            return self._baselines.run(case)
        if task.kind == "turn":
            return self._turn(case, self.bundle.subjects[task.subject].code)
        if self._candidate is None:
            with simulating(self.device, self._coverage):
                self._candidate = RawModule(self.bundle.candidate, device=self.device)
            if self._candidate.guards:
                self._single = RawModule(self.bundle.candidate, device=ONE_THREAD)
        if task.kind == "again":
            return judge_again(self._candidate, case)
        return judge_alone(self._candidate, case, options=self.options, single=self._single)

    def _turn(self, case: Case, code: str) -> Turned:
        """Launch a case with counters and its workgroups in reverse order, in code that has never run before.

        One thread runs them; where they change static variables, several do as well, and are held up there.
        """
        counters = counted_memory() if code else None
        if counters is not None and counters.reason:
            return Turned()
        state = self.bundle.codes[code].state if code in self.bundle.codes else ()
        hits: frozenset[int] = frozenset()
        for device in (ONE_THREAD, *([self.device] if state and self.device != ONE_THREAD else [])):
            with RawModule(self.bundle.turned, device=device) as module:
                if counters is not None:
                    counters.clear(pauses=PAUSES if device != ONE_THREAD else 0)
                how = "with its workgroups in reverse order, the last one first"
                if device != ONE_THREAD:
                    how = f"by several threads at once, when it runs for the first time and changes {', '.join(state)}"
                judged = judge_again(module, case, how=how, shift=LOCAL_SHIFT + granule(case))
            if not judged.verdict.entered:
                return Turned()
            hits |= frozenset() if counters is None else counters.read()
            if not judged.verdict.passed:
                return Turned(hits=hits, verdict=judged.verdict)
        aligned = self.bundle.codes[code].aligned if code in self.bundle.codes else ()
        wrong = next((way for way in aligned if way.at in hits), None)
        if wrong is not None:
            message = (
                f"{wrong}: it takes an address for a multiple of more bytes than it is: operands lie at multiples of "
                f"{granule(case)} bytes here; a kernel that needs more says `alignment = 16` (or 32, 64) in kernel.toml"
            )
            verdict = CaseVerdict(label=case.label, inputs=case.inputs, seed=case.seed, stage="launch", message=message)
            return Turned(hits=hits, verdict=verdict)
        return Turned(hits=hits, ran=counters is not None)


def serve(
    *,
    bundle: Bundle,
    device: str,
    options: Options,
    tasks: Sequence[Task],
    began: float,
    beside_began: float,
    coverage: str,
    progress: Progress,
) -> None:
    """Runs tasks in a child process; each value is sent as soon as it is known."""
    if guards_memory(device):
        send_part(("record", guarded_memory().record))
    failed: set[int] = set()
    with Runner(bundle, device, options, began=began, beside_began=beside_began, coverage=coverage) as runner:
        for number, task in enumerate(tasks):
            if task.kind in ("again", "turn") and task.subject in failed:
                continue
            name = BESIDE if task.kind == "beside" else RUN
            progress(name + bundle.subjects[task.subject].name, number / len(tasks))
            send_part(("begin", task))
            value = runner.run(task)
            if isinstance(value, Judged | Turned) and value.verdict is not None and not value.verdict.passed:
                failed.add(task.subject)
            send_part(("end", value))
