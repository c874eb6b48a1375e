"""Imports among the tests: what two test files share is in a helper module, so that each file can be run alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parent


def list_imported_tests(path: Path) -> Iterator[str]:
    """Yield the imports of other test files, relative and in functions included."""
    own = path.stem
    for module in re.findall(r"^\s*(?:from|import) +([\w.]+)", path.read_text(), re.MULTILINE):
        if module.rpartition(".")[2].startswith("test_") and module.rpartition(".")[2] != own:
            yield module


def test_no_test_imports_a_test() -> None:
    files = list(ROOT.rglob("*.py"))
    assert len(files) > 100
    assert {str(file): found for file in files if (found := list(list_imported_tests(file)))} == {}


def test_an_imported_test_is_found(tmp_path: Path) -> None:
    file = tmp_path / "test_a.py"
    file.write_text("from runtime_tests.kinds.programs import run\n\n\ndef f():\n    from ..b.test_b import MODEL\n")
    assert list(list_imported_tests(file)) == ["..b.test_b"]
