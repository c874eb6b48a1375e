"""Powers: x^y with the logarithm in twice the precision, so that f64 results keep their last bits."""

from __future__ import annotations

import math

from llvmlite import ir

from .arithmetic import FloatMath
from .exponential import LN2_F64, exp, log, split_exponent

Pair = tuple[ir.Value, ir.Value]

# what atanh's series has beyond 2/3, highest power of s² first
_SERIES = tuple(2.0 / (2 * i + 1) for i in range(12, 1, -1))
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def powf(m: FloatMath, x: ir.Value, y: ir.Value) -> ir.Value:
    """The power x^y with IEEE 754's rules for zeros, infinities, NaN and negative bases."""
    wide = m.wide()
    base, power = (x, y) if m.element == "f64" else (m.widen(x), m.widen(y))
    size = wide.abs(base)
    if m.element == "f64":
        result = _power_of_positive(wide, size, power)
    else:
        # 0 · infinity, which is NaN here, belongs to x = 1 or y = 0: `_limits` knows these
        result = exp(wide, wide.mul(power, log(wide, size)))
    result = _limits(wide, base, power, result)
    return result if m.element == "f64" else m.narrow(result)


def _limits(m: FloatMath, x: ir.Value, y: ir.Value, result: ir.Value) -> ir.Value:
    """Sign, NaN and the powers that are 1 whatever the other operand is."""
    builder = m.builder
    whole = m.compare("==", m.trunc(y), y)
    half = m.mul(y, m.const(0.5))
    odd = builder.and_(whole, m.builder.fcmp_unordered("!=", m.trunc(half), half))
    signed = m.select(odd, m.copysign(result, x), result)
    negative = builder.and_(m.compare("<", x, m.const(0.0)), m.compare(">", x, m.const(-math.inf)))
    undefined = builder.and_(negative, builder.not_(whole))
    signed = m.select(undefined, m.const(math.nan), signed)
    either = builder.fcmp_unordered("uno", x, y)
    signed = m.select(either, m.const(math.nan), signed)
    one = builder.or_(m.compare("==", y, m.const(0.0)), m.compare("==", x, m.const(1.0)))
    unit = builder.and_(m.compare("==", m.abs(x), m.const(1.0)), m.compare("==", m.abs(y), m.const(math.inf)))
    return m.select(builder.or_(one, unit), m.const(1.0), signed)


def _power_of_positive(m: FloatMath, size: ir.Value, power: ir.Value) -> ir.Value:
    high, low = _log(m, size)
    ordinary = m.builder.and_(m.compare(">", size, m.const(0.0)), m.compare("<", size, m.const(math.inf)))
    high = m.select(ordinary, high, log(m, size))
    low = m.select(ordinary, low, m.const(0.0))
    product, rest = _product(m, power, high)
    rest = m.add(rest, m.mul(power, low))
    # beyond these the result is 0 or infinity, and what `rest` holds may be NaN
    inside = m.compare("<", m.abs(product), m.const(800.0))
    return exp(m, product, m.select(inside, rest, m.const(0.0)))


def _log(m: FloatMath, x: ir.Value) -> Pair:
    """The logarithm of x as high + low, good to about 2^-68."""
    k, f = split_exponent(m, x)
    u = m.add(m.const(2.0), f)
    u_low = m.sub(f, m.sub(u, m.const(2.0)))
    s = m.div(f, u)
    back, back_low = _product(m, s, u)
    s_low = m.div(m.sub(m.sub(m.sub(f, back), back_low), m.mul(s, u_low)), u)
    square = _multiply(m, (s, s_low), (s, s_low))
    tail = m.mul(square[0], m.poly(square[0], _SERIES))
    factor = _fast_sum(m, m.const(_TWO_THIRDS[0]), tail)
    factor = (factor[0], m.add(factor[1], m.const(_TWO_THIRDS[1])))
    cubic = _multiply(m, _multiply(m, (s, s_low), square), factor)
    double = (m.add(s, s), m.add(s_low, s_low))
    near = _add(m, double, cubic)
    whole = _product(m, k, m.const(LN2_F64[0]))
    return _add(m, (whole[0], m.add(whole[1], m.mul(k, m.const(LN2_F64[1])))), near)


def _product(m: FloatMath, a: ir.Value, b: ir.Value) -> Pair:
    """The exact product of a and b (Dekker's without FMA)."""
    p = m.mul(a, b)
    if m.hardware.fma:
        return p, m.call("fma", a, b, m.neg(p))
    mask = m.integer(-(1 << 27))
    a_high, b_high = (m.from_bits(m.builder.and_(m.bits(v), mask)) for v in (a, b))
    a_low, b_low = m.sub(a, a_high), m.sub(b, b_high)
    rest = m.add(m.sub(m.mul(a_high, b_high), p), m.add(m.mul(a_high, b_low), m.mul(a_low, b_high)))
    return p, m.add(rest, m.mul(a_low, b_low))


def _fast_sum(m: FloatMath, a: ir.Value, b: ir.Value) -> Pair:
    """The exact sum of a and b, for |a| >= |b|."""
    total = m.add(a, b)
    return total, m.sub(b, m.sub(total, a))


def _sum(m: FloatMath, a: ir.Value, b: ir.Value) -> Pair:
    total = m.add(a, b)
    part = m.sub(total, a)
    return total, m.add(m.sub(a, m.sub(total, part)), m.sub(b, part))


def _add(m: FloatMath, a: Pair, b: Pair) -> Pair:
    high, low = _sum(m, a[0], b[0])
    return _fast_sum(m, high, m.add(low, m.add(a[1], b[1])))


def _multiply(m: FloatMath, a: Pair, b: Pair) -> Pair:
    high, low = _product(m, a[0], b[0])
    low = m.add(low, m.add(m.mul(a[0], b[1]), m.mul(a[1], b[0])))
    return _fast_sum(m, high, low)
