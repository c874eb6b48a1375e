"""Asynchronous copies into shared memory: their destinations, and race checks while they are in flight."""

from __future__ import annotations

import numpy as np

from .addresses import PATTERN, align_down, out_of_bounds, unit_of
from .batch import SHARED_WINDOW, Batch
from .faults import Place
from .races import report_race
from .types import Array


def place_copy(
    m: Batch, place: Place, address: Array, data: Array, size: int, lanes: Array
) -> tuple[Array, Array, Array] | None:
    """Return the destination of an asynchronous copy: (offsets in all shared memories, lanes, data) of valid lanes."""
    if int(address.min()) >= SHARED_WINDOW:
        address = address - np.int64(SHARED_WINDOW)
    positions = np.searchsorted(m.lanes, lanes) if m.lanes is not None else lanes
    if int(np.bitwise_or.reduce(address)) & (size - 1):
        address = align_down(m, place, "shared", address, size, positions, "write")
    bad = (address < 0) | (address + size > m.shared_bytes)
    if bad.any():
        words = f"shared memory has {m.shared_bytes:,} bytes"
        out_of_bounds(m, place, "shared", address, size, positions, "write", bad, words)
        address, lanes, data = address[~bad], lanes[~bad], data[~bad]
    if not lanes.size:
        return None
    return address + m.shared_base[lanes], lanes, data


def begin_copy(m: Batch, place: Place, offset: Array, size: int, lanes: Array) -> None:
    """Check a copy's writes for races when it is issued; until it completes, every access to them is a race."""
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
    """Write the bytes of a copy. `generic`: in the generic proxy, as ordinary stores are."""
    m.changes += 1
    unit = unit_of(size)
    m.view("shared", unit)[offset // size] = np.ascontiguousarray(data).reshape(-1).view(unit)
    if m.check_written:
        m.view("shared-shadow", unit)[offset // size] = PATTERN[size]
    if m.hazards is not None:
        for step in range(0, size, m.hazards.grain):
            word = (offset + step) // m.hazards.grain
            m.hazards.end_copy(word, m.block_of[lanes], m.thread_of[lanes], generic=generic)
