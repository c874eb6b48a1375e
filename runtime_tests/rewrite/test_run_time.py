"""Constraints over sizes that are only known when the model runs: the kernel where they hold, IREE's code elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from substitute.cli.scaffold import scaffold
from substitute.device import Session
from substitute.pipeline import compile_model

pytestmark = [pytest.mark.compile, pytest.mark.device]

DYNAMIC = """
func.func @main(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%m, %n) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
"""
SIZES = ((4, 5, 16), (20, 3, 17), (13, 3, 32), (7, 100, 31), (1, 1, 1))


@pytest.mark.parametrize(
    "constraint",
    [
        "N % 16 == 0",
        "(M - 10) // 4 >= 0",
        "(M - 10) % 3 == 0",
        "max(M - 10, 3) == 3 and N != 32",
        "ceildiv(K - 50, 4) < 0",
        "not (N % 16 == 0 or M > 3 and K < 4)",
    ],
)
def test_who_computes(tmp_path: Path, constraint: str) -> None:
    """The kernel computes -a · b: the sign shows which code ran. The constraint has Python's semantics."""
    kernel = tmp_path / "kernel"
    kernel.mkdir()
    for name, text in scaffold("llvm-ir", "negative", "negative").items():
        text = text.replace('"N % 16 == 0", "K > 0 and N > 0"', f'"{constraint}"')
        (kernel / name).write_text(text.replace("%total = fadd contract", "%total = fsub contract"))
    model = tmp_path / "m.mlir"
    model.write_text(DYNAMIC)
    result = compile_model(model, kernels=[kernel], builtin=False, require=["negative"])
    assert result.plan.substitutions[0].match.fallback == (constraint,)
    random = np.random.default_rng(3)
    took: set[bool] = set()
    with Session(result.vmfb, device="local-task") as session:
        for m, k, n in SIZES:
            a, b = random.standard_normal((m, k)), random.standard_normal((k, n))
            (found,) = session.call(None, [a.astype(np.float32), b.astype(np.float32)])
            scope = {"M": m, "K": k, "N": n, "ceildiv": lambda p, q: -(-p // q), "max": max}
            holds = bool(eval(constraint, scope))
            np.testing.assert_allclose(found, -(a @ b) if holds else a @ b, rtol=1e-4, atol=1e-4)
            took.add(holds)
    assert took == {True, False}, "both were chosen"
