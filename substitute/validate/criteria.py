"""Criteria for wrong results: pure comparisons of arrays and of statistics, in the order of the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elements import is_float, largest, quiet, smallest_normal, ulp
from .statistics import Errors

STAGES = ("launch", "shape", "type", "guard", "unwritten", "accumulates", "non-finite", "error", "repeat", "baseline")
"""Stages in the order of the checks; a case fails at the first that it does not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The reason why a result is wrong."""

    stage: str
    message: str
    wrong: int = 0
    """Number of wrong elements."""
    first: int = -1
    """Position of the first wrong element in the flattened result, or of the worst for errors; -1: no single one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineCriteria:
    """Limits of a candidate's errors relative to those of IREE's own code, as a share of the allowed error, see
    `Errors`.

    |bias| ≤ bias_roundings + bias_spreads · the baseline's spread, and so on: the first term is in roundings (units in
    the last place), so that a candidate need not be exact where the baseline is by chance.
    """

    bias_roundings: float = 0.5
    bias_spreads: float = 2.0
    spread_roundings: float = 2.0
    spread_ratio: float = 8.0
    largest_roundings: float = 8.0
    largest_ratio: float = 16.0
    fewest: int = 64
    """Number of errors below which there is no meaningful distribution."""
    least_share: float = 0.1
    """The share of what is allowed below which errors are too small to matter, however they lie: IREE's own code may be
    exact by chance, and another order of a sum has another bias."""
    least_largest: float = 0.25
    """The same for the largest error alone: a plain sum of a thousand terms has more than a tenth now and then."""


def check_form(found: NDArray[Any], shape: tuple[int, ...], type_: np.dtype[Any]) -> Finding | None:
    """Check the shape, then the type."""
    if found.shape != shape:
        return Finding(stage="shape", message=f"it is {_shape(found.shape)}, not {_shape(shape)}")
    if found.dtype != type_:
        return Finding(stage="type", message=f"it is {found.dtype}, not {type_}")
    return None


def check_written(
    first: NDArray[Any], second: NDArray[Any], patterns: tuple[int, int], poisoned: NDArray[np.bool_]
) -> Finding | None:
    """Check for elements that hold the poison of either launch, where there was poison before it."""
    left = poisoned & holds(first, patterns[0]) & holds(second, patterns[1])
    if not left.any():
        return None
    return Finding(
        stage="unwritten", message=f"{_count(left)} never written", wrong=int(left.sum()), first=int(np.argmax(left))
    )


@quiet
def check_values(
    found: NDArray[Any], golden: NDArray[Any], allowed: NDArray[np.float64], element: str, *, signs: bool = False
) -> Finding | None:
    """Check positions of NaN and infinity, then |found - golden| ≤ allowed; with `signs` also the signs of zeros.

    All arrays have one shape. Elements for which `allowed` is infinite are not judged.
    """
    found, golden, allowed = (np.asarray(x).reshape(-1) for x in (found, golden, allowed))
    if not is_float(element):
        return _integers(found, golden, allowed)
    a = found.astype(np.float64)
    judged = ~np.isinf(allowed)
    wrong = judged & _misplaced(a, golden.astype(np.float64), np.nan_to_num(allowed), element)
    if wrong.any():
        at = int(np.argmax(wrong))
        return Finding(
            stage="non-finite",
            wrong=int(wrong.sum()),
            first=at,
            message=f"NaN or infinity stands in other places than it should: {_some(wrong)}",
        )
    share = excess(found, golden, allowed, element)
    wrong = share > 1.0
    if wrong.any():
        return Finding(
            stage="error",
            wrong=int(wrong.sum()),
            first=int(np.argmax(wrong)),
            message=f"{_count(wrong)} further from the golden than rounding explains, the worst {_times(share)}",
        )
    wrong = judged & (np.signbit(a) != np.signbit(golden)) & (a == 0) & (golden == 0)
    if signs and wrong.any():
        return Finding(
            stage="error",
            wrong=int(wrong.sum()),
            first=int(np.argmax(wrong)),
            message=f"zeros with the wrong sign: {_some(wrong)}",
        )
    return None


@quiet
def flushed(found: NDArray[Any], golden: NDArray[Any], allowed: NDArray[np.float64], element: str) -> NDArray[np.int64]:
    """Return positions of zeros that are only allowed because numbers below the smallest normal one may be flushed."""
    if not is_float(element):
        return np.zeros(0, np.int64)
    found, golden, allowed = (np.asarray(x).reshape(-1) for x in (found, golden, allowed))
    size = np.abs(golden.astype(np.float64))
    low = (size > 0) & (size < smallest_normal(element)) & (allowed >= size) & (allowed / 2 <= size)
    return np.flatnonzero(low & (found.astype(np.float64) == 0))


@quiet
def check_kept(zeros: NDArray[np.int64], theirs: NDArray[Any]) -> Finding | None:
    """Check for numbers flushed to zero here (see `flushed`) that IREE's own code keeps on the same device."""
    kept = zeros[theirs.reshape(-1)[zeros].astype(np.float64) != 0]
    if not kept.size:
        return None
    return Finding(
        stage="error",
        wrong=int(kept.size),
        first=int(kept[0]),
        message=f"{kept.size} of {theirs.size} elements, below the smallest normal number, are zero, and IREE's own "
        "code keeps them",
    )


@quiet
def wrong_signs(found: NDArray[Any], golden: NDArray[Any], element: str) -> NDArray[np.int64]:
    """Return positions of zeros, of the golden as well, that have the wrong sign."""
    if not is_float(element):
        return np.zeros(0, np.int64)
    a, b = (np.asarray(x).reshape(-1).astype(np.float64) for x in (found, golden))
    return np.flatnonzero((a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b)))


@quiet
def check_signs(wrong: NDArray[np.int64], theirs: NDArray[Any], golden: NDArray[Any]) -> Finding | None:
    """Check for zeros with the wrong sign (see `wrong_signs`) where IREE's own code has the right one on the same
    device.
    """
    a, b = (np.asarray(x).reshape(-1)[wrong].astype(np.float64) for x in (theirs, golden))
    right = wrong[(a == 0) & (np.signbit(a) == np.signbit(b))]
    if not right.size:
        return None
    return Finding(
        stage="error",
        wrong=int(right.size),
        first=int(right[0]),
        message=f"zeros with the wrong sign, where IREE's own code has the right one: {right.size} of {theirs.size} "
        "elements",
    )


@quiet
def excess(
    found: NDArray[Any], golden: NDArray[Any], allowed: NDArray[np.float64], element: str
) -> NDArray[np.float64]:
    """Return |found - golden| ÷ allowed, flat; zero where it cannot be judged, infinite where zero is allowed."""
    found, golden, allowed = (np.asarray(x).reshape(-1) for x in (found, golden, allowed))
    if not is_float(element):
        return np.where(_different(found, golden) > allowed, np.inf, 0.0)
    a, b = found.astype(np.float64), golden.astype(np.float64)
    judged = np.isfinite(a) & np.isfinite(b) & np.isfinite(allowed)
    error = np.abs(np.where(judged, a, 0.0) - np.where(judged, b, 0.0))
    with np.errstate(divide="ignore"):
        share = error / np.where(judged, allowed, 1.0)
    return np.where(error == 0, 0.0, share)


@quiet
def check_repeated(first: NDArray[Any], second: NDArray[Any], how: str) -> Finding | None:
    """Check that two results have the same bits, except in NaN."""
    a, b = np.ascontiguousarray(first).reshape(-1), np.ascontiguousarray(second).reshape(-1)
    same = (_words(a) == _words(b)).reshape(a.size, -1).all(axis=1) if a.size else np.ones(0, bool)
    if a.dtype.kind not in "iub":
        same |= np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64))
    if same.all():
        return None
    return Finding(
        stage="repeat",
        wrong=int((~same).sum()),
        first=int(np.argmin(same)),
        message=f"the same launch again, {how}, gives other bits in {_some(~same)}",
    )


def check_beside(candidate: Errors, baseline: Errors, criteria: BaselineCriteria) -> Finding | None:
    """Compare the distributions of errors of a candidate and of IREE's own code, with value, threshold and formula."""
    c = criteria
    if min(candidate.count, baseline.count) < c.fewest:
        return None
    unit = max(candidate.rounding, baseline.rounding)
    rules = (
        ("bias", abs(candidate.bias), c.bias_roundings, c.bias_spreads, baseline.spread, "spread", c.least_share),
        ("spread", candidate.spread, c.spread_roundings, c.spread_ratio, baseline.spread, "spread", c.least_share),
        (
            "largest error",
            candidate.largest,
            c.largest_roundings,
            c.largest_ratio,
            baseline.largest,
            "largest error",
            c.least_largest,
        ),
    )
    for name, value, roundings, ratio, theirs, of, least in rules:
        limit = roundings * unit + ratio * theirs
        if value > max(limit, least):
            return Finding(
                stage="baseline",
                message=f"its {name} is {value:.3g} of what is allowed, more than {limit:.3g} = "
                f"{roundings:g} roundings + {ratio:g} × the {of} of IREE's own code ({theirs:.3g})",
            )
    return None


def _misplaced(
    a: NDArray[np.float64], b: NDArray[np.float64], allowed: NDArray[np.float64], element: str
) -> NDArray[np.bool_]:
    """Return a mask of NaN or infinities in one result only, except where rounding may give an infinity."""
    wrong = np.isnan(a) != np.isnan(b)
    limit = largest(element)
    half = float(ulp(np.array([limit]), element)[0]) / 2
    with np.errstate(invalid="ignore", over="ignore"):
        may_overflow = np.abs(b) + allowed >= limit + half
        may_stay = np.abs(b) - allowed < limit + half
    expected_infinite = np.isinf(b) | (np.abs(b) >= limit + half)
    other = np.where(expected_infinite, ~np.isinf(a) & ~(may_stay & np.isfinite(b)), np.isinf(a) & ~may_overflow)
    signs = np.isinf(a) & ~np.isnan(b) & (np.sign(a) != np.sign(b))
    return np.asarray(wrong | (~np.isnan(a) & ~np.isnan(b) & (other | signs)), np.bool_)


def _integers(found: NDArray[Any], golden: NDArray[Any], allowed: NDArray[np.float64]) -> Finding | None:
    with np.errstate(invalid="ignore"):
        wrong = _different(found, golden) > allowed
    if not wrong.any():
        return None
    return Finding(
        stage="error",
        wrong=int(wrong.sum()),
        first=int(np.argmax(wrong)),
        message=f"{_count(wrong)} not what they should be",
    )


def _different(found: NDArray[Any], golden: NDArray[Any]) -> NDArray[np.float64]:
    """Return distances of integers, as the storage type's bits (IREE's integers have no sign)."""
    same = found == golden.astype(found.dtype)
    with np.errstate(over="ignore"):
        distance = np.abs(found.astype(np.float64) - golden.astype(found.dtype).astype(np.float64))
    return np.where(same, 0.0, np.maximum(distance, 1.0))


def holds(values: NDArray[Any], pattern: int) -> NDArray[np.bool_]:
    """Return for each element whether all of its bytes are this one."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if not flat.size:
        return np.zeros(0, bool)
    return np.asarray((_words(flat) == pattern).reshape(flat.size, -1).all(axis=1))


def _words(flat: NDArray[Any]) -> NDArray[np.uint8]:
    return flat.view(np.uint8)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _some(wrong: NDArray[np.bool_]) -> str:
    return f"{int(np.count_nonzero(wrong))} of {wrong.size} elements"


def _count(wrong: NDArray[np.bool_]) -> str:
    count = int(np.count_nonzero(wrong))
    return f"{count} of {wrong.size} elements {'is' if count == 1 else 'are'}"


def _times(share: NDArray[np.float64]) -> str:
    worst = float(share.max())
    return f"{worst:.3g} times what is allowed" if np.isfinite(worst) else "where it has to be exact"
