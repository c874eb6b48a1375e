"""Dispatch regions as they are given to IREE: closed, so that what they compute is what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iree.compiler import ir


def create_region(results: Sequence[ir.Type], sizes: Sequence[ir.Value]) -> ir.Operation:
    """Return a dispatch region without a body, at the current insertion point.

    `sizes` are those of its results that only a launch says.
    """
    from iree.compiler import ir

    return ir.Operation.create(
        "flow.dispatch.region",
        results=list(results),
        operands=list(sizes),
        attributes={"operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(sizes), 0])},
        regions=2,
    )


def shield(value: ir.Value) -> ir.Value:
    """Return a tensor from outside as a region has to read it, at the current insertion point.

    IREE clones what is cheap, such as a conversion or a broadcast, into each region that reads it, which then computes
    something else than the kernel that it was made for.
    """
    from iree.compiler import ir

    if isinstance(value.owner, ir.Block) or value.owner.name in _NEVER_CLONED:
        return value
    shielded = ir.Operation.create("util.optimization_barrier", results=[value.type], operands=[value]).results[0]
    type_ = ir.RankedTensorType(value.type)
    sizes = [create_size(value, dimension) for dimension in range(type_.rank) if type_.is_dynamic_dim(dimension)]
    if not sizes:
        return shielded
    return ir.Operation.create("flow.tensor.tie_shape", results=[type_], operands=[shielded, *sizes]).results[0]


def create_size(value: ir.Value, dimension: int) -> ir.Value:
    """Return the size of a tensor along a dimension, at the current insertion point."""
    from iree.compiler import ir

    index = ir.IndexType.get()
    number = ir.IntegerAttr.get(index, dimension)
    at = ir.Operation.create("arith.constant", results=[index], attributes={"value": number}).results[0]
    return ir.Operation.create("tensor.dim", results=[index], operands=[value, at]).results[0]


_NEVER_CLONED = frozenset(("flow.dispatch.region", "stablehlo.constant", "arith.constant"))
