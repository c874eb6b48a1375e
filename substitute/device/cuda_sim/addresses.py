"""Resolution of addresses, with checks of bounds, alignment, and reads of memory that was never written.

Source: PTX ISA 5.1 "State Spaces", 6.4.1 "Addresses as Operands".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .batch import LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_BYTES, Batch
from .faults import Place
from .memory import NOT_ALLOCATED, UNWRITTEN, WRITTEN, Allocation
from .types import Array, unsigned
from .unwritten import UnwrittenBytes

_WINDOWS = (("shared", SHARED_WINDOW), ("local", LOCAL_WINDOW), ("param", PARAM_WINDOW))


def unit_of(size: int) -> np.dtype[Any]:
    """Return the element that moves `size` bytes at once: complex128 is the only one of 16 bytes."""
    return np.dtype(np.complex128) if size == 16 else unsigned(size)


PATTERN = {size: np.array([WRITTEN] * size, np.uint8).view(unit_of(size))[0] for size in (1, 2, 4, 8, 16)}
"""A shadow of written bytes, as one element."""


class _Whole:
    """Type of the marker for an access to memory that is completely written."""


WHOLE = _Whole()


def locate(
    m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None, what: str
) -> tuple[Array, Array | _Whole | None]:
    """Return element numbers of addresses and a mask of bad ones; None: none is bad, WHOLE: none, and all is
    written.
    """
    low, high = int(address.min()), int(address.max())
    aligned = size == 1 or not int(np.bitwise_or.reduce(address)) & (size - 1)
    shift = np.int64(size.bit_length() - 1)
    if space in ("global", "const"):
        one = m.memory.find(low)
        if one is not None and aligned and high + size <= one.end and (one.writable or what == "read"):
            index = (address - np.int64(m.memory.base)) >> shift
            return index, (WHOLE if is_whole(m, one) else None)
        return _locate_slowly(m, place, address, size, where, what)
    if space == "shared":
        limit, base = m.shared_bytes, m.shared_base
    else:
        limit, base = m.local_bytes, m.chosen(None) * m.local_bytes
    if not aligned:
        address = align_down(m, place, space, address, size, where, what)
    bad: Array | None = None
    if low < 0 or high + size > limit:
        bad = (address < 0) | (address + size > limit)
        if bad.any():
            out_of_bounds(m, place, space, address, size, where, what, bad, f"{space} memory has {limit:,} bytes")
            address = np.where(bad, 0, address)
    if space == "shared":
        active = base[m.chosen(where)] if m.lanes is not None or where is not None else base
    else:
        active = base if where is None else base[where]
    return (address + active) >> shift, bad


def is_whole(m: Batch, one: Allocation) -> bool:
    """Return True if all of an allocation has been written."""
    found = m.whole.get(one.start)
    if found is None:
        found = m.whole[one.start] = m.memory.is_whole(one)
    return found


def first_bad(m: Batch, where: Array | None, bad: Array) -> tuple[int, int, int]:
    """Return the first bad position, its lane, and the number of bad positions."""
    chosen = m.chosen(where)
    whole = np.broadcast_to(bad, chosen.shape)
    position = int(whole.argmax())
    return position, int(chosen[position]), int(whole.sum())


def align_down(m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None, what: str) -> Array:
    """Report addresses that are no multiple of the size; return the multiples below them."""
    bad = (address & np.int64(size - 1)) != 0
    position, lane, count = first_bad(m, where, bad)
    at = int(address[min(position, len(address) - 1)])
    m.fault(
        "misaligned",
        place,
        lane,
        f"{what} of {size} bytes at {space} address {at:#x}, which is no multiple of {size}",
        address=at,
        space=space,
        count=count,
    )
    return address & ~np.int64(size - 1)


def aligned(m: Batch, place: Place, space: str, address: Array, size: int, where: Array | None) -> Array:
    """Return the addresses of an access to several elements; misaligned ones are reported and aligned down."""
    if not int(np.bitwise_or.reduce(address)) & (size - 1):
        return address
    return align_down(m, place, space, address, size, where, "write")


def out_of_bounds(
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
    """Report an access outside of memory."""
    position, lane, count = first_bad(m, where, bad)
    at = int(address[min(position, len(address) - 1)])
    kind = "use-after-free" if space == "global" and m.memory.was_freed(at) else "out-of-bounds"
    shown = at & 0xFFFF_FFFF_FFFF_FFFF
    m.fault(
        kind,
        place,
        lane,
        f"{what} of {size} bytes at {space} address {shown:#x}: {words}",
        address=shown,
        space=space,
        count=count,
    )


def _locate_slowly(
    m: Batch, place: Place, address: Array, size: int, where: Array | None, what: str
) -> tuple[Array, Array | None]:
    """Resolve global addresses that do not all lie in one allocation, lane by lane."""
    if size > 1 and int(np.bitwise_or.reduce(address)) & (size - 1):
        address = align_down(m, place, "global", address, size, where, what)
    offset = address - np.int64(m.memory.base)
    outside = (offset < 0) | (offset > m.memory.size_bytes - size)
    inside = np.where(outside, 0, offset)
    shadow = m.view("global-shadow", np.dtype(np.uint8))
    bad = outside | (shadow[inside[:, None] + np.arange(size)] == NOT_ALLOCATED).any(axis=1)
    if bad.any():
        first = int(address[int(bad.argmax())])
        words = "not an address" if outside[int(bad.argmax())] else m.memory.nearest(first)
        out_of_bounds(m, place, "global", address, size, where, what, bad, words)
    if what == "write":
        for one in {id(a): a for a in map(m.memory.find, np.unique(address[~bad]).tolist()[:64]) if a}.values():
            if not one.writable:
                into = (address >= one.start) & (address < one.end)
                _, lane, count = first_bad(m, where, into)
                m.fault(
                    "read-only",
                    place,
                    lane,
                    f"a write to constant memory ({one.name})",
                    address=one.start,
                    space="const",
                    count=count,
                )
                bad = bad | into
    index = np.where(bad, 0, inside) >> np.int64(size.bit_length() - 1)
    return index, (bad if bad.any() else None)


def check_written(
    m: Batch, place: Place, space: str, index: Array, address: Array, size: int, where: Array | None, bad: Array | None
) -> None:
    """Report reads of memory that was never written."""
    shadow = m.view(f"{space}-shadow", unit_of(size))[index]
    wrong = shadow != PATTERN[size]
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
        position, lane, count = first_bad(m, where, wrong)
        at = int(address[min(position, len(address) - 1)])
        named = m.memory.find(at) if space == "global" else None
        inside = f" ({at - named.start:,} bytes into {named.name or 'an allocation'})" if named else ""
        m.fault(
            "uninitialised-memory",
            place,
            lane,
            f"read of {space} memory at {at:#x}{inside} that was never written",
            address=at,
            space=space,
            count=count,
        )


def resolve(m: Batch, place: Place, space: str, address: Array, size: int, where: Array) -> tuple[Array, Array | None]:
    """Return element numbers for an access that reads and writes, and a mask of the bad ones; `where`: its lanes.

    The bytes are checked for having been written, and are written from now on.
    """
    index, bad = locate(m, place, space, address, size, where, "write")
    wrong = bad if isinstance(bad, np.ndarray) else None
    if m.check_written and bad is not WHOLE:
        check_written(m, place, space, index, address, size, where, wrong)
        good = index if wrong is None else index[~wrong]
        m.view(f"{space}-shadow", unit_of(size))[good] = PATTERN[size]
    return index, wrong


def split_generic(m: Batch, address: Array, where: Array | None) -> list[tuple[str, Array, Array | None, Array | None]]:
    """Group generic addresses by space: (space, addresses in it, positions among the given ones, chosen lanes)."""
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
