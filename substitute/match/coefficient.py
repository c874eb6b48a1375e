"""Constant factors of a normal form: exact fractions, times sizes and parameters that are known later."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

from ..model.elements import ELEMENT

Factor = tuple[str, object]
"""`("size", index)`, or another number that is known at launch."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """`value · Π factor^exponent`."""

    value: Fraction
    roundings: int = 0
    """Number of roundings that a computation of this value in its type would have made."""
    factors: tuple[tuple[Factor, int], ...] = ()
    narrow: str = ""
    """Type to which a number of a body in f32 was rounded in the dispatch, if it was not changed since."""

    def times(self, other: Coefficient) -> Coefficient:
        """Return the product."""
        if other is ONE:
            return self
        if self is ONE:
            return other
        value, factors = self.value * other.value, _joined(self.factors, other.factors)
        if _is_power_of_two(self.value) and not self.roundings:
            return Coefficient(value, other.roundings, factors, other.narrow)
        if _is_power_of_two(other.value) and not other.roundings:
            return Coefficient(value, self.roundings, factors, self.narrow)
        rounds = not (_is_power_of_two(self.value) or _is_power_of_two(other.value))
        return Coefficient(value, self.roundings + other.roundings + rounds, factors)

    def inverse(self) -> Coefficient:
        """Return the reciprocal. Raises `ZeroDivisionError`."""
        rounds = not _is_power_of_two(self.value)
        return Coefficient(1 / self.value, self.roundings + rounds, tuple((f, -e) for f, e in self.factors))

    def plus(self, other: Coefficient) -> Coefficient | None:
        """Return the sum, if both have the same factors."""
        if self.factors != other.factors:
            return None
        return Coefficient(self.value + other.value, self.roundings + other.roundings + 1, self.factors)

    def negated(self) -> Coefficient:
        """Return the coefficient with the opposite sign."""
        return Coefficient(-self.value, self.roundings, self.factors, self.narrow)

    @property
    def size(self) -> Coefficient:
        """Return the coefficient without its sign."""
        return self if self.value >= 0 else self.negated()

    @property
    def is_one(self) -> bool:
        """True for 1 without factors."""
        return self.value == 1 and not self.factors

    @property
    def is_minus_one(self) -> bool:
        """True for -1 without factors."""
        return self.value == -1 and not self.factors


ONE = Coefficient(Fraction(1))
_HALF_UNITS = {"f16": 2**12, "bf16": 2**15}
"""Half of a narrow type's unit, in units of f32."""
_SMALLEST_NORMAL = {"f16": Fraction(1, 2**14), "bf16": Fraction(1, 2**126)}
_SHORT = 16
"""Numbers with fewer steps than this in their significand are meant as they are: 0.5, 3.0, 2.5."""

_EXACT = 2**16
"""Numbers of f32 with fewer steps than this in their significand are meant as they are, and not rounded decimals."""


def narrow_number(value: float, element: str) -> Coefficient:
    """Return a constant of a narrow type in a body that is compared in f32."""
    own = Fraction(value)
    if _odd_part(own) < _SHORT:
        return Coefficient(own)
    smallest = _SMALLEST_NORMAL[element]
    if abs(own) < smallest:  # the distance of subnormal numbers is that of the smallest normal one
        return Coefficient(own, math.ceil(_HALF_UNITS[element] * smallest / abs(own)))
    return Coefficient(own, _HALF_UNITS[element], (), element)


def number(value: float | int | Fraction, roundings: int = 0) -> Coefficient:
    """Return the coefficient of a number. Raises for infinities and NaN."""
    return Coefficient(Fraction(value), roundings)


def agree(wanted: Coefficient, found: Coefficient, element: str) -> bool:
    """Return True for equal numbers; computed numbers may differ by their roundings."""
    if wanted.factors != found.factors:
        return False
    if wanted.value == found.value:
        return True
    if found.narrow and not wanted.roundings:
        # neither was merged with another: one is the rounded other
        return Fraction(round_to(float(wanted.value), found.narrow)) == found.value
    roundings = wanted.roundings + found.roundings
    if not roundings or element not in ELEMENT or (wanted.value > 0) != (found.value > 0):
        return False
    return abs(wanted.value - found.value) <= roundings * unit(element) * min(abs(wanted.value), abs(found.value))


def is_truncated(wanted: Coefficient, found: Coefficient, element: str) -> bool:
    """Return True for a constant of f32 that IREE made from one of f64, towards zero, where `wanted` is the nearest."""
    if element != "f32" or wanted.roundings or found.roundings or wanted.factors or found.factors or found.narrow:
        return False
    if abs(wanted.value) < _SMALLEST_NORMAL["bf16"] or _odd_part(wanted.value) < _EXACT:
        return False
    value = float(wanted.value)
    step = math.ldexp(1.0, math.frexp(value)[1] - 24)  # (a power of two is short)
    return found.value == Fraction(value - math.copysign(step, value))


def unit(element: str) -> Fraction:
    """Return the distance of 1 from the next number of a type."""
    return Fraction(1, 2 ** {"f16": 10, "bf16": 7, "f32": 23, "f64": 52}.get(element, 0))


def round_to(value: float, element: str) -> float:
    """Return the nearest number of this type."""
    match element:
        case "f32":
            code = "f"
        case "f16":
            code = "e"
        case "bf16":
            return _to_bfloat16(value)
        case _:
            return value
    try:
        return float(struct.unpack(code, struct.pack(code, value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _to_bfloat16(value: float) -> float:
    if not math.isfinite(value):
        return value
    mantissa, exponent = math.frexp(value)
    step = 8 if exponent > -126 else 8 - (-125 - exponent)
    rounded = math.ldexp(round(math.ldexp(mantissa, max(step, 0))), exponent - max(step, 0))
    return rounded if abs(rounded) < 2.0**128 else math.copysign(math.inf, value)


def _odd_part(value: Fraction) -> int:
    odd = abs(value.numerator)
    while odd and not odd % 2:
        odd //= 2
    return odd


def _is_power_of_two(value: Fraction) -> bool:
    a, b = abs(value.numerator), value.denominator
    return a > 0 and a & (a - 1) == 0 and b & (b - 1) == 0


def _joined(a: tuple[tuple[Factor, int], ...], b: tuple[tuple[Factor, int], ...]) -> tuple[tuple[Factor, int], ...]:
    if not a or not b:
        return a or b
    exponents = dict(a)
    for factor, exponent in b:
        exponents[factor] = exponents.get(factor, 0) + exponent
    return tuple(sorted(((f, e) for f, e in exponents.items() if e), key=str))
