"""Operations on tensors, before IREE forms dispatches of them, as the program that one dispatch of them would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..model.dispatch import Operand, Program, TensorType, View
from ..model.index import Index, symbol
from .body import BodyReader
from .operation import is_tensor
from .tensors import Loaded, row_major
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir


class SliceReader:
    """Reads slices of one function. A size that only a launch gives is a symbol, the same for one value."""

    def __init__(self) -> None:
        self._symbols: dict[ir.Value, Index] = {}
        self._joined: set[ir.Value] = set()

    def read(self, operations: Sequence[ir.Operation]) -> Program:
        """Return the program of operations in order, of which the last one has the result. Raises `Unread`."""
        for op in operations:
            self._join_sizes(op)
        reader = BodyReader()
        inside = {result for op in operations for result in op.results}
        for value in list_outside(operations, inside):
            if _is_constant(value):
                if is_tensor(value):
                    reader.read_operation(value.owner.operation)
            elif is_tensor(value):
                type_ = self._type(value)
                number = reader.add_operand(Operand(kind="argument", type=type_, access="readonly"))
                reader.know_tensor(value, Loaded(_whole(number, type_)))
            elif str(value.type) == "index":
                reader.indices.know(value, self._symbol(value))
        for op in operations:
            reader.read_operation(op)
        (result,) = operations[-1].results
        type_ = reader.tensor(result).type
        if type_.element == "i1":
            raise Unread("a result of Booleans")
        number = reader.add_operand(Operand(kind="result", type=type_, access="writeonly"))
        reader.store(result, _whole(number, type_))
        return reader.program()

    def _type(self, value: ir.Value) -> TensorType:
        from iree.compiler import ir

        tensor = ir.RankedTensorType(value.type)
        element = str(tensor.element_type)
        sizes = iter(list_dynamic_sizes(value))
        shape = tuple(
            self._symbol(next(sizes)) if tensor.is_dynamic_dim(d) else tensor.get_dim_size(d)
            for d in range(tensor.rank)
        )
        return TensorType(shape=shape, element="i8" if element == "i1" else element)

    def _symbol(self, size: ir.Value) -> Index:
        return self._symbols.setdefault(size, symbol(f"size{len(self._symbols)}"))

    def _join_sizes(self, op: ir.Operation) -> None:
        """Give the sizes that one loop has in several operands one symbol: a `linalg.generic` demands that."""
        from iree.compiler import ir

        if op.name != "linalg.generic" or op.results[0] in self._joined:
            return
        self._joined.add(op.results[0])
        loops: dict[int, Index] = {}
        for value, attribute in zip(op.operands, ir.ArrayAttr(op.attributes["indexing_maps"]), strict=True):
            if not is_tensor(value) or not (sizes := _known_sizes(value)):
                continue
            tensor = ir.RankedTensorType(value.type)
            open_ = [d for d in range(tensor.rank) if tensor.is_dynamic_dim(d)]
            places = ir.AffineMapAttr(attribute).value.results
            for d, size in zip(open_, sizes, strict=True):
                if isinstance(places[d], ir.AffineDimExpr):
                    own = self._symbol(size)
                    kept = loops.setdefault(int(ir.AffineDimExpr(places[d]).position), own)
                    if own != kept:
                        self._symbols = {v: kept if s == own else s for v, s in self._symbols.items()}
                        loops = {n: kept if s == own else s for n, s in loops.items()}


def list_outside(operations: Sequence[ir.Operation], inside: set[ir.Value]) -> Iterator[ir.Value]:
    """Yield the operands of operations that come from elsewhere, each once."""
    seen: set[ir.Value] = set()
    for op in operations:
        for value in op.operands:
            if value not in inside and value not in seen:
                seen.add(value)
                yield value


def _is_constant(value: ir.Value) -> bool:
    from iree.compiler import ir

    return not isinstance(value.owner, ir.Block) and value.owner.name == "arith.constant"


def list_dynamic_sizes(value: ir.Value) -> list[ir.Value]:
    """Return the sizes of a tensor that only a launch gives. Raises `Unread` where the function does not say them."""
    from iree.compiler import ir

    count = sum(ir.RankedTensorType(value.type).is_dynamic_dim(d) for d in range(ir.RankedTensorType(value.type).rank))
    if not count:
        return []
    owner = value.owner
    if isinstance(owner, ir.Block):
        raise Unread("an argument whose sizes are not known")
    op = owner.operation
    if op.name.startswith("linalg.") and list(op.results) == [value]:
        return list_dynamic_sizes(op.operands[len(op.operands) - 1])
    sizes = [operand for operand in op.operands if str(operand.type) == "index"]
    if len(sizes) != count:
        raise Unread(f"a tensor from {op.name} whose sizes are not known")
    return sizes


def _known_sizes(value: ir.Value) -> list[ir.Value]:
    """Return the sizes that only a launch gives; none where the function does not say them."""
    try:
        return list_dynamic_sizes(value)
    except Unread:
        return []


def _whole(number: int, type_: TensorType) -> View:
    return View(operand=number, type=type_, offset=0, strides=row_major(type_.shape))
