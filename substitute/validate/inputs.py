"""Inputs, drawn by class: what each class is good at finding is in its docstring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .case import Area, Array
from .elements import SIGNIFICANT_BITS, is_float, largest, smallest_normal, storage_type

Draw = Callable[[tuple[int, ...], str, np.random.Generator], NDArray[Any]]


def draw(area: Area, inputs: str, random: np.random.Generator, *, narrow: str = "", most: int | None = None) -> Array:
    """An operand's contents, of a class of `CLASSES`, in its own type.

    `narrow`: the floating-point type of fewest bits that the dispatch reads or writes (the operand's, if empty).
    `most`: so many elements are drawn, and repeated in an operand that has more.
    """
    count = int(np.prod(area.shape, dtype=np.int64))
    if most is not None and count > most:
        drawn = draw(replace(area, shape=(most,)), inputs, random, narrow=narrow)
        return np.resize(drawn, area.shape)
    kind = storage_type(area.element)
    if area.element == "i1" and inputs != "alike":
        return random.integers(0, 2, area.shape).astype(kind)
    if not is_float(area.element):
        return _integers(area, inputs, random)
    if area.element == "f8E8M0FNU":  # nothing but powers of two
        return (2.0 ** random.integers(-8, 9, area.shape)).astype(kind)
    if inputs == "edges":
        return _edges(area.shape, area.element, random, narrow or area.element).astype(kind)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(CLASSES[inputs](area.shape, area.element, random)).astype(kind).reshape(area.shape)


def _integers(area: Area, inputs: str, random: np.random.Generator) -> Array:
    kind = storage_type(area.element)
    if area.index_limit is not None:
        return random.integers(0, max(area.index_limit, 1), area.shape).astype(kind)
    if inputs == "distinct":
        start = int(random.integers(-100, 100))
        return (np.arange(start, start + int(np.prod(area.shape)))).reshape(area.shape).astype(kind)
    if inputs in ("large", "special"):
        info = np.iinfo(kind)
        return random.integers(info.min, info.max, area.shape, dtype=kind, endpoint=True)
    if inputs == "ones":
        return _ones(area.shape, area.element, random).astype(kind)
    if inputs == "alike":
        return np.asarray(_alike(area.shape, area.element, random)).astype(kind)
    most = 100 if kind.itemsize == 1 else 1000
    return random.integers(-most, most + 1, area.shape).astype(kind)


def _normal(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """What networks hold."""
    return random.standard_normal(shape)


def _exact(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Small integers: every partial sum is representable, so that a contraction has to be right to the last bit."""
    most = 3 if SIGNIFICANT_BITS[element] > 11 else 1
    return random.integers(-most, most + 1, shape)


def _ones(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """A block of ones in zeros: faults of indexing, at the block's edges."""
    values = np.zeros(shape)
    block = []
    for size in shape:
        first = int(random.integers(0, max(size, 1)))
        block.append(slice(first, first + 1 + int(random.integers(0, max(size - first, 1)))))
    values[tuple(block)] = 1
    return values


def _distinct(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Every element another number: permutations and copies."""
    count = int(np.prod(shape))
    order = random.permutation(count)
    return np.asarray(order % (2 ** SIGNIFICANT_BITS[element] - 1) + 1).reshape(shape)


def _tiny(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Far below one: thresholds that should not be there, sums that vanish in narrow types."""
    lowest = max(-30.0, np.log10(smallest_normal(element)) + 1)
    return random.standard_normal(shape) * 10 ** random.uniform(lowest, lowest / 4, shape)


def _large(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Far above one: exponentials overflow where a maximum was not subtracted."""
    highest = min(5.0, np.log10(largest(element)) / 3)
    return random.standard_normal(shape) * 10 ** random.uniform(highest / 2, highest, shape)


def _rows(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Rows of very different size: what leaks from one row into the next."""
    reach = min(6.0, np.log10(largest(element)) / 4)
    scale = 10 ** random.uniform(-reach, reach, (*shape[:-1], 1)) if shape else 1.0
    return random.standard_normal(shape) * scale


def _skewed(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """All of one sign, a few far larger: sums that lose small terms, and a bias."""
    return np.exp(random.standard_normal(shape) * 1.5) + 1


def _special(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """NaN, infinities and zeros of both signs, in a few places among normal numbers."""
    values = random.standard_normal(shape)
    flat = values.reshape(-1)
    if not flat.size:
        return values
    for number in (np.nan, np.inf, -np.inf, 0.0, -0.0):
        count = min(max(flat.size // 64, 1), 3)
        flat[random.integers(0, flat.size, count)] = number
    return values


def _subnormal(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Zeros of both signs and numbers below the smallest normal one, for what computes nothing."""
    return random.choice(np.array([0.0, -0.0, 0.5, -0.25, 0.75]), shape) * smallest_normal(element)


def _alike(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Zeros and ones, with lines of one number each along some axis: what compares, counts, or looks for a number."""
    values = random.integers(0, 2, shape).astype(np.float64)
    if values.size < 2:
        return values
    axis = int(random.integers(0, len(shape)))
    lines = tuple(1 if d == axis else size for d, size in enumerate(shape))
    kinds = random.integers(0, 8, lines)
    for kind, number in enumerate((0.0, 1.0, -np.inf if is_float(element) else 1.0)):
        values = np.where(kinds == kind, number, values)
    return values


def _edges(shape: tuple[int, ...], element: str, random: np.random.Generator, narrow: str = "") -> NDArray[Any]:
    """Where roundings differ: half-way between two numbers of the narrowest type (itself, or in a sum) and beside that,
    beyond the type's largest number, and below its smallest normal one.
    """
    narrow = narrow or element
    bits, spare = SIGNIFICANT_BITS[narrow], SIGNIFICANT_BITS[element] - SIGNIFICANT_BITS[narrow]
    signs = random.choice(np.array([-1.0, 1.0]), shape)
    whole = random.integers(2 ** (bits - 1), 2**bits, shape).astype(np.float64)
    if spare <= 0:
        return np.asarray(signs * whole * 2.0 ** (1 - bits))
    beside = 2.0**-spare if spare > 1 else 0.0
    half = whole + 0.5 + random.choice(np.array([0.0, 0.0, beside, -beside]), shape)
    found = half * 2.0 ** (random.integers(-3, 4, shape) - bits)
    unit = 2.0 ** (np.floor(np.log2(largest(narrow))) + 1 - bits)
    most = 2.0**bits - 1 + random.choice(np.array([0.0, 0.5, 0.5 - beside, 0.5 + beside]), shape)
    kinds = random.integers(0, 8, shape)
    if largest(element) > largest(narrow):
        found = np.where(kinds == 0, most * unit, found)
    if largest(element) > 4 * largest(narrow):
        found = np.where(kinds == 1, largest(narrow) * random.uniform(1, 4, shape), found)
    lowest = smallest_normal(narrow)
    if lowest > 4 * smallest_normal(element) * 2.0**bits:
        found = np.where(kinds == 2, lowest * random.uniform(2.0**-bits, 1, shape), found)
    return np.asarray(signs * found)


CLASSES: dict[str, Draw] = {
    "normal": _normal,
    "exact": _exact,
    "ones": _ones,
    "distinct": _distinct,
    "tiny": _tiny,
    "large": _large,
    "rows": _rows,
    "skewed": _skewed,
    "special": _special,
    "subnormal": _subnormal,
    "alike": _alike,
    "edges": _edges,
}

QUICK: dict[str, tuple[str, ...]] = {
    "contraction": ("exact", "normal", "special"),
    "convolution": ("exact", "normal", "special"),
    "copy": ("distinct", "special"),
    "gather": ("distinct", "special"),
    "softmax": ("normal", "large", "special"),
    "elementwise": ("normal", "exact", "special", "edges"),
}
"""By kind of dispatch; see `classes_for`."""
QUICK_OTHERWISE = ("normal", "exact", "special")
THOROUGH: dict[str, tuple[str, ...]] = {
    "contraction": ("exact", "normal", "ones", "special", "rows", "tiny", "large", "skewed"),
    "convolution": ("exact", "normal", "ones", "special", "rows", "tiny", "large", "skewed"),
    "copy": ("distinct", "special", "subnormal"),
    "gather": ("distinct", "special", "subnormal"),
    "elementwise": ("normal", "exact", "special", "edges", "large", "rows", "tiny", "skewed", "ones"),
}
THOROUGH_OTHERWISE = ("normal", "exact", "special", "large", "rows", "tiny", "skewed", "ones")


def classes_for(kind: str, *, quick: bool) -> tuple[str, ...]:
    """The classes of inputs for a kind of dispatch, the one that says most first."""
    if quick:
        return QUICK.get(kind, QUICK_OTHERWISE)
    return THOROUGH.get(kind, THOROUGH_OTHERWISE)
