"""Walk over the operations of a function in order, with the value of each: a scalar or a (lazy) tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..model.elements import ELEMENT
from .affine import index_function, read_map
from .body import Body, BodyCompiler, scalar_of
from .constants import constant_num, printed_num
from .memory import Subspan, check_plain, dispatch_tensor, element_name
from .numbers import Arithmetic, Array, Element, Num, element_of, from_storage
from .rules import RULES
from .tensors import Eager, Empty, Filled, Known, Loaded, Tensor, kept_dimensions, sliced
from .unsupported import Unsupported

if TYPE_CHECKING:
    from iree.compiler import ir

Value = Num | Tensor
Handler = Callable[["Walker", "ir.Operation"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A `dispatch.tensor.store`."""

    value: Tensor
    subspan: Subspan
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


class Walker:
    """State of a walk over a function. Without buffers (None) only sizes and offsets are evaluated."""

    def __init__(self, how: Arithmetic, buffers: Sequence[NDArray[np.uint8]] | None, constants: Sequence[int]) -> None:
        self.how, self.buffers, self.constants = how, buffers, tuple(constants)
        self.values: dict[ir.Value, Value] = {}
        self.places: dict[ir.Value, int] = {}
        """Index into `subspans` of the values that are subspans."""
        self.subspans: list[Subspan] = []
        self.stores: list[Stored] = []

    def run(self, function: ir.Operation) -> list[Value]:
        """Walk the function and return its results. Raises `Unsupported`."""
        blocks = list(function.regions[0].blocks)
        if len(blocks) != 1:
            raise Unsupported("cf.cond_br")
        return self.block(blocks[0])

    def block(self, block: ir.Block) -> list[Value]:
        """Walk one block and return the operands of its terminator."""
        from .operations import HANDLERS, RETURNS

        for item in block.operations:
            op = item.operation
            if op.name in RETURNS:
                return [self.value(operand) for operand in op.operands]
            handler = HANDLERS.get(op.name)
            if handler is not None:
                self._guarded(handler, op)
            elif op.name.startswith("linalg.") and len(op.regions) == 1:
                self._guarded(HANDLERS["linalg.generic"], op)
            elif op.name in RULES and len(op.results) == 1:
                self._scalar(op)
            else:
                raise Unsupported(op.name)
        return []

    def _guarded(self, handler: Handler, op: ir.Operation) -> None:
        try:
            handler(self, op)
        except IndexError as error:
            raise Unsupported(f"{op.name} ({error})") from error

    def value(self, value: ir.Value) -> Value:
        """Return the value of an SSA value. Raises `Unsupported` if it has none."""
        if value not in self.values:
            raise Unsupported(f"a value of type {str(value.type).partition('<')[0]}")
        return self.values[value]

    def tensor(self, value: ir.Value) -> Tensor:
        """Return the value of a tensor."""
        found = self.value(value)
        if not isinstance(found, Tensor):
            raise Unsupported("a scalar instead of a tensor")
        return found

    def scalar(self, value: ir.Value) -> Num:
        """Return the value of a scalar."""
        found = self.value(value)
        if not isinstance(found, Num):
            raise Unsupported("a tensor instead of a scalar")
        return found

    def integer(self, value: ir.Value) -> int:
        """Return a scalar integer as an `int`."""
        return int(self.scalar(value).value)

    def shape(self, type_: ir.Type, dynamic: Sequence[ir.Value]) -> tuple[int, ...]:
        """Return the sizes of a tensor type whose dynamic ones are these operands."""
        from iree.compiler import ir

        tensor = ir.RankedTensorType(type_)
        check_plain(tensor)
        sizes = iter(dynamic)
        return tuple(
            self.integer(next(sizes)) if tensor.is_dynamic_dim(d) else tensor.get_dim_size(d)
            for d in range(tensor.rank)
        )

    def mixed(self, static: Sequence[int], dynamic: Sequence[ir.Value]) -> tuple[int, ...]:
        """Return a list in which these operands replace the markers of dynamic numbers."""
        from iree.compiler import ir

        operands = iter(dynamic)
        marker = ir.ShapedType.get_dynamic_size()
        return tuple(self.integer(next(operands)) if n == marker else n for n in static)

    def slice(self, op: ir.Operation, first: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return offsets, sizes and strides of an operation whose operand segments from `first` on are these."""
        segments, operands = integers(op.attributes["operandSegmentSizes"]), list(op.operands)
        at = sum(segments[:first])
        lists = []
        for segment, key in enumerate(("static_offsets", "static_sizes", "static_strides"), first):
            lists.append(self.mixed(integers(op.attributes[key]), operands[at : at + segments[segment]]))
            at += segments[segment]
        return lists[0], lists[1], lists[2]

    def _scalar(self, op: ir.Operation) -> None:
        """Evaluate one scalar operation, or one on all elements of tensors."""
        operands = [self.value(operand) for operand in op.operands]
        rule, scalar = RULES[op.name], scalar_of(op)
        if not any(isinstance(operand, Tensor) for operand in operands):
            with np.errstate(all="ignore"):
                self.values[op.results[0]] = rule(self.how, scalar, [o for o in operands if isinstance(o, Num)])
            return
        shape = next(o.shape for o in operands if isinstance(o, Tensor))

        def compute() -> Num:
            with np.errstate(all="ignore"):
                found = rule(self.how, scalar, [o.whole() if isinstance(o, Tensor) else o for o in operands])
            return Num(np.broadcast_to(found.value, shape), found.error, found.depth)

        work = 4.0 * np.prod(shape) + sum(o.whole_work() for o in operands if isinstance(o, Tensor))
        self.values[op.results[0]] = Eager(shape, scalar.result, compute, float(work))


def integers(attribute: ir.Attribute) -> list[int]:
    """Return the numbers of `array<i64: 1, 2>`, `dense<…>` or `[1, 2]`."""
    from iree.compiler import ir

    if isinstance(attribute, ir.DenseIntElementsAttr):
        return [int(n) for n in np.array(attribute).ravel()]
    if isinstance(attribute, ir.ArrayAttr):
        return [int(ir.IntegerAttr(n).value) for n in attribute]
    return [int(n) for n in attribute]


def constant(walker: Walker, op: ir.Operation) -> None:
    """`arith.constant` and `complex.constant`."""
    from iree.compiler import ir

    result = op.results[0]
    if isinstance(result.type, ir.RankedTensorType):
        shape = walker.shape(result.type, ())
        element = element_of(str(ir.RankedTensorType(result.type).element_type))
        if element.kind == "complex" or element.packed or element.name not in ELEMENT:
            num = printed_num(op, shape, element)
        else:
            num = constant_num(op.attributes["value"], shape, element)
        walker.values[result] = Filled(shape, element, num) if num.value.ndim == 0 else Known(num, element)
    else:
        walker.values[result] = constant_num(op.attributes["value"], (), element_of(str(result.type)))


def push_constant(walker: Walker, op: ir.Operation) -> None:
    """`hal.interface.constant.load`: one 32-bit push constant."""
    ordinal = int(op.attributes["ordinal"].value)
    if ordinal >= len(walker.constants):
        raise Unsupported(f"push constant {ordinal} of {len(walker.constants)}")
    word = np.array([walker.constants[ordinal] & 0xFFFFFFFF], np.uint32)
    element = element_of(str(op.results[0].type))
    if element.kind == "index":
        walker.values[op.results[0]] = Num(word.astype(np.int64)[0:1].reshape(()))
    else:
        raw = word.view(element.storage)[:1].reshape(())
        walker.values[op.results[0]] = Num(from_storage(raw, element))


def same(walker: Walker, op: ir.Operation) -> None:
    """Define each result as its operand, for operations that annotate values without changing them."""
    for operand, result in zip(op.operands, op.results, strict=False):
        walker.values[result] = walker.value(operand)


def subspan(walker: Walker, op: ir.Operation) -> None:
    """`hal.interface.binding.subspan`."""
    access, tensor = dispatch_tensor(op.results[0].type)
    offsets, _ = integers(op.attributes["operandSegmentSizes"])
    operands = list(op.operands)
    walker.places[op.results[0]] = len(walker.subspans)
    walker.subspans.append(
        Subspan(
            binding=int(op.attributes["binding"].value),
            byte_offset=walker.integer(operands[0]) if offsets else 0,
            element=element_name(tensor),
            shape=walker.shape(tensor, operands[offsets:]),
            access=access,
        )
    )


def load(walker: Walker, op: ir.Operation) -> None:
    """`dispatch.tensor.load`."""
    place = walker.subspans[_place(walker, op.operands[0])]
    offsets, sizes, strides = walker.slice(op, 2)  # segments: source, its sizes, offsets, sizes, strides
    element = element_of(place.element)
    if any(_overlap(stored.subspan, place) for stored in walker.stores):
        raise Unsupported("a load of what was stored before")
    source: Tensor
    if walker.buffers is None:
        source = Filled(place.shape, element, Num(np.zeros((), element.compute)))
    else:
        source = Loaded(place.view(walker.buffers[place.binding]), element, _converter(element))
    kept = kept_dimensions(integers(op.attributes["static_sizes"]), static_shape(op.results[0].type))
    if offsets == (0,) * len(sizes) and sizes == place.shape and len(kept) == len(sizes):
        walker.values[op.results[0]] = source
    else:
        walker.values[op.results[0]] = sliced(source, offsets, sizes, strides, kept)


def _converter(element: Element) -> Callable[[Array], Array]:
    return lambda raw: from_storage(raw, element)


def _overlap(a: Subspan, b: Subspan) -> bool:
    return (
        a.binding == b.binding
        and a.byte_offset < b.byte_offset + b.size_bytes
        and b.byte_offset < a.byte_offset + a.size_bytes
    )


def store(walker: Walker, op: ir.Operation) -> None:
    """`dispatch.tensor.store`."""
    place = walker.subspans[_place(walker, op.operands[1])]
    offsets, sizes, strides = walker.slice(op, 3)  # segments: value, target, its sizes, offsets, sizes, strides
    walker.stores.append(
        Stored(value=walker.tensor(op.operands[0]), subspan=place, offsets=offsets, sizes=sizes, strides=strides)
    )


def _place(walker: Walker, value: ir.Value) -> int:
    if value not in walker.places:
        raise Unsupported(f"an access through {str(value.type).partition('<')[0]}")
    return walker.places[value]


def static_shape(type_: ir.Type) -> list[int]:
    """Return the sizes of a tensor type, with MLIR's marker for dynamic ones."""
    from iree.compiler import ir

    tensor = ir.RankedTensorType(type_)
    return [tensor.get_dim_size(d) for d in range(tensor.rank)]


def empty(walker: Walker, op: ir.Operation) -> None:
    """`tensor.empty`."""
    from iree.compiler import ir

    type_ = op.results[0].type
    element = element_of(str(ir.RankedTensorType(type_).element_type))
    walker.values[op.results[0]] = Empty(walker.shape(type_, list(op.operands)), element)


def affine(walker: Walker, op: ir.Operation) -> None:
    """`affine.apply`, `.min` and `.max`."""
    map_ = read_map(op.attributes["map"].value)
    operands = [walker.integer(operand) for operand in op.operands]
    results = [int(r(operands[: map_.dimensions], operands[map_.dimensions :])) for r in map_.results]
    total = min(results) if op.name == "affine.min" else max(results)
    walker.values[op.results[0]] = Num(np.array(total, np.int64))


def positions(walker: Walker, op: ir.Operation) -> None:
    """`affine.linearize_index` and `affine.delinearize_index`."""
    found = index_function(op)([walker.integer(operand) for operand in op.operands])
    walker.values.update(zip(op.results, (Num(np.array(n, np.int64)) for n in found), strict=True))


def region(walker: Walker, block: ir.Block) -> Body:
    """Return a scalar region that may use values from outside."""

    def outer(value: ir.Value) -> Value:
        if value not in walker.values and value.owner.name in ("arith.constant", "complex.constant"):
            constant(walker, value.owner.operation if hasattr(value.owner, "operation") else value.owner)
        return walker.value(value)

    return BodyCompiler(walker.how, outer).compile(block)
