"""Upper limits of a dispatch's integer operands that are tensor indices, Booleans or shift amounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from .memory import Subspan
from .numbers import element_of
from .tensors import Tensor
from .walk import Walker

if TYPE_CHECKING:
    from iree.compiler import ir

_THROUGH = frozenset(
    {
        "iree_tensor_ext.dispatch.tensor.load",
        "tensor.extract_slice",
        "tensor.expand_shape",
        "tensor.collapse_shape",
        "tensor.cast",
        "iree_tensor_ext.compute_barrier.start",
        "tensor.reshape",
        "linalg.pack",
        "linalg.transpose",
    }
)
_SHIFTS = frozenset({"arith.shli", "arith.shrsi", "arith.shrui"})
_EXTENSIONS = frozenset(
    {
        "arith.extsi",
        "arith.extui",
        "arith.trunci",
        "arith.index_cast",
        "arith.index_castui",
        "linalg.generic",
        *_THROUGH,
    }
)
"""Operations that preserve a small non-negative number."""
_TABLES = {"iree_linalg_ext.gather": 0, "iree_linalg_ext.scatter": -1}
"""Operations that take indices as their second operand, and the operand that is indexed."""


def index_limits(function: ir.Operation, walker: Walker) -> tuple[Subspan, ...]:
    """Return the subspans of a walked function, with `index_limit` where only some integers are valid."""
    found: dict[int, int] = {}
    for op in _operations(function):
        if op.name == "tensor.extract":
            tensor = walker.values.get(op.operands[0])
            coordinates = list(op.operands)[1:]
            if not isinstance(tensor, Tensor):
                continue
            for coordinate, size in zip(coordinates, tensor.shape, strict=True):
                for place in _sources(coordinate, walker):
                    found[place] = min(size, found.get(place, size))
        elif op.name == "arith.trunci" and str(op.results[0].type).endswith(("i1", "i1>")):
            # an i1 in memory is a byte that is 0 or 1
            for place in _sources(op.operands[0], walker):
                if walker.subspans[place].element == "i8":
                    found[place] = min(2, found.get(place, 2))
        elif op.name in _SHIFTS:
            # a shift by the width or more is undefined
            for place in _sources(op.operands[1], walker, through=_EXTENSIONS):
                bits = element_of(str(getattr(op.results[0].type, "element_type", op.results[0].type))).bits
                found[place] = min(bits, found.get(place, bits))
        elif op.name in _TABLES:
            tensor = walker.values.get(list(op.operands)[_TABLES[op.name]])
            if isinstance(tensor, Tensor):
                depth = len(list(op.attributes["dimension_map"]))
                for place in _sources(op.operands[1], walker):
                    found[place] = min(tensor.shape[:depth], default=1)
    return tuple(replace(s, index_limit=found.get(at)) for at, s in enumerate(walker.subspans))


def _operations(op: ir.Operation) -> Iterator[ir.Operation]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                yield from _operations(inner.operation)


def _sources(value: ir.Value, walker: Walker, *, through: frozenset[str] | None = None) -> Iterator[int]:
    """Return the integer subspans that a value is computed from, through all arithmetic or through these operations
    only.
    """
    from iree.compiler import ir

    pending, seen = [value], set()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        if at in walker.places:
            if walker.subspans[walker.places[at]].element[0] == "i":
                yield walker.places[at]
            continue
        owner = at.owner
        if isinstance(owner, ir.Block):
            parent = owner.owner.operation if hasattr(owner.owner, "operation") else owner.owner
            if parent.name != "func.func":
                pending.append(parent.operands[ir.BlockArgument(at).arg_number])
            continue
        op = owner.operation if hasattr(owner, "operation") else owner
        if through is not None and op.name not in through:
            continue
        if op.name == "linalg.generic":  # what it yields
            number = ir.OpResult(at).result_number
            pending.append(list(op.regions[0].blocks[0].operations)[-1].operands[number])
        elif op.name in _THROUGH:
            pending.append(op.operands[0])
        elif op.name == "arith.select":
            pending += list(op.operands)[1:]
        elif op.name.partition(".")[0] == "arith" and not op.name.startswith("arith.cmp"):
            pending += list(op.operands)
