"""Coverage of a kernel's code, by blocks and branches: frozen data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

MOST_NAMED = 6
"""Number of places that never ran that a verdict names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One edge of a branch, or a block."""

    at: int
    """Number of its counter."""
    line: int
    text: str
    """The instruction."""
    way: str
    """`true` or `false`; empty for a block."""
    branch: int = -1
    """Number of its branch; -1 for a block."""

    def __str__(self) -> str:
        way = f", {self.way}" if self.way else ""
        return f"line {self.line} `{self.text}`{way}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Counters of one piece of code."""

    ways: tuple[Way, ...]
    blocks: tuple[Way, ...] = ()
    """Blocks that a `switch` leads to."""
    entries: frozenset[int] = frozenset()
    """Counters of its functions: none is set where it was never entered."""
    aligned: tuple[Way, ...] = ()
    """Accesses that take an address for a multiple of some bytes; a counter is set where it is none."""
    state: tuple[str, ...] = ()
    """Static variables that the code changes: what one workgroup leaves there, another one may find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Share of a kernel's code that ran in the cases that passed."""

    code: str
    """The piece of code; dispatches with the same one share its coverage."""
    branches: int = 0
    both_ways: int = 0
    """Number of branches of which every possible edge ran."""
    never: tuple[str, ...] = ()
    """Edges and blocks that never ran."""
    unknown: str = ""
    """Reason why nothing was measured; empty if it was."""

    @property
    def share(self) -> float | None:
        """Part of the branches of which both edges ran; None if nothing was measured."""
        return None if self.unknown else 1.0 if not self.branches else self.both_ways / self.branches

    def __str__(self) -> str:
        if self.unknown:
            return f"branches not measured: {self.unknown}"
        if not self.branches:
            return "no branches" + self._named()
        return f"{self.both_ways} of {self.branches} branches both ways" + self._named()

    def _named(self) -> str:
        if not self.never:
            return ""
        more = len(self.never) - MOST_NAMED
        return f"; never taken: {'; '.join(self.never[:MOST_NAMED])}" + (f"; and {more} more" if more > 0 else "")


def measure(name: str, code: Code, hits: Collection[int]) -> Coverage:
    """Return the coverage of code of which these counters were set."""
    branches: dict[int, list[Way]] = {}
    for way in code.ways:
        branches.setdefault(way.branch, []).append(way)
    full = sum(all(way.at in hits for way in ways) for ways in branches.values())
    never = tuple(str(way) for way in (*code.ways, *code.blocks) if way.at not in hits)
    return Coverage(code=name, branches=len(branches), both_ways=full, never=never)


def join(found: Iterable[Coverage | None]) -> Coverage | None:
    """Return the coverage of several pieces of code together; None if there is none."""
    pieces = {one.code: one for one in found if one is not None}
    measured = [one for one in pieces.values() if not one.unknown]
    if not measured:
        return next(iter(pieces.values()), None)
    return Coverage(
        code="",
        branches=sum(one.branches for one in measured),
        both_ways=sum(one.both_ways for one in measured),
        never=tuple(f"{one.code}: {place}" if len(measured) > 1 else place for one in measured for place in one.never),
    )
