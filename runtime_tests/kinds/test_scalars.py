"""Scalars that are no indices: numbers of every type in push constants, and elements of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from runtime_tests.kinds.programs import floats
from substitute.device import Session
from substitute.pipeline import CompileResult, compile_model

pytestmark = pytest.mark.device

Array = np.ndarray[Any, Any]
GEMM = """
func.func @gemm(%x: tensor<12x8xf32>, %w: tensor<8x16xf32>, %s: f32) -> tensor<12x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<12x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<12x16xf32>) -> tensor<12x16xf32>
  %m = linalg.matmul ins(%x, %w : tensor<12x8xf32>, tensor<8x16xf32>) outs(%f : tensor<12x16xf32>) -> tensor<12x16xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>,
      affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%m, %s : tensor<12x16xf32>, f32) outs(%e : tensor<12x16xf32>) {
  ^bb0(%a: f32, %t: f32, %o: f32):
    %p = arith.mulf %a, %t : f32
    linalg.yield %p : f32
  } -> tensor<12x16xf32>
  return %r : tensor<12x16xf32>
}
"""
SCALE = """
func.func @scaled_by_an_element(%x: tensor<40xf32>, %t: tensor<5xf32>) -> tensor<40xf32> {
  %c3 = arith.constant 3 : index
  %e = tensor.empty() : tensor<40xf32>
  %s = tensor.extract %t[%c3] : tensor<5xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<40xf32>) outs(%e : tensor<40xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.divf %a, %s : f32
    linalg.yield %p : f32
  } -> tensor<40xf32>
  return %r : tensor<40xf32>
}
"""


def pointwise(name: str, scalar: str, body: str, element: str = "f32") -> str:
    return f"""
func.func @{name}(%x: tensor<40x{element}>, %s: {scalar}) -> tensor<40x{element}> {{
  %e = tensor.empty() : tensor<40x{element}>
  %r = linalg.generic {{
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}}
      ins(%x : tensor<40x{element}>) outs(%e : tensor<40x{element}>) {{
  ^bb0(%a: {element}, %o: {element}):
    {body}
    linalg.yield %p : {element}
  }} -> tensor<40x{element}>
  return %r : tensor<40x{element}>
}}
"""


X = floats(40)
MATRIX, WEIGHTS = floats(12, 8), floats(8, 16, seed=5)
CASES: dict[str, tuple[str, list[Any], Array]] = {
    "gemm": (GEMM, [MATRIX, WEIGHTS, np.float32(-0.3)], MATRIX @ WEIGHTS * np.float32(-0.3)),
    "scaled_by_an_element": (SCALE, [X, np.arange(5, dtype=np.float32)], X / np.float32(3)),
    "half": (
        pointwise("half", "f16", "%p = arith.mulf %a, %s : f16", "f16"),
        [X.astype(np.float16), np.float16(0.7)],
        X.astype(np.float16) * np.float16(0.7),
    ),
    "brain": (
        pointwise("brain", "bf16", "%q = arith.extf %s : bf16 to f32\n%p = arith.addf %a, %q : f32"),
        [X, ml_dtypes.bfloat16(0.7)],
        X + np.float32(ml_dtypes.bfloat16(0.7)),
    ),
    "word": (
        pointwise("word", "i32", "%q = arith.sitofp %s : i32 to f32\n%p = arith.addf %a, %q : f32"),
        [X, np.int32(-7)],
        X - 7,
    ),
    "long": (
        pointwise("long", "i64", "%q = arith.sitofp %s : i64 to f32\n%p = arith.mulf %a, %q : f32"),
        [X, np.int64(-(2**33))],
        X * np.float32(-(2**33)),
    ),
    "byte": (
        pointwise("byte", "i8", "%p = arith.addi %a, %s : i8", "i8"),
        [np.arange(40, dtype=np.int8), np.int8(-7)],
        np.arange(40, dtype=np.int8) - np.int8(7),
    ),
    "truth": (
        pointwise("truth", "i1", "%q = arith.negf %a : f32\n%p = arith.select %s, %a, %q : f32"),
        [X, np.bool_(False)],
        -X,
    ),
}
DOUBLE = pointwise("double", "f64", "%p = arith.mulf %a, %s : f64", "f64")


def compiled(folder: Path, text: str, *flags: str) -> CompileResult:
    path = folder / "model.mlir"
    path.write_text(text)
    return compile_model(path, flags=flags)


@pytest.mark.parametrize("device", ["local-sync", "vulkan"])
def test_scalars_of_every_type(tmp_path: Path, device: str) -> None:
    flags = ("--iree-hal-target-device=vulkan",) if device == "vulkan" else ()
    result = compiled(tmp_path, "".join(text for text, _, _ in CASES.values()), *flags)
    assert [s.dispatch.reason for s in result.plan.substitutions] == [""] * len(CASES), "all are taken"
    with Session(result.vmfb, device=device) as session:
        for name, (_, inputs, expected) in CASES.items():
            (found,) = session.call(name, inputs)
            np.testing.assert_allclose(
                found.astype(float),
                expected.astype(float),
                rtol=1e-3 if name == "half" else 1e-5,
                atol=1e-6,
                err_msg=name,
            )


def test_a_double_in_two_push_constants(tmp_path: Path) -> None:
    result = compiled(tmp_path, DOUBLE, "--iree-input-demote-f64-to-f32=false")
    assert len(result.plan.substitutions) == 1
    with Session(result.vmfb, device="local-sync") as session:
        (found,) = session.call("double", [X.astype(float), np.float64(1 / 3)])
    np.testing.assert_array_equal(found, X.astype(float) * (1 / 3))
