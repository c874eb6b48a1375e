"""Planning: a decision on each pair of dispatch and kernel, ranking of the accepted kernels, choice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import PlanError
from ..model.choice import Tuning, parse_choice
from ..model.conditions import evaluate_condition
from ..model.constraints import constraint_to_index, describe_sizes
from ..model.dispatch import Dispatch
from ..model.index import Index
from ..model.kernel import Constraint, Form, Kernel, TargetRule
from ..model.laws import LAWS
from ..model.numerics import NumericDemand
from ..model.parameter import format_value
from ..model.plan import Decision, Match, Plan, Rule, Substitution
from .alignment import check_alignment
from .devices import exclude_each_other, select_target_rules
from .frozen import check_frozen
from .nearness import nearest_form, nearest_miss
from .numerics import check_numerics
from .splits import describe_split, find_split
from .structure import match_form, refuse_by_cores
from .target import check_target
from .workload import unknown_to_host

Accepts = Callable[[Kernel, Dispatch], str]
"""Function of a kernel's generator that returns why it cannot make code for this dispatch; empty if it can."""

NO_HOST = (
    "the filter gets one executable without the host program, which has to choose: the filter gets one executable; "
    "`iree-substitute compile` can do this"
)
"""Reason why the filter refuses kernels that need another variant or another dispatch."""
CALL_OUT_BACKENDS = frozenset({"llvm-cpu"})
"""Backends that link a kernel into the variant with IREE's own code, so that the executable itself chooses."""

Chosen = Mapping[str, str | Sequence[str]]
"""A saved plan: dispatch, or `variant::dispatch`, → its kernel, or its kernels in the order in which they are tried."""


def decide(
    kernel: Kernel,
    dispatch: Dispatch,
    accepts: Accepts,
    *,
    host: bool = True,
    demands: Sequence[NumericDemand] = (),
) -> Decision:
    """Check one kernel against one dispatch: target, selection, structure, constraints, numerics, code, in this order.

    Without `host`, the program that launches the dispatch is unknown, as in the filter. `demands` are those of the
    compiler's flags on numerics.
    """
    rules = [check_target(kernel.targets, dispatch.target)]
    match: Match | None = None
    if rules[-1].passed:
        rules.extend(_until_failed((*_device(kernel, dispatch, host=host), *_selection(kernel, dispatch))))
    if rules[-1].passed:
        match = _structure(kernel, dispatch, rules)
    if match is not None:
        match = _constrained(kernel, dispatch, match, rules, host=host)
    if match is not None and (asked := _leaves_iree_behind(kernel, dispatch, match)):
        expected = "a kernel for every device and every size: this kind keeps no copy of IREE's own code"
        rules.append(Rule(name="choice", passed=False, expected=expected, found=asked))
        match = None
    if match is not None and (frozen := check_frozen(kernel, match)) is not None:
        rules.append(frozen)
        match = match if frozen.passed else None
    if match is not None and (unmet := check_numerics(kernel, dispatch, demands)) is not None:
        rules.append(unmet)
        match = None
    if match is not None and (aligned := check_alignment(kernel, match)) is not None:
        rules.append(aligned)
        match = match if aligned.passed else None
    if match is not None:
        reason = accepts(kernel, dispatch)
        rules.append(
            Rule(
                name="payload",
                passed=not reason,
                expected="a dispatch that its code handles",
                found=reason or "it does",
            )
        )
        match = None if reason else match
    return Decision(kernel=kernel, dispatch=dispatch, rules=tuple(rules), match=match)


def _leaves_iree_behind(kernel: Kernel, dispatch: Dispatch, match: Match) -> str:
    """Return the conditions that would be tested at run time, for a kind of payload that excludes IREE's own code."""
    inside = dispatch.target.backend in CALL_OUT_BACKENDS
    if not kernel.payload.kind.rewrites_body and (inside or not kernel.payload.kind.keeps_body):
        return ""
    tests = select_target_rules(kernel.targets, dispatch.target)[0].device
    return ", ".join((*(str(test) for test in tests), *match.fallback))


def _until_failed(rules: Iterable[Rule]) -> Iterator[Rule]:
    for rule in rules:
        yield rule
        if not rule.passed:
            return


def _device(kernel: Kernel, dispatch: Dispatch, *, host: bool) -> list[Rule]:
    """Check the tests of the device, and that the choice can be made somewhere."""
    rules: list[Rule] = []
    ways = select_target_rules(kernel.targets, dispatch.target)
    inside = dispatch.target.backend in CALL_OUT_BACKENDS
    if inside and not dispatch.has_body:
        rules.append(
            Rule(
                name="executable.body",
                passed=False,
                expected="a body, into which the kernel's call is put",
                found=dispatch.reason,
            )
        )
    if dispatch.siblings and not inside:
        found = f"{dispatch.siblings + 1} exports"
        found += ", moved to an executable of its own" if host else f", and {NO_HOST}"
        rules.append(
            Rule(name="executable.exports", passed=host, expected="one export, or a host program", found=found)
        )
    if ways and ways[0].device:
        tests = " or ".join(" and ".join(str(test) for test in way.device) for way in ways)
        asked = "tested when the module is loaded; elsewhere the next kernel or IREE's code runs"
        passed = host or inside
        rules.append(Rule(name="device", passed=passed, expected=tests, found=asked if passed else NO_HOST))
    return rules


def _selection(kernel: Kernel, dispatch: Dispatch) -> list[Rule]:
    """Check the selection by name, by kind, and for a raw kernel by its layout."""
    rules: list[Rule] = []
    if kernel.dispatches:
        passed = any(re.fullmatch(p, dispatch.name) or re.search(p, dispatch.name) for p in kernel.dispatches)
        rules.append(
            Rule(name="select.name", passed=passed, expected=" or ".join(kernel.dispatches), found=dispatch.name)
        )
    if kernel.kinds:
        passed = dispatch.kind in kernel.kinds
        rules.append(Rule(name="select.kind", passed=passed, expected=" or ".join(kernel.kinds), found=dispatch.kind))
    if kernel.abi == "raw":
        layout = dispatch.layout
        for name, wanted, found in (
            ("bindings", kernel.bindings, len(layout.bindings)),
            ("constants", kernel.constants, layout.constants),
        ):
            if wanted is not None:
                rules.append(
                    Rule(name=f"layout.{name}", passed=wanted == found, expected=str(wanted), found=str(found))
                )
    needs_program = kernel.abi == "canonical" and kernel.payload.kind.needs_program
    if dispatch.program is None and (kernel.forms or needs_program):
        rules.append(
            Rule(name="structure.read", passed=False, expected="a body that can be read", found=dispatch.reason)
        )
    return rules


def _structure(kernel: Kernel, dispatch: Dispatch, rules: list[Rule]) -> Match | None:
    """Return the first form that matches the dispatch; the nearest form's rule is appended to `rules` if none does."""
    if not kernel.forms:
        return Match(form="", axes=(), program=dispatch.program, arguments=(), specificity=0)
    assert dispatch.program is not None
    other = refuse_by_cores(kernel, dispatch.program)
    if other is not None:
        rules.append(other)
        return None
    failed: list[tuple[Form, Rule]] = []
    for form in kernel.forms:
        shape = match_form(kernel, form, dispatch.program)
        if not isinstance(shape, Rule):
            by_laws = f", by the laws {', '.join(shape.laws)}" if shape.laws else ""
            rules.append(Rule(name="structure", passed=True, expected=f"@{form.name}", found=f"@{form.name}{by_laws}"))
            return Match(
                form=form.name,
                axes=shape.axes,
                program=dispatch.program,
                arguments=shape.arguments,
                placements=shape.placements,
                specificity=shape.specificity,
                parameters=shape.parameters,
                laws=shape.laws,
                inputs=shape.inputs,
            )
        failed.append((form, shape))
    same_cores = [(form, rule) for form, rule in failed if rule.name != "structure.cores"] or failed
    first = same_cores[0][1]
    if any(rule != first for _, rule in same_cores):
        form = nearest_form(kernel, (form for form, _ in same_cores), dispatch.program)
        first = next(rule for candidate, rule in same_cores if candidate is form)
    rules.append(first)
    return None


def _constrained(kernel: Kernel, dispatch: Dispatch, match: Match, rules: list[Rule], *, host: bool) -> Match | None:
    """Check constraints over static axes; those over dynamic ones are left to run time if possible."""
    sizes: dict[str, Index] = {a.name: a.size for a in match.axes}
    fallback: list[str] = []
    for rule in _conditions(kernel, match, sizes):
        rules.append(rule)
        if not rule.passed:
            return None
    for constraint in kernel.constraints:
        rule, left = _constraint(constraint, sizes, dispatch, host=host)
        rules.append(rule)
        if not rule.passed:
            return None
        fallback += [constraint.text] * left
    return replace(match, fallback=tuple(fallback))


def _conditions(kernel: Kernel, match: Match, sizes: Mapping[str, Index]) -> Iterator[Rule]:
    """Check the conditions of `[parameters]`; one over a value that is only known at launch fails."""
    parameters = {p.name: p.value for p in match.parameters}
    types = {name: value.type for name, value in parameters.items()}
    for condition in kernel.conditions:
        values: dict[str, float] = {}
        unknown: list[str] = []
        for name in sorted(condition.names):
            value = parameters[name].constant if name in parameters else sizes.get(name)
            if isinstance(value, int | float):
                values[name] = value
            else:
                unknown.append(f"{name} is {parameters.get(name, 'known at run time only')}")
        if unknown:
            yield Rule(name="parameter", passed=False, expected=condition.text, found=", ".join(unknown))
            continue
        found = ", ".join(f"{name} = {format_value(value, types.get(name, 'i64'))}" for name, value in values.items())
        passed = evaluate_condition(condition, values, types)
        yield Rule(name="parameter", passed=passed, expected=condition.text, found=found)


def _constraint(
    constraint: Constraint, sizes: Mapping[str, Index], dispatch: Dispatch, *, host: bool
) -> tuple[Rule, bool]:
    """Return the rule, and True if it is left to run time."""
    unbound = sorted(constraint.axes - sizes.keys())
    if unbound:
        found = f"{', '.join(unbound)} is not the size of a loop, so its value is unknown here"
        return Rule(name="constraint", passed=False, expected=constraint.text, found=found), False
    condition = constraint_to_index(constraint, {axis: sizes[axis] for axis in constraint.axes})
    if isinstance(condition, bool):
        values = describe_sizes(constraint, sizes)
        return Rule(name="constraint", passed=condition, expected=constraint.text, found=values), False
    dynamic = [axis for axis in sorted(constraint.axes) if not isinstance(sizes[axis], int)]
    found = f"{', '.join(dynamic)} known at run time only"
    if not host and dispatch.target.backend not in CALL_OUT_BACKENDS:
        found += f", and {NO_HOST}"
    elif any(unknown_to_host(dispatch, sizes[axis]) for axis in dynamic):
        found += ", and not to the host that launches the dispatch"
    else:
        found += ": IREE's code stays in as the fallback"
        return Rule(name="constraint", passed=True, expected=constraint.text, found=found), True
    return Rule(name="constraint", passed=False, expected=constraint.text, found=found), False


def rank(decision: Decision) -> tuple[int, ...]:
    """Return the rank of an accepted kernel, best last.

    The user's own come before built-in ones; then priority; how much of the dispatch the definition names, numbers
    before parameters; as many roundings as the dispatch before fewer; how closely the kernel names the target; and how
    many constraints it has.
    """
    kernel = decision.kernel
    assert decision.match is not None
    target = max((_closeness(rule) for rule in kernel.targets), default=0)
    return (
        int(not kernel.builtin),
        kernel.priority,
        decision.match.specificity,
        -len(decision.match.parameters),
        -any(LAWS[law].rounds_less for law in decision.match.laws),
        target,
        len(kernel.constraints) + len(kernel.dispatches),
    )


def _closeness(rule: TargetRule) -> int:
    named = bool(rule.format) + bool(rule.architectures) + len(rule.features)
    return named + len(rule.config) + len(rule.config_tests) + len(rule.device)


def choose(decisions: Sequence[Decision]) -> Decision | None:
    """Return the best accepted decision. Raises `PlanError` for a tie."""
    best = choose_all(decisions)
    return best[0] if best else None


def choose_all(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Return the accepted decisions, best first, up to the first that every device and every size takes.

    Raises `PlanError` for a tie, unless no device takes both.
    """
    accepted = sorted((d for d in decisions if d.accepted), key=lambda d: d.kernel.name)
    accepted.sort(key=rank, reverse=True)
    chosen: list[Decision] = []
    for at, decision in enumerate(accepted):
        if any(_always_before(first, decision) for first in chosen):
            continue
        chosen.append(decision)
        for other in accepted[at + 1 :]:
            if rank(other) == rank(decision) and not _never_both(decision, other):
                raise _tie(decision, other)
        if not _leaves_over(decision):
            break
    return tuple(chosen)


def _always_before(first: Decision, other: Decision) -> bool:
    """Return True if `first` takes any size and has no further device tests, so that the other is never reached."""
    assert first.match is not None
    asked = [frozenset(way.device) for way in _ways(first)]
    return not first.match.fallback and all(any(a <= frozenset(w.device) for a in asked) for w in _ways(other))


def _leaves_over(decision: Decision) -> bool:
    """Return True if some device or some size remains for the next kernel."""
    assert decision.match is not None
    return bool(decision.match.fallback or _ways(decision)[0].device)


def _ways(decision: Decision) -> tuple[TargetRule, ...]:
    return select_target_rules(decision.kernel.targets, decision.dispatch.target)


def _never_both(one: Decision, other: Decision) -> bool:
    return exclude_each_other(_ways(one), _ways(other))


def _tie(one: Decision, other: Decision) -> PlanError:
    first, second = sorted((one.kernel, other.kernel), key=lambda k: k.name)
    return PlanError(
        f"two kernels fit {one.dispatch.name} equally well",
        expected="one that is better by origin, priority, specificity, target or constraints",
        found=f"{first.name} ({first.folder}) and {second.name} ({second.folder})",
        next_step="give one of them a higher `priority` in its kernel.toml",
    )


def make_plan(
    dispatches: Sequence[Dispatch],
    kernels: Sequence[Kernel],
    accepts: Accepts,
    *,
    chosen: Chosen | None = None,
    require: Sequence[str] = (),
    host: bool = True,
    demands: Sequence[NumericDemand] = (),
) -> Plan:
    """Decide for every dispatch. `chosen` replays a saved plan and nothing else; `host`, `demands` as for `decide`.

    Raises `PlanError` for ties, for a required kernel that took nothing, and for a saved plan that does not fit.
    """
    by_backend: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        for backend in {rule.backend for rule in kernel.targets}:
            by_backend.setdefault(backend, []).append(kernel)
    decisions: list[Decision] = []
    substitutions: list[Substitution] = []
    for dispatch in dispatches:
        known = by_backend.get(dispatch.target.backend, ())
        own = [decide(k, dispatch, accepts, host=host, demands=demands) for k in known]
        decisions.extend(own)
        untuned: Sequence[tuple[Decision, Tuning]] = [(d, ()) for d in choose_all(own)] if chosen is None else []
        for best, tuning in untuned if chosen is None else _replayed(dispatch, own, chosen):
            assert best.match is not None
            substitutions += [
                Substitution(dispatch=dispatch, kernel=best.kernel, match=best.match, rule=way, tuning=tuning)
                for way in _ways(best)
            ]
    plan = Plan(substitutions=tuple(substitutions), decisions=tuple(decisions), dispatches=tuple(dispatches))
    _check_replayed(plan, chosen or {})
    check_required(plan, kernels, require)
    return plan


def _replayed(dispatch: Dispatch, decisions: Sequence[Decision], chosen: Chosen) -> list[tuple[Decision, Tuning]]:
    names = chosen.get(f"{dispatch.variant}::{dispatch.name}", chosen.get(dispatch.name, ()))
    found = []
    for text in dict.fromkeys((names,) if isinstance(names, str) else names):
        name, tuning = parse_choice(text)
        decision = _of_kernel(name, dispatch, decisions)
        _check_tuning(decision, tuning)
        found.append((decision, tuning))
    return found


def _check_tuning(decision: Decision, tuning: Tuning) -> None:
    """Raise `PlanError` for a value that the kernel's manifest does not allow."""
    allowed = dict(decision.kernel.tune)
    for name, value in tuning:
        if value not in allowed.get(name, ()):
            values = "; ".join(f"{n} = {', '.join(map(str, v))}" for n, v in allowed.items())
            raise PlanError(
                f"the plan tunes {decision.kernel.name} for {decision.dispatch.name} in a way that it does not know",
                where=f"{decision.kernel.folder / 'kernel.toml'}: tune",
                expected=values or "no parameters to tune",
                found=f"{name} = {value}",
                next_step="write a new plan with `iree-substitute tune`",
            )


def _of_kernel(name: str, dispatch: Dispatch, decisions: Sequence[Decision]) -> Decision:
    decision = next((d for d in decisions if d.kernel.name == name), None)
    if decision is None or not decision.accepted:
        failed = decision.rules[-1] if decision else None
        raise PlanError(
            f"the plan's kernel {name} does not fit {dispatch.name}",
            where=failed.name if failed else "catalog",
            expected=failed.expected if failed else "a kernel of this name for this backend",
            found=failed.found if failed else "none in the catalog",
            next_step="edit the plan, or add the kernel's folder with --kernels",
        )
    return decision


def _check_replayed(plan: Plan, chosen: Chosen) -> None:
    known = {name for d in plan.dispatches for name in (d.name, f"{d.variant}::{d.name}")}
    missing = sorted(set(chosen) - known)
    if missing:
        raise PlanError(
            "the plan names dispatches that the model does not have",
            expected="dispatches of this model, compiled with these flags",
            found=", ".join(missing),
            next_step="write a new plan with --plan-out",
        )


def check_required(plan: Plan, kernels: Sequence[Kernel], require: Sequence[str]) -> None:
    """Raise `PlanError` for a kernel of `require` that took nothing."""
    used = {s.kernel.name for s in plan.substitutions}
    for name in require:
        if name in used:
            continue
        if name not in {k.name for k in kernels}:
            known = ", ".join(sorted(k.name for k in kernels)) or "none"
            raise PlanError(
                f"the required kernel {name} is not in the catalog",
                expected=f"one of: {known}",
                found=name,
                next_step="check the name, or add its folder with --kernels",
            )
        own = [d for d in plan.decisions if d.kernel.name == name]
        beaten = next((d for d in own if d.accepted), None)
        if beaten is not None:
            raise _beaten(plan, beaten)
        near = nearest_miss(own)
        if own and (split := find_split(own[0].kernel, plan.dispatches)):
            raise PlanError(
                f"the required kernel {name} took no dispatch",
                where=split[0].name,
                expected="one dispatch that computes its definition",
                found=describe_split(split),
                next_step="see whether `iree-substitute explain` names a flag with which IREE makes one of it",
            )
        raise PlanError(
            f"the required kernel {name} took no dispatch",
            where=near.dispatch.name if near else "",
            expected=near.rules[-1].expected if near else "a dispatch of its backend",
            found=(f"{near.rules[-1].found} (rule {near.rules[-1].name})" if near else "none in this model"),
            next_step="`iree-substitute explain` shows every rule for one dispatch",
        )


def _beaten(plan: Plan, decision: Decision) -> PlanError:
    taker = next((s.kernel.name for s in plan.substitutions if s.dispatch == decision.dispatch), None)
    return PlanError(
        f"the required kernel {decision.kernel.name} took no dispatch",
        where=decision.dispatch.name,
        expected="the best kernel that fits" if taker else "a plan that names it",
        found=f"{taker} goes first" if taker else "it fits, but the plan leaves this dispatch to IREE",
        next_step="give it a higher `priority` in its kernel.toml" if taker else "edit the plan",
    )
