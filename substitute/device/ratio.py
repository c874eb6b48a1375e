"""Ratios of times that were measured in turns: their median, its confidence interval, and what it says."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DOUBT = 0.002
"""Probability that an interval misses the median. It is small because each measurement is looked at many times."""
EQUAL_WITHIN = 0.02
"""Two codes are equally fast if the whole interval of their ratio is this close to one."""

Relation = Literal["faster", "slower", "equal", "unclear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Ratio of the times of two codes."""

    median: float
    low: float
    high: float
    """Confidence interval of the median; unbounded where there are too few rounds."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the interval; None if it is unbounded, since JSON has no infinity."""
        return (self.low, self.high) if math.isfinite(self.high) else None

    @property
    def relation(self) -> Relation:
        """Return what the interval says of the first code."""
        if self.high < 1 - EQUAL_WITHIN:
            return "faster"
        if self.low > 1 + EQUAL_WITHIN:
            return "slower"
        return "equal" if self.low >= 1 - EQUAL_WITHIN and self.high <= 1 + EQUAL_WITHIN else "unclear"


def ratio_of(values: Sequence[float]) -> Ratio:
    """Return the median of ratios with its confidence interval."""
    low, high = confidence_interval(values)
    return Ratio(median=statistics.median(values), low=low, high=high)


def confidence_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return an interval that holds the median with at least 99.8 %, for any distribution (order statistics).

    With fewer than ten values there is none: it is unbounded.
    """
    ordered, n = sorted(values), len(values)
    below, rank = 0.0, 0
    while True:  # the number of values below the median is binomial
        below += math.comb(n, rank) / 2.0**n
        if below > DOUBT / 2:
            break
        rank += 1
    if rank == 0:
        return -math.inf, math.inf
    return ordered[rank - 1], ordered[n - rank]
