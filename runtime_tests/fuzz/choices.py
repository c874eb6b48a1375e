"""The source of all decisions of a generator: recorded, so that a program can be replayed and made smaller."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """A sequence of small numbers, drawn from a seed or read from a record.

    Every generator puts its simplest alternative first, so that smaller numbers, and fewer of them, give a simpler
    program. Behind the end of a record all numbers are 0.
    """

    def __init__(self, seed: str = "", *, record: Sequence[int] | None = None) -> None:
        self._random = random.Random(seed)
        self._record = record
        self.taken: list[int] = []
        """Choices drawn so far."""

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        at = len(self.taken)
        if self._record is None:
            value = self._random.randrange(count)
        else:
            value = min(self._record[at], count - 1) if at < len(self._record) else 0
        self.taken.append(value)
        return value

    def pick(self, alternatives: Sequence[T]) -> T:
        """One of them; the first is the simplest."""
        return alternatives[self.below(len(alternatives))]

    def weighted(self, alternatives: Sequence[tuple[int, T]]) -> T:
        """One of (weight, alternative)."""
        at = self.below(sum(weight for weight, _ in alternatives))
        for weight, alternative in alternatives:
            if at < weight:
                return alternative
            at -= weight
        raise AssertionError("unreachable")

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self.below(100) >= 100 - percent

    def permuted(self, items: Sequence[T]) -> list[T]:
        """The items in some order; the simplest is their own."""
        if not self.chance(40):
            return list(items)
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in items]
