"""Drawn definitions with parameters against drawn dispatches; `random_parameters` runs thousands."""

from __future__ import annotations

import pytest

from runtime_tests.match.random_parameters import check
from substitute.match import expression

pytestmark = pytest.mark.compile


def test_instances_are_taken_and_near_misses_are_not() -> None:
    seen = [check(seed) for seed in range(120)]
    assert seen.count("instance") > 20
    assert {f"{kind}: refused" for kind in ("value", "operation", "operand", "condition", "loop")} <= set(seen)


def test_a_matcher_that_binds_two_values_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "is_same_value", lambda *_: True)
    with pytest.raises(AssertionError):
        for seed in range(200):
            check(seed)
