"""Floating-point arithmetic on scalars or vectors, for code that is written once for f32 and f64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from .elements import REGISTER_TYPES, constant, intrinsic, suffix, vector
from .function import I32, I64, Hardware


@dataclass(frozen=True, slots=True)
class FloatMath:
    """Emits operations of one type: `f32` or `f64`, scalar (`lanes` None) or vector."""

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

    @property
    def fraction_bits(self) -> int:
        """Bits of the fraction, without the hidden one."""
        return 23 if self.element == "f32" else 52

    @property
    def bias(self) -> int:
        """The exponent's bias."""
        return 127 if self.element == "f32" else 1023

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
        """Whether a is NaN."""
        return self.builder.fcmp_unordered("uno", a, a)

    def select(self, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        """`condition ? yes : no`, lane by lane."""
        return self.builder.select(condition, yes, no)

    def larger(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """One maxps: b where either is NaN, and of two zeros b."""
        return self.select(self.compare(">", a, b), a, b)

    def smaller(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """One minps: b where either is NaN, and of two zeros b."""
        return self.select(self.compare("<", a, b), a, b)

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

    def poly(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        """Horner's scheme, highest power first."""
        result = self.const(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.fma(result, x, self.const(coefficient))
        return result

    def nearest(self, a: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The nearest integer as a float and as an integer, for |a| < 2^(fraction_bits - 2)."""
        magic = self.const(1.5 * 2.0**self.fraction_bits)
        pushed = self.add(a, magic)
        return self.sub(pushed, magic), self.builder.sub(self.bits(pushed), self.bits(magic))

    def power_of_two(self, n: ir.Value) -> ir.Value:
        """2^n for an integer n within the range of normal exponents."""
        biased = self.builder.add(n, self.integer(self.bias))
        return self.from_bits(self.builder.shl(biased, self.integer(self.fraction_bits)))

    def scale(self, a: ir.Value, n: ir.Value) -> ir.Value:
        """The value of a · 2^n, in two steps, so that n may reach twice as far as exponents do."""
        half = self.builder.ashr(n, self.integer(1))
        rest = self.builder.sub(n, half)
        return self.mul(self.mul(a, self.power_of_two(half)), self.power_of_two(rest))

    def wide(self) -> FloatMath:
        """The same in f64."""
        return FloatMath(self.builder, "f64", self.lanes, self.hardware)

    def widen(self, a: ir.Value) -> ir.Value:
        """To f64."""
        return self.builder.fpext(a, self.wide().type)

    def narrow(self, a: ir.Value) -> ir.Value:
        """From f64 to this type."""
        return self.builder.fptrunc(a, self.type)
