"""Match of a dispatch's stores with a definition's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from ..model.dispatch import Nest, Program
from ..model.kernel import Form, Kernel
from ..model.plan import Axis, Rule
from ..model.scalar import ScalarGraph
from .axes import axis_of_loops
from .by_laws import unify_bodies
from .difference import count_agreement, describe_expression, find_difference
from .nests import bind_nest, operand_name, place_operand
from .parameters import find_conflict
from .state import NestMatch, State


def match_stores(kernel: Kernel, form: Form, program: Program, state: State) -> int | Rule:
    """Check the nests after the cores: any with an epilogue slot, else exactly the definition's stores.

    Without a core, a prologue slot takes the whole computation of the stored values.
    """
    if "epilogue" in kernel.slots:
        return 0
    if len(form.program.stores) != len(program.stores):
        return Rule(
            name="structure.epilogue",
            passed=False,
            expected="nothing after the core (no epilogue slot)",
            found=f"{len(program.stores)} loop nests that store",
        )
    count = 0
    for pattern, nest in zip(form.program.stores, program.stores, strict=True):
        rule = _match_store(kernel, form, pattern, nest, state)
        if rule is not None:
            return rule
        count += sum(1 for n in pattern.expr.nodes if n.operands)
    return count


def _match_store(kernel: Kernel, form: Form, pattern: Nest, nest: Nest, state: State) -> Rule | None:
    """Match one store and add its facts to `state`; return the failed rule, or None."""
    if "prologue" in kernel.slots and not form.program.cores:
        return _whole_element(kernel, pattern, nest, state)
    best: Rule | None = None
    for ordered in _orders_of_results(nest):
        for unified in unify_bodies(pattern, ordered, state.sizes, kernel):
            result = bind_nest(kernel, form, pattern, ordered, unified, state.produced)
            if not isinstance(result, Rule):
                result = _with_writes(kernel, pattern, ordered, result)
            rule = (
                result if isinstance(result, Rule) else find_conflict(kernel, state.parameters, dict(result.parameters))
            )
            if rule is None and isinstance(result, NestMatch):
                rule = state.add(result)
            if rule is None:
                return None
            best = best or rule
    if best is not None:
        return best
    nearest = max(_orders_of_results(nest), key=lambda n: count_agreement(pattern, n, prologue=False))
    names = tuple(operand_name(kernel, form, read) for read in pattern.reads)
    different = find_difference(pattern, nearest, names, prologue=False)
    hint = " (the kernel has no epilogue slot)" if form.program.cores and different.at_root else ""
    return Rule(name="structure.epilogue", passed=False, expected=different.expected + hint, found=different.found)


def _whole_element(kernel: Kernel, pattern: Nest, nest: Nest, state: State) -> Rule | None:
    """Match a definition `y[i] = x[i]` with a prologue: any element-wise nest over the loops i, whatever it reads."""
    names = axis_of_loops(pattern, kernel.operands)
    if len(names) != 1 or names[0] not in kernel.groups or pattern.expr.nodes[pattern.expr.results[0]].op != "read":
        return Rule(
            name="structure.epilogue",
            passed=False,
            found=describe_expression(pattern, pattern.expr.results[0]),
            expected="a definition y[i] = x[i] over one axis of `groups`, for a prologue without a core",
        )
    wanted, found = pattern.expr.nodes[pattern.expr.results[0]].type, nest.expr.nodes[nest.expr.results[0]].type
    if wanted != found or len(nest.writes) != 1:
        return Rule(
            name="structure.type",
            passed=False,
            expected=f"one result of type {wanted}",
            found=f"{len(nest.writes)} results" if len(nest.writes) != 1 else found,
        )
    axis = Axis(name=names[0], loops=tuple(range(len(nest.sizes))), sizes=nest.sizes)
    return state.add(NestMatch((axis,), {}, {}, 0))


def _orders_of_results(nest: Nest) -> Iterator[Nest]:
    """Yield the nest with its results in every order: IREE does not keep the order of the source."""
    for order in itertools.islice(itertools.permutations(range(len(nest.writes))), 24):
        results = tuple(nest.expr.results[n] for n in order)
        writes = tuple(nest.writes[n] for n in order)
        yield replace(nest, expr=ScalarGraph(nest.expr.nodes, results), writes=writes)


def _with_writes(kernel: Kernel, pattern: Nest, nest: Nest, result: NestMatch) -> NestMatch | Rule:
    """Add the placements of the results."""
    placements = dict(result.placements)
    for wanted, found in zip(pattern.writes, nest.writes, strict=True):
        placed = place_operand(kernel, wanted.view, wanted.access, found.view, found.access, result.axes)
        if isinstance(placed, Rule):
            return placed
        placements[wanted.view.operand] = placed
    return replace(result, placements=placements, produced=())
