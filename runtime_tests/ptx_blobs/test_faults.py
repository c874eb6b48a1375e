"""The simulated device sees what these kernels depend on: without it, there is a finding."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.ptx_blobs.programs import BLOBS, Built, definition, matmul, normal
from substitute.errors import SubstituteError

pytestmark = pytest.mark.device


def planted(folder: Path, kernel: str, line: str, *others: str) -> tuple[Path, ...]:
    """Write a kernel without the last of such lines, with other kernels unchanged."""
    target = folder / kernel
    shutil.copytree(BLOBS / kernel, target)
    text = (target / "kernel.ptx").read_text()
    at = text.rindex(line)
    (target / "kernel.ptx").write_text(text[:at] + "// " + text[at:])
    return (target, *(BLOBS / other for other in others))


def half(*shape: int) -> np.ndarray:
    return normal(*shape).astype(np.float16)


@pytest.mark.parametrize(
    ("kernel", "line", "kind"),
    [
        ("matmul_f32", "bar.sync 0;", "race"),
        ("matmul_f16_f32", "bar.sync 0;", "race|uninitialised|unfinished"),
        ("matmul_f16_f32", "cp.async.wait_group 1;", "unfinished-copy|uninitialised"),
    ],
)
def test_a_matmul_without(tmp_path: Path, cuda_sim: str, kernel: str, line: str, kind: str) -> None:
    element = kernel.split("_")[1]
    built = Built(tmp_path, matmul(1, 64, 160, 64, element, "f32"), kernels=planted(tmp_path, kernel, line))
    arrays = [normal(1, 64, 160), normal(1, 160, 64)]
    with pytest.raises(SubstituteError, match=kind):
        built.run(cuda_sim, *(a.astype(np.float16 if element == "f16" else np.float32) for a in arrays))


def test_a_softmax_without_its_barrier(tmp_path: Path, cuda_sim: str) -> None:
    text = definition("softmax", "softmax", {"R": 2, "C": 200}, {"?x?xf32": "2x200xf32"})
    built = Built(tmp_path, text, kernels=planted(tmp_path, "softmax", "bar.sync 0;"))
    with pytest.raises(SubstituteError, match=r"race|uninitialised"):
        built.run(cuda_sim, normal(2, 200))


@pytest.mark.parametrize(
    "line",
    [
        "bar.sync 0;",
        "cp.async.wait_group 0;",
        "wgmma.wait_group.sync.aligned 0;",
        "fence.proxy.async;",
    ],
)
def test_wgmma_without(tmp_path: Path, cuda_sim: str, line: str) -> None:
    """On the device that has it; on the other one the module runs the kernel for sm_80."""
    kernels = planted(tmp_path, "matmul_f16_f32_sm90a", line, "matmul_f16_f32")
    built = Built(tmp_path, matmul(1, 64, 192, 64, "f16", "f32"), kernels=kernels)
    a, b = half(1, 64, 192), half(1, 192, 64)
    (c,) = built.run(cuda_sim, a, b)
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)
    with pytest.raises(SubstituteError):
        built.run(f"{cuda_sim}://sm_90", a, b)
