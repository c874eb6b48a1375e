"""Unification of the scalar expression of a definition's loop nest with a dispatch's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..model.dispatch import Nest
from ..model.index import Index
from ..model.ops import COMMUTATIVE
from ..model.scalar import ScalarGraph
from .parameters import find_parameter, is_same_value


@dataclass(frozen=True, slots=True)
class Unified:
    """Parts of the dispatch that correspond to the definition's leaves."""

    nodes: Mapping[int, int]
    """Node of the dispatch for each read or gather of the definition, by the number of its source."""
    loops: Mapping[int, int]
    """Loop of the dispatch for each loop whose index the definition computes with."""
    parameters: Mapping[int, int]
    """Node of the dispatch for each parameter of the definition."""
    laws: frozenset[str] = frozenset()
    """Names of the laws by which both have one form; empty if they are spelled alike."""
    sizes: tuple[tuple[str, Index], ...] = ()
    """Axes whose sizes the definition computes with, and the assumed sizes."""


def unify(pattern: ScalarGraph, graph: ScalarGraph, *, prologue: bool) -> Iterator[Unified]:
    """Yield every unifier of `graph` with `pattern`, whose reads match any subgraph.

    With `prologue` reads match anything, without it only reads; two reads never share a node (x·x is not a·b). Operands
    of commutative operations match in either order.
    """
    if len(pattern.results) != len(graph.results):
        return
    pairs = list(zip(pattern.results, graph.results, strict=True))
    for bound in _unify_all(pattern, graph, pairs, {}, prologue):
        nodes = {number: node for (kind, number), node in bound.items() if kind == "source"}
        loops = {number: loop for (kind, number), loop in bound.items() if kind == "loop"}
        yield Unified(nodes, loops, {number: node for (kind, number), node in bound.items() if kind == "parameter"})


_Bound = Mapping[tuple[str, int], int]
"""("source", number of the definition's read) → node, ("loop", the definition's loop) → loop, ("parameter", its number)
→ node."""


def _unify_all(
    pattern: ScalarGraph, graph: ScalarGraph, pairs: list[tuple[int, int]], bound: _Bound, prologue: bool
) -> Iterator[_Bound]:
    if not pairs:
        yield bound
        return
    (p, g), rest = pairs[0], pairs[1:]
    wanted, found = pattern.nodes[p], graph.nodes[g]
    if wanted.type != found.type:
        return
    if wanted.op == "read":
        joined = with_leaf(bound, ("source", wanted.attribute), g) if prologue or found.op == "read" else None
        if joined is not None:
            yield from _unify_all(pattern, graph, rest, joined, prologue)
        return
    number = find_parameter(pattern, p, graph, g)
    if number is not None:
        if is_same_value(graph, bound.get(("parameter", number), g), g):
            yield from _unify_all(pattern, graph, rest, {("parameter", number): g, **bound}, prologue)
        return
    if wanted.op == "parameter":
        return
    if wanted.op != found.op or len(wanted.operands) != len(found.operands):
        return
    if wanted.op in ("gather", "index"):
        leaf = g if wanted.op == "gather" else found.attribute
        joined = with_leaf(bound, ("source" if wanted.op == "gather" else "loop", wanted.attribute), leaf)
        if joined is None:
            return
        bound = joined
    elif repr(wanted.attribute) != repr(found.attribute):
        return
    orders = [found.operands]
    if wanted.op in COMMUTATIVE and found.operands[0] != found.operands[1]:
        orders.append(found.operands[::-1])
    for order in orders:
        pairs_below = list(zip(wanted.operands, order, strict=True))
        yield from _unify_all(pattern, graph, pairs_below + rest, bound, prologue)


def with_leaf(bound: _Bound, leaf: tuple[str, object], value: object) -> _Bound | None:
    """Return `bound` with one more leaf; None if it is bound differently, or another leaf has the same value."""
    kind, number = leaf
    assert isinstance(number, int)
    assert isinstance(value, int)
    if any((other == number) != (known == value) for (k, other), known in bound.items() if k == kind):
        return None
    return {**bound, (kind, number): value}


@dataclass(frozen=True, slots=True)
class LoopUse:
    """Uses of one loop, which determine the axes of a definition that it can be."""

    kind: str
    reads: frozenset[int]
    """The definition's reads in which it occurs."""
    windowed: frozenset[int]
    """Uses in which it shares its coordinate with another loop, or has a stride."""

    def words(self, names: tuple[str, ...]) -> str:
        """Format the uses for messages."""
        where = ", ".join(names[r] + (" (windowed)" if r in self.windowed else "") for r in sorted(self.reads))
        return f"a {self.kind} loop in {where or 'no input'}"


def loop_uses(nest: Nest, roots: Mapping[int, int]) -> tuple[LoopUse, ...]:
    """Return the use of each loop, where read `r` of the definition is the node `roots[r]` of this nest."""
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
