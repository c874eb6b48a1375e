"""Comparison of results with expected values, as in `iree-run-module`: |actual − expected| ≤ atol + rtol·|expected|."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from .arguments import parse_inputs
from .value_type import Array, element_name, type_of

ABSOLUTE_TOLERANCES = (("f16", 1e-3), ("bf16", 1e-2), ("f32", 1e-4), ("f64", 1e-4))
"""IREE's defaults (`--expected_f32_threshold` and its siblings); values of every other type must be equal."""
RELATIVE_TOLERANCE = 1e-5
"""IREE's default (`--expected_rtol`)."""
IGNORED = "(ignored)"
"""Placeholder for an expected value: the result is not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Comparison of one result with its expected value."""

    result: int
    """Position among the function's results."""
    equal: bool
    reason: str = ""
    """Difference of shapes or types; empty if only values can differ."""
    differing: int = 0
    """Number of elements outside of the tolerance."""
    elements: int = 0
    first_index: tuple[int, ...] | None = None
    """Coordinates of the first element outside of the tolerance."""
    actual_there: str = ""
    expected_there: str = ""
    max_absolute: float = 0.0
    """Largest |actual − expected| of all elements; infinite where one is not a number and the other is."""
    max_relative: float = 0.0
    """Largest |actual − expected| / |expected|, over elements whose expected value is not zero."""
    absolute_tolerance: float = 0.0
    relative_tolerance: float = 0.0

    def __str__(self) -> str:
        if self.reason:
            return f"result {self.result}: {self.reason}"
        distance = f"largest error {self.max_absolute:.3g} absolute, {self.max_relative:.3g} relative"
        if self.equal:
            return f"result {self.result}: as expected, {distance}"
        assert self.first_index is not None
        at = f", first at [{', '.join(map(str, self.first_index))}]" if self.first_index else ""
        return (
            f"result {self.result}: {self.differing} of {self.elements} elements differ{at}: "
            f"expected {self.expected_there}, found {self.actual_there}; {distance}, "
            f"allowed {self.absolute_tolerance:g} + {self.relative_tolerance:g}·|expected|"
        )


def compare_expected(results: Sequence[Array], expected: Sequence[str]) -> list[Comparison]:
    """Compare results with `--expected_output` values, one for each result. Raises `UsageError`."""
    # an .npy file may hold several values, and (ignored) holds a place
    wanted: list[Array | None] = []
    for text in expected:
        wanted += [None] if text == IGNORED else parse_inputs([text])
    if len(wanted) != len(results):
        raise UsageError(
            "wrong number of expected values",
            where="--expected_output",
            expected=f"one for each of {len(results)} results",
            found=str(len(wanted)),
            next_step=f"write {IGNORED} for a result that may be anything",
        )
    return [
        compare_values(actual, value, result=at) if value is not None else Comparison(result=at, equal=True)
        for at, (actual, value) in enumerate(zip(results, wanted, strict=True))
    ]


def compare_values(
    actual: Array,
    expected: Array,
    *,
    result: int = 0,
    absolute_tolerance: float | None = None,
    relative_tolerance: float = RELATIVE_TOLERANCE,
) -> Comparison:
    """Compare two arrays of equal shape and type; without a tolerance, with IREE's for the type."""
    kinds = type_of(actual), type_of(expected)
    # MLIR's integers have no sign, so signed and unsigned types compare as equal
    if actual.shape != expected.shape or kinds[0].element.lstrip("u") != kinds[1].element.lstrip("u"):
        return Comparison(result=result, equal=False, reason=f"expected {kinds[1]}, found {kinds[0]}")
    floating = dict(ABSOLUTE_TOLERANCES).get(element_name(actual.dtype))
    if absolute_tolerance is None:
        absolute_tolerance = floating if floating is not None else 0.0
    if floating is None:
        relative_tolerance = 0.0
    error, allowed, relative = _errors(actual, expected, absolute_tolerance, relative_tolerance)
    wrong = np.atleast_1d(~(error <= allowed))
    differing = int(np.count_nonzero(wrong))
    first = tuple(int(at) for at in np.argwhere(wrong)[0][: actual.ndim]) if differing else None
    return Comparison(
        result=result,
        equal=not differing,
        differing=differing,
        elements=actual.size,
        first_index=first,
        actual_there=str(actual[first]) if first is not None else "",
        expected_there=str(expected[first]) if first is not None else "",
        max_absolute=float(error.max(initial=0.0)),
        max_relative=float(relative.max(initial=0.0)),
        absolute_tolerance=absolute_tolerance,
        relative_tolerance=relative_tolerance,
    )


def _errors(actual: Array, expected: Array, absolute: float, relative: float) -> tuple[Array, Array, Array]:
    """Return |actual − expected|, the allowed error and the relative error, per element, in float64."""
    exact = actual.dtype.kind in "iub"
    wide = np.complex128 if actual.dtype.kind == "c" else np.float64
    a, b = actual.astype(wide), expected.astype(wide)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.abs(a - b)
        same = (actual == expected.astype(actual.dtype)) | (np.isnan(a) & np.isnan(b))
        error = np.where(same, 0.0, error)
        if exact:  # 64-bit integers that float64 cannot tell apart still differ
            error = np.where(~same & (error == 0.0), 1.0, error)
        error = np.where(np.isnan(error), np.inf, error)
        allowed = absolute + relative * np.where(np.isfinite(b), np.abs(b), 0.0)
        size = np.abs(b)
        ratio = np.where((size > 0) & np.isfinite(size), error / size, 0.0)
    return error, allowed, ratio
