"""Check of the code of a plan's kernels, as far as possible without compiling the model."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, field, replace

from ..abi.bind import bind
from ..errors import SubstituteError
from ..match.devices import select_target_rules
from ..model.plan import Decision, Key, Plan, Rule, Substitution, dispatch_key
from .build import build, make, prepare, specialize_for_device
from .generator import generate
from .kinds.generator import GeneratorKind
from .launch import launch_count
from .store import look_up

BROKEN = "payload.code"
"""Rule that fails for a kernel that matches but whose code cannot be embedded."""

Check = Callable[[Substitution], object]
"""Function that raises `SubstituteError` for a substitution that cannot be made."""

Pair = tuple[Key, str]
"""A dispatch, by its key, and the name of a kernel."""


def pair_of(decision: Decision) -> Pair:
    """Return the dispatch and the kernel that a decision is about."""
    return dispatch_key(decision.dispatch), decision.kernel.name


def reject_broken(plan: Plan, *, also: Check = lambda _substitution: None, made: Container[Pair] = frozenset()) -> Plan:
    """Return the plan with a failed rule for each kernel that matches and whose code cannot be built.

    A dispatch that such a kernel would take has no substitution then: compiling the model ends in that error.
    Files are checked for each target and layout. Generators write code for one dispatch at a time: those that the plan
    has chosen are asked for its text, and those of the pairs in `made` for all that compiling needs.
    """
    chosen = {(dispatch_key(s.dispatch), s.kernel.name) for s in plan.substitutions}
    checker = _Checker(also=also, chosen=chosen, made=made)
    decisions = tuple(checker.checked(decision) for decision in plan.decisions)
    changed = (old for old, new in zip(plan.decisions, decisions, strict=True) if new is not old)
    broken = {(id(decision.dispatch), decision.kernel.name) for decision in changed}
    without = {id(s.dispatch) for s in plan.substitutions if (id(s.dispatch), s.kernel.name) in broken}
    substitutions = tuple(s for s in plan.substitutions if id(s.dispatch) not in without)
    return replace(plan, substitutions=substitutions, decisions=decisions)


@dataclass(slots=True, kw_only=True)
class _Checker:
    also: Check
    chosen: Container[Pair]
    made: Container[Pair]
    built: dict[Hashable, SubstituteError | None] = field(default_factory=dict)

    def checked(self, decision: Decision) -> Decision:
        """Return the decision, or its rejection."""
        match, kernel, dispatch = decision.match, decision.kernel, decision.dispatch
        check = self._check_for(decision)
        if match is None or check is None:
            return decision
        for way in select_target_rules(kernel.targets, dispatch.target):
            error = check(Substitution(dispatch=dispatch, kernel=kernel, match=match, rule=way))
            if error is not None:
                found = ": ".join(part for part in (error.where, error.what, error.found) if part)
                rule = Rule(name=BROKEN, passed=False, expected=error.expected or "code that can be built", found=found)
                return replace(decision, rules=(*decision.rules, rule), match=None)
        return decision

    def _check_for(self, decision: Decision) -> Callable[[Substitution], SubstituteError | None] | None:
        kind, pair = decision.kernel.payload.kind, pair_of(decision)
        if kind.rewrites_body:
            return None
        if pair in self.made:
            return self._make
        if kind.launch == "manifest":
            return self._build_file
        return self._write if pair in self.chosen and isinstance(kind, GeneratorKind) else None

    def _make(self, substitution: Substitution) -> SubstituteError | None:
        """Return the error with which compiling ends, from all that it does to a payload."""
        try:
            order = prepare(substitution)
            self.also(substitution)
        except SubstituteError as error:
            return error
        return self._once(
            order.key or _own_key(substitution),
            lambda: make(order),
        )

    def _write(self, substitution: Substitution) -> SubstituteError | None:
        """Return the error of a generator that refuses to write code for a dispatch."""
        try:
            order = prepare(substitution)
            self.also(substitution)
        except SubstituteError as error:
            return error
        if order.key and look_up(order.key) is not None:
            return None
        return self._once(
            order.key or _own_key(substitution),
            lambda: generate(order.request),
        )

    def _build_file(self, substitution: Substitution) -> SubstituteError | None:
        substitution = specialize_for_device(substitution)
        kernel, dispatch = substitution.kernel, substitution.dispatch
        try:
            request = bind(substitution, entry=kernel.payload.kind.entry_name(kernel, dispatch))
            launch_count(request)
            self.also(substitution)
        except SubstituteError as error:
            return error
        # sizes change what is in the code, not whether it can be built
        values = tuple((value.name, value.value.type) for value in request.values)
        arguments = (len(request.parameters), request.scalar_names, values)
        key = (kernel.name, substitution.match.form, dispatch.target, dispatch.layout, arguments, substitution.rule)
        return self._once(key, lambda: build(substitution))

    def _once(self, key: Hashable, work: Callable[[], object]) -> SubstituteError | None:
        """Return the error of some work, which is done once for each key."""
        if key not in self.built:
            self.built[key] = None
            try:
                work()
            except SubstituteError as error:
                self.built[key] = error
        return self.built[key]


def _own_key(substitution: Substitution) -> Hashable:
    return dispatch_key(substitution.dispatch), substitution.kernel.name, substitution.rule
