"""The reference of `kernel.toml`: generated, complete, and equal to the page in docs/."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from pydantic import BaseModel

from substitute.catalog import reference, schema

pytestmark = pytest.mark.unit
PAGE = Path(__file__).parents[2] / "docs" / "manifest.md"


def test_the_page_in_docs_is_the_generated_one() -> None:
    assert PAGE.read_text() == reference.render_reference(), "run `make docs`"


@pytest.mark.parametrize("key", ["`strided`", "`schema`", "`spec_constants`", "`workgroup_size`", "## `[[target]]`"])
def test_keys_of_every_table_are_listed(key: str) -> None:
    assert key in reference.render_reference()


def test_every_alternative_of_a_choice_is_listed() -> None:
    assert all(f'`"{kind}"`' in reference.render_reference() for kind in ("glsl", "ptx", "llvm-generator", "iree"))


def test_a_key_without_a_description_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "incomplete.py"
    file.write_text(
        'from pydantic import BaseModel\nclass Incomplete(BaseModel):\n    a: int\n    """Said."""\n    b: int = 3\n'
    )
    spec = importlib.util.spec_from_file_location("incomplete", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "incomplete", module)
    spec.loader.exec_module(module)
    incomplete: type[BaseModel] = module.Incomplete
    monkeypatch.setattr(schema, "ManifestTable", incomplete)
    with pytest.raises(ValueError, match="Incomplete has no description of: b"):
        reference.render_reference()
