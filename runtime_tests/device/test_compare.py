"""Comparison with expected values: what passes, what fails, and the place in the message."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from substitute.device import compare_expected, compare_values
from substitute.errors import UsageError

pytestmark = pytest.mark.unit

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_equal_values() -> None:
    (comparison,) = compare_expected([X], ["2x3xf32=0 1 2 3 4 5"])
    assert comparison.equal
    assert str(comparison) == "result 0: as expected, largest error 0 absolute, 0 relative"


def test_difference_is_located() -> None:
    wrong = X.copy()
    wrong[1, 1] += 0.5
    wrong[1, 2] -= 0.25
    (comparison,) = compare_expected([wrong], ["2x3xf32=0 1 2 3 4 5"])
    assert not comparison.equal
    assert str(comparison) == (
        "result 0: 2 of 6 elements differ, first at [1, 1]: expected 4.0, found 4.5; "
        "largest error 0.5 absolute, 0.125 relative, allowed 0.0001 + 1e-05·|expected|"
    )


@pytest.mark.parametrize(
    ("dtype", "near", "far"),
    [
        (np.float16, 9e-4, 2e-3),
        (ml_dtypes.bfloat16, 9e-3, 2e-2),
        (np.float32, 9e-5, 2e-4),
        (np.float64, 9e-5, 2e-4),
    ],
)
def test_tolerances_are_those_of_the_runtimes_own_tool(dtype: type, near: float, far: float) -> None:
    zero = np.zeros(3, dtype)
    assert compare_values(np.full(3, near).astype(dtype), zero).equal
    assert not compare_values(np.full(3, far).astype(dtype), zero).equal
    # the relative part: 1e-5 of a large value
    assert compare_values(np.array([1e5 + 0.9]), np.array([1e5])).equal
    assert not compare_values(np.array([1e5 + 1.1]), np.array([1e5])).equal


def test_integers_and_booleans_must_be_equal() -> None:
    assert compare_values(np.array([1, 2]), np.array([1, 2])).equal
    assert not compare_values(np.array([1, 2]), np.array([1, 3])).equal
    assert not compare_values(np.array([2**62]), np.array([2**62 + 1])).equal
    assert not compare_values(np.array([True]), np.array([False])).equal


def test_values_that_are_no_numbers() -> None:
    nan, inf = np.float32(np.nan), np.float32(np.inf)
    assert compare_values(np.array([nan, inf, -inf]), np.array([nan, inf, -inf])).equal
    for found, expected in ((nan, 1), (1, nan), (inf, -inf), (inf, 1), (1, inf)):
        comparison = compare_values(np.array([found], np.float32), np.array([expected], np.float32))
        assert not comparison.equal and comparison.max_absolute == np.inf


def test_shapes_and_types_must_be_equal() -> None:
    shapes, types = compare_expected([X, X], ["3x2xf32=1", "2x3xi32=1"])
    assert str(shapes) == "result 0: expected 3x2xf32, found 2x3xf32"
    assert str(types) == "result 1: expected 2x3xi32, found 2x3xf32"
    assert not shapes.equal and not types.equal
    assert compare_values(np.ones(2, np.uint32), np.ones(2, np.int32)).equal


def test_ignored_results_and_plain_numbers() -> None:
    comparisons = compare_expected([X, np.array(5, np.int32)], ["(ignored)", "5"])
    assert all(comparison.equal for comparison in comparisons)
    (wrong,) = compare_expected([np.array(5, np.int32)], ["6"])
    assert str(wrong) == (
        "result 0: 1 of 1 elements differ: expected 6, found 5; "
        "largest error 1 absolute, 0.167 relative, allowed 0 + 0·|expected|"
    )


def test_number_of_expected_values() -> None:
    with pytest.raises(UsageError) as caught:
        compare_expected([X, X], ["2x3xf32"])
    assert str(caught.value) == (
        "--expected_output: wrong number of expected values\n"
        "  expected:  one for each of 2 results\n"
        "  found:     1\n"
        "  next:      write (ignored) for a result that may be anything"
    )


def test_empty_tensors_are_equal() -> None:
    assert compare_values(np.empty((0, 3), np.float32), np.empty((0, 3), np.float32)).equal
