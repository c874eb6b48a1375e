"""Operations of `iree_linalg_ext`: scan, sort, top-k, arg_compare, gather, scatter (attention has its own module)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .attention import attention
from .body import Body
from .numbers import Array, Element, Num
from .tensors import Eager, Tensor
from .unsupported import Unsupported
from .walk import Handler, Walker, integers, region

if TYPE_CHECKING:
    from iree.compiler import ir


def define(
    walker: Walker,
    op: ir.Operation,
    results: Sequence[tuple[Sequence[int], Element]],
    compute: Callable[[], list[Num]],
    work: float,
) -> None:
    """Define results that are computed together, when the first of them is needed."""
    kept: list[list[Num]] = []

    def pick(number: int) -> Callable[[], Num]:
        def one() -> Num:
            if not kept:
                with np.errstate(all="ignore"):
                    kept.append(compute())
            return kept[0][number]

        return one

    for number, (result, (shape, element)) in enumerate(zip(op.results, results, strict=True)):
        walker.values[result] = Eager(shape, element, pick(number), work)


def _along(num: Num, axis: int, at: int) -> Num:
    """Return the slice at one place of an axis."""
    return num.map(lambda array: np.take(array, at, axis=axis))


def _stacked(parts: Sequence[Num], axis: int) -> Num:
    value = np.stack([p.value for p in parts], axis)
    depth = max(p.depth for p in parts)
    if all(p.error is None for p in parts):
        return Num(value, None, depth)
    return Num(value, np.stack([p.full_errors() for p in parts], axis), depth)


def scan(walker: Walker, op: ir.Operation) -> None:
    """Define a running combination along a dimension, and its last element as the second result."""
    axis, inclusive = int(op.attributes["dimension"].value), bool(op.attributes["inclusive"].value)
    source, output, accumulator = (walker.tensor(op.operands[i]) for i in range(3))
    body = region(walker, op.regions[0].blocks[0])

    def compute() -> list[Num]:
        x, initial = source.whole(), accumulator.whole()
        length = source.shape[axis]
        if not length:
            return [x, initial]
        rows = [_along(x, axis, 0) if inclusive else initial]
        for at in range(1, length):
            (row,) = body.run([rows[-1], _along(x, axis, at if inclusive else at - 1)], ())
            rows.append(row)
        # the accumulator is written from the second element on
        return [_stacked(rows, axis), rows[-1] if length > 1 else initial]

    work = source.count * 4.0 + source.whole_work()
    define(walker, op, [(output.shape, output.element), (accumulator.shape, accumulator.element)], compute, work)


def _decided(body: Body, operands: Sequence[Num]) -> tuple[Array, Array]:
    """Return the result of a comparator, and a mask of the elements where it is uncertain."""
    (found,) = body.run(operands, ())
    return found.value, found.full_errors() > 0


def _both_ways(body: Body, operands: Sequence[Num]) -> tuple[Array, Array, Array]:
    """Return a comparator's result on the pairs, on the exchanged pairs, and a mask of the uncertain ones.

    An ordered comparison with a NaN is false in both directions: the NaN's place in the result depends on the
    algorithm.
    """
    forward, close = _decided(body, operands)
    backward, _ = _decided(body, [operands[i ^ 1] for i in range(len(operands))])
    return forward, backward, close | (_has_nan(operands, forward.shape) & (forward == backward))


def _has_nan(operands: Sequence[Num], shape: tuple[int, ...]) -> Array:
    found = np.zeros(shape, bool)
    for operand in operands:
        if operand.value.dtype.kind == "f":
            found = found | np.isnan(operand.value)
    return found


def sort(walker: Walker, op: ir.Operation) -> None:
    """Define the sorted tensors, by odd-even exchanges of neighbours until no pair is out of order. Ties keep their
    order.
    """
    axis = int(op.attributes["dimension"].value)
    tensors = [walker.tensor(operand) for operand in op.operands]
    body = region(walker, op.regions[0].blocks[0])

    def compute() -> list[Num]:
        arrays = [np.moveaxis(t.whole().value, axis, -1).copy() for t in tensors]
        errors = [np.moveaxis(t.whole().full_errors(), axis, -1).copy() for t in tensors]
        uncertain = _sort_rows(body, arrays, errors)
        found = []
        for t, array, error in zip(tensors, arrays, errors, strict=True):
            error[uncertain] = np.inf
            exact = t.whole().error is None and not uncertain.any()
            found.append(Num(np.moveaxis(array, -1, axis), None if exact else np.moveaxis(error, -1, axis)))
        return found

    length = tensors[0].shape[axis]
    work = tensors[0].count * (length + 1.0) * 4 + sum(t.whole_work() for t in tensors)
    define(walker, op, [(t.shape, t.element) for t in tensors], compute, work)


def _sort_rows(body: Body, arrays: list[Array], errors: list[Array]) -> Array:
    """Sort along the last axis in place and return a mask of the rows that contain an uncertain comparison."""
    length = arrays[0].shape[-1]
    uncertain = np.zeros(arrays[0].shape[:-1], bool)
    quiet = 0
    for turn in range(length + 1):
        left = slice(turn % 2, length - 1, 2)
        right = slice(turn % 2 + 1, length, 2)
        if arrays[0][..., right].size == 0:
            continue
        operands = [
            Num(a[..., side], e[..., side] if e.any() else None)
            for a, e in zip(arrays, errors, strict=True)
            for side in (left, right)
        ]
        keep, swapped, close = _both_ways(body, operands)
        exchange = ~keep & swapped  # equal elements stay
        uncertain |= close.any(axis=-1)
        quiet = 0 if exchange.any() else quiet + 1
        if quiet == 2:
            break
        for array in (*arrays, *errors):
            a, b = array[..., left].copy(), array[..., right].copy()
            array[..., left] = np.where(exchange, b, a)
            array[..., right] = np.where(exchange, a, b)
    return uncertain


def topk(walker: Walker, op: ir.Operation) -> None:
    """Define the first k elements along a dimension in the comparator's order, and their positions; ties take the
    first.
    """
    operands = [walker.tensor(operand) for operand in op.operands]
    _select_first(walker, op, operands[0], operands[1] if len(operands) == 4 else None, operands[-2:])


def topk_v2(walker: Walker, op: ir.Operation) -> None:
    """Define the first k elements, with or without positions; the choice among equal elements is not defined."""
    segments, operands = integers(op.attributes["operandSegmentSizes"]), [walker.tensor(o) for o in op.operands]
    axis = int(op.attributes["dimension"].value)
    outputs = operands[1 + segments[1] :]
    if "is_sorted" not in op.attributes and outputs[0].shape[axis] > 1:
        raise Unsupported("iree_linalg_ext.topk_v2 whose results may come in any order")
    _select_first(walker, op, operands[0], operands[1] if segments[1] else None, outputs, ties=True)


def _select_first(
    walker: Walker,
    op: ir.Operation,
    values: Tensor,
    given: Tensor | None,
    outputs: Sequence[Tensor],
    *,
    ties: bool = False,
) -> None:
    """Insert each element into those selected so far; with `ties` the positions of equal elements are unknown."""
    axis = int(op.attributes["dimension"].value)
    body = region(walker, op.regions[0].blocks[0])

    def compute() -> list[Num]:
        x = values.whole()
        rows = np.moveaxis(x.value, axis, -1)
        row_errors = np.moveaxis(x.full_errors(), axis, -1)
        places = np.broadcast_to(np.arange(values.shape[axis]), rows.shape)
        if given is not None:
            places = np.moveaxis(given.whole().value, axis, -1)
        best = [np.moveaxis(output.whole().value, axis, -1).copy() for output in outputs]
        if len(best) == 1:
            best.append(np.zeros(best[0].shape, np.int64))
        errors = np.zeros(best[0].shape)
        uncertain = np.zeros(rows.shape[:-1], bool)
        for at in range(rows.shape[-1]):
            new, new_place, new_error = rows[..., at], places[..., at].astype(best[1].dtype), row_errors[..., at]
            for slot in range(best[0].shape[-1]):
                a = Num(new, new_error if new_error.any() else None)
                b = Num(best[0][..., slot], errors[..., slot] if errors.any() else None)
                swap, back, close = _both_ways(body, [a, b])
                # among equal elements the first wins: a displaced element is placed before later ones
                swap = swap | (~back & (new_place < best[1][..., slot]))
                uncertain |= close
                kept, kept_place, kept_error = (
                    best[0][..., slot].copy(),
                    best[1][..., slot].copy(),
                    errors[..., slot].copy(),
                )
                best[0][..., slot], best[1][..., slot] = (
                    np.where(swap, new, kept),
                    np.where(swap, new_place, kept_place),
                )
                errors[..., slot] = np.where(swap, new_error, kept_error)
                new, new_place = np.where(swap, kept, new), np.where(swap, kept_place, new_place)
                new_error = np.where(swap, kept_error, new_error)
        found = [np.moveaxis(array, -1, axis) for array in best]
        tied = _tied(body, best[0], rows) if ties and len(outputs) == 2 else np.zeros(errors.shape, bool)
        if x.error is None and not uncertain.any() and not tied.any():
            return [Num(array) for array in found[: len(outputs)]]
        doubt = np.broadcast_to(np.where(uncertain, np.inf, 0.0)[..., None], errors.shape)
        places_error = np.moveaxis(np.where(tied, np.inf, doubt), -1, axis)
        return [Num(found[0], np.moveaxis(errors + doubt, -1, axis)), Num(found[1], places_error)][: len(outputs)]

    k = outputs[0].shape[axis]
    work = values.count * k * 8.0 + values.whole_work()
    define(walker, op, [(t.shape, t.element) for t in outputs], compute, work)


def _tied(body: Body, selected: Array, rows: Array) -> Array:
    """Return a mask of the selected elements that equal several elements of their row."""
    pair = [Num(selected[..., :, None]), Num(rows[..., None, :])]
    forward, _ = _decided(body, pair)
    backward, _ = _decided(body, pair[::-1])
    return np.asarray((~forward & ~backward).sum(axis=-1) > 1)


def arg_compare(walker: Walker, op: ir.Operation) -> None:
    """Define the element along a dimension that the comparator prefers, and its position; ties take the first."""
    axis = int(op.attributes["dimension"].value)
    segments, operands = integers(op.attributes["operandSegmentSizes"]), list(op.operands)
    values = walker.tensor(operands[0])
    given = walker.tensor(operands[1]) if segments[1] else None
    outputs = [walker.tensor(operands[1 + segments[1] + i]) for i in (0, 1)]
    base = walker.integer(operands[-1]) if segments[4] else 0
    body = region(walker, op.regions[0].blocks[0])

    def compute() -> list[Num]:
        x = values.whole()
        dtype = outputs[1].element.compute
        places = np.moveaxis(given.whole().value, axis, 0) if given is not None else None
        best = _along(x, axis, 0)
        place = np.full(best.value.shape, base, dtype) if places is None else places[0].astype(dtype)
        uncertain = np.zeros(best.value.shape, bool)
        for at in range(1, values.shape[axis]):
            new = _along(x, axis, at)
            better, _, close = _both_ways(body, [new, best])
            uncertain |= close
            here = np.full(place.shape, base + at, dtype) if places is None else places[at].astype(dtype)
            place = np.where(better, here, place)
            error = None if x.error is None else np.where(better, new.full_errors(), best.full_errors())
            best = Num(np.where(better, new.value, best.value), error, x.depth)
        return [best, Num(place, np.where(uncertain, np.inf, 0.0) if uncertain.any() else None)]

    work = values.count * 8.0 + values.whole_work()
    define(walker, op, [(t.shape, t.element) for t in outputs], compute, work)


def _batch(indices: Array, mask: Array | None, depth: int, explicit: bool) -> tuple[Array, Array]:
    """Return index tuples as [batch…, depth], and a mask of the valid ones."""
    table = indices if explicit else indices[..., None]
    if table.shape[-1] != depth:
        raise Unsupported("iree_linalg_ext.scatter with a table of another depth")
    active = np.ones(table.shape[:-1], bool) if mask is None else (mask != 0)
    return table.astype(np.int64), active


def _targets(table: Array, dimension_map: Sequence[int], shape: Sequence[int], inner: Sequence[int]) -> list[Array]:
    """Return coordinates [batch…, inner…] in the large tensor, whose last dimensions are the inner ones."""
    batch = table.ndim - 1
    coordinates: list[Array] = []
    for d in range(len(shape)):
        at = d - (len(shape) - len(inner))
        line = np.zeros((1,) * (batch + len(inner)), np.int64)
        if at >= 0:
            line = np.arange(inner[at]).reshape([1] * (batch + at) + [-1] + [1] * (len(inner) - at - 1))
        if d in dimension_map:
            line = line + table[..., list(dimension_map).index(d)].reshape(table.shape[:-1] + (1,) * len(inner))
        coordinates.append(line)
    return coordinates


def gather(walker: Walker, op: ir.Operation) -> None:
    """Define slices of a tensor at given indices."""
    source, indices = walker.tensor(op.operands[0]), walker.tensor(op.operands[1])
    mask = walker.tensor(op.operands[2]) if len(op.operands) == 4 else None
    output = walker.tensor(op.operands[len(op.operands) - 1])
    dimension_map = integers(op.attributes["dimension_map"])
    inner = source.shape[len(dimension_map) :]
    batch_rank = len(output.shape) - len(inner)

    def compute() -> list[Num]:
        table, active = _batch(
            indices.whole().value,
            None if mask is None else mask.whole().value,
            len(dimension_map),
            len(indices.shape) > batch_rank,
        )
        coordinates = _targets(table, dimension_map, source.shape, inner)
        bad = np.zeros(output.shape, bool)
        for coordinate, size in zip(coordinates, source.shape, strict=True):
            bad |= (coordinate < 0) | (coordinate >= size)
        clipped = [np.clip(c, 0, size - 1) for c, size in zip(coordinates, source.shape, strict=True)]
        found, under = source.at(clipped), output.whole()
        chosen = np.broadcast_to(active.reshape(active.shape + (1,) * len(inner)), output.shape)
        value = np.where(chosen, found.value, under.value)
        error = np.where(chosen, np.where(bad, np.inf, found.errors()), under.errors())
        return [Num(value, error if error.any() else None, found.depth)]

    define(walker, op, [(output.shape, output.element)], compute, output.count * 4.0)


def scatter(walker: Walker, op: ir.Operation) -> None:
    """Define a tensor with updates combined into slices at given indices, one after the other."""
    updates, indices = walker.tensor(op.operands[0]), walker.tensor(op.operands[1])
    mask = walker.tensor(op.operands[2]) if len(op.operands) == 4 else None
    original = walker.tensor(op.operands[len(op.operands) - 1])
    dimension_map = integers(op.attributes["dimension_map"])
    inner_rank = len(original.shape) - len(dimension_map)
    batch_rank = len(updates.shape) - inner_rank
    body = region(walker, op.regions[0].blocks[0])

    def compute() -> list[Num]:
        table, active = _batch(
            indices.whole().value,
            None if mask is None else mask.whole().value,
            len(dimension_map),
            len(indices.shape) > batch_rank,
        )
        under, new = original.whole(), updates.whole()
        value, error = under.value.copy(), under.full_errors().copy()
        coordinates = _targets(table, dimension_map, original.shape, updates.shape[batch_rank:])
        coordinates = list(np.broadcast_arrays(*coordinates))
        for at in np.ndindex(*updates.shape[:batch_rank]):
            if not active[at]:
                continue
            place = tuple(c[at] for c in coordinates)
            if any(((c < 0) | (c >= n)).any() for c, n in zip(place, original.shape, strict=True)):
                raise Unsupported("iree_linalg_ext.scatter outside of its tensor")
            update = Num(new.value[at], None if new.error is None else new.full_errors()[at])
            (found,) = body.run([update, Num(value[place], error[place] if error[place].any() else None)], ())
            value[place], error[place] = found.value, found.full_errors()
        return [Num(value, error if error.any() else None, max(under.depth, new.depth))]

    define(walker, op, [(original.shape, original.element)], compute, updates.count * 20.0 + original.count)


REGISTRY: tuple[tuple[str, Handler], ...] = (
    ("iree_linalg_ext.attention", attention),
    ("iree_linalg_ext.scan", scan),
    ("iree_linalg_ext.sort", sort),
    ("iree_linalg_ext.topk", topk),
    ("iree_linalg_ext.topk_v2", topk_v2),
    ("iree_linalg_ext.arg_compare", arg_compare),
    ("iree_linalg_ext.gather", gather),
    ("iree_linalg_ext.scatter", scatter),
)
"""Handlers by operation. The dialect's other operations are created after the phase where dispatches are read."""
