"""Matrix multiplication on the simulated device: multiples of the tiles and other sizes, every type, both
architectures.
"""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from runtime_tests.ptx_blobs.programs import Built, matmul, normal

pytestmark = pytest.mark.device
TYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32}
BITS = {"f16": 11, "bf16": 8, "f32": 24}


def check(built: Built, device: str, size: tuple[int, int, int, int], element: str, result: str) -> None:
    """Beside float64, on inputs that are exact in the type."""
    batch, m, k, n = size
    a, b = normal(batch, m, k).astype(TYPES[element]), normal(batch, k, n, seed=1).astype(TYPES[element])
    (c,) = built.run(device, a, b)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    sums = np.abs(wide_a) @ np.abs(wide_b)
    expected = wide_a @ wide_b
    allowed = sums * k * 2.0**-24 + np.abs(expected) * 2.0 ** -BITS[result] * 1.01
    assert c.dtype == TYPES[result] and (np.abs(c.astype(np.float64) - expected) <= allowed).all()


@pytest.mark.parametrize("size", [(1, 64, 16, 64), (2, 65, 33, 67), (1, 16, 100, 16), (3, 130, 5, 20)])
def test_f32(tmp_path: Path, cuda_sim: str, size: tuple[int, int, int, int]) -> None:
    built = Built(tmp_path, matmul(*size, "f32", "f32"))
    assert built.kernels == ["cuda_matmul_f32"]
    check(built, cuda_sim, size, "f32", "f32")


@pytest.mark.parametrize(
    ("size", "element", "result"),
    [
        ((1, 128, 96, 128), "f16", "f32"),
        ((2, 17, 8, 16), "bf16", "f32"),
        ((1, 150, 72, 136), "f16", "f16"),
        ((1, 130, 200, 40), "bf16", "bf16"),
    ],
)
def test_halves_on_both_architectures(
    tmp_path: Path, cuda_sim: str, size: tuple[int, int, int, int], element: str, result: str
) -> None:
    """wgmma where the device has it, mma.sync elsewhere, out of one module."""
    built = Built(tmp_path, matmul(*size, element, result))
    name = f"cuda_matmul_{element}" + ("_f32" if result == "f32" else "")
    assert built.kernels == [f"{name}_sm90a", name]
    for device in (cuda_sim, f"{cuda_sim}://sm_90"):
        check(built, device, size, element, result)


@pytest.mark.parametrize(
    ("size", "element"), [((1, 32, 20, 32), "f16"), ((1, 32, 32, 20), "bf16"), ((1, 40, 40, 8), "f32")]
)
def test_what_they_do_not_take(tmp_path: Path, size: tuple[int, int, int, int], element: str) -> None:
    """Rows that are not a multiple of 16 bytes, and fewer columns than are worth a tile."""
    assert Built(tmp_path, matmul(*size, element, "f32")).kernels == []
