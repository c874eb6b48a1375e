"""Unifies the scalar expression of a definition's loop nest with a dispatch's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..model.dispatch import Nest
from ..model.scalar import ScalarGraph

COMMUTATIVE = frozenset(
    f"arith.{name}"
    for name in (
        "addf", "mulf", "maximumf", "minimumf", "maxnumf", "minnumf",
        "addi", "muli", "maxsi", "minsi", "maxui", "minui", "andi", "ori", "xori",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unified:
    """For each read of the definition, the dispatch's node that stands in its place."""

    nodes: Mapping[int, int]


def unify(pattern: ScalarGraph, graph: ScalarGraph, *, prologue: bool) -> Iterator[Unified]:
    """Every way in which `graph` is `pattern` with something in the place of the pattern's reads.

    With `prologue` anything may stand there, without only a read; two reads never share a node (x·x is no a·b).
    Operands of commutative operations match in
    either order.
    """
    if len(pattern.results) != len(graph.results):
        return
    pairs = list(zip(pattern.results, graph.results, strict=True))
    for nodes in _unify_all(pattern, graph, pairs, {}, prologue):
        yield Unified(nodes)


def _unify_all(
    pattern: ScalarGraph, graph: ScalarGraph, pairs: list[tuple[int, int]], bound: dict[int, int], prologue: bool
) -> Iterator[dict[int, int]]:
    if not pairs:
        yield bound
        return
    (p, g), rest = pairs[0], pairs[1:]
    wanted, found = pattern.nodes[p], graph.nodes[g]
    if wanted.op == "read":
        assert isinstance(wanted.attribute, int)
        if wanted.type != found.type or not (prologue or found.op == "read"):
            return
        taken = any(node == g for read, node in bound.items() if read != wanted.attribute)
        if bound.get(wanted.attribute, g) == g and not taken:
            yield from _unify_all(pattern, graph, rest, {**bound, wanted.attribute: g}, prologue)
        return
    same = wanted.op == found.op and wanted.type == found.type and len(wanted.operands) == len(found.operands)
    if not same or repr(wanted.attribute) != repr(found.attribute):
        return
    orders = [found.operands]
    if wanted.op in COMMUTATIVE and found.operands[0] != found.operands[1]:
        orders.append(found.operands[::-1])
    for order in orders:
        pairs_below = list(zip(wanted.operands, order, strict=True))
        yield from _unify_all(pattern, graph, pairs_below + rest, bound, prologue)


@dataclass(frozen=True, slots=True)
class LoopUse:
    """How one loop is used: what decides which axis of a definition it can be."""

    kind: str
    reads: frozenset[int]
    """The definition's reads in which it occurs."""
    windowed: frozenset[int]
    """Those in which it shares its coordinate with another loop, or jumps."""

    def words(self, names: tuple[str, ...]) -> str:
        """For people."""
        where = ", ".join(names[r] + (" (windowed)" if r in self.windowed else "") for r in sorted(self.reads))
        return f"a {self.kind} loop in {where or 'no input'}"


def loop_uses(nest: Nest, roots: Mapping[int, int]) -> tuple[LoopUse, ...]:
    """The use of each loop, where read `r` of the definition is the node `roots[r]` of this nest."""
    reads: list[set[int]] = [set() for _ in nest.sizes]
    windowed: list[set[int]] = [set() for _ in nest.sizes]
    for number, root in roots.items():
        for at in nest.expr.depends_on(root):
            node = nest.expr.nodes[at]
            if node.op == "index":
                assert isinstance(node.attribute, int)
                reads[node.attribute].add(number)
            if node.op != "read":
                continue
            assert isinstance(node.attribute, int)
            for coordinate in nest.reads[node.attribute].access:
                is_window = len(coordinate.terms) > 1 or any(c != 1 for _, c in coordinate.terms)
                for loop, _ in coordinate.terms:
                    reads[loop].add(number)
                    if is_window:
                        windowed[loop].add(number)
    return tuple(
        LoopUse(kind, frozenset(r), frozenset(w)) for kind, r, w in zip(nest.kinds, reads, windowed, strict=True)
    )
