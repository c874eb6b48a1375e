"""Judges a bundle on a device, case by case, in a child process that a kernel may end without ending anything else."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from ..device.counted import counted_memory
from ..device.cuda_sim.driver import SETTINGS, is_simulated
from ..device.guarded import Crash, guarded_memory, read_crash
from ..device.raw import RawModule, guards_memory
from ..errors import DeviceError
from ..isolate import Call, Child, Death, isolated, send_part, threads_are_loaded
from ..model.coverage import Code, Coverage, measure
from ..progress import Progress
from .baseline import BaselineRun, Baselines, add_baseline, describe_failure
from .bundle import Bundle, Subject
from .case import Case
from .judge import LOCAL_SHIFT, STANDARD, Judged, Options, conclude, judge_again, judge_alone
from .launch import granule
from .verdict import CaseVerdict, DispatchVerdict

RUN = "run "
"""The progress's text before the name of a dispatch."""
BESIDE = "beside "
APART = frozenset({"cuda", "cuda-sim"})
"""Drivers on which IREE's own code runs in a separate process: a fault there can only be cleared by ending it."""
PATIENCE_S = 3.0
PATIENCE_SHARE = 0.5
"""Limit of the time of IREE's own code: the seconds in any case, else this share of the kernels' time, which are
launched more often. Simulated and software devices are slow, and its part of a verdict is the smaller one."""
START_S = 120.0
"""The processor time in which a process has to begin its first case, or its next."""
FLOOR_S, ELSEWHERE_S = 5.0, 20.0
"""The processor time that every case may take, on this machine's CPU and on other devices."""
OPERATION_S, OPERATION_ELSEWHERE_S = 1e-7, 1e-5
"""Additional time for each multiplication of the golden, far more than a naive kernel needs."""
BYTE_S = 1e-6
"""Additional time for each byte of a case's buffers, which are filled, compared with their guards, and judged in eight
launches: a large case is not endless because memory is slow."""
MOST_ALIGNMENT = 64
"""In bytes: what IREE promises of a binding on the CPU."""
ONE_THREAD = "local-sync"
"""The device of this machine's CPU that runs one workgroup after the other."""
PAUSES = 24
"""Pauses of about half a millisecond in a launch of code that changes static variables."""
DIED, STOPPED = 1, 2
"""Weights of a case that ended its process, and of one that had to be stopped, which took longer."""
MOST_OF_A_DISPATCH, MOST_OF_ALL = 3, 16
"""With such a weight of lost cases the rest of a dispatch, or of the bundle, is not run."""


def case_limit_s(case: Case, *, local: bool) -> float:
    """Return the processor time that a case may take; `local`: on this machine's CPU."""
    operations = sum(math.prod(e.sizes) * max(e.depth, 1) for e in case.expected)
    floor, operation_s = (FLOOR_S, OPERATION_S) if local else (ELSEWHERE_S, OPERATION_ELSEWHERE_S)
    return floor + operations * operation_s + sum(case.sizes) * BYTE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A case to be run."""

    kind: str
    """`judge`: as a candidate; `again`: once more after all others; `turn`: with counters, in another order;
    `beside`: as IREE does."""
    subject: int
    case: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A case of which the workgroups ran in another order, with counters."""

    hits: frozenset[int] = frozenset()
    """The counters that it set."""
    verdict: CaseVerdict | None = None
    """None where it passed."""
    ran: bool = False
    """False where nothing was launched, or nothing could be counted."""


Value = Judged | BaselineRun | Turned


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


class Judgement:
    """The values of a bundle's tasks, and the cases that were lost."""

    def __init__(self, bundle: Bundle, device: str, options: Options, progress: Progress) -> None:
        self.bundle, self.device, self.options, self.progress = bundle, device, options, progress
        self.values: dict[Task, Value] = {}
        self.missing = ""
        """Reason why IREE's own code was not run."""
        self._weights: dict[int, int] = {}
        self._began = time.monotonic()
        self._beside_began = 0.0
        self._record = ""
        self._current: Task | None = None
        # a simulated device writes down the ways of branches there
        self._coverage = tempfile.NamedTemporaryFile(prefix="coverage-") if bundle.traced else None  # noqa: SIM115

    # --- in this process

    def run_here(self, tasks: Sequence[Task]) -> None:
        """Raises `DeviceError` if the candidates cannot be loaded."""
        coverage = self._coverage.name if self._coverage is not None else ""
        with Runner(
            self.bundle, self.device, self.options, began=self._began, beside_began=0.0, coverage=coverage
        ) as runner:
            for number, task in enumerate(self._left(tasks)):
                name = BESIDE if task.kind == "beside" else RUN
                self.progress(name + self.bundle.subjects[task.subject].name, number / len(tasks))
                try:
                    self.values[task] = runner.run(task)
                except DeviceError as error:
                    if task.kind != "beside":
                        raise
                    self.missing = describe_failure(error)
                    return

    # --- in child processes

    def run_apart(self, tasks: Sequence[Task]) -> None:
        """Runs tasks in a child, and in another one whenever a task ends it. Raises `DeviceError` as above."""
        while left := list(self._left(tasks)):
            self._current = None
            arguments = {
                "bundle": self.bundle,
                "device": self.device,
                "options": self.options,
                "tasks": left,
                "began": self._began,
                "beside_began": self._beside_began,
                "coverage": self._coverage.name if self._coverage is not None else "",
            }
            try:
                with Child(Call(serve, arguments)) as child:
                    outcome = child.outcome(self.progress, take=self._take, limit_s=self._limit_s)
                    crash = read_crash(self._record) if self._record and isinstance(outcome, Death) else None
            except DeviceError as error:
                if not self._is_beside():
                    raise
                self.missing = describe_failure(error)
                return
            if not isinstance(outcome, Death):
                return
            self._lose(outcome, crash)

    def _is_beside(self) -> bool:
        return self._current is not None and self._current.kind == "beside"

    def _take(self, part: Any) -> None:
        kind, value = part
        if kind == "record":
            self._record = value
        elif kind == "begin":
            self._current = value
            if value.kind == "beside" and not self._beside_began:
                self._beside_began = time.monotonic()
        else:
            assert self._current is not None
            self.values[self._current] = value
            self._current = None

    def _limit_s(self) -> float:
        if self._current is None:
            return START_S
        return self.options.limit_s or case_limit_s(self._case(self._current), local=self.device.startswith("local"))

    def _lose(self, death: Death, crash: Crash | None) -> None:
        task = self._current
        if task is None:
            raise DeviceError(
                f"the process that runs the kernels died before the first of them ran on {self.device}",
                found=death.found,
                details=death.stderr,
            )
        case = self._case(task)
        if task.kind == "beside":
            self.values[task] = BaselineRun(error=f"IREE's own code fails: {death.found}")
            return
        message = _cause(case, death, crash)
        if task.kind == "turn":
            message = f"with its workgroups in another order: {message}"
        verdict = CaseVerdict(label=case.label, inputs=case.inputs, seed=case.seed, stage="launch", message=message)
        self.values[task] = Turned(verdict=verdict) if task.kind == "turn" else Judged(verdict=verdict)
        self._weights[task.subject] = self._weights.get(task.subject, 0) + (STOPPED if death.stopped else DIED)

    # --- both

    def _left(self, tasks: Sequence[Task]) -> Iterator[Task]:
        for task in tasks:
            if task in self.values or self.given_up(task.subject):
                continue
            if task.kind in ("again", "turn") and not self._may_pass(task.subject):
                continue
            yield task

    def given_up(self, subject: int) -> bool:
        """True for a dispatch whose further cases are not run, because too many were lost."""
        return self._weights.get(subject, 0) >= MOST_OF_A_DISPATCH or sum(self._weights.values()) >= MOST_OF_ALL

    def _case(self, task: Task) -> Case:
        return self.bundle.subjects[task.subject].cases[task.case]

    def _may_pass(self, subject: int) -> bool:
        found = [self.values.get(task) for task in _candidates(self.bundle, subject, again=True)]
        return all(
            value.verdict is None or value.verdict.passed for value in found if isinstance(value, Judged | Turned)
        )

    def coverage(self) -> list[Coverage | None]:
        """Return the share of each dispatch's code that ran, in the cases of all dispatches that share it."""
        hits: dict[str, set[int]] = {}
        codes = dict(self.bundle.codes)
        for entry, (code, seen) in self._traced().items():
            key = self.bundle.traced.get(entry)
            if key is not None:
                codes[key] = code
                hits.setdefault(key, set()).update(seen)
        for task, value in self.values.items():
            if isinstance(value, Turned) and self.bundle.subjects[task.subject].code:
                hits.setdefault(self.bundle.subjects[task.subject].code, set()).update(value.hits)
        return [
            measure(subject.code, codes[subject.code], hits[subject.code])
            if subject.code in hits
            else Coverage(code=subject.uncounted, unknown=subject.uncounted)
            if subject.uncounted
            else None
            for subject in self.bundle.subjects
        ]

    def _is_entered(self, number: int) -> bool:
        """Return False for a dispatch in whose cases no counter of a function of its kernel was set."""
        key = self.bundle.subjects[number].code
        turned = [v for t, v in self.values.items() if t.subject == number and isinstance(v, Turned)]
        entries = self.bundle.codes[key].entries if key in self.bundle.codes else frozenset()
        ran = [one for one in turned if one.ran]
        return not entries or not ran or any(one.hits & entries for one in ran)

    def _traced(self) -> Mapping[str, tuple[Code, frozenset[int]]]:
        if self._coverage is None:
            return {}
        from ..device.cuda_sim.coverage import read

        return read(Path(self._coverage.name).read_text(encoding="utf-8").splitlines())

    def verdict(self, number: int) -> DispatchVerdict:
        """The verdict on a dispatch."""
        subject = self.bundle.subjects[number]
        if not subject.cases:
            return _skipped(subject)
        cases = []
        for at, case in enumerate(subject.cases):
            judged = self.values.get(Task(kind="again", subject=number, case=at))
            if not isinstance(judged, Judged) or judged.verdict.passed:
                judged = self.values.get(Task(kind="judge", subject=number, case=at))
            if not isinstance(judged, Judged):
                continue
            theirs = self.values.get(Task(kind="beside", subject=number, case=at))
            verdict = judged.verdict
            turned = self.values.get(Task(kind="turn", subject=number, case=at))
            if verdict.passed and isinstance(turned, Turned) and turned.verdict is not None:
                verdict = replace(turned.verdict, blind=verdict.blind)
            if isinstance(theirs, BaselineRun):
                verdict = add_baseline(verdict, case, theirs, at=judged.at, zeros=judged.zeros, signs=judged.signs)
            cases.append(verdict)
        notes = list(subject.notes)
        lost = "too many cases before ended the process that ran them, or did not end"
        if not cases:
            return replace(_skipped(subject), skipped=f"not run, because {lost}")
        if len(cases) < len(subject.cases):
            notes.append(f"{len(subject.cases) - len(cases)} of {len(subject.cases)} cases were not run: {lost}")
        if not self._is_entered(number):
            return replace(_skipped(subject), skipped="its code was never entered in any of the cases")
        concluded = conclude(subject.name, subject.kernel, cases, options=self.options, declared=subject.declared)
        return replace(concluded, notes=(*concluded.notes, *notes), check=subject.check)


def judge_bundle(
    bundle: Bundle, *, device: str | None = None, options: Options = STANDARD, progress: Progress
) -> tuple[DispatchVerdict, ...]:
    """All dispatches of a bundle, in this process; IREE's own code only after every candidate.

    Raises `DeviceError` if the candidates cannot be loaded.
    """
    judgement = Judgement(bundle, device or bundle.device, options, progress)
    judgement.run_here(_candidate_tasks(bundle))
    beside = _beside_tasks(bundle)
    (judgement.run_apart if _needs_own_process(judgement.device) else judgement.run_here)(beside)
    return _conclude(judgement, beside)


def judge_isolated(
    bundle: Bundle, *, device: str | None = None, options: Options = STANDARD, progress: Progress
) -> tuple[DispatchVerdict, ...]:
    """The same in child processes: a case in which one ends, or does not end in time, has failed, and costs no other.

    A case in which IREE's own code ends one says nothing of the candidates.
    """
    judgement = Judgement(bundle, device or bundle.device, options, progress)
    if not threads_are_loaded():
        guards_memory(judgement.device)  # before the forks, which all have it then
    candidates, beside = _candidate_tasks(bundle), _beside_tasks(bundle)
    if _needs_own_process(judgement.device):
        judgement.run_apart(candidates)
        judgement.run_apart(beside)
    else:
        judgement.run_apart([*candidates, *beside])
    return _conclude(judgement, beside)


def build_and_judge(
    build: Call, *, isolate: bool, options: Options = STANDARD, progress: Progress
) -> tuple[Mapping[str, float], tuple[DispatchVerdict, ...]]:
    """The time of the steps of building what `build` makes (a `Bundle`), and its verdicts."""
    bundle = cast(Bundle, isolated(build, progress) if isolate else build(progress))
    start = time.perf_counter()
    verdicts = (judge_isolated if isolate else judge_bundle)(bundle, options=options, progress=progress)
    return {**bundle.seconds, "run": time.perf_counter() - start}, verdicts


def _conclude(judgement: Judgement, beside: Sequence[Task]) -> tuple[DispatchVerdict, ...]:
    missing: tuple[str, ...] = ()
    left = sum(task not in judgement.values for task in beside)
    if judgement.missing and left:
        missing = (f"IREE's own code was not run in {left} of {len(beside)} cases: {judgement.missing}",)
    verdicts = [judgement.verdict(number) for number in range(len(judgement.bundle.subjects))]
    found = judgement.coverage()
    verdicts = [replace(v, coverage=c) for v, c in zip(verdicts, found, strict=True)]
    return tuple(v if v.skipped else replace(v, notes=(*v.notes, *missing)) for v in verdicts)


def _needs_own_process(device: str) -> bool:
    return device.partition("://")[0] in APART


def _candidate_tasks(bundle: Bundle) -> list[Task]:
    return [task for number in range(len(bundle.subjects)) for task in _candidates(bundle, number, again=True)]


def _candidates(bundle: Bundle, subject: int, *, again: bool = False) -> list[Task]:
    count = len(bundle.subjects[subject].cases)
    tasks = [Task(kind="judge", subject=subject, case=at) for at in range(count)]
    if again and tasks:
        turned = [replace(task, kind="turn") for task in tasks] if bundle.subjects[subject].turned else []
        return [*tasks, Task(kind="again", subject=subject, case=0), *turned]
    return tasks


def _beside_tasks(bundle: Bundle) -> list[Task]:
    """In turns, so that every dispatch has its share of the time."""
    compared = [
        [Task(kind="beside", subject=number, case=at) for at, case in enumerate(subject.cases) if case.beside]
        for number, subject in enumerate(bundle.subjects)
        if bundle.baseline is not None and subject.cases and subject.cases[0].entry in bundle.beside
    ]
    return [task for turn in zip_longest(*compared) for task in turn if task is not None]


def _cause(case: Case, death: Death, crash: Crash | None) -> str:
    """Return why a case ended its process, as far as it is known."""
    if death.stopped:
        return f"it does not end: {death.found}"
    found = death.found
    if "SIGSEGV" in found and crash is None:
        found += ", and no signal handler could run (a stack that overflows, or a wild jump)"
    elif crash is not None and crash.stack:
        found += ": its stack overflows"
    elif crash is not None and crash.protection:
        found += ": an address that is no address, or an aligned instruction on memory that is not aligned"
        if granule(case) < MOST_ALIGNMENT:
            found += (
                f": operands lie at multiples of {granule(case)} bytes here; a kernel that needs more says "
                "`alignment = 16` (or 32, 64) in kernel.toml"
            )
    elif crash is not None:
        found += f": it {'writes to' if crash.kind else 'reads from'} address {crash.address:#x}, where no memory is"
    elif "SIGILL" in found:
        found += ": a trap, such as abort or code that must not be reached, or an instruction that the processor lacks"
    return f"the process that ran it died: {found}"


def _skipped(subject: Subject) -> DispatchVerdict:
    return DispatchVerdict(
        name=subject.name,
        kernel=subject.kernel,
        cases=(),
        skipped=subject.skipped or "no case was asked for",
        notes=subject.notes,
        check=subject.check,
        declared=subject.declared,
    )
