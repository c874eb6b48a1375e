"""The operations that a target offers, over which the math functions are written once for all targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")
FRACTION_BITS = {"f32": 23, "f64": 52}
BIAS = {"f32": 127, "f64": 1023}


@dataclass(frozen=True, slots=True)
class Text:
    """A value of a target whose code is text: a variable, register or literal, and its type there."""

    type: str
    text: str


class FloatOps(ABC, Generic[V]):
    """Operations on floating-point numbers of one type, on their bit patterns, and on conditions.

    A value `V` is whatever the target computes with: an LLVM register, a variable of GLSL, a register of PTX, an array.
    Integers have the width of the numbers and wrap around. Comparisons are false where an operand is NaN.
    """

    __slots__ = ()

    element: str
    """`f32` or `f64`."""

    # --- numbers

    @abstractmethod
    def const(self, number: float) -> V:
        """Return a constant, rounded to the type."""

    @abstractmethod
    def add(self, a: V, b: V) -> V:
        """Return a + b, rounded once and never contracted."""

    @abstractmethod
    def sub(self, a: V, b: V) -> V:
        """Return a - b, rounded once and never contracted."""

    @abstractmethod
    def mul(self, a: V, b: V) -> V:
        """Return a · b, rounded once and never contracted."""

    @abstractmethod
    def div(self, a: V, b: V) -> V:
        """Return a / b."""

    @abstractmethod
    def fma(self, a: V, b: V, c: V) -> V:
        """Return a · b + c, rounded once or twice, as the target does it faster."""

    @abstractmethod
    def neg(self, a: V) -> V:
        """Return -a."""

    @abstractmethod
    def abs(self, a: V) -> V:
        """Return |a|."""

    @abstractmethod
    def copysign(self, size: V, sign: V) -> V:
        """Return the size of one number with the sign of the other."""

    @abstractmethod
    def sqrt(self, a: V) -> V:
        """Return the square root."""

    @abstractmethod
    def trunc(self, a: V) -> V:
        """Return a rounded toward zero."""

    @abstractmethod
    def round_even(self, a: V) -> V:
        """Return a rounded to the nearest integer, ties to even."""

    # --- conditions

    @abstractmethod
    def compare(self, predicate: str, a: V, b: V) -> V:
        """Return the condition `a <predicate> b`; predicates are `<`, `<=`, `>`, `>=` and `==`."""

    @abstractmethod
    def unordered(self, a: V, b: V) -> V:
        """Return the condition that a or b is NaN."""

    @abstractmethod
    def both(self, a: V, b: V) -> V:
        """Return the condition `a and b`."""

    @abstractmethod
    def either(self, a: V, b: V) -> V:
        """Return the condition `a or b`."""

    @abstractmethod
    def negate(self, a: V) -> V:
        """Return the condition `not a`."""

    @abstractmethod
    def select(self, condition: V, yes: V, no: V) -> V:
        """Return `condition ? yes : no`; for numbers and for integers."""

    # --- bit patterns

    @abstractmethod
    def bits(self, a: V) -> V:
        """Return a number's pattern as an integer."""

    @abstractmethod
    def from_bits(self, pattern: V) -> V:
        """Return the number with this pattern."""

    @abstractmethod
    def integer(self, number: int) -> V:
        """Return a constant integer."""

    @abstractmethod
    def int_add(self, a: V, b: V) -> V:
        """Return a + b."""

    @abstractmethod
    def int_sub(self, a: V, b: V) -> V:
        """Return a - b."""

    @abstractmethod
    def int_mul(self, a: V, b: V) -> V:
        """Return the lower half of a · b."""

    @abstractmethod
    def int_mul_high(self, a: V, b: V) -> V:
        """Return the upper half of a · b, both unsigned."""

    @abstractmethod
    def int_and(self, a: V, b: V) -> V:
        """Return the bits that a and b share."""

    @abstractmethod
    def int_xor(self, a: V, b: V) -> V:
        """Return the bits in which a and b differ."""

    @abstractmethod
    def shift_left(self, a: V, by: V | int) -> V:
        """Return a · 2^by, for `by` from 0 to one less than the width."""

    @abstractmethod
    def shift_right(self, a: V, by: V | int, *, signed: bool = False) -> V:
        """Return a / 2^by, rounded down, for `by` from 0 to one less than the width."""

    @abstractmethod
    def int_compare(self, predicate: str, a: V, b: V) -> V:
        """Return the condition `a <predicate> b`; predicates are `==`, `<`, and `u<` on unsigned integers."""

    # --- derived operations, which a target may override

    @property
    def fraction_bits(self) -> int:
        """Bits of the fraction, without the hidden one."""
        return FRACTION_BITS[self.element]

    @property
    def bias(self) -> int:
        """The exponent's bias."""
        return BIAS[self.element]

    def rarely(self, condition: V, otherwise: tuple[V, ...], compute: Callable[[], tuple[V, ...]]) -> tuple[V, ...]:
        """Return `compute()` where `condition` holds; a target with branches computes it only then."""
        return tuple(self.select(condition, a, b) for a, b in zip(compute(), otherwise, strict=True))

    def larger(self, a: V, b: V) -> V:
        """Return the larger number; b where either is NaN, and of two zeros b."""
        return self.select(self.compare(">", a, b), a, b)

    def smaller(self, a: V, b: V) -> V:
        """Return the smaller number; b where either is NaN, and of two zeros b."""
        return self.select(self.compare("<", a, b), a, b)

    def poly(self, x: V, coefficients: Sequence[float]) -> V:
        """Return a polynomial by Horner's scheme, the highest power's coefficient first."""
        result = self.const(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.fma(result, x, self.const(coefficient))
        return result

    def nearest(self, a: V) -> tuple[V, V]:
        """Return the nearest integer as a number and as an integer, for |a| < 2^(fraction_bits - 2)."""
        # an integer in the low bits of 1.5 · 2^fraction: quicker than a conversion
        magic = self.const(1.5 * 2.0**self.fraction_bits)
        pushed = self.add(a, magic)
        return self.sub(pushed, magic), self.int_sub(self.bits(pushed), self.bits(magic))

    def to_float(self, n: V) -> V:
        """Return an integer as a number, for |n| < 2^(fraction_bits - 2)."""
        magic = self.const(1.5 * 2.0**self.fraction_bits)
        return self.sub(self.from_bits(self.int_add(self.bits(magic), n)), magic)

    def power_of_two(self, n: V) -> V:
        """Return 2^n for an integer n within the range of normal exponents."""
        return self.from_bits(self.shift_left(self.int_add(n, self.integer(self.bias)), self.fraction_bits))

    def scale(self, a: V, n: V) -> V:
        """Return a · 2^n, in two steps, so that n may reach twice as far as exponents do."""
        half = self.shift_right(n, 1, signed=True)
        return self.mul(self.mul(a, self.power_of_two(half)), self.power_of_two(self.int_sub(n, half)))

    def masked(self, a: V, low_bits: int) -> V:
        """Return a number with its lowest bits cleared."""
        return self.from_bits(self.int_and(self.bits(a), self.integer(-(1 << low_bits))))

    def product_error(self, a: V, b: V, product: V) -> V:
        """Return a · b - product exactly, for the rounded product (T. J. Dekker, 1971, by halves of the patterns)."""
        low = (self.fraction_bits + 2) // 2
        a_high, b_high = self.masked(a, low), self.masked(b, low)
        a_low, b_low = self.sub(a, a_high), self.sub(b, b_high)
        rest = self.sub(self.mul(a_high, b_high), product)
        rest = self.add(rest, self.add(self.mul(a_high, b_low), self.mul(a_low, b_high)))
        return self.add(rest, self.mul(a_low, b_low))
