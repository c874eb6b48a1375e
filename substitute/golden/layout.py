"""Tensors whose elements NumPy has no type for in memory: several in a byte, or a pair of floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .memory import Golden, Store, Subspan
from .numbers import Array, Element, element_of, to_storage
from .unsupported import Unsupported

BYTE, BYTE_BITS = "i8", 8


def stored_form(span: Subspan) -> Subspan:
    """Return a tensor of packed elements as one of bytes, of complex numbers as one of pairs, any other as it is.

    Raises `Unsupported` for packed indices: their bytes cannot be drawn below a limit.
    """
    element = element_of(span.element)
    if element.part:
        return replace(span, element=element.part, shape=(*span.shape, 2))
    if not element.packed:
        return span
    if span.index_limit is not None:
        raise Unsupported(f"an index of type {span.element}")
    return replace(span, element=BYTE, shape=(span.size_bytes,))


def stored_store(store: Store) -> Store:
    """Return a store with its layout in memory; see `stored_form`. Raises `Unsupported`."""
    span, element = store.subspan, element_of(store.subspan.element)
    if element.part:
        return _as_pairs(store, element)
    if not element.packed:
        return store
    if store.coordinates is not None or store.sizes != span.shape:
        raise Unsupported(f"a store of some elements of type {span.element}")
    plain = stored_form(span)
    return Store(
        subspan=plain,
        offsets=(0,),
        sizes=plain.shape,
        strides=(1,),
        coordinates=None,
        golden=_as_bytes(store.golden, element, plain.shape[0]),
    )


def unpack(raw: NDArray[np.uint8], element: Element, count: int) -> Array:
    """Return packed elements, the first in the lowest bits of a byte, each in its storage type."""
    shifts = np.arange(0, BYTE_BITS, element.bits, dtype=np.uint8)
    bits = ((raw[:, None] >> shifts) & np.uint8((1 << element.bits) - 1)).reshape(-1)[:count]
    if element.is_float:
        return bits.view(element.storage)
    spare = BYTE_BITS - element.bits
    return np.right_shift(np.left_shift(bits.view(np.int8), spare), spare)


def pack(values: Array, element: Element) -> NDArray[np.uint8]:
    """Return the bytes of elements in their storage type; what no element takes of the last byte is zero."""
    bits = np.ascontiguousarray(values).reshape(-1).view(np.uint8) & np.uint8((1 << element.bits) - 1)
    each = BYTE_BITS // element.bits
    rows = np.pad(bits, (0, -bits.size % each)).reshape(-1, each)
    shifts = np.arange(0, BYTE_BITS, element.bits, dtype=np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(rows << shifts, axis=1, dtype=np.uint8)
    return packed


def _as_bytes(golden: Golden, element: Element, count: int) -> Golden:
    """Return packed results as bytes: nothing is known of one with an element that may be off, or that it lacks."""
    each = BYTE_BITS // element.bits
    doubt = np.ravel(golden.error) > 0
    whole = np.pad(doubt, (0, count * each - doubt.size), constant_values=True).reshape(count, each)
    packed = pack(to_storage(golden.value, element), element).view(np.int8)
    return Golden(value=packed, error=np.where(whole.any(axis=1), np.inf, 0.0), depth=golden.depth, element=BYTE)


def _as_pairs(store: Store, element: Element) -> Store:
    """Return complex results as pairs of numbers, each of which may be off by what the complex one may."""
    golden, coordinates = store.golden, store.coordinates
    value = np.ascontiguousarray(golden.value, np.complex128)
    pairs = np.stack([value.real, value.imag], -1)
    error = np.repeat(np.asarray(golden.error)[..., None], 2, axis=-1)
    if coordinates is not None:
        parts = np.tile(np.arange(2), len(coordinates[0]))
        coordinates = (*(np.repeat(c, 2) for c in coordinates), parts)
        pairs, error = pairs.reshape(-1), error.reshape(-1)
    return Store(
        subspan=stored_form(store.subspan),
        offsets=(*store.offsets, 0),
        sizes=(*store.sizes, 2),
        strides=(*store.strides, 1),
        coordinates=coordinates,
        golden=Golden(value=pairs, error=error, depth=golden.depth, element=element.part),
    )
