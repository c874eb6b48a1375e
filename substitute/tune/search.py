"""The order in which values for a generator's parameters are tried: all of them, or a search where they are many."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Protocol

from ..model.choice import Tuning, make_tuning

SLOWEST = 1e3
"""Ratio that stands for values with which there is no code, or none that is right."""

Space = tuple[tuple[str, tuple[int, ...]], ...]
"""Each parameter with its values, as a manifest lists them."""


class Search(Protocol):
    """Proposes values one after the other; it is told the ratio of each to IREE's own code."""

    def propose(self) -> Tuning | None:
        """Return the next values; None if there are no more."""

    def tell(self, tuning: Tuning, ratio: float | None) -> None:
        """Note what was measured; None: these values give no right code."""


def make_search(space: Space, most: int, seed: int) -> Search:
    """Return a search over at most `most` values: all of them if they are no more, else Optuna's, else drawn ones."""
    if math.prod(len(values) for _, values in space) <= most:
        return Listed(list_tunings(space))
    if find_spec("optuna"):
        return Sampled(space, most, seed)
    return Listed(draw_tunings(space, most, seed))


def list_tunings(space: Space) -> Iterator[Tuning]:
    """Yield every combination, the last parameter's values changing fastest."""
    names = [name for name, _ in space]
    for values in itertools.product(*(values for _, values in space)):
        yield make_tuning(dict(zip(names, values, strict=True)))


def draw_tunings(space: Space, count: int, seed: int) -> Iterator[Tuning]:
    """Yield different combinations at random, fewer than there are."""
    drawing = random.Random(seed)
    seen: set[Tuning] = set()
    while len(seen) < count:
        tuning = make_tuning({name: drawing.choice(values) for name, values in space})
        if tuning not in seen:
            seen.add(tuning)
            yield tuning


class Listed:
    """Values in an order that does not depend on what is measured."""

    def __init__(self, tunings: Iterator[Tuning]) -> None:
        self._tunings = tunings

    def propose(self) -> Tuning | None:
        """Return the next values."""
        return next(self._tunings, None)

    def tell(self, tuning: Tuning, ratio: float | None) -> None:
        """Ignore it."""


class Sampled:
    """Values that Optuna proposes from what was measured before."""

    def __init__(self, space: Space, most: int, seed: int) -> None:
        import optuna  # type: ignore[import-not-found,unused-ignore]

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._left = space, most
        self._study: Any = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._trials: dict[Tuning, Any] = {}
        self._known: dict[Tuning, float | None] = {}

    def propose(self) -> Tuning | None:
        """Return values that were not tried yet; what Optuna proposes again is told to it again and not measured."""
        while self._left:
            self._left -= 1
            trial = self._study.ask()
            tuning = make_tuning({name: trial.suggest_categorical(name, values) for name, values in self._space})
            if tuning in self._known:
                self._study.tell(trial, _loss(self._known[tuning]))
                continue
            self._trials[tuning] = trial
            return tuning
        return None

    def tell(self, tuning: Tuning, ratio: float | None) -> None:
        """Pass the ratio on."""
        self._known[tuning] = ratio
        if tuning in self._trials:
            self._study.tell(self._trials.pop(tuning), _loss(ratio))


def _loss(ratio: float | None) -> float:
    return math.log(SLOWEST if ratio is None else ratio)
