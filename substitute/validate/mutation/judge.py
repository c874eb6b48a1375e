"""Runs mutants through the cases of a kernel, in child processes that a mutant may end without ending anything else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...device.guarded import read_crash
from ...device.raw import RawModule, guards_memory
from ...errors import DeviceError, PayloadError
from ...isolate import Call, Child, Death, send_part, threads_are_loaded
from ...progress import Progress
from ..baseline import BaselineRun, Baselines, add_baseline, describe_failure
from ..bundle import Bundle
from ..case import Case
from ..judge import STANDARD, Judged, Options, conclude, judge_again, judge_alone
from ..runner import simulating
from ..tasks import START_S
from .code import Code
from .llvm_text import apply
from .mutant import EQUIVALENT, INVALID, KILLED, SURVIVED, Mutant, Outcome
from .patch import patched
from .trampoline import Linker, Table

LEAST_S, TIMES = 1.0, 20.0
"""Processor time that a case may take with a mutant: the seconds, and so many times what it takes with the kernel."""
COMPILE_S = 60.0
PATIENCE_S = 10.0
CONTROL = -1
"""The number of the kernel itself among the mutants."""

Place = tuple[int, int]
"""A dispatch and a case of it."""


@dataclass(slots=True)
class Known:
    """Measurements of the unchanged kernel."""

    seconds: dict[Place, float] = field(default_factory=dict)
    """Processor time of each case."""
    theirs: dict[Place, BaselineRun] = field(default_factory=dict)
    """The results of IREE's own code."""
    wrong: str = ""
    """The finding on the kernel itself; empty if it passes."""


class Bench:
    """A module in which the codes of a kernel can be exchanged."""

    def __init__(self, bundle: Bundle, codes: Sequence[Code], device: str) -> None:
        self.bundle, self.codes, self.device = bundle, codes, device
        self._compiled = any(code.format == "llvm" for code in codes)
        self._linker = Linker()
        self._originals: dict[int, tuple[bytes, int]] = {}
        self._module: RawModule | None = None
        if self._compiled:
            table = self._table = Table()
            for code in codes:
                data = self._linker.compile(code, code.text)
                address = self._linker.address(code, data)
                self._originals[code.number] = data, address
                table.enter(code.number, address)
            self._module = RawModule(bundle.candidate, device=device)

    def load(self, mutant: Mutant | None) -> RawModule | Outcome:
        """The module with a mutant (the kernel itself: None), or why it need not run. Raises `DeviceError`."""
        if not self._compiled:
            return self._reloaded(mutant)
        assert self._module is not None
        if mutant is not None:
            code = self.codes[mutant.code]
            original, _ = self._originals[mutant.code]
            try:
                data = self._linker.compile(code, apply(code.text, mutant))
            except PayloadError as error:
                return Outcome(mutant=mutant, status=INVALID, reason=str(error).partition("\n")[0])
            if data == original:
                return Outcome(mutant=mutant, status=EQUIVALENT, reason="LLVM makes the same code of it")
            self._table.enter(mutant.code, self._linker.address(code, data))
        return self._module

    def _reloaded(self, mutant: Mutant | None) -> RawModule | Outcome:
        if self._module is not None:
            self._module.close()
        data = self.bundle.candidate
        if mutant is not None:
            for one in (mutant, *mutant.elsewhere):
                start = self.bundle.candidate.find(self.codes[one.code].data)
                if start < 0:
                    reason = "the code does not stand in the module as it is"
                    return Outcome(mutant=mutant, status=INVALID, reason=reason)
                data = patched(data, replace(one, place=start + one.place))
        try:
            with simulating(self.device):
                self._module = RawModule(data, device=self.device)
        except DeviceError as error:
            if mutant is None:
                raise
            return Outcome(mutant=mutant, status=INVALID, reason=describe_failure(error))
        return self._module

    def restore(self, mutant: Mutant) -> None:
        """Put the kernel itself back."""
        if self._compiled:
            self._table.enter(mutant.code, self._originals[mutant.code][1])
            self._linker.release(keep=len(self.codes))


def serve(
    *,
    bundle: Bundle,
    codes: Sequence[Code],
    mutants: Sequence[tuple[int, Mutant]],
    known: Known | None,
    device: str,
    options: Options,
    progress: Progress,
) -> None:
    """Judges the kernel itself if it is not `known`, then mutants, in a child process."""
    if guards_memory(device):
        send_part(("record", _record()))
    send_part(("begin", CONTROL, None))
    bench = Bench(bundle, codes, device)
    if known is None:
        known = _control(bench, options, progress)
        send_part(("known", known))
        if known.wrong:
            return
    for done, (number, mutant) in enumerate(mutants):
        progress("mutants", done / len(mutants))
        send_part(("begin", number, None))
        module = bench.load(mutant)
        if isinstance(module, Outcome):
            send_part(("end", number, module))
            continue
        outcome = _judge(bench, module, number, mutant, known, options)
        send_part(("end", number, outcome))
        bench.restore(mutant)


def _record() -> str:
    from ...device.guarded import guarded_memory

    return guarded_memory().record


def _control(bench: Bench, options: Options, progress: Progress) -> Known:
    known = Known()
    module = bench.load(None)
    assert isinstance(module, RawModule)
    for number, subject in enumerate(bench.bundle.subjects):
        progress(f"run {subject.name}", number / len(bench.bundle.subjects))
        for at, case in enumerate(subject.cases):
            send_part(("case", CONTROL, (number, at)))
            began = time.process_time()
            judged = judge_alone(module, case, options=options)
            known.seconds[number, at] = time.process_time() - began
            if not judged.verdict.passed:
                known.wrong = f"{judged.verdict.stage}: {judged.verdict.message} ({case.key})"
                return known
    _baselines(bench, known)
    return known


def _baselines(bench: Bench, known: Known) -> None:
    """Run IREE's own code, where a fault of it cannot end this process."""
    if bench.bundle.baseline is None or not bench.device.startswith("local"):
        return
    try:
        baselines = Baselines(bench.bundle.baseline, bench.device, time.monotonic() + PATIENCE_S)
        for number, subject in enumerate(bench.bundle.subjects):
            for at, case in enumerate(subject.cases):
                if case.entry in bench.bundle.beside:
                    known.theirs[number, at] = baselines.run(case)
        baselines.close()
    except DeviceError:
        known.theirs.clear()


def _judge(bench: Bench, module: RawModule, number: int, mutant: Mutant, known: Known, options: Options) -> Outcome:
    """Run the cases of every dispatch that has the code, the cheapest first, until one sees the fault."""
    entries = {entry for one in (mutant, *mutant.elsewhere) for entry in bench.codes[one.code].entries}
    subjects = [(n, s) for n, s in enumerate(bench.bundle.subjects) if s.cases and s.cases[0].entry in entries]
    places = [(n, at) for n, s in subjects for at in range(len(s.cases))]
    values: dict[Place, Judged] = {}
    for place in sorted(places, key=lambda p: known.seconds.get(p, 0.0)):
        case = bench.bundle.subjects[place[0]].cases[place[1]]
        send_part(("case", number, place))
        judged = judge_alone(module, case, options=options)
        if not judged.verdict.passed:
            return _killed(mutant, judged.verdict.stage, judged.verdict.message, case)
        values[place] = judged
    for n, subject in subjects:
        send_part(("case", number, (n, 0)))
        again = judge_again(module, subject.cases[0])
        if not again.verdict.passed:
            return _killed(mutant, again.verdict.stage, again.verdict.message, subject.cases[0])
        verdicts = []
        for at, case in enumerate(subject.cases):
            judged, theirs = values[n, at], known.theirs.get((n, at))
            verdict = judged.verdict
            if theirs is not None:
                verdict = add_baseline(verdict, case, theirs, at=judged.at, zeros=judged.zeros, signs=judged.signs)
            verdicts.append(verdict)
        concluded = conclude(subject.name, subject.kernel, verdicts, options=options)
        if not concluded.passed:
            first = concluded.failures[0] if concluded.failures else None
            return Outcome(
                mutant=mutant,
                status=KILLED,
                reason=f"{first.stage}: {first.message}" if first else f"{concluded.stage}: {concluded.message}",
                case=first.key if first else subject.name,
            )
    return Outcome(mutant=mutant, status=SURVIVED)


def _killed(mutant: Mutant, stage: str, message: str, case: Case) -> Outcome:
    return Outcome(mutant=mutant, status=KILLED, reason=f"{stage}: {message}", case=case.key)


class MutationRun:
    """The outcomes of mutants, over as many child processes as they end."""

    def __init__(self, bundle: Bundle, codes: Sequence[Code], mutants: Sequence[Mutant], progress: Progress) -> None:
        self.bundle, self.codes, self.mutants, self.progress = bundle, codes, mutants, progress
        self.known: Known | None = None
        self.outcomes: dict[int, Outcome] = {}
        self._current: int | None = None
        self._case: Place | None = None
        self._record = ""

    def run(self, options: Options = STANDARD) -> str:
        """Judge all mutants; return what is wrong with the kernel itself. Raises `DeviceError`."""
        device = self.bundle.device
        if not threads_are_loaded():
            guards_memory(device)  # before the forks, which all have it then
        while True:
            left = [(n, m) for n, m in enumerate(self.mutants) if n not in self.outcomes]
            if self.known is not None and (self.known.wrong or not left):
                return self.known.wrong
            arguments: dict[str, Any] = {
                "bundle": self.bundle,
                "codes": self.codes,
                "mutants": left,
                "known": self.known,
                "device": device,
                "options": options,
            }
            self._current = self._case = None
            with Child(Call(serve, arguments)) as child:
                outcome = child.outcome(self._told, take=self._take, limit_s=self._limit_s)
                crash = read_crash(self._record) if self._record and isinstance(outcome, Death) else None
            if isinstance(outcome, Death):
                self._lose(outcome, crash is not None and crash.stack)

    def _told(self, what: str, share: float | None) -> None:
        if what == "mutants":
            self.progress(what, len(self.outcomes) / max(len(self.mutants), 1))
        else:
            self.progress(what, share)

    def _take(self, part: Any) -> None:
        kind, *rest = part
        if kind == "record":
            self._record = rest[0]
        elif kind == "known":
            self.known = rest[0]
        elif kind == "begin":
            self._current, self._case = rest[0], None
        elif kind == "case":
            self._current, self._case = rest
        else:
            self.outcomes[rest[0]] = rest[1]

    def _limit_s(self) -> float:
        if self._current in (None, CONTROL) or self.known is None:
            return START_S
        if self._case is None:
            return COMPILE_S
        return LEAST_S + TIMES * self.known.seconds.get(self._case, 0.0)

    def _lose(self, death: Death, stack: bool) -> None:
        case = None if self._case is None else self.bundle.subjects[self._case[0]].cases[self._case[1]]
        if self._current in (None, CONTROL):
            where = f" in {case.key}" if case else ""
            raise DeviceError(f"the process that runs the kernel itself ended{where}", found=death.found)
        assert self._current is not None
        why = "it does not end" if death.stopped else f"the process died: {death.found}"
        mutant = self.mutants[self._current]
        if case is None:
            self.outcomes[self._current] = Outcome(mutant=mutant, status=INVALID, reason=f"not compiled: {why}")
            return
        self.outcomes[self._current] = Outcome(
            mutant=mutant,
            status=KILLED,
            reason=f"launch: {why}{' (its stack overflows)' if stack else ''}",
            case=case.key,
        )
