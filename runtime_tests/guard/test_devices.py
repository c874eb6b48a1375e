"""The check on other devices than the CPU: a planted fault is an error there, and the same kernel without it passes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from substitute import compile_model
from substitute.cli.scaffold import scaffold
from substitute.errors import ValidationError

pytestmark = [pytest.mark.compile, pytest.mark.device]

SOFTMAX = Path(__file__).parents[2] / "ptx_blobs" / "softmax"
MATMUL_MODEL = """
func.func @main(%a: tensor<17x24xf32>, %b: tensor<24x32xf32>) -> tensor<17x32xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<17x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<17x32xf32>) -> tensor<17x32xf32>
  %c = linalg.matmul ins(%a, %b : tensor<17x24xf32>, tensor<24x32xf32>)
                     outs(%init : tensor<17x32xf32>) -> tensor<17x32xf32>
  return %c : tensor<17x32xf32>
}
"""
SOFTMAX_MODEL = """
func.func @main(%a: tensor<16x17xf32>) -> tensor<16x17xf32> {
  %empty = tensor.empty() : tensor<16x17xf32>
  %r = linalg.softmax dimension(1) ins(%a : tensor<16x17xf32>) outs(%empty : tensor<16x17xf32>) -> tensor<16x17xf32>
  return %r : tensor<16x17xf32>
}
"""


def write_glsl(folder: Path, *, faulty: bool) -> None:
    for name, text in scaffold("glsl", "own", "own").items():
        changed = text.replace("k < K;", "k < K - 1;") if faulty and name == "kernel.comp" else text
        (folder / name).write_text(changed)


def write_ptx(folder: Path, *, faulty: bool) -> None:
    shutil.copytree(SOFTMAX, folder, dirs_exist_ok=True)
    text = (folder / "kernel.ptx").read_text()
    (folder / "kernel.ptx").write_text(text.replace("max.f32", "min.f32") if faulty else text)


@pytest.mark.parametrize(
    ("device", "fixture", "model", "write"),
    [("vulkan", "vulkan_device", MATMUL_MODEL, write_glsl), ("cuda", "cuda_sim", SOFTMAX_MODEL, write_ptx)],
)
def test_a_planted_fault_is_found(
    device: str,
    fixture: str,
    model: str,
    write: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue(fixture)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "model.mlir"
    source.write_text(model)
    flags = [f"--iree-hal-target-device={device}", *(["--iree-cuda-target=sm_80"] if device == "cuda" else [])]
    for faulty in (False, True):
        kernel = tmp_path / f"kernel{faulty:d}"
        kernel.mkdir()
        write(kernel, faulty=faulty)  # type: ignore[operator]
        if faulty:
            with pytest.raises(ValidationError, match="computes something else than the dispatch that it takes"):
                compile_model(source, kernels=[kernel], builtin=False, flags=flags, check=True)
        else:
            result = compile_model(source, kernels=[kernel], builtin=False, flags=flags, check=True)
            (checked,) = result.checked
            assert checked.verdict.outcome in ("right", "slower"), checked.verdict
            assert checked.verdict.device.startswith(device)
