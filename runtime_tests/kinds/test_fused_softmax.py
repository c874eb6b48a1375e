"""The built-in softmax takes what IREE fuses in front of a softmax."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from substitute.device import Session
from substitute.match.planner import decide
from substitute.payload.build import accepts
from substitute.pipeline import compile_model

pytestmark = pytest.mark.device

MODEL = """
func.func @main(%x: tensor<8xROWxf32>, %k: tensor<8xROWxf32>) -> tensor<8xROWxf32> {
  %e = tensor.empty() : tensor<8xROWxf32>
  %a = arith.addf %x, %k : tensor<8xROWxf32>
  %y = linalg.softmax dimension(1) ins(%a : tensor<8xROWxf32>) outs(%e : tensor<8xROWxf32>) -> tensor<8xROWxf32>
  return %y : tensor<8xROWxf32>
}
"""


# rows of 3000 leave no room for their exponentials beside them
@pytest.mark.parametrize("row", [48, 3000])
def test_a_softmax_with_a_mask(tmp_path: Path, row: int) -> None:
    (tmp_path / "model.mlir").write_text(MODEL.replace("ROW", str(row)))
    flags = ["--iree-hal-target-device=local", "--iree-opt-level=O2"]
    result = compile_model(tmp_path / "model.mlir", flags=flags, check=False)
    assert [s.kernel.name for s in result.plan.substitutions] == ["softmax"]
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8, row)).astype(np.float32)
    k = np.where(rng.random((8, row)) < 0.3, -np.inf, 0).astype(np.float32)
    with Session(result.vmfb, device="local-task") as session:
        (found,) = session.call(None, [x, k])
    e = np.exp((x + k).astype(np.float64) - (x + k).max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, e / e.sum(axis=1, keepdims=True), rtol=2e-6, atol=1e-12)
    # code without the slot for a prologue would leave the mask out
    (taken,) = result.plan.substitutions
    bare = replace(taken.kernel, slots=frozenset({"epilogue"}))
    assert decide(bare, taken.dispatch, accepts).rules[-1].name == "structure.cores"
