"""Distribution and map of the errors of one case: small enough to be stored with a verdict and drawn later."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elements import quiet, ulp

ULP_EDGES = (-1024.0, -256.0, -64.0, -16.0, -4.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
"""Bounds of the histogram's bins, in units of the last place of the golden; the outermost bins are open."""

ROWS, COLUMNS = 24, 64
"""Largest size of a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Signed errors in units of the last place: number in each bin of `ULP_EDGES`, with open bins at both ends."""

    counts: tuple[int, ...]
    not_finite: int
    """Number of elements at which the result or the golden is infinite or NaN."""

    @property
    def total(self) -> int:
        """Number of elements counted."""
        return sum(self.counts) + self.not_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMap:
    """The largest |error| ÷ allowed in each cell of a grid laid over a result.

    Columns run along the result's last dimension, rows along all others together, row-major.
    """

    cells: tuple[tuple[float, ...], ...]
    """Infinite where only one of result and golden is finite, or where an exact result differs."""
    shape: tuple[int, ...]
    """Shape of the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Errors of one result of one case, to be drawn."""

    case: str
    result: str
    candidate: Histogram
    baseline: Histogram | None
    map: ErrorMap | None
    """None if only some elements were judged."""
    number: int = 0
    """Number of the result among those of its case."""


@quiet
def histogram(found: NDArray[Any], golden: NDArray[Any], element: str) -> Histogram:
    """Count the signed errors of `found` in units of the golden's last place."""
    a, b = np.asarray(found).astype(np.float64).reshape(-1), np.asarray(golden).astype(np.float64).reshape(-1)
    finite = np.isfinite(a) & np.isfinite(b)
    errors = (a[finite] - b[finite]) / ulp(b[finite], element)
    bins = np.searchsorted(np.asarray(ULP_EDGES), errors, side="right")
    counts = np.bincount(bins, minlength=len(ULP_EDGES) + 1)
    return Histogram(counts=tuple(int(c) for c in counts), not_finite=int(np.count_nonzero(~finite)))


@quiet
def error_map(share: NDArray[np.float64]) -> ErrorMap:
    """Return the largest value of each cell of a grid over |error| ÷ allowed, `share` of the result's shape."""
    shape = tuple(int(s) for s in share.shape)
    flat = share.reshape(math.prod(shape[:-1]), shape[-1] if shape else 1)
    cells = []
    for rows in _split(flat.shape[0], ROWS):
        band = flat[rows]
        cells.append(tuple(float(band[:, columns].max(initial=0.0)) for columns in _split(flat.shape[1], COLUMNS)))
    return ErrorMap(cells=tuple(cells), shape=shape)


@quiet
def _split(size: int, most: int) -> list[slice]:
    """Return at most `most` adjacent slices that cover `size` elements."""
    count = min(size, most)
    bounds = [round(i * size / count) for i in range(count + 1)] if count else []
    return [slice(a, b) for a, b in itertools.pairwise(bounds)]
