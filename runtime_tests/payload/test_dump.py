"""`compile --dump-payloads`: the code that is embedded, with what it was made from, by the dispatch's name."""

import hashlib
import json
from pathlib import Path

import pytest

from substitute.errors import UsageError
from substitute.payload.dump import check_folder, dump_payloads
from substitute.pipeline import compile_model

MODEL = """
func.func @main(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>) -> tensor<4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x16xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x16xf32>) -> tensor<4x16xf32>
  %c = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x16xf32>) outs(%init : tensor<4x16xf32>) -> tensor<4x16xf32>
  return %c : tensor<4x16xf32>
}
"""


@pytest.mark.compile
@pytest.mark.parametrize(
    ("flags", "suffixes"),
    [
        ((), [".bc", ".ll", ".source.ll"]),
        (("--iree-hal-target-device=vulkan",), [".comp", ".spv", ".spvasm"]),
    ],
)
def test_dump(tmp_path: Path, flags: tuple[str, ...], suffixes: list[str]) -> None:
    model, folder = tmp_path / "model.mlir", tmp_path / "new" / "folder"
    model.write_text(MODEL)
    result = compile_model(model, flags=flags, check=False)
    files = dump_payloads(result.plan, result.payloads, folder)
    (one,) = json.loads((folder / "index.json").read_text())["payloads"]
    (substitution,) = result.plan.substitutions
    stem = f"{substitution.dispatch.name}.{substitution.kernel.name}"
    assert sorted(p.name.removeprefix(stem) for p in files[:-1]) == suffixes
    assert files[-1].name == "index.json"
    assert sorted(one["files"]) == sorted(p.name for p in files[:-1])
    (payload,) = result.payloads.values()
    assert one["sha256"] == hashlib.sha256(payload.data).hexdigest()
    assert (folder / one["files"][0]).read_bytes() == payload.data
    assert payload.entry in (folder / f"{stem}{'.ll' if not flags else '.spvasm'}").read_text()


@pytest.mark.unit
def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="the payloads cannot be written"):
        check_folder(tmp_path / "file")
    check_folder(tmp_path / "deep" / "folder")
    assert (tmp_path / "deep" / "folder").is_dir()
