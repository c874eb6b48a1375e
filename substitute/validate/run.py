"""Judges a bundle on a device, case by case, in a child process that a kernel may end without ending anything else."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..device.guarded import Crash, read_crash
from ..device.raw import guards_memory
from ..errors import CompilerError, DeviceError
from ..isolate import Call, Child, Death, isolated, threads_are_loaded
from ..model.coverage import Code, Coverage, measure
from ..progress import Progress
from .baseline import BaselineRun, add_baseline, describe_failure
from .bundle import Bundle, Subject
from .case import Case
from .criteria import check_beside
from .judge import STANDARD, Judged, Options, conclude
from .launch import granule
from .own_code import compile_own_code
from .runner import BESIDE, RUN, Runner, serve
from .statistics import Errors, pool
from .tasks import (
    QUICK_BASELINES,
    START_S,
    Task,
    Turned,
    Value,
    beside_tasks,
    candidate_tasks,
    case_limit_s,
    size_of_results,
    tasks_of,
)
from .verdict import CaseVerdict, DispatchVerdict

APART = frozenset({"cuda", "cuda-sim"})
"""Drivers on which IREE's own code runs in a separate process: a fault there can only be cleared by ending it."""
MOST_ALIGNMENT = 64
"""In bytes: what IREE promises of a binding on the CPU."""
DIED, STOPPED = 1, 2
"""Weights of a case that ended its process, and of one that had to be stopped, which took longer."""
MOST_OF_A_DISPATCH, MOST_OF_ALL = 3, 16
"""With such a weight of lost cases the rest of a dispatch, or of the bundle, is not run."""


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
        found = [self.values.get(task) for task in tasks_of(self.bundle, subject)]
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

    def compile_own_code(self, *, isolate: bool) -> None:
        """Compile IREE's own code for the dispatches whose verdicts depend on it, if that has been deferred."""
        source = self.bundle.own_source
        if source is None:
            return
        numbers = [n for n, s in enumerate(self.bundle.subjects) if s.cases and self._depends_on_own_code(n)]
        numbers.sort(key=lambda n: size_of_results(self.bundle.subjects[n]), reverse=True)
        entries = frozenset(self.bundle.subjects[n].cases[0].entry for n in numbers[:QUICK_BASELINES])
        if not entries:
            return
        call = Call(compile_own_code, {"source": source, "entries": entries})
        start = time.perf_counter()
        try:
            module = isolated(call, self.progress) if isolate else call(self.progress)
        except CompilerError as error:
            self.missing = str(error).partition("\n")[0]
            return
        self.bundle.seconds["compile IREE's own code"] = time.perf_counter() - start
        self.bundle = replace(self.bundle, baseline=module, beside=entries, own_source=None)

    def _depends_on_own_code(self, number: int) -> bool:
        """Return True if IREE's own results could change a dispatch's verdict, or have a place in it."""
        subject, verdict = self.bundle.subjects[number], self.verdict(number)
        judged = [v for t, v in self.values.items() if t.subject == number and isinstance(v, Judged)]
        if not verdict.passed or any(p.size for j in judged for p in (*j.zeros, *j.signs)):
            return not verdict.skipped
        compared = {case.key for case in subject.cases if case.beside}
        errors = pool([case.errors for case in verdict.cases if case.key in compared])
        exact = Errors(count=errors.count)
        return not subject.declared and check_beside(errors, exact, self.options.criteria) is not None

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
        if all(case.passed for case in cases) and not self._is_entered(number):
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
    judgement.run_here(candidate_tasks(bundle))
    judgement.compile_own_code(isolate=False)
    beside = beside_tasks(judgement.bundle)
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
    candidates, beside = candidate_tasks(bundle), beside_tasks(bundle)
    if _needs_own_process(judgement.device) or bundle.own_source is not None:
        judgement.run_apart(candidates)
        judgement.compile_own_code(isolate=True)
        beside = beside_tasks(judgement.bundle)
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
    if judgement.bundle.emitted:
        emitted = judgement.bundle.emitted
        verdicts = [replace(v, emitted=tuple(e for e in emitted if e.dispatch == v.name)) for v in verdicts]
    return tuple(v if v.skipped else replace(v, notes=(*v.notes, *missing)) for v in verdicts)


def _needs_own_process(device: str) -> bool:
    return device.partition("://")[0] in APART


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
