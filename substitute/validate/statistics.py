"""Statistics of the signed errors of results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elements import quiet, ulp


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """The signed errors of some results relative to their golden, over the elements that can be judged.

    `bias`, `spread` and `largest` are in units of what is allowed for each element.
    """

    count: int = 0
    bias: float = 0.0
    """Mean of error ÷ allowed."""
    spread: float = 0.0
    """Standard deviation of error ÷ allowed."""
    largest: float = 0.0
    """Largest |error| ÷ allowed."""
    rounding: float = 0.0
    """Average value of one unit in the last place in these units."""
    largest_absolute: float = 0.0
    largest_relative: float = 0.0
    """Largest |error ÷ golden|, where the golden is not zero."""
    largest_ulp: float = 0.0
    """Largest |error| in units of the last place of the golden."""


LARGEST_SHARE = 1e140
"""Limit of |error ÷ allowed error|: sums of squares of these stay finite."""


@quiet
def measure(found: NDArray[Any], golden: NDArray[Any], allowed: NDArray[np.float64], element: str) -> Errors:
    """Return statistics of `found - golden` where both are finite and `allowed` is finite and not zero."""
    a, b = _wide(found), _wide(golden)
    judged = np.isfinite(a) & np.isfinite(b) & np.isfinite(allowed)
    if not judged.any():
        return Errors()
    a, b, limit = a[judged], b[judged], allowed[judged]
    error = (a - b).astype(np.float64)
    unit = ulp(b, element)
    size = np.abs(b).astype(np.float64)
    relative = np.abs(error[size > 0]) / size[size > 0]
    bounded = limit > 0
    share = np.clip(error[bounded] / limit[bounded], -LARGEST_SHARE, LARGEST_SHARE)
    return Errors(
        count=int(np.count_nonzero(bounded)),
        bias=float(share.mean()) if share.size else 0.0,
        spread=float(share.std()) if share.size else 0.0,
        largest=float(np.abs(share).max(initial=0.0)),
        rounding=float((unit[bounded] / limit[bounded]).mean()) if share.size else 0.0,
        largest_absolute=float(np.abs(error).max(initial=0.0)),
        largest_relative=float(relative.max(initial=0.0)),
        largest_ulp=float((np.abs(error) / unit).max(initial=0.0)),
    )


def pool(parts: list[Errors]) -> Errors:
    """Return the statistics of several sets of errors together."""
    parts = [p for p in parts if p.count]
    count = sum(p.count for p in parts)
    if not count:
        return Errors()
    bias = sum(p.count * p.bias for p in parts) / count
    second = sum(p.count * (p.spread**2 + p.bias**2) for p in parts) / count
    return Errors(
        count=count,
        bias=bias,
        spread=float(np.sqrt(max(second - bias**2, 0.0))),
        largest=max(p.largest for p in parts),
        rounding=sum(p.count * p.rounding for p in parts) / count,
        largest_absolute=max(p.largest_absolute for p in parts),
        largest_relative=max(p.largest_relative for p in parts),
        largest_ulp=max(p.largest_ulp for p in parts),
    )


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    """Return long doubles, which hold every 64-bit integer, so that those that float64 cannot distinguish still
    differ.
    """
    return np.asarray(values).astype(np.longdouble if np.asarray(values).dtype.kind in "iu" else np.float64)
