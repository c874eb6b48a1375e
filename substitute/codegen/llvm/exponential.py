"""exp, log, powers and hyperbolic functions, branch-free, for f32 and f64, scalars and vectors.

Methods after Sun's fdlibm, FreeBSD's msun and Moshier's Cephes. No table, no call, no reliance on subnormal results of
an intermediate step, which IREE's workers flush to zero.
"""

from __future__ import annotations

import math

from llvmlite import ir

from .arithmetic import FloatMath

LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453
# ln 2 in two parts, the first with few enough bits that its product with an exponent is exact
LN2_F32 = (0.693359375, -2.12194440e-4)
LN2_F64 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
EXP_F32 = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
EXP_F64 = tuple(1.0 / math.factorial(k) for k in range(13, 1, -1))
LOG_F32 = (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693)
LOG_F64 = (
    1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
    2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01,
)  # fmt: skip


def through_f64(m: FloatMath, function: object, *args: ir.Value) -> ir.Value:
    """An f32 result computed in f64: rounded once, nearly always correctly."""
    assert callable(function)
    return m.narrow(function(m.wide(), *(m.widen(a) for a in args)))


def exp_reduced(m: FloatMath, x: ir.Value, low: ir.Value | None = None) -> tuple[ir.Value, ir.Value, ir.Value]:
    """`x + low = n·ln 2 + r`: e^r - 1, and n as float and as integer. |x| must be below about 1,100."""
    high_part, low_part = LN2_F32 if m.element == "f32" else LN2_F64
    n, whole = m.nearest(m.mul(x, m.const(LOG2_E)))
    r = m.fma(n, m.const(-high_part), x)
    r = m.fma(n, m.const(-low_part), r)
    if low is not None:
        r = m.add(r, low)
    series = m.poly(r, EXP_F32 if m.element == "f32" else EXP_F64)
    return m.fma(m.mul(r, r), series, r), n, whole


def exp(m: FloatMath, x: ir.Value, low: ir.Value | None = None) -> ir.Value:
    """The exponential of x + low, `low` being the part of the argument that x could not hold."""
    least, most = (-104.0, 89.0) if m.element == "f32" else (-746.0, 710.0)
    inside = m.smaller(m.const(most), m.larger(m.const(least), x))  # in this order NaN passes
    above, _, whole = exp_reduced(m, inside, low)
    return m.scale(m.add(above, m.const(1.0)), whole)


def exp_of_negative(m: FloatMath, x: ir.Value) -> ir.Value:
    """The exponential of x <= 0, results below the smallest normal number being 0: what softmax needs."""
    least = m.const(-87.33 if m.element == "f32" else -708.39)
    above, _, whole = exp_reduced(m, m.larger(least, x))
    result = m.mul(m.add(above, m.const(1.0)), m.power_of_two(whole))
    return m.select(m.compare("<", x, least), m.const(0.0), result)


def exp2(m: FloatMath, x: ir.Value) -> ir.Value:
    """Two to the power of x."""
    least, most = (-151.0, 129.0) if m.element == "f32" else (-1076.0, 1025.0)
    inside = m.smaller(m.const(most), m.larger(m.const(least), x))
    n, whole = m.nearest(inside)
    above, _, _ = exp_reduced(m, m.mul(m.sub(inside, n), m.const(LN_2)))
    return m.scale(m.add(above, m.const(1.0)), whole)


def expm1(m: FloatMath, x: ir.Value) -> ir.Value:
    """The exponential less one, exact near 0."""
    least, most, big = (-30.0, 89.0, 30.0) if m.element == "f32" else (-60.0, 710.0, 60.0)
    inside = m.smaller(m.const(most), m.larger(m.const(least), x))
    above, _, whole = exp_reduced(m, inside)
    large = m.scale(m.add(above, m.const(1.0)), whole)
    # for large x the power below is garbage, and not used
    power = m.power_of_two(whole)
    near = m.fma(above, power, m.sub(power, m.const(1.0)))
    result = m.select(m.compare(">", x, m.const(big)), large, near)
    return m.select(m.compare("==", x, m.const(0.0)), x, result)


def split_exponent(m: FloatMath, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """`x = 2^k · (1 + f)` with 1 + f in [√½, √2): k as a float, and f. For positive finite x, subnormals included."""
    builder, fraction = m.builder, m.fraction_bits
    root = 0x3F3504F3 if m.element == "f32" else 0x3FE6A09E00000000
    one = m.bias << fraction
    tiny = m.compare("<", x, m.const(2.0 ** (1 - m.bias)))
    raised = fraction + 2
    bits = m.bits(m.select(tiny, m.mul(x, m.const(2.0**raised)), x))
    moved = builder.add(bits, m.integer(one - root))
    exponent = builder.sub(builder.lshr(moved, m.integer(fraction)), m.integer(m.bias))
    exponent = builder.sub(exponent, builder.select(tiny, m.integer(raised), m.integer(0)))
    mantissa = builder.add(builder.and_(moved, m.integer((1 << fraction) - 1)), m.integer(root))
    f = m.sub(m.from_bits(mantissa), m.const(1.0))
    # an integer into the low bits of 1.5 · 2^fraction: quicker for vectors of f64 than a conversion
    magic = m.const(1.5 * 2.0**fraction)
    k = m.sub(m.from_bits(builder.add(m.bits(magic), exponent)), magic)
    return k, f


def log_tail(m: FloatMath, f: ir.Value) -> tuple[ir.Value, ir.Value]:
    """`log(1 + f) = f - half + tail`: half = f²/2, and the tail."""
    s = m.div(f, m.add(m.const(2.0), f))
    z = m.mul(s, s)
    series = m.mul(z, m.poly(z, LOG_F32 if m.element == "f32" else LOG_F64))
    half = m.mul(m.mul(m.const(0.5), f), f)
    return half, m.mul(s, m.add(half, series))


def log_limits(m: FloatMath, x: ir.Value, result: ir.Value) -> ir.Value:
    """What every logarithm gives for 0, negative numbers, infinity and NaN."""
    result = m.select(m.compare("==", x, m.const(0.0)), m.const(-math.inf), result)
    result = m.select(m.compare("<", x, m.const(math.inf)), result, x)
    return m.select(m.compare("<", x, m.const(0.0)), m.const(math.nan), result)


def log(m: FloatMath, x: ir.Value, low: ir.Value | None = None) -> ir.Value:
    """The natural logarithm of x·(1 + low)."""
    high_part, low_part = (6.9313812256e-01, 9.0580006145e-06) if m.element == "f32" else LN2_F64
    k, f = split_exponent(m, x)
    half, tail = log_tail(m, f)
    small = m.mul(k, m.const(low_part))
    if low is not None:
        small = m.add(small, low)
    rest = m.sub(m.sub(half, m.add(tail, small)), f)
    return log_limits(m, x, m.sub(m.mul(k, m.const(high_part)), rest))


def _log_in_base(m: FloatMath, x: ir.Value, base: tuple[float, float], unit: tuple[float, float]) -> ir.Value:
    """`k·unit + log(1 + f)·base`, both constants given in two parts."""
    k, f = split_exponent(m, x)
    half, tail = log_tail(m, f)
    mask = m.integer(-(1 << 32))
    high = m.from_bits(m.builder.and_(m.bits(m.sub(f, half)), mask))
    low = m.add(m.sub(m.sub(f, high), half), tail)
    product = m.mul(high, m.const(base[0]))
    rest = m.add(m.mul(m.add(low, high), m.const(base[1])), m.mul(low, m.const(base[0])))
    whole = m.mul(k, m.const(unit[0]))
    total = m.add(whole, product)
    rest = m.add(m.add(m.sub(whole, total), product), m.add(rest, m.mul(k, m.const(unit[1]))))
    return log_limits(m, x, m.add(rest, total))


def log2(m: FloatMath, x: ir.Value) -> ir.Value:
    """The logarithm to base 2."""
    if m.element == "f32":
        return through_f64(m, log2, x)
    return _log_in_base(m, x, (1.4426946640014648, 3.768874985636099e-07), (1.0, 0.0))


def log10(m: FloatMath, x: ir.Value) -> ir.Value:
    """The logarithm to base 10."""
    if m.element == "f32":
        return through_f64(m, log10, x)
    base = (0.4342944622039795, 1.9699272335463627e-08)
    return _log_in_base(m, x, base, (0.3010299955494702, 1.1451100898021838e-10))


def log1p(m: FloatMath, x: ir.Value) -> ir.Value:
    """The natural logarithm of 1 + x."""
    if m.element == "f32":
        return through_f64(m, log1p, x)
    u = m.add(m.const(1.0), x)
    above = m.sub(m.const(1.0), m.sub(u, x))
    below = m.sub(x, m.sub(u, m.const(1.0)))
    lost = m.div(m.select(m.compare(">=", u, m.const(2.0)), above, below), u)
    # at the ends (-1, infinity) what was lost is NaN, and log_limits has the last word
    result = log(m, u, lost)
    tiny = m.compare("<", m.abs(x), m.const(2.0**-54))
    return m.select(tiny, x, result)


def tanh(m: FloatMath, x: ir.Value) -> ir.Value:
    """The hyperbolic tangent."""
    size = m.smaller(m.const(10.0 if m.element == "f32" else 20.0), m.abs(x))
    above, _, whole = exp_reduced(m, m.mul(size, m.const(-2.0)))
    power = m.power_of_two(whole)
    t = m.fma(above, power, m.sub(power, m.const(1.0)))  # e^(-2|x|) - 1
    return m.copysign(m.div(t, m.add(t, m.const(2.0))), x)


def sinh(m: FloatMath, x: ir.Value) -> ir.Value:
    """The hyperbolic sine."""
    if m.element == "f32":
        return through_f64(m, sinh, x)
    size = m.abs(x)
    t = expm1(m, size)
    near = m.mul(m.const(0.5), m.add(t, m.div(t, m.add(t, m.const(1.0)))))
    half = exp(m, m.mul(m.const(0.5), size))
    far = m.mul(m.mul(m.const(0.5), half), half)
    return m.copysign(m.select(m.compare(">", size, m.const(40.0)), far, near), x)


def cosh(m: FloatMath, x: ir.Value) -> ir.Value:
    """The hyperbolic cosine."""
    if m.element == "f32":
        return through_f64(m, cosh, x)
    size = m.abs(x)
    e = exp(m, size)
    near = m.add(m.mul(m.const(0.5), e), m.div(m.const(0.5), e))
    half = exp(m, m.mul(m.const(0.5), size))
    far = m.mul(m.mul(m.const(0.5), half), half)
    return m.select(m.compare(">", size, m.const(40.0)), far, near)


def asinh(m: FloatMath, x: ir.Value) -> ir.Value:
    """The inverse hyperbolic sine."""
    if m.element == "f32":
        return through_f64(m, asinh, x)
    size = m.abs(x)
    square = m.mul(size, size)
    root = m.sqrt(m.add(square, m.const(1.0)))
    near = log1p(m, m.add(size, m.div(square, m.add(m.const(1.0), root))))
    far = m.add(log(m, size), m.const(LN_2))
    return m.copysign(m.select(m.compare(">", size, m.const(2.0**28)), far, near), x)


def acosh(m: FloatMath, x: ir.Value) -> ir.Value:
    """The inverse hyperbolic cosine."""
    if m.element == "f32":
        return through_f64(m, acosh, x)
    t = m.sub(x, m.const(1.0))
    near = log1p(m, m.add(t, m.sqrt(m.add(m.add(t, t), m.mul(t, t)))))
    far = m.add(log(m, x), m.const(LN_2))
    result = m.select(m.compare(">", x, m.const(2.0**28)), far, near)
    return m.select(m.compare("<", x, m.const(1.0)), m.const(math.nan), result)


def atanh(m: FloatMath, x: ir.Value) -> ir.Value:
    """The inverse hyperbolic tangent."""
    if m.element == "f32":
        return through_f64(m, atanh, x)
    size = m.abs(x)
    ratio = m.div(m.add(size, size), m.sub(m.const(1.0), size))
    result = m.copysign(m.mul(m.const(0.5), log1p(m, ratio)), x)
    return m.select(m.compare(">", size, m.const(1.0)), m.const(math.nan), result)


def cbrt(m: FloatMath, x: ir.Value) -> ir.Value:
    """The cube root."""
    if m.element == "f32":
        return through_f64(m, cbrt, x)
    size = m.abs(x)
    guess = exp(m, m.mul(log(m, size), m.const(1.0 / 3.0)))
    # one step of Newton: the guess is good to about 1e-14
    over = m.sub(m.mul(guess, guess), m.div(size, guess))
    better = m.sub(guess, m.div(over, m.mul(m.const(3.0), guess)))
    ordinary = m.builder.and_(m.compare(">", size, m.const(0.0)), m.compare("<", size, m.const(math.inf)))
    return m.select(ordinary, m.copysign(better, x), x)
