"""Results of a whole model, compared with stock IREE's and with those of the model's own framework."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

TOLERANCES = {"f64": 1e-10, "f32": 1e-4, "f16": 2e-2, "bf16": 1e-1}
"""Tolerance of a result's difference from stock IREE's, as a share of the largest magnitude in stock's result.

Both round every operation, in different orders, through all layers of a model; other types have to be equal.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultVerdict:
    """One result of the model, compared with stock."""

    number: int
    type: str
    largest_error: float
    """Largest |substituted - stock|."""
    share: float
    """The error as a share of the largest magnitude in stock's result."""
    tolerance: float
    """Limit of the share."""
    reason: str
    """Reason why it failed; empty if it passed."""

    @property
    def passed(self) -> bool:
        """True if the result is within the tolerance."""
        return not self.reason


def compare(number: int, found: np.ndarray[Any, Any], stock: np.ndarray[Any, Any]) -> ResultVerdict:
    """Compare one result with stock's: shape, type, positions of NaN and infinity, then the error."""
    from ..device.value_type import type_of

    type_ = type_of(stock)
    tolerance = TOLERANCES.get(type_.element, 0.0)
    largest = share = 0.0
    reason = ""
    if str(type_of(found)) != str(type_):
        return ResultVerdict(
            number=number,
            type=str(type_),
            largest_error=float("inf"),
            share=float("inf"),
            tolerance=tolerance,
            reason=f"it is {type_of(found)}",
        )
    a, b = found.astype(np.float64), stock.astype(np.float64)  # (integers are compared exactly, below)
    if not np.array_equal(_special(a), _special(b)):
        reason = "NaN or infinity stands in other places"
        largest = share = float("inf")
    elif a.size:
        finite = np.isfinite(b)
        largest = float(np.abs(a[finite] - b[finite]).max(initial=0.0))
        scale = float(np.abs(b[finite]).max(initial=0.0))
        share = largest / scale if scale else (0.0 if largest == 0 else float("inf"))
        different = int(np.count_nonzero(found != stock))
        if not tolerance and different:
            reason = f"{different} of {a.size} elements differ, and {type_.element} has to be equal"
        elif share > tolerance:
            reason = f"the error is {share:.2g} of the largest magnitude, more than {tolerance:g}"
    return ResultVerdict(
        number=number, type=str(type_), largest_error=largest, share=share, tolerance=tolerance, reason=reason
    )


def missing(number: int, stock: np.ndarray[Any, Any], reason: str) -> ResultVerdict:
    """Return the verdict on a missing result."""
    from ..device.value_type import type_of

    type_ = type_of(stock)
    return ResultVerdict(
        number=number,
        type=str(type_),
        largest_error=float("inf"),
        share=float("inf"),
        tolerance=TOLERANCES.get(type_.element, 0.0),
        reason=reason,
    )


def _special(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return 1 for NaN, 2 and -2 for the infinities, 0 for all other numbers."""
    return np.where(np.isnan(values), 1, np.where(np.isinf(values), np.sign(values) * 2, 0))


def compare_three(number: int, found: Any, stock: Any, expected: Any) -> ResultVerdict:
    """Compare one result with stock's and with that of the model's own framework.

    Its error must be within the tolerance, or at most twice stock IREE's. If stock IREE is itself far from the expected
    result, a difference from stock is no fault.
    """
    wanted = np.asarray(expected)
    ours, theirs = compare(number, found, wanted), compare(number, stock, wanted)
    if not ours.passed and theirs.share < ours.share <= 2 * theirs.share and np.isfinite(theirs.share):
        ours = replace(ours, tolerance=2 * theirs.share, reason="")
    if ours.reason:
        beside = f"stock IREE's error is {theirs.share:.2g}" if theirs.passed else f"stock IREE: {theirs.reason}"
        return replace(ours, reason=f"beside what was expected: {ours.reason} ({beside})")
    return ours
