"""Sums of products over two operands (matrix products, convolutions seen as windows), through BLAS."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from .exact import add_exactly, find_step
from .numbers import Arithmetic, Array, Element, Num, wrap
from .reduction import Combined

COPY_LIMIT = 1 << 23
"""Elements of the left operand (windows overlap) that are copied into contiguous memory at once: 64 MiB."""
_EXACT = 2.0**53


def contract(
    how: Arithmetic,
    element: Element,
    combined: Combined,
    a: Num | None,
    b: Num | None,
    *,
    sizes: Sequence[int],
    parallel: Sequence[int],
    reduced: Sequence[int],
    left: Collection[int],
    right: Collection[int],
) -> Num | None:
    """Return Σ a·b over the reduced dimensions, with axes in the order of the parallel ones.

    `a` and `b` have one axis per dimension, of size 1 for those not in `left` and `right`. None where float64 cannot
    hold the integers on the way.
    """
    assert a is not None
    assert b is not None
    batch = [d for d in parallel if d in left and d in right]
    rows = [d for d in parallel if d in left and d not in right]
    columns = [d for d in parallel if d in right and d not in left]
    inner = [d for d in reduced if d in left and d in right]
    times = math.prod(sizes[d] for d in reduced if d not in left and d not in right)
    count = math.prod(sizes[d] for d in reduced)
    integer = not element.is_float
    if integer and (a.error is not None or b.error is not None or not _fits(a.value, b.value, count)):
        return None
    only_left = [d for d in reduced if d in left and d not in right]
    only_right = [d for d in reduced if d in right and d not in left]
    a_sides = _sides(a, only_left, how.bounds and not integer)
    b_sides = _sides(b, only_right, how.bounds and not integer)
    order = [*batch, *rows, *columns]
    missing = [d for d in parallel if d not in order]

    def products(left: list[_Side], right: list[_Side]) -> list[Array]:
        results = _multiply(left, right, (batch, rows, inner), (batch, inner, columns), sizes)
        shape = [*(sizes[d] for d in order), *([1] * len(missing))]
        axes = [[*order, *missing].index(d) for d in parallel]
        return [(r * times if times != 1 else r).reshape(shape).transpose(axes) for r in results]

    found = products(a_sides, b_sides)
    depth = max(a.depth, b.depth, count)
    if integer:
        exact = np.rint(found[0]).astype(np.int64).astype(element.compute)
        return Num(wrap(exact, element), None, depth)
    if not how.bounds:
        return Num(found[0], None, depth)
    # every product is rounded once, and so is every sum
    error = found[1] * how.sum_factor(count + 1, element) + how.flushed(found[1], 2 * count, element)
    if len(found) > 2:
        error = error + found[2]
    elif how.exact_sums and (step := find_step(a.value, element)) and math.isfinite(step):
        error = add_exactly(how, error, found[1], step * find_step(b.value, element), element)
    if not np.isfinite(error.sum()):
        # zero times an unknown value is unknown; an infinite sum is certain where the operands are exact
        special = np.inf if len(found) > 2 else 0.0
        error = np.where(np.isfinite(found[0]), np.where(np.isnan(error), np.inf, error), special)
        if not how.certain_zeros:
            for a_view, b_view in ((_zero, _special), (_special, _zero)):
                (hidden,) = products([_side(a, only_left, a_view)], [_side(b, only_right, b_view)])
                error = np.where(hidden > 0, np.inf, error)
    return Num(found[0], error, depth)


def _fits(a: Array, b: Array, count: int) -> bool:
    def largest(x: Array) -> float:
        return float(max(abs(float(x.max(initial=0))), abs(float(x.min(initial=0)))))

    return largest(a) * largest(b) * count < _EXACT


def _zero(x: Array) -> Array:
    return np.asarray(x == 0)


def _special(x: Array) -> Array:
    return np.asarray(~np.isfinite(x))


@dataclass(frozen=True, slots=True)
class _Side:
    """One operand of the product: its values, or what `view` makes of them. Windows are copied piece by piece."""

    array: Array
    view: Callable[[Array], Array] | None = None

    def cut(self, index: tuple[slice, ...]) -> _Side:
        return _Side(self.array[index], self.view)

    def read(self) -> Array:
        return self.array if self.view is None else self.view(self.array)


def _sides(x: Num, summed: Sequence[int], bounds: bool) -> list[_Side]:
    """Return values, magnitudes and errors (if any), summed over the dimensions that the other operand lacks."""
    found = [_side(x, summed)]
    if bounds:
        found.append(_side(x, summed, np.abs))
        if x.error is not None:
            found.append(_side(Num(np.broadcast_to(x.error, x.value.shape)), summed))
    return found


def _side(x: Num, summed: Sequence[int], view: Callable[[Array], Array] | None = None) -> _Side:
    side = _Side(x.value, view)
    return _Side(side.read().astype(np.float64).sum(axis=tuple(summed), keepdims=True)) if summed else side


def _multiply(
    a: list[_Side], b: list[_Side], a_order: tuple[list[int], ...], b_order: tuple[list[int], ...], sizes: Sequence[int]
) -> list[Array]:
    """Return the products of values, of magnitudes and of carried errors (if any), each [batch, rows, columns]."""
    right = [_matrix(x, b_order, sizes) for x in b]
    batch, rows, inner = a_order
    per_row = math.prod(sizes[d] for d in (*batch, *rows[1:], *inner))
    step = max(1, COPY_LIMIT // max(1, per_row))
    cut = rows[0] if rows and sizes[rows[0]] > step else None
    if cut is None:
        return _products([_matrix(x, a_order, sizes) for x in a], right)
    parts: list[list[Array]] = []
    for start in range(0, sizes[cut], step):
        stop = min(start + step, sizes[cut])
        narrow = list(sizes)
        narrow[cut] = stop - start
        index = tuple(slice(start, stop) if d == cut else slice(None) for d in range(len(sizes)))
        parts.append(_products([_matrix(x.cut(index), a_order, narrow) for x in a], right))
    return [np.concatenate(pieces, axis=1) for pieces in zip(*parts, strict=True)]


def _matrix(side: _Side, order: tuple[list[int], ...], sizes: Sequence[int]) -> Array:
    """Return a matrix of three axes, each the joined dimensions of one group of `order`."""
    x = side.array
    dims = [d for group in order for d in group]
    rest = [d for d in range(x.ndim) if d not in dims]
    moved = x.transpose([*dims, *rest]).reshape([x.shape[d] for d in dims])
    shaped = moved.reshape([math.prod(sizes[d] for d in group) for group in order])
    return np.asarray(_Side(np.ascontiguousarray(shaped), side.view).read(), dtype=np.float64)


def _products(a: list[Array], b: list[Array]) -> list[Array]:
    found = [a[0] @ b[0]]
    if len(a) > 1:
        found.append(a[1] @ b[1])
    carried: Array | None = None
    if len(a) > 2:
        carried = a[2] @ (b[1] + b[2] if len(b) > 2 else b[1])
    if len(b) > 2:
        more = a[1] @ b[2]
        carried = more if carried is None else carried + more
    if carried is not None:
        found.append(carried)
    return found
