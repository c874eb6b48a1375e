"""Turning points of scalar operations: numbers at which wrong implementations differ from the right one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .elements import SIGNIFICANT_BITS, largest, smallest_normal, storage_type

_LN2 = math.log(2)
_HALVES = (0.5, 1.5, 2.5, 3.5, 126.5, 127.5, 128.5, 254.5, 255.5, 32767.5, 1023.5, 0.49999997, 0.99999994)
_WHOLE = tuple(2.0**k + d for k in (7, 8, 15, 16, 22, 23, 24, 31, 32) for d in (-0.5, 0.0, 0.5, 1.0))
_BEYOND = (2.0**53, 2.0**62, 2.0**63, 2.0**64, 1e30)
"""Whole numbers that do not fit an integer type of some width."""
_NEAR_ZERO = tuple(10.0**-k for k in (1, 2, 3, 4, 5, 6, 8, 12, 20, 30))
_NEAR_ONE = (1 - 2.0**-24, 1 - 2.0**-12, 1 - 1e-3, 1 + 2.0**-23, 1 + 2.0**-12, 1 + 1e-3)
_QUARTERS = (1, 2, 3, 4, 100, 1001, 2**17, 10**6)
_ANGLES = (*(k * math.pi / 2 for k in _QUARTERS), 2.0**20, 2.0**21 + 1, 1e7, 1e9, 1e15)
"""Multiples of a right angle, where one of the functions is small, and arguments that two terms of π do not reduce."""

# fmt: off
_POINTS: dict[str, tuple[float, ...]] = {
    "math.floor": (*_HALVES, *_WHOLE, *_BEYOND), "math.ceil": (*_HALVES, *_WHOLE, *_BEYOND),
    "math.round": (*_HALVES, *_WHOLE, *_BEYOND), "math.roundeven": (*_HALVES, *_WHOLE, *_BEYOND),
    "math.trunc": (*_HALVES, *_WHOLE, *_BEYOND),
    # in f32: overflow at 88.7228, the smallest normal result at -87.3365, the last number above zero at -103.97
    "math.exp": (*(k * _LN2 for k in (0.5, 1, 10, 126, 127)), 88.0, 88.7, 88.73, 87.3, 87.4, 95.0, 103.0, 103.9, 105.0,
                 11.0, 11.1, 16.6, 17.3, 709.0, 710.0, 745.0, *_NEAR_ZERO),
    "math.exp2": (0.5, 1.0, 14.0, 15.0, 24.0, 126.0, 127.0, 127.5, 128.0, 148.0, 149.5, 151.0, 1023.0, 1024.0,
                  *_NEAR_ZERO),
    "math.expm1": (*_NEAR_ZERO, 0.3, _LN2, 17.0, 88.7, 88.73, 104.0),
    "math.log": (*_NEAR_ONE, *_NEAR_ZERO, 2.0, math.e, 2.0**23, 2.0**63),
    "math.log2": (*_NEAR_ONE, *_NEAR_ZERO, 2.0, 8.0, 2.0**23, 2.0**63),
    "math.log10": (*_NEAR_ONE, *_NEAR_ZERO, 10.0, 1e3, 2.0**63),
    "math.log1p": (*_NEAR_ZERO, 0.5, 0.75, 0.99999994, 1.0, 2.0**24, 1e30),
    "math.sin": (*_ANGLES, *_NEAR_ZERO), "math.cos": (*_ANGLES, *_NEAR_ZERO), "math.tan": (*_ANGLES, *_NEAR_ZERO),
    "math.tanh": (*_NEAR_ZERO, 0.25, 0.5, 0.55, 3.0, 4.0, 5.0, 8.0, 9.0, 9.1, 10.0, 20.0, 44.0, 45.0, 89.0, 100.0),
    "math.sinh": (*_NEAR_ZERO, 1.0, 9.0, 88.7, 89.0, 89.4, 90.0),
    "math.cosh": (*_NEAR_ZERO, 9.0, 88.7, 89.0, 89.4, 90.0),
    "math.erf": (*_NEAR_ZERO, 0.25, 0.5, 0.84375, 1.0, 1.25, 2.0, 3.0, 3.9, 4.0, 5.0, 10.0),
    "math.erfc": (*_NEAR_ZERO, 0.25, 0.84375, 1.0, 1.25, 3.0, 9.0, 10.0, 10.1),
    "math.sqrt": (*_NEAR_ZERO, 4.0, 2.0**24 + 2), "math.rsqrt": (*_NEAR_ZERO, 4.0, 2.0**24 + 2),
    "math.cbrt": (*_NEAR_ZERO, 8.0, 27.0),
    "math.powf": (0.5, 2.0, 3.0, 0.333, 1.5, 10.0, 127.0, 128.0, *_NEAR_ONE),
    "math.atan": (*_NEAR_ZERO, 0.4375, 1.0, 2.4375, 1e10), "math.atan2": (*_NEAR_ZERO, 1e10),
    "math.asin": (*_NEAR_ZERO, 0.5, *_NEAR_ONE), "math.acos": (*_NEAR_ZERO, 0.5, *_NEAR_ONE),
    "math.asinh": (*_NEAR_ZERO, 1e10), "math.acosh": (*_NEAR_ONE, 1e10), "math.atanh": (*_NEAR_ZERO, *_NEAR_ONE),
    # 1/y overflows for the smallest of these, and vanishes for the largest
    "arith.divf": (1e-38, 2e-38, 6e-39, 1e-40, 8.5e37, 8.6e37, 1.7e38, 3.0e38, 3.0, 7.0, 10.0),
    "arith.remf": (3.0, 7.0, 10.0, 1e10, 1e-10),
    "arith.fptosi": (*_HALVES, *_WHOLE), "arith.fptoui": (*_HALVES, *_WHOLE),
}
# fmt: on

FLIPPING = frozenset({"arith.maxnumf", "arith.minnumf", "math.powf", "math.fpowi", "math.clampf"})
"""Operations for which a signalling NaN may or may not give NaN."""


def has_points(operations: Iterable[str]) -> bool:
    """Return True if one of the operations has turning points."""
    return any(operation in _POINTS for operation in operations)


@lru_cache(maxsize=64)
def float_points(operations: frozenset[str], element: str) -> NDArray[np.float64]:
    """Return the turning points, of both signs, of operations on a floating-point type; those of all operations
    first.
    """
    most, least = largest(element), smallest_normal(element)
    step = 2.0 ** (1 - SIGNIFICANT_BITS[element])
    found = [0.0, 1.0, 1.0 + step, 1.0 - step / 2, 2.0, math.inf, math.nan, most, most / 2, least, least / 2, 2 * least]
    for operation in sorted(operations):
        found += [x for x in _POINTS.get(operation, ()) if least / 8 < x <= most]
    return np.array([*found, *(-x for x in found)])


@lru_cache(maxsize=64)
def integer_points(element: str) -> NDArray[np.int64]:
    """Return the ends of an integer type and of narrower ones, powers of two with their neighbours, and small numbers.

    If the type has more bits than a floating-point type, also the midpoints between two of its numbers.
    """
    info = np.iinfo(storage_type(element))
    found = {info.min, info.min + 1, info.max, info.max - 1, 0, 1, -1, 2, -2}
    for bits in (7, 8, 15, 16, 23, 24, 25, 31, 32, 53, 54, 62, 63):
        for sign in (1, -1):
            found |= {sign * (2**bits + d) for d in (-1, 0, 1)}
    for bits in (30, 40, 62):  # a bit that f32 rounds away, alone and with one that f64 rounds away as well
        found |= {
            2**bits + 2 ** (bits - 24),
            2**bits + 2 ** (bits - 24) + 1,
            3 * 2 ** (bits - 1) + 2 ** (bits - 24) - 1,
        }
    return np.array(sorted(x for x in found if info.min <= x <= info.max), np.int64)


def nan_patterns(element: str, *, signalling: bool) -> NDArray[np.unsignedinteger]:
    """Return bits of NaN of a type: of both signs, with the smallest and largest payloads, and signalling ones if
    allowed.
    """
    kind = storage_type(element)
    word = np.dtype(f"u{kind.itemsize}")
    infinity = int(np.array([np.inf]).astype(kind).view(word)[0])
    quiet = int(np.abs(np.array([np.nan]).astype(kind)).view(word)[0]) | _quiet_bit(element)
    top = 1 << (8 * kind.itemsize - 1)
    found = [quiet, quiet | 1, top - 1, quiet | top, 2 * top - 1]
    if signalling:
        found += [infinity | 1, infinity | _quiet_bit(element) >> 1, (infinity | 1) | top]
    return np.array(found, word)


def _quiet_bit(element: str) -> int:
    return 1 << (SIGNIFICANT_BITS[element] - 2)
