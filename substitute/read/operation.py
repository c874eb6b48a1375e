"""Properties of single operations: indexing maps, kinds and sizes of their loops, and the combiner of a reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.dispatch import Linear, LoopKind
from ..model.elements import ELEMENT
from ..model.index import Index
from ..model.nest import NestBuilder, compose, constant
from ..model.ops import COMBINERS
from .tensors import (
    Tensor,
)
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir


class NotAReduction(Exception):
    """The operation is no reduction with one associative combiner; it is kept as a named operation."""


def parallel(count: int) -> tuple[LoopKind, ...]:
    """Return the kinds of an element-wise nest's loops."""
    kinds: list[LoopKind] = ["parallel"] * count
    return tuple(kinds)


def linear(expr: ir.AffineExpr) -> Linear | None:
    """Return an affine expression as a coordinate; None if it divides."""
    from iree.compiler import ir

    from ..model.nest import loop, plus, times

    if isinstance(expr, ir.AffineConstantExpr):
        return constant(int(ir.AffineConstantExpr(expr).value))
    if isinstance(expr, ir.AffineDimExpr):
        return loop(ir.AffineDimExpr(expr).position)
    if isinstance(expr, (ir.AffineAddExpr, ir.AffineMulExpr)):
        binary = expr
        a, b = linear(binary.lhs), linear(binary.rhs)
        if a is None or b is None:
            return None
        if isinstance(expr, ir.AffineAddExpr):
            return plus(a, b)
        if not b.terms:
            return times(a, b.constant)
        return times(b, a.constant) if not a.terms else None
    return None


def split_accumulation(nest: NestBuilder, root: int, accumulator: int) -> tuple[str, int]:
    """Return a reduction's combiner, and the node that it combines."""
    node = nest.graph.nodes[root]
    if node.op not in COMBINERS or accumulator not in node.operands or len(node.operands) != 2:
        raise NotAReduction
    other = node.operands[1] if node.operands[0] == accumulator else node.operands[0]
    from ..model.scalar import ScalarGraph

    if accumulator in ScalarGraph(tuple(nest.graph.nodes), ()).depends_on(other):
        raise NotAReduction
    return node.op, other


def check_element(element: str) -> None:
    """Raise `Unread` for elements that share a byte, and for those that no kernel takes."""
    if element.startswith("complex"):
        raise Unread(f"elements of type {element}, which no kernel takes")
    if element not in ELEMENT or ELEMENT[element].bits < 8:
        raise Unread(f"elements of type {element}, which cannot be addressed one by one")


def coordinates(access: list[Linear | None], loops: tuple[Linear, ...]) -> tuple[Linear, ...]:
    """Return an access of loops in terms of their coordinates. Raises `Unread` for a map that divides."""
    if any(a is None for a in access):
        raise Unread("an indexing map that divides")
    return tuple(compose(a, loops) for a in access if a is not None)


def loop_sizes(inputs: list[Tensor], accesses: list[list[Linear | None]], count: int) -> list[Index]:
    """Return the size of each loop, from the tensors that it runs over. Raises `Unread` if no tensor determines it."""
    sizes: list[Index | None] = [None] * count
    for tensor, access in zip(inputs, accesses, strict=True):
        for size, expr in zip(tensor.type.shape, access, strict=True):
            at = expr.loop if expr is not None else None
            if at is not None and (sizes[at] is None or isinstance(size, int)):
                sizes[at] = size
    if any(s is None for s in sizes):
        raise Unread("a loop whose size no operand tells")
    return [s for s in sizes if s is not None]


def maps_and_kinds(op: ir.Operation) -> tuple[list[ir.AffineMap], list[str]]:
    """Return the operands' indexing maps and the kinds of the loops of a linalg operation."""
    from iree.compiler._mlir_libs._mlirDialectsLinalg import get_indexing_maps  # importing `linalg` is slow

    attribute = op.attributes["indexing_maps"] if "indexing_maps" in op.attributes else get_indexing_maps(op)
    if attribute is None:
        raise Unread(f"the operation {op.name}")
    maps = affine_maps(attribute)
    if "iterator_types" in op.attributes:
        return maps, ["reduction" if "reduction" in str(a) else "parallel" for a in op.attributes["iterator_types"]]
    written = {at.loop for e in maps[-1].results if (at := linear(e)) is not None}
    return maps, ["parallel" if d in written else "reduction" for d in range(maps[-1].n_dims)]


def affine_maps(attribute: ir.Attribute) -> list[ir.AffineMap]:
    """Return the maps of an `indexing_maps` attribute."""
    from iree.compiler import ir

    return [ir.AffineMapAttr(a).value for a in attribute]


def kept_dimensions(sizes: tuple[Index, ...], result: list[int], type_: ir.RankedTensorType) -> tuple[int, ...]:
    """Return the dimensions of a slice that its (rank-reduced) result keeps; the others are of size one."""
    kept: list[int] = []
    surplus = len(sizes) - len(result)
    for dim, size in enumerate(sizes):
        wanted = result[len(kept)] if len(kept) < len(result) else None
        droppable = surplus > 0 and size == 1
        fits = wanted is not None and (type_.is_dynamic_dim(len(kept)) or wanted == size)
        if droppable and not (fits and wanted == 1 and surplus <= sum(s == 1 for s in sizes[dim + 1 :])):
            surplus -= 1
            continue
        if not fits:
            raise Unread("a slice whose result has another shape")
        kept.append(dim)
    if len(kept) != len(result):
        raise Unread("a slice whose result has another shape")
    return tuple(kept)


def groups_of(op: ir.Operation) -> tuple[tuple[int, ...], ...]:
    """Return the dimensions of each group of a reshape."""
    from iree.compiler import ir

    return tuple(
        tuple(int(ir.IntegerAttr(d).value) for d in ir.ArrayAttr(group))
        for group in ir.ArrayAttr(op.attributes["reassociation"])
    )


def is_tensor(value: ir.Value) -> bool:
    """Return True for a ranked tensor."""
    from iree.compiler import ir

    return isinstance(value.type, ir.RankedTensorType)


def is_scalar(op: ir.Operation) -> bool:
    """Return True for arithmetic outside of a linalg body, which is read on demand."""
    if op.name == "scf.if":  # one without results is there for what it does
        inner = [i.operation for region in op.regions for block in region.blocks for i in block.operations]
        scalar = len(op.results) > 0 and all(i.name == "scf.yield" or is_scalar(i) for i in inner)
    else:
        scalar = op.name.partition(".")[0] in ("arith", "math", "affine") or op.name == "tensor.extract"
    return scalar and not any(is_tensor(r) for r in op.results)


def producer_of(value: ir.Value) -> str:
    """Return the name of the operation that defines a value, for messages."""
    from iree.compiler import ir

    return "a block argument" if isinstance(value, ir.BlockArgument) else str(value.owner.operation.name)
