"""Copies whose coordinates a region computes: `iree_linalg_ext.map_load` and `map_store`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .extensions import define
from .numbers import Array, Num
from .unsupported import Unsupported
from .walk import Handler, Walker, region

if TYPE_CHECKING:
    from iree.compiler import ir


def _mapping(walker: Walker, op: ir.Operation, shape: Sequence[int]) -> list[Num]:
    """Return the values that the region yields for every coordinate of a shape."""
    body = region(walker, op.regions[0].blocks[0])
    return body.run([Num(at) for at in np.indices(tuple(shape), np.int64)], ())


def _places(found: Sequence[Num], shape: Sequence[int]) -> list[Array]:
    if any(n.error is not None and n.error.any() for n in found):
        raise Unsupported("coordinates that were rounded")
    return [np.broadcast_to(n.value.astype(np.int64), tuple(shape)) for n in found]


def _outside(places: Sequence[Array], limits: Sequence[int], shape: Sequence[int]) -> Array:
    found = np.zeros(tuple(shape), bool)
    for place, size in zip(places, limits, strict=True):
        found = found | (place < 0) | (place >= size)
    return found


def map_load(walker: Walker, op: ir.Operation) -> None:
    """Define elements of a tensor at computed coordinates; out of bounds, the region's last value."""
    source, output = walker.tensor(op.operands[0]), walker.tensor(op.operands[1])

    def compute() -> list[Num]:
        *found, padding = _mapping(walker, op, output.shape)
        places = _places(found, output.shape)
        outside = _outside(places, source.shape, output.shape)
        if outside.all():
            value, error = np.broadcast_to(padding.value, output.shape), padding.full_errors()
            return [Num(np.array(value), np.array(np.broadcast_to(error, output.shape)), padding.depth)]
        inside = source.at([np.clip(p, 0, size - 1) for p, size in zip(places, source.shape, strict=True)])
        error = np.where(outside, padding.errors(), inside.errors())
        return [Num(np.where(outside, padding.value, inside.value), error if error.any() else None, inside.depth)]

    define(walker, op, [(output.shape, output.element)], compute, output.count * 8.0)


def map_store(walker: Walker, op: ir.Operation) -> None:
    """Define a tensor with elements of another one at computed coordinates, where the region's mask is true.

    No two elements may go to one place: what is there then is not defined.
    """
    source, output = walker.tensor(op.operands[0]), walker.tensor(op.operands[1])

    def compute() -> list[Num]:
        *found, mask = _mapping(walker, op, source.shape)
        places = _places([*found, mask], source.shape)
        chosen = places.pop().astype(bool)
        if (_outside(places, output.shape, source.shape) & chosen).any():
            raise Unsupported("iree_linalg_ext.map_store outside of its tensor")
        under, new = output.whole(), source.whole()
        value, error = np.array(under.value), np.array(under.full_errors())
        at = tuple(place[chosen] for place in places)
        value[at], error[at] = new.value[chosen], np.broadcast_to(new.full_errors(), new.value.shape)[chosen]
        count = np.zeros(value.shape, np.int64)
        np.add.at(count, at, 1)
        error[count > 1] = np.inf
        return [Num(value, error if error.any() else None, max(under.depth, new.depth))]

    define(walker, op, [(output.shape, output.element)], compute, source.count * 8.0 + output.count)


REGISTRY: tuple[tuple[str, Handler], ...] = (
    ("iree_linalg_ext.map_load", map_load),
    ("iree_linalg_ext.map_store", map_store),
)
