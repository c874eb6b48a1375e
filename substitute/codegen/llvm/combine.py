"""Combiners of reductions: neutral elements, one step, and folding the lanes of a vector into one value."""

from __future__ import annotations

from llvmlite import ir

from substitute.model.ops import neutral
from substitute.model.scalar import Scalar, ScalarGraph

from .arithmetic import FloatMath
from .elements import (
    REGISTER_TYPES,
    computed_in,
    constant,
    convert_float,
    is_float,
    lanes_of,
    splat,
    vector,
)
from .function import I32, Hardware
from .lower import ScalarEmitter


class Combiner:
    """Combiner of one reduction on values of the type that it accumulates in: at least f32 for floats."""

    def __init__(self, builder: ir.IRBuilder, name: str, element: str, hardware: Hardware) -> None:
        self.builder, self.name, self.hardware = builder, name, hardware
        self.element = element
        self.accumulated_in = computed_in(element) if is_float(element) else element
        number = self.accumulated_in
        self._graph = ScalarGraph(
            (Scalar("read", number, (), 0), Scalar("read", number, (), 1), Scalar(name, number, (0, 1))), (2,)
        )
        self._neutral = neutral(name, self.accumulated_in)

    def neutral(self, lanes: int | None) -> ir.Value:
        """Return the neutral element."""
        return constant(vector(REGISTER_TYPES[self.accumulated_in], lanes), self._neutral)

    def start(self, init: float | int, lanes: int | None) -> ir.Value:
        """Return the constant that a reduction starts from."""
        node = Scalar("constant", self.accumulated_in, (), init)
        return ScalarEmitter(self.builder.module, self.builder, lanes, hardware=self.hardware).constant(node)

    def accept(self, value: ir.Value) -> ir.Value:
        """Convert a value of the reduction's element type to the accumulator's type."""
        if not is_float(self.element):
            return value
        return convert_float(self.builder, value, self.element, self.accumulated_in, self.hardware)

    def deliver(self, value: ir.Value) -> ir.Value:
        """Convert the accumulated value to the reduction's element type."""
        if not is_float(self.element):
            return value
        return convert_float(self.builder, value, self.accumulated_in, self.element, self.hardware)

    def step(self, total: ir.Value, value: ir.Value) -> ir.Value:
        """Return `total` combined with one more value."""
        if self.name in ("arith.maximumf", "arith.minimumf") and self.hardware.vector_bytes < 64:
            # the sign of a zero is left open here, as in IREE's code, which gets it right with AVX-512 alone: exact
            # `maximum` takes twice the instructions
            m = FloatMath(self.builder, self.accumulated_in, lanes_of(value), self.hardware)
            best = m.larger(value, total) if self.name == "arith.maximumf" else m.smaller(value, total)
            return m.select(m.is_nan(value), value, best)
        values = (total, value)
        emitter = ScalarEmitter(self.builder.module, self.builder, lanes_of(value), hardware=self.hardware)
        return emitter.emit(self._graph, lambda node, _: values[int(str(node.attribute))])[0]

    def fold(self, value: ir.Value, lanes: int | None) -> ir.Value:
        """Combine pairs of a vector's lanes until `lanes` (a power of two, or None for a scalar) are left.

        Integers are neighbours, not halves: in IREE 3.13 LLVM takes sums of halves of products of i8 with a constant
        for one `vpdpbusd`, and then drops three of its four lanes.
        """
        count = lanes_of(value)
        while count is not None and count > (lanes or 1):
            count //= 2
            firsts, step = ((0, count), 1) if is_float(self.element) else ((0, 1), 2)
            low, high = (self._pick(value, first, step, count) for first in firsts)
            value = self.step(low, high)
        if lanes is None and count is not None:
            return self.builder.extract_element(value, ir.Constant(I32, 0))
        return value

    def _pick(self, value: ir.Value, first: int, step: int, count: int) -> ir.Value:
        mask = ir.Constant(ir.VectorType(I32, count), [ir.Constant(I32, first + step * k) for k in range(count)])
        return self.builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)

    def spread(self, value: ir.Value, lanes: int | None) -> ir.Value:
        """Return a scalar in every lane."""
        return value if lanes is None or lanes_of(value) is not None else splat(self.builder, value, lanes)
