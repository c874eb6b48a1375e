"""Ratios, their intervals, and what these say."""

from __future__ import annotations

import math

import pytest

from substitute.device.ratio import EQUAL_WITHIN, Ratio, ratio_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("low", "high", "relation"),
    [
        (0.5, 0.9, "faster"),
        (1.1, 1.5, "slower"),
        (0.99, 1.01, "equal"),
        (0.9, 1.1, "unclear"),
        (0.9, 1 - EQUAL_WITHIN / 2, "unclear"),
        (-math.inf, math.inf, "unclear"),
    ],
)
def test_what_an_interval_says(low: float, high: float, relation: str) -> None:
    assert Ratio(median=(max(low, 0.5) + min(high, 2)) / 2, low=low, high=high).relation == relation


def test_a_few_rounds_say_nothing_and_one_outlier_changes_nothing() -> None:
    assert ratio_of([0.5] * 9).relation == "unclear"
    assert ratio_of([0.5] * 19 + [30.0]).relation == "faster"
    assert ratio_of([0.5] * 10 + [30.0] * 10).relation == "unclear"
