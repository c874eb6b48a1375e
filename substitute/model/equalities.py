"""Integers that are equal in every launch, by a body and its call sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .index import Expr, Index


class Equalities:
    """Classes of equal expressions, each with a representative: a constant if there is one, or the shortest."""

    def __init__(self, pairs: Iterable[tuple[Index, Index]] = ()) -> None:
        self._stands: dict[Expr, Index] = {}
        for a, b in pairs:
            self.add(a, b)

    def add(self, a: Index, b: Index) -> bool:
        """Make both equal; return False if they were. Different constants stay distinct: no launch runs such a body."""
        a, b = self.settle(a), self.settle(b)
        kept, replaced = sorted((a, b), key=_rank)
        if a == b or isinstance(replaced, int):
            return False
        self._stands[replaced] = kept
        return True

    def settle(self, value: Index) -> Index:
        """Return the representative of `value`."""
        while isinstance(value, Expr) and value in self._stands:
            value = self._stands[value]
        return value

    @property
    def pairs(self) -> Mapping[Expr, Index]:
        """Representative of each expression that is equal to another one."""
        return {value: self.settle(value) for value in self._stands}


def _rank(value: Index) -> tuple[int, str]:
    return (0, "") if isinstance(value, int) else (_length(value), str(value))


def _length(value: Index | str) -> int:
    return 1 + sum(_length(a) for a in value.args) if isinstance(value, Expr) else 1
