"""Application of rules while a plan is made: a dispatch that a rule rewrote is read and matched again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..errors import PayloadError
from ..match.planner import Accepts, Chosen, check_required, make_plan
from ..model.dispatch import Dispatch
from ..model.kernel import Kernel
from ..model.numerics import NumericDemand
from ..model.plan import Decision, Plan, Substitution
from ..payload.attached import check_objects
from ..payload.kinds.rewriting import BodyRewriter
from ..rewrite.objects import add_files

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site

_T = TypeVar("_T", Substitution, Decision)

Key = tuple[str, str, str]
"""Executable, variant and export of a dispatch."""


def plan_with_rules(
    sites: Sequence[Site],
    kernels: Sequence[Kernel],
    accepts: Accepts,
    *,
    chosen: Chosen | None = None,
    require: Sequence[str] = (),
    host: bool = True,
    demands: Sequence[NumericDemand] = (),
) -> tuple[Plan, list[Site]]:
    """Make a plan as `make_plan` does, with rules in the same ranking as kernels.

    A chosen rule is applied at once, and the changed dispatch is decided on again, by the kernels and by the rules that
    have not changed it yet. The plan has a substitution for each rule, before those of the kernels that take the
    result.
    """
    if not any(kernel.payload.kind.rewrites_body for kernel in kernels):
        plan = make_plan(
            [s.dispatch for s in sites], kernels, accepts, chosen=chosen, require=require, host=host, demands=demands
        )
        return plan, list(sites)
    now = {_key(site.dispatch): site for site in sites}
    work = _Work(now, accepts)
    plan = make_plan(
        [s.dispatch for s in sites],
        kernels,
        work.accepts,
        chosen=work.next(chosen, kernels),
        host=host,
        demands=demands,
    )
    substitutions, decisions = _by_dispatch(plan.substitutions), _by_dispatch(plan.decisions)
    applied: dict[Key, list[Substitution]] = {}
    used: dict[Key, list[Decision]] = {}
    while rewritten := work.apply(substitutions):
        for key, rule in rewritten.items():
            applied.setdefault(key, []).append(rule)
            used.setdefault(key, []).extend(d for d in decisions[key] if d.kernel == rule.kernel)
        again = [now[key].dispatch for key in rewritten]
        left = work.next(chosen, kernels)
        left = left and {name: left[name] for d in again for name in (d.name, f"{d.variant}::{d.name}") if name in left}
        plan = make_plan(again, kernels, work.accepts, chosen=left, host=host, demands=demands)
        for key in rewritten:
            substitutions[key], decisions[key] = [], []
        substitutions.update(_by_dispatch(plan.substitutions))
        for key, new in _by_dispatch(plan.decisions).items():
            known = [decision.kernel for decision in used[key]]
            decisions[key] = [decision for decision in new if decision.kernel not in known]
    order = [_key(site.dispatch) for site in sites]
    whole = Plan(
        substitutions=tuple(s for k in order for s in (*applied.get(k, ()), *substitutions.get(k, ()))),
        decisions=tuple(d for k in order for d in (*used.get(k, ()), *decisions.get(k, ()))),
        dispatches=tuple(now[key].dispatch for key in order),
    )
    check_required(whole, kernels, require)
    return whole, [now[key] for key in order]


class _Work:
    """State of planning with rules: the dispatches change while the plan is made."""

    def __init__(self, now: dict[Key, Site], accepts: Accepts) -> None:
        self._now, self._accepts = now, accepts
        self._used: dict[Key, list[str]] = {}

    def accepts(self, kernel: Kernel, dispatch: Dispatch) -> str:
        """Apply a rule's test to the dispatch in its current state; kernels are tested as in `make_plan`."""
        kind = kernel.payload.kind
        if not isinstance(kind, BodyRewriter):
            return self._accepts(kernel, dispatch)
        site = self._now[_key(dispatch)]
        if kernel.name in self._used.get(_key(dispatch), ()):
            return "it has rewritten this dispatch already"
        if site.function is None:
            return "there is no body to rewrite"
        return kind.refuse_site(kernel, site)

    def next(self, chosen: Chosen | None, kernels: Sequence[Kernel]) -> Mapping[str, Sequence[str]] | None:
        """Return, for a saved plan, each dispatch's first rule that is still to be applied, or else its kernels."""
        if chosen is None:
            return None
        rules = {kernel.name for kernel in kernels if kernel.payload.kind.rewrites_body}
        used = {name: set(done) for (_, variant, n), done in self._used.items() for name in (n, f"{variant}::{n}")}
        left: dict[str, Sequence[str]] = {}
        for name, given in chosen.items():
            names = [n for n in ([given] if isinstance(given, str) else given) if n not in used.get(name, ())]
            rule = next((n for n in names if n in rules), None)
            left[name] = names if rule is None else [rule]
        return left

    def apply(self, substitutions: Mapping[Key, Sequence[Substitution]]) -> dict[Key, Substitution]:
        """Apply one rule to each dispatch for which one was chosen."""
        done: dict[Key, Substitution] = {}
        for key, own in substitutions.items():
            rule = next((s for s in own if s.kernel.payload.kind.rewrites_body), None)
            if rule is None:
                continue
            for site in apply_rule(self._now[key], rule):
                self._now[_key(site.dispatch)] = site
            self._used.setdefault(key, []).append(rule.kernel.name)
            done[key] = rule
        return done


def apply_rule(site: Site, substitution: Substitution) -> list[Site]:
    """Rewrite one dispatch; return all dispatches of its executable, read again. Raises `PayloadError`."""
    from iree.compiler import ir

    from ..read.module import read_executable

    kernel = substitution.kernel
    check_objects(kernel, site.dispatch.target)
    before = _interface(site.executable)
    with ir.Location.unknown():
        kind = kernel.payload.kind
        assert isinstance(kind, BodyRewriter)
        kind.rewrite(site, substitution)
        add_files(site.variant, kernel.payload.objects)
        _verify(site.executable, kernel, site.dispatch.name)
    after = _interface(site.executable)
    if after != before:
        raise PayloadError(
            f"{kernel.name} changed what the host program calls in {site.dispatch.name}",
            where=str(kernel.payload.path),
            expected="; ".join(before),
            found="; ".join(after),
            next_step="leave the names and layouts of variants and exports as they are: change the body alone",
        )
    return list(read_executable(site.executable))


def _verify(executable: ir.Operation, kernel: Kernel, dispatch: str) -> None:
    from iree.compiler import ir

    found = ""
    try:
        valid = executable.verify()
    except ir.MLIRError as error:
        valid, found = False, "; ".join(d.message for d in error.error_diagnostics) or str(error)
    if not valid:
        raise PayloadError(
            f"{kernel.name} left a body that MLIR's verifier refuses in {dispatch}",
            where=str(kernel.payload.path),
            expected="valid IR",
            found=found or "no words of the verifier",
            next_step="fix the rule",
        )


def _interface(executable: ir.Operation) -> list[str]:
    from ..read.module import children, symbol_name

    return [
        f"{symbol_name(executable)}::{symbol_name(variant)}::{symbol_name(export)} {export.attributes['layout']}"
        for variant in children(executable)
        if variant.name == "hal.executable.variant"
        for export in children(variant)
        if export.name == "hal.executable.export"
    ]


def _key(dispatch: Dispatch) -> Key:
    return dispatch.executable, dispatch.variant, dispatch.name


def _by_dispatch(items: Sequence[_T]) -> dict[Key, list[_T]]:
    grouped: dict[Key, list[_T]] = {}
    for item in items:
        grouped.setdefault(_key(item.dispatch), []).append(item)
    return grouped
