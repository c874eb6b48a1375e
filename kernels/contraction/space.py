"""Where the generated code is: loop indices, addresses, and vectors of elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from substitute.codegen.llvm.elements import (
    REGISTER_TYPES,
    constant,
    intrinsic,
    load,
    memory_type,
    splat,
    store,
    vector,
)
from substitute.codegen.llvm.function import I32, I64, KernelFunction
from substitute.codegen.llvm.lower import Leaf, ScalarEmitter
from substitute.model.index import Index
from substitute.model.plan import Request
from substitute.model.scalar import GraphBuilder, Scalar, ScalarGraph

from .tiling import Tiling, count_of
from .views import Address, Axis, Contraction, Factor

F32 = REGISTER_TYPES["f32"]
Position = Mapping[Axis, ir.Value]
"""Indices of some axes; an address moves by those it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One vector of the output's row: where it begins, and how many of its lanes exist."""

    position: Position
    valid: ir.Value | None
    """From 1 to the number of lanes; None: all."""


class Space:
    """The function under construction, with the contraction's axes."""

    def __init__(self, request: Request, contraction: Contraction, tiling: Tiling) -> None:
        self.request, self.contraction, self.tiling = request, contraction, tiling
        self.function = KernelFunction(request)
        self.builder = self.function.builder
        self.graphs = tuple(
            GraphBuilder(nodes=list(contraction.core.expr.nodes)).graph((f.root,)) for f in contraction.factors
        )

    def size(self, axes: Sequence[Axis]) -> ir.Value:
        """Number of positions of these axes together."""
        return self.function.index(count_of(axes))

    def split(self, flat: ir.Value, axes: Sequence[Axis]) -> dict[Axis, ir.Value]:
        """The indices of `axes` at position `flat`; the last axis runs fastest."""
        position: dict[Axis, ir.Value] = {}
        for axis in reversed(axes[1:]):
            size = self.function.index(axis.size)
            position[axis] = self.builder.urem(flat, size)
            flat = self.builder.udiv(flat, size)
        if axes:
            position[axes[0]] = flat
        return position

    def least(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The smaller one, signed."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def scaled(self, value: ir.Value, factor: Index) -> ir.Value:
        """The product of both."""
        return value if factor == 1 else self.builder.mul(value, self.function.index(factor), flags=("nsw",))

    def offset(self, address: Address, position: Position) -> ir.Value:
        """How far `position` moves the address, in elements, without its constant part."""
        total = ir.Constant(I64, 0)
        for axis, index in position.items():
            stride = axis.stride(address)
            if stride != 0:
                total = self.builder.add(total, self.scaled(index, stride), flags=("nsw",))
        return total

    def pointer(self, address: Address, position: Position) -> ir.Value:
        """The address at this position."""
        base = self.function.pointers[self.request.parameter_of(address.view)]
        offset = self.builder.add(self.offset(address, position), self.function.index(address.constant))
        return self.move(base, offset, address.view.type.element)

    def move(self, pointer: ir.Value, offset: ir.Value, element: str) -> ir.Value:
        """`offset` elements further."""
        return self.function.element(pointer, offset, memory_type(element))

    def slot(self, number: ir.Value) -> Slot:
        """Vector `number` of a row of the output."""
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

    def factor(self, which: int, pointers: Sequence[ir.Value], axis: Axis | None, valid: ir.Value | None) -> ir.Value:
        """A factor's f32 elements at `pointers` (one per read): a vector along `axis`, or one element without it."""
        factor, graph = self.contraction.factors[which], self.graphs[which]
        lanes = self.tiling.lanes if axis else None

        def leaf(node: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
            if node.op == "size":
                return self.integer(node)
            at = [position for position, _ in factor.reads].index(int(str(node.attribute)))
            address = factor.reads[at][1]
            stride = axis.stride(address) if axis else 0
            return self.load(pointers[at], address.view.type.element, stride, valid)

        return self.evaluate(graph, leaf, lanes)[0]

    def evaluate(self, graph: ScalarGraph, leaf: Leaf, lanes: int | None) -> tuple[ir.Value, ...]:
        """A scalar graph's results."""
        emitter = ScalarEmitter(self.function.module, self.builder, lanes, hardware=self.function.hardware)
        return emitter.emit(graph, leaf)

    def integer(self, node: Scalar) -> ir.Value:
        """A `size` leaf."""
        assert not isinstance(node.attribute, (float, str))
        value = self.function.index(node.attribute)  # type: ignore[arg-type]
        type_ = REGISTER_TYPES[node.type]
        return value if type_ == I64 else self.builder.trunc(value, type_)

    def lane(self, number: int, valid: ir.Value | None) -> ir.Value:
        """A lane's number; lanes that do not exist stand for the last one that does."""
        value = ir.Constant(I64, number)
        if valid is None or number == 0:
            return value
        return self.least(value, self.builder.sub(valid, ir.Constant(I64, 1)))

    def load(self, pointer: ir.Value, element: str, stride: Index, valid: ir.Value | None) -> ir.Value:
        """Elements `stride` apart as register values; a scalar for stride 0. Never reads beyond the last valid lane."""
        lanes, builder = self.tiling.lanes, self.builder
        if stride == 0:
            return load(builder, pointer, element)
        if stride == 1 and valid is None:
            return load(builder, pointer, element, lanes)
        if stride in (1, 2) and element == "f32" and (valid is None or self.masks):
            return self._load_spread(pointer, int(str(stride)), valid)
        result = ir.Constant(vector(REGISTER_TYPES[element], lanes), ir.Undefined)
        for number in range(lanes):
            offset = self.scaled(self.lane(number, valid), stride)
            one = load(builder, self.move(pointer, offset, element), element)
            result = builder.insert_element(result, one, ir.Constant(I32, number))
        return result

    def _load_spread(self, pointer: ir.Value, stride: int, valid: ir.Value | None) -> ir.Value:
        """f32 elements 1 or 2 apart, by loads that stay between the first and the last valid one."""
        lanes, builder = self.tiling.lanes, self.builder
        low = self._load_masked(pointer, 0, stride, valid)
        if stride == 1:
            return low
        # lanes 0, 2, 4, … of the first vector; the second begins at lane `lanes - 1` so that it ends with the last one
        high_pointer = self.move(pointer, ir.Constant(I64, lanes - 1), "f32")
        high = self._load_masked(high_pointer, lanes - 1, stride, valid)
        picks = [2 * n if 2 * n < lanes else 2 * n + 1 for n in range(lanes)]
        mask = ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, p) for p in picks])
        return builder.shuffle_vector(low, high, mask)

    def _load_masked(self, pointer: ir.Value, first: int, stride: int, valid: ir.Value | None) -> ir.Value:
        """f32 elements `first, first + 1, …` of those up to the last valid lane's; zeros beyond."""
        lanes, builder = self.tiling.lanes, self.builder
        if valid is None:
            return load(builder, pointer, "f32", lanes)
        mask = self._mask(first, self.scaled(builder.sub(valid, ir.Constant(I64, 1)), stride))
        type_ = vector(F32, lanes)
        typed = ir.Constant(type_, [ir.Constant(F32, 0.0)] * lanes)
        name = f"llvm.masked.load.v{lanes}f32.p0"
        return intrinsic(builder, name, type_, [pointer, ir.Constant(I32, 4), mask, typed])

    def _mask(self, first: int, last: ir.Value) -> ir.Value:
        """Which of the numbers `first, first + 1, …` are at most `last`."""
        lanes, builder = self.tiling.lanes, self.builder
        numbers = ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, first + n) for n in range(lanes)])
        return builder.icmp_signed("<=", numbers, splat(builder, builder.trunc(last, I32), lanes))

    @property
    def masks(self) -> bool:
        """Whether the target loads and stores some lanes of a vector in one instruction."""
        return self.function.hardware.vector_bytes >= 32

    def store_masked(self, value: ir.Value, pointer: ir.Value, valid: ir.Value) -> None:
        """The first `valid` lanes of a vector of f32 to neighbouring elements."""
        mask = self._mask(0, self.builder.sub(valid, ir.Constant(I64, 1)))
        name = f"llvm.masked.store.v{self.tiling.lanes}f32.p0"
        intrinsic(self.builder, name, ir.VoidType(), [value, pointer, ir.Constant(I32, 4), mask])

    def store(self, value: ir.Value, pointer: ir.Value, element: str, stride: Index) -> None:
        """A vector to elements `stride` apart."""
        if stride == 1:
            store(self.builder, value, pointer, element)
            return
        for number in range(self.tiling.lanes):
            one = self.builder.extract_element(value, ir.Constant(I32, number))
            offset = self.scaled(ir.Constant(I64, number), stride)
            store(self.builder, one, self.move(pointer, offset, element), element)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """The sum a · b + c, in one instruction where the target has it."""
        lanes = self.tiling.lanes
        return intrinsic(self.builder, f"llvm.fmuladd.v{lanes}f32", vector(F32, lanes), [a, b, c])

    def initial(self) -> ir.Value:
        """What every lane's sum starts from."""
        return constant(vector(F32, self.tiling.lanes), self.contraction.init)

    def pointers(self, factor: Factor, position: Position) -> list[ir.Value]:
        """Where each read of a factor is at this position."""
        return [self.pointer(address, position) for address in factor.addresses]

    def advance(self, factor: Factor, pointers: Sequence[ir.Value], position: Position) -> list[ir.Value]:
        """The same pointers, moved by further axes."""
        return [
            self.move(p, self.offset(a, position), a.view.type.element)
            for p, a in zip(pointers, factor.addresses, strict=True)
        ]
