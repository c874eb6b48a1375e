"""Inputs, drawn by class; the docstring of each class names the errors that it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .case import Area, Array
from .elements import SIGNIFICANT_BITS, is_float, largest, quiet, smallest_normal, storage_type
from .turning_points import FLIPPING, float_points, has_points, integer_points, nan_patterns

Draw = Callable[[tuple[int, ...], str, np.random.Generator], NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Computation:
    """Properties of a dispatch that decide which numbers are worth trying."""

    kind: str = ""
    operations: frozenset[str] = frozenset()

    @property
    def mixes(self) -> bool:
        """True if every result depends on many elements of an operand, so that only few of them may be NaN or
        infinite.
        """
        return self.kind in MIXING

    @property
    def is_pointwise(self) -> bool:
        """True if a result depends on single elements."""
        return self.kind in POINTWISE


MIXING = frozenset({"contraction", "convolution"})
POINTWISE = frozenset({"elementwise", "copy", "gather"})
NEVER_ZERO = frozenset({"exact", "ones", "alike"})
"""Classes in which an operand without axes is not zero."""
DIVISIONS = frozenset(
    f"arith.{name}" for name in ("divsi", "divui", "remsi", "remui", "ceildivsi", "ceildivui", "floordivsi")
)
NAN_PATTERNS = frozenset({"f16", "bf16", "f32", "f64"})
"""Types that have NaN with payloads."""


@quiet
def draw(
    area: Area,
    inputs: str,
    random: np.random.Generator,
    *,
    narrow: str = "",
    most: int | None = None,
    of: Computation = Computation(),
) -> Array:
    """Return an operand's contents, of a class of `CLASSES`, in its own type.

    `narrow`: the floating-point type of fewest bits that the dispatch reads or writes (the operand's, if empty).
    `most`: number of elements that are drawn, and repeated in a larger operand. `of`: the computation that reads it.
    """
    count = int(np.prod(area.shape, dtype=np.int64))
    if most is not None and count > most:
        drawn = draw(replace(area, shape=(most,)), inputs, random, narrow=narrow, of=of)
        return np.resize(drawn, area.shape)
    kind = storage_type(area.element)
    if area.element == "i1" and inputs != "alike":
        return random.integers(0, 2, area.shape).astype(kind)
    if not is_float(area.element):
        return _without_traps(_integers(area, inputs, random, of), of)
    if area.element == "f8E8M0FNU":  # only powers of two
        return (2.0 ** random.integers(-8, 9, area.shape)).astype(kind)
    if inputs == "edges":
        return _edges(area.shape, area.element, random, narrow or area.element).astype(kind)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if inputs == "special":
            return _with_nan_patterns(_special(area, random, of).astype(kind), area.element, random, of)
        drawn = np.asarray(CLASSES[inputs](area.shape, area.element, random)).astype(kind).reshape(area.shape)
        # a zero factor of everything would hide all other errors
        return np.ones((), kind) if not area.shape and inputs in NEVER_ZERO and drawn == 0 else drawn


def _special(area: Area, random: np.random.Generator, of: Computation) -> NDArray[np.float64]:
    """Return turning points of the operations, or lines of special cases, or a few NaN and infinities."""
    if of.is_pointwise:
        return _points(area.shape, area.element, random, of)
    if of.mixes or not of.kind:
        return _few(area.shape, area.element, random)
    return _lines(area.shape, area.element, random)


def _with_nan_patterns(values: Array, element: str, random: np.random.Generator, of: Computation) -> Array:
    """Return the same values with other bits in each NaN."""
    if element not in NAN_PATTERNS:
        return values
    places = np.isnan(values.astype(np.float64))
    patterns = nan_patterns(element, signalling=not of.operations & FLIPPING)
    bits = values.view(patterns.dtype)
    bits[places] = random.choice(patterns, int(np.count_nonzero(places)))
    return values


def _integers(area: Area, inputs: str, random: np.random.Generator, of: Computation) -> Array:
    kind = storage_type(area.element)
    if area.index_limit is not None:
        return _indices(area, max(area.index_limit, 1), inputs, random).astype(kind)
    if inputs == "distinct":
        start = int(random.integers(-100, 100))
        return (np.arange(start, start + int(np.prod(area.shape)))).reshape(area.shape).astype(kind)
    if inputs == "large":
        info = np.iinfo(kind)
        return random.integers(info.min, info.max, area.shape, dtype=kind, endpoint=True)
    if inputs == "special":
        return _integer_points(area, random, of)
    if inputs == "ones":
        return _ones(area.shape, area.element, random).astype(kind)
    if inputs == "alike":
        return np.asarray(_alike(area.shape, area.element, random)).astype(kind)
    most = 100 if kind.itemsize == 1 else 1000
    return random.integers(-most, most + 1, area.shape).astype(kind)


def _normal(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return normal numbers, as in networks."""
    return random.standard_normal(shape)


def _exact(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return small integers: every partial sum is exact, so that a contraction has to be right to the last bit."""
    most = 3 if SIGNIFICANT_BITS[element] > 11 else 1
    return random.integers(-most, most + 1, shape)


def _ones(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return a block of ones in zeros: shows indexing errors at the block's edges."""
    values = np.zeros(shape)
    block = []
    for size in shape:
        first = int(random.integers(0, max(size, 1)))
        block.append(slice(first, first + 1 + int(random.integers(0, max(size - first, 1)))))
    values[tuple(block)] = 1
    return values


def _distinct(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return distinct elements: shows errors of permutations and copies."""
    count = int(np.prod(shape))
    order = random.permutation(count)
    return np.asarray(order % (2 ** SIGNIFICANT_BITS[element] - 1) + 1).reshape(shape)


def _tiny(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return numbers far below one: shows wrong thresholds, and sums that vanish in narrow types."""
    lowest = max(-30.0, np.log10(smallest_normal(element)) + 1)
    return random.standard_normal(shape) * 10 ** random.uniform(lowest, lowest / 4, shape)


def _large(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return numbers far above one: exponentials overflow if a maximum was not subtracted."""
    highest = min(5.0, np.log10(largest(element)) / 3)
    return random.standard_normal(shape) * 10 ** random.uniform(highest / 2, highest, shape)


def _rows(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return rows of very different size: shows leaks from one row into the next."""
    reach = min(6.0, np.log10(largest(element)) / 4)
    scale = 10 ** random.uniform(-reach, reach, (*shape[:-1], 1)) if shape else 1.0
    return random.standard_normal(shape) * scale


def _skewed(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return numbers of one sign, a few far larger: shows sums that lose small terms, and a bias."""
    return np.exp(random.standard_normal(shape) * 1.5) + 1


def _indices(area: Area, limit: int, inputs: str, random: np.random.Generator) -> NDArray[np.int64]:
    """Return valid indices; for special numbers, half of them are the first and the last ones."""
    found = random.integers(0, limit, area.shape)
    if inputs != "special":
        return found
    ends = np.array([0, limit - 1, max(limit - 2, 0), limit // 2])
    return np.asarray(np.where(random.random(area.shape) < 0.5, random.choice(ends, area.shape), found))


def _without_traps(values: Array, of: Computation) -> Array:
    """Return integers that are valid divisors of each other: a processor traps at 0, and at the lowest one divided by
    -1.
    """
    if not of.operations & DIVISIONS:
        return values
    return np.where(values == 0, 1, np.where(values == -1, -3, values)).astype(values.dtype)


def _integer_points(area: Area, random: np.random.Generator, of: Computation) -> Array:
    """Return random bits, with the ends of types among them; some lines hold one end of the type only."""
    kind = storage_type(area.element)
    info = np.iinfo(kind)
    drawn = random.integers(info.min, info.max, area.shape, dtype=kind, endpoint=True)
    points = random.choice(integer_points(area.element), area.shape).astype(kind)
    drawn = np.where(random.random(area.shape) < 0.5, points, drawn)
    if of.is_pointwise or not area.shape:
        return drawn
    ends = np.array([info.min, info.max, 0, -1, info.min + 1], kind)
    lines = _line_shape(area.shape, random)
    wholes = random.choice(ends, lines)
    drawn = np.where(random.random(lines) < 0.4, wholes, drawn)
    negative = np.where(drawn < 0, drawn, ~drawn)
    return np.where(random.random(lines) < 0.15, negative, drawn)


def _points(shape: tuple[int, ...], element: str, random: np.random.Generator, of: Computation) -> NDArray[np.float64]:
    """Return turning points of the operations, numbers of every magnitude, and normal ones."""
    values = random.standard_normal(shape)
    low, high = np.log2(smallest_normal(element)), np.log2(largest(element))
    signs = random.choice(np.array([-1.0, 1.0]), shape)
    any_size = signs * 2.0 ** random.uniform(low, high, shape) * random.uniform(0.5, 1, shape)
    points = random.choice(float_points(of.operations, element), shape)
    kinds = random.random(shape)
    share = 0.6 if has_points(of.operations) else 0.4
    return np.asarray(np.where(kinds < share, points, np.where(kinds < share + 0.2, any_size, values)))


def _few(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[np.float64]:
    """Return NaN, infinities and zeros of both signs, in a few places among normal numbers; some lines are all zero."""
    values = random.standard_normal(shape)
    if shape and min(shape) > 3:
        values = np.where(random.random(_line_shape(shape, random)) < 0.2, 0.0, values)
    flat = values.reshape(-1)
    if not flat.size:
        return values
    for number in (np.nan, np.inf, -np.inf, 0.0, -0.0):
        count = min(max(flat.size // 64, 1), 3)
        flat[random.integers(0, flat.size, count)] = number
    return values


def _line_shape(shape: tuple[int, ...], random: np.random.Generator) -> tuple[int, ...]:
    """Return the shape with one axis of size 1: the last one in most cases."""
    axis = len(shape) - 1 if random.random() < 0.75 else int(random.integers(0, len(shape)))
    return tuple(1 if d == axis else size for d, size in enumerate(shape))


def _lines(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[np.float64]:
    """Return lines along an axis, each another special case of reductions: see `_line_kinds`."""
    values = random.standard_normal(shape)
    if values.size < 2:
        return values
    lines = _line_shape(shape, random)
    axis = next((d for d, size in enumerate(lines) if size != shape[d]), len(shape) - 1)
    position = np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    made = _line_kinds(values, position, shape[axis], element, random)
    first = int(random.integers(0, len(made)))
    numbers = (np.arange(int(np.prod(lines))) + first).reshape(lines) % len(made)
    for number, line in enumerate(made):
        values = np.where(numbers == number, line, values)
    return values


def _line_kinds(
    values: NDArray[np.float64], position: NDArray[np.int64], size: int, element: str, random: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Return lines of the shape of `values`: first those that make every sum of a row NaN, then ordinary ones."""
    place = int(random.integers(0, size))
    reach = min(1e7, largest(element) ** 0.25)
    mean = min(2.0**12, 2.0 ** (SIGNIFICANT_BITS[element] // 2))
    sizes = np.abs(values)
    everywhere = np.ones(values.shape)
    return [
        np.where(position == 0, np.nan, values),
        mean + values,
        np.where(position == size - 1, np.nan, values),
        everywhere * -np.inf,
        -1.0 - sizes,
        np.where(position == place, np.nan, np.abs(values) + position),
        np.where(values < 0, -np.inf, values),
        everywhere * 0.75,
        everywhere * np.inf,
        np.where(position == 0, -np.inf, values),
        everywhere * -0.0,
        np.where(position == place, np.inf, values),
        np.where(values < 0, 0.0, -0.0),
        sizes + 1.0,
        np.where(position < 8, 0.0, values),
        np.sort(values, axis=-1),
        np.where(position == place, reach, values),
        everywhere * 0.0,
        values * reach,
        np.round(values * 2),
        -mean + values / 4,
        values * max(smallest_normal(element) * 2.0**20, 2.0**-50),
    ]


def _subnormal(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return zeros of both signs and subnormal numbers, for dispatches that compute nothing."""
    return random.choice(np.array([0.0, -0.0, 0.5, -0.25, 0.75]), shape) * smallest_normal(element)


def _alike(shape: tuple[int, ...], element: str, random: np.random.Generator) -> NDArray[Any]:
    """Return zeros and ones, with constant lines along some axis: for comparisons, counts and searches."""
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
    """Return numbers at which roundings differ.

    They are half-way between two numbers of the narrowest type (alone, or in a sum) and next to that, above the type's
    largest number, and below its smallest normal one.
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
    "special": _few,
    "subnormal": _subnormal,
    "alike": _alike,
    "edges": _edges,
}

WITH_SPECIAL = frozenset(("special", "edges"))
"""Classes with NaN and infinities."""

QUICK: dict[str, tuple[str, ...]] = {
    "contraction": ("exact", "normal", "special"),
    "convolution": ("exact", "normal", "special"),
    "copy": ("distinct", "special"),
    "gather": ("distinct", "special"),
    "softmax": ("normal", "large", "special"),
    "elementwise": ("normal", "exact", "special", "edges"),
}
"""Classes by kind of dispatch; see `classes_for`."""
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
    """Return the classes of inputs for a kind of dispatch, the most effective one first."""
    if quick:
        return QUICK.get(kind, QUICK_OTHERWISE)
    return THOROUGH.get(kind, THOROUGH_OTHERWISE)
