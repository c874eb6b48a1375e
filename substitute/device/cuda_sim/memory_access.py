"""Loads and stores, of rows of elements at once where possible, and through generic addresses.

Source: PTX ISA 9.7.9 "Data Movement and Conversion Instructions".
"""

from __future__ import annotations

import numpy as np

from .addresses import PATTERN, WHOLE, check_written, first_bad, is_whole, locate, out_of_bounds, split_generic, unit_of
from .batch import Batch
from .faults import Place
from .global_hazards import Rows
from .memory import Allocation
from .races import (
    bits_differ,
    note_atomics,
    note_global_atomics,
    note_global_reads,
    note_reads,
    note_row_reads,
    note_row_writes,
    note_writes,
    store_global,
)
from .types import Array

_ROW = 16
"""Smallest number of lanes that is treated as a row."""
GARBAGE = 0xCD
"""Value of the bytes that a load outside of memory returns."""


def load(
    m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None, *, strong: bool = False
) -> Array:
    """Return the bytes at addresses: [1 or n, size] uint8. `size`: a power of two, up to 32."""
    if size == 32:
        halves = [load(m, place, space, address + np.int64(16 * half), 16, where, strong=strong) for half in (0, 1)]
        return np.concatenate(np.broadcast_arrays(*halves), axis=1)
    if where is not None and address.shape[0] > 1:
        address = address[where]
    if space == "generic":
        return _generic_load(m, place, address, size, where, strong=strong)
    if space == "param":
        return _load_parameter(m, place, address, size, where)
    if space == "global" and not strong:
        row = _load_rows(m, place, address, size, where)
        if row is not None:
            return row
    index, bad = locate(m, place, space, address, size, where, "read")
    unit = unit_of(size)
    values: Array = m.view(space, unit)[index]
    result = values.view(np.uint8).reshape(-1, size)
    if m.check_written and bad is not WHOLE and not (space == "shared" and m.shared_is_whole()):
        check_written(m, place, space, index, address, size, where, bad if isinstance(bad, np.ndarray) else None)
    if isinstance(bad, np.ndarray):
        result = np.where(np.broadcast_to(bad, (len(result),))[:, None], np.uint8(GARBAGE), result)
    if space == "shared" and m.hazards is not None:
        if strong:
            note_atomics(m, place, index * size, size, where, writes=False)
        else:
            note_reads(m, place, index * size, size, where)
    elif space == "global" and m.globals is not None and (strong or m.globals.traces):
        note_global_reads(m, place, index, size, where, strong=strong)
    return result


def store(
    m: Batch,
    place: Place,
    space: str,
    address: Array,
    data: Array,
    size: int,
    where: Array | None,
    *,
    strong: bool = False,
) -> None:
    """Write [1 or n, size] uint8."""
    if size == 32:
        for half in (0, 1):
            part = np.ascontiguousarray(data[:, 16 * half : 16 * half + 16])
            store(m, place, space, address + np.int64(16 * half), part, 16, where, strong=strong)
        return
    if where is not None and address.shape[0] > 1:
        address = address[where]
    if space == "generic":
        _generic_store(m, place, address, data, size, where, strong=strong)
        return
    if space == "param":
        m.fault("read-only", place, int(m.chosen(where)[0]), "a kernel's parameters are written", space="param")
        return
    m.changes += 1
    unit = unit_of(size)
    values = data.reshape(-1).view(unit)
    if space == "global" and not strong and _store_rows(m, address, values, size, where):
        return
    index, bad = locate(m, place, space, address, size, where, "write")
    if isinstance(bad, np.ndarray):
        good = ~np.broadcast_to(bad, (max(len(index), len(bad), len(values)),))
        index, values = np.broadcast_to(index, good.shape)[good], _pick(values, good)
        if not index.size:
            return
        if good.shape[0] == (m.count if where is None else len(where)):
            where = np.flatnonzero(good) if where is None else where[good]
    target = m.view(space, unit)
    if index.shape[0] == 1 and values.shape[0] > 1:
        index = np.broadcast_to(index, values.shape)
    if space == "shared" and m.hazards is not None and strong:
        target[index] = values
        note_atomics(m, place, index * size, size, where)
    elif space == "shared" and m.hazards is not None:
        _store_shared(m, place, index, values, size, where, target)
    elif space == "global" and m.globals is not None and strong:
        target[index] = values
        note_global_atomics(m, place, index, size, where)
    elif space == "global" and m.globals is not None:
        store_global(m, place, index, values, size, where)
    else:
        target[index] = values
    if bad is not WHOLE and m.check_written:
        m.view(f"{space}-shadow", unit)[index] = PATTERN[size]


def _find_rows(m: Batch, address: Array, size: int, where: Array | None) -> tuple[Allocation, Rows] | None:
    """Return consecutive addresses, in each block or in all, as rows, and their allocation.

    None if they are not consecutive, or not worth the check.

    None: they do not, or it is not worth asking.
    """
    count, low = len(address), int(address[0])
    length = m.geometry.threads if where is None and m.lanes is None else count
    if count < _ROW or low & (size - 1) or int(address[length - 1]) - low != size * (length - 1):
        return None
    number = count // length
    stride = int(address[length]) - low if number > 1 else size * length
    last = low + (number - 1) * stride + size * length
    if stride < size * length or stride & (size - 1) or int(address[-1]) + size != last:
        return None
    one = m.memory.find(low)
    if one is None or last > one.end:
        return None
    grid = address.reshape(number, length)
    if not (grid[:, 1:] - grid[:, :-1] == size).all() or not (grid[1:, 0] - grid[:-1, 0] == stride).all():
        return None
    return one, Rows((low - m.memory.base) // size, number, length, stride // size)


def _load_rows(m: Batch, place: Place, address: Array, size: int, where: Array | None) -> Array | None:
    """Load rows of elements that are all written, the most common case. None: nothing is done."""
    found = _find_rows(m, address, size, where)
    if found is None:
        return None
    one, rows = found
    unit = unit_of(size)
    whole = not m.check_written or is_whole(m, one)
    if not whole and not (rows.of(m.view("global-shadow", unit)) == PATTERN[size]).all():
        return None
    if m.globals is not None and m.globals.traces:
        note_row_reads(m, place, rows, size, where)
    return rows.of(m.view("global", unit)).copy().reshape(-1).view(np.uint8).reshape(-1, size)


def _store_rows(m: Batch, address: Array, values: Array, size: int, where: Array | None) -> bool:
    """Write rows of elements that were not accessed before. False: nothing is done."""
    found = _find_rows(m, address, size, where)
    if found is None or not found[0].writable:
        return False
    one, rows = found
    if m.globals is not None and not note_row_writes(m, rows, size, where):
        return False
    target = rows.of(m.view("global", values.dtype))
    target[:] = values if len(values) == 1 else values.reshape(target.shape)
    if m.check_written and not is_whole(m, one):
        rows.of(m.view("global-shadow", values.dtype))[:] = PATTERN[size]
    return True


def _pick(values: Array, good: Array) -> Array:
    return values if values.shape[0] == 1 else values[good]


def _store_shared(
    m: Batch, place: Place, index: Array, values: Array, size: int, where: Array | None, target: Array
) -> None:
    changes = bits_differ(target[index], values)
    target[index] = values
    # lanes of this instruction that wrote another value to the same place
    lost = bits_differ(target[index], values)
    if lost.any():
        position, lane, count = first_bad(m, where, lost)
        at = int(index[position]) * size - int(m.shared_base[lane])
        m.fault(
            "race",
            place,
            lane,
            f"several lanes write different values to shared address {at:#x} at once",
            address=at,
            space="shared",
            count=count,
        )
    note_writes(m, place, index * size, size, where, changes)


def _generic_load(m: Batch, place: Place, address: Array, size: int, where: Array | None, *, strong: bool) -> Array:
    parts = split_generic(m, address, where)
    if len(parts) == 1:
        space, inner, _, _ = parts[0]
        return load(m, place, space, _as_chosen(m, inner, where), size, where, strong=strong)
    out = np.empty((len(address), size), np.uint8)
    for space, inner, at, lanes in parts:
        out[at] = load(m, place, space, _as_chosen(m, inner, lanes), size, lanes, strong=strong)
    return out


def _generic_store(
    m: Batch, place: Place, address: Array, data: Array, size: int, where: Array | None, *, strong: bool
) -> None:
    parts = split_generic(m, address, where)
    if len(parts) == 1:
        space, inner, _, _ = parts[0]
        store(m, place, space, _as_chosen(m, inner, where), data, size, where, strong=strong)
        return
    for space, inner, at, lanes in parts:
        part = data if len(data) == 1 else data[at]
        store(m, place, space, _as_chosen(m, inner, lanes), part, size, lanes, strong=strong)


def _as_chosen(m: Batch, address: Array, where: Array | None) -> Array:
    """Return addresses of chosen lanes expanded to all active lanes, as `load` takes them."""
    if where is None or len(address) == 1:
        return address
    whole = np.zeros(m.count, np.int64)
    whole[where] = address
    return whole


def _load_parameter(m: Batch, place: Place, address: Array, size: int, where: Array | None) -> Array:
    if address.shape[0] == 1 and 0 <= (at := int(address[0])) <= len(m.parameters) - size:
        return m.parameters[at : at + size].copy().reshape(1, size)
    bad = (address < 0) | (address + size > len(m.parameters))
    if bad.any():
        words = f"the parameters have {len(m.parameters):,} bytes"
        out_of_bounds(m, place, "param", address, size, where, "read", bad, words)
        address = np.where(bad, 0, address)
    found: Array = m.parameters[np.minimum(address[:, None] + np.arange(size), max(len(m.parameters) - 1, 0))]
    return found
