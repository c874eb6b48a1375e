"""Fourier and Winograd transforms, top-k and mapped copies of `iree_linalg_ext`, compared with NumPy and IREE's own
code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from runtime_tests.golden.functions import Array, evaluate, normal, value
from substitute.errors import SubstituteError
from substitute.golden.transforms import winograd_matrices
from substitute.validate.audit import Prepared, judge_subjects, prepare_audit

unit = pytest.mark.unit


def fft_text(size: int, stage: int, coefficients: bool = False) -> str:
    """One stage over rows of `size`."""
    half, row = f"tensor<{1 << (stage - 1)}xf32>", f"tensor<3x{size}xf32>"
    given, extra, types = (f", %p: {half}, %q: {half}", ", %p, %q", f", {half}, {half}") if coefficients else ("",) * 3
    return f"""
func.func @fft(%a: {row}, %b: {row}{given}) -> ({row}, {row}) {{
  %s = arith.constant {stage} : index
  %r:2 = iree_linalg_ext.fft ins(%s{extra} : index{types}) outs(%a, %b : {row}, {row}) : {row}, {row}
  return %r#0, %r#1 : {row}, {row}
}}"""


def coefficients(stage: int) -> list[Array]:
    turn = np.exp(-2j * np.pi * np.arange(1 << (stage - 1)) / (1 << stage))
    return [turn.real.astype(np.float32), turn.imag.astype(np.float32)]


@unit
@pytest.mark.parametrize("given", [False, True])
def test_all_stages_are_a_fourier_transform(given: bool) -> None:
    real, imaginary = normal(3, 16), normal(3, 16, seed=1)
    expected = np.fft.fft(real.astype(float) + 1j * imaginary)
    reversed_bits = [int(f"{i:04b}"[::-1], 2) for i in range(16)]
    parts: list[Array] = [real[:, reversed_bits], imaginary[:, reversed_bits]]
    for stage in range(1, 5):
        found = evaluate(fft_text(16, stage, given), *parts, *(coefficients(stage) if given else []))
        assert all(np.all((f.error > 0) & (f.error < 1e-5)) for f in found)
        parts = [f.value.astype(np.float32) for f in found]
    np.testing.assert_allclose(parts[0] + 1j * parts[1], expected, atol=1e-5)


WINOGRAD = """
func.func @input(%x: tensor<1x10x13x2xf32>) -> tensor<8x8x1x2x2x2xf32> {
  %e = tensor.empty() : tensor<8x8x1x2x2x2xf32>
  %r = iree_linalg_ext.winograd.input_transform output_tile_size(6) kernel_size(3) image_dimensions([1, 2])
      ins(%x : tensor<1x10x13x2xf32>) outs(%e : tensor<8x8x1x2x2x2xf32>) -> tensor<8x8x1x2x2x2xf32>
  return %r : tensor<8x8x1x2x2x2xf32>
}
func.func @filter(%x: tensor<3x3x2x4xf32>) -> tensor<8x8x2x4xf32> {
  %e = tensor.empty() : tensor<8x8x2x4xf32>
  %r = iree_linalg_ext.winograd.filter_transform output_tile_size(6) kernel_size(3) kernel_dimensions([0, 1])
      ins(%x : tensor<3x3x2x4xf32>) outs(%e : tensor<8x8x2x4xf32>) -> tensor<8x8x2x4xf32>
  return %r : tensor<8x8x2x4xf32>
}
func.func @output(%x: tensor<8x8x1x2x2x4xf32>) -> tensor<1x12x12x4xf32> {
  %e = tensor.empty() : tensor<1x12x12x4xf32>
  %r = iree_linalg_ext.winograd.output_transform output_tile_size(6) kernel_size(3) image_dimensions([1, 2])
      ins(%x : tensor<8x8x1x2x2x4xf32>) outs(%e : tensor<1x12x12x4xf32>) -> tensor<1x12x12x4xf32>
  return %r : tensor<1x12x12x4xf32>
}
"""
CHANNELS_FIRST = {
    "input": ("1x10x13x2", "1x2x10x13", "image_dimensions([1, 2])", "image_dimensions([2, 3])"),
    "filter": ("3x3x2x4", "4x2x3x3", "kernel_dimensions([0, 1])", "kernel_dimensions([2, 3])"),
    "output": ("1x12x12x4", "1x4x12x12", "image_dimensions([1, 2])", "image_dimensions([2, 3])"),
}


def winograd(name: str, *, first: bool = False) -> str:
    """One of the three transforms; `first`: channels before rows and columns."""
    text = "func.func @" + next(f for f in WINOGRAD.split("func.func @") if f.startswith(name))
    if first:
        for old, new in zip(CHANNELS_FIRST[name][::2], CHANNELS_FIRST[name][1::2], strict=True):
            text = text.replace(old, new)
    return text


@unit
@pytest.mark.parametrize("first", [False, True])
def test_the_three_transforms_are_a_convolution(first: bool) -> None:
    image, kernel = normal(1, 10, 13, 2), normal(3, 3, 2, 4, seed=1)
    images, kernels = (image.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)) if first else (image, kernel)
    a = value(winograd("input", first=first), images)
    b = value(winograd("filter", first=first), kernels)
    product = np.einsum("xynhwc,xycf->xynhwf", a, b)
    found = value(winograd("output", first=first), product.astype(np.float32))
    result = found.transpose(0, 2, 3, 1) if first else found
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(float), (3, 3), axis=(1, 2))
    expected = np.einsum("nhwcij,ijcf->nhwf", windows, kernel.astype(float))
    np.testing.assert_allclose(result[:, :8, :11], expected, atol=1e-3)


@unit
def test_the_matrices_give_a_convolution_of_one_dimension_exactly() -> None:
    a, g, b = winograd_matrices()
    x, w = np.arange(8.0) ** 2, np.array([1.0, -2.0, 5.0])
    np.testing.assert_allclose(a @ ((g @ w) * (b @ x)), np.correlate(x, w), rtol=1e-12)


@unit
def test_another_tile_is_not_known() -> None:
    with pytest.raises(SubstituteError, match="a tile of 4"):
        value(winograd("filter").replace("size(6)", "size(4)").replace("8x8", "6x6"), normal(3, 3, 2, 4))


def topk_text(*, is_sorted: bool = True, places: bool = True, k: int = 3) -> str:
    v, w = f"tensor<4x{k}xf32>", f"tensor<4x{k}xi32>"
    return f"""
func.func @topk(%a: tensor<4x9xf32>) -> {f"({v}, {w})" if places else v} {{
  %low = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i32
  %e = tensor.empty() : {v}
  %v = linalg.fill ins(%low : f32) outs(%e : {v}) -> {v}
  %g = tensor.empty() : {w}
  %w = linalg.fill ins(%none : i32) outs(%g : {w}) -> {w}
  %r{":2" if places else ""} = iree_linalg_ext.topk_v2 dimension(1) {"is_sorted" if is_sorted else ""}
      ins(%a : tensor<4x9xf32>) outs(%v{", %w" if places else ""} : {v}{", " + w if places else ""}) {{
  ^bb0(%x: f32, %y: f32):
    %c = arith.cmpf ogt, %x, %y : f32
    iree_linalg_ext.yield %c : i1
  }} -> {v}{", " + w if places else ""}
  return {"%r#0, %r#1" if places else "%r"} : {v}{", " + w if places else ""}
}}"""


@unit
def test_topk_knows_the_places_of_elements_that_have_no_equal() -> None:
    a = normal(4, 9)
    a[1, [2, 5]] = 9.0
    values, places = evaluate(topk_text(), a)
    expected = np.argsort(-a, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(values.value, np.take_along_axis(a, expected, 1))
    np.testing.assert_array_equal(np.isinf(places.error), [[False] * 3, [True, True, False], *[[False] * 3] * 2])
    known = np.isfinite(places.error)
    np.testing.assert_array_equal(places.value[known], expected[known])
    np.testing.assert_array_equal(value(topk_text(places=False), a), values.value)


@unit
def test_topk_in_any_order_is_not_known() -> None:
    with pytest.raises(SubstituteError, match="any order"):
        value(topk_text(is_sorted=False, places=False), normal(4, 9))
    np.testing.assert_array_equal(
        value(topk_text(is_sorted=False, places=False, k=1), normal(4, 9))[:, 0], normal(4, 9).max(axis=1)
    )


MAPPED = """
func.func @load(%a: tensor<10xf32>) -> tensor<3x5xf32> {
  %p = arith.constant 7.0 : f32
  %e = tensor.empty() : tensor<3x5xf32>
  %r = iree_linalg_ext.map_load %a into %e {
  ^bb0(%i: index, %j: index):
    %l = affine.linearize_index [%i, %j] by (3, 5) : index
    iree_linalg_ext.yield %l, %p : index, f32
  } : tensor<10xf32> into tensor<3x5xf32> -> tensor<3x5xf32>
  return %r : tensor<3x5xf32>
}
func.func @store(%a: tensor<15xf32>, %b: tensor<4x5xf32>) -> tensor<4x5xf32> {
  %m = arith.constant 12 : index
  %r = iree_linalg_ext.map_store %a into %b {
  ^bb0(%i: index):
    %d:2 = affine.delinearize_index %i into (4, 5) : index, index
    %c = arith.cmpi ult, %i, %m : index
    iree_linalg_ext.yield %d#0, %d#1, %c : index, index, i1
  } : tensor<15xf32> into tensor<4x5xf32> -> tensor<4x5xf32>
  return %r : tensor<4x5xf32>
}
"""
LOAD, STORE = ("func.func @" + f for f in MAPPED.split("func.func @")[1:])


@unit
def test_mapped_copies() -> None:
    row, under = normal(15), normal(4, 5, seed=2)
    np.testing.assert_array_equal(value(LOAD, row[:10]).ravel(), [*row[:10], *[7.0] * 5])
    expected = under.ravel().copy()
    expected[:12] = row[:12]
    np.testing.assert_array_equal(value(STORE, row, under).ravel(), expected)
    outside = value(LOAD.replace("by (3, 5)", "by (3, 1000)"), row[:10])
    np.testing.assert_array_equal(outside, [[*row[:5]], [7.0] * 5, [7.0] * 5])


@unit
def test_where_two_elements_are_stored_nothing_is_known() -> None:
    twice = STORE.replace("%d#0, %d#1, %c :", "%d#0, %zero, %c :").replace(
        "%m = ", "%zero = arith.constant 0 : index\n  %m = "
    )
    (found,) = evaluate(twice, normal(15), normal(4, 5))
    np.testing.assert_array_equal(np.isinf(found.error).any(axis=1), [True, True, True, False])
    with pytest.raises(SubstituteError, match="outside of its tensor"):
        value(
            STORE.replace("%m = arith.constant 12", "%m = arith.constant 15").replace("into (4, 5)", "into (1, 2)"),
            normal(15),
            normal(4, 5),
        )


@unit
def test_positions_of_several_coordinates() -> None:
    text = """
func.func @f(%a: tensor<24xi32>) -> tensor<24xi32> {
  %e = tensor.empty() : tensor<24xi32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      outs(%e : tensor<24xi32>) {
  ^bb0(%o: i32):
    %i = linalg.index 0 : index
    %d:3 = affine.delinearize_index %i into (3, 4) : index, index, index
    %l = affine.linearize_index [%d#2, %d#0, %d#1] by (2, 3) : index
    %y = arith.index_cast %l : index to i32
    linalg.yield %y : i32
  } -> tensor<24xi32>
  return %r : tensor<24xi32>
}"""
    found = value(text, np.zeros(24, np.int32))
    outer, middle, inner = np.unravel_index(np.arange(24), (2, 3, 4))
    np.testing.assert_array_equal(found, np.ravel_multi_index((inner, outer, middle), (4, 2, 3)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    path = tmp_path_factory.mktemp("transforms") / "model.mlir"
    path.write_text(fft_text(16, 3, True) + WINOGRAD + topk_text() + MAPPED)
    return prepare_audit(model=path, device="local-sync", flags=(), seed=0, inputs=("normal",))


@pytest.mark.compile
@pytest.mark.device
def test_iree_agrees(prepared: Prepared) -> None:
    found = judge_subjects(module=prepared.module, subjects=prepared.subjects, device="local-sync")
    assert [(a.outcome, a.reason) for a in found] == [("right", "")] * 7


def planted(prepared: Prepared) -> Iterator[Prepared]:
    """Every dispatch with one element of a golden moved by more than rounding explains."""
    for subject in prepared.subjects:
        (case,) = subject.cases
        first = case.expected[0]
        values = first.values.copy()
        values.flat[3] += 0.5
        moved = replace(case, expected=(replace(first, values=values), *case.expected[1:]))
        yield replace(prepared, subjects=(replace(subject, cases=(moved,)),))


@pytest.mark.compile
@pytest.mark.device
def test_a_golden_that_is_wrong_is_noticed(prepared: Prepared) -> None:
    for wrong in planted(prepared):
        (found,) = judge_subjects(module=wrong.module, subjects=wrong.subjects, device="local-sync")
        assert found.outcome == "wrong", found.name
