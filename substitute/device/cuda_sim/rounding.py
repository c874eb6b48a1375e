"""Exact floating-point arithmetic with one rounding, for `fma` and the directed rounding modes.

Everything is computed in float64 together with the exact error of that (Knuth's two-sum, Dekker's product), and
rounded to odd where a second rounding follows: then the second one is right (Boldo and Melquiond, "Emulation of a FMA
and correctly rounded sums", 2008). Lanes whose exponents leave the safe range are computed with rationals.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from .types import DTYPES, Array, bf16_to_f32

_SPLIT = float(2**27 + 1)
_LOW, _HIGH = 2.0**-900, 2.0**900
PRECISION = {"f16": (11, -14, 15), "bf16": (8, -126, 127), "f32": (24, -126, 127), "f64": (53, -1022, 1023)}
"""Significant bits, smallest and largest exponent of normal numbers."""


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a sum and its exact error."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a product and its exact error, for exponents away from the ends of the range."""
    product = a * b
    t = _SPLIT * a
    a_high = t - (t - a)
    a_low = a - a_high
    t = _SPLIT * b
    b_high = t - (t - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def to_odd(value: Array, error: Array) -> Array:
    """Return `value + error` rounded to odd: where inexact, the neighbour with an odd last bit."""
    bits = value.view(np.int64)
    inexact = (error != 0) & np.isfinite(error) & ((bits & 1) == 0)
    if not inexact.any():
        return value
    toward = np.where((error > 0) == (value > 0), 1, -1)
    fixed = bits + np.where(inexact, toward, 0)
    return fixed.view(np.float64)


def _broadcast(*arrays: Array) -> list[Array]:
    return [np.ascontiguousarray(a) for a in np.broadcast_arrays(*arrays)]


def fma32(a: Array, b: Array, c: Array) -> Array:
    """Return float32 a·b + c with a single rounding."""
    exact = a.astype(np.float64) * b
    total = exact + c
    result: Array = total.astype(np.float32)
    # Two roundings differ from one only where the first lands on a tie of the second, or where that one is subnormal.
    tie = (total.view(np.uint64) & np.uint64(0x1FFFFFFF)) == np.uint64(0x10000000)
    small = (result.view(np.uint32) & np.uint32(0x7F800000)) == 0
    suspect = tie | (small & (total != 0))
    if suspect.any():
        at = np.flatnonzero(suspect)
        product, term = (x if x.shape[0] == 1 else x[at] for x in (exact, c))
        sums, errors = two_sum(product, term.astype(np.float64))
        inexact = np.broadcast_to(errors != 0, at.shape)
        if inexact.any():
            result[at] = to_odd(sums, errors).astype(np.float32)
    return result


def fma64(a: Array, b: Array, c: Array) -> Array:
    """Return float64 a·b + c with a single rounding."""
    a, b, c = _broadcast(a, b, c)
    high, low = two_product(a, b)
    t_high, t_low = two_sum(c, low)
    v_high, v_low = two_sum(high, t_high)
    rest, error = two_sum(t_low, v_low)
    result = np.asarray(v_high + to_odd(rest, error))
    sizes = [np.abs(x) for x in (a, b, a * b, c)]
    unsafe = np.zeros(a.shape, bool)
    for size in sizes:
        unsafe |= (size != 0) & ((size < _LOW) | (size > _HIGH))
    unsafe |= ~np.isfinite(result)
    for at in np.flatnonzero(unsafe):
        result[at] = _fma_rational(float(a[at]), float(b[at]), float(c[at]))
    return result


def _fma_rational(a: float, b: float, c: float) -> float:
    if math.isfinite(a) and math.isfinite(b) and math.isinf(c):
        return c
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return float(np.float64(a) * np.float64(b) + np.float64(c))
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def round_f64(value: Array, error: Array, type_: str, mode: str) -> Array:
    """Return `value + error` (float64, |error| below half a unit of `value`) rounded once to `type_`; bf16 as float32.

    `mode`: rn, rz, rm, rp.
    """
    value, error = _broadcast(np.asarray(value, np.float64), np.asarray(error, np.float64))
    if mode == "rn":
        if type_ == "f64":
            return value
        odd = to_odd(value, error)
        if type_ == "bf16":
            return bf16_to_f32(round_bf16(odd))
        result: Array = odd.astype(DTYPES[type_])
        return result
    return _directed(value, error, type_, mode)


def _directed(value: Array, error: Array, type_: str, mode: str) -> Array:
    """Round towards zero or an infinity, to the numbers of the target."""
    bits, lowest, highest = PRECISION[type_]
    dtype = np.dtype(np.float32) if type_ == "bf16" else DTYPES[type_]
    largest = (2.0 - 2.0 ** (1 - bits)) * 2.0**highest
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(value)
        grid = np.maximum(exponent, lowest + 1) - bits
        cut = value if type_ == "f64" else np.ldexp(np.trunc(np.ldexp(value, -grid)), grid)
        rest = np.where(value == cut, error, value - cut)
        # for rz the magnitude may only shrink: a positive number goes down, a negative one up
        down = ~np.signbit(value) if mode == "rz" else np.full(value.shape, mode == "rm")
        over = np.isfinite(value) & (np.abs(cut) > largest)
        plain = np.where(over, 0.0, cut).astype(dtype)
        result = np.where(
            down & (rest < 0),
            _next(plain, False, type_),
            np.where(~down & (rest > 0), _next(plain, True, type_), plain),
        )
        stays = (down & (cut > 0)) | (~down & (cut < 0))
        beyond = np.where(stays, np.copysign(largest, cut), np.copysign(np.inf, cut)).astype(dtype)
        result = np.where(over, beyond, result)
        result = np.where(result == 0, np.copysign(result, value.astype(dtype)), result)
        return np.where(np.isfinite(value), result, value.astype(dtype))


def _next(value: Array, up: bool, type_: str) -> Array:
    """Return the neighbouring number of the format."""
    if type_ != "bf16":
        neighbour: Array = np.nextafter(value, value.dtype.type(np.inf if up else -np.inf))
        return neighbour
    bits = value.view(np.int32)
    away = (value > 0) == up
    moved = np.where(away, bits + 0x10000, bits - 0x10000)
    zero = np.int32(0x10000) if up else np.int32(-(2**31) + 0x10000)
    return np.where(value == 0, zero, moved).astype(np.int32).view(np.float32)


def round_rational(exact: Fraction, mode: str) -> float:
    """Return a rational as float64, in a directed rounding mode."""
    try:
        nearest = exact.numerator / exact.denominator
    except OverflowError:
        nearest = math.inf if exact > 0 else -math.inf
    high = mode == "rp" or (mode == "rz" and exact < 0)
    if math.isinf(nearest):
        return nearest if (nearest > 0) == high else math.copysign(float(np.finfo(np.float64).max), nearest)
    if high and Fraction(nearest) < exact:
        return math.nextafter(nearest, math.inf)
    if not high and Fraction(nearest) > exact:
        return math.nextafter(nearest, -math.inf)
    return nearest


def round_root(exact: Fraction, mode: str) -> float:
    """Return the square root of a positive float64, in a directed rounding mode."""
    nearest = math.sqrt(exact)
    square = Fraction(nearest) ** 2
    if mode == "rp":
        return math.nextafter(nearest, math.inf) if square < exact else nearest
    return math.nextafter(nearest, 0.0) if square > exact else nearest


def round_bf16(value: Array) -> Array:
    """Convert float32 or float64 (rounded to odd, or exact) to bf16 bits, to nearest even; NaN is 0x7FFF."""
    if value.dtype == np.float64:
        # to float32 with rounding to odd, so that the rounding that follows is the only one
        narrow = value.astype(np.float32)
        back = narrow.astype(np.float64)
        bits = narrow.view(np.uint32)
        inexact = (back != value) & np.isfinite(value) & ((bits & np.uint32(1)) == 0)
        larger = np.abs(back) > np.abs(value)
        bits = np.where(inexact, np.where(larger, bits - np.uint32(1), bits + np.uint32(1)), bits)
    else:
        bits = value.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    result: Array = np.where(np.isnan(value), np.uint32(0x7FFF), rounded).astype(np.uint16)
    return result
