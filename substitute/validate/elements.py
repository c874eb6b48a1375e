"""IREE's element types in memory, and their rounding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ValidationError
from ..model.elements import ELEMENT, ELEMENTS, ML_FLOATS, FloatFormat
from ..model.numpy_types import numpy_type

P = ParamSpec("P")
T = TypeVar("T")
SIGNIFICANT_BITS = {e.name: e.format.significant_bits for e in ELEMENTS if e.format}
"""Integers up to two to this power are all representable."""
INTEGERS = {"i1": np.int8, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "index": np.int64}


@cache
def storage_type(element: str) -> np.dtype[Any]:
    """Return the type of an element in memory: an i1 is a byte. Raises `ValidationError` for one that NumPy cannot
    hold.
    """
    if element in INTEGERS:
        return np.dtype(INTEGERS[element])
    if element in ("f16", "f32", "f64"):
        return np.dtype(f"f{int(element[1:]) // 8}")
    if element not in ML_FLOATS:
        raise ValidationError(f"elements of type {element} cannot be laid out", expected="elements of whole bytes")
    return numpy_type(ML_FLOATS[element])


def quiet(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function for which NumPy would warn of signalling NaN and of what leaves the range of its type."""

    @wraps(function)
    def silent(*arguments: P.args, **named: P.kwargs) -> T:
        with np.errstate(invalid="ignore", over="ignore"):
            return function(*arguments, **named)

    return silent


def is_float(element: str) -> bool:
    """Return True for floating-point types."""
    return element in SIGNIFICANT_BITS


def ulp(values: NDArray[Any], element: str) -> NDArray[np.float64]:
    """Return the distance between neighbours of the element type around each value; 1 for integers."""
    if not is_float(element):
        return np.ones(np.shape(values))
    bits = SIGNIFICANT_BITS[element]
    smallest = float(smallest_normal(element))
    size = np.where(np.isfinite(values), np.abs(values.astype(np.float64)), 0.0)
    _, exponent = np.frexp(np.maximum(size, smallest))
    return np.asarray(np.ldexp(1.0, exponent - bits), np.float64)


def smallest_normal(element: str) -> float:
    """Return the smallest normal number of a float type."""
    return _format(element).smallest_normal


def largest(element: str) -> float:
    """Return the largest finite number of a float type."""
    return _format(element).largest_value


def _format(element: str) -> FloatFormat:
    found = ELEMENT[element].format
    assert found is not None
    return found
