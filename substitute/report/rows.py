"""Rows of a plan's report: each dispatch with the kernel that takes it, or the nearest one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError
from ..match.nearness import nearest_miss, nearness
from ..model.dispatch import Dispatch
from ..model.plan import Decision, Plan, Rule, Substitution
from .cost import Cost, cost_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchRow:
    """One dispatch of a report."""

    dispatch: Dispatch
    cost: Cost | None
    """Cost of the dispatch; None if it could not be read."""
    substitution: Substitution | None
    """The first one that is tried, if there are several."""
    others: tuple[Substitution, ...]
    """Substitutions that are tried after it, in order."""
    nearest: Decision | None
    """Rejected kernel that came nearest; None if a kernel takes the dispatch, or none was tried."""
    verdict: str = ""
    """Finding of an earlier `compile` on the dispatch with its kernels; empty if there is none."""

    @property
    def failed_rule(self) -> Rule | None:
        """Rule that the nearest kernel failed."""
        return failed_rule(self.nearest) if self.nearest else None


def dispatch_rows(plan: Plan) -> list[DispatchRow]:
    """One row for each dispatch, in order."""
    taken: dict[tuple[str, str, str], list[Substitution]] = {}
    for substitution in plan.substitutions:
        taken.setdefault(_key(substitution.dispatch), []).append(substitution)
    decisions: dict[tuple[str, str, str], list[Decision]] = {}
    for decision in plan.decisions:
        decisions.setdefault(_key(decision.dispatch), []).append(decision)
    return [
        DispatchRow(
            dispatch=dispatch,
            cost=cost_of(dispatch.program) if dispatch.program else None,
            substitution=next(iter(taken.get(_key(dispatch), ())), None),
            others=tuple(taken.get(_key(dispatch), ())[1:]),
            nearest=None if _key(dispatch) in taken else nearest_miss(decisions.get(_key(dispatch), [])),
            verdict=plan.verdict_on(dispatch),
        )
        for dispatch in plan.dispatches
    ]


def failed_rule(decision: Decision) -> Rule | None:
    """Return the first rule that a kernel failed."""
    return next((rule for rule in decision.rules if not rule.passed), None)


def find_verdict(plan: Plan, decision: Decision) -> str:
    """Return the finding of an earlier `compile` on a kernel that the plan gives a dispatch; empty if there is none."""
    key = _key(decision.dispatch)
    given = any(_key(s.dispatch) == key and s.kernel.name == decision.kernel.name for s in plan.substitutions)
    return plan.verdict_on(decision.dispatch) if given else ""


def sort_by_nearness(decisions: list[Decision]) -> list[Decision]:
    """Return kernels that match first, by name, then the others by nearness."""
    fitting = sorted((d for d in decisions if d.accepted), key=lambda d: d.kernel.name)
    return [*fitting, *sorted((d for d in decisions if not d.accepted), key=nearness, reverse=True)]


def select_decisions(plan: Plan, *, dispatch: Dispatch | None, kernel: str | None) -> list[Decision]:
    """Return the decisions about one dispatch, one kernel, or one pair."""
    return [
        decision
        for decision in plan.decisions
        if (dispatch is None or _key(decision.dispatch) == _key(dispatch))
        and (kernel is None or decision.kernel.name == kernel)
    ]


def find_dispatch(plan: Plan, text: str) -> Dispatch:
    """Return the dispatch that a user names: by its name, its number, the end of its name, or a part that is unique.

    Raises `UsageError` if none or several fit.
    """
    tests: Mapping[str, list[Dispatch]] = {
        "name": [d for d in plan.dispatches if d.name == text],
        "number": [d for d in plan.dispatches if f"{d.name}_".rpartition("_dispatch_")[2].startswith(f"{text}_")],
        "end": [d for d in plan.dispatches if text and d.name.endswith(text)],
        "part": [d for d in plan.dispatches if text and text in d.name],
    }
    found = next((group for group in tests.values() if group), [])
    if len(found) == 1:
        return found[0]
    names = [d.name for d in found or plan.dispatches]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    raise UsageError(
        f"`{text}` means several dispatches" if found else f"there is no dispatch `{text}`",
        where="--dispatch",
        expected="a name, a number, or a part of a name that only one dispatch has",
        found=shown or "a model without dispatches",
        next_step="`iree-substitute inspect MODEL` lists all dispatches",
    )


def _key(dispatch: Dispatch) -> tuple[str, str, str]:
    return dispatch.executable, dispatch.variant, dispatch.name
