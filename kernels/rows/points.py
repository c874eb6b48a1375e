"""Emission of reads, computation and writes at one point of a nest: one element, or the lanes of a vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from substitute.codegen.llvm.elements import REGISTER_TYPES, lanes_of, load, memory_type, splat, store
from substitute.codegen.llvm.function import I32, I64, KernelFunction
from substitute.codegen.llvm.lower import ScalarEmitter
from substitute.model.index import Index
from substitute.model.scalar import Scalar

from .nests import Access, FlatNest


@dataclass(frozen=True, slots=True)
class Point:
    """Position in a nest at which code is emitted."""

    nest: FlatNest
    at: Mapping[int, ir.Value]
    """Index of each open loop; for the lane loop, that of its first lane."""
    lane: int | None
    """The loop that has the lanes."""
    lanes: int | None


class RowMemory:
    """Memory of a row's values: parameters, temporaries in registers, temporaries on the stack."""

    def __init__(self, kernel: KernelFunction, *, across: bool) -> None:
        self.kernel, self.builder, self.across = kernel, kernel.builder, across
        self.registers: dict[int, ir.Value] = {}
        self.buffers: dict[int, ir.Value] = {}

    def evaluate(self, point: Point) -> tuple[ir.Value, ...]:
        """Return the results of the nest's expression at this point."""
        emitter = ScalarEmitter(self.kernel.module, self.builder, point.lanes, hardware=self.kernel.hardware)
        loaded: dict[int, ir.Value] = {}

        def leaf(node: Scalar, coordinates: tuple[ir.Value, ...]) -> ir.Value:
            if node.op == "index":
                return self._loop_index(point, int(str(node.attribute)))
            if node.op == "size":
                return self._known_at_launch(node)
            at = int(str(node.attribute))
            if node.op == "gather":
                return self._gather(point, point.nest.reads[at], coordinates)
            if at not in loaded:
                loaded[at] = self._read(point, point.nest.reads[at])
            return loaded[at]

        return emitter.emit(point.nest.expr, leaf)

    def _known_at_launch(self, node: Scalar) -> ir.Value:
        value = self.kernel.index(node.attribute)  # type: ignore[arg-type]
        type_ = REGISTER_TYPES[node.type]
        return value if type_ == I64 else self.builder.trunc(value, type_)

    def _loop_index(self, point: Point, loop: int) -> ir.Value:
        index = point.at[loop]
        if point.lanes is None or loop != point.lane:
            return index
        ramp = ir.Constant(ir.VectorType(I64, point.lanes), [ir.Constant(I64, k) for k in range(point.lanes)])
        return self.builder.add(splat(self.builder, index, point.lanes), ramp)

    def _offset(self, point: Point, access: Access) -> ir.Value:
        builder, total = self.builder, self.kernel.index(access.base)
        for loop, stride in enumerate(access.strides):
            if stride != 0:
                total = builder.add(total, builder.mul(point.at[loop], self.kernel.index(stride)))
        return total

    def _pointer(self, access: Access) -> ir.Value:
        assert access.view is not None
        return self.kernel.pointers[self.kernel.request.parameter_of(access.view)]

    def _read(self, point: Point, access: Access) -> ir.Value:
        """Return the element (or the lanes) of an access; a scalar if every lane reads the same."""
        if access.temporary in self.registers and access.view is None:
            return self.registers[access.temporary]
        offset = self._offset(point, access)
        if access.view is None:
            pointer = self.buffers[access.temporary]
            if self.across:
                offset = self.builder.mul(offset, ir.Constant(I64, point.lanes or 1))
                address = self.kernel.element(pointer, offset, memory_type(access.element))
                return load(self.builder, address, access.element, point.lanes)
        else:
            pointer = self._pointer(access)
        step: Index = 0 if point.lane is None else access.strides[point.lane]
        if point.lanes is None or step == 0 or step == 1:
            address = self.kernel.element(pointer, offset, memory_type(access.element))
            return load(self.builder, address, access.element, point.lanes if step == 1 else None)
        by = self.kernel.index(step)
        places = [self.builder.add(offset, self.builder.mul(by, ir.Constant(I64, k))) for k in range(point.lanes)]
        return self._collect(pointer, places, access.element)

    def _collect(self, pointer: ir.Value, places: Sequence[ir.Value], element: str) -> ir.Value:
        """Return a vector of the elements at these offsets."""
        result: ir.Value = ir.Constant(ir.VectorType(REGISTER_TYPES[element], len(places)), ir.Undefined)
        for lane, place in enumerate(places):
            one = load(self.builder, self.kernel.element(pointer, place, memory_type(element)), element)
            result = self.builder.insert_element(result, one, ir.Constant(I32, lane))
        return result

    def _gather(self, point: Point, access: Access, coordinates: Sequence[ir.Value]) -> ir.Value:
        assert access.view is not None
        builder, lanes = self.builder, point.lanes
        total: ir.Value = self.kernel.index(0)
        if lanes is not None:
            total = splat(builder, total, lanes)
        for coordinate, stride in zip(coordinates, access.view.strides, strict=True):
            wide = coordinate
            scalar = coordinate.type.element if lanes_of(coordinate) else coordinate.type
            if scalar.width < 64:
                wide = builder.sext(coordinate, I64 if lanes is None else ir.VectorType(I64, lanes))
            by = self.kernel.index(stride)
            total = builder.add(total, builder.mul(wide, by if lanes is None else splat(builder, by, lanes)))
        if lanes is None:
            address = self.kernel.element(self._pointer(access), total, memory_type(access.element))
            return load(builder, address, access.element)
        places = [builder.extract_element(total, ir.Constant(I32, k)) for k in range(lanes)]
        return self._collect(self._pointer(access), places, access.element)

    def write(self, point: Point, access: Access, value: ir.Value) -> None:
        """Store a value, or its lanes one by one if they are not contiguous in memory."""
        builder, pointer, offset = self.builder, self._pointer(access), self._offset(point, access)
        type_ = memory_type(access.element)
        step = 0 if point.lane is None else access.strides[point.lane]
        if point.lanes is None or step == 1:
            store(builder, value, self.kernel.element(pointer, offset, type_), access.element)
            return
        by = self.kernel.index(step)
        for lane in range(point.lanes):
            place = builder.add(offset, builder.mul(by, ir.Constant(I64, lane)))
            one = builder.extract_element(value, ir.Constant(I32, lane))
            store(builder, one, self.kernel.element(pointer, place, type_), access.element)
