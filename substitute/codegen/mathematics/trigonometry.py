"""Circular functions and their inverses.

f32 is right for every argument. f64 is right for |x| below 1.6e6; beyond, sine and cosine lose one digit per digit.
"""

from __future__ import annotations

import math
from itertools import pairwise

from .operations import FloatOps, V
from .tables import ASIN, ATAN, COS, SIN

_TWO_OVER_PI_WORDS = (0x28BE60DB, 0x9391054A, 0x7F09D5F4, 0x7D4D3770, 0x36D8A566, 0x4F10E410)
"""The bits of 2/pi, four of them before the point."""
# pi/2 in pieces short enough that their products with a whole number of quarter turns are exact
_HALF_PI_PIECES = {
    "f32": (1.5703125, 0.0004837512969970703, 7.549533620476723e-08, 2.5633440682570896e-12),
    "f64": (
        1.57079632673412561417e00,
        6.07710050630396597660e-11,
        2.02226624871116645580e-21,
        8.47842766036889956997e-32,
    ),
}
_HALF_PI_LOW = {"f32": -4.371139000186243e-08, "f64": 6.123233995736766e-17}
"""pi/2 less its value rounded to the type."""
_HUGE = 8192.0
"""From here on the products of `_HALF_PI_PIECES` in f32 are no longer exact."""
_TAN_EIGHTH, _TAN_THREE_EIGHTHS = 0.4142135623730951, 2.414213562373095


def _reduce(m: FloatOps[V], x: V) -> tuple[V, V, V]:
    """Return r, its tail, and n, of `x = n·pi/2 + r + tail`, in the type itself (Cody and Waite, 1980)."""
    n = m.round_even(m.mul(x, m.const(2 / math.pi)))
    pieces = _HALF_PI_PIECES[m.element]
    high, low = m.sub(x, m.mul(n, m.const(pieces[0]))), m.const(0.0)
    for piece in pieces[1:]:
        step = m.mul(n, m.const(piece))
        total = m.sub(high, step)
        part = m.sub(high, total)
        # two-sum: what the subtraction lost
        lost = m.add(m.sub(high, m.add(total, part)), m.sub(part, step))
        high, low = total, m.add(low, lost)
    usual = (high, low, _low_bits(m, n))
    if m.element == "f64":
        return usual
    is_huge = m.compare(">=", m.abs(x), m.const(_HUGE))
    high, low, quarters = m.rarely(is_huge, usual, lambda: _reduce_huge(m, x))
    return high, low, quarters


def _low_bits(m: FloatOps[V], n: V) -> V:
    """Return the lowest bits of a whole number, as an integer."""
    return m.bits(m.add(n, m.const(1.5 * 2.0**m.fraction_bits)))


def _reduce_huge(m: FloatOps[V], x: V) -> tuple[V, V, V]:
    """Multiply 96 bits of 2/pi with the 24 bits of an f32 that is at least 2^13 (Payne and Hanek, 1983)."""
    bits, zero, one = m.bits(x), m.integer(0), m.integer(1)
    mantissa = m.shift_left(m.int_add(m.int_and(bits, m.integer(0x7FFFFF)), m.integer(0x800000)), 8)
    exponent = m.int_sub(m.int_and(m.shift_right(bits, 23), m.integer(0xFF)), m.integer(126))
    at, shift = m.shift_right(exponent, 5), m.int_and(exponent, m.integer(31))
    above, first, second, third = (_word(m, m.int_add(at, m.integer(k))) for k in (-1, 0, 1, 2))
    # the last word's bits below the third count for nothing
    words = (above, first, second, third)
    whole, middle, low = (_joined(m, a, b, shift) for a, b in pairwise(words))
    carry, under = m.int_mul_high(mantissa, low), m.int_mul(mantissa, middle)
    under = m.int_add(under, carry)
    over = m.int_add(m.int_mul_high(mantissa, middle), m.int_mul(mantissa, whole))
    over = m.int_add(over, m.select(m.int_compare("u<", under, carry), one, zero))
    # two bits before the point, 62 after it
    quarters = m.shift_right(over, 30)
    over = m.int_and(over, m.integer(0x3FFFFFFF))
    upper_half = m.int_compare("u<", m.integer(0x1FFFFFFF), over)  # then the distance to the next quarter
    quarters = m.int_add(quarters, m.select(upper_half, one, zero))
    under_left = m.int_sub(zero, under)
    over_left = m.int_xor(over, m.integer(0x3FFFFFFF))
    over_left = m.int_add(over_left, m.select(m.int_compare("==", under, zero), one, zero))
    under, over = m.select(upper_half, under_left, under), m.select(upper_half, over_left, over)
    r, tail = _times_half_pi(m, over, under)
    # the sign of x, and that of a distance to the next quarter
    below = m.compare("<", x, m.const(0.0))
    quarters = m.select(below, m.int_sub(zero, quarters), quarters)
    sign = m.select(upper_half, m.neg(m.copysign(m.const(1.0), x)), m.copysign(m.const(1.0), x))
    return m.mul(r, sign), m.mul(tail, sign), quarters


def _times_half_pi(m: FloatOps[V], over: V, under: V) -> tuple[V, V]:
    """Return (over · 2^32 + under) · pi/2 / 2^62 and what that lacks, for an `over` of 29 bits."""
    top = m.mul(m.to_float(m.shift_right(over, 16)), m.const(2.0**48))
    bottom = m.mul(m.to_float(m.int_and(over, m.integer(0xFFFF))), m.const(2.0**32))
    rest = m.mul(m.to_float(m.shift_right(under, 16)), m.const(65536.0))
    size = m.add(top, bottom)
    rest = m.add(m.sub(bottom, m.sub(size, top)), rest)
    total = m.add(size, rest)
    # of the distance to a near multiple of pi/2 these bits are a large part
    rest = m.add(m.sub(rest, m.sub(total, size)), m.to_float(m.int_and(under, m.integer(0xFFFF))))
    unit = m.const(math.pi / 2 / 2.0**62)
    r = m.mul(total, unit)
    low = m.add(m.mul(total, m.const(_HALF_PI_LOW["f32"] / 2.0**62)), m.mul(rest, unit))
    return r, m.add(m.product_error(total, unit, r), low)


def _word(m: FloatOps[V], at: V) -> V:
    """Return 32 bits of 2/pi; 0 before the first and after the last."""
    result = m.integer(0)
    for number, word in enumerate(_TWO_OVER_PI_WORDS):
        result = m.select(m.int_compare("==", at, m.integer(number)), m.integer(word), result)
    return result


def _joined(m: FloatOps[V], upper: V, lower: V, shift: V) -> V:
    """Return the upper word of a pair that is shifted to the left."""
    brought = m.shift_right(m.shift_right(lower, 1), m.int_sub(m.integer(31), shift))
    return m.int_add(m.shift_left(upper, shift), brought)


def _sine_and_cosine(m: FloatOps[V], r: V, tail: V) -> tuple[V, V]:
    """Return sine and cosine of r + tail."""
    z = m.mul(r, r)
    cube = m.mul(z, r)
    half = m.mul(m.const(0.5), z)
    # r + tail - r³/6 + … : the tail's effect on the cube is r²/2 · tail
    sine = m.add(r, m.fma(cube, m.poly(z, SIN[m.element]), m.sub(tail, m.mul(half, tail))))
    near = m.sub(m.const(1.0), half)
    lost = m.sub(m.sub(m.const(1.0), near), half)
    rest = m.sub(m.mul(m.mul(z, z), m.poly(z, COS[m.element])), m.mul(r, tail))
    return sine, m.add(near, m.add(lost, rest))


def _turn(m: FloatOps[V], sine: V, cosine: V, quarters: V) -> V:
    """Return the sine of an angle whose reduced sine and cosine are these."""
    value = m.select(_has_bit(m, quarters, 1), cosine, sine)
    return m.select(_has_bit(m, quarters, 2), m.neg(value), value)


def _has_bit(m: FloatOps[V], n: V, bit: int) -> V:
    return m.int_compare("==", m.int_and(n, m.integer(bit)), m.integer(bit))


def _finite_only(m: FloatOps[V], x: V, result: V) -> V:
    return m.select(m.compare("<", m.abs(x), m.const(math.inf)), result, m.const(math.nan))


def sin(m: FloatOps[V], x: V) -> V:
    """Return the sine."""
    r, tail, quarters = _reduce(m, x)
    result = _turn(m, *_sine_and_cosine(m, r, tail), quarters)
    return m.select(m.compare("==", x, m.const(0.0)), x, _finite_only(m, x, result))


def cos(m: FloatOps[V], x: V) -> V:
    """Return the cosine."""
    r, tail, quarters = _reduce(m, x)
    ahead = m.int_add(quarters, m.integer(1))
    return _finite_only(m, x, _turn(m, *_sine_and_cosine(m, r, tail), ahead))


def tan(m: FloatOps[V], x: V) -> V:
    """Return the tangent."""
    r, tail, quarters = _reduce(m, x)
    sine, cosine = _sine_and_cosine(m, r, tail)
    odd = _has_bit(m, quarters, 1)
    result = m.div(m.select(odd, m.neg(cosine), sine), m.select(odd, sine, cosine))
    return m.select(m.compare("==", x, m.const(0.0)), x, _finite_only(m, x, result))


def atan(m: FloatOps[V], x: V) -> V:
    """Return the inverse tangent."""
    size, low = m.abs(x), _HALF_PI_LOW[m.element]
    high = m.compare(">", size, m.const(_TAN_THREE_EIGHTHS))
    middle = m.compare(">", size, m.const(_TAN_EIGHTH))
    turned = m.div(m.sub(size, m.const(1.0)), m.add(size, m.const(1.0)))
    inverse = m.div(m.const(-1.0), size)
    t = m.select(high, inverse, m.select(middle, turned, size))
    offset = m.select(high, m.const(math.pi / 2), m.select(middle, m.const(math.pi / 4), m.const(0.0)))
    lacking = m.select(high, m.const(low), m.select(middle, m.const(low / 2), m.const(0.0)))
    z = m.mul(t, t)
    near = m.add(m.fma(t, m.mul(z, m.poly(z, ATAN[m.element])), t), lacking)
    return m.copysign(m.add(offset, near), x)


def atan2(m: FloatOps[V], y: V, x: V) -> V:
    """Return the angle of the point (x, y)."""
    high, wide, low = m.abs(y), m.abs(x), _HALF_PI_LOW[m.element]
    swap = m.compare(">", high, wide)
    top, bottom = m.select(swap, wide, high), m.select(swap, high, wide)
    ratio = m.div(top, bottom)
    ratio = m.select(m.compare("==", top, bottom), m.const(1.0), ratio)  # infinity / infinity
    ratio = m.select(m.compare("==", bottom, m.const(0.0)), m.const(0.0), ratio)
    angle = atan(m, ratio)
    angle = m.select(swap, m.add(m.sub(m.const(math.pi / 2), angle), m.const(low)), angle)
    behind = m.int_compare("<", m.bits(x), m.integer(0))
    angle = m.select(behind, m.add(m.sub(m.const(math.pi), angle), m.const(2 * low)), angle)
    return m.select(m.unordered(x, y), m.const(math.nan), m.copysign(angle, y))


def _asin_parts(m: FloatOps[V], x: V) -> tuple[V, V]:
    """Return the condition |x| > ½, and asin of |x|, or else of √((1 - |x|) / 2)."""
    size = m.abs(x)
    far = m.compare(">", size, m.const(0.5))
    z = m.select(far, m.mul(m.const(0.5), m.sub(m.const(1.0), size)), m.mul(size, size))
    root = m.select(far, m.sqrt(z), size)
    return far, m.fma(root, m.mul(z, m.poly(z, ASIN[m.element])), root)


def asin(m: FloatOps[V], x: V) -> V:
    """Return the inverse sine; NaN outside [-1, 1]."""
    far, near = _asin_parts(m, x)
    beyond = m.add(m.sub(m.const(math.pi / 2), m.add(near, near)), m.const(_HALF_PI_LOW[m.element]))
    return m.copysign(m.select(far, beyond, near), x)


def acos(m: FloatOps[V], x: V) -> V:
    """Return the inverse cosine; NaN outside [-1, 1]."""
    far, near = _asin_parts(m, x)
    low = m.const(_HALF_PI_LOW[m.element])
    twice = m.add(near, near)
    opposite = m.add(m.sub(m.const(math.pi), twice), m.add(low, low))
    at_end = m.select(m.compare("<", x, m.const(0.0)), opposite, twice)
    middle = m.sub(m.const(math.pi / 2), m.sub(m.copysign(near, x), low))
    return m.select(far, at_end, middle)
