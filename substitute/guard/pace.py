"""Decision from paired times whether a kernel is slower than IREE's own code: pure functions."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

from ..device.ratio import confidence_interval

MARGIN = 1.10
"""A kernel is slower if its time is more than this multiple of the other's."""
FLOOR_US = 5.0
"""Smaller differences are below the cost of a launch."""
FEWEST_ROUNDS = 3
MOST_ROUNDS = 40
ENOUGH_ROUNDS = 12
"""Least number of rounds for the result `slower`."""

State = Literal["more", "fine", "slower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times of two codes, measured in turns."""

    ours_us: tuple[float, ...]
    theirs_us: tuple[float, ...]
    """One per round; both have the same number."""

    @property
    def ratios(self) -> list[float]:
        """Ratios by round, which a temporary slowdown of the machine does not shift."""
        return [a / max(b, 1e-9) for a, b in zip(self.ours_us, self.theirs_us, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def lowest_us(self) -> tuple[float, float]:
        """The shortest time of each."""
        return min(self.ours_us), min(self.theirs_us)


def decide(pace: Pace, *, margin: float = MARGIN, last: bool = False) -> State:
    """Return whether the first code is slower; `more` if more rounds are needed.

    Slower means all of: the median ratio and the ratio of the shortest times are above the margin, the confidence
    interval of the median excludes equality, and the difference is above the floor. `last`: no more rounds are
    possible.
    """
    rounds = len(pace.ours_us)
    if rounds < FEWEST_ROUNDS:
        return "fine" if last else "more"
    ours, theirs = pace.lowest_us
    if ours <= margin * theirs or ours - theirs <= FLOOR_US:
        return "fine"
    if rounds >= ENOUGH_ROUNDS and pace.ratio > margin and confidence_interval(pace.ratios)[0] > 1.0:
        return "slower"
    return "fine" if last or rounds >= MOST_ROUNDS else "more"
