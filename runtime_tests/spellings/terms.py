"""Scalar expressions as trees, in which a subtree can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from substitute.model.scalar import GraphBuilder, ScalarGraph


@dataclass(frozen=True, slots=True)
class Term:
    """A scalar expression as a tree."""

    op: str
    type: str
    operands: tuple[Term, ...] = ()
    attribute: object = None

    def paths(self) -> Iterator[tuple[int, ...]]:
        """Yield the place of every subtree."""
        yield ()
        for at, operand in enumerate(self.operands):
            yield from ((at, *path) for path in operand.paths())

    def at(self, path: tuple[int, ...]) -> Term:
        """Return the subtree at a place."""
        return self if not path else self.operands[path[0]].at(path[1:])

    def put(self, path: tuple[int, ...], other: Term) -> Term:
        """Return the tree with another subtree at a place."""
        if not path:
            return other
        operands = list(self.operands)
        operands[path[0]] = operands[path[0]].put(path[1:], other)
        return replace(self, operands=tuple(operands))


def tree_of(graph: ScalarGraph, at: int) -> Term:
    """Return the expression of one node."""
    node = graph.nodes[at]
    return Term(node.op, node.type, tuple(tree_of(graph, o) for o in node.operands), node.attribute)


def graph_of(terms: list[Term]) -> ScalarGraph:
    """Return the graph with these results."""
    builder = GraphBuilder()

    def add(term: Term) -> int:
        return builder.add(term.op, term.type, tuple(add(o) for o in term.operands), term.attribute)

    return builder.graph(tuple(add(t) for t in terms))
