"""The polynomial functions against references of higher precision, for scalars and vectors, with and without FMA."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")
from runtime_tests.payload.llvm_graphs import MODERN, PLAIN, STORED, run
from runtime_tests.ulp.errors import REFERENCES, ulps
from substitute.codegen.llvm.function import Hardware
from substitute.codegen.mathematics import tables
from substitute.model.scalar import Scalar, ScalarGraph

pytestmark = pytest.mark.device


def unary(name: str, element: str) -> ScalarGraph:
    return ScalarGraph((Scalar("read", element, (), 0), Scalar(name, element, (0,))), (1,))


def samples(element: str, low: float, high: float, seed: int = 7) -> Any:
    """Numbers spread over the range and over the exponents within it, with the special ones that lie in it."""
    type_ = STORED[element]
    random = np.random.default_rng(seed)
    info = np.finfo(type_)
    exponents = np.exp2(
        random.uniform(np.log2(float(info.smallest_subnormal)), np.log2(min(high, float(info.max))), 3000)
    )
    some = np.concatenate([random.uniform(low, high, 5000), exponents, -exponents])
    special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        math.inf,
        -math.inf,
        math.nan,
        float(info.max),
        float(info.tiny),
        float(info.smallest_subnormal),
        0.83,
        0.9277,
        88.72,
        88.73,
        -103.9,
        -87.4,
        709.78,
        709.79,
        -745.1,
        0.3466,
    ]
    every = np.concatenate([some[(some >= low) & (some <= high)], special])
    return every.astype(type_)


RANGES = {
    "exp": (-760, 720),
    "exp2": (-1100, 1030),
    "expm1": (-760, 720),
    "log": (0, 1e300),
    "log2": (0, 1e300),
    "log10": (0, 1e300),
    "log1p": (-1, 1e300),
    "tanh": (-30, 30),
    "sinh": (-720, 720),
    "cosh": (-720, 720),
    "asinh": (-1e300, 1e300),
    "acosh": (1, 1e300),
    "atanh": (-1, 1),
    "sin": (-1e39, 1e39),
    "cos": (-1e39, 1e39),
    "tan": (-1e39, 1e39),
    "asin": (-1, 1),
    "acos": (-1, 1),
    "atan": (-1e300, 1e300),
    "cbrt": (-1e300, 1e300),
    "sqrt": (0, 1e300),
    "rsqrt": (0, 1e300),
    "erf": (-7, 7),
    "erfc": (-7, 28),
}
"""The numbers that each function is tried with."""
F64_RANGE = dict.fromkeys(("sin", "cos", "tan"), 1e6)
"""Limits of arguments for which the accuracy of f64 is guaranteed."""
LIMIT_ULP = 2.6
LIMITS_ULP = {"erfc": 3.6}
"""The reference is libm's own, good to about one unit."""


def worst(name: str, element: str, lanes: int | None, hardware: Hardware) -> tuple[float, float]:
    """The largest error in ULP, and where."""
    low, high = RANGES[name]
    type_ = STORED[element]
    top = F64_RANGE.get(name, float(np.finfo(type_).max)) if element == "f64" else float(np.finfo(type_).max)
    x = samples(element, max(low, -top), min(high, top))
    if name in F64_RANGE and element == "f64":
        x = x[~(np.isfinite(x) & (np.abs(x) > top))]
    with np.errstate(all="ignore"):
        wanted = REFERENCES[name](x.astype(np.longdouble))
    error = ulps(run(unary(f"math.{name}", element), element, [(element, x)], lanes, hardware), wanted, type_)
    at = int(np.argmax(error))
    return float(error[at]), float(x[at])


@pytest.mark.parametrize("hardware", [MODERN, PLAIN], ids=["fma", "plain"])
@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("name", sorted(RANGES))
def test_error_is_small(name: str, element: str, hardware: Hardware) -> None:
    error, at = worst(name, element, 8, hardware)
    assert error <= LIMITS_ULP.get(name, LIMIT_ULP), f"{name}({at!r}): {error:.2f} ULP"


@pytest.mark.parametrize("name", sorted(RANGES))
def test_scalars_and_vectors_agree(name: str) -> None:
    x = samples("f32", max(RANGES[name][0], -3e38), min(RANGES[name][1], 3e38))
    found = [run(unary(f"math.{name}", "f32"), "f32", [("f32", x)], lanes, MODERN) for lanes in (None, 4, 16)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_wrong_coefficient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables.EXP["f32"]
    monkeypatch.setitem(tables.EXP, "f32", (*table[:-2], table[-2] * 1.0001, table[-1]))
    assert worst("exp", "f32", 8, MODERN)[0] > LIMIT_ULP


ODD_FUNCTIONS = (
    "math.tanh",
    "math.sinh",
    "math.asinh",
    "math.atanh",
    "math.sin",
    "math.tan",
    "math.asin",
    "math.atan",
    "math.erf",
    "math.expm1",
    "math.log1p",
    "math.cbrt",
    "math.floor",
    "math.ceil",
    "math.trunc",
    "math.round",
    "math.roundeven",
    "math.sqrt",
)


@pytest.mark.parametrize("hardware", [MODERN, PLAIN], ids=["fma", "plain"])
@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("name", ODD_FUNCTIONS)
def test_zeros_keep_their_sign(name: str, element: str, hardware: Hardware) -> None:
    x = np.array([0.0, -0.0] * 4, STORED[element])
    np.testing.assert_array_equal(
        np.signbit(run(unary(name, element), element, [(element, x)], 8, hardware)), np.signbit(x)
    )


ROUNDINGS = {
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.trunc": np.trunc,
    "math.roundeven": np.rint,
    "math.round": lambda x: np.copysign(np.floor(np.abs(x)) + (np.abs(x) % 1 >= 0.5), x),
}


@pytest.mark.parametrize("hardware", [MODERN, PLAIN], ids=["instruction", "arithmetic"])
@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("name", sorted(ROUNDINGS))
def test_rounding(name: str, element: str, hardware: Hardware) -> None:
    type_ = STORED[element]
    x = np.concatenate([samples(element, -1e30, 1e30), np.arange(-20, 20, 0.25), [0.49999997, 8388607.5]]).astype(type_)
    with np.errstate(invalid="ignore"):
        wanted = ROUNDINGS[name](x)
    np.testing.assert_array_equal(run(unary(name, element), element, [(element, x)], 4, hardware), wanted)


POWERS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    -3.0,
    2.5,
    1e-3,
    7.0,
    1e5,
    -1e5,
    1.0000001,
    0.99999,
    -0.5,
    3e10,
    -(2.0**40),
    math.inf,
    -math.inf,
    math.nan,
)


@pytest.mark.parametrize("hardware", [MODERN, PLAIN], ids=["fma", "plain"])
@pytest.mark.parametrize("element", ["f32", "f64"])
def test_powers(element: str, hardware: Hardware) -> None:
    type_ = STORED[element]
    random = np.random.default_rng(1)
    x, y = (v.ravel() for v in np.meshgrid(np.array(POWERS, type_), np.array(POWERS, type_)))
    x = np.concatenate([x, np.exp(random.uniform(-5, 5, 4000)).astype(type_)])
    y = np.concatenate([y, random.uniform(-60, 60, 4000).astype(type_)])
    graph = ScalarGraph(
        (Scalar("read", element, (), 0), Scalar("read", element, (), 1), Scalar("math.powf", element, (0, 1))), (2,)
    )
    with np.errstate(all="ignore"):
        wanted = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
    found = run(graph, element, [(element, x), (element, y)], 4, hardware)
    error = ulps(found, wanted, type_)
    at = int(np.argmax(error))
    assert error[at] <= LIMIT_ULP, f"pow({x[at]!r}, {y[at]!r}) = {found[at]!r}, not {wanted[at]!r}"


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_angles_of_points(element: str) -> None:
    type_ = STORED[element]
    random = np.random.default_rng(1)
    special = np.array([0.0, -0.0, 1.0, -1.0, 3.0, math.inf, -math.inf, math.nan, 1e30, 1e-30], type_)
    y, x = (v.ravel() for v in np.meshgrid(special, special))
    y, x = (np.concatenate([v, random.standard_normal(3000).astype(type_)]) for v in (y, x))
    graph = ScalarGraph(
        (Scalar("read", element, (), 0), Scalar("read", element, (), 1), Scalar("math.atan2", element, (0, 1))), (2,)
    )
    found = run(graph, element, [(element, y), (element, x)], 4, MODERN)
    wanted = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    assert ulps(found, wanted, type_).max() <= LIMIT_ULP
    zero = wanted == 0
    np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(wanted[zero]))
