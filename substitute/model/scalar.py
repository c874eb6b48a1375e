"""The scalar computation inside a loop nest, as a flat graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Scalar:
    """One scalar operation.

    Leaves have no operands:

    - `read`, attribute = position in the nest's `reads`: the element that this read yields at the current loop indices;
    - `index`, attribute = loop number: the loop's index, type `index`;
    - `constant`, attribute = an `int` or `float` (`nan`, `inf` allowed);
    - `size`, attribute = an `Index`: an integer known at launch, type `index` or an integer type;
    - `parameter`, attribute = position among the parameters of a definition: a scalar that the dispatch decides.

    `gather` has attribute = position in the nest's `reads` (whose access is empty) and one operand per dimension of
    that read's view: the element at these coordinates.
    Every other op has MLIR's name (`arith.addf`, `math.tanh`, `arith.cmpf`); a comparison's attribute is its predicate
    in MLIR's spelling (`olt`, `slt`, …).
    """

    op: str
    type: str
    """Element type of the result: `f32`, `f16`, `bf16`, `f64`, `i1`, `i8`, `i32`, `i64`, `index`, …"""
    operands: tuple[int, ...] = ()
    """Positions in the graph, each smaller than this one's."""
    attribute: object = None


@dataclass(frozen=True, slots=True)
class ScalarGraph:
    """Operations in order, and the positions of the results."""

    nodes: tuple[Scalar, ...]
    results: tuple[int, ...]

    def depends_on(self, root: int) -> frozenset[int]:
        """Positions of all nodes that `root` is computed from, itself included."""
        seen: set[int] = set()
        stack = [root]
        while stack:
            at = stack.pop()
            if at not in seen:
                seen.add(at)
                stack.extend(self.nodes[at].operands)
        return frozenset(seen)

    def part(self, results: tuple[int, ...]) -> ScalarGraph:
        """Return the graph of the nodes that `results` need."""
        order = sorted(frozenset[int]().union(*map(self.depends_on, results)))
        at = {old: new for new, old in enumerate(order)}
        nodes = tuple(
            replace(self.nodes[old], operands=tuple(at[o] for o in self.nodes[old].operands)) for old in order
        )
        return ScalarGraph(nodes, tuple(at[r] for r in results))


@dataclass(slots=True)
class GraphBuilder:
    """Builds a graph in which equal nodes are one node."""

    nodes: list[Scalar] = field(default_factory=list)
    _known: dict[Scalar, int] = field(default_factory=dict)

    def add(self, op: str, type: str, operands: tuple[int, ...] = (), attribute: object = None) -> int:
        """Return the position of this operation, new or known."""
        node = Scalar(op, type, operands, attribute)
        # repr in the key: 0.0 == -0.0 and 1 == 1.0 == True, but they are different constants
        key = replace(node, attribute=repr(attribute)) if op == "constant" else node
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(node)
        return self._known[key]

    def inline(self, graph: ScalarGraph, leaf: Callable[[Scalar], int | None]) -> tuple[int, ...]:
        """Copy `graph` in and return the new positions of its results; `leaf` replaces `read` and `index` nodes (None:
        kept).
        """
        moved: list[int] = []
        for node in graph.nodes:
            at = leaf(node) if node.op in ("read", "index") else None
            if at is None:
                at = self.add(node.op, node.type, tuple(moved[o] for o in node.operands), node.attribute)
            moved.append(at)
        return tuple(moved[r] for r in graph.results)

    def graph(self, results: tuple[int, ...]) -> ScalarGraph:
        """Return the graph of the nodes that `results` need."""
        return ScalarGraph(tuple(self.nodes), results).part(results)
