"""Reductions: the combining operation, its evaluation on a block, and the error of that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .body import Body
from .exact import add_exactly, find_step
from .integers import unsigned
from .numbers import Arithmetic, Array, Element, Num, wrap
from .rules import RULES, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """A region that yields combiner(accumulator, term) with a term that does not depend on the accumulator."""

    name: str
    """The combiner."""
    term: Body
    at: int
    """The term's position among the region's values."""


Reduce = Callable[[Arithmetic, Element, Num, tuple[int, ...], tuple[int, ...]], Num]
"""(terms, the block's shape, the axes to reduce) → the combined terms."""


def combine(body: Body, accumulator: int) -> Combined | None:
    """Return the combiner of a region with one result; None if it is not of that form."""
    (result,) = body.results
    for step in reversed(range(len(body.names))):
        if result in body.defines[step]:
            break
    else:
        return None
    name, uses = body.names[step], body.uses[step]
    if name not in COMBINERS or uses.count(accumulator) != 1 or len(uses) != 2:
        return None
    term = uses[1 - uses.index(accumulator)]
    if accumulator in body.needs(term):
        return None
    return Combined(name=name, term=body.only(term), at=term)


_CASTS = ("arith.truncf", "arith.extf")


def find_product(body: Body, combined: Combined) -> tuple[Body, Body] | None:
    """Return the two factors of the term of a sum of products; None for other terms."""
    at = combined.at
    while True:
        step = next((i for i in range(len(body.names)) if at in body.defines[i]), None)
        if step is None:
            return None
        if body.names[step] not in _CASTS:
            break
        (at,) = body.uses[step]
    if (combined.name, body.names[step]) not in (("arith.addf", "arith.mulf"), ("arith.addi", "arith.muli")):
        return None
    left, right = body.uses[step]
    return body.only(left), body.only(right)


def _spread(array: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[Array, int]:
    """Return the array with one axis per dimension, and how often each term occurs along the axes of size 1."""
    array = np.asarray(array).reshape((1,) * (len(shape) - np.ndim(array)) + np.shape(array))
    return array, math.prod(shape[a] for a in axes if array.shape[a] == 1)


def _total(array: Array, axes: tuple[int, ...]) -> Array:
    """Return the sum over some axes."""
    last = axes == tuple(range(array.ndim - len(axes), array.ndim))
    if last and array.flags.c_contiguous and array.dtype == np.float64 and 0 not in array.shape:
        # BLAS adds up many short rows faster than NumPy does
        outer = array.shape[: array.ndim - len(axes)]
        rows = array.reshape(math.prod(outer), -1)
        return np.asarray(rows @ np.ones(rows.shape[1])).reshape(outer)
    return np.asarray(array.sum(axis=axes))


def _sum(how: Arithmetic, element: Element, terms: Num, shape: tuple[int, ...], axes: tuple[int, ...]) -> Num:
    value, times = _spread(terms.value, shape, axes)
    total = _total(value, axes) * times
    count = math.prod(shape[a] for a in axes)
    depth = max(terms.depth, count)
    if not how.bounds:
        return Num(total, None, depth)
    size = _total(np.abs(value), axes) * times
    error = size * how.sum_factor(count, element) + how.flushed(size, count, element)
    if terms.error is not None:
        carried, repeated = _spread(terms.error, shape, axes)
        error = error + _total(carried, axes) * repeated
        if np.isnan(total).any():  # of terms that may be any number, NaN says nothing
            error = np.where((np.isnan(value) & np.isinf(carried)).any(axis=axes), np.inf, error)
    elif how.exact_sums:
        error = add_exactly(how, error, size, find_step(value, element), element)
    return _kept(total, error, depth)


def _kept(value: Array, error: Array, depth: int) -> Num:
    """Return a sum whose infinite or undefined elements are certain, unless an operand was unknown."""
    special = ~np.isfinite(value)
    if special.any():
        error = np.where(special, np.where(np.isinf(error) & ~np.isinf(value), np.inf, 0.0), error)
    return Num(value, error, depth)


def _integer_sum(how: Arithmetic, element: Element, terms: Num, shape: tuple[int, ...], axes: tuple[int, ...]) -> Num:
    value, times = _spread(terms.value, shape, axes)
    count = math.prod(shape[a] for a in axes)
    if element.kind == "boolean":
        total: Array = np.logical_xor.reduce(np.broadcast_to(value, shape), axis=axes)
    else:
        total = wrap(value.sum(axis=axes, dtype=element.compute) * element.compute.type(times), element)
    error = None
    if terms.error is not None:
        carried, repeated = _spread(terms.error, shape, axes)
        error = carried.sum(axis=axes) * repeated
    return Num(np.asarray(total, element.compute), error, max(terms.depth, count))


def _product(how: Arithmetic, element: Element, terms: Num, shape: tuple[int, ...], axes: tuple[int, ...]) -> Num:
    value = np.broadcast_to(terms.value, shape)
    total = np.multiply.reduce(value, axis=axes) if len(axes) == 1 else value.prod(axis=axes)
    count = math.prod(shape[a] for a in axes)
    if not element.is_float:
        return Num(
            wrap(np.asarray(total, element.compute), element), _unknown(terms, axes, shape), max(terms.depth, count)
        )
    if not how.bounds:
        return Num(total, None, max(terms.depth, count))
    size = np.abs(value)
    error = np.abs(total) * how.sum_factor(count, element)
    # in another order, a partial product may overflow or vanish, and meet a zero or a large number then
    most, least = np.maximum(size, 1.0).prod(axis=axes), np.where(size == 0, 1.0, np.minimum(size, 1.0)).prod(axis=axes)
    error = np.where((most > element.largest) | (least < element.smallest), np.inf, error)
    if terms.error is not None:  # Π(|x|+e) − Π|x|
        error = error + (size + terms.error).prod(axis=axes) - size.prod(axis=axes)
    found = _kept(np.asarray(total), np.asarray(error), max(terms.depth, count))
    lost = np.isinf(total) & (least < element.smallest)  # infinity times what has vanished is NaN
    return Num(found.value, np.where(lost, np.inf, found.errors()), found.depth) if np.any(lost) else found


def _unknown(terms: Num, axes: tuple[int, ...], shape: tuple[int, ...]) -> Array | None:
    if terms.error is None:
        return None
    return np.where(np.broadcast_to(terms.error, shape).max(axis=axes, initial=0.0) > 0, np.inf, 0.0)


def _least(ufunc: Any, kind: np.dtype[Any]) -> Any:
    """Return the extremum of an empty set: the largest number for a minimum, the smallest for a maximum."""
    largest = ufunc in (np.minimum, np.fmin)
    if kind.kind == "f":
        return np.inf if largest else -np.inf
    if kind.kind == "b":
        return largest
    return np.iinfo(kind).max if largest else np.iinfo(kind).min


def _extremum(ufunc: Any) -> Reduce:
    def reduce(how: Arithmetic, element: Element, terms: Num, shape: tuple[int, ...], axes: tuple[int, ...]) -> Num:
        value, _ = _spread(terms.value, shape, axes)
        total = ufunc.reduce(value, axis=axes, initial=_least(ufunc, value.dtype) if 0 in value.shape else None)
        if value.dtype.kind == "f" and np.any(total == 0):  # NumPy returns any zero; -0 is less than 0
            negative = np.signbit(value)
            least = ufunc in (np.minimum, np.fmin)
            found = ((value == 0) & (negative if least else ~negative)).any(axis=axes)
            total = np.where(total == 0, np.where(found == least, -0.0, 0.0).astype(value.dtype), total)
        error = None
        if terms.error is not None:
            error = np.broadcast_to(terms.error, np.broadcast_shapes(np.shape(terms.error), value.shape))
            error = error.max(axis=axes, initial=0.0)
        return Num(np.asarray(total), error, terms.depth)

    return reduce


def _unsigned_extremum(ufunc: Any) -> Reduce:
    def reduce(how: Arithmetic, element: Element, terms: Num, shape: tuple[int, ...], axes: tuple[int, ...]) -> Num:
        value, _ = _spread(terms.value, shape, axes)
        bits = unsigned(np.ascontiguousarray(value))
        total = ufunc.reduce(bits, axis=axes, initial=_least(ufunc, bits.dtype) if 0 in bits.shape else None)
        return Num(np.asarray(total).astype(element.compute), _unknown(terms, axes, shape), terms.depth)

    return reduce


def _bitwise(ufunc: Any) -> Reduce:
    def reduce(how: Arithmetic, element: Element, terms: Num, shape: tuple[int, ...], axes: tuple[int, ...]) -> Num:
        value = np.broadcast_to(terms.value, shape)
        return Num(np.asarray(ufunc.reduce(value, axis=axes)), _unknown(terms, axes, shape), terms.depth)

    return reduce


COMBINERS: dict[str, Reduce] = {
    "arith.addf": _sum,
    "arith.mulf": _product,
    "arith.addi": _integer_sum,
    "arith.muli": _product,
    "arith.maximumf": _extremum(np.maximum),
    "arith.minimumf": _extremum(np.minimum),
    "arith.maxnumf": _extremum(np.fmax),
    "arith.minnumf": _extremum(np.fmin),
    "arith.maxsi": _extremum(np.maximum),
    "arith.minsi": _extremum(np.minimum),
    "arith.maxui": _unsigned_extremum(np.maximum),
    "arith.minui": _unsigned_extremum(np.minimum),
    "arith.andi": _bitwise(np.bitwise_and),
    "arith.ori": _bitwise(np.bitwise_or),
    "arith.xori": _bitwise(np.bitwise_xor),
}
"""Associative and commutative operations, with the function that combines a block."""


def fold(how: Arithmetic, element: Element, name: str, initial: Num, total: Num) -> Num:
    """Return combiner(initial value, combined terms)."""
    scalar = Scalar(operands=(element, element), result=element)
    with np.errstate(all="ignore"):
        return RULES[name](how, scalar, [initial, total])
