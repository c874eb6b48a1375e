"""exp, log, and the hyperbolic functions, without branches.

Methods after Sun's fdlibm and FreeBSD's msun. No table, no call, no reliance on subnormal results of an intermediate
step: IREE's workers and many GPUs flush them to zero.
"""

from __future__ import annotations

import math

from .operations import FloatOps, V
from .tables import EXP, LOG

LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453
# ln 2 in two parts, the first with few enough bits that its product with an exponent is exact
LN2 = {
    "f32": (0.693359375, -2.12194440e-4),
    "f64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
EXP_RANGE = {"f32": (-104.0, 89.0), "f64": (-746.0, 710.0)}
# 1/ln 2, 1/ln 10 and log10(2) in two parts, the first with half of the bits
LOG2_BASE = {"f32": (1.4428710938, -1.7605285393e-4), "f64": (1.4426946640014648, 3.768874985636099e-07)}
LOG10_BASE = {"f32": (0.43432617188, -3.1689971365e-5), "f64": (0.4342944622039795, 1.9699272335463627e-08)}
LOG10_2 = {"f32": (0.30102920532, 7.9034151668e-7), "f64": (0.3010299955494702, 1.1451100898021838e-10)}
SQRT_HALF_BITS = {"f32": 0x3F3504F3, "f64": 0x3FE6A09E00000000}


def exp_reduced(m: FloatOps[V], x: V, low: V | None = None) -> tuple[V, V, V]:
    """Return e^r - 1, and n as a number and as an integer, of `x + low = n·ln 2 + r`. |x| must be below about 1,100."""
    high_part, low_part = LN2[m.element]
    n, whole = m.nearest(m.mul(x, m.const(LOG2_E)))
    r = m.fma(n, m.const(-high_part), x)
    r = m.fma(n, m.const(-low_part), r)
    if low is not None:
        r = m.add(r, low)
    return m.fma(m.mul(r, r), m.poly(r, EXP[m.element]), r), n, whole


def exp(m: FloatOps[V], x: V, low: V | None = None) -> V:
    """Return the exponential of x + low, `low` being the part of the argument that x could not hold."""
    least, most = EXP_RANGE[m.element]
    inside = m.smaller(m.const(most), m.larger(m.const(least), x))  # in this order NaN passes
    above, _, whole = exp_reduced(m, inside, low)
    return m.scale(m.add(above, m.const(1.0)), whole)


def exp_of_negative(m: FloatOps[V], x: V) -> V:
    """Return the exponential of x <= 0, with 0 below the smallest normal number, as softmax needs it."""
    least = m.const(-87.33 if m.element == "f32" else -708.39)
    above, _, whole = exp_reduced(m, m.larger(least, x))
    result = m.mul(m.add(above, m.const(1.0)), m.power_of_two(whole))
    return m.select(m.compare("<", x, least), m.const(0.0), result)


def exp2(m: FloatOps[V], x: V) -> V:
    """Return two to the power of x."""
    least, most = (-151.0, 129.0) if m.element == "f32" else (-1076.0, 1025.0)
    inside = m.smaller(m.const(most), m.larger(m.const(least), x))
    n, whole = m.nearest(inside)
    above, _, _ = exp_reduced(m, m.mul(m.sub(inside, n), m.const(LN_2)))
    return m.scale(m.add(above, m.const(1.0)), whole)


def expm1(m: FloatOps[V], x: V) -> V:
    """Return the exponential less one, exact near 0."""
    least, most, big = (-30.0, 89.0, 30.0) if m.element == "f32" else (-60.0, 710.0, 60.0)
    inside = m.smaller(m.const(most), m.larger(m.const(least), x))
    above, _, whole = exp_reduced(m, inside)
    large = m.scale(m.add(above, m.const(1.0)), whole)
    # for large x the power below is garbage, and not used
    power = m.power_of_two(whole)
    near = m.fma(above, power, m.sub(power, m.const(1.0)))
    result = m.select(m.compare(">", x, m.const(big)), large, near)
    return m.select(m.compare("==", x, m.const(0.0)), x, result)


def split_exponent(m: FloatOps[V], x: V) -> tuple[V, V]:
    """Return k as a number, and f, of `x = 2^k · (1 + f)` with 1 + f in [√½, √2), for positive finite x."""
    fraction, root = m.fraction_bits, SQRT_HALF_BITS[m.element]
    tiny = m.compare("<", x, m.const(2.0 ** (1 - m.bias)))
    raised = fraction + 2
    bits = m.bits(m.select(tiny, m.mul(x, m.const(2.0**raised)), x))
    moved = m.int_add(bits, m.integer((m.bias << fraction) - root))
    exponent = m.int_sub(m.shift_right(moved, fraction), m.integer(m.bias))
    exponent = m.int_sub(exponent, m.select(tiny, m.integer(raised), m.integer(0)))
    mantissa = m.int_add(m.int_and(moved, m.integer((1 << fraction) - 1)), m.integer(root))
    return m.to_float(exponent), m.sub(m.from_bits(mantissa), m.const(1.0))


def log_tail(m: FloatOps[V], f: V) -> tuple[V, V]:
    """Return half = f²/2, and tail, of `log(1 + f) = f - half + tail`."""
    s = m.div(f, m.add(m.const(2.0), f))
    z = m.mul(s, s)
    series = m.mul(z, m.poly(z, LOG[m.element]))
    half = m.mul(m.mul(m.const(0.5), f), f)
    return half, m.mul(s, m.add(half, series))


def log_limits(m: FloatOps[V], x: V, result: V) -> V:
    """Return the logarithm's value for 0, negative numbers, infinity and NaN; else `result`."""
    result = m.select(m.compare("==", x, m.const(0.0)), m.const(-math.inf), result)
    result = m.select(m.compare("<", x, m.const(math.inf)), result, x)
    return m.select(m.compare("<", x, m.const(0.0)), m.const(math.nan), result)


def log(m: FloatOps[V], x: V, low: V | None = None) -> V:
    """Return the natural logarithm of x·(1 + low)."""
    high_part, low_part = (6.9313812256e-01, 9.0580006145e-06) if m.element == "f32" else LN2["f64"]
    k, f = split_exponent(m, x)
    half, tail = log_tail(m, f)
    small = m.mul(k, m.const(low_part))
    if low is not None:
        small = m.add(small, low)
    rest = m.sub(m.sub(half, m.add(tail, small)), f)
    return log_limits(m, x, m.sub(m.mul(k, m.const(high_part)), rest))


def _log_in_base(m: FloatOps[V], x: V, base: tuple[float, float], unit: tuple[float, float]) -> V:
    """Return `k·unit + log(1 + f)·base`, both constants given in two parts."""
    k, f = split_exponent(m, x)
    half, tail = log_tail(m, f)
    high = m.masked(m.sub(f, half), 12 if m.element == "f32" else 32)
    low = m.add(m.sub(m.sub(f, high), half), tail)
    product = m.mul(high, m.const(base[0]))
    rest = m.add(m.mul(m.add(low, high), m.const(base[1])), m.mul(low, m.const(base[0])))
    whole = m.mul(k, m.const(unit[0]))
    total = m.add(whole, product)
    rest = m.add(m.add(m.sub(whole, total), product), m.add(rest, m.mul(k, m.const(unit[1]))))
    return log_limits(m, x, m.add(rest, total))


def log2(m: FloatOps[V], x: V) -> V:
    """Return the logarithm to base 2."""
    return _log_in_base(m, x, LOG2_BASE[m.element], (1.0, 0.0))


def log10(m: FloatOps[V], x: V) -> V:
    """Return the logarithm to base 10."""
    return _log_in_base(m, x, LOG10_BASE[m.element], LOG10_2[m.element])


def log1p(m: FloatOps[V], x: V) -> V:
    """Return the natural logarithm of 1 + x."""
    u = m.add(m.const(1.0), x)
    above = m.sub(m.const(1.0), m.sub(u, x))
    below = m.sub(x, m.sub(u, m.const(1.0)))
    lost = m.div(m.select(m.compare(">=", u, m.const(2.0)), above, below), u)
    # at the ends (-1, infinity) the rounding error is NaN, and log_limits overrides the result
    result = log(m, u, lost)
    tiny = m.compare("<", m.abs(x), m.const(2.0 ** -(m.fraction_bits + 2)))
    return m.select(tiny, x, result)


def tanh(m: FloatOps[V], x: V) -> V:
    """Return the hyperbolic tangent."""
    size = m.smaller(m.const(10.0 if m.element == "f32" else 20.0), m.abs(x))
    above, _, whole = exp_reduced(m, m.mul(size, m.const(-2.0)))
    power = m.power_of_two(whole)
    t = m.fma(above, power, m.sub(power, m.const(1.0)))  # e^(-2|x|) - 1
    return m.copysign(m.div(t, m.add(t, m.const(2.0))), x)


def _half_of_exp(m: FloatOps[V], size: V) -> V:
    """Return e^size / 2, which overflows later than e^size."""
    half = exp(m, m.mul(m.const(0.5), size))
    return m.mul(m.mul(m.const(0.5), half), half)


def _is_large(m: FloatOps[V], size: V) -> V:
    return m.compare(">", size, m.const(20.0 if m.element == "f32" else 40.0))


def sinh(m: FloatOps[V], x: V) -> V:
    """Return the hyperbolic sine."""
    size = m.abs(x)
    t = expm1(m, size)
    near = m.mul(m.const(0.5), m.add(t, m.div(t, m.add(t, m.const(1.0)))))
    return m.copysign(m.select(_is_large(m, size), _half_of_exp(m, size), near), x)


def cosh(m: FloatOps[V], x: V) -> V:
    """Return the hyperbolic cosine."""
    size = m.abs(x)
    e = exp(m, size)
    near = m.add(m.mul(m.const(0.5), e), m.div(m.const(0.5), e))
    return m.select(_is_large(m, size), _half_of_exp(m, size), near)


def asinh(m: FloatOps[V], x: V) -> V:
    """Return the inverse hyperbolic sine."""
    size = m.abs(x)
    square = m.mul(size, size)
    root = m.sqrt(m.add(square, m.const(1.0)))
    near = log1p(m, m.add(size, m.div(square, m.add(m.const(1.0), root))))
    far = m.add(log(m, size), m.const(LN_2))
    return m.copysign(m.select(m.compare(">", size, m.const(2.0**28)), far, near), x)


def acosh(m: FloatOps[V], x: V) -> V:
    """Return the inverse hyperbolic cosine."""
    t = m.sub(x, m.const(1.0))
    near = log1p(m, m.add(t, m.sqrt(m.add(m.add(t, t), m.mul(t, t)))))
    far = m.add(log(m, x), m.const(LN_2))
    result = m.select(m.compare(">", x, m.const(2.0**28)), far, near)
    return m.select(m.compare("<", x, m.const(1.0)), m.const(math.nan), result)


def atanh(m: FloatOps[V], x: V) -> V:
    """Return the inverse hyperbolic tangent."""
    size = m.abs(x)
    ratio = m.div(m.add(size, size), m.sub(m.const(1.0), size))
    result = m.copysign(m.mul(m.const(0.5), log1p(m, ratio)), x)
    return m.select(m.compare(">", size, m.const(1.0)), m.const(math.nan), result)


def cbrt(m: FloatOps[V], x: V) -> V:
    """Return the cube root."""
    size = m.abs(x)
    guess = exp(m, m.mul(log(m, size), m.const(1.0 / 3.0)))
    # one step of Newton: the guess is good to more than half of the digits
    over = m.sub(m.mul(guess, guess), m.div(size, guess))
    better = m.sub(guess, m.div(over, m.mul(m.const(3.0), guess)))
    ordinary = m.both(m.compare(">", size, m.const(0.0)), m.compare("<", size, m.const(math.inf)))
    return m.select(ordinary, m.copysign(better, x), x)
