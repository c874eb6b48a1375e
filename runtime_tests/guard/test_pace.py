from __future__ import annotations

import math

import numpy as np

from substitute.device.ratio import confidence_interval
from substitute.guard.pace import ENOUGH_ROUNDS, FLOOR_US, MOST_ROUNDS, Pace, decide


def pace(ours: float, theirs: float, rounds: int, *, noise: float = 0.0, seed: int = 0) -> Pace:
    random = np.random.default_rng(seed)

    def draw(us: float) -> tuple[float, ...]:
        return tuple((us * np.exp(noise * np.abs(random.standard_normal(rounds)))).tolist())

    return Pace(ours_us=draw(ours), theirs_us=draw(theirs))


def test_a_clearly_faster_kernel_needs_three_rounds() -> None:
    assert decide(pace(50, 100, 2)) == "more"
    assert decide(pace(50, 100, 3)) == "fine"


def test_a_clearly_slower_kernel_needs_enough_rounds_to_be_called_so() -> None:
    assert decide(pace(200, 100, ENOUGH_ROUNDS - 1)) == "more"
    assert decide(pace(200, 100, ENOUGH_ROUNDS)) == "slower"
    assert decide(pace(200, 100, ENOUGH_ROUNDS - 1), last=True) == "fine"


def test_within_the_margin_or_below_the_floor_nothing_is_slower() -> None:
    assert decide(pace(109, 100, MOST_ROUNDS)) == "fine"
    assert decide(pace(3 + FLOOR_US, 4, MOST_ROUNDS)) == "fine"
    assert decide(pace(5 + FLOOR_US, 4, MOST_ROUNDS)) == "slower"


def test_equal_times_on_a_noisy_machine_are_hardly_ever_slower_and_never_twice() -> None:
    def slower(seed: int) -> bool:
        rounds = (decide(pace(100, 100, n, noise=0.5, seed=seed)) for n in range(3, MOST_ROUNDS + 1))
        return next(state for state in rounds if state != "more") == "slower"

    found = [slower(seed) for seed in range(1000)]
    assert sum(found) <= 5
    assert not any(a and b for a, b in zip(found[::2], found[1::2], strict=True))


def test_a_machine_that_slows_down_for_both_shifts_nothing() -> None:
    drift = [1 + 0.2 * i for i in range(MOST_ROUNDS)]
    both = Pace(ours_us=tuple(100 * d for d in drift), theirs_us=tuple(99 * d for d in drift))
    assert decide(both) == "fine"


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        low, high = confidence_interval(random.exponential(size=15).tolist())
        held += low <= math.log(2) <= high
    assert held >= 0.995 * 2000
    assert confidence_interval([1.0] * 9) == (-math.inf, math.inf)
