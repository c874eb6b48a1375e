"""Softmax and the norms, in programs for CUDA on the simulated device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.ptx_blobs.programs import CUDA, FUSED, Array, Built, definition, normal

pytestmark = pytest.mark.device


def softmax(x: Array) -> Array:
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


@pytest.mark.parametrize("columns", [2, 31, 128, 300])
def test_softmax(tmp_path: Path, cuda_sim: str, columns: int) -> None:
    shape = f"5x{columns}xf32"
    text = definition("softmax", "softmax", {"R": 5, "C": columns}, {"?x?xf32": shape})
    x = normal(5, columns) * 20
    x[1, ::2] = -np.inf
    built = Built(tmp_path, text)
    assert built.kernels == ["cuda_softmax"]
    (y,) = built.run(cuda_sim, x)
    np.testing.assert_allclose(y, softmax(x), rtol=1e-5, atol=1e-38)  # the rounding of x - max is up to 2^-18


def test_softmax_of_a_row_without_anything(tmp_path: Path, cuda_sim: str) -> None:
    text = definition("softmax_or_zero", "softmax_or_zero", {"R": 4, "C": 40}, {"?x?xf32": "4x40xf32"})
    x = normal(4, 40)
    x[2] = -np.inf
    x[3, 5] = np.nan
    built = Built(tmp_path, text)
    assert built.kernels == ["cuda_softmax_or_zero"]
    (y,) = built.run(cuda_sim, x)
    np.testing.assert_allclose(y[:2], softmax(x[:2]), rtol=3e-6)
    assert not y[2:].any()


@pytest.mark.parametrize(("form", "epsilon"), [("power_256", 1e-6), ("square_384", 1e-6), ("power_512", 2e-3)])
def test_rms_norm(tmp_path: Path, cuda_sim: str, form: str, epsilon: float) -> None:
    width = int(form.partition("_")[2])
    shapes = {f"?x{width}xf32": f"3x{width}xf32", "?xf32": "3xf32"}
    built = Built(tmp_path, definition("rms_norm", form, {"R": 3}, shapes, epsilon=epsilon), flags=CUDA)
    assert built.kernels == ["cuda_rms_norm"]
    x, w = normal(3, width) + 0.5, normal(width, seed=1)
    x[0] *= 1e-3  # where ε counts
    (y,) = built.run(cuda_sim, x, w)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + epsilon) * w
    np.testing.assert_allclose(y, expected, rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize(("width", "epsilon"), [(256, 1e-5), (768, 1e-5), (384, 1e-12)])
def test_layer_norm(tmp_path: Path, cuda_sim: str, width: int, epsilon: float) -> None:
    shapes = {f"?x{width}xf32": f"3x{width}xf32", "?xf32": "3xf32"}
    text = definition("layer_norm", f"layer_norm_{width}", {"R": 3}, shapes, epsilon=epsilon)
    built = Built(tmp_path, text, flags=FUSED)
    assert built.kernels == ["cuda_layer_norm"]
    x, w, b = normal(3, width) + 2, normal(width, seed=1), normal(width, seed=2)
    x[0] *= 1e-3
    (y,) = built.run(cuda_sim, x, w, b)
    wide = x.astype(np.float64)
    wide -= wide.mean(axis=1, keepdims=True)
    expected = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + epsilon) * w + b
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_another_end_is_another_computation(tmp_path: Path, cuda_sim: str) -> None:
    """The sum of squares takes it, with the rest of the work in its slots."""
    shapes = {"?x256xf32": "3x256xf32", "?xf32": "3xf32"}
    text = definition("rms_norm", "power_256", {"R": 3}, shapes, epsilon=2e-3)
    text = text.replace("%value = arith.mulf %weight, %scaled", "%value = arith.subf %scaled, %weight")
    built = Built(tmp_path, text)
    assert built.kernels == ["cuda_row_sum"]
    x, w = normal(3, 256) * 0.01, normal(256, seed=1)
    (y,) = built.run(cuda_sim, x, w)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + 2e-3) - w
    np.testing.assert_allclose(y, expected, rtol=3e-6, atol=1e-6)
