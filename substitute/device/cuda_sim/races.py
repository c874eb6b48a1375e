"""Races in shared memory: accesses are told to the hazards, and a conflict becomes a finding in words."""

from __future__ import annotations

import numpy as np

from .batch import Batch
from .faults import Place
from .hazards import Conflict
from .types import Array


def _words(m: Batch, offset: Array, size: int, where: Array | None) -> tuple[list[Array], Array, Array]:
    """Word numbers of byte ranges (one array per word of a range), blocks and threads of the lanes."""
    assert m.hazards is not None
    grain = m.hazards.grain
    if where is None and m.lanes is None:
        block, thread = m.block_of, m.thread_of
    else:
        lanes = m.chosen(where)
        block, thread = m.block_of[lanes], m.thread_of[lanes]
    if offset.shape[0] != block.shape[0]:
        offset = np.broadcast_to(offset, block.shape)
    first = offset >> np.int64(grain.bit_length() - 1)
    return [first + step if step else first for step in range(max(size // grain, 1))], block, thread


def note_reads(m: Batch, place: Place, offset: Array, size: int, where: Array | None) -> None:
    """Race check of reads; offset: bytes from the start of all shared memories."""
    assert m.hazards is not None
    words, block, thread = _words(m, offset, size, where)
    for word in words:
        conflict = m.hazards.read(word, block, thread)
        if conflict is not None:
            report_race(m, place, conflict, where, word, "read", "written")


def note_writes(m: Batch, place: Place, offset: Array, size: int, where: Array | None, changes: Array | None) -> None:
    """Race check of writes."""
    assert m.hazards is not None
    words, block, thread = _words(m, offset, size, where)
    for word in words:
        conflict = m.hazards.write(word, block, thread, changes)
        if conflict is not None:
            report_race(m, place, conflict, where, word, "written", "read or written")


def note_atomics(m: Batch, place: Place, offset: Array, size: int, where: Array | None, *, writes: bool = True) -> None:
    """Race check of atomic operations and strong accesses: they conflict with plain accesses only."""
    if m.hazards is None:
        return
    words, block, thread = _words(m, offset, size, where)
    for word in words:
        conflict = m.hazards.update(word, block, thread, writes=writes)
        if conflict is not None:
            report_race(m, place, conflict, where, word, "updated", "read or written")


def report_race(
    m: Batch, place: Place, conflict: Conflict, where: Array | None, word: Array, now: str, before: str
) -> None:
    """The finding for the first of some conflicts; `now` and `before`: what is done with the word, and was."""
    assert m.hazards is not None
    first = int(conflict.where[0])
    lane = int(m.chosen(where)[first])
    at = int(word[first]) * m.hazards.grain - int(m.shared_base[lane])
    other = int(conflict.thread[0])
    if conflict.pending[0]:
        m.fault(
            "unfinished-copy", place, lane,
            f"shared address {at:#x} is {now} while an asynchronous operation of thread {other} on it has not been"
            " waited for", address=at, space="shared", count=len(conflict.where),
        )  # fmt: skip
        return
    m.fault(
        "race", place, lane,
        f"shared address {at:#x} is {now} by thread {int(m.thread_of[lane])} and was {before} by thread {other} with"
        " no barrier between", address=at, space="shared", count=len(conflict.where),
    )  # fmt: skip


def check_proxy(m: Batch, place: Place, word: Array, lane: int, readers: Array) -> None:
    """Asynchronous readers of shared memory see ordinary writes only behind `fence.proxy.async` (PTX ISA 8.7)."""
    if m.hazards is None:
        return
    late = m.hazards.unfenced(word, int(m.block_of[lane]), readers)
    if late.size:
        at = int(word[int(late[0])]) * m.hazards.grain - int(m.shared_base[lane])
        m.fault(
            "race", place, lane, f"shared address {at:#x} was written with no fence.proxy.async before it is read here",
            address=at, space="shared", count=int(late.size),
        )  # fmt: skip
