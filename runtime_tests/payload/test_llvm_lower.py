"""Every operation of a scalar graph against NumPy, for scalars and vectors, with and without special instructions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")
from llvmlite import ir

from runtime_tests.payload.llvm_graphs import MODERN, PLAIN, STORED, run
from substitute.codegen.llvm.function import Hardware
from substitute.codegen.llvm.lower import ScalarEmitter, supported
from substitute.errors import PayloadError
from substitute.model.scalar import Scalar, ScalarGraph

pytestmark = pytest.mark.device
BOTH = pytest.mark.parametrize("hardware", [MODERN, PLAIN], ids=["modern", "plain"])
LANES = pytest.mark.parametrize("lanes", [None, 4])
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-40, math.inf, -math.inf, math.nan, 3.0e38, 7.25)


def graph(op: str, result: str, *operands: str, attribute: object = None) -> ScalarGraph:
    reads = tuple(Scalar("read", t, (), k) for k, t in enumerate(operands))
    return ScalarGraph((*reads, Scalar(op, result, tuple(range(len(operands))), attribute)), (len(operands),))


def pairs(type_: Any) -> tuple[Any, Any]:
    with np.errstate(over="ignore"):
        values = np.array(SPECIAL).astype(type_)
    both = np.array(list(itertools.product(values, values)), type_)
    return both[:, 0].copy(), both[:, 1].copy()


def maximum(a: Any, b: Any) -> Any:
    """IEEE 754-2019 maximum: +0 above -0, which NumPy leaves open."""
    return np.where((a == 0) & (b == 0), np.where(np.signbit(a), b, a), np.maximum(a, b))


def minimum(a: Any, b: Any) -> Any:
    return -maximum(-a, -b)


FLOATS: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
    ("arith.addf", np.add),
    ("arith.subf", np.subtract),
    ("arith.mulf", np.multiply),
    ("arith.divf", np.divide),
    ("arith.maximumf", maximum),
    ("arith.minimumf", minimum),
    ("arith.maxnumf", np.fmax),
    ("arith.minnumf", np.fmin),
    ("math.copysign", np.copysign),
    ("arith.remf", np.fmod),
)


@BOTH
@LANES
@pytest.mark.parametrize("element", ["f32", "f64", "f16", "bf16"])
@pytest.mark.parametrize(("op", "reference"), FLOATS, ids=[f[0] for f in FLOATS])
def test_floats(op: str, reference: Any, element: str, lanes: int | None, hardware: Hardware) -> None:
    a, b = pairs(STORED[element])
    wide = np.float64 if element == "f64" else np.float32
    with np.errstate(all="ignore"):
        wanted = reference(a.astype(wide), b.astype(wide)).astype(STORED[element])
    found = run(graph(op, element, element, element), element, [(element, a), (element, b)], lanes, hardware)
    np.testing.assert_array_equal(found.astype(wide), wanted.astype(wide))
    if op not in ("arith.maxnumf", "arith.minnumf"):
        known = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(wanted)[known])


def test_a_different_operation_is_noticed() -> None:
    a, b = pairs(np.float32)
    found = run(graph("arith.maxnumf", "f32", "f32", "f32"), "f32", [("f32", a), ("f32", b)], 4, MODERN)
    assert not np.array_equal(found, maximum(a, b), equal_nan=True)


PREDICATES = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


@LANES
@pytest.mark.parametrize("element", ["f32", "f64", "f16", "bf16"])
def test_float_comparisons(element: str, lanes: int | None) -> None:
    a, b = pairs(STORED[element])
    unordered = np.isnan(a) | np.isnan(b)
    wanted = {"true": np.ones_like(unordered), "false": np.zeros_like(unordered), "uno": unordered, "ord": ~unordered}
    for name, compare in PREDICATES.items():
        with np.errstate(invalid="ignore"):
            wanted[f"o{name}"] = compare(a, b) & ~unordered
            wanted[f"u{name}"] = compare(a, b) | unordered
    for predicate, expected in wanted.items():
        what = graph("arith.cmpf", "i1", element, element, attribute=predicate)
        found = run(what, "i1", [(element, a), (element, b)], lanes, MODERN)
        np.testing.assert_array_equal(found, expected.astype(np.int8), err_msg=predicate)


INTEGERS: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
    ("arith.addi", np.add),
    ("arith.subi", np.subtract),
    ("arith.muli", np.multiply),
    ("arith.andi", np.bitwise_and),
    ("arith.ori", np.bitwise_or),
    ("arith.xori", np.bitwise_xor),
    ("arith.minsi", np.minimum),
    ("arith.maxsi", np.maximum),
    ("arith.floordivsi", np.floor_divide),
    ("arith.ceildivsi", lambda a, b: -np.floor_divide(-a, b)),
    ("arith.divsi", lambda a, b: np.trunc(a / b.astype(np.longdouble))),
    ("arith.remsi", np.fmod),
)
UNSIGNED: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
    ("arith.divui", np.floor_divide),
    ("arith.remui", np.remainder),
    ("arith.minui", np.minimum),
    ("arith.maxui", np.maximum),
    ("arith.ceildivui", lambda a, b: a // b + (a % b != 0)),
)


@LANES
@pytest.mark.parametrize("element", ["i8", "i16", "i32", "i64"])
@pytest.mark.parametrize(("op", "reference"), [*INTEGERS, *UNSIGNED], ids=[f[0] for f in (*INTEGERS, *UNSIGNED)])
def test_integers(op: str, reference: Any, element: str, lanes: int | None) -> None:
    type_ = STORED[element]
    random = np.random.default_rng(2)
    low, high = max(np.iinfo(type_).min + 1, -(2**40)), min(np.iinfo(type_).max, 2**40)
    a, b = random.integers(low, high, 200).astype(type_), random.integers(low, high, 200).astype(type_)
    b[b == 0] = 3
    unsigned = any(op == u[0] for u in UNSIGNED)
    of = np.dtype(type_).newbyteorder("=").name
    view = (lambda v: v.view(f"u{of}")) if unsigned else (lambda v: v)
    with np.errstate(over="ignore"):
        wanted = reference(view(a), view(b)).astype(f"u{of}" if unsigned else type_)
    found = run(graph(op, element, element, element), element, [(element, a), (element, b)], lanes, MODERN)
    np.testing.assert_array_equal(view(found), wanted)


@LANES
def test_shifts_comparisons_and_bits(lanes: int | None) -> None:
    a = np.array([1, -1, 123456, -(2**31), 2**31 - 1, 0, 40, -7], np.int32)
    n = np.array([0, 1, 5, 31, 30, 3, 2, 1], np.int32)
    inputs = [("i32", a), ("i32", n)]
    unsigned = a.view(np.uint32)
    two: dict[str, Any] = {
        "arith.shli": a << n,
        "arith.shrsi": a >> n,
        "arith.shrui": (unsigned >> n.view(np.uint32)).view(np.int32),
    }
    for op, wanted in two.items():
        np.testing.assert_array_equal(run(graph(op, "i32", "i32", "i32"), "i32", inputs, lanes, MODERN), wanted)
    bits = [format(int(v), "032b") for v in unsigned]
    one: dict[str, Any] = {
        "math.absi": np.abs(a),
        "math.ctpop": [b.count("1") for b in bits],
        "math.ctlz": [len(b) - len(b.lstrip("0")) for b in bits],
        "math.cttz": [len(b) - len(b.rstrip("0")) for b in bits],
    }
    for op, wanted in one.items():
        np.testing.assert_array_equal(run(graph(op, "i32", "i32"), "i32", inputs[:1], lanes, MODERN), wanted)
    for name, compare in PREDICATES.items():
        for sign in ("",) if name in ("eq", "ne") else ("s", "u"):
            what = graph("arith.cmpi", "i1", "i32", "i32", attribute=sign + name)
            sides = (unsigned, n.view(np.uint32)) if sign == "u" else (a, n)
            np.testing.assert_array_equal(run(what, "i1", inputs, lanes, MODERN), compare(*sides).astype(np.int8))


@BOTH
@LANES
@pytest.mark.parametrize("element", ["f16", "bf16", "f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ"])
def test_small_floats_both_ways(element: str, lanes: int | None, hardware: Hardware) -> None:
    """Every bit pattern to f32; and f32 and f64 back, with ties, overflow, subnormals and NaN."""
    type_ = STORED[element]
    width = np.dtype(type_).itemsize
    every = np.arange(1 << (8 * width), dtype=f"u{width}").view(type_)
    found = run(graph("arith.extf", "f32", element), "f32", [(element, every)], lanes, hardware)
    np.testing.assert_array_equal(found, every.astype(np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        grid = every.astype(np.float32)
        grid = np.sort(grid[np.isfinite(grid)])
        middle = (grid[:-1].astype(np.float64) + grid[1:]) / 2
        near = np.concatenate([middle, middle * (1 + 2.0**-30), middle * (1 - 2.0**-30), grid, grid * 3.0, SPECIAL])
        for source in ("f32", "f64"):
            x = near.astype(STORED[source])
            wanted = (x if source == "f32" or element == "f16" else _to_f32_by_odd(x)).astype(type_)
            found = run(graph("arith.truncf", element, source), element, [(source, x)], lanes, hardware)
            same = (found.view(f"u{width}") == wanted.view(f"u{width}")) | (
                np.isnan(found.astype(np.float32)) & np.isnan(wanted.astype(np.float32))
            )
            known = np.abs(x) < 1e30 if element.startswith("f8") else np.ones_like(same)
            assert (same | ~known).all(), (x[~same][:5], found[~same][:5], wanted[~same][:5])


def _to_f32_by_odd(x: Any) -> Any:
    """ml_dtypes rounds f64 twice; an f32 rounded to odd first makes that harmless."""
    near = x.astype(np.float32)
    bits = near.view(np.uint32).copy()
    above = np.abs(near.astype(np.float64)) > np.abs(x)
    inexact = near.astype(np.float64) != x
    bits[above] -= 1
    bits[inexact & ~np.isnan(x)] |= 1
    return bits.view(np.float32)


@LANES
def test_conversions(lanes: int | None) -> None:
    ints = np.array([0, 1, -1, 127, -128, 100, -100, 5], np.int8)
    cases: tuple[tuple[str, str, str, Any, Any], ...] = (
        ("arith.extsi", "i64", "i8", ints, ints.astype(np.int64)),
        ("arith.extui", "i32", "i8", ints, ints.view(np.uint8).astype(np.int32)),
        ("arith.trunci", "i8", "i32", ints.astype(np.int32) + 512, ints),
        ("arith.index_cast", "i32", "index", ints.astype(np.int64), ints.astype(np.int32)),
        ("arith.index_castui", "index", "i8", ints, ints.view(np.uint8).astype(np.int64)),
        ("arith.sitofp", "f32", "i8", ints, ints.astype(np.float32)),
        ("arith.uitofp", "f64", "i8", ints, ints.view(np.uint8).astype(np.float64)),
        ("arith.sitofp", "f16", "i8", ints, ints.astype(np.float16)),
        ("arith.fptosi", "i32", "f32", ints / np.float32(3), np.trunc(ints / np.float32(3)).astype(np.int32)),
        ("arith.fptoui", "i8", "f64", ints.view(np.uint8) * 0.99, (ints.view(np.uint8) * 0.99).astype(np.uint8)),
        ("arith.bitcast", "i32", "f32", ints.astype(np.float32), ints.astype(np.float32).view(np.int32)),
        ("arith.extui", "i32", "i1", np.array([0, 1, 1, 0], np.int8), np.array([0, 1, 1, 0], np.int32)),
        ("arith.uitofp", "f32", "i1", np.array([0, 1, 1, 0], np.int8), np.array([0, 1, 1, 0], np.float32)),
    )
    for op, result, source, x, wanted in cases:
        x = np.ascontiguousarray(x.astype(STORED[source]))
        found = run(graph(op, result, source), result, [(source, x)], lanes, MODERN)
        np.testing.assert_array_equal(found, wanted.view(found.dtype), err_msg=f"{op} {source} → {result}")


@BOTH
@LANES
def test_tests_select_fma_and_integer_powers(lanes: int | None, hardware: Hardware) -> None:
    x = np.array(SPECIAL, np.float32)
    for op, wanted in (("isnan", np.isnan(x)), ("isinf", np.isinf(x)), ("isfinite", np.isfinite(x))):
        found = run(graph(f"math.{op}", "i1", "f32"), "i1", [("f32", x)], lanes, hardware)
        np.testing.assert_array_equal(found, wanted.astype(np.int8))
    flags = (np.arange(len(x)) % 2).astype(np.int8)
    sides = [("i1", flags), ("f32", x), ("f32", x[::-1].copy())]
    chosen = run(graph("arith.select", "f32", "i1", "f32", "f32"), "f32", sides, lanes, hardware)
    np.testing.assert_array_equal(chosen, np.where(flags, x, x[::-1]))
    a, b, c = (np.random.default_rng(k).standard_normal(500).astype(np.float32) for k in range(3))
    found = run(
        graph("math.fma", "f32", "f32", "f32", "f32"), "f32", [("f32", a), ("f32", b), ("f32", c)], lanes, hardware
    )
    np.testing.assert_array_equal(found, (a.astype(np.float64) * b + c).astype(np.float32))
    powers = (np.arange(500) % 9 - 4).astype(np.int32)
    found = run(graph("math.fpowi", "f32", "f32", "i32"), "f32", [("f32", a), ("i32", powers)], lanes, hardware)
    np.testing.assert_allclose(found, a.astype(np.float64) ** powers, rtol=1e-6)
    first = Scalar("read", "f32", (), 0)
    cube = ScalarGraph((first, Scalar("constant", "i32", (), 3), Scalar("math.fpowi", "f32", (0, 1))), (2,))
    np.testing.assert_allclose(run(cube, "f32", [("f32", a)], lanes, hardware), a.astype(np.float64) ** 3, rtol=1e-6)
    square = ScalarGraph((first, Scalar("constant", "f32", (), 2.0), Scalar("math.powf", "f32", (0, 1))), (2,))
    np.testing.assert_array_equal(run(square, "f32", [("f32", a)], lanes, hardware), a * a)
    base = (np.arange(500) % 7 - 3).astype(np.int32)
    found = run(
        graph("math.ipowi", "i32", "i32", "i32"), "i32", [("i32", base), ("i32", np.abs(powers))], lanes, hardware
    )
    np.testing.assert_array_equal(found, base ** np.abs(powers))


@LANES
@pytest.mark.parametrize("element", ["f32", "f16", "bf16", "f8E4M3FN", "i8", "i1", "i64"])
def test_constants(element: str, lanes: int | None) -> None:
    for number in (0, 1, -1, 0.3, math.inf, math.nan, 1e39) if "f" in element else (0, 1):
        what = ScalarGraph((Scalar("constant", element, (), number),), (0,))
        with np.errstate(over="ignore"):
            wanted = np.full(3, number).astype(STORED[element])
        found = run(what, element, [("i8", np.zeros(3, np.int8))], lanes, PLAIN)
        np.testing.assert_array_equal(found.astype(np.float64), wanted.astype(np.float64))


def test_unsupported_operations_and_types_are_named() -> None:
    strange = graph("math.gamma", "f32", "f32")
    assert supported(strange) == "math.gamma"
    assert supported(graph("arith.addi", "i4", "i4", "i4")) == "read on i4"
    assert supported(graph("arith.addf", "f32", "f32", "f32")) == ""
    module = ir.Module("m")
    with pytest.raises(PayloadError, match=r"m: cannot generate code for math\.gamma"):
        ScalarEmitter(module, ir.IRBuilder(), None).emit(strange, lambda node, operands: ir.Constant(ir.FloatType(), 0))
