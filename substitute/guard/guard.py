"""The guard of one compilation: looks up verdicts, has missing ones made meanwhile, and reports what is left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..embed import Built
from ..errors import CompilerCrash, PlanError, SubstituteError, TimeOut
from ..isolate import Call, Child
from ..model.dispatch import Dispatch
from ..model.plan import Key, dispatch_key
from ..progress import Progress
from ..read.module import find_sites
from . import store
from .keys import key_of
from .results import BESIDE, RUN, note_result, read_results
from .verdict import Check, Checked, Verdict, leaves_out, refuse_own

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..compiler import Compilation
    from ..model.plan import Plan
    from .trial import Trial

VARIABLE = "IREE_SUBSTITUTE_CHECK"
"""`0` in the environment turns the check off where the caller does not decide."""
MOST_DEATHS = 4
"""Number of processes that may crash before the remaining pairs are left unjudged."""
OUT_OF_MEMORY, ILLEGAL = "SIGKILL", "SIGILL"


def default_check() -> Check | None:
    """Return how to check where the caller does not decide: not at all if the environment turns it off."""
    return None if os.environ.get(VARIABLE, "") == "0" else Check()


@dataclass(slots=True)
class Guard:
    """Verdicts on the substitutions of one compilation. Its process, if there is one, ends with the `with` block.

    Call `compare` once plan and payloads are made, and `conclude` once the module is compiled: the missing verdicts are
    made in another process meanwhile. Both return the dispatches that are to be left to IREE's own code.
    """

    compilation: Compilation
    pristine: ir.Operation
    """The module before the plan, as IREE made it."""
    folder: Path
    check: Check
    chosen: bool = False
    """True if the user's plan names the kernels."""
    _checked: dict[Key, Checked] = field(default_factory=dict)
    _names: dict[Key, str] = field(default_factory=dict)
    """Keys under which verdicts are stored."""
    _trial: Trial | None = None
    _child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._child is not None:
            self._child.__exit__(*error)
            self._child = None

    @property
    def checked(self) -> tuple[Checked, ...]:
        """Everything that is substituted, or would have been, in the order of the dispatches."""
        return tuple(self._checked.values())

    def compare(self, plan: Plan, built: Sequence[Built]) -> frozenset[Key]:
        """Look up the verdicts on a plan and start making the missing ones; return the dispatches to leave out so far.

        Raises `ValidationError` if a person's own kernel is known to be wrong.
        """
        planned = self.compilation.module
        assert planned is not None
        left_out = frozenset(c.key for c in self.checked if c.left_out)
        taken = {dispatch_key(s.dispatch): s.dispatch for s in plan.substitutions}
        new = {key: d for key, d in taken.items() if key not in self._checked}
        names = self._keys(plan, built, new, planned)
        reason: str | None = None
        missing: dict[str, Dispatch] = {}
        for key, name in names.items():
            verdict = store.look_up(name)
            if verdict is None:
                reason = self._reason_against(new) if reason is None else reason
                verdict = Verdict(outcome="unjudged", message=reason) if reason else None
            kernels = tuple(s.kernel for s in plan.substitutions if dispatch_key(s.dispatch) == key)
            if verdict is None:
                missing.setdefault(name, new[key])
            pending = Verdict(outcome="unjudged", message="the check did not end")
            self._checked[key] = Checked(key=key, kernels=kernels, verdict=verdict or pending)
        self._names |= names
        refused = self._refused()
        if missing:
            self._begin(plan, built, missing, planned)
        return refused - left_out

    def _reason_against(self, dispatches: Mapping[Key, Dispatch]) -> str:
        from .trial import (
            refuse_module,
        )  # with all that judging imports, which takes longer than a small compilation

        return refuse_module(self.pristine, tuple(dispatches.values()))

    def _keys(
        self, plan: Plan, built: Sequence[Built], taken: dict[Key, Dispatch], planned: ir.Operation
    ) -> dict[Key, str]:
        before = {dispatch_key(s.dispatch): s.function for s in find_sites(self.pristine, taken)}
        after = {dispatch_key(s.dispatch): s.function for s in find_sites(planned, taken)}
        found = {}
        for key in taken:
            own = [s for s in plan.substitutions if dispatch_key(s.dispatch) == key]
            rules = [s for s in own if s.kernel.payload.kind.rewrites_body]
            code = [b for b in built if dispatch_key(b.substitution.dispatch) == key]
            found[key] = key_of(
                before.get(key),
                after.get(key) if rules else before.get(key),
                rules,
                code,
                self.compilation.flags,
            )
        return found

    def _begin(self, plan: Plan, built: Sequence[Built], missing: dict[str, Dispatch], planned: ir.Operation) -> None:
        from .trial import prepare_trial

        folder = self.folder / "check"
        folder.mkdir()
        try:
            self._trial = prepare_trial(self.pristine, planned, plan, built, missing, self.compilation, folder)
        except Exception as error:  # a fault of the check is reported, and stops no compilation
            why = f"the check failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            for key, checked in self._checked.items():
                if self._names.get(key) in missing:
                    self._checked[key] = replace(checked, verdict=Verdict(outcome="unjudged", message=why))
            return
        self._trial = replace(self._trial, margin=self.check.margin)
        self._child = start_trial(self._trial)

    def conclude(self, progress: Progress) -> frozenset[Key]:
        """Wait for the missing verdicts and store them; return the dispatches to leave out after all.

        Raises `ValidationError` if a person's own kernel is wrong.
        """
        if self._trial is None or self._child is None:
            return frozenset()
        verdicts, self._child = collect_verdicts(self._trial, self._child, self.check.patience_s, progress), None
        self._trial = None
        for name, verdict in verdicts.items():
            store.keep(name, verdict)
        store.prune()
        for key, checked in self._checked.items():
            if (found := verdicts.get(self._names[key])) is not None:
                self._checked[key] = replace(checked, verdict=found)
        before = frozenset(c.key for c in self.checked if c.left_out)
        return self._refused() - before

    def _refused(self) -> frozenset[Key]:
        """Mark the dispatches to leave out and return all of them."""
        refuse_own(self.checked)
        for key, checked in self._checked.items():
            out = leaves_out(self.check, checked.kernels, checked.verdict, chosen=self.chosen)
            self._checked[key] = replace(checked, left_out=out)
        return frozenset(c.key for c in self.checked if c.left_out)

    def check_required(self, plan: Plan, require: Sequence[str]) -> None:
        """Raise `PlanError` if a required kernel has no dispatch left."""
        used = {s.kernel.name for s in plan.substitutions}
        for name in require:
            gone = [c for c in self.checked if c.left_out and name in (k.name for k in c.kernels)]
            if name not in used and gone:
                raise PlanError(
                    f"the required kernel {name} takes no dispatch",
                    where=gone[0].dispatch,
                    expected="a kernel that is right and no slower than IREE's own code",
                    found=gone[0].verdict.text,
                    next_step="--no-check embeds it all the same; `iree-substitute validate` says more",
                )


def start_trial(trial: Trial) -> Child:
    from .judge import judge_trial

    return Child(Call(judge_trial, {"trial": trial}), fork=False)


def collect_verdicts(trial: Trial, child: Child, patience_s: float, progress: Progress) -> dict[str, Verdict]:
    """Return the verdicts on all pairs of a trial; a new process takes the remaining pairs whenever one crashes."""
    reason = f"{MOST_DEATHS} processes died of other kernels"
    for _ in range(MOST_DEATHS):
        with child:
            try:
                found: dict[str, Verdict] = child.result(progress, limits={RUN: patience_s, BESIDE: patience_s})
                return found
            except CompilerCrash as crash:
                trial, reason = _after(crash, trial)
            except SubstituteError as error:
                reason = str(error).partition("\n")[0]
            except RuntimeError as error:  # an internal error of the check must not stop a compilation
                reason = f"the check failed: {str(error).partition(chr(10))[0]}"
        if reason:
            break
        child = start_trial(trial)
    done = read_results(trial.folder)
    return {p.key: done.get(p.key) or Verdict(outcome="unjudged", message=reason, kept=False) for p in trial.pairs}


def _after(crash: CompilerCrash, trial: Trial) -> tuple[Trial, str]:
    """Return the trial of the pairs that remain after a crash, or why none do."""
    if crash.where.startswith(BESIDE) and trial.with_stock:
        return replace(trial, with_stock=False), ""
    if not crash.where.startswith(RUN):
        return trial, f"the process that judges died while it did this: {crash.where} ({crash.found})"
    note_result(trial.folder, crash.where.removeprefix(RUN), _of_death(crash, trial.device))
    return trial, ""


def _of_death(crash: CompilerCrash, device: str) -> Verdict:
    if isinstance(crash, TimeOut):
        if not device.startswith("local"):  # simulated and software devices are slow
            return Verdict(outcome="unjudged", message=f"{device} did not finish: {crash.found}", kept=False)
        return Verdict(outcome="wrong", message=f"it does not end: {crash.found}", device=device, kept=False)
    if OUT_OF_MEMORY in crash.found:
        return Verdict(outcome="unjudged", message=f"its process was {crash.found}", kept=False)
    if ILLEGAL in crash.found:
        return Verdict(outcome="unjudged", message="the CPU here lacks an instruction of it", device=device)
    return Verdict(outcome="wrong", message=f"the process that ran it was {crash.found}", device=device)
