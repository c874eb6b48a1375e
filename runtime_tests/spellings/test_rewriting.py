"""Spellings derived at random match their definition; near misses never do."""

from __future__ import annotations

import pytest

from runtime_tests.spellings.rewriting import run
from substitute.match import by_laws

pytestmark = pytest.mark.compile

SOME = frozenset(("rms_norm", "gelu_tanh", "hardswish", "layer_norm", "matmul_bias_relu", "softplus", "softmax_mask"))


@pytest.mark.parametrize("element", ["f32", "f16"])
def test_rewritten_definitions_match_and_near_misses_do_not(element: str) -> None:
    """In f16 the spellings round after every operation, and the definition at its end."""
    tally = run(7, 5, only=SOME, element=element)
    assert tally.near > 20
    assert not tally.accepted, tally.accepted[0].steps
    assert not tally.missed, tally.missed[0].steps


def test_a_comparison_that_ignores_constants_accepts_near_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The near misses find a matcher that is too generous."""
    monkeypatch.setattr(by_laws._Unifier, "_agree", lambda *_: True)
    assert run(7, 12, only=SOME).accepted


def test_without_laws_spellings_are_missed() -> None:
    tally = run(7, 4, mode="exact", only=SOME)
    assert tally.missed
    assert not tally.accepted
