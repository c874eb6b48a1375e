"""The built-in rule for reversed reads: models with reflect padding, which IREE alone cannot compile."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime_tests.conftest import CPU_FLAGS
from runtime_tests.models import run_onnxruntime
from runtime_tests.rules.folders import CUDA_FLAGS, FLAGS
from substitute import Session, compile_model
from substitute.catalog.catalog import builtin_folders
from substitute.errors import CompilerError

pytestmark = pytest.mark.device

(BUILTIN,) = [folder for folder in builtin_folders() if (folder / "reversed_reads").is_dir()]
RULE = BUILTIN / "reversed_reads"
SHAPES = {"signal": ((1, 1, 256), (0, 0, 128, 0, 0, 128)), "batch": ((4, 256), (0, 100, 0, 90))}
"""Padding before a spectrogram, and of rows of a batch."""


def padded(folder: Path, shape: Sequence[int], pads: Sequence[int], *, open_axis: int | None = None) -> Path:
    """Write `Relu(Conv(Pad(x, mode=reflect)))` for a signal, only the padding for a batch."""
    sizes = ["N" if axis == open_axis else size for axis, size in enumerate(shape)]
    signal = shape[0] == 1
    nodes = [helper.make_node("Pad", ["x", "pads"], ["p"], mode="reflect")]
    nodes += (
        [helper.make_node("Conv", ["p", "w"], ["c"], strides=[2]), helper.make_node("Relu", ["c"], ["y"])]
        if signal
        else [helper.make_node("Identity", ["p"], ["y"])]
    )
    weights = np.random.default_rng(1).standard_normal((4, 1, 9)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "padded",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(pads, np.int64), "pads"), numpy_helper.from_array(weights, "w")][
            : 1 + signal
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path = folder / "padded.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def device_flags(device: str, request: pytest.FixtureRequest) -> tuple[str, ...]:
    if device == "vulkan":
        request.getfixturevalue("vulkan_device")
    return FLAGS[device]


def differences(model: Path, device: str, kernels: Sequence[Path], flags: Sequence[str], shape: Sequence[int]) -> float:
    """The largest difference to onnxruntime's results."""
    result = compile_model(model, kernels=kernels, builtin=False, flags=flags)
    assert {s.kernel.name for s in result.plan.substitutions} == {"reversed_reads"}
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with Session(result.vmfb, device=device) as session:
        (found,) = session.call(None, [x])
    (expected,) = run_onnxruntime(model, (x,))
    return float(np.max(np.abs(np.asarray(found) - expected)))


@pytest.mark.parametrize("device", ["local-sync", "vulkan"])
def test_iree_alone_fails(device: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    flags = device_flags(device, request)
    with pytest.raises(CompilerError, match="padded"):
        compile_model(padded(tmp_path, *SHAPES["signal"]), flags=flags, substitute=False)


@pytest.mark.parametrize("device", ["local-sync", "vulkan"])
@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_rule_rescues(name: str, device: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    flags, (shape, pads) = device_flags(device, request), SHAPES[name]
    assert differences(padded(tmp_path, shape, pads), device, [RULE], flags, shape) < 1e-5


def test_an_open_size(tmp_path: Path) -> None:
    model = padded(tmp_path, *SHAPES["batch"], open_axis=0)
    result = compile_model(model, kernels=[RULE], builtin=False)
    assert {s.kernel.name for s in result.plan.substitutions} == {"reversed_reads"}
    for rows in (4, 7):
        x = np.random.default_rng(rows).standard_normal((rows, 256)).astype(np.float32)
        np.testing.assert_array_equal(run_on_cpu(result.vmfb, x), run_onnxruntime(model, (x,))[0])


def test_twin_a_wrong_rule_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(RULE, wrong)
    text = (wrong / "rule.py").read_text()
    planted = text.replace("0, [result])", "0, [result * 1 - result])")
    assert planted != text
    (wrong / "rule.py").write_text(planted)
    shape, pads = SHAPES["signal"]
    assert differences(padded(tmp_path, shape, pads), "local-sync", [wrong], (), shape) > 0.1


def test_for_cuda_it_compiles(tmp_path: Path) -> None:
    model = padded(tmp_path, *SHAPES["signal"])
    result = compile_model(model, kernels=[RULE], builtin=False, flags=CUDA_FLAGS)
    assert [s.kernel.name for s in result.plan.substitutions] == ["reversed_reads"] * 2


def test_a_kernel_that_can_read_backwards_goes_first(tmp_path: Path) -> None:
    result = compile_model(padded(tmp_path, *SHAPES["signal"]))
    assert [s.kernel.name for s in result.plan.substitutions] == ["elementwise", "elementwise", "conv"]


def test_a_reversal_inside_of_other_work(tmp_path: Path) -> None:
    """Two inputs, one backwards along a reduction, with a step of two: read by nothing of ours, and by the rule."""
    model = tmp_path / "model.mlir"
    model.write_text("""
func.func @main(%a: tensor<4x8xf32>, %b: tensor<16xf32>) -> tensor<4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (k * -2 + 15)>,
      affine_map<(m, k) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%a, %b : tensor<4x8xf32>, tensor<16xf32>) outs(%i : tensor<4xf32>) {
  ^bb0(%l: f32, %r: f32, %sum: f32):
    %p = arith.mulf %l, %r : f32
    %s = arith.addf %sum, %p : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %y : tensor<4xf32>
}
""")
    result = compile_model(model, kernels=[RULE], builtin=False)
    random = np.random.default_rng(2)
    a, b = random.standard_normal((4, 8)).astype(np.float32), random.standard_normal(16).astype(np.float32)
    found = run_on_cpu(result.vmfb, a, b)
    np.testing.assert_allclose(found, a @ b[::-2], rtol=1e-5, atol=1e-5)


def run_on_cpu(vmfb: bytes, *inputs: Any) -> Any:
    with Session(vmfb, device="local-sync") as session:
        (found,) = session.call(None, list(inputs))
    return np.asarray(found)


def test_through_the_filter(
    tmp_path: Path, compile_stock: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock IREE compiles the model once the rule is in its preprocessing hook."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    shape, pads = SHAPES["signal"]
    model = padded(tmp_path, shape, pads)
    command = f"iree-substitute-executable --no-builtin --kernels {RULE}"
    vmfb = compile_stock(model, *CPU_FLAGS, f"--iree-hal-preprocess-executables-with={command}")
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(run_on_cpu(vmfb.read_bytes(), x), run_onnxruntime(model, (x,))[0], atol=1e-5)
