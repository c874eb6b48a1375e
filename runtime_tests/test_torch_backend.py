"""PyTorch's `torch.compile` backend, JAX and TFLite, by their samples; errors also where none of them is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from substitute import torch_backend
from substitute.errors import UsageError

SAMPLES = Path(__file__).parents[1] / "samples"
PACKAGES = {"torch_compile": "iree.turbine", "jax_stablehlo": "jax"}


def run(name: str, argument: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(SAMPLES / name / "run.py"), str(argument)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.device
@pytest.mark.parametrize("name", PACKAGES)
def test_a_sample(name: str, tmp_path: Path) -> None:
    pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed (an extra)")
    kernels = SAMPLES / "cpu_llvmlite" / "kernels"
    finished = run(name, kernels)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "← swiglu" in finished.stdout
    assert "← matmul" in finished.stdout
    # a kernel that computes something else
    shutil.copytree(kernels, tmp_path / "kernels")
    generator = tmp_path / "kernels" / "swiglu" / "generator.py"
    generator.write_text(generator.read_text().replace("F32(1.0)", "F32(1.01)"))
    assert run(name, tmp_path / "kernels").returncode != 0


MAKE_TFLITE = """
import sys, numpy as np, tensorflow as tf
w = tf.constant(np.random.default_rng(0).standard_normal((3, 3, 8, 16)).astype(np.float32))
f = tf.function(lambda x: tf.nn.relu(tf.nn.conv2d(x, w, 2, "SAME")), input_signature=[tf.TensorSpec((1, 32, 32, 8))])
converter = tf.lite.TFLiteConverter.from_concrete_functions([f.get_concrete_function()])
open(sys.argv[1], "wb").write(converter.convert())
"""


@pytest.mark.device
def test_the_tflite_sample(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed (an extra)")
    model = tmp_path / "model.tflite"
    subprocess.run([sys.executable, "-c", MAKE_TFLITE, str(model)], check=True, capture_output=True)
    finished = run("tflite", model)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "substituted: conv" in finished.stdout
    changed = tmp_path / "run.py"
    text = (SAMPLES / "tflite" / "run.py").read_text()
    changed.write_text(text.replace("zip(found, wanted, strict", "zip(found, [w * 1.001 for w in wanted], strict"))
    argv = [sys.executable, str(changed), str(model)]
    assert subprocess.run(argv, capture_output=True, timeout=600, check=False).returncode != 0


@pytest.mark.unit
def test_the_backend_has_its_name() -> None:
    (found,) = entry_points(group="torch_dynamo_backends", name="iree_substitute")
    assert found.value == "substitute.torch_backend:backend"
    assert found.load() is torch_backend.backend


@pytest.mark.unit
def test_an_option_that_is_none() -> None:
    with pytest.raises(UsageError) as caught:
        torch_backend.backend(None, [], options={"kernel": [], "flags": []})  # type: ignore[arg-type]
    assert caught.value.found == "kernel"
    assert "kernels" in caught.value.expected


@pytest.mark.unit
@pytest.mark.parametrize("options", [{"kernels": "folder"}, {"flags": "--iree-opt-level=O2"}, {"report": 1}])
def test_an_option_of_another_type(options: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        torch_backend.backend(None, [], options=options)  # type: ignore[arg-type]
    ((name, value),) = options.items()
    assert f"the option {name} of" in caught.value.what
    assert caught.value.found == repr(value)


@pytest.mark.unit
def test_a_tensor_elsewhere() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (an extra)")
    assert torch_backend._to_numpy(torch.ones(2)).tolist() == [1, 1]
    with pytest.raises(UsageError) as caught:
        torch_backend._to_numpy(torch.ones(2, device="meta"))
    assert caught.value.found == "meta"


@pytest.mark.unit
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if "turbine" in name else object())
    with pytest.raises(UsageError) as caught:
        torch_backend.backend(None, [])  # type: ignore[arg-type]
    assert caught.value.found == "no iree-turbine"
    assert caught.value.next_step == "pip install 'iree-substitute[torch]'"
