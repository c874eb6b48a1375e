"""The error function and its complement, branch-free, for f32 and f64, scalars and vectors.

f32 after N. Juffa's `erff`; the f64 coefficients are Chebyshev interpolants computed with 60 digits:
erf(x)/x - 1 over x² in [0, 0.7], and (1 + 2x)·exp(x²)·erfc(x) over (x - 4)/(x + 4) for x in [0.7, 28].
"""

from __future__ import annotations

from llvmlite import ir

from .arithmetic import FloatMath
from .exponential import exp, exp_of_negative, through_f64

_FAR_F32 = (
    -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1,
)  # fmt: skip
_NEAR_F32 = (
    -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1,
)  # fmt: skip
_NEAR_F64 = (
    1.0784137268777398e-08, -1.5733777777321388e-07, 1.64043772465993e-06, -1.492233729189381e-05,
    0.00012055210141926477, -0.0008548324088574753, 0.0052239775816341925, -0.026866170641310826, 0.11283791670938019,
    -0.37612638903183454, 0.12837916709551257,
)  # fmt: skip
_FAR_F64 = (
    -1.7783102056931725e-08, 7.80029898855868e-08, 8.081378443885186e-08, -7.91126908134085e-07,
    2.850311696149481e-07, 5.6885964357288675e-06, -1.1216267107956356e-05, -2.439111666078661e-05,
    0.00015061951750015655, -0.00019925867067547027, -0.0007577728013416399, 0.005031970282105656,
    -0.01619773412379245, 0.037167515509208306, -0.0663303658071305, 0.09373283499980095, -0.10103906603650217,
    0.06809705425465837, 0.015379652102622711, -0.13962111684056228, 1.2329951186255526,
)  # fmt: skip


def erf(m: FloatMath, x: ir.Value) -> ir.Value:
    """The error function."""
    if m.element == "f32":
        return _erf_f32(m, x)
    far = m.sub(m.const(1.0), _erfc_of_large(m, m.abs(x)))
    return m.select(_is_near(m, x), _erf_of_small(m, x), m.copysign(far, x))


def erfc(m: FloatMath, x: ir.Value) -> ir.Value:
    """1 - erf(x), without cancellation."""
    if m.element == "f32":
        return through_f64(m, erfc, x)
    beyond = m.mul(x, m.poly(m.mul(x, x), _NEAR_F64))
    near = m.sub(m.const(0.5), m.add(m.sub(x, m.const(0.5)), beyond))  # so that 1 - erf(x) loses no digits
    far = _erfc_of_large(m, m.abs(x))
    far = m.select(m.compare("<", x, m.const(0.0)), m.sub(m.const(2.0), far), far)
    return m.select(_is_near(m, x), near, far)


def _erf_f32(m: FloatMath, x: ir.Value) -> ir.Value:
    size, square = m.abs(x), m.mul(x, x)
    t = m.smaller(m.const(4.0), size)  # erf(4) is 1 in f32; in this order NaN passes
    power = m.fma(m.poly(t, _FAR_F32), t, m.neg(t))
    far = m.sub(m.const(1.0), exp_of_negative(m, power))
    near = m.fma(m.poly(square, _NEAR_F32), x, x)
    return m.select(m.compare(">", size, m.const(0.927734375)), m.copysign(far, x), near)


def _is_near(m: FloatMath, x: ir.Value) -> ir.Value:
    return m.compare("<", m.abs(x), m.const(0.72))


def _erf_of_small(m: FloatMath, x: ir.Value) -> ir.Value:
    return m.fma(x, m.poly(m.mul(x, x), _NEAR_F64), x)


def _erfc_of_large(m: FloatMath, size: ir.Value) -> ir.Value:
    """The complement for x >= 0.7; 0 from 28 on."""
    x = m.smaller(m.const(28.0), size)
    t = m.div(m.sub(x, m.const(4.0)), m.add(x, m.const(4.0)))
    high = m.from_bits(m.builder.and_(m.bits(x), m.integer(-(1 << 32))))  # its square is exact
    rest = m.mul(m.sub(high, x), m.add(high, x))
    bell = exp(m, m.neg(m.mul(high, high)), rest)
    return m.mul(bell, m.div(m.poly(t, _FAR_F64), m.fma(m.const(2.0), x, m.const(1.0))))
