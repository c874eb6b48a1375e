"""The commands of the README work, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from substitute.cli.scaffold import scaffold

pytestmark = [pytest.mark.compile, pytest.mark.device]
README = (Path(__file__).parents[1] / "README.md").read_text()
TARGET = (
    "--iree-hal-target-device=local --iree-hal-local-target-device-backends=llvm-cpu --iree-llvmcpu-target-cpu=host"
)
"""Flags that `…` abbreviates in the line for iree-compile."""
NOT_RUN = (". .venv/bin/activate", "make demo", "make test")
"""The environment is this one; the demo's test is `device/test_magika_demo.py`, and `make test` runs this file."""
MODEL = """
func.func @main(%a: tensor<4x64xf32>) -> tensor<4x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = tensor.empty() : tensor<64x4xf32>
  %b = linalg.transpose ins(%a : tensor<4x64xf32>) outs(%t : tensor<64x4xf32>) permutation = [1, 0]
  %c = linalg.matmul ins(%a, %b : tensor<4x64xf32>, tensor<64x4xf32>) outs(%i : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %c : tensor<4x4xf32>
}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every line after a `$`, without its comment."""
    lines = [line for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*$", "", line).removeprefix("$ ") for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's files: a model twice, an input, and a folder of kernels."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "model.mlir").write_text(MODEL)
    weights = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "main",
        [helper.make_tensor_value_info("a", kind, [4, 64])],
        [helper.make_tensor_value_info("c", kind, [4, 256])],
        [onnx.numpy_helper.from_array(weights, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / "model.onnx")
    np.save(folder / "input.npy", np.ones((4, 64), np.float32))
    kernel = folder / "my_kernels"
    kernel.mkdir()
    for name, text in scaffold("llvm-generator", "mine", "mine").items():
        (kernel / name).write_text(text)
    return folder


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [c for c in commands() if c not in NOT_RUN])
def test_a_command(command: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if "vulkan" in command:
        request.getfixturevalue("vulkan_device")
    done = typed(command.replace("…", TARGET), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_python_example(folder: Path) -> None:
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(main_dispatch_0_\w+ ← (mine|matmul)\n)", done.stdout), done.stdout


def test_a_command_that_is_wrong_is_seen(folder: Path) -> None:
    done = typed("iree-substitute compile model.onnx -o model.vmfb --require nothing_like_it", folder)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(commands()) > len(NOT_RUN) + 10, "the commands are found"
