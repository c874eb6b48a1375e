"""The matrix of spellings: what matches, what does not, and why."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from runtime_tests.spellings.matrix import format_causes, format_matrix, measure
from runtime_tests.spellings.onnx_nodes import make_model

pytestmark = pytest.mark.compile


def test_a_spelling_and_another_operation_under_its_name(tmp_path: Path) -> None:
    texts = ("HardSwish x > y", "Add x {3.0} > a; Clip a {0.0} {6.5} > c; Mul x c > m; Div m {6.0} > y")
    paths = [tmp_path / f"hardswish-onnx-{number}-f32.onnx" for number in range(2)]
    for path, text in zip(paths, texts, strict=True):
        onnx.save(make_model("x:RC", text, "f32"), str(path))
    (tmp_path / "hardswish-jax-0-f32.mlir").write_text("no module")
    outcomes = measure([*paths, tmp_path / "hardswish-jax-0-f32.mlir"], tmp_path / "read", "O1")
    assert [o.mark for o in outcomes] == ["failed", "matched", "not"]
    matrix = format_matrix(outcomes).splitlines()
    assert [line.split() for line in matrix if line.startswith("hardswish")] == [["hardswish", "!", "+-"]]
    assert matrix[-1] == "f32: 3 spellings: matched 1 (33 %), slots 0 (0 %), not 1 (33 %), failed 1 (33 %)"
    failed, missed = format_causes(outcomes).splitlines()
    assert "hardswish-jax-0-f32" in failed
    assert "hardswish-onnx-1-f32" in missed and "6.5" in missed
    # what was read is kept
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "read").iterdir()}
    assert measure(paths, tmp_path / "read", "O1") == outcomes[1:]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "read").iterdir()} == kept
    # another backend's dispatches are others
    assert [o.mark for o in measure(paths[:1], tmp_path / "read", "O1", "vulkan-spirv")] == ["matched"]
    assert len(list((tmp_path / "read").iterdir())) == len(kept) + 1
