"""Sums in f16 and bf16, added in f32: products of narrow numbers are exact there, and a sum is rounded once.

A model that adds in f16 rounds after every step. The sum in f32 is nearer to the real number, and no slower, since
processors without arithmetic in f16 convert before each operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from substitute.model.dispatch import Nest, TensorType
from substitute.model.scalar import GraphBuilder, Scalar

NARROW = frozenset(("f16", "bf16"))
"""Types in which sums are not added."""


def add_in_f32(core: Nest, stores: Sequence[Nest]) -> tuple[Nest, tuple[Nest, ...]]:
    """Return a sum of products of f16 or bf16, and what reads it, with the sum in f32; others as they are."""
    root = core.expr.nodes[core.expr.results[0]]
    if core.type is None or core.type.element not in NARROW or root.op != "arith.mulf":
        return core, tuple(stores)
    graph = GraphBuilder(nodes=list(core.expr.nodes))
    wide = tuple(graph.add("arith.extf", "f32", (operand,)) for operand in root.operands)
    expr = graph.graph((graph.add("arith.mulf", "f32", wide),))
    type_ = replace(core.type, element="f32")
    return replace(core, expr=expr, type=type_), tuple(_round_sums(nest, core.temporary, type_) for nest in stores)


def _round_sums(nest: Nest, temporary: int, type_: TensorType) -> Nest:
    """Return the nest with reads of the sum in f32, rounded to the type in which the nest uses it."""
    reads = tuple(replace(read, type=type_) if read.source == temporary else read for read in nest.reads)
    graph = GraphBuilder()

    def leaf(node: Scalar) -> int | None:
        if node.op != "read" or nest.reads[int(str(node.attribute))].source != temporary:
            return None
        return graph.add("arith.truncf", node.type, (graph.add("read", "f32", (), node.attribute),))

    return replace(nest, reads=reads, expr=graph.graph(graph.inline(nest.expr, leaf)))
