"""Contractions, convolutions and reductions compared with einsum and loops; whole, in blocks and sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime_tests.golden.functions import Array, evaluate, normal, parsed, value
from runtime_tests.read.short_form import filled, generic, matmul
from substitute.golden import nests
from substitute.golden.numbers import Arithmetic, Num, element_of
from substitute.golden.tensors import Known, Tensor
from substitute.golden.walk import Walker

pytestmark = pytest.mark.unit

MULTIPLY_ADD = """
    %m = arith.mulf %x, %y : f32
    %s = arith.addf %o, %m : f32
    linalg.yield %s : f32"""


def contraction(maps: str, kinds: str, a: str, b: str, out: str, body: str = MULTIPLY_ADD) -> str:
    return (
        f"func.func @f(%a: !{a}xf32, %b: !{b}xf32) -> !{out}xf32 {{\n  %zero = arith.constant 0.0 : f32"
        + filled(f"!{out}xf32")
        + generic(
            "%r",
            maps,
            kinds,
            "%a, %b",
            f"!{a}xf32, !{b}xf32",
            "%init",
            f"!{out}xf32",
            body,
            "%x: f32, %y: f32, %o: f32",
        )
        + f"\n  return %r : !{out}xf32\n}}"
    )


CASES: dict[str, tuple[str, str, str, str, str, str]] = {
    "matmul": (
        "[[m, n, k -> m, k]], [[m, n, k -> k, n]], [[m, n, k -> m, n]]",
        "ppr",
        "5x7",
        "7x6",
        "5x6",
        "mk,kn->mn",
    ),
    "transposed": (
        "[[m, n, k -> k, m]], [[m, n, k -> n, k]], [[m, n, k -> n, m]]",
        "ppr",
        "7x5",
        "6x7",
        "6x5",
        "km,nk->nm",
    ),
    "batch": (
        "[[b, m, n, k -> b, m, k]], [[b, m, n, k -> k, b, n]], [[b, m, n, k -> m, b, n]]",
        "pppr",
        "3x5x7",
        "7x3x6",
        "5x3x6",
        "bmk,kbn->mbn",
    ),
    "two inner": (
        "[[m, n, k, l -> m, k, l]], [[m, n, k, l -> l, n, k]], [[m, n, k, l -> m, n]]",
        "pprr",
        "5x3x4",
        "4x6x3",
        "5x6",
        "mkl,lnk->mn",
    ),
    "summed on one side": (
        "[[m, n, k, l -> m, k, l]], [[m, n, k, l -> k, n]], [[m, n, k, l -> m, n]]",
        "pprr",
        "5x3x4",
        "3x6",
        "5x6",
        "mkl,kn->mn",
    ),
    "outer": ("[[m, n -> m]], [[m, n -> n]], [[m, n -> m, n]]", "pp", "5", "6", "5x6", "m,n->mn"),
    "matvec": ("[[m, k -> m, k]], [[m, k -> k]], [[m, k -> m]]", "pr", "5x7", "7", "5", "mk,k->m"),
    "dot": ("[[k -> k]], [[k -> k]], [[k -> ]]", "r", "9", "9", "", "k,k->"),
    "one of a kind": ("[[m, k -> m, k]], [[m, k -> m, k]], [[m, k -> m]]", "pr", "5x7", "5x7", "5", "mk,mk->m"),
}


def shape_of(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split("x") if n)


def case(name: str) -> tuple[str, Array, Array, Array]:
    maps, kinds, a, b, out, einsum = CASES[name]
    x, y = normal(*shape_of(a), seed=1), normal(*shape_of(b), seed=2)
    expected = np.einsum(einsum, x.astype(float), y.astype(float))
    text = contraction(maps, kinds, a, b, out).replace("!xf32", "!f32").replace("tensor<xf32>", "tensor<f32>")
    return text, x, y, expected


@pytest.mark.parametrize("name", CASES)
def test_contraction(name: str) -> None:
    text, x, y, expected = case(name)
    (found,) = evaluate(text, x, y)
    np.testing.assert_allclose(found.value, expected, rtol=1e-12, atol=1e-12)
    single = np.einsum(CASES[name][-1], x, y)
    assert np.all(np.abs(single - expected) <= found.error)


@pytest.mark.parametrize("name", CASES)
def test_sums_with_zero_times_infinity_are_unknown_on_vulkan(name: str) -> None:
    text, x, y, _ = case(name)
    x, y = x.copy(), y.copy()
    x.flat[:3], y.flat[:3] = (0.0, np.inf, 1.0), (np.inf, 0.0, np.nan)

    def pairs(left: Array, right: Array) -> Array:
        return np.einsum(CASES[name][-1], left.astype(float), right.astype(float)) > 0

    hidden = pairs(x == 0, ~np.isfinite(y)) | pairs(~np.isfinite(x), y == 0)
    assert hidden.any()
    (found,) = evaluate(text, x, y, certain_zeros=False)
    assert np.array_equal(np.isinf(found.error), np.broadcast_to(hidden, found.value.shape))
    (certain,) = evaluate(text, x, y)
    assert not np.isinf(certain.error).any()


@pytest.mark.parametrize("name", CASES)
def test_sampled_is_the_same_as_whole(name: str) -> None:
    text, x, y, expected = case(name)
    with parsed(text) as function:
        walker = Walker(Arithmetic(), (), ())
        element = element_of("f32")
        for parameter, array in zip(function.regions[0].blocks[0].arguments, (x, y), strict=True):
            walker.values[parameter] = Known(Num(array.astype(float)), element)
        (result,) = walker.run(function)
        assert isinstance(result, Tensor)
        where = [np.random.default_rng(3).integers(0, n, 5) for n in expected.shape]
        sampled = result._compute_at(where)
        whole = result.whole()
    picked = whole.value[tuple(where)]
    np.testing.assert_allclose(np.broadcast_to(sampled.value, picked.shape), picked, rtol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(sampled.errors(), picked.shape), whole.errors()[tuple(where)], rtol=1e-5)


def test_blocks_give_the_same_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    text, x, y, expected = case("matvec")
    monkeypatch.setattr(nests, "BLOCK", 8)
    np.testing.assert_allclose(value(text, x, y), expected, rtol=1e-12)


def test_rows_in_pieces_give_the_same_as_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    from substitute.golden import contraction as products

    for name in ("matmul", "batch", "two inner"):
        text, x, y, expected = case(name)
        monkeypatch.setattr(products, "COPY_LIMIT", 30)
        np.testing.assert_allclose(value(text, x, y), expected, rtol=1e-12)


def test_a_dropped_term_is_outside_of_the_bound() -> None:
    text, x, y, _ = case("matmul")
    (found,) = evaluate(text, x, y)
    dropped = x[:, :-1].astype(float) @ y[:-1].astype(float)
    assert np.all(np.abs(dropped - found.value) > found.error)


def test_half_precision_sums_are_outside_of_the_bound_of_single_ones() -> None:
    text, x, y, _ = case("matmul")
    (found,) = evaluate(text, x, y)
    half = (x.astype(np.float16) @ y.astype(np.float16)).astype(float)
    assert np.any(np.abs(half - found.value) > found.error)


def test_probable_growth_is_smaller_for_long_sums() -> None:
    text = f"""
func.func @f(%a: !5x4096xf32, %b: !4096x6xf32) -> !5x6xf32 {{
  %zero = arith.constant 0.0 : f32{matmul(k=4096)}
  return %r : !5x6xf32
}}"""
    a, b = normal(5, 4096), normal(4096, 6)
    (certain,), (probable,) = evaluate(text, a, b), evaluate(text, a, b, growth="probable")
    assert certain.depth == 4096
    assert np.all(probable.error < certain.error / 8)
    assert np.all(np.abs(a @ b - certain.value) <= probable.error)


def convolution(x: Array, w: Array, stride: int, dilation: int) -> Array:
    """[n, h, w, c] with [kh, kw, c, f], by hand."""
    kh, kw = w.shape[:2]
    oh = (x.shape[1] - dilation * (kh - 1) - 1) // stride + 1
    ow = (x.shape[2] - dilation * (kw - 1) - 1) // stride + 1
    out = np.zeros((x.shape[0], oh, ow, w.shape[3]))
    for i in range(oh):
        for j in range(ow):
            for p in range(kh):
                for q in range(kw):
                    out[:, i, j] += x[:, i * stride + p * dilation, j * stride + q * dilation] @ w[p, q]
    return out


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_named_convolution(stride: int, dilation: int) -> None:
    x, w = normal(2, 11, 11, 3), normal(3, 3, 3, 4)
    expected = convolution(x.astype(float), w.astype(float), stride, dilation)
    out = "!" + "x".join(map(str, expected.shape)) + "xf32"
    text = f"""
func.func @f(%a: !2x11x11x3xf32, %b: !3x3x3x4xf32) -> {out} {{
  %zero = arith.constant 0.0 : f32{filled(out)}
  %r = linalg.conv_2d_nhwc_hwcf
      {{strides = dense<{stride}> : tensor<2xi64>, dilations = dense<{dilation}> : tensor<2xi64>}}
      ins(%a, %b : !2x11x11x3xf32, !3x3x3x4xf32) outs(%init : {out}) -> {out}
  return %r : {out}
}}"""
    np.testing.assert_allclose(value(text, x, w), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("op", "function"), [("sum", np.sum), ("max", np.max), ("min", np.min)])
def test_named_pooling(op: str, function: Any) -> None:
    x = normal(1, 6, 6, 2)
    initial = {"sum": "0.0", "max": "0xFF800000", "min": "0x7F800000"}[op]
    out = "!1x3x3x2xf32"
    text = f"""
func.func @f(%a: !1x6x6x2xf32) -> {out} {{
  %zero = arith.constant {initial} : f32{filled(out)}
  %w = tensor.empty() : !2x2xf32
  %r = linalg.pooling_nhwc_{op} {{strides = dense<2> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}}
      ins(%a, %w : !1x6x6x2xf32, !2x2xf32) outs(%init : {out}) -> {out}
  return %r : {out}
}}"""
    expected = function(x.astype(float).reshape(1, 3, 2, 3, 2, 2), axis=(2, 4))
    np.testing.assert_allclose(value(text, x), expected, rtol=1e-12)


REDUCTIONS: dict[str, tuple[str, str, str, Any]] = {
    "sum": ("arith.addf", "f32", "0.0", np.add.reduce),
    "product": ("arith.mulf", "f32", "1.0", np.multiply.reduce),
    "maximum": ("arith.maximumf", "f32", "0xFF800000", np.maximum.reduce),
    "minnum": ("arith.minnumf", "f32", "0x7F800000", np.fmin.reduce),
    "integer sum": ("arith.addi", "i32", "0", np.add.reduce),
    "wrapping product": ("arith.muli", "i8", "1", np.multiply.reduce),
    "largest": ("arith.maxsi", "i32", "-2147483648", np.maximum.reduce),
    "all": ("arith.andi", "i8", "-1", np.bitwise_and.reduce),
    "parity": ("arith.xori", "i8", "0", np.bitwise_xor.reduce),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction(name: str, axis: int) -> None:
    op, kind, start, function = REDUCTIONS[name]
    length = (5, 9)[1 - axis]
    dtype = {"f32": np.float32, "i32": np.int32, "i8": np.int8}[kind]
    x = normal(5, 9) if kind == "f32" else np.random.default_rng(0).integers(-100, 100, (5, 9)).astype(dtype)
    text = f"""
func.func @f(%a: !5x9x{kind}) -> !{length}x{kind} {{
  %zero = arith.constant {start} : {kind}{filled(f"!{length}x{kind}")}
  %r = linalg.reduce {{ {op} }} ins(%a : !5x9x{kind}) outs(%init : !{length}x{kind}) dimensions = [{axis}]
  return %r : !{length}x{kind}
}}"""
    (found,) = evaluate(text, x)
    exact = x.astype(np.float64) if kind == "f32" else x
    expected = function(exact, axis=axis) if kind == "f32" else function(exact, axis=axis, dtype=dtype)
    np.testing.assert_allclose(found.value, expected, rtol=1e-13)
    if kind == "f32":
        assert np.all(np.abs(function(x, axis=axis) - expected) <= found.error)
    else:
        assert not found.error.any()


@pytest.mark.parametrize(
    ("op", "start", "signs"), [("maximumf", "0xFF800000", [0, 1, 0]), ("minimumf", "0x7F800000", [1, 1, 0])]
)
def test_a_negative_zero_is_the_lesser_one_of_a_row(op: str, start: str, signs: list[int]) -> None:
    other = -5.0 if op == "maximumf" else 5.0
    x = np.array([[other, 0.0, other, -0.0], [-0.0, other, -0.0, -0.0], [0.0, 0.0, other, 0.0]], np.float32)
    text = f"""
func.func @f(%a: !3x4xf32) -> !3xf32 {{
  %zero = arith.constant {start} : f32{filled("!3xf32")}
  %r = linalg.reduce {{ arith.{op} }} ins(%a : !3x4xf32) outs(%init : !3xf32) dimensions = [1]
  return %r : !3xf32
}}"""
    (found,) = evaluate(text, x)
    assert (found.value.tolist(), np.signbit(found.value).astype(int).tolist()) == ([0.0] * 3, signs)


def test_integer_products_wrap() -> None:
    text = """
func.func @f(%a: !4x200xi8, %b: !200x5xi8) -> !4x5xi8 {
  %zero = arith.constant 0 : i8
  %e = tensor.empty() : !4x5xi8
  %init = linalg.fill ins(%zero : i8) outs(%e : !4x5xi8) -> !4x5xi8
  %r = linalg.matmul ins(%a, %b : !4x200xi8, !200x5xi8) outs(%init : !4x5xi8) -> !4x5xi8
  return %r : !4x5xi8
}"""
    random = np.random.default_rng(0)
    a, b = random.integers(-128, 128, (4, 200)).astype(np.int8), random.integers(-128, 128, (200, 5)).astype(np.int8)
    assert np.array_equal(value(text, a, b), (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int8))


def test_products_too_large_for_float64_are_exact() -> None:
    text = """
func.func @f(%a: !4x3xi64, %b: !3x5xi64) -> !4x5xi64 {
  %zero = arith.constant 0 : i64
  %e = tensor.empty() : !4x5xi64
  %init = linalg.fill ins(%zero : i64) outs(%e : !4x5xi64) -> !4x5xi64
  %r = linalg.matmul ins(%a, %b : !4x3xi64, !3x5xi64) outs(%init : !4x5xi64) -> !4x5xi64
  return %r : !4x5xi64
}"""
    random = np.random.default_rng(0)
    a, b = random.integers(-(2**62), 2**62, (4, 3)), random.integers(-(2**62), 2**62, (3, 5))
    assert np.array_equal(value(text, a, b), a @ b)


def test_a_region_that_is_no_plain_reduction() -> None:
    """Position and value of the maximum: two results that depend on each other."""
    text = """
func.func @f(%a: !6x9xf32) -> (!6xf32, !6xi32) {
  %low = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i32
  %e = tensor.empty() : !6xf32
  %v = linalg.fill ins(%low : f32) outs(%e : !6xf32) -> !6xf32
  %g = tensor.empty() : !6xi32
  %w = linalg.fill ins(%none : i32) outs(%g : !6xi32) -> !6xi32
  %r:2 = linalg.generic {indexing_maps = [[[i, j -> i, j]], [[i, j -> i]], [[i, j -> i]]],
      iterator_types = ["parallel", "reduction"]} ins(%a : !6x9xf32) outs(%v, %w : !6xf32, !6xi32) {
  ^bb0(%x: f32, %best: f32, %where: i32):
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i32
    %m = arith.maximumf %x, %best : f32
    %b = arith.cmpf ogt, %x, %best : f32
    %p = arith.select %b, %k, %where : i32
    linalg.yield %m, %p : f32, i32
  } -> (!6xf32, !6xi32)
  return %r#0, %r#1 : !6xf32, !6xi32
}"""
    x = normal(6, 9)
    best, where = evaluate(text, x)
    assert np.array_equal(best.value, x.max(axis=1)) and np.array_equal(where.value, x.argmax(axis=1))


@pytest.mark.parametrize(
    ("sizes", "limit"), [((5, 7), 3), ((5, 7), 7), ((2, 3, 4), 5), ((), 1), ((9,), 100), ((3, 0), 4)]
)
def test_blocks_cover_everything_once(sizes: tuple[int, ...], limit: int) -> None:
    seen = np.zeros(sizes, int)
    for block in nests.blocks(sizes, limit):
        seen[block] += 1
        assert np.zeros(sizes)[block].size <= max(limit, 1)
    assert np.all(seen == 1)
