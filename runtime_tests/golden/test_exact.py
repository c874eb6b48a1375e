"""Sums whose partial sums are numbers of their type have no error, in whatever order they are added."""

from __future__ import annotations

import numpy as np
import pytest

from runtime_tests.golden.functions import Array, evaluate
from runtime_tests.read.short_form import filled, generic
from substitute.golden.exact import find_step
from substitute.golden.numbers import element_of

pytestmark = pytest.mark.unit

K = 1500
"""More terms than a bound for sums in f16 knows: each may lose 2^-11."""


def product(rows: int, element: str = "f16") -> str:
    a, b, c = f"!{rows}x{K}x{element}", f"!{K}x3x{element}", f"!{rows}x3x{element}"
    return (
        f"func.func @f(%a: {a}, %b: {b}) -> {c} {{\n  %zero = arith.constant 0.0 : {element}{filled(c)}"
        f"\n  %r = linalg.matmul ins(%a, %b : {a}, {b}) outs(%init : {c}) -> {c}\n  return %r : {c}\n}}"
    )


def ones(*shape: int, seed: int, most: int = 1) -> Array:
    return np.random.default_rng(seed).integers(-most, most + 1, shape).astype(np.float16)


@pytest.mark.parametrize("rows", [1, 4])  # a row alone is evaluated term by term
def test_small_integers_have_one_sum(rows: int) -> None:
    a, b = ones(rows, K, seed=1), ones(K, 3, seed=2)
    (golden,) = evaluate(product(rows), a, b)
    wanted = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_array_equal(golden.value, wanted)
    # the fill's zero and the sum are added, which is one rounding more
    assert np.all(golden.error <= np.abs(wanted) * 2.0**-11)
    # twins: sums that may need more bits, and numbers that are no multiples of anything
    (more,) = evaluate(product(rows), a, ones(K, 3, seed=2, most=9))
    assert np.isinf(more.error).all()
    (any_,) = evaluate(product(rows), a, np.random.default_rng(3).standard_normal((K, 3)).astype(np.float16))
    assert np.isinf(any_.error).all()
    (told,) = evaluate(product(rows), a, b, exact_sums=False)
    assert np.isinf(told.error).all()


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(("start", "exact"), [(2.0, True), (0.001, False)])
def test_what_a_sum_starts_from_has_to_fit_too(rows: int, start: float, exact: bool) -> None:
    text = product(rows).replace("arith.constant 0.0", f"arith.constant {start}")
    a, b = ones(rows, K, seed=1), ones(K, 3, seed=2)
    (golden,) = evaluate(text, a, b)
    assert np.isfinite(golden.error).all() == exact


def row_products(element: str, columns: int) -> str:
    a, c = f"!2x{columns}x{element}", f"!2x{element}"
    body = f"\n    %m = arith.mulf %x, %o : {element}\n    linalg.yield %m : {element}"
    maps = "[[i, j -> i, j]], [[i, j -> i]]"
    return (
        f"func.func @f(%a: {a}) -> {c} {{\n  %zero = arith.constant 1.0 : {element}{filled(c)}"
        + generic("%r", maps, "pr", "%a", a, "%init", c, body, f"%x: {element}, %o: {element}")
        + f"\n  return %r : {c}\n}}"
    )


def test_infinity_may_meet_what_has_vanished() -> None:
    values = np.array([[1e-30, 1e-30, np.inf, 1.0], [0.5, 0.5, np.inf, 1.0]], np.float32)
    (golden,) = evaluate(row_products("f32", 4), values)
    assert np.isinf(golden.value).all()
    assert np.isinf(golden.error).tolist() == [True, False]


def test_a_partial_product_may_overflow_in_another_order() -> None:
    import ml_dtypes

    values = np.ones((2, 40), ml_dtypes.bfloat16)
    values[1], values[1, -1] = 200, 0  # 200^39 is beyond bf16, and an infinity times zero is no number
    (golden,) = evaluate(row_products("bf16", 40), values)
    assert list(np.isinf(golden.error)) == [False, True]


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([1.0, 3.0, -2.0], 1.0),
        ([0.5, 96.0], 0.5),
        ([0.0, 0.0], np.inf),
        ([], np.inf),
        ([1.0, np.nan], 0.0),
        ([1.0, 2.0**-12], 0.0),
        ([1.0] * 300 + [1.25], 0.25),
    ],
)
def test_steps(values: list[float], step: float) -> None:
    assert find_step(np.array(values), element_of("f16")) == step
