"""Sums of few bits: where every partial sum is a number of its type, no order of additions rounds.

A sum of f16 over 1,024 terms has no useful bound; of small integers it has one result, whatever the order.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .numbers import SAMPLE, Arithmetic, Array, Element, Num

_MANTISSA = 53


def find_step(values: Array, element: Element) -> float:
    """Return the largest power of two of which all values are multiples; 0 if a few of them need most of the type's
    bits, or one is not finite. A step of zeros alone is infinite.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    step = math.inf
    for part in (flat[:SAMPLE], flat[SAMPLE:]):
        if part.size:
            step = min(step, _step_of(part))
            largest = max(float(part.max()), -float(part.min()))
            if not largest <= step / element.unit:
                return 0.0
    return step


def _step_of(values: Array) -> float:
    values = values[values != 0]
    if not values.size:
        return math.inf
    if not np.isfinite(values).all():
        return 0.0
    fraction, exponent = np.frexp(values)
    digits = (fraction * 2.0**_MANTISSA).astype(np.int64)
    return float(np.ldexp((digits & -digits).astype(np.float64), exponent - _MANTISSA).min())


def add_exactly(how: Arithmetic, error: Array, magnitude: Array, step: float, element: Element) -> Array:
    """Return the error of sums of multiples of `step` whose absolute values add up to `magnitude`: 0 where no partial
    sum needs more bits than the type has.
    """
    own, size = how.start
    step = min(step, own)
    if not how.exact_sums or not step >= element.smallest:
        return error
    return np.where(magnitude + size <= step / how.unit(element), 0.0, error)


def started(how: Arithmetic, initial: Num, element: Element) -> Arithmetic:
    """Return the options for sums that start from these values."""
    values = initial.value
    if not any(values.strides):
        values = values.reshape(-1)[:1]
    if not how.exact_sums or not element.is_float or not values.any():
        return how
    step = find_step(values, element) if initial.error is None else 0.0
    return replace(how, start=(step, float(np.abs(values).max(initial=0.0))))
