"""The measure of errors is tried on errors of known size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtime_tests.ulp.errors import largest_error, ulps

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("type_", [np.float32, np.float64])
def test_neighbours_are_one_unit_apart(type_: type) -> None:
    x = np.array([1.0, 3.0, -1e-3, 0.0, math.inf, math.nan], type_)
    wanted = x.astype(np.longdouble)
    assert ulps(x, wanted, type_).tolist() == [0.0] * 6
    assert ulps(np.nextafter(x, type_(10)), wanted, type_)[:4].tolist() == [1.0] * 4


def test_what_is_no_number_is_infinitely_wrong() -> None:
    wanted = np.array([1.0, math.nan, math.inf, -math.inf, 1e30])
    found = np.array([math.nan, 1.0, -math.inf, 3e38, math.inf], np.float32)
    assert np.isposinf(ulps(found, wanted, np.float32)).all()
    assert ulps(np.array([math.inf], np.float32), np.array([4e38]), np.float32) == 0  # rounds to infinity


def test_zero_does_for_small_numbers_only_where_it_is_allowed() -> None:
    wanted, zero = np.array([1e-39, 1e-37]), np.zeros(2, np.float32)
    assert (ulps(zero, wanted, np.float32) > 1000).all()
    assert (ulps(zero, wanted, np.float32, flushed=True) > 1000).tolist() == [False, True]


def test_the_largest_error_is_found_where_it_is() -> None:
    draw = np.random.default_rng(7)
    wanted = np.concatenate([draw.normal(size=1000) * 10.0 ** draw.integers(-44, 38, 1000), [math.nan, math.inf, 2.0]])
    found = wanted.astype(np.float32)
    found[draw.integers(0, 1000, 100)] *= np.float32(1 + 3e-7)
    x = np.arange(len(wanted), dtype=np.float32)
    errors = ulps(found, wanted, np.float32, flushed=True)
    worst = int(np.argmax(errors))
    assert errors[worst] > 2
    assert largest_error(x, found, wanted) == (errors[worst], worst)
    assert largest_error(x, found, wanted, least=float(errors[worst])) is None
    assert largest_error(x, wanted.astype(np.float32), wanted) is None
    found[-1] = math.nan
    assert largest_error(x, found, wanted) == (math.inf, len(x) - 1)
