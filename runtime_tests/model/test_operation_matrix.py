"""Operation × element type × room: the page of the documentation is what the rooms know, and no room has drifted."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime_tests import operation_matrix
from runtime_tests.operation_matrix import ROOMS, Cell, draw_matrix, render_matrix
from substitute.codegen.glsl import operations as glsl
from substitute.model import ops

pytestmark = pytest.mark.compile
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return draw_matrix()


def test_the_page_in_docs_is_the_matrix(cells: list[Cell]) -> None:
    assert PAGE.read_text() == render_matrix(cells), "run `make docs`"


def test_every_operation_of_the_table_is_one_of_mlir(cells: list[Cell]) -> None:
    drawn = {cell.operation for cell in cells}
    index_only = {"arith.index_cast", "arith.index_castui"}
    assert set(ops.OPERATIONS) - drawn - index_only <= {"arith.ceildivui", "math.clampf", "arith.convertf"}


def test_what_any_emitter_knows_is_read_and_has_a_golden(cells: list[Cell]) -> None:
    """Code that is never reached, or never judged, is of no use."""
    emitted = [cell for cell in cells if set(cell.rooms) & set(ROOMS[2:])]
    assert len(emitted) > 200
    missing = [cell for cell in emitted if not {"read", "golden"} <= set(cell.rooms)]
    assert {cell.operation for cell in missing} <= {"arith.convertf"}


def test_an_operation_that_an_emitter_loses_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_matrix, "OPERATIONS", {"arith.addf": ops.OPERATIONS["arith.addf"]})
    monkeypatch.setattr(operation_matrix, "TYPES", ("f32",))
    (cell,) = draw_matrix()
    assert cell.rooms == ROOMS
    monkeypatch.setattr(glsl, "EXACT", frozenset())  # which the library has in another form
    monkeypatch.delitem(glsl.FLOAT, "addf")
    (cell,) = draw_matrix()
    assert cell.rooms == ("read", "golden", "LLVM", "PTX")
