"""Operations of `iree_linalg_ext` compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from runtime_tests.golden.functions import Array, evaluate, normal, value

pytestmark = pytest.mark.unit


def attention_text(mask: str = "", kind: str = "f32") -> str:
    q, k, v, o = (f"!{s}x{kind}" for s in ("2x5x8", "2x7x8", "2x7x6", "2x5x6"))
    extra = f", %m: {mask}" if mask else ""
    maps = ", ".join(f"[[b, m, n, k, l -> {dims}]]" for dims in ("b, m, k", "b, l, k", "b, l, n", ""))
    masks = ", [[b, m, n, k, l -> b, m, l]]" if mask else ""
    return f"""
func.func @f(%q: {q}, %k: {k}, %v: {v}{extra}) -> {o} {{
  %scale = arith.constant 0.25 : {kind}
  %e = tensor.empty() : {o}
  %r = "iree_linalg_ext.attention"(%q, %k, %v, %scale{", %m" if mask else ""}, %e)
      <{{indexing_maps = [{maps}{masks}, [[b, m, n, k, l -> b, m, n]]]}}> ({{
  ^bb0(%s: f32):
    iree_linalg_ext.yield %s : f32
  }}) : ({q}, {k}, {v}, {kind}{", " + mask if mask else ""}, {o}) -> {o}
  return %r : {o}
}}"""


def attention(q: Array, k: Array, v: Array, mask: Array | float = 0.0) -> Array:
    scores = 0.25 * np.einsum("bmk,blk->bml", q.astype(float), k.astype(float)) + mask
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return np.asarray(np.einsum("bml,bln->bmn", weights / weights.sum(axis=2, keepdims=True), v.astype(float)))


Q, K, V = normal(2, 5, 8, seed=1), normal(2, 7, 8, seed=2), normal(2, 7, 6, seed=3)


def test_attention() -> None:
    (found,) = evaluate(attention_text(), Q, K, V)
    np.testing.assert_allclose(found.value, attention(Q, K, V), rtol=1e-12)
    assert np.all(found.error < 1e-4)
    swapped = attention(Q, K[:, ::-1], V)
    assert np.any(np.abs(swapped - found.value) > found.error)


def test_attention_with_a_mask_of_numbers_and_one_of_booleans() -> None:
    mask = normal(2, 5, 7, seed=4)
    np.testing.assert_allclose(value(attention_text("!2x5x7xf32"), Q, K, V, mask), attention(Q, K, V, mask), rtol=1e-12)
    keep = mask > -1
    expected = attention(Q, K, V, np.where(keep, 0.0, -np.inf))
    np.testing.assert_allclose(value(attention_text("!2x5x7xi1"), Q, K, V, keep), expected, rtol=1e-12)


def test_a_row_that_is_masked_throughout_is_unknown() -> None:
    keep = np.ones((2, 5, 7), bool)
    keep[1, 2] = False
    (found,) = evaluate(attention_text("!2x5x7xi1"), Q, K, V, keep)
    unknown = np.isinf(found.error).all(axis=2)
    assert np.argwhere(unknown).tolist() == [[1, 2]]


def test_attention_in_half_precision_has_a_wider_bound() -> None:
    half = [x.astype(np.float16) for x in (Q, K, V)]
    (found,) = evaluate(attention_text(kind="f16"), *half)
    (single,) = evaluate(attention_text(), *[x.astype(np.float32) for x in half])
    np.testing.assert_allclose(found.value, single.value, rtol=1e-12)
    assert np.all(found.error > 20 * single.error)


@pytest.mark.parametrize("inclusive", [True, False])
def test_scan(inclusive: bool) -> None:
    text = f"""
func.func @f(%a: !3x6xf32, %i: !3xf32) -> (!3x6xf32, !3xf32) {{
  %e = tensor.empty() : !3x6xf32
  %r:2 = iree_linalg_ext.scan dimension(1) inclusive({"true" if inclusive else "false"})
      ins(%a : !3x6xf32) outs(%e, %i : !3x6xf32, !3xf32) {{
  ^bb0(%x: f32, %y: f32):
    %s = arith.addf %x, %y : f32
    iree_linalg_ext.yield %s : f32
  }} -> !3x6xf32, !3xf32
  return %r#0, %r#1 : !3x6xf32, !3xf32
}}"""
    a, start = normal(3, 6), normal(3, seed=5)
    running, last = evaluate(text, a, start)
    sums = np.cumsum(a.astype(float), axis=1)
    expected = sums if inclusive else start[:, None].astype(float) + np.pad(sums, ((0, 0), (1, 0)))[:, :-1]
    np.testing.assert_allclose(running.value, expected, rtol=1e-12)
    np.testing.assert_allclose(last.value, expected[:, -1], rtol=1e-12)
    assert np.all(np.diff(running.error, axis=1) > 0), "errors add up"


def test_sort_of_two_tensors_keeps_ties() -> None:
    text = """
func.func @f(%a: !4x9xf32, %b: !4x9xi32) -> (!4x9xf32, !4x9xi32) {
  %r:2 = iree_linalg_ext.sort dimension(1) outs(%a, %b : !4x9xf32, !4x9xi32) {
  ^bb0(%x: f32, %y: f32, %i: i32, %j: i32):
    %c = arith.cmpf ogt, %x, %y : f32
    iree_linalg_ext.yield %c : i1
  } -> !4x9xf32, !4x9xi32
  return %r#0, %r#1 : !4x9xf32, !4x9xi32
}"""
    a = np.round(normal(4, 9) * 2)  # (with ties)
    places = np.broadcast_to(np.arange(9, dtype=np.int32), (4, 9)).copy()
    values, order = evaluate(text, a, places)
    expected = np.argsort(-a, axis=1, kind="stable")
    assert np.array_equal(order.value, expected)
    assert np.array_equal(values.value, np.take_along_axis(a, expected, 1))


def test_topk() -> None:
    text = """
func.func @f(%a: !4x9xf32) -> (!4x3xf32, !4x3xi32) {
  %low = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i32
  %e = tensor.empty() : !4x3xf32
  %v = linalg.fill ins(%low : f32) outs(%e : !4x3xf32) -> !4x3xf32
  %g = tensor.empty() : !4x3xi32
  %w = linalg.fill ins(%none : i32) outs(%g : !4x3xi32) -> !4x3xi32
  %r:2 = iree_linalg_ext.topk dimension(1) ins(%a : !4x9xf32) outs(%v, %w : !4x3xf32, !4x3xi32) {
  ^bb0(%x: f32, %y: f32):
    %c = arith.cmpf ogt, %x, %y : f32
    iree_linalg_ext.yield %c : i1
  } -> !4x3xf32, !4x3xi32
  return %r#0, %r#1 : !4x3xf32, !4x3xi32
}"""
    a = np.round(normal(4, 9) * 2)
    values, places = evaluate(text, a)
    expected = np.argsort(-a, axis=1, kind="stable")[:, :3]
    assert np.array_equal(places.value, expected)
    assert np.array_equal(values.value, np.take_along_axis(a, expected, 1))


def test_arg_compare() -> None:
    text = """
func.func @f(%a: !4x9xf32) -> (!4xf32, !4xi32) {
  %e = tensor.empty() : !4xf32
  %g = tensor.empty() : !4xi32
  %r:2 = iree_linalg_ext.arg_compare dimension(1) ins(%a : !4x9xf32) outs(%e, %g : !4xf32, !4xi32) {
  ^bb0(%x: f32, %y: f32):
    %c = arith.cmpf olt, %x, %y : f32
    iree_linalg_ext.yield %c : i1
  } -> !4xf32, !4xi32
  return %r#0, %r#1 : !4xf32, !4xi32
}"""
    a = np.round(normal(4, 9) * 2)
    smallest, place = evaluate(text, a)
    assert np.array_equal(smallest.value, a.min(axis=1)) and np.array_equal(place.value, a.argmin(axis=1))


def test_gather_of_rows() -> None:
    text = """
func.func @f(%a: !6x4xf32, %i: !3x1xi32) -> !3x4xf32 {
  %e = tensor.empty() : !3x4xf32
  %r = iree_linalg_ext.gather dimension_map = [0] ins(%a, %i : !6x4xf32, !3x1xi32) outs(%e : !3x4xf32) -> !3x4xf32
  return %r : !3x4xf32
}"""
    a = normal(6, 4)
    assert np.array_equal(value(text, a, np.array([[5], [0], [2]], np.int32)), a[[5, 0, 2]])
    (found,) = evaluate(text, a, np.array([[5], [6], [2]], np.int32))
    assert np.isinf(found.error).all(axis=1).tolist() == [False, True, False]


def test_scatter_adds_into_rows() -> None:
    text = """
func.func @f(%a: !6x4xf32, %u: !3x4xf32, %i: !3x1xi32) -> !6x4xf32 {
  %r = iree_linalg_ext.scatter dimension_map = [0] unique_indices(false)
      ins(%u, %i : !3x4xf32, !3x1xi32) outs(%a : !6x4xf32) {
  ^bb0(%new: f32, %old: f32):
    %s = arith.addf %new, %old : f32
    iree_linalg_ext.yield %s : f32
  } -> !6x4xf32
  return %r : !6x4xf32
}"""
    a, u = normal(6, 4), normal(3, 4, seed=1)
    expected = a.astype(float)
    np.add.at(expected, [5, 0, 5], u.astype(float))
    np.testing.assert_allclose(value(text, a, u, np.array([[5], [0], [5]], np.int32)), expected, rtol=1e-12)


SORT = """
func.func @f(%a: !2x6xf32) -> !2x6xf32 {
  %r = iree_linalg_ext.sort dimension(1) outs(%a : !2x6xf32) {
  ^bb0(%x: f32, %y: f32):
    %c = arith.cmpf ogt, %x, %y : f32
    iree_linalg_ext.yield %c : i1
  } -> !2x6xf32
  return %r : !2x6xf32
}"""


def test_a_row_with_nan_has_no_order() -> None:
    rows = normal(2, 6, seed=7).astype(np.float32)
    (clean,) = evaluate(SORT, rows)
    np.testing.assert_array_equal(clean.value, -np.sort(-rows, axis=1))
    assert not clean.error.any()
    rows[1, 2] = np.nan
    (found,) = evaluate(SORT, rows)
    np.testing.assert_array_equal(found.error, [[0.0] * 6, [np.inf] * 6])


def test_a_scan_of_one_dimension() -> None:
    text = """
func.func @f(%a: !6xf32, %i: tensor<f32>) -> (!6xf32, tensor<f32>) {
  %e = tensor.empty() : !6xf32
  %r:2 = iree_linalg_ext.scan dimension(0) inclusive(true) ins(%a : !6xf32) outs(%e, %i : !6xf32, tensor<f32>) {
  ^bb0(%x: f32, %y: f32):
    %s = arith.addf %x, %y : f32
    iree_linalg_ext.yield %s : f32
  } -> !6xf32, tensor<f32>
  return %r#0, %r#1 : !6xf32, tensor<f32>
}"""
    row = normal(6, seed=3).astype(np.float32)
    running, last = evaluate(text, row, np.float32(0))
    np.testing.assert_allclose(running.value, np.cumsum(row.astype(float)), rtol=1e-12)
    np.testing.assert_allclose(last.value, row.astype(float).sum(), rtol=1e-12)


def test_what_compares_in_one_dimension() -> None:
    """Without the dimension that is gone through, nothing has a rank."""
    better = "^bb0(%x: f32, %y: f32):\n  %c = arith.cmpf ogt, %x, %y : f32\n  iree_linalg_ext.yield %c : i1\n"
    text = f"""
func.func @f(%a: !9xf32, %v: !3xf32, %w: !3xi32, %e: tensor<f32>, %g: tensor<i32>)
    -> (!3xf32, !3xi32, tensor<f32>, tensor<i32>) {{
  %t:2 = iree_linalg_ext.topk dimension(0) ins(%a : !9xf32) outs(%v, %w : !3xf32, !3xi32) {{
  {better} }} -> !3xf32, !3xi32
  %r:2 = iree_linalg_ext.arg_compare dimension(0) ins(%a : !9xf32) outs(%e, %g : tensor<f32>, tensor<i32>) {{
  {better} }} -> tensor<f32>, tensor<i32>
  return %t#0, %t#1, %r#0, %r#1 : !3xf32, !3xi32, tensor<f32>, tensor<i32>
}}"""
    a, low = normal(9), np.full(3, -np.inf, np.float32)
    found = evaluate(text, a, low, np.zeros(3, np.int32), np.float32(0), np.int32(0))
    order = np.argsort(-a)
    for golden, expected in zip(found, (a[order[:3]], order[:3], a.max(), a.argmax()), strict=True):
        np.testing.assert_array_equal(golden.value, expected)
        assert not golden.error.any()


def test_scatter_of_scalars() -> None:
    text = """
func.func @f(%a: !6xf32, %u: !3xf32, %i: !3x1xi32) -> !6xf32 {
  %r = iree_linalg_ext.scatter dimension_map = [0] unique_indices(true)
      ins(%u, %i : !3xf32, !3x1xi32) outs(%a : !6xf32) {
  ^bb0(%new: f32, %old: f32):
    iree_linalg_ext.yield %new : f32
  } -> !6xf32
  return %r : !6xf32
}"""
    a, u = normal(6), normal(3, seed=1)
    expected = a.copy()
    expected[[5, 0, 2]] = u
    np.testing.assert_array_equal(value(text, a, u, np.array([[5], [0], [2]], np.int32)), expected)
