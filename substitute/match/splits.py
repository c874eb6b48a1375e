"""Search for a definition that IREE has split into several dispatches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..model.dispatch import Dispatch, Program
from ..model.kernel import Form, Kernel
from ..model.plan import Decision, Plan, Rule, dispatch_key
from .nearness import measure_likeness
from .spelled_out import spell_out
from .structure import list_cores

_CORES = "structure.cores"
"""Rule that fails where a dispatch holds other reductions and named operations than the definition."""
_MOST_DISPATCHES = 16


def find_split(kernel: Kernel, dispatches: Sequence[Dispatch]) -> tuple[Dispatch, ...]:
    """Return neighbouring dispatches that together hold what a definition holds; none where no two or more do.

    They hold its reductions in order, hand values on to each other, and are more like it than any of them alone.
    """
    known = [d for d in dispatches if d.program is not None]
    found: list[tuple[float, int, tuple[Dispatch, ...]]] = []
    for form in kernel.forms:
        wanted = _heads(form.program)
        if len(wanted) + _computes(form.program) < 2:
            continue
        heads = [_heads(d.program) for d in known if d.program is not None]
        for first in range(len(known)):
            last = _find_end(wanted, heads, first)
            if last is None:
                continue
            if _computes(form.program) and last + 1 < len(known) and not heads[last + 1]:
                last += int(not _stores_computed(known[last]))
            own = tuple(known[first : last + 1])
            if len(own) > 1 and _hands_on(own) and (likeness := _joint_likeness(kernel, form, own)):
                found.append((likeness, -first, own))
    return max(found, key=lambda item: item[:2])[2] if found else ()


def _heads(program: Program) -> tuple[str, ...]:
    """Return the reductions and named operations in order, a softmax as its two."""
    return tuple(head for head in list_cores(spell_out(program) or program) if head != "element-wise")


def _computes(program: Program) -> bool:
    return any(node.operands for nest in program.stores for node in nest.expr.nodes)


def _stores_computed(dispatch: Dispatch) -> bool:
    return dispatch.program is not None and _computes(dispatch.program)


def _find_end(wanted: Sequence[str], heads: Sequence[tuple[str, ...]], first: int) -> int | None:
    """Return the last of the dispatches from one on that hold exactly these reductions; None if none do."""
    held: tuple[str, ...] = ()
    for at in range(first, min(first + _MOST_DISPATCHES, len(heads))):
        held += heads[at]
        if held == tuple(wanted):
            return at if heads[first] else None
        if held != tuple(wanted[: len(held)]):
            return None
    return None


def _hands_on(dispatches: Sequence[Dispatch]) -> bool:
    """Return True if each dispatch writes what one after it may read."""
    return all(
        _types(dispatch, written=True) & frozenset().union(*(_types(d, written=False) for d in dispatches[at + 1 :]))
        for at, dispatch in enumerate(dispatches[:-1])
    )


def _types(dispatch: Dispatch, *, written: bool) -> frozenset[tuple[int, str]]:
    """Return how many elements of which types a dispatch reads or writes; a reshape between two counts for nothing."""
    assert dispatch.program is not None
    stages = [*dispatch.program.cores, *dispatch.program.stores]
    types = (
        [w.view.type for nest in dispatch.program.stores for w in nest.writes]
        if written
        else [read.type for stage in stages for read in stage.reads if not isinstance(read.source, int)]
    )
    return frozenset((_count(t.shape), t.element) for t in types)


def _count(shape: Iterable[object]) -> int:
    """Return the product of the sizes that are known."""
    product = 1
    for size in shape:
        product *= size if isinstance(size, int) else 1
    return product


def _joint_likeness(kernel: Kernel, form: Form, dispatches: Sequence[Dispatch]) -> float:
    """Return the likeness of a definition and of dispatches as one; 0 if one of them alone is as like."""
    programs = [d.program for d in dispatches if d.program is not None]
    cores = tuple(itertools.chain.from_iterable(p.cores for p in programs))
    joint = measure_likeness(kernel, form, replace(programs[-1], cores=cores))
    return joint if all(joint > measure_likeness(kernel, form, program) for program in programs) else 0.0


def with_splits(plan: Plan) -> Plan:
    """Return the plan in which a kernel that took nothing says into which dispatches IREE has split its definition."""
    groups: dict[int, list[Decision]] = {}
    for decision in plan.decisions:
        groups.setdefault(id(decision.kernel), []).append(decision)
    told: dict[tuple[int, object], str] = {}
    for number, own in groups.items():
        if any(d.accepted for d in own) or not any(d.rules[-1].name == _CORES for d in own):
            continue
        split = find_split(own[0].kernel, [d.dispatch for d in own])
        words = describe_split(split)
        told |= {(number, dispatch_key(dispatch)): words for dispatch in split}
    if not told:
        return plan
    decisions = (_told(d, told.get((id(d.kernel), dispatch_key(d.dispatch)), "")) for d in plan.decisions)
    return replace(plan, decisions=tuple(decisions))


def describe_split(dispatches: Sequence[Dispatch]) -> str:
    """Return the words that name the dispatches of a split."""
    return f"IREE splits this into {len(dispatches)} dispatches: {', '.join(d.name for d in dispatches)}"


def with_parts(plan: Plan) -> Plan:
    """Return the plan in which a dispatch that may be a part of a definition says so, where no others are known."""
    decisions = []
    for decision in plan.decisions:
        program = decision.dispatch.program if decision.rules[-1].name == _CORES else None
        held = _heads(program) if program is not None else ()
        part = held and any(_is_part(held, _heads(form.program)) for form in decision.kernel.forms)
        words = (
            "a part of it: IREE splits such operations, and the filter gets one dispatch at a time; "
            "`iree-substitute compile` keeps those of kernels in a --kernels folder whole"
        )
        decisions.append(_told(decision, words if part else ""))
    return replace(plan, decisions=tuple(decisions))


def _is_part(held: Sequence[str], wanted: Sequence[str]) -> bool:
    size = len(held)
    return size < len(wanted) and any(
        tuple(wanted[at : at + size]) == tuple(held) for at in range(len(wanted) - size + 1)
    )


def _told(decision: Decision, words: str) -> Decision:
    last = decision.rules[-1]
    if not words or last.passed or last.name != _CORES:
        return decision
    rule = Rule(name=last.name, passed=False, expected=last.expected, found=f"{last.found}: {words}")
    return replace(decision, rules=(*decision.rules[:-1], rule))
