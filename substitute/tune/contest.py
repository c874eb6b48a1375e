"""The candidates of one dispatch, and which of them wins: frozen data and pure functions, but for the search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..device.ratio import EQUAL_WITHIN, Ratio
from ..model.choice import format_choice, parse_choice
from ..model.plan import Key
from .search import Search, Space, make_search

Choice = tuple[str, ...]
"""Kernels in the order in which they are asked, as a plan names them; none: IREE's own code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Result of measuring one candidate."""

    choice: Choice
    ratio: Ratio | None
    """Its time ÷ the time of IREE's own code; None for what has no time."""
    reason: str = ""
    """Why it has no time: there is no code for these values, or it is wrong."""


@dataclass(slots=True)
class Contest:
    """All candidates of one dispatch, one after the other."""

    key: Key
    name: str
    """As a plan names the dispatch."""
    default: Choice
    """The choice without a plan."""
    others: Sequence[str]
    """Further kernels that fit."""
    spaces: Sequence[tuple[str, Space]]
    """Kernels with parameters to tune."""
    most: int
    """Candidates of one kernel."""
    seed: int
    measured: list[Measured] = field(default_factory=list)
    _search: tuple[str, Search] | None = None
    _candidates: Iterator[Choice] | None = None

    def next(self) -> Choice | None:
        """Return the next candidate; None if there are no more."""
        if self._candidates is None:
            self._candidates = self._all()
        return next(self._candidates, None)

    def _all(self) -> Iterator[Choice]:
        if self.default:
            yield self.default
        for name in self.others:
            yield (name,)
        for name, space in self.spaces:
            search = make_search(space, self.most, self.seed)
            self._search = (name, search)
            while (tuning := search.propose()) is not None:
                yield (format_choice(name, tuning),)
        self._search = None

    def tell(self, found: Measured) -> None:
        """Note what was found of the last candidate."""
        self.measured.append(found)
        if self._search is not None and found.choice:
            name, tuning = parse_choice(found.choice[0])
            if name == self._search[0]:
                self._search[1].tell(tuning, found.ratio.median if found.ratio else None)

    @property
    def winner(self) -> Choice:
        """The fastest candidate; none, if none is faster than IREE's own code."""
        return select_winner(self.measured, self.default)


def select_winner(measured: Sequence[Measured], default: Choice) -> Choice:
    """Return the candidate with the least ratio among those that are certainly faster than IREE's own code.

    What is substituted without a plan wins unless another one is faster by more than noise: its whole interval lies
    below the default's ratio.
    """
    faster = [m for m in measured if m.ratio is not None and m.ratio.relation == "faster"]
    if not faster:
        return ()
    best = min(faster, key=lambda m: m.ratio.median if m.ratio else 0.0)
    usual = next((m for m in faster if m.choice == default), None)
    if usual is not None and usual.ratio is not None and best.ratio is not None:
        certain = best.ratio.high < usual.ratio.median * (1 - EQUAL_WITHIN)
        return best.choice if certain else usual.choice
    return best.choice
