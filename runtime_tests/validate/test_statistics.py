"""Statistics of signed errors, on made-up numbers."""

from __future__ import annotations

import numpy as np
import pytest

from substitute.validate.statistics import Errors, measure, pool

pytestmark = pytest.mark.unit


def test_known_errors() -> None:
    golden = np.array([1.0, 2.0, -4.0, 0.0])
    found = np.float32([1.0 + 2**-20, 2.0, -4.0 - 2**-18, 0.0])
    errors = measure(found, golden, np.full(4, 2.0**-18), "f32")
    assert errors.count == 4
    assert errors.bias == (0.25 + 0 - 1.0 + 0) / 4
    assert errors.largest == 1.0
    assert errors.largest_absolute == 2.0**-18
    assert errors.largest_relative == 2.0**-20
    assert errors.largest_ulp == 8.0  # one in 2^23 of 1.0 is one unit: 2^-20 is eight, and so is 2^-18 of 4.0
    assert np.isclose(errors.spread, np.std([0.25, 0, -1, 0]))


def test_what_cannot_be_judged_does_not_count() -> None:
    golden = np.array([1.0, np.nan, np.inf, 5.0, 7.0])
    found = np.float32([2.0, np.nan, np.inf, 9.0, np.inf])
    errors = measure(found, golden, np.array([1.0, 1.0, 1.0, np.inf, 1.0]), "f32")
    assert (errors.count, errors.bias, errors.largest) == (1, 1.0, 1.0)
    assert measure(found[1:3], golden[1:3], np.ones(2), "f32") == Errors()


def test_an_exact_element_has_no_share() -> None:
    errors = measure(np.float32([1.5]), np.array([1.0]), np.zeros(1), "f32")
    assert (errors.count, errors.largest, errors.largest_absolute) == (0, 0.0, 0.5)


def test_integers_that_float64_cannot_tell_apart() -> None:
    errors = measure(np.int64([2**53 + 1]), np.int64([2**53]), np.ones(1), "i64")
    assert (errors.largest_absolute, errors.largest_ulp) == (1.0, 1.0)


def test_shares_whose_squares_leave_the_range_of_float64() -> None:
    errors = measure(np.full(2, 1e300), np.zeros(2), np.array([1e-300, 1.0]), "f64")
    assert np.isfinite((errors.bias, errors.spread, errors.largest)).all() and errors.largest > 1e100
    assert pool([errors, errors]).count == 4


def test_pooling_is_measuring_together() -> None:
    random = np.random.default_rng(1)
    golden, allowed = random.standard_normal(100), np.full(100, 1e-6)
    found = (golden + 1e-7 * random.standard_normal(100)).astype(np.float32)
    whole = measure(found, golden, allowed, "f32")
    parts = [measure(found[s], golden[s], allowed[s], "f32") for s in (slice(0, 30), slice(30, 100))]
    pooled = pool([*parts, Errors()])
    for name in ("count", "bias", "spread", "largest", "rounding", "largest_absolute", "largest_ulp"):
        assert np.isclose(getattr(pooled, name), getattr(whole, name)), name
    assert pool([]) == Errors()
