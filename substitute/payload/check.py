"""Check of the code of a plan's kernels, as far as possible without compiling the model."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from ..abi.bind import bind
from ..errors import SubstituteError
from ..match.devices import select_target_rules
from ..model.plan import Decision, Plan, Rule, Substitution
from .build import build, specialize_for_device
from .launch import launch_count

BROKEN = "payload.code"
"""Rule that fails for a kernel that matches but whose code cannot be embedded."""

Check = Callable[[Substitution], object]
"""Function that raises `SubstituteError` for a substitution that cannot be made."""


def reject_broken(plan: Plan, *, also: Check = lambda _substitution: None) -> Plan:
    """Return the plan with a failed rule for each kernel that matches and whose code cannot be built.

    A dispatch that such a kernel would take has no substitution then: compiling the model ends in that error.
    Generators make code for one dispatch at a time, which takes too long here; files are checked for each target and
    layout.
    """
    checker = _Checker(also=also)
    decisions = tuple(checker.checked(decision) for decision in plan.decisions)
    changed = (old for old, new in zip(plan.decisions, decisions, strict=True) if new is not old)
    broken = {(id(decision.dispatch), decision.kernel.name) for decision in changed}
    without = {id(s.dispatch) for s in plan.substitutions if (id(s.dispatch), s.kernel.name) in broken}
    substitutions = tuple(s for s in plan.substitutions if id(s.dispatch) not in without)
    return replace(plan, substitutions=substitutions, decisions=decisions)


@dataclass(slots=True, kw_only=True)
class _Checker:
    also: Check
    built: dict[Hashable, SubstituteError | None] = field(default_factory=dict)

    def checked(self, decision: Decision) -> Decision:
        """Return the decision, or its rejection."""
        match, kernel, dispatch = decision.match, decision.kernel, decision.dispatch
        if match is None or kernel.payload.kind.launch != "manifest":
            return decision
        for way in select_target_rules(kernel.targets, dispatch.target):
            error = self._error(Substitution(dispatch=dispatch, kernel=kernel, match=match, rule=way))
            if error is not None:
                found = ": ".join(part for part in (error.where, error.what, error.found) if part)
                rule = Rule(name=BROKEN, passed=False, expected=error.expected or "code that can be built", found=found)
                return replace(decision, rules=(*decision.rules, rule), match=None)
        return decision

    def _error(self, substitution: Substitution) -> SubstituteError | None:
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
        if key not in self.built:
            self.built[key] = None
            try:
                build(substitution)
            except SubstituteError as error:
                self.built[key] = error
        return self.built[key]
