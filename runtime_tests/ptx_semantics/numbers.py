"""Floating-point numbers from their bits and back, in plain integers and rationals: an independent reference.

Nothing here uses the simulated device or NumPy. Source: IEEE 754-2019, 3.4 and 4.3; PTX ISA 9.7.3 on NaNs and
subnormal numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Format:
    """A binary format."""

    exponent: int
    mantissa: int

    @property
    def bits(self) -> int:
        """All of them."""
        return 1 + self.exponent + self.mantissa

    @property
    def bias(self) -> int:
        """Bias of the exponent."""
        return (1 << (self.exponent - 1)) - 1

    @property
    def tiny(self) -> Fraction:
        """The smallest normal number."""
        return Fraction(1, 1 << (self.bias - 1))

    @property
    def largest(self) -> Fraction:
        """The largest finite number."""
        return (2 - Fraction(1, 1 << self.mantissa)) * (1 << self.bias)

    @property
    def nan(self) -> int:
        """The canonical NaN: all ones but for the sign; of float64 the quiet one that x86 calls indefinite."""
        if self.bits == 64:
            return 0xFFF8 << 48
        return (1 << (self.bits - 1)) - 1

    @property
    def infinity(self) -> int:
        """Its bits, without the sign."""
        return ((1 << self.exponent) - 1) << self.mantissa


FORMATS = {"f16": Format(5, 10), "bf16": Format(8, 7), "f32": Format(8, 23), "f64": Format(11, 52)}


@dataclass(frozen=True, slots=True)
class Number:
    """A value: `size` is None for a NaN, -1 for an infinity."""

    negative: bool
    size: Fraction | None

    @property
    def is_nan(self) -> bool:
        """No number."""
        return self.size is None

    @property
    def is_infinite(self) -> bool:
        """One of the two infinities."""
        return self.size is not None and self.size < 0

    @property
    def is_finite(self) -> bool:
        """Neither of these."""
        return self.size is not None and self.size >= 0

    @property
    def value(self) -> Fraction:
        """Value of a finite number."""
        assert self.size is not None and self.size >= 0
        return -self.size if self.negative else self.size

    @property
    def approximately(self) -> float:
        """The number as a Python float."""
        if self.is_nan:
            return math.nan
        return math.copysign(math.inf if self.is_infinite else float(self.size or 0), -1 if self.negative else 1)

    def negated(self) -> Number:
        """With the other sign."""
        return replace(self, negative=not self.negative)

    def positive(self) -> Number:
        """Without its sign."""
        return replace(self, negative=False)


NAN = Number(False, None)
ZERO = Number(False, Fraction(0))


def infinity(negative: bool = False) -> Number:
    """One of them."""
    return Number(negative, Fraction(-1))


def exact(value: Fraction, negative_zero: bool = False) -> Number:
    """A rational."""
    return Number(value < 0 or (value == 0 and negative_zero), abs(value))


def decode(bits: int, format_: Format, *, ftz: bool = False) -> Number:
    """The value of a bit pattern."""
    negative = bool(bits >> (format_.bits - 1) & 1)
    exponent = bits >> format_.mantissa & ((1 << format_.exponent) - 1)
    mantissa = bits & ((1 << format_.mantissa) - 1)
    if exponent == (1 << format_.exponent) - 1:
        return Number(negative, None) if mantissa else infinity(negative)
    if exponent == 0:
        if ftz:
            mantissa = 0
        return Number(negative, Fraction(mantissa, 1 << format_.mantissa) * format_.tiny)
    size = (1 + Fraction(mantissa, 1 << format_.mantissa)) * Fraction(2) ** (exponent - format_.bias)
    return Number(negative, size)


def encode(number: Number, format_: Format, mode: str = "rn", *, ftz: bool = False) -> int:
    """The bits of a value, rounded once: rn, rz, rm, rp, or rna (ties away from zero)."""
    if number.is_nan:
        return format_.nan
    sign = int(number.negative) << (format_.bits - 1)
    if number.is_infinite:
        return sign | format_.infinity
    size = number.size or Fraction(0)
    exponent = 1 - format_.bias
    if size >= format_.tiny:
        exponent = size.numerator.bit_length() - size.denominator.bit_length()
        while Fraction(2) ** exponent > size:
            exponent -= 1
        while Fraction(2) ** (exponent + 1) <= size:
            exponent += 1
    unit = Fraction(2) ** (exponent - format_.mantissa)
    units, rest = divmod(size, unit)
    away = {"rz": False, "rm": number.negative, "rp": not number.negative}.get(mode)
    if away is None:
        half = Fraction(1, 2) * unit
        away = rest > half or (rest == half and (mode == "rna" or units % 2 == 1))
    units += bool(rest) and away
    if ftz and units * unit < format_.tiny:
        return sign
    if units * unit > format_.largest:
        grows = mode in ("rn", "rna") or {"rm": number.negative, "rp": not number.negative}.get(mode, False)
        return sign | (format_.infinity if grows else format_.infinity - 1)
    if units * unit < format_.tiny:
        return sign | int(units)
    while units >> (format_.mantissa + 1):
        units >>= 1
        exponent += 1
    return sign | ((exponent + format_.bias) << format_.mantissa) | (int(units) & ((1 << format_.mantissa) - 1))


# -- arithmetic, exact ------------------------------------------------------------------------------------------------
def add(a: Number, b: Number, mode: str = "rn") -> Number:
    """The sum; of a zero the sign that the rounding mode asks for."""
    if a.is_nan or b.is_nan:
        return NAN
    if a.is_infinite or b.is_infinite:
        if a.is_infinite and b.is_infinite and a.negative != b.negative:
            return NAN
        return a if a.is_infinite else b
    total = a.value + b.value
    if total:
        return exact(total)
    return Number(a.negative if a.negative == b.negative else mode == "rm", Fraction(0))


def multiply(a: Number, b: Number) -> Number:
    """The product."""
    negative = a.negative != b.negative
    if a.is_nan or b.is_nan:
        return NAN
    if a.is_infinite or b.is_infinite:
        return NAN if 0 in (a.size, b.size) else infinity(negative)
    return Number(negative, abs(a.value * b.value))


def divide(a: Number, b: Number) -> Number:
    """The quotient."""
    negative = a.negative != b.negative
    if a.is_nan or b.is_nan or (a.is_infinite and b.is_infinite) or (a.size == 0 and b.size == 0):
        return NAN
    if a.is_infinite or b.size == 0:
        return infinity(negative)
    return Number(negative, Fraction(0) if b.is_infinite else abs(a.value / b.value))


def square_root(a: Number) -> Number:
    """The root, or a rational so near to it that it rounds as the root does."""
    if a.is_nan or (a.negative and a.size != 0):
        return NAN
    if a.is_infinite or a.size == 0:
        return a
    assert a.size is not None
    shift = 4400
    whole = a.size * (1 << 2 * shift)
    root = math.isqrt(whole.numerator // whole.denominator)
    near = Fraction(root, 1 << shift)
    return exact(near if near * near == a.size else near + Fraction(1, 1 << (shift + 2)))


def less(a: Number, b: Number) -> bool:
    """Comparison of numbers, -0 equal to +0."""
    return _key(a) < _key(b)


def _key(a: Number) -> tuple[int, Fraction]:
    if a.is_infinite:
        return (-1 if a.negative else 1, Fraction(0))
    return (0, a.value)
