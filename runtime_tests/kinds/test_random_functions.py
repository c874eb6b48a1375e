"""Random functions with the built-in kernels: operands of every rank and map, constants, static and dynamic sizes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.random_functions import Function, difference, module_text, random_functions
from substitute.device import Session
from substitute.pipeline import CompileResult, compile_model

pytestmark = pytest.mark.device


def compiled(folder: Path, functions: list[Function], *flags: str) -> CompileResult:
    file = folder / "functions.mlir"
    file.write_text(module_text(functions))
    return compile_model(file, flags=flags)


def wrong_results(functions: list[Function], result: CompileResult, device: str) -> list[str]:
    """One line per function whose result is not its value, with the kernels in it."""
    kernels = {s.dispatch.name: s.kernel.name for s in result.plan.substitutions}
    wrong = []
    with Session(result.vmfb, device=device) as session:
        for function in functions:
            (found,) = session.call(function.name, function.inputs)
            if text := difference(function, found):
                taken = [kernel for name, kernel in kernels.items() if name.startswith(f"{function.name}_")]
                wrong.append(f"{function.name} ({function.kind}, {', '.join(taken) or 'IREE'}): {text}")
    return wrong


@pytest.mark.parametrize(
    ("device", "flags", "elements", "seed"),
    [
        ("local-sync", (), ("f32", "f32", "i32", "i8"), 41),
        # IREE's own code for Vulkan reads arrays of i8 of odd sizes wrong, so that nothing follows from such a result
        ("vulkan", ("--iree-hal-target-device=vulkan",), ("f32", "i32"), 42),
    ],
    ids=["cpu", "vulkan"],
)
def test_random_functions(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    device: str,
    flags: tuple[str, ...],
    elements: tuple[str, ...],
    seed: int,
) -> None:
    if device == "vulkan":
        device = request.getfixturevalue("vulkan_device")
    functions = random_functions(seed, 36, elements=elements, dynamic=0.5)
    result = compiled(tmp_path, functions, *flags)
    assert not wrong_results(functions, result, device), f"seed {seed}"
    taken = [(s.dispatch.name, s.kernel.name.removeprefix("vulkan_")) for s in result.plan.substitutions]
    kernels = Counter(kernel for _, kernel in taken)
    for function in functions:
        if function.kind in ("product", "convolution"):  # whichever sizes are open, and wherever they arrive
            assert (
                "matmul" in (own := [k for name, k in taken if name.startswith(f"{function.name}_")]) or "conv" in own
            )
    assert {"matmul", "conv", "softmax", "elementwise"} < set(kernels)
    ranks = {len(a.extents) for f in functions for a in f.arguments}
    assert {0, 1, 2, 3} <= ranks


def test_a_wrong_result_is_found() -> None:
    """Twin: one element that is one off, in each function."""
    for function in random_functions(7, 6):
        right = function.expected()
        assert not difference(function, right)
        wrong = right.copy()
        wrong.flat[-1] += 1
        assert difference(function, wrong), function.kind


SCALAR_AFTER_PRODUCT = """
func.func @product(%a: tensor<8x12xf32>, %b: tensor<12x16xf32>, %s: tensor<f32>) -> tensor<8x16xf32> {
  %c = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x16xf32>
  %z = linalg.fill ins(%c : f32) outs(%e : tensor<8x16xf32>) -> tensor<8x16xf32>
  %r = linalg.matmul ins(%a, %b : tensor<8x12xf32>, tensor<12x16xf32>) outs(%z : tensor<8x16xf32>) -> tensor<8x16xf32>
  %o = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]
    } ins(%r, %s : tensor<8x16xf32>, tensor<f32>) outs(%e: tensor<8x16xf32>) {
  ^bb0(%x: f32, %p: f32, %out: f32):
    %t = arith.addf %x, %x : f32
    %y = arith.mulf %p, %t : f32
    linalg.yield %y : f32
  } -> tensor<8x16xf32>
  return %o : tensor<8x16xf32>
}
func.func @convolution(%a: tensor<1x3x10x10xf32>, %b: tensor<16x3x3x3xf32>, %s: tensor<f32>) -> tensor<1x16x8x8xf32> {
  %c = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x16x8x8xf32>
  %z = linalg.fill ins(%c : f32) outs(%e : tensor<1x16x8x8xf32>) -> tensor<1x16x8x8xf32>
  %r = linalg.conv_2d_nchw_fchw ins(%a, %b : tensor<1x3x10x10xf32>, tensor<16x3x3x3xf32>)
      outs(%z : tensor<1x16x8x8xf32>) -> tensor<1x16x8x8xf32>
  %o = linalg.generic {
      indexing_maps = [affine_map<(n, c, i, j) -> (n, c, i, j)>, affine_map<(n, c, i, j) -> ()>,
                       affine_map<(n, c, i, j) -> (n, c, i, j)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]
    } ins(%r, %s : tensor<1x16x8x8xf32>, tensor<f32>) outs(%e: tensor<1x16x8x8xf32>) {
  ^bb0(%x: f32, %p: f32, %out: f32):
    %y = arith.mulf %p, %x : f32
    linalg.yield %y : f32
  } -> tensor<1x16x8x8xf32>
  return %o : tensor<1x16x8x8xf32>
}
"""


def test_a_scalar_operand_after_a_contraction_is_not_the_sum(tmp_path: Path) -> None:
    file = tmp_path / "scalar.mlir"
    file.write_text(SCALAR_AFTER_PRODUCT)
    result = compile_model(file)
    assert [s.kernel.name for s in result.plan.substitutions] == ["matmul", "conv"]
    ones = lambda *shape: np.ones(shape, np.float32)  # noqa: E731
    with Session(result.vmfb, device="local-sync") as session:
        (product,) = session.call("product", [ones(8, 12), ones(12, 16), np.float32(2).reshape(())])
        (convolution,) = session.call("convolution", [ones(1, 3, 10, 10), ones(16, 3, 3, 3), np.float32(2).reshape(())])
    np.testing.assert_array_equal(product, np.full((8, 16), 2 * 2 * 12, np.float32))
    np.testing.assert_array_equal(convolution, np.full((1, 16, 8, 8), 2 * 27, np.float32))
