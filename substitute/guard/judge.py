"""Judgement of a trial's pairs in a separate process: first against the golden, then against IREE's own code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..compiler import Compilation
from ..device.ratio import ratio_of
from ..device.raw import RawModule
from ..device.timing import Timing, measure_turns
from ..errors import DeviceError, SubstituteError
from ..golden import Budget
from ..model.laws import LAWS
from ..progress import Progress
from ..validate.baseline import describe_failure, run_baseline
from ..validate.case import Area, Case, Launch
from ..validate.criteria import check_values
from ..validate.inputs import WITH_SPECIAL
from ..validate.judge import Options, judge_alone
from ..validate.launch import PATTERNS, Arrangement, lay_out, run_case
from ..validate.prepare import describe_launch, make_case
from ..validate.verdict import CaseVerdict, combine
from .pace import ENOUGH_ROUNDS, FEWEST_ROUNDS, MOST_ROUNDS, Pace, State, decide
from .results import BESIDE, RUN, note_result, read_results
from .stock import Stock, compile_once
from .trial import Pair, Trial, functions_of
from .verdict import Verdict

if TYPE_CHECKING:
    from iree.compiler import ir

PREPARE = "evaluate the golden for the check"
BUDGET = Budget(work=2e5, samples=256)
CLASSES = {
    "contraction": ("exact", "special"),
    "convolution": ("exact", "special"),
    "copy": ("distinct", "special"),
    "gather": ("distinct", "special"),
    "softmax": ("large", "special"),
    "elementwise": ("special", "edges"),
}
"""Classes of inputs by kind of dispatch: the most effective ones of a quick validation (special ones are nearly all
normal numbers)."""
CLASSES_OTHERWISE = ("exact", "special")
VARIED, MOST_VARIED = "alike", 4
"""Class of inputs, and number of draws, if the other classes give the same results everywhere."""
MOST_DRAWN = 49_999
"""Limit of elements drawn of an operand; a prime, so that repetitions in a larger one do not coincide with its rows."""
MOST_BYTES = 256 << 20
"""Limit of a launch's buffers: judging larger ones would take memory that the compilation needs."""
LONGEST_SAMPLE_S = 20e-3
"""Longest time of a sample; longer launches get fewer calls, as long as nothing looks slower."""
LONGEST_DOUBTED_SAMPLE_S = 0.2
LONGEST_TIMING_S = 15.0
"""Limit of the rounds of one dispatch; those of one that is not slower end much earlier."""
NARROW = 0.1
"""Width of an interval, as a share of the median, with which candidates are compared."""
LOCAL = ("local-task", "local-sync")
INTERRUPTED = "the process that should have done it died"
"""Reason why a correct kernel has no time yet."""


def judge_trial(*, trial: Trial, progress: Progress) -> dict[str, Verdict]:
    """Return the verdicts by their keys; those that an earlier process left in the folder are not made again.

    Raises `SubstituteError` where nothing could be judged.
    """
    done = {key: v for key, v in read_results(trial.folder).items() if v.untimed != INTERRUPTED}
    pairs = [p for p in trial.pairs if p.key not in done]
    for pair in pairs:
        if pair.skipped:
            _finished(trial, done, pair, Verdict(outcome="unjudged", message=pair.skipped))
    pairs = [p for p in pairs if not p.skipped]
    if not pairs:
        return done
    with (
        Stock(trial, progress) as stock,  # before the compiler is loaded here: a fork is cheaper than a new interpreter
        Compilation(trial.flags, name=trial.name) as compilation,
    ):
        progress("compile the kernels for the check", None)
        ours = compile_once(compilation, trial.ours, trial.folder / "ours.vmfb")
        compilation.parse(trial.stock)
        golden = compilation.module
        with _Bench(trial, ours, stock) as bench:
            first: dict[str, list[Case]] = {}
            for number, (pair, function) in enumerate(functions_of(golden, pairs)):
                progress(PREPARE, number / len(pairs))
                cases, reason = bench.cases(pair, function)
                varied = bench.varied(pair, function, cases)
                verdict, cases = bench.judge(pair, cases, varied, reason, partial(progress, RUN + pair.key, None))
                _finished(trial, done, pair, verdict)
                if verdict.outcome == "right":
                    first[pair.key] = cases
            for pair in pairs:
                if pair.key in first:
                    progress(BESIDE + pair.key, None)
                    _finished(trial, done, pair, bench.time(pair, first[pair.key], done[pair.key]))
            for pair in pairs:  # once more, at another moment
                if done[pair.key].outcome == "slower":
                    progress(BESIDE + pair.key, None)
                    _finished(trial, done, pair, bench.time(pair, first[pair.key], done[pair.key]))
        del golden
    return done


def _finished(trial: Trial, done: dict[str, Verdict], pair: Pair, verdict: Verdict) -> None:
    done[pair.key] = verdict
    note_result(trial.folder, pair.key, verdict)


@dataclass(slots=True)
class _Bench:
    """Both modules on the device."""

    trial: Trial
    ours: bytes
    stock: Stock
    _ours: RawModule | None = None

    def __enter__(self) -> _Bench:
        self._ours = RawModule(self.ours, device=self.trial.device)
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours is not None:
            self._ours.close()

    @property
    def device(self) -> str:
        """Device and its number of threads."""
        if not self.trial.device.startswith("local-task"):
            return self.trial.device
        count = len(os.sched_getaffinity(0))
        return f"{self.trial.device}, {count} thread{'s' * (count != 1)}"

    def judge(
        self, pair: Pair, cases: Sequence[Case], varied: Iterator[Case], reason: str, tell: Callable[[], None]
    ) -> tuple[Verdict, list[Case]]:
        """Return the verdict without times, and the first case of each launch; `tell` is called before each that may
        crash.

        `varied` are drawn from if the other cases give the same result everywhere.
        """
        assert self._ours is not None
        judged: list[CaseVerdict] = []
        cases, given = [], iter(cases)
        while (case := next(given, None) or self._next(judged, varied)) is not None:
            tell()
            cases.append(case)
            options = Options(in_flight=False, near=True, errors=False)
            verdict = judge_alone(self._ours, case, options=options).verdict
            if not any(area.access != "writeonly" for area in case.areas):
                verdict = replace(verdict, blind=())  # a dispatch without inputs has one right result
            judged.append(verdict)
            if not verdict.passed:
                break
        sizes = tuple(dict.fromkeys(map(_sizes, cases)))
        known = Verdict(outcome="unjudged", message=reason, device=self.device, sizes=sizes)
        if not cases:
            return known, []
        if not judged[-1].passed:
            found = _message(judged[-1])
            doubt = self._doubt(pair, cases[len(judged) - 1])
            if doubt:
                found = f"{doubt} (the kernel: {found})"
            return replace(known, outcome="unjudged" if doubt else "wrong", message=found), []
        unproven = combine(pair.dispatch.name, "", tuple(judged)).skipped
        if unproven:
            return replace(known, message=unproven), []
        first = list({case.launch: case for case in reversed(cases)}.values())[::-1]
        return replace(known, outcome="right", message="", untimed=INTERRUPTED), first

    def _doubt(self, pair: Pair, case: Case) -> str:
        """Return why a failure may be the golden's fault: IREE's own code gives the same results as the kernel."""
        stock = self.stock.module(RUN + pair.key)
        if stock is None:
            return ""
        assert self._ours is not None
        theirs = run_baseline(stock, case)
        if theirs.error or not any(
            check_values(found, e.values, e.allowed, e.area.element)
            for found, e in zip(theirs.values, case.expected, strict=True)
        ):
            return ""
        try:
            (run,) = run_case(self._ours, case, Arrangement(pattern=PATTERNS[0]))
        except DeviceError:
            return ""
        if run.faults:
            return ""
        own = [e.read(case.binding(run.contents, e.area.binding)) for e in case.expected]
        same = all(
            check_values(a, b.astype(float) if b.dtype.kind not in "iub" else b, e.allowed, e.area.element) is None
            for a, b, e in zip(own, theirs.values, case.expected, strict=True)
        )
        return "IREE's own code gives the same, and both differ from the golden" if same else ""

    @staticmethod
    def _next(judged: Sequence[CaseVerdict], varied: Iterator[Case]) -> Case | None:
        """Return another case, if a constant result would pass all cases so far."""
        entered = [verdict for verdict in judged if verdict.entered]
        blind = set.intersection(*(set(verdict.blind) for verdict in entered)) if entered else set()
        return next(varied, None) if blind else None

    def varied(self, pair: Pair, function: ir.Operation | None, cases: Sequence[Case]) -> Iterator[Case]:
        """Yield cases whose results vary for dispatches that compare, count or search."""
        for seed in range(MOST_VARIED if function is not None and cases else 0):
            assert function is not None
            yield self._case(pair, function, cases[0].launch, (cases[0].launch, cases[0].areas), VARIED, seed)

    def _case(
        self,
        pair: Pair,
        function: ir.Operation,
        launch: Launch,
        described: tuple[Launch, tuple[Area, ...]],
        inputs: str,
        seed: int = 0,
    ) -> Case:
        return make_case(
            function,
            pair.dispatch,
            launch,
            entry=pair.entry,
            label=pair.dispatch.name,
            inputs=inputs,
            seed=seed,
            local=self.trial.device in LOCAL,
            repeatable=pair.repeatable,
            described=described,
            budget=BUDGET,
            most=MOST_DRAWN,
            laws=pair.laws,
            declared=pair.declared,
            composed=pair.composed,
        )

    def cases(self, pair: Pair, function: ir.Operation | None) -> tuple[list[Case], str]:
        """Return all classes of inputs for the first launch, one for the others; without any, the reason."""
        if function is None:
            return [], "its body is not there to be evaluated"
        cases: list[Case] = []
        reason = "its launch is not known"
        classes: tuple[str, ...] = CLASSES.get(pair.dispatch.kind, CLASSES_OTHERWISE)
        spreads = pair.declared is not None and pair.declared.relative_to == "operands"
        if spreads or any(LAWS[law].concerns_special for law in pair.laws):
            classes = ("normal", *(c for c in classes if c not in WITH_SPECIAL))
        for launch in pair.launches:
            try:
                described = describe_launch(function, launch, pair.names)
                size = sum(case_bytes(described[0]))
                if size > MOST_BYTES:
                    reason = f"its operands take {size >> 20} MiB"
                    continue
                for inputs in classes if not cases else classes[:1]:
                    cases.append(self._case(pair, function, launch, described, inputs))
            except SubstituteError as error:
                reason = str(error).partition("\n")[0]
        return cases, reason

    def time(self, pair: Pair, cases: Sequence[Case], before: Verdict) -> Verdict:
        """Return the verdict with times: slower if every judged launch is slower."""
        stock = self.stock.module(BESIDE + pair.key)
        if stock is None or self._ours is None:
            return replace(before, untimed=self.stock.missing)
        paces: list[tuple[Pace, bool]] = []
        try:
            for case in cases:
                grid = lay_out(case, Arrangement(pattern=PATTERNS[0], near=True))
                ours, theirs = (module.bind(case.entry, grid) for module in (self._ours, stock))
                if self.trial.thorough:
                    clock = time.process_time if self.trial.device == "local-sync" else time.perf_counter
                    paces.append((measure_until_clear(ours, theirs, clock), False))
                else:
                    paces.append(measure(ours, theirs, self.trial.margin))
        except DeviceError as error:
            return replace(before, outcome="right", untimed=describe_failure(error))
        slower = all(slow for _, slow in paces)
        # if some launch is not slower, the fastest represents the kernel, but where candidates are compared
        worst = slower or self.trial.thorough
        pace = (max if worst else min)((p for p, _ in paces), key=lambda p: p.ratio)
        ratio = ratio_of(pace.ratios)
        ours_us, stock_us = pace.lowest_us
        return replace(
            before,
            outcome="slower" if slower else "right",
            ratio=round(pace.ratio, 4),
            interval=(round(ratio.low, 4), round(ratio.high, 4)) if ratio.interval else None,
            ours_us=round(ours_us, 2),
            stock_us=round(stock_us, 2),
            untimed="",
        )


def measure(ours: Callable[[], None], theirs: Callable[[], None], margin: float) -> tuple[Pace, bool]:
    """Time two launches in turns until it is clear that the first is slower, or that it is not."""
    start = time.perf_counter()
    state: State = "more"

    def proceed(timings: Mapping[str, Timing]) -> bool:
        nonlocal state
        pace = _pace(timings)
        last = len(pace.ours_us) >= MOST_ROUNDS or time.perf_counter() - start > LONGEST_TIMING_S
        state = decide(pace, margin=margin, last=last)
        return state == "more"

    def limit_s(rounds: int) -> float:
        return LONGEST_SAMPLE_S if rounds < FEWEST_ROUNDS else LONGEST_DOUBTED_SAMPLE_S

    timings = measure_turns({"ours": (ours,), "theirs": (theirs,)}, proceed, warmup=3, limit_s=limit_s)
    return _pace(timings), state == "slower"


def measure_until_clear(ours: Callable[[], None], theirs: Callable[[], None], clock: Callable[[], float]) -> Pace:
    """Time two launches in turns until their ratio is clear, and its interval is narrow."""
    start = time.perf_counter()

    def proceed(timings: Mapping[str, Timing]) -> bool:
        ratio = ratio_of(timings["ours"].ratios_to(timings["theirs"]))
        rounds = len(timings["ours"].samples_us)
        clear = ratio.relation != "unclear" and ratio.high - ratio.low <= NARROW * ratio.median
        done = clear and rounds >= ENOUGH_ROUNDS
        return not done and rounds < MOST_ROUNDS and time.perf_counter() - start < LONGEST_TIMING_S

    cases = {"ours": (ours,), "theirs": (theirs,)}
    return _pace(measure_turns(cases, proceed, warmup=3, clock=clock, limit_s=lambda _: LONGEST_SAMPLE_S))


def _pace(timings: Mapping[str, Timing]) -> Pace:
    return Pace(ours_us=timings["ours"].samples_us, theirs_us=timings["theirs"].samples_us)


def case_bytes(launch: Launch) -> Iterator[int]:
    """Yield the sizes of a launch's buffers."""
    ends: dict[int, int] = {}
    for binding in launch.bindings:
        ends[binding.resource] = max(ends.get(binding.resource, 0), binding.offset + binding.length)
    yield from ends.values()


def _sizes(case: Case) -> str:
    return ", ".join("x".join(map(str, (*area.shape, area.element))) for area in case.areas)


def _message(verdict: CaseVerdict) -> str:
    where = f"{verdict.message} (inputs: {verdict.inputs}, seed {verdict.seed}"
    place = verdict.place
    if place is not None:
        at = ", ".join(map(str, place.coordinates))
        where += f"; [{at}] of {place.operand} is {place.candidate} instead of {place.golden}"
    return where + ")"
