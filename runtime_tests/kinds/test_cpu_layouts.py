"""Placement of the operands of CPU kernels: offsets, shared bindings, windows, strides; for every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from runtime_tests.kinds.programs import (
    CPU_KINDS,
    MARK,
    MATMUL_DEFINITION,
    KernelFolder,
    Operand,
    floats,
    matmul_operands,
    matmul_text,
    pointwise,
    run,
    subtraction,
)
from substitute.errors import PlanError
from substitute.pipeline import compile_model

pytestmark = pytest.mark.device

CHAIN = """
func.func @main(%a: tensor<24x32xf32>, %b: tensor<32x16xf32>, %c: tensor<16x40xf32>, %d: tensor<40x8xf32>)
    -> tensor<24x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<24x16xf32>
  %i0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<24x16xf32>) -> tensor<24x16xf32>
  %ab = linalg.matmul ins(%a, %b : tensor<24x32xf32>, tensor<32x16xf32>)
                      outs(%i0 : tensor<24x16xf32>) -> tensor<24x16xf32>
  %e1 = tensor.empty() : tensor<16x8xf32>
  %i1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<16x8xf32>) -> tensor<16x8xf32>
  %cd = linalg.matmul ins(%c, %d : tensor<16x40xf32>, tensor<40x8xf32>)
                      outs(%i1 : tensor<16x8xf32>) -> tensor<16x8xf32>
  %e2 = tensor.empty() : tensor<24x8xf32>
  %i2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<24x8xf32>) -> tensor<24x8xf32>
  %r = linalg.matmul ins(%ab, %cd : tensor<24x16xf32>, tensor<16x8xf32>)
                     outs(%i2 : tensor<24x8xf32>) -> tensor<24x8xf32>
  return %r : tensor<24x8xf32>
}
"""


def matmul_folder(kind: str = "llvm-ir", **keys: object) -> KernelFolder:
    return KernelFolder(
        matmul_text(),
        kind=kind,
        definition=MATMUL_DEFINITION,
        operands=matmul_operands(),
        workgroup_count=("M", "1", "1"),
        keys=keys,
    )


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_one_payload_in_three_dispatches_that_share_a_buffer(tmp_path: Path, kind: str) -> None:
    """The last product reads two intermediate results at different offsets of one binding."""
    a, b, c, d = floats(24, 32), floats(32, 16), floats(16, 40), floats(40, 8)
    kernel = matmul_folder(kind).write(tmp_path / "kernel")
    (found,) = run(tmp_path, CHAIN, [kernel], [a, b, c, d], substituted=3)
    np.testing.assert_allclose(found, (a @ b + MARK) @ (c @ d + MARK) + MARK, rtol=1e-4, atol=1e-3)


SUBTRACT_DEFINITION = f"""
func.func @subtract(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %a, %c1 : tensor<?x?xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %r = {subtraction("%a", "%b", "?x?")}
  return %r : tensor<?x?xf32>
}}
"""


def subtract_operands(*, strided: bool) -> tuple[Operand, ...]:
    return tuple(Operand(name, "MN", strided=strided) for name in "abc")


def subtract_folder(*, strided: bool, kind: str = "llvm-ir") -> KernelFolder:
    operands = subtract_operands(strided=strided)
    text = pointwise(operands, lambda b, v: b.fadd(b.fsub(v[0], v[1]), ir.FloatType()(MARK)))
    return KernelFolder(text, kind=kind, definition=SUBTRACT_DEFINITION, operands=operands)


SLICES = f"""
func.func @main(%a: tensor<20x30xf32>, %b: tensor<20x30xf32>) -> tensor<8x12xf32> {{
  %x = tensor.extract_slice %a[2, 3] [8, 12] [2, 2] : tensor<20x30xf32> to tensor<8x12xf32>
  %y = tensor.extract_slice %b[4, 1] [8, 12] [1, 1] : tensor<20x30xf32> to tensor<8x12xf32>
  %e = tensor.empty() : tensor<8x12xf32>
  %r = {subtraction("%x", "%y", "8x12")}
  return %r : tensor<8x12xf32>
}}
"""


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_strided_windows_of_two_inputs(tmp_path: Path, kind: str) -> None:
    """IREE binds b before a here: an order by binding would turn the sign."""
    a, b = floats(20, 30), floats(20, 30, seed=4)
    kernel = subtract_folder(strided=True, kind=kind).write(tmp_path / "kernel")
    (found,) = run(tmp_path, SLICES, [kernel], [a, b])
    np.testing.assert_allclose(found, a[2:18:2, 3:27:2] - b[4:12, 1:13] + MARK, rtol=1e-6)


def test_a_kernel_for_plain_rows_does_not_get_windows(tmp_path: Path) -> None:
    kernel = subtract_folder(strided=False).write(tmp_path / "kernel")
    model = tmp_path / "model.mlir"
    model.write_text(SLICES)
    with pytest.raises(PlanError) as caught:
        compile_model(model, kernels=[kernel], builtin=False, require=["marked"])
    assert "layout." in caught.value.found
    assert "row-major, no gaps" in caught.value.expected
