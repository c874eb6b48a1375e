"""Candidates of one dispatch, and the winner."""

from __future__ import annotations

import pytest

from substitute.device.ratio import Ratio
from substitute.tune.contest import Choice, Contest, Measured, select_winner

pytestmark = pytest.mark.unit
USUAL, OTHER = ("matmul",), ("matmul{rows=6}",)


def found(choice: Choice, median: float | None, width: float = 0.02) -> Measured:
    if median is None:
        return Measured(choice=choice, ratio=None, reason="wrong")
    return Measured(choice=choice, ratio=Ratio(median=median, low=median - width, high=median + width))


@pytest.mark.parametrize(
    ("measured", "winner"),
    [
        ([], USUAL),  # it had no turn
        ([found(USUAL, None)], ()),
        ([found(USUAL, 1.2)], ()),
        ([found(USUAL, 0.99, width=0.005)], ()),
        ([found(USUAL, 0.9, width=0.2)], USUAL),  # not certain: no plan would have it, too
        ([found(USUAL, 0.9, width=0.2), found(OTHER, 0.8)], OTHER),
        ([found(USUAL, None), found(OTHER, 0.9, width=0.2)], ()),
        ([found(USUAL, 0.5), found(OTHER, 0.4)], OTHER),
        ([found(USUAL, 0.5), found(OTHER, 0.49)], USUAL),  # within noise
        ([found(USUAL, 0.5), found(OTHER, 0.4, width=0.15)], USUAL),
        ([found(USUAL, 1.3), found(OTHER, 0.9)], OTHER),
        ([found(USUAL, 1.3), found(OTHER, None)], ()),
        ([found(USUAL, None), found(OTHER, 0.9), found(("conv",), 0.7)], ("conv",)),
    ],
)
def test_the_fastest_wins_if_that_is_certain(measured: list[Measured], winner: Choice) -> None:
    assert select_winner(measured, USUAL) == winner


def test_every_candidate_has_its_turn() -> None:
    space = (("rows", (4, 6)),)
    contest = Contest(
        key=("e", "v", "d"), name="v::d", default=USUAL, others=["conv"], spaces=[("matmul", space)], most=9, seed=0
    )
    turns = []
    while (choice := contest.next()) is not None:
        turns.append(choice)
        contest.tell(found(choice, 0.3 if choice == OTHER else 0.6))
    assert turns == [USUAL, ("conv",), ("matmul{rows=4}",), OTHER]
    assert contest.winner == OTHER and [m.choice for m in contest.measured] == turns
