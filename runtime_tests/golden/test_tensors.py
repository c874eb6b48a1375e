"""Operations on tensors compared with NumPy statements written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from runtime_tests.golden.functions import Array, evaluate, normal, parsed, value
from runtime_tests.read.short_form import filled, generic
from substitute.errors import UsageError
from substitute.golden import Unsupported, evaluate_function
from substitute.golden.tensors import kept_dimensions

pytestmark = pytest.mark.unit


def function(arguments: str, result: str, body: str) -> str:
    return f"""
func.func @f({arguments}) -> {result} {{
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  {body}
  return %r : {result}
}}"""


def test_slices_with_strides_and_dropped_dimensions() -> None:
    body = """
  %r = tensor.extract_slice %a[1, 2, 0] [1, 3, 4] [1, 2, 1] : !3x8x4xf32 to !3x4xf32"""
    a = normal(3, 8, 4)
    assert np.array_equal(value(function("%a: !3x8x4xf32", "!3x4xf32", body), a), a[1, 2:8:2, :])


def test_insert_slice() -> None:
    body = "%r = tensor.insert_slice %b into %a[1, %c2] [2, 3] [1, 2] : !2x3xf32 into !4x9xf32"
    a, b = normal(4, 9), normal(2, 3)
    expected = a.copy()
    expected[1:3, 2:8:2] = b
    assert np.array_equal(value(function("%a: !4x9xf32, %b: !2x3xf32", "!4x9xf32", body), a, b), expected)


def test_pad() -> None:
    body = """
  %r = tensor.pad %a low[1, 0] high[%c2, 3] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : !2x3xf32 to !?x6xf32"""
    a = normal(2, 3)
    assert np.array_equal(value(function("%a: !2x3xf32", "!?x6xf32", body), a), np.pad(a, ((1, 2), (0, 3))))


def test_concat_and_reshapes() -> None:
    body = """
  %j = tensor.concat dim(1) %a, %b : (!2x3xf32, !2x5xf32) -> !2x8xf32
  %e = tensor.expand_shape %j [[0], [1, 2]] output_shape [2, 4, 2] : !2x8xf32 into !2x4x2xf32
  %r = tensor.collapse_shape %e [[0, 1], [2]] : !2x4x2xf32 into !8x2xf32"""
    a, b = normal(2, 3), normal(2, 5)
    found = value(function("%a: !2x3xf32, %b: !2x5xf32", "!8x2xf32", body), a, b)
    assert np.array_equal(found, np.concatenate([a, b], 1).reshape(8, 2))


def test_elements_in_and_out() -> None:
    body = """
  %x = tensor.extract %a[%c1, %c0] : !2x2xf32
  %d = arith.addf %x, %x : f32
  %l = tensor.from_elements %d, %x, %zero : !3xf32
  %r = tensor.insert %x into %l[%c2] : !3xf32"""
    a = normal(2, 2)
    x = float(a[1, 0])
    assert value(function("%a: !2x2xf32", "!3xf32", body), a).tolist() == [2 * x, x, x]


def test_arithmetic_on_whole_tensors_and_splats() -> None:
    body = """
  %s = tensor.splat %zero : !2x2xf32
  %k = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : !2x2xf32
  %m = arith.mulf %a, %k : !2x2xf32
  %r = arith.addf %m, %s : !2x2xf32"""
    a = normal(2, 2)
    found = value(function("%a: !2x2xf32", "!2x2xf32", body), a)
    assert np.array_equal(found, a.astype(float) * [[1, 2], [3, 4]])


@pytest.mark.parametrize("kind", ["bf16", "f16", "f8E4M3FN", "i1", "i8", "i64"])
def test_constants_of_every_kind(kind: str) -> None:
    values = {"i1": "true, false, true", "i8": "-128, 0, 127", "i64": "-9223372036854775808, 5, 1"}
    text = values.get(kind, "0.5, -2.0, 1.5")
    body = f"%r = arith.constant dense<[{text}]> : tensor<3x{kind}>"
    found = value(function("", f"tensor<3x{kind}>", body))
    expected = [{"true": True, "false": False}.get(t) for t in text.split(", ")]
    numbers = [float(t) if "." in t else int(t) for t in text.split(", ")] if expected[0] is None else expected
    assert found.tolist() == numbers


@pytest.mark.parametrize(
    ("tiles", "outer", "shape"),
    [((4, 2), (0, 1), (2, 4, 4, 2)), ((4, 2), (1, 0), (4, 2, 4, 2)), ((8, 8), (0, 1), (1, 1, 8, 8))],
)
def test_pack_and_back(tiles: tuple[int, int], outer: tuple[int, int], shape: tuple[int, ...]) -> None:
    packed = f"tensor<{'x'.join(map(str, shape))}xf32>"
    words = f"outer_dims_perm = [{outer[0]}, {outer[1]}] inner_dims_pos = [0, 1] inner_tiles = [{tiles[0]}, {tiles[1]}]"
    pack = f"""
  %e = tensor.empty() : {packed}
  %r = linalg.pack %a padding_value(%zero : f32) {words} into %e : !8x8xf32 -> {packed}"""
    a = normal(8, 8)
    found = value(function("%a: !8x8xf32", packed, pack), a)
    tiled = a.reshape(8 // tiles[0], tiles[0], 8 // tiles[1], tiles[1]).transpose(0, 2, 1, 3)
    expected = tiled.transpose(*[outer.index(d) for d in (0, 1)], 2, 3)
    assert np.array_equal(found, expected)
    back = f"""
  %e = tensor.empty() : !8x8xf32
  %r = linalg.unpack %a {words} into %e : {packed} -> !8x8xf32"""
    assert np.array_equal(value(function(f"%a: {packed}", "!8x8xf32", back), expected), a)


def test_pack_pads_what_does_not_fit() -> None:
    pack = """
  %e = tensor.empty() : !2x4xf32
  %r = linalg.pack %a padding_value(%zero : f32) inner_dims_pos = [0] inner_tiles = [4] into %e : !5xf32 -> !2x4xf32"""
    a = normal(5)
    assert np.array_equal(value(function("%a: !5xf32", "!2x4xf32", pack), a), np.pad(a, (0, 3)).reshape(2, 4))


def test_loops_and_branches_around_tensors() -> None:
    body = """
  %c3 = arith.constant 3 : index
  %n = scf.for %i = %c0 to %c3 step %c1 iter_args(%t = %a) -> (!4xf32) {
    %s = arith.addf %t, %a : !4xf32
    scf.yield %s : !4xf32
  }
  %y = arith.cmpi sgt, %c2, %c1 : index
  %r = scf.if %y -> (!4xf32) {
    scf.yield %n : !4xf32
  } else {
    scf.yield %a : !4xf32
  }"""
    a = normal(4)
    assert np.array_equal(value(function("%a: !4xf32", "!4xf32", body), a), 4 * a.astype(float))


def test_maps_with_floor_division_and_remainder() -> None:
    maps = "affine_map<(i) -> (i floordiv 3, i mod 3)>, affine_map<(i) -> (i)>"
    body = "%e = tensor.empty() : !6xf32" + generic(
        "%r", maps, "p", "%a", "!2x3xf32", "%e", "!6xf32", "\n    linalg.yield %x : f32", "%x: f32, %o: f32"
    )
    a = normal(2, 3)
    assert np.array_equal(value(function("%a: !2x3xf32", "!6xf32", body), a), a.ravel())


def test_a_reversed_read() -> None:
    maps = "affine_map<(i) -> (-i + 5)>, affine_map<(i) -> (i)>"
    body = "%e = tensor.empty() : !6xf32" + generic(
        "%r", maps, "p", "%a", "!6xf32", "%e", "!6xf32", "\n    linalg.yield %x : f32", "%x: f32, %o: f32"
    )
    a = normal(6)
    assert np.array_equal(value(function("%a: !6xf32", "!6xf32", body), a), a[::-1])


def test_affine_scalars_and_scf_if_in_a_region() -> None:
    region = """
    %i = linalg.index 0 : index
    %j = affine.apply affine_map<(d) -> (d * 2 + 1)>(%i)
    %m = affine.min affine_map<(d) -> (d, 5)>(%j)
    %n = arith.index_cast %m : index to i32
    %f = arith.sitofp %n : i32 to f32
    %b = arith.cmpf ogt, %x, %zero : f32
    %y = scf.if %b -> (f32) {
      %t = arith.mulf %x, %f : f32
      scf.yield %t : f32
    } else {
      scf.yield %f : f32
    }
    linalg.yield %y : f32"""
    maps = "affine_map<(i) -> (i)>, affine_map<(i) -> (i)>"
    body = "%e = tensor.empty() : !6xf32" + generic(
        "%r", maps, "p", "%a", "!6xf32", "%e", "!6xf32", region, "%x: f32, %o: f32"
    )
    a = normal(6)
    f = np.minimum(np.arange(6) * 2 + 1, 5)
    assert np.array_equal(value(function("%a: !6xf32", "!6xf32", body), a), np.where(a > 0, a.astype(float) * f, f))


def test_gather_outside_of_the_tensor_is_unknown() -> None:
    region = """
    %j = arith.index_cast %x : i32 to index
    %y = tensor.extract %t[%j] : !4xf32
    linalg.yield %y : f32"""
    maps = "affine_map<(i) -> (i)>, affine_map<(i) -> (i)>"
    body = "%e = tensor.empty() : !3xf32" + generic(
        "%r", maps, "p", "%a", "!3xi32", "%e", "!3xf32", region, "%x: i32, %o: f32"
    )
    t = normal(4)
    (found,) = evaluate(function("%a: !3xi32, %t: !4xf32", "!3xf32", body), np.array([3, 0, 4], np.int32), t)
    assert found.value[:2].tolist() == [t[3], t[0]] and found.error.tolist() == [0.0, 0.0, np.inf]


def test_elements_that_nobody_wrote_are_unknown() -> None:
    body = "%e = tensor.empty() : !4xf32\n  %r = tensor.insert_slice %a into %e[1] [2] [1] : !2xf32 into !4xf32"
    (found,) = evaluate(function("%a: !2xf32", "!4xf32", body), normal(2))
    assert found.error.tolist() == [np.inf, 0.0, 0.0, np.inf]


def test_softmax_of_rows_and_columns() -> None:
    a = normal(5, 7) * 10
    for axis in (0, 1):
        body = f"""
  %e = tensor.empty() : !5x7xf32
  %r = linalg.softmax dimension({axis}) ins(%a : !5x7xf32) outs(%e : !5x7xf32) -> !5x7xf32"""
        (found,) = evaluate(function("%a: !5x7xf32", "!5x7xf32", body), a)
        powers = np.exp(a.astype(float))
        expected = powers / powers.sum(axis=axis, keepdims=True)
        np.testing.assert_allclose(found.value, expected, rtol=1e-13)
        single = np.exp(a - a.max(axis=axis, keepdims=True))
        single = single / single.sum(axis=axis, keepdims=True, dtype=np.float32)
        assert np.all(np.abs(single - expected) <= found.error)
        assert np.all(found.error < 1e-4)


@pytest.mark.parametrize(
    ("sizes", "shape", "kept"),
    [([1, 4, 1, 4], [4, 1, 4], [1, 2, 3]), ([1, 1, 4], [1, 4], [0, 2]), ([3, 1], [3], [0]), ([2, 2], [2, 2], [0, 1])],
)
def test_which_dimensions_a_slice_keeps(sizes: list[int], shape: list[int], kept: list[int]) -> None:
    assert kept_dimensions(sizes, shape) == kept


def test_an_unknown_operation_is_named() -> None:
    body = """
  %m = bufferization.alloc_tensor() : !4xf32
  %r = arith.addf %a, %m : !4xf32"""
    with pytest.raises(Unsupported) as caught:
        value(function("%a: !4xf32", "!4xf32", body), normal(4))
    assert caught.value.operation == "bufferization.alloc_tensor"
    assert str(caught.value) == (
        "f: no golden: bufferization.alloc_tensor is not known to the evaluator\n"
        "  next:      compile without the option that brings it in, or report it"
    )


def test_wrong_arguments_are_refused() -> None:
    text = function("%a: !4xf32", "!4xf32", "%r = arith.addf %a, %a : !4xf32")
    wrong: list[tuple[Array, ...]] = [(), (normal(4, dtype=np.float16),), (normal(2, 2),)]
    for arguments in wrong:
        with parsed(text) as op, pytest.raises(UsageError):
            evaluate_function(op, arguments)


def test_filled_tensors_are_never_laid_out() -> None:
    """A tensor too large for memory costs nothing as long as few of its elements are read."""
    body = (
        filled("!100000x100000xf32")
        + "\n  %r = tensor.extract_slice %init[0, 5] [2, 2] [1, 1] : !100000x100000xf32 to !2x2xf32"
    )
    assert value(function("", "!2x2xf32", body)).tolist() == [[0.0, 0.0], [0.0, 0.0]]
