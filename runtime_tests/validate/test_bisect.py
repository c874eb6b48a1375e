"""Finding the substitutions that make a model wrong, with a model that is a set of names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pytest

from substitute.validate.bisect import find_culprits

pytestmark = pytest.mark.unit

NAMES = [f"d{i}" for i in range(9)]


class Model:
    """Wrong if it has any of the culprits; counts its runs."""

    def __init__(self, *culprits: str, always: bool = False) -> None:
        self.culprits, self.always, self.runs = set(culprits), always, 0

    def fails(self, names: Sequence[str]) -> bool:
        self.runs += 1
        return self.always or bool(self.culprits & set(names))


@pytest.mark.parametrize("culprit", NAMES)
def test_one(culprit: str) -> None:
    model = Model(culprit)
    assert find_culprits(NAMES, model.fails) == (culprit,)
    assert model.runs <= 7  # none, all, log2(9) halvings, and the rest without it


def test_all_pairs() -> None:
    for pair in combinations(NAMES, 2):
        assert set(find_culprits(NAMES, Model(*pair).fails)) == set(pair)


def test_suspects_come_first() -> None:
    model = Model("d3", "d7")
    assert find_culprits(NAMES, model.fails, suspects=["d7", "d1", "d3"]) == ("d7", "d3")
    assert model.runs == 4  # each suspect, and the rest


def test_only_so_many() -> None:
    assert len(find_culprits(NAMES, Model(*NAMES).fails, most=3)) == 3


def test_a_model_that_is_wrong_by_itself() -> None:
    assert find_culprits(NAMES, Model(always=True).fails) == ()
    assert find_culprits(NAMES, Model().fails) == ()
