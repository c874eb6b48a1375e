"""Scalar operations in GLSL against NumPy, on the software Vulkan device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from runtime_tests.payload.vulkan_run import evaluate_on_device, loop, operand, pointwise, read, run_program, view
from runtime_tests.ulp.errors import ulps
from substitute.codegen.glsl.features import Features
from substitute.codegen.glsl.operations import lower_constant, lower_operation
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Program, Write
from substitute.model.scalar import GraphBuilder, Scalar

NATIVE = Features(int64=True, float64=True, storage8=True, storage16=True)


# how far from the correctly rounded value, in units in the last place
MATH: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "exp": (np.exp, 2),
    "exp2": (np.exp2, 2),
    "expm1": (np.expm1, 3),
    "log": (np.log, 1),
    "log2": (np.log2, 1),
    "log10": (np.log10, 2),
    "log1p": (np.log1p, 3),
    "tanh": (np.tanh, 3),
    "sinh": (np.sinh, 4),
    "cosh": (np.cosh, 4),
    "asinh": (np.arcsinh, 3),
    "acosh": (np.arccosh, 4),
    "atanh": (np.arctanh, 4),
    "sin": (np.sin, 2),
    "cos": (np.cos, 2),
    "tan": (np.tan, 4),
    "atan": (np.arctan, 3),
    "asin": (np.arcsin, 3),
    "acos": (np.arccos, 3),
    "cbrt": (np.cbrt, 2),
    "erf": (np.vectorize(math.erf), 2),
    "sqrt": (np.sqrt, 2),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 3),
    "floor": (np.floor, 0),
    "ceil": (np.ceil, 0),
    "trunc": (np.trunc, 0),
    "roundeven": (np.rint, 0),
    "round": (lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x), 0),
    "absf": (np.abs, 0),
}


def awkward_floats() -> np.ndarray:
    """Values around zero, around every threshold of the library, large ones and special ones."""
    wide = np.logspace(-30, 30, 400)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 44.5, 88.7, 89.0, -103.0, -104.5, 0.625, 1.0, -1.0, 8191.9, 8192.1]
    return np.concatenate([np.linspace(-12, 12, 1201), wide, -wide, special]).astype(np.float32)


def test_functions_of_f32() -> None:
    x = awkward_floats()
    found = evaluate_on_device([x], ["f32"], [(f"math.{name}", "f32", (0,), None) for name in MATH], "f32")
    for row, (name, (function, allowed)) in enumerate(MATH.items()):
        with np.errstate(all="ignore"):
            wanted = function(x.astype(np.float64))
        error = ulps(found[row], wanted, np.float32, flushed=True)
        worst = int(np.argmax(error))
        assert error[worst] <= allowed, f"{name}({x[worst]!r}) = {found[row][worst]!r}, wanted {wanted[worst]!r}"


def test_pow_atan2_rem() -> None:
    base = np.array([0, -0.0, 1, -1, 2, -2, 0.5, 3.7, 1e-20, 1e20, np.inf, -np.inf, np.nan, 1.0000001, 7], np.float32)
    exponent = np.array([0, 1, -1, 2, 3, 0.5, -0.5, 7.25, 30, -31, np.inf, -np.inf, np.nan, 1e8], np.float32)
    a, b = (grid.ravel() for grid in np.meshgrid(base, exponent))
    operations = [(f"math.{n}", "f32", (0, 1), None) for n in ("powf", "atan2", "copysign")]
    found = evaluate_on_device([a, b], ["f32", "f32"], [*operations, ("arith.remf", "f32", (0, 1), None)], "f32")
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        for row, (wanted, allowed) in enumerate(
            ((np.power(x, y), 4), (np.arctan2(x, y), 4), (np.copysign(x, y), 0), (np.fmod(a, b), 0))
        ):
            error = ulps(found[row], np.asarray(wanted), np.float32, flushed=True)
            worst = int(np.argmax(error))
            assert error[worst] <= allowed, f"{row}: ({a[worst]}, {b[worst]}) = {found[row][worst]}, {wanted[worst]}"


PREDICATES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "oeq": np.equal,
    "ogt": np.greater,
    "oge": np.greater_equal,
    "olt": np.less,
    "ole": np.less_equal,
    "one": lambda a, b: np.not_equal(a, b) & ~np.isnan(a) & ~np.isnan(b),
    "ord": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "ueq": lambda a, b: np.equal(a, b) | np.isnan(a) | np.isnan(b),
    "ugt": lambda a, b: ~np.less_equal(a, b),
    "uge": lambda a, b: ~np.less(a, b),
    "ult": lambda a, b: ~np.greater_equal(a, b),
    "ule": lambda a, b: ~np.greater(a, b),
    "une": np.not_equal,
    "uno": lambda a, b: np.isnan(a) | np.isnan(b),
}


def pairs(values: Sequence[float], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.meshgrid(np.array(values, dtype), np.array(values, dtype))
    return a.ravel(), b.ravel()


def test_comparisons_and_minima_know_nan() -> None:
    a, b = pairs([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 3.5], np.float32)
    found = evaluate_on_device([a, b], ["f32", "f32"], [("arith.cmpf", "i1", (0, 1), p) for p in PREDICATES], "i1")
    for row, (name, function) in enumerate(PREDICATES.items()):
        np.testing.assert_array_equal(found[row].astype(bool), function(a, b), err_msg=name)
    names = ["arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf"]
    found = evaluate_on_device([a, b], ["f32", "f32"], [(n, "f32", (0, 1), None) for n in names], "f32")
    for row, function in enumerate((np.maximum, np.minimum, np.fmax, np.fmin)):
        np.testing.assert_array_equal(found[row], function(a, b), err_msg=names[row])
    zero = np.flatnonzero((a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b)))
    assert not np.signbit(found[0][zero]).any(), "maximum(-0, 0) is 0"
    assert np.signbit(found[1][zero]).all(), "minimum(-0, 0) is -0"


INTEGERS = [0, 1, -1, 2, 7, -7, 100, -100, 127, -128]


def integer_cases(dtype: type) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """MLIR's operations on integers of one width."""
    unsigned = np.dtype(dtype).newbyteorder("=").name.replace("int", "uint")

    def as_unsigned(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
        return lambda a, b: function(a.astype(unsigned), b.astype(unsigned)).astype(dtype)

    def truncated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        q = a // b
        return q + ((q * b != a) & ((a < 0) != (b < 0)))

    return {
        "addi": np.add,
        "subi": np.subtract,
        "muli": np.multiply,
        "andi": np.bitwise_and,
        "ori": np.bitwise_or,
        "xori": np.bitwise_xor,
        "maxsi": np.maximum,
        "minsi": np.minimum,
        "divsi": truncated,
        "remsi": lambda a, b: a - truncated(a, b) * b,
        "floordivsi": np.floor_divide,
        "ceildivsi": lambda a, b: -((-a) // b),
        "divui": as_unsigned(np.floor_divide),
        "remui": as_unsigned(np.remainder),
        "maxui": as_unsigned(np.maximum),
        "minui": as_unsigned(np.minimum),
    }


@pytest.mark.parametrize(
    ("dtype", "features"),
    [(np.int8, None), (np.int8, NATIVE), (np.int16, None), (np.int32, None), (np.int64, None), (np.int64, NATIVE)],
    ids=["i8", "i8 native", "i16", "i32", "i64", "i64 native"],
)
def test_integers(dtype: type, features: Features | None) -> None:
    info = np.iinfo(dtype)
    more = [] if dtype == np.int8 else [info.max // 3, -(info.max // 5)]
    more += [2**40 + 17, -(2**52) - 5, 2**31, -(2**32)] if dtype == np.int64 else []
    a, b = pairs([*INTEGERS, *more], dtype)
    # overflow of a quotient and division by zero are undefined in MLIR; so is the negation inside of ceildivsi
    fine = (b != 0) & (a != info.min) & (b != info.min)
    a, b = (np.resize(v[fine], 128) for v in (a, b))  # whole words, for the types that are packed
    type_ = np.dtype(dtype).name.replace("int", "i")
    cases = integer_cases(dtype)
    operations: list[tuple[str, str, tuple[int, ...], object]] = [(f"arith.{n}", type_, (0, 1), None) for n in cases]
    found = evaluate_on_device([a, b], [type_, type_], operations, type_, features=features)
    with np.errstate(over="ignore"):
        for row, (name, function) in enumerate(cases.items()):
            np.testing.assert_array_equal(found[row], function(a, b).astype(dtype), err_msg=name)


@pytest.mark.parametrize("features", [None, NATIVE], ids=["emulated", "native"])
def test_comparisons_and_shifts_of_i64(features: Features | None) -> None:
    a, b = pairs([0, 1, -1, 2**31, -(2**31), 2**32, 2**40 + 3, -(2**62), 2**63 - 1, -(2**63)], np.int64)
    u, v = a.astype(np.uint64), b.astype(np.uint64)
    cases = {
        "eq": a == b,
        "ne": a != b,
        "slt": a < b,
        "sle": a <= b,
        "sgt": a > b,
        "sge": a >= b,
        "ult": u < v,
        "ule": u <= v,
        "ugt": u > v,
        "uge": u >= v,
    }
    found = evaluate_on_device(
        [a, b], ["i64", "i64"], [("arith.cmpi", "i1", (0, 1), p) for p in cases], "i1", features=features
    )
    for row, (name, wanted) in enumerate(cases.items()):
        np.testing.assert_array_equal(found[row].astype(bool), wanted, err_msg=name)
    amount = (np.arange(len(a)) % 64).astype(np.int64)
    names = ["shli", "shrsi", "shrui"]
    found = evaluate_on_device(
        [a, amount], ["i64", "i64"], [(f"arith.{n}", "i64", (0, 1), None) for n in names], "i64", features=features
    )
    wide = amount.astype(np.uint64)
    for row, wanted in enumerate((u << wide, a >> amount, u >> wide)):
        np.testing.assert_array_equal(found[row], wanted.astype(np.int64), err_msg=names[row])


@pytest.mark.parametrize("features", [None, NATIVE], ids=["emulated", "native"])
def test_conversions(features: Features | None) -> None:
    x = np.array(
        [0, 1.5, -1.5, 2.9, -2.9, 65504, 1e5, 3e9, -3e9, 1e12, -1e12, 6e-8, 1e-5, 2049, 1e-7, -0.1], np.float32
    )
    small = np.clip(x, -100, 100)
    found = evaluate_on_device([small], ["f32"], [("arith.fptosi", "i8", (0,), None)], "i8", features=features)[0]
    np.testing.assert_array_equal(found, small.astype(np.int8))
    found = evaluate_on_device([x], ["f32"], [("arith.fptosi", "i64", (0,), None)], "i64", features=features)[0]
    np.testing.assert_array_equal(found, x.astype(np.int64))
    found = evaluate_on_device([x], ["f32"], [("arith.truncf", "f16", (0,), None)], "f16", features=features)[0]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, x.astype(np.float16))
    large = np.array([0, 1, -1, 2**24 + 1, 2**40 + 2**16 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)], np.int64)
    found = evaluate_on_device([large], ["i64"], [("arith.sitofp", "f32", (0,), None)], "f32", features=features)[0]
    np.testing.assert_array_equal(found, large.astype(np.float32))


@pytest.mark.parametrize("features", [None, NATIVE], ids=["emulated", "native"])
def test_f16_rounds_after_each_operation(features: Features | None) -> None:
    generator = np.random.default_rng(7)
    bits = generator.integers(0, 1 << 16, 4000, dtype=np.uint16)
    a = bits.view(np.float16)
    b = generator.permutation(bits).view(np.float16)
    names = ["addf", "subf", "mulf", "divf"]
    operations = [(f"arith.{n}", "f16", (0, 1), None) for n in names]
    found = evaluate_on_device([a, b], ["f16", "f16"], operations, "f16", features=features)
    with np.errstate(all="ignore"):
        for row, function in enumerate((np.add, np.subtract, np.multiply)):
            np.testing.assert_array_equal(found[row], function(a, b), err_msg=names[row])
        # Vulkan allows 2.5 ULP of f32 for a division, which can tip a tie
        finite = np.isfinite(found[3]) & np.isfinite(a / b)
        np.testing.assert_allclose(found[3][finite], (a / b)[finite], rtol=2e-3, atol=1e-7)


def test_packed_elements_have_to_fill_words() -> None:
    # a driver drops elements in a last word that the buffer does not hold completely: refused instead of lost
    x = np.arange(13, dtype=np.float32)
    with pytest.raises(Unsupported, match=r"^f16 elements of 26 bytes on a target without 16-bit storage$"):
        evaluate_on_device([x], ["f32"], [("arith.truncf", "f16", (0,), None)], "f16")
    found = evaluate_on_device([x], ["f32"], [("arith.truncf", "f16", (0,), None)], "f16", features=NATIVE)[0]
    np.testing.assert_array_equal(found, x.astype(np.float16))


def test_what_cannot_be_written_is_named() -> None:
    with pytest.raises(Unsupported, match=r"^math\.exp on f64$"):
        lower_operation(Scalar("math.exp", "f64"), ("f64",), ("x",))
    with pytest.raises(Unsupported, match=r"^arith\.addi on i4, i4, i4$"):
        lower_operation(Scalar("arith.addi", "i4"), ("i4", "i4"), ("x", "y"))
    with pytest.raises(Unsupported, match=r"^a constant of type i4$"):
        lower_constant(1, "i4")


@pytest.mark.parametrize(
    ("value", "type_", "text"),
    [
        (1.0, "f32", "1.0"),
        (-0.5, "f32", "(-0.5)"),
        (float("inf"), "f32", "uintBitsToFloat(0x7f800000u)"),
        (1e-40, "f32", "uintBitsToFloat(0x000116c2u)"),
        (0.1, "f32", "0.100000001"),
        (-(1 << 31), "i32", "int(0x80000000u)"),
        (255, "i8", "(-1)"),
        (1, "i1", "true"),
        (-1, "i64", "i64_words(0xffffffffu, 0xffffffffu)"),
    ],
)
def test_constants(value: float, type_: str, text: str) -> None:
    assert lower_constant(value, type_) == text


def test_drivers_do_not_simplify_arithmetic_with_zero_or_with_itself() -> None:
    """They take `x / 0` for undefined and `x - x` for 0; NaN, infinities and -0 are not the same."""
    x = np.array([1, -2, 0, -0.0, np.inf, np.nan], np.float32)
    graph, zero = GraphBuilder(), np.float32(0)
    read_x, constant = graph.add("read", "f32", (), 0), graph.add("constant", "f32", (), 0.0)
    pairs = [(read_x, constant), (constant, read_x), (read_x, read_x)]
    results = tuple(graph.add(f"arith.{op}", "f32", pair) for op in ("addf", "subf", "mulf", "divf") for pair in pairs)
    shape = (len(results), len(x))
    writes = tuple(
        Write(view=view(1, (len(x),), offset=row * len(x)), access=(loop(0),)) for row in range(len(results))
    )
    nest = pointwise((len(x),), (read(view(0, (len(x),)), loop(0)),), graph, results, writes)
    program = Program(operands=(operand(0, (len(x),)), operand(1, shape, written=True)), cores=(), stores=(nest,))
    (found,) = run_program("elementwise", program, [x], [(shape, "f32")])
    with np.errstate(all="ignore"):
        wanted = [
            f(a, b) for f in (np.add, np.subtract, np.multiply, np.divide) for a, b in ((x, zero), (zero, x), (x, x))
        ]
    np.testing.assert_array_equal(found, wanted)
    numbers = ~np.isnan(np.array(wanted))
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(wanted)[numbers])


def test_sums_of_products_may_be_contracted() -> None:
    """Twin: the same operation, where a driver is free."""
    product = Scalar("arith.mulf", "f32", (0, 1))
    assert lower_operation(product, ("f32", "f32"), ("x", "0.0"), exact=False) == "(x * 0.0)"
    assert lower_operation(product, ("f32", "f32"), ("x", "0.0")) == "f32_exact_mul(x, f32_zero)"
