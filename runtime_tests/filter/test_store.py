"""Stamps of catalogs: which files a result depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute.catalog.catalog import load_manifests
from substitute.filter.options import parse_options
from substitute.filter.store import Stamp, make_stamp

pytestmark = pytest.mark.unit

MANIFEST = """
schema = 1
name = "mine"
dispatches = ["x"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-generator"
file = "../shared/generator.py"
entry = "mine"
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Write a kernel whose code is in a folder beside its own."""
    for name in ("mine", "shared", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "kernel.toml").write_text(MANIFEST)
    (tmp_path / "shared" / "generator.py").write_text("from .tiling import size")
    (tmp_path / "shared" / "tiling.py").write_text("size = 3")
    (tmp_path / "other" / "tiling.py").write_text("size = 3")
    return tmp_path / "mine"


def stamp_of(kernel: Path) -> Stamp:
    options = parse_options(["--kernels", str(kernel)], kernel)
    stamp = make_stamp(load_manifests([kernel], builtin=False), [kernel], options)
    assert stamp is not None
    return stamp


@pytest.mark.parametrize(
    ("file", "counts"), [("shared/tiling.py", True), ("shared/generator.py", True), ("other/tiling.py", False)]
)
def test_code_beside_the_kernels_folder_counts(kernel: Path, file: str, counts: bool) -> None:
    before = stamp_of(kernel)
    (kernel.parent / file).write_text("size = 400  # changed")
    assert before.current() is not counts
    assert (stamp_of(kernel).digest != before.digest) is counts
