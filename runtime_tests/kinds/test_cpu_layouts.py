"""Placement of the operands of CPU kernels: offsets, shared bindings, windows, strides; for every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.models import (
    CHAIN,
    SLICES,
    matmul_folder,
    subtract_folder,
)
from runtime_tests.kinds.programs import (
    CPU_KINDS,
    MARK,
    floats,
    run,
)
from substitute.errors import PlanError
from substitute.pipeline import compile_model

pytestmark = pytest.mark.device


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_one_payload_in_three_dispatches_that_share_a_buffer(tmp_path: Path, kind: str) -> None:
    """The last product reads two intermediate results at different offsets of one binding."""
    a, b, c, d = floats(24, 32), floats(32, 16), floats(16, 40), floats(40, 8)
    kernel = matmul_folder(kind).write(tmp_path / "kernel")
    (found,) = run(tmp_path, CHAIN, [kernel], [a, b, c, d], substituted=3)
    np.testing.assert_allclose(found, (a @ b + MARK) @ (c @ d + MARK) + MARK, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_strided_windows_of_two_inputs(tmp_path: Path, kind: str) -> None:
    """IREE binds b before a here: an order by binding would turn the sign."""
    a, b = floats(20, 30), floats(20, 30, seed=4)
    kernel = subtract_folder(strided=True, kind=kind).write(tmp_path / "kernel")
    (found,) = run(tmp_path, SLICES, [kernel], [a, b])
    np.testing.assert_allclose(found, a[2:18:2, 3:27:2] - b[4:12, 1:13] + MARK, rtol=1e-6)


def test_a_kernel_for_plain_rows_does_not_get_windows(tmp_path: Path) -> None:
    kernel = subtract_folder(strided=False).write(tmp_path / "kernel")
    model = tmp_path / "model.mlir"
    model.write_text(SLICES)
    with pytest.raises(PlanError) as caught:
        compile_model(model, kernels=[kernel], builtin=False, require=["marked"])
    assert "layout." in caught.value.found
    assert "row-major, no gaps" in caught.value.expected
