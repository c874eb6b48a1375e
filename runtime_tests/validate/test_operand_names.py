"""Names of operands in verdicts."""

from __future__ import annotations

import pytest

from runtime_tests.validate.cases import X_AREA, Y_AREA
from substitute.validate.operand_names import name_areas

pytestmark = pytest.mark.unit


def test_operands_have_the_names_of_the_definition_or_a_number() -> None:
    plain = name_areas((X_AREA, Y_AREA), ())
    assert [a.described for a in plain] == ["operand 0: 4xf32", "result 0: 2x2xf32"]
    named = name_areas((X_AREA, Y_AREA), ((0, 0, "x"), (1, 32, "y")))
    assert [a.name for a in named] == ["x", "result 0"]
    open_offset = name_areas((X_AREA, X_AREA), ((0, None, "weights"),))
    assert [a.name for a in open_offset] == ["weights", "weights"]
    assert name_areas((X_AREA,), ((3, 0, "x"),))[0].name == "operand 0"
