"""The shipped PTX inside of whole models: a transformer compiled for CUDA, each dispatch and all of it judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.models import Model
from runtime_tests.ptx_blobs.programs import BLOBS, CUDA, Built, normal
from substitute.cli.main import main
from substitute.device import Session
from substitute.pipeline import compile_model

pytestmark = pytest.mark.device

# attention as torch writes it out, then RMS norm: what a block of a language model is made of
BLOCK = """
func.func @main(%q: tensor<2x40x32xf32>, %k: tensor<2x32x40xf32>, %v: tensor<2x40x32xf32>) -> tensor<2x40x32xf32> {
  %zero = arith.constant 0.0 : f32
  %es = tensor.empty() : tensor<2x40x40xf32>
  %is = linalg.fill ins(%zero : f32) outs(%es : tensor<2x40x40xf32>) -> tensor<2x40x40xf32>
  %s = linalg.batch_matmul ins(%q, %k : tensor<2x40x32xf32>, tensor<2x32x40xf32>)
                           outs(%is : tensor<2x40x40xf32>) -> tensor<2x40x40xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<2x40x40xf32>) outs(%es : tensor<2x40x40xf32>) -> tensor<2x40x40xf32>
  %eo = tensor.empty() : tensor<2x40x32xf32>
  %io = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x40x32xf32>) -> tensor<2x40x32xf32>
  %o = linalg.batch_matmul ins(%p, %v : tensor<2x40x40xf32>, tensor<2x40x32xf32>)
                           outs(%io : tensor<2x40x32xf32>) -> tensor<2x40x32xf32>
  return %o : tensor<2x40x32xf32>
}
"""


def test_attention_in_three_kernels(tmp_path: Path, cuda_sim: str) -> None:
    """All dispatches of the module are hand-written PTX: no code of IREE's is left in it."""
    built = Built(tmp_path, BLOCK)
    assert built.kernels == ["cuda_matmul_f32", "cuda_softmax", "cuda_matmul_f32"] and built.dispatches == 3
    q, k, v = normal(2, 40, 32), normal(2, 32, 40, seed=1), normal(2, 40, 32, seed=2)
    (found,) = built.run(cuda_sim, q, k, v)
    scores = q.astype(np.float64) @ k
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(found, powers / powers.sum(axis=-1, keepdims=True) @ v, atol=2e-5)


@pytest.mark.parametrize(("kernels", "taken"), [(["--kernels", "builtin:ptx_blobs"], "3 of 3"), ([], "0 of 3")])
def test_what_is_taken_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kernels: list[str], taken: str
) -> None:
    model = tmp_path / "block.mlir"
    model.write_text(BLOCK)
    target = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
    assert main(["inspect", str(model), *target, *kernels]) == 0
    assert f"{taken} dispatches have a kernel" in capsys.readouterr().out


def test_a_transformer(tmp_path: Path, cuda_sim: str, make_model: Callable[[str], Model]) -> None:
    """An ONNX model compared with onnxruntime: kernels, and IREE's code around them."""
    model = make_model("transformer")
    result = compile_model(model.path, flags=CUDA, kernels=[Path("builtin:ptx_blobs")], builtin=False)
    names = {s.kernel.name for s in result.plan.substitutions}
    assert names and names <= {f"cuda_{path.parent.name}" for path in BLOBS.glob("*/kernel.toml")}
    with Session(result.vmfb, device=cuda_sim) as session:
        found = session.call(session.function().name, model.inputs)
    for one, expected in zip(found, model.expected, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)
