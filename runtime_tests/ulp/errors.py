"""References of the math functions, and distances from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def by_libm(function: Callable[[float], float]) -> Callable[[Any], Any]:
    """Apply a function of Python's to each number."""
    return lambda xs: np.array(list(map(function, xs.astype(np.float64).tolist())), np.longdouble)


REFERENCES: dict[str, Callable[[Any], Any]] = {
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "cbrt": np.cbrt,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": by_libm(math.erf),
    "erfc": by_libm(math.erfc),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "rsqrt": lambda xs: 1 / np.sqrt(xs),
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""MLIR's name, without its dialect → the function of long doubles."""


def ulps(found: Any, wanted: Any, type_: Any, *, flushed: bool = False) -> Any:
    """Return the distance in units in the last place of the wanted number; 0 for equal infinities and two NaNs.

    It is infinite where only one of both is a number. `flushed`: zero does in place of what is below the smallest
    normal number.
    """
    info = np.finfo(type_)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        rounded = wanted.astype(type_)
        same = (rounded == found) | (np.isnan(rounded) & np.isnan(found))
        if flushed:
            same |= (np.abs(wanted) < info.tiny) & (found == 0)
        found, wanted = found.astype(np.longdouble), wanted.astype(np.longdouble)
        size = np.maximum(np.abs(np.nan_to_num(wanted, posinf=float(info.max))), np.longdouble(info.tiny))
        unit = np.exp2(np.floor(np.log2(size)) - info.nmant)
        return np.where(same, 0.0, np.nan_to_num(np.abs(found - wanted) / unit, nan=np.inf, posinf=np.inf))


def largest_error(x: Any, found: Any, wanted: Any, least: float = 0.5) -> tuple[float, float] | None:
    """Return the largest error of f32 results in ULP and its argument; None where none is above `least` (at least 0.5).

    Exact errors take long, so they are computed only where they may be above it. A result that is n steps of f32 from
    the rounded one is at most 2n + 0.5 ULP from the wanted one: a step is two units of it where the exponent grows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = wanted.astype(np.float32)
    (at,) = np.nonzero((found.view(np.int32) != rounded.view(np.int32)) & ~(np.isnan(found) & np.isnan(rounded)))
    steps = np.abs(_in_order(found[at]) - _in_order(rounded[at]))
    at = at[2 * steps + 0.5 > least]
    if not len(at):
        return None
    errors = ulps(found[at], wanted[at], np.float32, flushed=True)
    worst = int(np.argmax(errors))
    return (float(errors[worst]), float(x[at[worst]])) if errors[worst] > least else None


def _in_order(numbers: Any) -> Any:
    """Return integers that follow each other as the numbers of f32 do."""
    bits = numbers.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
