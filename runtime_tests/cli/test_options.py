"""Options that several commands share."""

from __future__ import annotations

import click
import pytest

from substitute.cli.options import Number

pytestmark = pytest.mark.unit


def test_nan_is_in_no_range() -> None:
    number = Number(min=0)
    assert number.convert("1.5", None, None) == 1.5 and number.convert("inf", None, None) == float("inf")
    for text in ("nan", "-1", "x"):
        with pytest.raises(click.BadParameter):
            number.convert(text, None, None)
