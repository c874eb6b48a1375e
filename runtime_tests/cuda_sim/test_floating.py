"""Floating-point instructions: exact results by rationals, rounded once by bisection over the format's own numbers."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import apply

pytestmark = pytest.mark.unit
RANDOM = np.random.default_rng(3)
N = 192
FORMATS = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}
PRECISION = {"f16": (11, -14, 15), "bf16": (8, -126, 127), "f32": (24, -126, 127), "f64": (53, -1022, 1023)}


def numbers(type_: str) -> np.ndarray:
    """Random bit patterns that are finite, near each other's size, with zeros and subnormals among them."""
    dtype = np.dtype(FORMATS[type_])
    values = (RANDOM.standard_normal(N) * 2.0 ** RANDOM.integers(-6, 7, N)).astype(dtype)
    tiny = np.array([1, 2, 5, 1 << (8 * dtype.itemsize - 1), 0], f"u{dtype.itemsize}").view(dtype)
    values[:5] = tiny
    values[5:8] = np.array([1, -1, 2]).astype(dtype)
    RANDOM.shuffle(values)
    return values


def rounded(exact: Fraction, type_: str, mode: str = "rn") -> float:
    """IEEE 754 rounding of a rational, straight from its definition."""
    bits, low, high = PRECISION[type_]
    if exact == 0:
        return 0.0
    size = abs(exact)
    exponent = math.floor(math.log2(size)) if size > Fraction(1, 2**1000) else low
    while Fraction(2) ** exponent > size:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= size:
        exponent += 1
    unit = Fraction(2) ** (max(exponent, low) - bits + 1)
    below = math.floor(exact / unit)
    rest = exact / unit - below
    if rest:
        up = {
            "rm": False,
            "rp": True,
            "rz": exact < 0,
            "rn": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2),
        }
        below += bool(up[mode])
    value = below * unit
    if abs(value) >= Fraction(2) ** (high + 1):
        return math.inf if value > 0 else -math.inf
    return float(value)


def same(found, expected: float) -> bool:
    return float(found) == expected or (math.isnan(float(found)) and math.isnan(expected))


def run(body: str, type_: str, arguments, result: str | None = None) -> np.ndarray:
    size = np.dtype(FORMATS[result or type_]).itemsize
    raw = [a.view(f"u{a.dtype.itemsize}") for a in arguments]
    return apply(body, raw, [f"u{size}"])[0].view(FORMATS[result or type_])


RULES = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("type_", ["f32", "f64"])
@pytest.mark.parametrize("name", RULES)
def test_arithmetic_rounds_once(name, type_, mode):
    a, b = numbers(type_), numbers(type_)
    if name == "div":
        b[np.abs(b) < 1e-30] = 3
    found = run(f"{name}.{mode}.{type_} %d0, %a0, %a1;", type_, [a, b])
    for x, y, z in zip(a, b, found, strict=True):
        assert same(z, rounded(RULES[name](Fraction(float(x)), Fraction(float(y))), type_, mode)), (x, y, z)


@pytest.mark.parametrize(
    "type_, mode", [*((t, "rn") for t in FORMATS), *((t, m) for t in ("f32", "f64") for m in ("rz", "rm", "rp"))]
)
def test_fma_rounds_once(type_, mode):
    a, b, c = numbers(type_), numbers(type_), numbers(type_)
    # sums that nearly cancel, and those that end on the middle between two numbers
    with np.errstate(all="ignore"):
        c[:60] = -(a[:60].astype("f8") * b[:60].astype("f8")).astype(c.dtype)
        unit = {"f16": 2.0**-11, "bf16": 2.0**-8, "f32": 2.0**-24, "f64": 2.0**-53}[type_]
    a[60:80], b[60:80], c[60:80] = 1, np.array(1 + 2 * unit).astype(b.dtype), np.array(unit).astype(c.dtype)
    a[80:90], b[80:90], c[80:90] = 1, np.array(1).astype(b.dtype), np.array(unit * (1 + 4 * unit)).astype(c.dtype)
    found = run(f"fma.{mode}.{type_} %d0, %a0, %a1, %a2;", type_, [a, b, c])
    for x, y, z, w in zip(a, b, c, found, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        assert same(w, rounded(exact, type_, mode)), (x, y, z, w)


def test_fma_of_extreme_doubles():
    a = np.array([1e300, 1e-200, 5e-324, np.inf, 1e200], "f8")
    b = np.array([1e300, 1e-200, 0.5, 0.0, -1e200], "f8")
    c = np.array([-np.inf, 5e-324, 5e-324, 1.0, np.inf], "f8")
    found = run("fma.rn.f64 %d0, %a0, %a1, %a2;", "f64", [a, b, c])
    assert found[0] == -np.inf and found[1] == 5e-324 and np.isnan(found[3]) and found[4] == np.inf
    # 1.5 of the smallest number: the tie goes to the even one
    assert found[2] == 1e-323


@pytest.mark.parametrize("type_", ["f16", "bf16"])
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_halves_and_pairs(name, type_):
    a, b = numbers(type_), numbers(type_)
    found = run(f"{name}.{type_} %d0, %a0, %a1;", type_, [a, b])
    expected = [rounded(RULES[name](Fraction(float(x)), Fraction(float(y))), type_) for x, y in zip(a, b, strict=True)]
    assert all(map(same, found, expected))
    pairs = [x.view("u2").view("u4") for x in (a, b)]
    both = apply(f"{name}.{type_}x2 %d0, %a0, %a1;", pairs, ["u4"])[0].view("u2").view(FORMATS[type_])
    assert all(map(same, both, expected))


def test_flush_and_saturate():
    a = np.array([1e-40, -1e-40, 1e-38, 2.0, -3.0, np.nan, 0.25], "f4")
    one = np.ones(7, "f4")
    assert (run("mul.ftz.f32 %d0, %a0, %a1;", "f32", [a, one])[:4] == np.array([0, -0.0, 0, 2], "f4")).all()
    assert (np.signbit(run("add.ftz.f32 %d0, %a0, %a1;", "f32", [a, -0.0 * one])[1])).all()
    assert (run("mul.sat.f32 %d0, %a0, %a1;", "f32", [a, one])[2:] == np.array([1e-38, 1, 0, 0, 0.25], "f4")).all()
    assert (run("mul.f32 %d0, %a0, %a1;", "f32", [a, one])[:3] == a[:3]).all()


@pytest.mark.parametrize("type_", ["f16", "bf16", "f32", "f64"])
def test_minimum_and_maximum(type_):
    dtype = FORMATS[type_]
    a = np.array([1, -0.0, 0.0, np.nan, 2, np.nan, -np.inf], dtype)
    b = np.array([2, 0.0, -0.0, 1, np.nan, np.nan, 5], dtype)
    low, high = run(f"min.{type_} %d0, %a0, %a1;", type_, [a, b]), run(f"max.{type_} %d0, %a0, %a1;", type_, [a, b])
    assert [float(x) for x in low[:5]] == [1, 0, 0, 1, 2] and np.isnan(float(low[5])) and float(low[6]) == -np.inf
    assert [bool(np.signbit(float(x))) for x in (*low[1:3], *high[1:3])] == [True, True, False, False]
    if type_ == "f64":  # which has no .NaN
        return
    nan = run(f"min.NaN.{type_} %d0, %a0, %a1;", type_, [a, b])
    assert [bool(np.isnan(float(x))) for x in nan] == [False, False, False, True, True, True, False]


APPROXIMATIONS = {
    "ex2.approx.f32": np.exp2,
    "ex2.approx.ftz.f32": np.exp2,
    "lg2.approx.f32": np.log2,
    "sin.approx.f32": np.sin,
    "cos.approx.f32": np.cos,
    "tanh.approx.f32": np.tanh,
    "rcp.rn.f32": lambda x: 1 / x,
    "sqrt.rn.f32": np.sqrt,
    "rsqrt.approx.f32": lambda x: 1 / np.sqrt(x),
    "sqrt.approx.f32": np.sqrt,
    "rcp.approx.ftz.f32": lambda x: 1 / x,
    "tanh.approx.f16": np.tanh,
    "ex2.approx.f16": np.exp2,
    "tanh.approx.bf16": np.tanh,
    "rcp.rn.f64": lambda x: 1 / x,
    "sqrt.rn.f64": np.sqrt,
    "rsqrt.approx.f64": lambda x: 1 / np.sqrt(x),
}


@pytest.mark.parametrize("opcode", APPROXIMATIONS)
def test_functions_are_rounded_once(opcode):
    type_ = opcode.rpartition(".")[2]
    a = np.abs(numbers(type_).astype("f8")).astype(FORMATS[type_])
    a[a.astype("f4") < 1e-3] = np.array(0.5).astype(a.dtype)
    found = run(f"{opcode} %d0, %a0;", type_, [a]).astype("f8")
    with np.errstate(all="ignore"):
        expected = APPROXIMATIONS[opcode](a.astype("f8")).astype(FORMATS[type_]).astype("f8")
    assert (found == expected).all()


@pytest.mark.parametrize("mode", ["rz", "rm", "rp"])
@pytest.mark.parametrize("name", ["sqrt", "rcp"])
def test_directed_roots_and_reciprocals(name, mode):
    a = np.abs(numbers("f32"))
    a[a < 1e-3] = 2
    found = run(f"{name}.{mode}.f32 %d0, %a0;", "f32", [a])
    for x, y in zip(a, found, strict=True):
        low, high = sorted((float(y), float(np.nextafter(y, np.float32(np.inf if mode != "rp" else 0)))))
        exact = Fraction(float(x))
        if name == "rcp":
            assert same(y, rounded(1 / exact, "f32", mode))
        elif mode == "rp":
            assert Fraction(low) ** 2 < exact <= Fraction(high) ** 2
        else:
            assert Fraction(low) ** 2 <= exact < Fraction(high) ** 2


def test_comparisons_with_nan():
    a, b = np.array([1, np.nan, 2, np.nan], "f4"), np.array([1, 1, np.nan, np.nan], "f4")
    wanted = {
        "eq": [1, 0, 0, 0],
        "ne": [0, 0, 0, 0],
        "lt": [0, 0, 0, 0],
        "ge": [1, 0, 0, 0],
        "equ": [1, 1, 1, 1],
        "neu": [0, 1, 1, 1],
        "ltu": [0, 1, 1, 1],
        "geu": [1, 1, 1, 1],
        "num": [1, 0, 0, 0],
        "nan": [0, 1, 1, 1],
    }
    for name, expected in wanted.items():
        (found,) = apply(f"setp.{name}.f32 %p, %a0, %a1; selp.u32 %d0, 1, 0, %p;", [a, b], ["u4"])
        assert found.tolist() == expected, name
    (ones,) = apply("set.gt.f32.f32 %d0, %a0, %a1;", [a, b - 1], ["f4"])
    assert ones.tolist() == [1, 0, 0, 0]


def test_tests_and_signs():
    a = np.array([1, np.inf, np.nan, 1e-40, 0, -2], "f4")
    wanted = {
        "finite": [1, 0, 0, 1, 1, 1],
        "infinite": [0, 1, 0, 0, 0, 0],
        "number": [1, 1, 0, 1, 1, 1],
        "notanumber": [0, 0, 1, 0, 0, 0],
        "normal": [1, 0, 0, 0, 1, 1],
        "subnormal": [0, 0, 0, 1, 0, 0],
    }
    for name, expected in wanted.items():
        (found,) = apply(f"testp.{name}.f32 %p, %a0; selp.u32 %d0, 1, 0, %p;", [a], ["u4"])
        assert found.tolist() == expected, name
    signs = np.array([-1, 1, -1, -1, -0.0, 1], "f4")
    assert np.array_equal(run("copysign.f32 %d0, %a1, %a0;", "f32", [a, signs]), np.copysign(a, signs), equal_nan=True)
    assert np.array_equal(run("neg.f32 %d0, %a0;", "f32", [a]), -a, equal_nan=True)
    assert np.array_equal(run("abs.f16 %d0, %a0;", "f16", [a.astype("f2")]), np.abs(a.astype("f2")), equal_nan=True)


# -- conversions ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("to", ["f16", "f32"])
def test_narrowing(to, mode):
    origin = "f32" if to == "f16" else "f64"
    a = numbers(origin)
    a[:6] = np.array([65504, 65519.99, 65520, 1e30, -1e30, 6e-8]).astype(a.dtype) if to == "f16" else a[:6]
    found = run(f"cvt.{mode}.{to}.{origin} %d0, %a0;", origin, [a], to)
    for x, y in zip(a, found, strict=True):
        exact = rounded(Fraction(float(x)), to, mode)
        if math.isinf(exact) and (mode == "rz" or (mode == "rm") == (exact > 0)) and mode != "rn":
            exact = math.copysign(float(np.finfo(FORMATS[to]).max), exact)
        assert same(y, exact), (x, y, exact)


@pytest.mark.parametrize("mode", ["rn", "rz"])
def test_bf16(mode):
    a = numbers("f32")
    found = run(f"cvt.{mode}.bf16.f32 %d0, %a0;", "f32", [a], "bf16")
    assert all(same(y, rounded(Fraction(float(x)), "bf16", mode)) for x, y in zip(a, found, strict=True))
    back = run("cvt.f32.bf16 %d0, %a0;", "bf16", [found], "f32")
    assert (back == found.astype("f4")).all()
    for pair in ("bf16x2", "f16x2"):
        (packed,) = apply(f"cvt.rn.{pair}.f32 %d0, %a0, %a1;", [a, a[::-1].copy()], ["u4"])
        halves = packed.view("u2").view(FORMATS[pair[:-2]]).reshape(-1, 2).astype("f4")
        narrow = a.astype(FORMATS[pair[:-2]]).astype("f4")
        assert (halves[:, 1] == narrow).all() and (halves[:, 0] == narrow[::-1]).all()


@pytest.mark.parametrize(
    "type_, dtype, largest", [("e4m3", ml_dtypes.float8_e4m3fn, 448), ("e5m2", ml_dtypes.float8_e5m2, 57344)]
)
def test_8_bit_floats(type_, dtype, largest):
    a = np.concatenate([numbers("f32"), np.array([1e9, -1e9, np.nan, 448, 464, 465, -0.0, 2.0**-10, 2.0**-17], "f4")])
    body = f"cvt.rn.satfinite.{type_}x2.f32 %h, %a0, %a1; cvt.u32.u16 %d0, %h;"
    (codes,) = apply(body, [a, a], ["u4"], extra=".reg .b16 %h;")
    clipped = np.where(np.isnan(a), a, np.clip(a, -largest, largest)).astype(dtype)
    low = (codes & 255).astype("u1").view(dtype).astype("f4")
    assert ((codes >> 8) == (codes & 255)).all()
    assert np.array_equal(low, clipped.astype("f4"), equal_nan=True)
    (wide,) = apply(f"cvt.u16.u32 %h, %a0; cvt.rn.f16x2.{type_}x2 %d0, %h;", [codes], ["u4"], extra=".reg .b16 %h;")
    assert np.array_equal(wide.view("f2").reshape(-1, 2)[:, 0], clipped.astype("f2"), equal_nan=True)


def test_tf32():
    a = numbers("f32")
    found = run("cvt.rna.tf32.f32 %d0, %a0;", "f32", [a])
    for x, y in zip(a.view("u4").tolist(), found.view("u4").tolist(), strict=True):
        # to nearest of 10 mantissa bits, ties away from zero: half a unit is added to the magnitude, the rest is cut
        assert y == (x + 0x1000) & 0xFFFFE000


@pytest.mark.parametrize("to", ["s32", "u32", "s64", "u8", "s16"])
@pytest.mark.parametrize("mode, rule", [("rni", round), ("rzi", math.trunc), ("rmi", math.floor), ("rpi", math.ceil)])
def test_to_integers_clamps(to, mode, rule):
    a = np.concatenate([numbers("f32") * 50, np.array([0.5, 1.5, -2.5, 3e9, -3e9, 1e20, -1e20, 255.5, 40000], "f4")])
    bits = max(int(to[1:]), 16)
    low = -(1 << int(to[1:]) - 1) if to[0] == "s" else 0
    high = (1 << int(to[1:]) - (to[0] == "s")) - 1
    (found,) = apply(f"cvt.{mode}.{to}.f32 %d0, %a0;", [a], [f"{'i' if to[0] == 's' else 'u'}{bits // 8}"])
    assert found.tolist() == [max(low, min(high, rule(float(x)))) for x in a]
    assert (run(f"cvt.{mode}.f32.f32 %d0, %a0;", "f32", [a]) == np.array([rule(float(x)) for x in a], "f4")).all()


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
def test_from_integers(mode):
    values = RANDOM.integers(-(2**63), 2**63 - 1, N, dtype="i8")
    values[:4] = (2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**24 + 1)
    for to in ("f32", "f64"):
        (raw,) = apply(f"cvt.{mode}.{to}.s64 %d0, %a0;", [values], [f"f{int(to[1:]) // 8}"])
        assert all(same(y, rounded(Fraction(int(x)), to, mode)) for x, y in zip(values, raw, strict=True))
