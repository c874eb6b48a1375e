"""The generated function's state: loop indices, addresses, and vectors of elements."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from substitute.codegen.llvm.elements import (
    REGISTER_TYPES,
    constant,
    intrinsic,
    lanes_of,
    load,
    memory_type,
    size_of,
    splat,
    store,
    suffix,
    vector,
)
from substitute.codegen.llvm.function import I32, I64, KernelFunction
from substitute.codegen.llvm.integers import resize
from substitute.codegen.llvm.lower import Leaf, ScalarEmitter
from substitute.model.index import Index
from substitute.model.plan import Request
from substitute.model.scalar import GraphBuilder, Scalar, ScalarGraph

from .tiling import Tiling, count_of
from .views import Address, Axis, Contraction, Factor

Position = Mapping[Axis, ir.Value]
"""Indices of some axes; only these move an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One vector of the output's row: its start, and the number of its valid lanes."""

    position: Position
    valid: ir.Value | None
    """From 1 to the number of lanes; None: all."""


class Space:
    """The function under construction, with the contraction's axes."""

    def __init__(self, request: Request, contraction: Contraction, tiling: Tiling) -> None:
        self.request, self.contraction, self.tiling = request, contraction, tiling
        self.arithmetic = tiling.arithmetic
        self.function = KernelFunction(request)
        self.builder = self.function.builder
        widths = (None, tiling.lanes, 2 * tiling.lanes) if tiling.arithmetic.guarded else ()
        self._outside = {lanes: self.function.stack(vector(I32, lanes), 1) for lanes in widths}
        self.graphs = tuple(
            GraphBuilder(nodes=list(contraction.core.expr.nodes)).graph((f.root,)) for f in contraction.factors
        )

    def size(self, axes: Sequence[Axis]) -> ir.Value:
        """Return the number of positions of these axes together."""
        return self.function.index(count_of(axes))

    def split(self, flat: ir.Value, axes: Sequence[Axis]) -> dict[Axis, ir.Value]:
        """Return the indices of `axes` at position `flat`; the last axis runs fastest."""
        position: dict[Axis, ir.Value] = {}
        for axis in reversed(axes[1:]):
            size = self.function.index(axis.size)
            position[axis] = self.builder.urem(flat, size)
            flat = self.builder.udiv(flat, size)
        if axes:
            position[axes[0]] = flat
        return position

    def least(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the smaller one, signed."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def scaled(self, value: ir.Value, factor: Index) -> ir.Value:
        """Return the product of a value and an index."""
        return value if factor == 1 else self.builder.mul(value, self.function.index(factor), flags=("nsw",))

    def offset(self, address: Address, position: Position) -> ir.Value:
        """Return the distance by which `position` moves the address, in elements, without its constant part."""
        total = ir.Constant(I64, 0)
        for axis, index in position.items():
            stride = axis.stride(address)
            if stride != 0:
                total = self.builder.add(total, self.scaled(index, stride), flags=("nsw",))
        return total

    def pointer(self, address: Address, position: Position) -> ir.Value:
        """Return the address at this position."""
        base = self.function.pointers[self.request.parameter_of(address.view)]
        offset = self.builder.add(self.offset(address, position), self.function.index(address.constant))
        return self.move(base, offset, address.view.type.element)

    def move(self, pointer: ir.Value, offset: ir.Value, element: str) -> ir.Value:
        """Return the pointer moved by `offset` elements."""
        return self.function.element(pointer, offset, memory_type(element))

    def slot(self, number: ir.Value) -> Slot:
        """Return vector `number` of a row of the output."""
        axis, lanes = self.tiling.vector_axis, self.tiling.lanes
        size = self.function.index(axis.size)
        width = ir.Constant(I64, lanes)
        per_row = self.builder.udiv(self.builder.add(size, ir.Constant(I64, lanes - 1)), width)
        outer, within, stack = self.tiling.columns[:-1], number, {}
        if self.tiling.stacked:
            outer = outer[:-1]
            height = self.function.index(self.tiling.columns[-2].size)
            stack = {self.tiling.columns[-2]: self.builder.urem(within, height)}
            within = self.builder.udiv(within, height)
        row: ir.Value = ir.Constant(I64, 0)
        if outer:
            row, within = self.builder.udiv(within, per_row), self.builder.urem(within, per_row)
        start = self.builder.mul(within, width, flags=("nsw",))
        valid = None
        if not isinstance(axis.size, int) or axis.size % lanes:
            valid = self.least(width, self.builder.sub(size, start))
        return Slot(position={**self.split(row, outer), **stack, axis: start}, valid=valid)

    def factor(
        self,
        which: int,
        pointers: Sequence[ir.Value],
        axis: Axis | None,
        valid: ir.Value | None = None,
        vectors: int = 1,
    ) -> ir.Value:
        """Return a factor's values at `pointers` (one per read): `vectors` vectors along `axis`, or one value without
        it.
        """
        factor, graph = self.contraction.factors[which], self.graphs[which]
        lanes = self.tiling.lanes * vectors if axis else None

        def leaf(node: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
            if node.op == "size":
                return self.integer(node)
            at = [position for position, _ in factor.reads].index(int(str(node.attribute)))
            address = factor.reads[at][1]
            stride = axis.stride(address) if axis else 0
            return self.load(pointers[at], address.view.type.element, stride, valid, lanes)

        return self.arithmetic.convert(self.builder, self.evaluate(graph, leaf, lanes)[0])

    def sum_as(self, value: ir.Value, element: str) -> ir.Value:
        """Return a sum in the type that the results read: of an i64, results use only the lower half."""
        if element == self.arithmetic.element:
            return value
        return resize(self.builder, value, vector(REGISTER_TYPES[element], lanes_of(value)), unsigned=False)

    def words(self, which: int, pointers: Sequence[ir.Value], axis: Axis) -> ir.Value:
        """Return a vector of words of a factor that is contiguous along `axis`, a part of the depth."""
        values = self.factor(which, pointers, axis, vectors=self.arithmetic.depths)
        self._look_at(values)
        return self.arithmetic.words(self.builder, values)

    def word(self, values: list[ir.Value]) -> ir.Value:
        """Return a factor at neighbouring depths as words."""
        for value in values:
            self._look_at(value)
        return self.arithmetic.word(self.builder, values)

    def _look_at(self, value: ir.Value) -> None:
        """Collect the bits of values that do not fit i16, if pairs are guarded."""
        if not self.arithmetic.guarded:
            return
        room = self._outside[lanes_of(value)]
        builder = self.builder
        above = builder.lshr(builder.add(value, constant(value.type, 1 << 15)), constant(value.type, 16))
        builder.store(builder.or_(builder.load(room, typ=value.type, align=64), above), room, align=64)

    def begin_to_look(self) -> None:
        """Clear the bits collected of values outside of i16."""
        for lanes, room in self._outside.items():
            self.builder.store(constant(vector(I32, lanes), 0), room, align=64)

    def has_outside(self) -> ir.Value:
        """Return the condition that a value packed since then does not fit i16."""
        builder, found = self.builder, ir.Constant(ir.IntType(1), 0)
        for lanes, room in self._outside.items():
            bits = ir.IntType(32 * (lanes or 1))
            seen = builder.icmp_unsigned("!=", builder.load(room, typ=bits, align=64), ir.Constant(bits, 0))
            found = builder.or_(found, seen)
        return found

    def one_by_one(self) -> Space:
        """Return the same function, with products added without pairs."""
        other = copy.copy(self)
        other.tiling = self.tiling.one_by_one()
        other.arithmetic = other.tiling.arithmetic
        return other

    def evaluate(self, graph: ScalarGraph, leaf: Leaf, lanes: int | None) -> tuple[ir.Value, ...]:
        """Return a scalar graph's results."""
        emitter = ScalarEmitter(self.function.module, self.builder, lanes, hardware=self.function.hardware)
        return emitter.emit(graph, leaf)

    def integer(self, node: Scalar) -> ir.Value:
        """Return a `size` leaf."""
        assert not isinstance(node.attribute, (float, str))
        value = self.function.index(node.attribute)  # type: ignore[arg-type]
        type_ = REGISTER_TYPES[node.type]
        return value if type_ == I64 else self.builder.trunc(value, type_)

    def lane(self, number: int, valid: ir.Value | None) -> ir.Value:
        """Return a lane's number; invalid lanes get that of the last valid one."""
        value = ir.Constant(I64, number)
        if valid is None or number == 0:
            return value
        return self.least(value, self.builder.sub(valid, ir.Constant(I64, 1)))

    def load(
        self, pointer: ir.Value, element: str, stride: Index, valid: ir.Value | None, lanes: int | None = None
    ) -> ir.Value:
        """Return elements `stride` apart as register values; a scalar for stride 0. Never reads beyond the last valid
        lane.
        """
        lanes, builder = lanes or self.tiling.lanes, self.builder
        if stride == 0:
            return load(builder, pointer, element)
        if stride == 1 and valid is None:
            return load(builder, pointer, element, lanes)
        if (stride == 2 and valid is None) or (stride in (1, 2) and element == "f32" and self.masks):
            return self._load_spread(pointer, element, int(str(stride)), valid)
        if stride == 1 and element == "i8" and valid is not None and self._fills_a_vector:
            return self._load_last(pointer, valid)
        result = ir.Constant(vector(REGISTER_TYPES[element], lanes), ir.Undefined)
        for number in range(lanes):
            offset = self.scaled(self.lane(number, valid), stride)
            one = load(builder, self.move(pointer, offset, element), element)
            result = builder.insert_element(result, one, ir.Constant(I32, number))
        return result

    @property
    def _fills_a_vector(self) -> bool:
        """Return True if the vector axis has at least a whole vector."""
        size = self.tiling.vector_axis.size
        return isinstance(size, int) and size >= self.tiling.lanes

    def _load_last(self, pointer: ir.Value, valid: ir.Value) -> ir.Value:
        """Return the bytes up to the last valid lane's; zeros beyond. The row's last whole vector is loaded and
        shifted.
        """
        lanes, builder = self.tiling.lanes, self.builder
        missing = builder.sub(ir.Constant(I64, lanes), valid)
        bits = ir.IntType(8 * lanes)
        whole = builder.load(self.move(pointer, builder.neg(missing), "i8"), align=1, typ=bits)
        distance = builder.mul(missing, ir.Constant(I64, 8))
        distance = (
            builder.zext(distance, bits) if lanes > 8 else builder.trunc(distance, bits) if lanes < 8 else distance
        )
        return builder.bitcast(builder.lshr(whole, distance), vector(REGISTER_TYPES["i8"], lanes))

    def _load_spread(self, pointer: ir.Value, element: str, stride: int, valid: ir.Value | None) -> ir.Value:
        """Return elements 1 or 2 apart, by loads between the first and the last valid one; only f32 if not all are
        valid.
        """
        lanes, builder = self.tiling.lanes, self.builder
        low = self._load_masked(pointer, element, 0, stride, valid)
        if stride == 1:
            return low
        # lanes 0, 2, 4, … of the first vector; the second begins at lane `lanes - 1` so that it ends with the last one
        high_pointer = self.move(pointer, ir.Constant(I64, lanes - 1), element)
        high = self._load_masked(high_pointer, element, lanes - 1, stride, valid)
        picks = [2 * n if 2 * n < lanes else 2 * n + 1 for n in range(lanes)]
        mask = ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, p) for p in picks])
        return builder.shuffle_vector(low, high, mask)

    def _load_masked(
        self, pointer: ir.Value, element: str, first: int, stride: int, valid: ir.Value | None
    ) -> ir.Value:
        """Return elements `first, first + 1, …` up to the last valid lane's, masked; zeros beyond. f32 only."""
        lanes, builder = self.tiling.lanes, self.builder
        if valid is None:
            return load(builder, pointer, element, lanes)
        mask = self._mask(first, self.scaled(builder.sub(valid, ir.Constant(I64, 1)), stride))
        type_ = vector(REGISTER_TYPES["f32"], lanes)
        typed = constant(type_, 0.0)
        name = f"llvm.masked.load.v{lanes}f32.p0"
        return intrinsic(builder, name, type_, [pointer, ir.Constant(I32, 4), mask, typed])

    def _mask(self, first: int, last: ir.Value) -> ir.Value:
        """Return a mask of the numbers `first, first + 1, …` that are at most `last`."""
        lanes, builder = self.tiling.lanes, self.builder
        numbers = ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, first + n) for n in range(lanes)])
        return builder.icmp_signed("<=", numbers, splat(builder, builder.trunc(last, I32), lanes))

    @property
    def masks(self) -> bool:
        """Return whether the target loads and stores some lanes of a vector in one instruction."""
        return self.function.hardware.vector_bytes >= 32

    def store_masked(self, value: ir.Value, pointer: ir.Value, element: str, valid: ir.Value) -> None:
        """Store the first `valid` lanes of a vector contiguously; LLVM emits branches on targets without the
        instruction.
        """
        mask = self._mask(0, self.builder.sub(valid, ir.Constant(I64, 1)))
        if element == "i1":
            value = self.builder.zext(value, vector(memory_type(element), self.tiling.lanes))
        name = f"llvm.masked.store.{suffix(value.type)}.p0"
        intrinsic(self.builder, name, ir.VoidType(), [value, pointer, ir.Constant(I32, size_of(element)), mask])

    def store(self, value: ir.Value, pointer: ir.Value, element: str, stride: Index) -> None:
        """Store a vector to elements `stride` apart."""
        if stride == 1:
            store(self.builder, value, pointer, element)
            return
        for number in range(self.tiling.lanes):
            one = self.builder.extract_element(value, ir.Constant(I32, number))
            offset = self.scaled(ir.Constant(I64, number), stride)
            store(self.builder, one, self.move(pointer, offset, element), element)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Return a · b + c, lane by lane."""
        return self.arithmetic.multiply_add(self.builder, a, b, c)

    def initial(self) -> ir.Value:
        """Return the initial value of the sums in every lane."""
        return self.arithmetic.constant(self.contraction.init, self.tiling.lanes)

    @property
    def vector(self) -> ir.Type:
        """The type of a vector of sums, or of a panel's words."""
        return vector(self.arithmetic.type, self.tiling.lanes)

    def pointers(self, factor: Factor, position: Position) -> list[ir.Value]:
        """Return the pointer of each read of a factor at this position."""
        return [self.pointer(address, position) for address in factor.addresses]

    def advance(self, factor: Factor, pointers: Sequence[ir.Value], position: Position) -> list[ir.Value]:
        """Return the pointers moved by further axes."""
        return [
            self.move(p, self.offset(a, position), a.view.type.element)
            for p, a in zip(pointers, factor.addresses, strict=True)
        ]
