"""Floating-point arithmetic on scalars or vectors, for code that is written once for f32 and f64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from ..mathematics.operations import FloatOps
from .elements import REGISTER_TYPES, constant, intrinsic, suffix, vector
from .function import I32, I64, Hardware


@dataclass(frozen=True, slots=True)
class FloatMath(FloatOps[ir.Value]):
    """Emitter of operations of one type: `f32` or `f64`, scalar (`lanes` None) or vector."""

    builder: ir.IRBuilder
    element: str
    lanes: int | None
    hardware: Hardware

    @property
    def type(self) -> ir.Type:
        """The floating-point type."""
        return vector(REGISTER_TYPES[self.element], self.lanes)

    @property
    def word(self) -> ir.Type:
        """The integer type of the same width."""
        return vector(I32 if self.element == "f32" else I64, self.lanes)

    def const(self, number: float) -> ir.Value:
        """A constant."""
        return constant(self.type, number)

    def integer(self, number: int) -> ir.Value:
        """A constant of the integer type."""
        return constant(self.word, number)

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The sum."""
        return self.builder.fadd(a, b)

    def sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The difference."""
        return self.builder.fsub(a, b)

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The product."""
        return self.builder.fmul(a, b)

    def div(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The quotient."""
        return self.builder.fdiv(a, b)

    def neg(self, a: ir.Value) -> ir.Value:
        """-a."""
        return self.builder.fneg(a)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """The value of a · b + c, rounded once where the hardware can."""
        if self.hardware.fma:
            return self.call("fma", a, b, c)
        return self.add(self.mul(a, b), c)

    def call(self, name: str, *args: ir.Value) -> ir.Value:
        """`llvm.NAME` of this type."""
        return intrinsic(self.builder, f"llvm.{name}.{suffix(self.type)}", self.type, args)

    def abs(self, a: ir.Value) -> ir.Value:
        """|a|."""
        return self.call("fabs", a)

    def copysign(self, size: ir.Value, sign: ir.Value) -> ir.Value:
        """The size of one value with the sign of the other."""
        return self.call("copysign", size, sign)

    def sqrt(self, a: ir.Value) -> ir.Value:
        """The square root, correctly rounded."""
        return self.call("sqrt", a)

    def trunc(self, a: ir.Value) -> ir.Value:
        """Rounded toward zero."""
        if self.hardware.rounding:
            return self.call("trunc", a)
        near = self.round_even(a)
        past = self.compare(">", self.abs(near), self.abs(a))
        return self.copysign(self.sub(self.abs(near), self.select(past, self.const(1.0), self.const(0.0))), a)

    def floor(self, a: ir.Value) -> ir.Value:
        """Rounded down."""
        if self.hardware.rounding:
            return self.call("floor", a)
        near = self.round_even(a)
        past = self.compare(">", near, a)
        return self.copysign(self.sub(near, self.select(past, self.const(1.0), self.const(0.0))), a)

    def ceil(self, a: ir.Value) -> ir.Value:
        """Rounded up."""
        if self.hardware.rounding:
            return self.call("ceil", a)
        return self.neg(self.floor(self.neg(a)))

    def round_even(self, a: ir.Value) -> ir.Value:
        """Rounded to the nearest integer, ties to even."""
        if self.hardware.rounding:
            return self.call("roundeven", a)
        # adding 2^fraction_bits leaves no room for a fraction
        magic = self.const(2.0**self.fraction_bits)
        size = self.abs(a)
        near = self.sub(self.add(size, magic), magic)
        return self.copysign(self.select(self.compare("<", size, magic), near, size), a)

    def round_away(self, a: ir.Value) -> ir.Value:
        """Rounded to the nearest integer, ties away from zero."""
        whole = self.trunc(a)
        far = self.compare(">=", self.abs(self.sub(a, whole)), self.const(0.5))
        step = self.select(far, self.const(1.0), self.const(0.0))
        return self.copysign(self.add(self.abs(whole), step), a)

    def compare(self, predicate: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """An ordered comparison: false where either is NaN."""
        return self.builder.fcmp_ordered(predicate, a, b)

    def is_nan(self, a: ir.Value) -> ir.Value:
        """Return the condition that a is NaN."""
        return self.builder.fcmp_unordered("uno", a, a)

    def select(self, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        """`condition ? yes : no`, lane by lane."""
        return self.builder.select(condition, yes, no)

    def maximum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """IEEE 754-2019 maximum: NaN if either is NaN, +0 above -0."""
        return self.call("maximum", a, b)

    def minimum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """IEEE 754-2019 minimum: NaN if either is NaN, -0 below +0."""
        return self.call("minimum", a, b)

    def maxnum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The larger number; the other one where one is NaN."""
        return self.select(self.is_nan(b), a, self.larger(a, b))

    def minnum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The smaller number; the other one where one is NaN."""
        return self.select(self.is_nan(b), a, self.smaller(a, b))

    def bits(self, a: ir.Value) -> ir.Value:
        """The pattern, as integers."""
        return self.builder.bitcast(a, self.word)

    def from_bits(self, pattern: ir.Value) -> ir.Value:
        """The number with this pattern."""
        return self.builder.bitcast(pattern, self.type)

    def int_add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The sum of integers."""
        return self.builder.add(a, b)

    def int_sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The difference of integers."""
        return self.builder.sub(a, b)

    def int_mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The lower half of the product of integers."""
        return self.builder.mul(a, b)

    def int_mul_high(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The upper half of the product of unsigned 32-bit integers."""
        assert self.element == "f32"
        wide = vector(I64, self.lanes)
        product = self.builder.mul(self.builder.zext(a, wide), self.builder.zext(b, wide))
        return self.builder.trunc(self.builder.lshr(product, constant(wide, 32)), self.word)

    def int_and(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The bits that both integers have."""
        return self.builder.and_(a, b)

    def int_xor(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The bits that one of two integers has."""
        return self.builder.xor(a, b)

    def shift_left(self, a: ir.Value, by: ir.Value | int) -> ir.Value:
        """An integer times a power of two."""
        return self.builder.shl(a, self.integer(by) if isinstance(by, int) else by)

    def shift_right(self, a: ir.Value, by: ir.Value | int, *, signed: bool = False) -> ir.Value:
        """An integer over a power of two, rounded down."""
        by = self.integer(by) if isinstance(by, int) else by
        return self.builder.ashr(a, by) if signed else self.builder.lshr(a, by)

    def int_compare(self, predicate: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """A comparison of integers, `u<` of unsigned ones."""
        compare = self.builder.icmp_unsigned if predicate[0] == "u" else self.builder.icmp_signed
        return compare(predicate.removeprefix("u"), a, b)

    def both(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Conditions a and b."""
        return self.builder.and_(a, b)

    def either(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Conditions a or b."""
        return self.builder.or_(a, b)

    def negate(self, a: ir.Value) -> ir.Value:
        """Not the condition a."""
        return self.builder.not_(a)

    def unordered(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The condition that a or b is NaN."""
        return self.builder.fcmp_unordered("uno", a, b)

    def rarely(
        self, condition: ir.Value, otherwise: tuple[ir.Value, ...], compute: Callable[[], tuple[ir.Value, ...]]
    ) -> tuple[ir.Value, ...]:
        """Return the values of `compute` where a condition holds, in code that runs only if it holds for some lane."""
        builder = self.builder
        some = condition
        if self.lanes is not None:
            name = f"llvm.vector.reduce.or.v{self.lanes}i1"
            some = intrinsic(builder, name, ir.IntType(1), [condition])
        before = builder.block
        with builder.if_then(some, likely=False):
            computed = [builder.select(condition, a, b) for a, b in zip(compute(), otherwise, strict=True)]
            inside = builder.block
        results = []
        for there, usual in zip(computed, otherwise, strict=True):
            joined = builder.phi(there.type)
            joined.add_incoming(there, inside)
            joined.add_incoming(usual, before)
            results.append(joined)
        return tuple(results)

    def product_error(self, a: ir.Value, b: ir.Value, product: ir.Value) -> ir.Value:
        """Return a product less the rounded one."""
        if self.hardware.fma:
            return self.call("fma", a, b, self.neg(product))
        return FloatOps.product_error(self, a, b, product)  # `super()` knows no class with slots

    def wide(self) -> FloatMath:
        """Return the same operations in f64."""
        return FloatMath(self.builder, "f64", self.lanes, self.hardware)

    def widen(self, a: ir.Value) -> ir.Value:
        """To f64."""
        return self.builder.fpext(a, self.wide().type)

    def narrow(self, a: ir.Value) -> ir.Value:
        """From f64 to this type."""
        return self.builder.fptrunc(a, self.type)
