"""Circular functions and their inverses, branch-free, for f32 and f64, scalars and vectors.

f32 is right for every argument. f64 is right for |x| below 1.6e6; beyond, sine and cosine lose one digit per digit.
"""

from __future__ import annotations

import math

from llvmlite import ir

from .arithmetic import FloatMath
from .exponential import through_f64

_SIN = (
    1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
    -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01,
)  # fmt: skip
_COS = (
    -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
    2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02,
)  # fmt: skip
# 2/pi in pieces of 24 bits: a piece times an f32 is exact in f64
_TWO_OVER_PI = (
    0.6366197466850281, 2.5682552973194106e-08, 2.937095214933759e-16, 3.2543794001732456e-23, 1.2089613708828537e-29,
    5.667556795740071e-37, 2.6204031112097215e-44, 7.053957680880629e-52, 1.582979511305928e-58,
)  # fmt: skip
# pi/2 in pieces of 33 bits (fdlibm's e_rem_pio2)
_PI_HALF = (
    1.57079632673412561417e00,
    6.07710050630396597660e-11,
    2.02226624871116645580e-21,
    8.47842766036889956997e-32,
)
_ATAN_P = (
    -8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1, -1.228866684490136173410e2,
    -6.485021904942025371773e1,
)  # fmt: skip
_ATAN_Q = (
    1.0, 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2, 4.853903996359136964868e2,
    1.945506571482613964425e2,
)  # fmt: skip
_ASIN_P = (
    3.47933107596021167570e-05, 7.91534994289814532176e-04, -4.00555345006794114027e-02, 2.01212532134862925881e-01,
    -3.25565818622400915405e-01, 1.66666666666666657415e-01,
)  # fmt: skip
_ASIN_Q = (
    7.70381505559019352791e-02, -6.88283971605453293030e-01, 2.02094576023350569471e00, -2.40339491173441421878e00, 1.0,
)  # fmt: skip
PI_HALF_LOW = 6.123233995736766e-17


def _reduce_f32(m: FloatMath, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """An f32, already in f64, as `n·pi/2 + r + 0`: r, its tail, and n modulo some multiple of 4 as a float."""
    quadrants, rest = m.const(0.0), m.const(0.0)
    for piece in _TWO_OVER_PI:
        turns = m.mul(x, m.const(piece))
        # exact, and four quadrants are a full turn; rounding to nearest keeps a small negative angle small
        turns = m.sub(turns, m.mul(m.round_even(m.mul(turns, m.const(0.25))), m.const(4.0)))
        total = m.add(rest, turns)
        whole = m.round_even(total)
        quadrants, rest = m.add(quadrants, whole), m.sub(total, whole)
    return m.mul(rest, m.const(math.pi / 2)), m.const(0.0), quadrants


def _reduce_f64(m: FloatMath, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    n = m.round_even(m.mul(x, m.const(2 / math.pi)))
    high, low = m.sub(x, m.mul(n, m.const(_PI_HALF[0]))), m.const(0.0)
    for piece in _PI_HALF[1:]:
        step = m.mul(n, m.const(piece))
        total = m.sub(high, step)
        part = m.sub(high, total)
        # two-sum: what the subtraction lost
        lost = m.add(m.sub(high, m.add(total, part)), m.sub(part, step))
        high, low = total, m.add(low, lost)
    return high, low, n


def _sine_and_cosine(m: FloatMath, x: ir.Value, *, single: bool) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Sine and cosine of the reduced argument, and the quadrant's two low bits."""
    r, tail, n = (_reduce_f32 if single else _reduce_f64)(m, x)
    z = m.mul(r, r)
    cube = m.mul(z, r)
    sine = m.poly(z, _SIN)
    # r + tail - r³/6 + … : the tail's effect on the cube is r²/2 · tail
    sine = m.add(r, m.fma(cube, sine, m.sub(tail, m.mul(m.mul(m.const(0.5), z), tail))))
    half = m.mul(m.const(0.5), z)
    near = m.sub(m.const(1.0), half)
    lost = m.sub(m.sub(m.const(1.0), near), half)
    cosine = m.add(near, m.add(lost, m.sub(m.mul(m.mul(z, z), m.poly(z, _COS)), m.mul(r, tail))))
    magic = m.const(1.5 * 2.0**52)
    quadrant = m.builder.and_(m.bits(m.add(n, magic)), m.integer(3))
    return sine, cosine, quadrant


def _turn(m: FloatMath, sine: ir.Value, cosine: ir.Value, quadrant: ir.Value) -> ir.Value:
    """The sine of an angle whose reduced sine and cosine are these."""
    builder = m.builder
    swap = builder.icmp_unsigned("!=", builder.and_(quadrant, m.integer(1)), m.integer(0))
    down = builder.icmp_unsigned("!=", builder.and_(quadrant, m.integer(2)), m.integer(0))
    value = m.select(swap, cosine, sine)
    return m.select(down, m.neg(value), value)


def sin(m: FloatMath, x: ir.Value) -> ir.Value:
    """The sine."""
    wide, arg = m.wide(), x if m.element == "f64" else m.widen(x)
    sine, cosine, quadrant = _sine_and_cosine(wide, arg, single=m.element == "f32")
    result = _finite_only(wide, arg, _turn(wide, sine, cosine, quadrant))
    result = wide.select(wide.compare("==", arg, wide.const(0.0)), arg, result)
    return result if m.element == "f64" else m.narrow(result)


def cos(m: FloatMath, x: ir.Value) -> ir.Value:
    """The cosine."""
    wide, arg = m.wide(), x if m.element == "f64" else m.widen(x)
    sine, cosine, quadrant = _sine_and_cosine(wide, arg, single=m.element == "f32")
    ahead = wide.builder.add(quadrant, wide.integer(1))
    result = _finite_only(wide, arg, _turn(wide, sine, cosine, ahead))
    return result if m.element == "f64" else m.narrow(result)


def tan(m: FloatMath, x: ir.Value) -> ir.Value:
    """The tangent."""
    wide, arg = m.wide(), x if m.element == "f64" else m.widen(x)
    sine, cosine, quadrant = _sine_and_cosine(wide, arg, single=m.element == "f32")
    odd = wide.builder.icmp_unsigned("!=", wide.builder.and_(quadrant, wide.integer(1)), wide.integer(0))
    top = wide.select(odd, wide.neg(cosine), sine)
    result = _finite_only(wide, arg, wide.div(top, wide.select(odd, sine, cosine)))
    result = wide.select(wide.compare("==", arg, wide.const(0.0)), arg, result)
    return result if m.element == "f64" else m.narrow(result)


def _finite_only(m: FloatMath, x: ir.Value, result: ir.Value) -> ir.Value:
    return m.select(m.compare("<", m.abs(x), m.const(math.inf)), result, m.const(math.nan))


def atan(m: FloatMath, x: ir.Value) -> ir.Value:
    """The inverse tangent."""
    if m.element == "f32":
        return through_f64(m, atan, x)
    size = m.abs(x)
    high = m.compare(">", size, m.const(2.41421356237309504880))
    middle = m.compare(">", size, m.const(0.66))
    turned = m.div(m.sub(size, m.const(1.0)), m.add(size, m.const(1.0)))
    inverse = m.div(m.const(-1.0), size)
    t = m.select(high, inverse, m.select(middle, turned, size))
    offset = m.select(high, m.const(math.pi / 2), m.select(middle, m.const(math.pi / 4), m.const(0.0)))
    low = m.select(high, m.const(PI_HALF_LOW), m.select(middle, m.const(PI_HALF_LOW / 2), m.const(0.0)))
    z = m.mul(t, t)
    ratio = m.div(m.mul(z, m.poly(z, _ATAN_P)), m.poly(z, _ATAN_Q))
    near = m.add(m.fma(t, ratio, t), low)
    return m.copysign(m.add(offset, near), x)


def atan2(m: FloatMath, y: ir.Value, x: ir.Value) -> ir.Value:
    """The angle of the point (x, y)."""
    if m.element == "f32":
        return through_f64(m, atan2, y, x)
    high, wide = m.abs(y), m.abs(x)
    swap = m.compare(">", high, wide)
    top, bottom = m.select(swap, wide, high), m.select(swap, high, wide)
    ratio = m.div(top, bottom)
    same = m.compare("==", top, bottom)
    ratio = m.select(same, m.const(1.0), ratio)  # infinity / infinity
    ratio = m.select(m.compare("==", bottom, m.const(0.0)), m.const(0.0), ratio)
    angle = atan(m, ratio)
    angle = m.select(swap, m.add(m.sub(m.const(math.pi / 2), angle), m.const(PI_HALF_LOW)), angle)
    behind = m.builder.icmp_signed("<", m.bits(x), m.integer(0))
    angle = m.select(behind, m.add(m.sub(m.const(math.pi), angle), m.const(2 * PI_HALF_LOW)), angle)
    angle = m.copysign(angle, y)
    return m.select(m.builder.fcmp_unordered("uno", x, y), m.const(math.nan), angle)


def _asin_series(m: FloatMath, z: ir.Value) -> ir.Value:
    return m.div(m.mul(z, m.poly(z, _ASIN_P)), m.poly(z, _ASIN_Q))


def asin(m: FloatMath, x: ir.Value) -> ir.Value:
    """The inverse sine; NaN outside [-1, 1]."""
    if m.element == "f32":
        return through_f64(m, asin, x)
    size = m.abs(x)
    far = m.compare(">", size, m.const(0.5))
    z = m.select(far, m.mul(m.const(0.5), m.sub(m.const(1.0), size)), m.mul(size, size))
    root = m.select(far, m.sqrt(z), size)
    near = m.fma(root, _asin_series(m, z), root)
    beyond = m.add(m.sub(m.const(math.pi / 2), m.add(near, near)), m.const(PI_HALF_LOW))
    return m.copysign(m.select(far, beyond, near), x)


def acos(m: FloatMath, x: ir.Value) -> ir.Value:
    """The inverse cosine; NaN outside [-1, 1]."""
    if m.element == "f32":
        return through_f64(m, acos, x)
    size = m.abs(x)
    far = m.compare(">", size, m.const(0.5))
    z = m.select(far, m.mul(m.const(0.5), m.sub(m.const(1.0), size)), m.mul(size, size))
    root = m.select(far, m.sqrt(z), size)
    near = m.fma(root, _asin_series(m, z), root)
    twice = m.add(near, near)
    behind = m.compare("<", x, m.const(0.0))
    opposite = m.add(m.sub(m.const(math.pi), twice), m.const(2 * PI_HALF_LOW))
    at_end = m.select(behind, opposite, twice)
    signed = m.copysign(near, x)
    middle = m.sub(m.const(math.pi / 2), m.sub(signed, m.const(PI_HALF_LOW)))
    return m.select(far, at_end, middle)
