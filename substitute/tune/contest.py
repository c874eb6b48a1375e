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

    What is substituted without a plan stays unless that is certainly no gain, or another one is faster by more than
    noise: its whole interval lies below the default's ratio. So noise makes no plan slower than no plan, nor does a
    budget that was spent before the default had its turn.
    """
    if not any(m.choice == default for m in measured) and default:
        return default
    timed = [(m.choice, m.ratio) for m in measured if m.ratio is not None]
    faster = [(choice, ratio) for choice, ratio in timed if ratio.relation == "faster"]
    best = min(faster, key=lambda pair: pair[1].median, default=None)
    usual = next((r for choice, r in timed if choice == default), None)
    if usual is None or usual.median >= 1 or usual.relation == "equal":
        return best[0] if best else ()
    return best[0] if best and best[1].high < usual.median * (1 - EQUAL_WITHIN) else default
