"""Approximate instructions with the largest error that they may have."""

from __future__ import annotations

import numpy as np
import pytest

from substitute.device.cuda_sim.approximations import add_largest_error, divide
from substitute.device.cuda_sim.floating import approximate

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("name", "relative"), [("lg2", 2.0**-22), ("tanh", 2.0**-11), ("sqrt", 2.0**-23)])
def test_errors_are_about_the_bound_and_on_both_sides(name: str, relative: float) -> None:
    x = np.linspace(2.1, 3.0, 500).astype(np.float32)
    nearest = approximate(name, x).astype(np.float64)
    worst = add_largest_error(name, "f32", lambda v: approximate(name, v))(x).astype(np.float64)
    share = (worst - nearest) / (nearest * relative)
    assert (np.abs(share) > 0.5).mean() > 0.9  # (a rounding takes some away)
    assert np.abs(share).max() < 1.5
    assert (share > 0).any() and (share < 0).any()
    again = add_largest_error(name, "f32", lambda v: approximate(name, v))(x)
    assert np.array_equal(again, worst.astype(np.float32))


def test_a_sine_of_large_arguments_is_useless() -> None:
    sine = add_largest_error("sin", "f32", lambda v: approximate("sin", v))
    small, large = np.linspace(-3, 3, 99, dtype=np.float32), np.linspace(1e6, 2e6, 99, dtype=np.float32)
    assert np.abs(sine(small) - np.sin(small)).max() < 2.0**-20
    assert np.abs(sine(large) - np.sin(large.astype(np.float64))).max() > 0.5
    assert np.abs(sine(large)).max() <= 1


def test_what_every_device_gives_exactly_is_kept() -> None:
    x = np.array([0.0, 1.0, 3.0, -4.0, np.inf, -np.inf, np.nan], np.float32)
    worst = add_largest_error("ex2", "f32", lambda v: approximate("ex2", v))(x)
    assert np.array_equal(worst, np.exp2(x), equal_nan=True)


def test_an_approximate_quotient_of_large_divisors() -> None:
    a = np.array([1.0, 1.0, np.inf, -8.0], np.float32)
    b = np.array([4.0, 1e38, 1e38, 3e38], np.float32)
    assert np.array_equal(divide(a, b), np.array([0.25, 0.0, np.nan, -0.0], np.float32), equal_nan=True)
    assert np.signbit(divide(a, b)[3])


@pytest.mark.parametrize(("name", "ulps"), [("ex2", 2), ("rcp", 1)])
def test_errors_in_units_of_the_last_place(name: str, ulps: int) -> None:
    x = np.concatenate([np.linspace(0.1, 30.0, 500), [-126.5, -130.25]]).astype(np.float32)
    x = x[:500] if name == "rcp" else x
    nearest = approximate(name, x)
    worst = add_largest_error(name, "f32", lambda v: approximate(name, v))(x)
    distance = np.abs(worst.view(np.int32).astype(np.int64) - nearest.view(np.int32))
    powers = np.frexp(nearest)[0] == 0.5
    assert (distance[~powers] == ulps).all() and not distance[powers].any()


def test_a_tanh_of_halves_is_wrong_by_as_much_everywhere() -> None:
    x = np.linspace(-3, 3, 400).astype(np.float16)
    tanh = add_largest_error("tanh", "f16", lambda v: np.tanh(v.astype(np.float64)).astype(np.float16))
    error = np.abs(tanh(x).astype(np.float64) - np.tanh(x.astype(np.float64)))
    assert 0.9 * 2.0**-10.987 < np.median(error[np.abs(x) < 0.5]) < 1.2 * 2.0**-10.987
    assert np.abs(tanh(x)).max() <= 1
