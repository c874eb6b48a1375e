"""Measures every candidate of every dispatch beside IREE's own code, round by round, and chooses.

In one round each dispatch that has candidates left gets its next one. A round is a trial of the guard: the candidates
are compared with the golden in float64 first, and only what is right is timed, on the operands that the dispatch has in
the model. What is measured is kept in a journal by content, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler import Compilation
from ..device.ratio import Ratio
from ..embed import AtOnce, Built, make_payloads
from ..errors import SubstituteError, UsageError
from ..flags import with_default_target
from ..frontend import list_choices, parse_model, plan_module, run_to_dispatches, scratch_folder
from ..guard.guard import collect_verdicts, start_trial
from ..guard.keys import key_of
from ..guard.results import read_results
from ..guard.trial import prepare_trial, refuse_module
from ..guard.verdict import Checked, Verdict, from_json
from ..json_text import parse_json
from ..machine import read_machine
from ..model.plan import Key, Plan, dispatch_key
from ..progress import Clock, Progress, silent
from ..read.module import find_sites
from ..report.as_json import plan_to_json
from .contest import Choice, Contest, Measured

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..bench.bench_report import BenchReport
    from ..guard.trial import Trial
    from ..model.dispatch import Dispatch

DEVICE = "local-sync"
"""One thread, the caller's own, so that the time is processor time."""
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSetting:
    """Limits of the search."""

    budget_s: float = 600.0
    """No round begins after this."""
    most: int = 32
    """Candidates of one kernel for one dispatch."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedDispatch:
    """Outcome for one dispatch."""

    dispatch: str
    default: Choice
    winner: Choice
    measured: tuple[Measured, ...]
    complete: bool
    """False if the budget was spent before every candidate had its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """Outcome for a model."""

    plan: dict[str, Any]
    """The plan as JSON values."""
    usual: dict[str, Any]
    """The plan of what is substituted without tuning."""
    dispatches: tuple[TunedDispatch, ...]
    report: BenchReport | None = None
    """Times of the whole model; None where it was not timed."""
    kept: bool = True
    """False if the plan makes the whole model slower, so that `plan` is `usual`."""


def tune_model(
    *,
    model: Path,
    journal: Path,
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    setting: TuneSetting | None = None,
    progress: Progress = silent,
) -> Tuned:
    """Measure all candidates and return the plan. Raises `SubstituteError`, such as for a target that is not here."""
    setting = setting or TuneSetting()
    with scratch_folder() as folder, Compilation(with_default_target(flags), name=str(model)) as compilation:
        clock = Clock(progress)
        parse_model(compilation, model, kernels, clock)
        with clock.step("compile to dispatches"):
            run_to_dispatches(compilation, kernels)
        assert compilation.module is not None
        tuner = Tuner(
            compilation=compilation,
            pristine=compilation.module.clone().operation,
            kernels=kernels,
            builtin=builtin,
            folder=folder,
            journal=Journal(journal),
            setting=setting,
        )
        tuner.prepare()
        tuner.measure_all(progress)
        return tuner.conclude()


@dataclass(slots=True)
class Journal:
    """Measurements so far, by the content of dispatch, code and machine."""

    path: Path
    known: dict[str, Verdict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier run left. Raises `UsageError`."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(
                "the measurements so far cannot be read",
                where=str(self.path),
                expected="a file that an earlier run left, or nothing",
                found=error.strerror or str(error),
                next_step="remove it, or write the plan elsewhere",
            ) from None
        for line in data.splitlines():
            try:
                entry = parse_json(line)
                self.known[str(entry["key"])] = from_json(entry["verdict"])
            except (ValueError, KeyError, TypeError):
                continue  # empty, or cut off

    def note(self, verdicts: Mapping[str, Verdict]) -> None:
        """Keep verdicts. Raises `SubstituteError` where the file cannot be written."""
        self.known |= verdicts
        # the line before may have been cut off
        lines = [f"\n{json.dumps({'key': key, 'verdict': verdict.to_json()})}" for key, verdict in verdicts.items()]
        try:
            with self.path.open("a") as stream:
                stream.write("".join(lines))
        except OSError as error:
            raise SubstituteError(
                "the measurements so far cannot be kept",
                where=str(self.path),
                expected="room in a folder that can be written",
                found=error.strerror or str(error),
                next_step="free some room, or write the plan elsewhere",
            ) from None


@dataclass(slots=True, kw_only=True)
class Tuner:
    """The contests of one model."""

    compilation: Compilation
    pristine: ir.Operation
    kernels: Sequence[Path]
    builtin: bool
    folder: Path
    journal: Journal
    setting: TuneSetting
    contests: dict[str, Contest] = field(default_factory=dict)
    _stock: tuple[Path, frozenset[Key]] | None = None
    """IREE's own code, compiled in an earlier round, and the dispatches in it."""

    def prepare(self) -> None:
        """Find the candidates of each dispatch. Raises `UsageError` where nothing can be run."""
        plan, _ = self._plan(None)
        taken = list_choices(plan)
        reason = refuse_module(self.pristine, plan.dispatches)
        if not reason and any(d.target.backend != "llvm-cpu" for d in plan.dispatches):
            reason = "only code for llvm-cpu can be tuned"
        if reason:
            raise UsageError("the dispatches cannot be measured", expected="a target that runs here", found=reason)
        for dispatch in plan.dispatches:
            name = f"{dispatch.variant}::{dispatch.name}"
            fitting = [
                d.kernel
                for d in plan.decisions
                if d.accepted and d.dispatch == dispatch and not d.kernel.payload.kind.rewrites_body
            ]
            default = taken.get(name, ())
            if fitting or default:
                self.contests[name] = Contest(
                    key=dispatch_key(dispatch),
                    name=name,
                    default=default,
                    others=[kernel.name for kernel in fitting if (kernel.name,) != default],
                    spaces=[(kernel.name, kernel.tune) for kernel in fitting if kernel.tune],
                    most=self.setting.most,
                    seed=self.setting.seed,
                )

    def _plan(self, chosen: Mapping[str, Choice] | None) -> tuple[Plan, list[Any]]:
        self.compilation.module = self.pristine.clone().operation
        return plan_module(
            self.compilation, Clock(silent), self.kernels, builtin=self.builtin, chosen=chosen, require=()
        )

    def measure_all(self, progress: Progress) -> None:
        """Measure round by round, until there are no more candidates or the budget is spent."""
        start, number = time.monotonic(), 0
        # the budget first: a candidate that was taken and not measured would be lost
        while (spent_s := time.monotonic() - start) <= self.setting.budget_s:
            candidates = {n: choice for n, c in self.contests.items() if (choice := c.next()) is not None}
            if not candidates:
                return
            number += 1
            title = f"round {number}, {len(candidates)} dispatches"
            share = min(1.0, spent_s / self.setting.budget_s)
            self._round(number, candidates, _titled(progress, title, share))

    def _round(self, number: int, candidates: Mapping[str, Choice], progress: Progress) -> None:
        """Measure one candidate of each dispatch, but for those that an earlier run or another candidate has done."""
        progress("make code", None)
        plan, _ = self._plan(candidates)
        built, reasons = self._code(plan)
        names = {f"{d.variant}::{d.name}": d for d in plan.dispatches if f"{d.variant}::{d.name}" in candidates}
        keys = {name: key for name, d in names.items() if name not in reasons and (key := self._key(plan, built, d))}
        missing = {key: names[name] for name, key in keys.items() if key not in self.journal.known}
        if missing:
            keys_in = {dispatch_key(d) for d in missing.values()}
            part = tuple(s for s in plan.substitutions if dispatch_key(s.dispatch) in keys_in)
            whole = replace(plan, substitutions=part)
            own = [b for b in built if dispatch_key(b.substitution.dispatch) in keys_in]
            self._judge(number, whole, own, missing, progress)
        for name, choice in candidates.items():
            verdict = self.journal.known.get(keys.get(name, ""))
            self.contests[name].tell(_measured(choice, verdict, reasons.get(name, "")))

    def _code(self, plan: Plan) -> tuple[list[Built], dict[str, str]]:
        """Return the payloads, and for dispatches whose values do not go together the reason."""
        built: list[Built] = []
        reasons: dict[str, str] = {}
        for key in dict.fromkeys(dispatch_key(s.dispatch) for s in plan.substitutions):
            own = tuple(s for s in plan.substitutions if dispatch_key(s.dispatch) == key)
            try:
                built += make_payloads(replace(plan, substitutions=own), Clock(silent), AtOnce())
            except SubstituteError as error:
                reasons[f"{key[1]}::{key[2]}"] = error.found or error.what
        return built, reasons

    def _key(self, plan: Plan, built: Sequence[Built], dispatch: Dispatch) -> str:
        """Return the key under which a candidate is known: equal code of other values is not measured again."""
        key = dispatch_key(dispatch)
        functions = [
            next((s.function for s in find_sites(module, {key: dispatch})), None)
            for module in (self.pristine, self.compilation.module)
        ]
        own = [s for s in plan.substitutions if dispatch_key(s.dispatch) == key]
        rules = [s for s in own if s.kernel.payload.kind.rewrites_body]
        code = [b for b in built if dispatch_key(b.substitution.dispatch) == key]
        if not own:
            return ""
        after = functions[1] if rules else functions[0]
        return key_of(functions[0], after, rules, code, self.compilation.flags)

    def _judge(
        self, number: int, plan: Plan, built: Sequence[Built], missing: dict[str, Dispatch], progress: Progress
    ) -> None:
        folder = self.folder / f"round{number}"
        folder.mkdir()
        planned = self.compilation.module
        assert planned is not None
        trial = prepare_trial(self.pristine, planned, plan, built, missing, self.compilation, folder)
        trial = replace(trial, device=DEVICE, thorough=True)
        wanted = frozenset(dispatch_key(d) for d in missing.values())
        if self._stock is not None and wanted <= self._stock[1]:
            shutil.copyfile(self._stock[0], folder / "stock.vmfb")
        verdicts: dict[str, Verdict] = {}
        try:
            verdicts = self._collect(trial, progress)
        finally:
            finished = {**read_results(folder), **verdicts}
            self.journal.note({k: v for k, v in finished.items() if v.kept and (v.ratio or v.outcome == "wrong")})
            for key, verdict in finished.items():
                self.journal.known.setdefault(key, verdict)
        if (folder / "stock.vmfb").is_file() and (self._stock is None or not wanted <= self._stock[1]):
            self._stock = (folder / "stock.vmfb", wanted)

    @staticmethod
    def _collect(trial: Trial, progress: Progress) -> dict[str, Verdict]:
        return collect_verdicts(trial, start_trial(trial), PATIENCE_S, progress)

    def conclude(self) -> Tuned:
        """Return the plan of the winners, with all measurements."""
        chosen = {name: winner for name, c in self.contests.items() if (winner := c.winner)}
        plan, _ = self._plan(chosen)
        checked = [_checked(plan, contest) for name, contest in self.contests.items() if name in chosen]
        dispatches = tuple(
            TunedDispatch(
                dispatch=c.key[2],
                default=c.default,
                winner=c.winner,
                measured=tuple(c.measured),
                complete=c.next() is None,
            )
            for c in self.contests.values()
        )
        data = plan_to_json(plan, checked=checked) | {
            "machine": dict(read_machine()) | {"device": DEVICE},
            "measured": [_to_json(d) for d in dispatches],
        }
        usual, _ = self._plan({name: c.default for name, c in self.contests.items() if c.default})
        return Tuned(plan=data, usual=plan_to_json(usual), dispatches=dispatches)


def _titled(progress: Progress, title: str, share: float) -> Progress:
    """Return progress whose steps begin with a title, at a fixed share of the whole."""
    return lambda what, _: progress(f"{title}: {what}", share)


def _measured(choice: Choice, verdict: Verdict | None, reason: str) -> Measured:
    if verdict is None:
        return Measured(choice=choice, ratio=None, reason=reason or "it was not measured")
    if verdict.outcome not in ("right", "slower") or verdict.ratio is None:
        return Measured(choice=choice, ratio=None, reason=verdict.text)
    low, high = verdict.interval or (float("-inf"), float("inf"))
    return Measured(choice=choice, ratio=Ratio(median=verdict.ratio, low=low, high=high))


def _checked(plan: Plan, contest: Contest) -> Checked:
    own = tuple(s.kernel for s in plan.substitutions if dispatch_key(s.dispatch) == contest.key)
    found = next((m for m in contest.measured if m.choice == contest.winner), None)
    if found is None:
        verdict = Verdict(outcome="unjudged", message="the budget was spent before its turn", device=DEVICE)
    else:
        verdict = Verdict(outcome="right", device=DEVICE, ratio=found.ratio.median if found.ratio else None)
    return Checked(key=contest.key, kernels=own, verdict=verdict)


def _to_json(dispatch: TunedDispatch) -> dict[str, Any]:
    return {
        "dispatch": dispatch.dispatch,
        "winner": list(dispatch.winner),
        "complete": dispatch.complete,
        "candidates": [
            {
                "choice": list(m.choice),
                "ratio": m.ratio.median if m.ratio else None,
                "interval": m.ratio.interval if m.ratio else None,
                "reason": m.reason,
            }
            for m in dispatch.measured
        ],
    }
