"""Histograms of errors and maps of where they sit, on made-up numbers."""

from __future__ import annotations

import numpy as np

from substitute.validate.picture import COLUMNS, ROWS, ULP_EDGES, error_map, histogram


def counts(found: list[float], golden: list[float]) -> dict[str, int]:
    result = histogram(np.array(found, np.float32), np.array(golden), "f32")
    named = {f"{low:g}": n for low, n in zip((-np.inf, *ULP_EDGES), result.counts, strict=True) if n}
    return {**named, "not finite": result.not_finite} if result.not_finite else named


def test_errors_in_units_of_the_last_place() -> None:
    unit = 2.0**-23  # of 1.0 in f32
    assert counts([1.0, 1.0 + unit, 1.0 + 3 * unit, 1.0 - 0.5 * unit], [1.0] * 4) == {"-0.5": 2, "1": 1, "2": 1}
    assert counts([1.0 + 2000 * unit, 0.5], [1.0, 1.0]) == {"1024": 1, "-inf": 1}


def test_what_is_not_finite_is_counted_apart() -> None:
    assert counts([np.nan, np.inf, 1.0], [1.0, np.inf, np.nan]) == {"not finite": 3}


def test_integers_differ_by_whole_units() -> None:
    result = histogram(np.array([5, 6, 9]), np.array([5, 5, 5]), "i32")
    assert result.counts[8:11] == (1, 0, 1)
    assert result.counts[12] == 1
    assert result.total == 3


def test_a_small_result_has_a_cell_for_each_element() -> None:
    share = np.arange(6.0).reshape(2, 3)
    assert error_map(share).cells == ((0, 1, 2), (3, 4, 5))


def test_cells_keep_their_largest_error() -> None:
    share = np.zeros((100, 4, 1000))
    share[99, 3, 17] = 5.0
    share[0, 0, 999] = np.inf
    grid = error_map(share)
    cells = np.array(grid.cells)
    assert (cells.shape, grid.shape) == ((ROWS, COLUMNS), (100, 4, 1000))
    assert (cells[-1, 1], cells[0, -1]) == (5.0, np.inf)
    assert np.count_nonzero(cells) == 2


def test_scalars_and_empty_results() -> None:
    assert error_map(np.array(0.5)).cells == ((0.5,),)
    assert error_map(np.zeros((0, 4))).cells == ()
    assert error_map(np.zeros((2, 0))).cells == ((), ())
