"""Functions of f32 as PTX. The approximations of the hardware (`ex2.approx`, …) stand where they are good to an ulp or
two; elsewhere they are mended, or polynomials stand in their place.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from .block import Block, double_literal, float_literal

_LN2, _LOG2E = math.log(2.0), 1.0 / math.log(2.0)
_ERF_FAR = (
    -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1,
)  # fmt: skip
_ERF_NEAR = (
    -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1,
)  # fmt: skip
"""N. Juffa's `erff`."""


def exp(b: Block, x: str) -> str:
    """e^x = 2^z with z = x log2 e; what rounding z lost is put back: 2^(z + low) = 2^z (1 + low ln 2)."""
    high = float_literal(_LOG2E)
    z = b.single("mul.rn", x, high)
    low = b.single("fma.rn", x, high, b.single("neg", z))
    low = b.single("fma.rn", x, float_literal(_LOG2E - _single(_LOG2E)), low)
    power = b.single("ex2.approx", z)
    mended = b.single("fma.rn", b.single("mul.rn", low, float_literal(_LN2)), power, power)
    # beyond, low may be no number, and 2^z is infinite or next to 0
    near = b.test("setp.lt.f32", b.single("abs", z), float_literal(128.0))
    return b.select(near, mended, power)


def expm1(b: Block, x: str) -> str:
    """e^x - 1; near 0 its series, where a difference would lose digits."""
    series = b.polynomial(x, [1.0 / math.factorial(n) for n in range(8, 1, -1)])
    small = b.single("fma.rn", b.single("mul.rn", series, x), x, x)
    near = b.test("setp.lt.f32", b.single("abs", x), float_literal(0.5))
    return b.select(near, small, b.single("add.rn", exp(b, x), float_literal(-1.0)))


def log(b: Block, x: str) -> str:
    """With x = 2^n m and m around 1, log x = n ln 2 + 2 atanh((m - 1) / (m + 1))."""
    bits = b.word("mov.b32", x)
    n = b.word("shr.s32", b.word("sub.s32", bits, str(0x3F3504F3)), "23")  # m from sqrt(1/2) to sqrt(2)
    m = b.emit("f", "mov.b32", b.word("sub.s32", bits, b.word("shl.b32", n, "23")))
    exponent = b.emit("f", "cvt.rn.f32.s32", n)
    result = _log_near_one(b, b.single("add.rn", m, float_literal(-1.0)), exponent)
    normal = b.test("setp.ge.f32", x, float_literal(2.0**-126))
    finite = b.test("setp.lt.and.f32", x, float_literal(math.inf), normal)
    rough = b.single("mul.rn", b.single("lg2.approx", x), float_literal(_LN2))  # 0, subnormals, infinity, no number
    return b.select(finite, result, rough)


def _log_near_one(b: Block, difference: str, exponent: str) -> str:
    """log(1 + difference) + exponent ln 2, for a difference between -0.3 and 0.42."""
    s = b.single("div.rn", difference, b.single("add.rn", difference, float_literal(2.0)))
    square = b.single("mul.rn", s, s)
    twice = b.single("add.rn", s, s)
    tail = b.polynomial(square, (1 / 11, 1 / 9, 1 / 7, 1 / 5, 1 / 3))
    value = b.single("fma.rn", b.single("mul.rn", tail, square), twice, twice)
    high = _single(_LN2)
    value = b.single("fma.rn", exponent, float_literal(_LN2 - high), value)
    return b.single("fma.rn", exponent, float_literal(high), value)


def log1p(b: Block, x: str) -> str:
    """log(1 + x); near 0 from x itself, which 1 + x has lost."""
    near = b.test("setp.lt.f32", b.single("abs", x), float_literal(0.25))
    inner = b.select(near, x, float_literal(0.0))
    small = _log_near_one(b, inner, float_literal(0.0))
    return b.select(near, small, log(b, b.single("add.rn", x, float_literal(1.0))))


def tanh(b: Block, x: str) -> str:
    """1 - 2 / (e^2|x| + 1) with x's sign; near 0 its series."""
    size = b.single("abs", x)
    square = b.single("mul.rn", x, x)
    series = (21844 / 6081075, -1382 / 155925, 62 / 2835, -17 / 315, 2 / 15, -1 / 3)
    small = b.single("fma.rn", b.single("mul.rn", b.polynomial(square, series), square), x, x)
    power = exp(b, b.single("add.rn", size, size))
    part = b.single("div.rn", float_literal(2.0), b.single("add.rn", power, float_literal(1.0)))
    far = b.single("sub.rn", float_literal(1.0), part)
    far = b.single("copysign", x, far)
    return b.select(b.test("setp.lt.f32", size, float_literal(0.3)), small, far)


def erf(b: Block, x: str) -> str:
    """The error function: a polynomial near 0, 1 - e^polynomial beyond."""
    size = b.single("abs", x)
    t = b.single("min.NaN", size, float_literal(4.0))  # erf(4) is 1 in f32
    power = b.single("fma.rn", b.polynomial(t, _ERF_FAR), t, b.single("neg", t))
    far = b.single("copysign", x, b.single("sub.rn", float_literal(1.0), exp(b, power)))
    near = b.single("fma.rn", b.polynomial(b.single("mul.rn", x, x), _ERF_NEAR), x, x)
    return b.select(b.test("setp.gt.f32", size, float_literal(0.927734375)), far, near)


def sin(b: Block, x: str) -> str:
    """The sine; for |x| below 2^48."""
    return _circular(b, x, 0)


def cos(b: Block, x: str) -> str:
    """The cosine; for |x| below 2^48."""
    return _circular(b, x, 1)


def _circular(b: Block, x: str, quadrants: int) -> str:
    """sin(x + quadrants pi / 2): x = n pi / 2 + r, reduced in f64, then a polynomial of r."""
    wide = b.emit("g", "cvt.f64.f32", x)
    turns = b.emit("g", "mul.rn.f64", wide, double_literal(2 / math.pi))
    n = b.emit("g", "cvt.rni.f64.f64", turns)
    rest = b.emit("g", "fma.rn.f64", n, double_literal(-math.pi / 2), wide)
    rest = b.emit("g", "fma.rn.f64", n, double_literal(-6.123233995736766e-17), rest)
    r = b.emit("f", "cvt.rn.f32.f64", rest)
    quadrant = b.word("cvt.u32.u64", b.wide("cvt.rzi.s64.f64", n))
    quadrant = b.word("add.s32", quadrant, str(quadrants))
    square = b.single("mul.rn", r, r)
    tail = b.polynomial(square, (2.7557314e-06, -1.9841270e-04, 8.3333333e-03, -1.6666667e-01))
    sine = b.single("fma.rn", b.single("mul.rn", tail, square), r, r)
    tail = b.polynomial(square, (2.4801587e-05, -1.3888889e-03, 4.1666667e-02, -0.5))
    cosine = b.single("fma.rn", tail, square, float_literal(1.0))
    odd = b.test("setp.ne.u32", b.word("and.b32", quadrant, "1"), "0")
    value = b.select(odd, cosine, sine)
    lower = b.test("setp.ne.u32", b.word("and.b32", quadrant, "2"), "0")
    return b.select(lower, b.single("neg", value), value)


def integer_power(b: Block, x: str, exponent: int) -> str:
    """x^exponent by squaring."""
    count, result, square = abs(exponent), "", x
    while count:
        if count & 1:
            result = b.single("mul.rn", result, square) if result else square
        count >>= 1
        if count:
            square = b.single("mul.rn", square, square)
    result = result or float_literal(1.0)
    return b.single("rcp.rn", result) if exponent < 0 else result


def _scaled(function: Callable[[Block, str], str], factor: float) -> Callable[[Block, str], str]:
    return lambda b, x: b.single("mul.rn", function(b, x), float_literal(factor))


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


FUNCTIONS: dict[str, Callable[[Block, str], str]] = {
    "exp": exp, "expm1": expm1, "exp2": lambda b, x: b.single("ex2.approx", x), "log": log, "log1p": log1p,
    "log2": _scaled(log, _LOG2E), "log10": _scaled(log, 1.0 / math.log(10.0)), "tanh": tanh, "erf": erf,
    "erfc": lambda b, x: b.single("sub.rn", float_literal(1.0), erf(b, x)), "sin": sin, "cos": cos,
}  # fmt: skip
"""By MLIR's names of the `math` dialect."""
