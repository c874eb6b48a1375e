"""Loads and stores: addresses to places, bounds, alignment, initialisation.

Source: PTX ISA 5.1 "State Spaces", 6.4.1 "Addresses as Operands", 9.7.9 "Data Movement and Conversion Instructions".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .batch import LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_BYTES, Batch
from .faults import Place
from .global_hazards import Rows
from .memory import NOT_ALLOCATED, UNWRITTEN, WRITTEN, Allocation
from .races import (
    bits_differ,
    note_atomics,
    note_global_atomics,
    note_global_reads,
    note_reads,
    note_row_reads,
    note_row_writes,
    note_writes,
    report_race,
    store_global,
)
from .types import Array, unsigned
from .unwritten import UnwrittenBytes

_BLOCK = {16: np.dtype(np.complex128)}
_PATTERN = {
    size: np.array([WRITTEN] * size, np.uint8).view(dtype)[0]
    for size, dtype in [*((n, unsigned(n)) for n in (1, 2, 4, 8)), (16, np.dtype(np.complex128))]
}
"""A shadow of written bytes, as one element."""
_ROW = 16
"""Fewer lanes are not looked at as a row."""
GARBAGE = 0xCD
"""Bytes that a load outside of memory gives."""


def _unit(size: int) -> np.dtype[Any]:
    """The element that moves `size` bytes at once: complex128 is the only one of 16 bytes."""
    return _BLOCK.get(size) or unsigned(size)


def load(
    m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None, *, strong: bool = False
) -> Array:
    """Bytes at addresses: [1 or n, size] uint8. `size`: a power of two, up to 32."""
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
    index, bad = _resolve(m, place, space, address, size, where, "read")
    unit = _unit(size)
    values: Array = m.view(space, unit)[index]
    result = values.view(np.uint8).reshape(-1, size)
    if m.check_written and bad is not WHOLE and not (space == "shared" and m.shared_is_whole()):
        _check_written(m, place, space, index, address, size, where, bad if isinstance(bad, np.ndarray) else None)
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
    m: Batch, place: Place, space: str, address: Array, data: Array, size: int, where: Array | None, *,
    strong: bool = False,
) -> None:  # fmt: skip
    """Writes [1 or n, size] uint8."""
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
    unit = _unit(size)
    values = data.reshape(-1).view(unit)
    if space == "global" and not strong and _store_rows(m, address, values, size, where):
        return
    index, bad = _resolve(m, place, space, address, size, where, "write")
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
        m.view(f"{space}-shadow", unit)[index] = _PATTERN[size]


def _find_rows(m: Batch, address: Array, size: int, where: Array | None) -> tuple[Allocation, Rows] | None:
    """Addresses that follow each other, in each block or in all, and their allocation.

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
    """What most loads read: rows of elements, all written. None: nothing is done."""
    found = _find_rows(m, address, size, where)
    if found is None:
        return None
    one, rows = found
    unit = _unit(size)
    whole = not m.check_written or _is_whole(m, one)
    if not whole and not (rows.of(m.view("global-shadow", unit)) == _PATTERN[size]).all():
        return None
    if m.globals is not None and m.globals.traces:
        note_row_reads(m, place, rows, size, where)
    return rows.of(m.view("global", unit)).copy().reshape(-1).view(np.uint8).reshape(-1, size)


def _store_rows(m: Batch, address: Array, values: Array, size: int, where: Array | None) -> bool:
    """Writes rows of elements where nobody has been before. False: nothing is done."""
    found = _find_rows(m, address, size, where)
    if found is None or not found[0].writable:
        return False
    one, rows = found
    if m.globals is not None and not note_row_writes(m, rows, size, where):
        return False
    target = rows.of(m.view("global", values.dtype))
    target[:] = values if len(values) == 1 else values.reshape(target.shape)
    if m.check_written and not _is_whole(m, one):
        rows.of(m.view("global-shadow", values.dtype))[:] = _PATTERN[size]
    return True


def _pick(values: Array, good: Array) -> Array:
    return values if values.shape[0] == 1 else values[good]


class _Whole:
    """Says that all of an access lies in memory that has wholly been written."""


WHOLE = _Whole()
Bad = "Array | _Whole | None"


def _resolve(
    m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None, what: str
) -> tuple[Array, Array | _Whole | None]:
    """Element numbers of addresses, and where they are bad (None: nowhere; WHOLE: nowhere, and all is written)."""
    low, high = int(address.min()), int(address.max())
    aligned = size == 1 or not int(np.bitwise_or.reduce(address)) & (size - 1)
    shift = np.int64(size.bit_length() - 1)
    if space in ("global", "const"):
        one = m.memory.find(low)
        if one is not None and aligned and high + size <= one.end and (one.writable or what == "read"):
            index = (address - np.int64(m.memory.base)) >> shift
            return index, (WHOLE if _is_whole(m, one) else None)
        return _resolve_slowly(m, place, address, size, where, what)
    if space == "shared":
        limit, base = m.shared_bytes, m.shared_base
    else:
        limit, base = m.local_bytes, m.chosen(None) * m.local_bytes
    if not aligned:
        address = _misaligned(m, place, space, address, size, where, what)
    bad: Array | None = None
    if low < 0 or high + size > limit:
        bad = (address < 0) | (address + size > limit)
        if bad.any():
            _out_of_bounds(m, place, space, address, size, where, what, bad, f"{space} memory has {limit:,} bytes")
            address = np.where(bad, 0, address)
    if space == "shared":
        active = base[m.chosen(where)] if m.lanes is not None or where is not None else base
    else:
        active = base if where is None else base[where]
    return (address + active) >> shift, bad


def _is_whole(m: Batch, one: Allocation) -> bool:
    found = m.whole.get(one.start)
    if found is None:
        found = m.whole[one.start] = m.memory.is_whole(one)
    return found


def _lane(m: Batch, where: Array | None, bad: Array) -> tuple[int, int, int]:
    """The first bad position, its lane, and how many there are."""
    chosen = m.chosen(where)
    whole = np.broadcast_to(bad, chosen.shape)
    position = int(whole.argmax())
    return position, int(chosen[position]), int(whole.sum())


def _misaligned(m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None, what: str) -> Array:
    bad = (address & np.int64(size - 1)) != 0
    position, lane, count = _lane(m, where, bad)
    at = int(address[min(position, len(address) - 1)])
    m.fault(
        "misaligned", place, lane, f"{what} of {size} bytes at {space} address {at:#x}, which is no multiple of {size}",
        address=at, space=space, count=count,
    )  # fmt: skip
    return address & ~np.int64(size - 1)


def aligned(m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None) -> Array:
    """Addresses of an access to several elements; those that are no multiple of its size are a finding."""
    if not int(np.bitwise_or.reduce(address)) & (size - 1):
        return address
    return _misaligned(m, place, space, address, size, where, "write")


def _out_of_bounds(
    m: Batch,
    place: Place,
    space: str,
    address: Array,
    size: int,
    where: Array | None,
    what: str,
    bad: Array,
    words: str,
) -> None:
    position, lane, count = _lane(m, where, bad)
    at = int(address[min(position, len(address) - 1)])
    kind = "use-after-free" if space == "global" and m.memory.was_freed(at) else "out-of-bounds"
    shown = at & 0xFFFF_FFFF_FFFF_FFFF
    m.fault(
        kind, place, lane, f"{what} of {size} bytes at {space} address {shown:#x}: {words}",
        address=shown, space=space, count=count,
    )  # fmt: skip


def _resolve_slowly(
    m: Batch, place: Place, address: Array, size: int, where: Array | None, what: str
) -> tuple[Array, Array | None]:
    """Global addresses that are not all inside of one allocation: each lane on its own."""
    if size > 1 and int(np.bitwise_or.reduce(address)) & (size - 1):
        address = _misaligned(m, place, "global", address, size, where, what)
    offset = address - np.int64(m.memory.base)
    outside = (offset < 0) | (offset > m.memory.size_bytes - size)
    inside = np.where(outside, 0, offset)
    shadow = m.view("global-shadow", np.dtype(np.uint8))
    bad = outside | (shadow[inside[:, None] + np.arange(size)] == NOT_ALLOCATED).any(axis=1)
    if bad.any():
        first = int(address[int(bad.argmax())])
        words = "not an address" if outside[int(bad.argmax())] else m.memory.nearest(first)
        _out_of_bounds(m, place, "global", address, size, where, what, bad, words)
    if what == "write":
        for one in {id(a): a for a in map(m.memory.find, np.unique(address[~bad]).tolist()[:64]) if a}.values():
            if not one.writable:
                into = (address >= one.start) & (address < one.end)
                _, lane, count = _lane(m, where, into)
                m.fault(
                    "read-only", place, lane, f"a write to constant memory ({one.name})",
                    address=one.start, space="const", count=count,
                )  # fmt: skip
                bad = bad | into
    index = np.where(bad, 0, inside) >> np.int64(size.bit_length() - 1)
    return index, (bad if bad.any() else None)


def _check_written(
    m: Batch, place: Place, space: str, index: Array, address: Array, size: int, where: Array | None, bad: Array | None
) -> None:
    shadow = m.view(f"{space}-shadow", _unit(size))[index]
    wrong = shadow != _PATTERN[size]
    if bad is not None:
        wrong = wrong & ~bad
    if not wrong.any():
        return
    marks = shadow.view(np.uint8).reshape(-1, size)
    unwritten = marks == UNWRITTEN
    wrong = wrong & unwritten.any(axis=1)
    if wrong.any() and m.deferred is not None and space in ("shared", "local"):
        chosen = m.chosen(where)
        those = np.flatnonzero(np.broadcast_to(wrong, chosen.shape))
        first = int(np.broadcast_to(address, chosen.shape)[those[0]])
        unwritten = np.broadcast_to(unwritten, (len(chosen), size))[those]
        m.deferred.append(UnwrittenBytes(chosen[those], unwritten, space, first))
    elif wrong.any():
        position, lane, count = _lane(m, where, wrong)
        at = int(address[min(position, len(address) - 1)])
        named = m.memory.find(at) if space == "global" else None
        inside = f" ({at - named.start:,} bytes into {named.name or 'an allocation'})" if named else ""
        m.fault(
            "uninitialised-memory", place, lane, f"read of {space} memory at {at:#x}{inside} that was never written",
            address=at, space=space, count=count,
        )  # fmt: skip


def resolve(m: Batch, place: Place, space: str, address: Array, size: int, where: Array) -> tuple[Array, Array | None]:
    """Element numbers for an access that reads and writes, and where it must not be done; `where`: its lanes.

    The bytes are checked for having been written, and are written from now on.
    """
    index, bad = _resolve(m, place, space, address, size, where, "write")
    wrong = bad if isinstance(bad, np.ndarray) else None
    if m.check_written and bad is not WHOLE:
        _check_written(m, place, space, index, address, size, where, wrong)
        good = index if wrong is None else index[~wrong]
        m.view(f"{space}-shadow", _unit(size))[good] = _PATTERN[size]
    return index, wrong


def _store_shared(
    m: Batch, place: Place, index: Array, values: Array, size: int, where: Array | None, target: Array
) -> None:
    changes = bits_differ(target[index], values)
    target[index] = values
    # lanes of this instruction that wrote something else into the same place
    lost = bits_differ(target[index], values)
    if lost.any():
        position, lane, count = _lane(m, where, lost)
        at = int(index[position]) * size - int(m.shared_base[lane])
        m.fault(
            "race", place, lane, f"several lanes write different values to shared address {at:#x} at once",
            address=at, space="shared", count=count,
        )  # fmt: skip
    note_writes(m, place, index * size, size, where, changes)


# -- generic addresses ----------------------------------------------------------------------------------------------
_WINDOWS = (("shared", SHARED_WINDOW), ("local", LOCAL_WINDOW), ("param", PARAM_WINDOW))


def split_generic(m: Batch, address: Array, where: Array | None) -> list[tuple[str, Array, Array | None, Array | None]]:
    """Generic addresses by space: (space, addresses in it, positions among the given ones, chosen lanes)."""
    low, high = int(address.min()), int(address.max())
    for space, base in _WINDOWS:
        if base <= low and high < base + WINDOW_BYTES:
            return [(space, address - np.int64(base), None, where)]
    if high < PARAM_WINDOW and low >= 0:
        return [("global", address, None, where)]
    parts: list[tuple[str, Array, Array | None, Array | None]] = []
    left = np.ones(address.shape, bool)
    chosen = np.arange(m.count) if where is None else where
    for space, base in (*_WINDOWS, ("global", 0)):
        inside = left & (address >= base) & (address < base + WINDOW_BYTES) if base else left
        if inside.any():
            at = np.flatnonzero(inside)
            parts.append((space, address[at] - np.int64(base), at, chosen[at] if len(address) > 1 else where))
            left = left & ~inside
    return parts


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
    """Addresses of chosen lanes, as `load` takes them: for all active lanes."""
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
        _out_of_bounds(m, place, "param", address, size, where, "read", bad, words)
        address = np.where(bad, 0, address)
    found: Array = m.parameters[np.minimum(address[:, None] + np.arange(size), max(len(m.parameters) - 1, 0))]
    return found


# -- copies in flight -----------------------------------------------------------------------------------------------
def place_copy(
    m: Batch, place: Place, address: Array, data: Array, size: int, lanes: Array
) -> tuple[Array, Array, Array] | None:
    """Where an asynchronous copy will write: (offsets in all shared memories, lanes, data) of good lanes."""
    if int(address.min()) >= SHARED_WINDOW:
        address = address - np.int64(SHARED_WINDOW)
    positions = np.searchsorted(m.lanes, lanes) if m.lanes is not None else lanes
    if int(np.bitwise_or.reduce(address)) & (size - 1):
        address = _misaligned(m, place, "shared", address, size, positions, "write")
    bad = (address < 0) | (address + size > m.shared_bytes)
    if bad.any():
        words = f"shared memory has {m.shared_bytes:,} bytes"
        _out_of_bounds(m, place, "shared", address, size, positions, "write", bad, words)
        address, lanes, data = address[~bad], lanes[~bad], data[~bad]
    if not lanes.size:
        return None
    return address + m.shared_base[lanes], lanes, data


def begin_copy(m: Batch, place: Place, offset: Array, size: int, lanes: Array) -> None:
    """Race check of a copy's writes when it is issued; from now on every access to them is too early."""
    if m.hazards is None:
        return
    block, thread = m.block_of[lanes], m.thread_of[lanes]
    positions = np.searchsorted(m.lanes, lanes) if m.lanes is not None else lanes
    for step in range(0, size, m.hazards.grain):
        word = (offset + step) // m.hazards.grain
        conflict = m.hazards.write(word, block, thread, None)
        if conflict is not None:
            report_race(m, place, conflict, positions, word, "written by an asynchronous copy", "read or written")
        m.hazards.begin_copy(word, thread)


def end_copy(m: Batch, offset: Array, data: Array, size: int, lanes: Array, *, generic: bool = False) -> None:
    """The bytes of a copy appear. `generic`: written in the generic proxy, as ordinary stores are."""
    m.changes += 1
    unit = _unit(size)
    m.view("shared", unit)[offset // size] = np.ascontiguousarray(data).reshape(-1).view(unit)
    if m.check_written:
        m.view("shared-shadow", unit)[offset // size] = _PATTERN[size]
    if m.hazards is not None:
        for step in range(0, size, m.hazards.grain):
            word = (offset + step) // m.hazards.grain
            m.hazards.end_copy(word, m.block_of[lanes], m.thread_of[lanes], generic=generic)
