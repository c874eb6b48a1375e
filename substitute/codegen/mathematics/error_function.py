"""The error function and its complement, without branches.

f32's error function after N. Juffa's `erff`: 1 - exp(t · q(t) - t) beyond 0.93. The complement of larger numbers is
exp(-x²) / (1 + 2x) times a polynomial of (x - 4) / (x + 4).
"""

from __future__ import annotations

from .exponential import exp, exp_of_negative
from .operations import FloatOps, V
from .tables import ERF_FAR, ERF_NEAR, ERFC_FAR

NOTHING_LEFT = {"f32": 10.1, "f64": 28.0}
"""Arguments from which on erfc is below the smallest number, subnormals almost counted."""


def erf(m: FloatOps[V], x: V) -> V:
    """Return the error function."""
    if m.element == "f32":
        return _erf_f32(m, x)
    far = m.sub(m.const(1.0), _erfc_of_large(m, m.abs(x)))
    return m.select(_is_near(m, x), _erf_of_small(m, x), m.copysign(far, x))


def erfc(m: FloatOps[V], x: V) -> V:
    """Return 1 - erf(x), without cancellation."""
    beyond = m.mul(x, m.poly(m.mul(x, x), ERF_NEAR[m.element]))
    near = m.sub(m.const(0.5), m.add(m.sub(x, m.const(0.5)), beyond))  # so that 1 - erf(x) loses no digits
    far = _erfc_of_large(m, m.abs(x))
    far = m.select(m.compare("<", x, m.const(0.0)), m.sub(m.const(2.0), far), far)
    return m.select(_is_near(m, x), near, far)


def _erf_f32(m: FloatOps[V], x: V) -> V:
    size = m.abs(x)
    t = m.smaller(m.const(4.0), size)  # erf(4) is 1 in f32; in this order NaN passes
    power = m.fma(m.poly(t, ERF_FAR["f32"]), t, m.neg(t))
    far = m.sub(m.const(1.0), exp_of_negative(m, power))
    return m.select(m.compare(">", size, m.const(0.927734375)), m.copysign(far, x), _erf_of_small(m, x))


def _is_near(m: FloatOps[V], x: V) -> V:
    return m.compare("<", m.abs(x), m.const(0.72))


def _erf_of_small(m: FloatOps[V], x: V) -> V:
    return m.fma(x, m.poly(m.mul(x, x), ERF_NEAR[m.element]), x)


def _erfc_of_large(m: FloatOps[V], size: V) -> V:
    """Return the complement for x >= 0.7."""
    x = m.smaller(m.const(NOTHING_LEFT[m.element]), size)
    t = m.div(m.sub(x, m.const(4.0)), m.add(x, m.const(4.0)))
    high = m.masked(x, 12 if m.element == "f32" else 32)  # its square is exact
    rest = m.mul(m.sub(high, x), m.add(high, x))
    bell = exp(m, m.neg(m.mul(high, high)), rest)
    return m.mul(bell, m.div(m.poly(t, ERFC_FAR[m.element]), m.fma(m.const(2.0), x, m.const(1.0))))
