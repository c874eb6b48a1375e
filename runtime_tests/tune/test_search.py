"""Values for a generator's parameters: all of them, or some."""

from __future__ import annotations

import pytest

from substitute.tune.search import Listed, draw_tunings, list_tunings, make_search

pytestmark = pytest.mark.unit
SPACE = (("rows", (2, 4, 6)), ("vectors", (1, 2)))


def test_a_small_space_is_tried_whole_and_each_combination_once() -> None:
    search = make_search(SPACE, most=6, seed=0)
    assert isinstance(search, Listed)
    tried = [search.propose() for _ in range(7)]
    assert tried[-1] is None and tried[:-1] == list(list_tunings(SPACE))
    assert len(set(tried)) == 7 and dict(tried[0] or ()) == {"rows": 2, "vectors": 1}


def test_some_of_a_large_space_are_different_and_the_same_for_a_seed() -> None:
    drawn = list(draw_tunings(SPACE, 4, seed=1))
    assert len(set(drawn)) == 4 and set(drawn) <= set(list_tunings(SPACE))
    assert drawn == list(draw_tunings(SPACE, 4, seed=1)) != list(draw_tunings(SPACE, 4, seed=2))


def test_optuna_proposes_what_was_not_tried() -> None:
    pytest.importorskip("optuna", reason="the extra `tune` is not installed")
    search = make_search(SPACE, most=5, seed=0)
    tried = []
    while (tuning := search.propose()) is not None:
        search.tell(tuning, None if dict(tuning)["rows"] == 2 else 0.5)
        tried.append(tuning)
    assert 0 < len(tried) <= 5 and len(set(tried)) == len(tried)
