"""Plans and dispatches as JSON. Field names are fixed: programs rely on them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..model.index import Index
from ..model.parameter import BoundParameter
from ..model.plan import Decision, Match, Payload, Plan, Rule, Substitution, substitution_names
from ..plan_file import PLAN_SCHEMA
from .rows import DispatchRow, dispatch_rows, find_verdict
from .text import format_tensor

if TYPE_CHECKING:
    from ..guard.verdict import Checked, Verdict
    from ..validate import ModelVerdict


def plan_to_json(
    plan: Plan, payloads: Mapping[str, Payload] | None = None, checked: Sequence[Checked] = ()
) -> dict[str, Any]:
    """Return a plan that can be saved, edited and replayed: `payloads` (by dispatch name) adds the embedded code.

    `checked` adds the verdicts, and the kernels left out because of them.
    """
    verdicts = {c.key: c.verdict for c in checked}
    rows = dispatch_rows(plan)
    variants: dict[str, set[str]] = {}
    for dispatch in plan.dispatches:
        variants.setdefault(dispatch.name, set()).add(dispatch.variant)
    return {
        "schema": PLAN_SCHEMA,
        "substitutions": [
            _substitution(s, (payloads or {}).get(name), several=len(variants[s.dispatch.name]) > 1)
            | _check(verdicts.get((s.dispatch.executable, s.dispatch.variant, s.dispatch.name)))
            for name, s in zip(substitution_names(plan.substitutions), plan.substitutions, strict=True)
        ],
        "unsubstituted": [
            {"dispatch": r.dispatch.name, "reason": r.dispatch.reason, "nearest": _nearest(r)}
            for r in rows
            if r.substitution is None
        ],
        **({"left_out": [_left_out(c) for c in checked if c.left_out]} if checked else {}),
    }


def _check(verdict: Verdict | None) -> dict[str, Any]:
    return {} if verdict is None else {"check": {"text": verdict.text, **verdict.to_json()}}


def _left_out(checked: Checked) -> dict[str, Any]:
    names = [kernel.name for kernel in checked.kernels]
    return {"dispatch": checked.dispatch, "kernels": names} | _check(checked.verdict)


def inspection_to_json(plan: Plan) -> dict[str, Any]:
    """Return every dispatch with the kernel that takes it, or the nearest one."""
    return {"dispatches": [_dispatch(row) for row in dispatch_rows(plan)]}


def explanation_to_json(decisions: list[Decision], plan: Plan) -> dict[str, Any]:
    """Return every rule of these decisions."""
    return {
        "decisions": [
            {
                "dispatch": d.dispatch.name,
                "kernel": d.kernel.name,
                "accepted": d.accepted,
                "form": d.match.form if d.match else None,
                "axes": _axes(d.match) if d.match else None,
                "parameters": _parameters(d.match) if d.match else None,
                "laws": list(d.match.laws) if d.match else None,
                "check": find_verdict(plan, d) or None,
                "rules": [
                    {"rule": r.name, "passed": r.passed, "expected": r.expected, "found": r.found} for r in d.rules
                ],
            }
            for d in decisions
        ]
    }


def verdict_to_json(verdict: ModelVerdict, *, drawn: bool) -> dict[str, Any]:
    """Compare with stock IREE; infinity is the string `inf`. `drawn`: the inputs are drawn from the seed."""
    from .validation_json import dispatch_verdict_to_json

    return {
        "passed": verdict.passed,
        "device": verdict.device,
        "seed": verdict.seed if drawn else None,
        "note": verdict.note,
        "results": [
            {
                "result": r.number,
                "type": r.type,
                "passed": r.passed,
                "reason": r.reason,
                "largest_error": _finite(r.largest_error),
                "share": _finite(r.share),
                "tolerance": r.tolerance,
            }
            for r in verdict.results
        ],
        "dispatches": [dispatch_verdict_to_json(d) for d in verdict.dispatches],
        "culprits": list(verdict.culprits),
        "reproducers": list(verdict.reproducers),
        **plan_to_json(verdict.plan),
    }


def _finite(value: float) -> float | str:
    """Return infinities and NaN as strings, as JSON has none."""
    return value if math.isfinite(value) else str(value)


def _dispatch(row: DispatchRow) -> dict[str, Any]:
    dispatch, cost = row.dispatch, row.cost
    operands = dispatch.program.operands if dispatch.program else ()
    return {
        "name": dispatch.name,
        "executable": dispatch.executable,
        "target": dispatch.target.backend,
        "format": dispatch.target.format,
        "kind": dispatch.kind,
        "read": dispatch.program is not None,
        "reason": dispatch.reason,
        "kernel": row.substitution.kernel.name if row.substitution else None,
        "form": row.substitution.match.form if row.substitution else None,
        "axes": _axes(row.substitution.match) if row.substitution else None,
        "parameters": _parameters(row.substitution.match) if row.substitution else None,
        "operations": list(dispatch.operations),
        "operands": [
            {
                "type": format_tensor(o.type),
                "access": o.access,
                "kind": o.kind,
                "binding": o.binding if o.kind == "binding" else None,
            }
            for o in operands
        ],
        "flops": _known(cost.flops) if cost else None,
        "bytes": _known(cost.bytes) if cost else None,
        "nearest": _nearest(row),
        "check": row.verdict or None,
    }


def _nearest(row: DispatchRow) -> dict[str, Any] | None:
    rule: Rule | None = row.failed_rule
    if row.nearest is None or rule is None:
        return None
    return {"kernel": row.nearest.kernel.name, "rule": rule.name, "expected": rule.expected, "found": rule.found}


def _substitution(substitution: Substitution, payload: Payload | None, *, several: bool) -> dict[str, Any]:
    """Return a substitution; the variant's name is omitted unless `several` have this dispatch, to fit other
    targets.
    """
    kernel, match = substitution.kernel, substitution.match
    return {
        "dispatch": substitution.dispatch.name,
        **({"variant": substitution.dispatch.variant} if several else {}),
        "kernel": kernel.name,
        **({"tuning": dict(substitution.tuning)} if substitution.tuning else {}),
        "form": match.form,
        "axes": _axes(match),
        "parameters": _parameters(match),
        "device": [str(test) for test in substitution.rule.device] if substitution.rule else [],
        "fallback": list(match.fallback),
        "payload": _payload(payload) if payload else {"kind": kernel.payload.kind.name, "entry": kernel.payload.entry},
    }


def _payload(payload: Payload) -> dict[str, Any]:
    return {
        "kind": str(payload.format),
        "entry": payload.entry,
        "size_bytes": len(payload.data),
        "sha256": hashlib.sha256(payload.data).hexdigest(),
        "workgroup_count": [_value(v) for v in payload.workgroup_count] if payload.workgroup_count else None,
        "workgroup_size": list(payload.workgroup_size) if payload.workgroup_size else None,
        "shared_memory_bytes": payload.shared_memory_bytes,
        "summary": payload.summary,
    }


def _axes(match: Match) -> dict[str, int | str]:
    return {axis.name: _value(axis.size) for axis in match.axes}


def _parameters(match: Match) -> dict[str, int | float | str]:
    """Return the parameters' values; infinities and NaN as strings."""
    return {p.name: _number(p) for p in match.parameters}


def _number(bound: BoundParameter) -> int | float | str:
    constant = bound.value.constant
    return constant if constant is not None and math.isfinite(constant) else str(bound.value)


def _value(value: Index) -> int | str:
    return value if isinstance(value, int) else str(value)


def _known(value: Index | None) -> int | None:
    return value if isinstance(value, int) else None
