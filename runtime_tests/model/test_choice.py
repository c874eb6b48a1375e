"""Choices of kernels as text."""

from __future__ import annotations

import pytest

from substitute.errors import PlanError
from substitute.model.choice import format_choice, make_tuning, parse_choice

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("values", [{}, {"rows": 6}, {"vectors": -1, "rows": 6}])
def test_a_choice_is_read_as_it_was_written(values: dict[str, int]) -> None:
    assert parse_choice(format_choice("my.kernel-2", make_tuning(values))) == ("my.kernel-2", make_tuning(values))


@pytest.mark.parametrize("text", ["", "a{rows}", "a{rows=x}", "a{rows=1", "a{}", "a{rows=1}b", "{rows=1}"])
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        parse_choice(text)
