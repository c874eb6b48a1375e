"""Powers: x^y with the logarithm in twice the precision, so that results keep their last bits."""

from __future__ import annotations

import math

from .exponential import LN2, exp, log, split_exponent
from .operations import FloatOps, V

Pair = tuple[V, V]

# what atanh's series has beyond 2/3, highest power of s² first
_SERIES = {
    "f32": tuple(2.0 / (2 * i + 1) for i in range(5, 1, -1)),
    "f64": tuple(2.0 / (2 * i + 1) for i in range(12, 1, -1)),
}
_TWO_THIRDS = {"f32": (0.6666666865348816, -1.9868214925130207e-08), "f64": (0.6666666666666666, 3.700743415417188e-17)}
_LARGEST_EXPONENT = {"f32": 200.0, "f64": 800.0}


def powf(m: FloatOps[V], x: V, y: V) -> V:
    """Return the power x^y with IEEE 754's rules for zeros, infinities, NaN and negative bases."""
    return _limits(m, x, y, _power_of_positive(m, m.abs(x), y))


def _limits(m: FloatOps[V], x: V, y: V, result: V) -> V:
    """Give the result its sign, NaN, and 1 where it is that whatever the other operand is."""
    whole = m.compare("==", m.trunc(y), y)
    half = m.mul(y, m.const(0.5))
    odd = m.both(whole, m.negate(m.compare("==", m.trunc(half), half)))
    signed = m.select(odd, m.copysign(result, x), result)
    negative = m.both(m.compare("<", x, m.const(0.0)), m.compare(">", x, m.const(-math.inf)))
    signed = m.select(m.both(negative, m.negate(whole)), m.const(math.nan), signed)
    signed = m.select(m.unordered(x, y), m.const(math.nan), signed)
    one = m.either(m.compare("==", y, m.const(0.0)), m.compare("==", x, m.const(1.0)))
    unit = m.both(m.compare("==", m.abs(x), m.const(1.0)), m.compare("==", m.abs(y), m.const(math.inf)))
    return m.select(m.either(one, unit), m.const(1.0), signed)


def _power_of_positive(m: FloatOps[V], size: V, power: V) -> V:
    high, low = _log(m, size)
    ordinary = m.both(m.compare(">", size, m.const(0.0)), m.compare("<", size, m.const(math.inf)))
    high = m.select(ordinary, high, log(m, size))
    low = m.select(ordinary, low, m.const(0.0))
    product, rest = _product(m, power, high)
    rest = m.add(rest, m.mul(power, low))
    # beyond these the result is 0 or infinity, and what `rest` holds may be NaN
    inside = m.compare("<", m.abs(product), m.const(_LARGEST_EXPONENT[m.element]))
    return exp(m, product, m.select(inside, rest, m.const(0.0)))


def _log(m: FloatOps[V], x: V) -> Pair[V]:
    """Return the logarithm of x as high + low, good to about 1.3 times the type's bits."""
    k, f = split_exponent(m, x)
    u = m.add(m.const(2.0), f)
    u_low = m.sub(f, m.sub(u, m.const(2.0)))
    s = m.div(f, u)
    back, back_low = _product(m, s, u)
    s_low = m.div(m.sub(m.sub(m.sub(f, back), back_low), m.mul(s, u_low)), u)
    square = _multiply(m, (s, s_low), (s, s_low))
    tail = m.mul(square[0], m.poly(square[0], _SERIES[m.element]))
    factor = _fast_sum(m, m.const(_TWO_THIRDS[m.element][0]), tail)
    factor = (factor[0], m.add(factor[1], m.const(_TWO_THIRDS[m.element][1])))
    cubic = _multiply(m, _multiply(m, (s, s_low), square), factor)
    double = (m.add(s, s), m.add(s_low, s_low))
    near = _add(m, double, cubic)
    whole = _product(m, k, m.const(LN2[m.element][0]))
    return _add(m, (whole[0], m.add(whole[1], m.mul(k, m.const(LN2[m.element][1])))), near)


def _product(m: FloatOps[V], a: V, b: V) -> Pair[V]:
    """Return the exact product of a and b."""
    p = m.mul(a, b)
    return p, m.product_error(a, b, p)


def _fast_sum(m: FloatOps[V], a: V, b: V) -> Pair[V]:
    """Return the exact sum of a and b, for |a| >= |b|."""
    total = m.add(a, b)
    return total, m.sub(b, m.sub(total, a))


def _sum(m: FloatOps[V], a: V, b: V) -> Pair[V]:
    total = m.add(a, b)
    part = m.sub(total, a)
    return total, m.add(m.sub(a, m.sub(total, part)), m.sub(b, part))


def _add(m: FloatOps[V], a: Pair[V], b: Pair[V]) -> Pair[V]:
    high, low = _sum(m, a[0], b[0])
    return _fast_sum(m, high, m.add(low, m.add(a[1], b[1])))


def _multiply(m: FloatOps[V], a: Pair[V], b: Pair[V]) -> Pair[V]:
    high, low = _product(m, a[0], b[0])
    low = m.add(low, m.add(m.mul(a[0], b[1]), m.mul(a[1], b[0])))
    return _fast_sum(m, high, low)
