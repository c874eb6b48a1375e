"""Race checks of accesses to shared and device memory; a conflict becomes a finding."""

from __future__ import annotations

import numpy as np

from .batch import Batch
from .faults import Place
from .global_hazards import Clash, Rows, Trace
from .hazards import Conflict
from .types import Array


def _words(m: Batch, offset: Array, size: int, where: Array | None) -> tuple[list[Array], Array, Array]:
    """Return word numbers of byte ranges (one array per word of a range), blocks and threads of the lanes."""
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
    """Check reads for races; offset: bytes from the start of all shared memories."""
    assert m.hazards is not None
    words, block, thread = _words(m, offset, size, where)
    for word in words:
        conflict = m.hazards.read(word, block, thread)
        if conflict is not None:
            report_race(m, place, conflict, where, word, "read", "written")


def note_writes(m: Batch, place: Place, offset: Array, size: int, where: Array | None, changes: Array | None) -> None:
    """Check writes for races."""
    assert m.hazards is not None
    words, block, thread = _words(m, offset, size, where)
    for word in words:
        conflict = m.hazards.write(word, block, thread, changes)
        if conflict is not None:
            report_race(m, place, conflict, where, word, "written", "read or written")


def note_atomics(m: Batch, place: Place, offset: Array, size: int, where: Array | None, *, writes: bool = True) -> None:
    """Check atomic operations and strong accesses for races: they conflict with plain accesses only."""
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
    """Report the first of some conflicts; `now` and `before`: the kinds of the two accesses."""
    assert m.hazards is not None
    first = int(conflict.where[0])
    lane = int(m.chosen(where)[first])
    at = int(word[first]) * m.hazards.grain - int(m.shared_base[lane])
    other = int(conflict.thread[0])
    if conflict.pending[0]:
        m.fault(
            "unfinished-copy",
            place,
            lane,
            f"shared address {at:#x} is {now} while an asynchronous operation of thread {other} on it has not been"
            " waited for",
            address=at,
            space="shared",
            count=len(conflict.where),
        )
        return
    m.fault(
        "race",
        place,
        lane,
        f"shared address {at:#x} is {now} by thread {int(m.thread_of[lane])} and was {before} by thread {other} with"
        " no barrier between",
        address=at,
        space="shared",
        count=len(conflict.where),
    )


def check_proxy(m: Batch, place: Place, word: Array, lane: int, readers: Array) -> None:
    """Report asynchronous reads of ordinary writes that no `fence.proxy.async` has followed (PTX ISA 8.7)."""
    if m.hazards is None:
        return
    late = m.hazards.unfenced(word, int(m.block_of[lane]), readers)
    if late.size:
        at = int(word[int(late[0])]) * m.hazards.grain - int(m.shared_base[lane])
        m.fault(
            "race",
            place,
            lane,
            f"shared address {at:#x} was written with no fence.proxy.async before it is read here",
            address=at,
            space="shared",
            count=int(late.size),
        )


# -- device memory ---------------------------------------------------------------------------------------------------
def publish(m: Batch, where: Array | None, *, device: bool) -> None:
    """Record a fence, or an operation with release semantics; `device`: its scope is wider than the block."""
    if m.globals is None:
        return
    warps = np.unique(m.warp_of[m.chosen(where)])
    m.globals.publish(warps // m.warps_per_block, warps % m.warps_per_block, device=device)


def look(m: Batch, where: Array | None) -> None:
    """Record strong reads and atomic operations: other threads' published accesses are ordered before later ones."""
    if m.globals is None:
        return
    lanes = m.chosen(where)
    m.globals.look(m.block_of[lanes], m.thread_of[lanes] >> 5)


def note_global_reads(m: Batch, place: Place, index: Array, size: int, where: Array | None, *, strong: bool) -> None:
    """Check reads for races; `index`: in device memory, in units of `size` bytes."""
    assert m.globals is not None
    for found in _traces(m, index, size):
        words, own, block, thread, keep = _global_words(m, found, index, size, where)
        for word in words:
            if not word.size:
                continue
            if strong:
                clash = m.globals.update(found, word, own, block, thread, writes=False)
            else:
                clash = m.globals.read(found, word, own, block, thread)
            if clash is not None:
                _report_clash(m, place, found, clash, where, keep, word, "read", "written")
    if strong:
        look(m, where)


def note_row_reads(m: Batch, place: Place, rows: Rows, size: int, where: Array | None) -> None:
    """Check reads of consecutive elements for races."""
    assert m.globals is not None
    found = m.globals.find(rows.first * size // m.globals.grain)
    if found is None:
        return
    words = rows.as_words(size // m.globals.grain, found.first)
    if size >= m.globals.grain and found.is_unread(words):
        m.globals.read_rows(found, words, _row_stamps(m, where, size))
    else:
        note_global_reads(m, place, rows.numbers(), size, where, strong=False)


def note_row_writes(m: Batch, rows: Rows, size: int, where: Array | None) -> bool:
    """Record writes of consecutive elements that were not accessed before. False: nothing is done."""
    assert m.globals is not None
    found = m.globals.find(rows.first * size // m.globals.grain)
    if found is None:
        return True
    words = rows.as_words(size // m.globals.grain, found.first)
    if not found.is_untouched(words.first, words.last) and not found.is_fresh(words):
        return False
    m.globals.write_rows(found, words, _row_stamps(m, where, size))
    return True


def _row_stamps(m: Batch, where: Array | None, size: int) -> Array:
    assert m.globals is not None
    own, _, _ = _global_stamps(m, where)
    return own if size == m.globals.grain else np.repeat(own, size // m.globals.grain)


def note_global_atomics(m: Batch, place: Place, index: Array, size: int, where: Array | None) -> None:
    """Check atomic operations and strong stores for races."""
    assert m.globals is not None
    for found in _traces(m, index, size):
        words, own, block, thread, keep = _global_words(m, found, index, size, where)
        for word in words:
            clash = m.globals.update(found, word, own, block, thread, writes=True) if word.size else None
            if clash is not None:
                _report_clash(m, place, found, clash, where, keep, word, "updated", "read or written")
    look(m, where)


def store_global(m: Batch, place: Place, index: Array, values: Array, size: int, where: Array | None) -> None:
    """Write to device memory with a race check."""
    assert m.globals is not None
    target = m.view("global", values.dtype)
    traces = _traces(m, index, size)
    if not traces:
        target[index] = values
        return
    if len(traces) == 1 and _store_fresh(m, traces[0], index, values, size, where, target):
        return
    changes = bits_differ(target[index], values)
    target[index] = values
    lost = bits_differ(target[index], values)
    if lost.any():
        position = int(lost.argmax())
        lane = int(m.chosen(where)[position])
        at = int(index[position]) * size + m.memory.base
        m.fault(
            "race",
            place,
            lane,
            f"several lanes write different values to global address {at:#x} at once",
            address=at,
            space="global",
            count=int(lost.sum()),
        )
    for found in traces:
        words, own, block, thread, keep = _global_words(m, found, index, size, where)
        changed = np.broadcast_to(changes, own.shape) if keep is None else np.broadcast_to(changes, keep.shape)[keep]
        for word in words:
            clash = m.globals.write(found, word, own, block, thread, changed) if word.size else None
            if clash is not None:
                _report_clash(m, place, found, clash, where, keep, word, "written", "read or written")


def _store_fresh(
    m: Batch, trace: Trace, index: Array, values: Array, size: int, where: Array | None, target: Array
) -> bool:
    """Write elements that are each written once and were not accessed before, the common case. False: nothing is
    done.
    """
    assert m.globals is not None
    if len(index) != (m.count if where is None else len(where)) or not (index[1:] > index[:-1]).all():
        return False
    each = size // m.globals.grain
    low, high = int(index[0]) * each - trace.first, (int(index[-1]) + 1) * each - 1 - trace.first
    if low < 0 or high > trace.last - trace.first:
        return False
    if not trace.is_untouched(low, high):
        if trace.read_range[0] <= high and low <= trace.read_range[1]:
            return False
        words = [index * np.int64(each) - np.int64(trace.first - step) for step in range(each)]
        if any(trace.writer[word].any() for word in words):
            return False
    else:
        words = [index * np.int64(each) - np.int64(trace.first - step) for step in range(each)]
    target[index] = values
    m.globals.write_fresh(trace, words, _global_stamps(m, where)[0], low, high)
    return True


def bits_differ(a: Array, b: Array) -> Array:
    """Return a mask, [n], of elements that differ in any bit (complex128 represents 16 bytes)."""
    if a.dtype.itemsize == 16:
        x, y = (v.view(np.uint64).reshape(-1, 2) for v in (a, np.ascontiguousarray(np.broadcast_to(b, a.shape))))
        different: Array = (x != y).any(axis=1)
        return different
    plain: Array = a != b
    return plain


def _traces(m: Batch, index: Array, size: int) -> list[Trace]:
    """Return the traces of the allocations that an access may be in."""
    assert m.globals is not None
    if not m.globals.traces:
        return []
    grain = m.globals.grain
    low, high = int(index.min()) * size // grain, (int(index.max()) * size + size - 1) // grain
    return [trace for trace in m.globals.traces if trace.first <= high and low <= trace.last]


def _global_stamps(m: Batch, where: Array | None) -> tuple[Array, Array, Array]:
    """Return stamps, blocks and threads of lanes."""
    assert m.globals is not None
    if where is None and m.lanes is None:
        return m.globals.stamps(None, m.block_of, m.thread_of), m.block_of, m.thread_of
    lanes = m.chosen(where)
    block, thread = m.block_of[lanes], m.thread_of[lanes]
    return m.globals.stamps(lanes, block, thread), block, thread


def _global_words(
    m: Batch, trace: Trace, index: Array, size: int, where: Array | None
) -> tuple[list[Array], Array, Array, Array, Array | None]:
    """Return word numbers of an access from the trace's first (one array per word), stamps, blocks and threads of
    lanes.

    The last element is the positions inside the trace's allocation, None: all. Others are left out.
    """
    assert m.globals is not None
    own, block, thread = _global_stamps(m, where)
    if index.shape[0] != own.shape[0]:
        index = np.broadcast_to(index, own.shape)
    # an asynchronous copy may read less than a word, as all writes are of whole words
    each = max(1, size // m.globals.grain)
    first = index * np.int64(size) // np.int64(m.globals.grain) - np.int64(trace.first)
    keep: Array | None = (first >= 0) & (first <= trace.last - trace.first - each + 1)
    assert keep is not None
    if keep.all():
        keep = None
    else:
        first, own, block, thread = first[keep], own[keep], block[keep], thread[keep]
    return [first + step if step else first for step in range(each)], own, block, thread, keep


def _report_clash(
    m: Batch,
    place: Place,
    trace: Trace,
    clash: Clash,
    where: Array | None,
    keep: Array | None,
    word: Array,
    now: str,
    before: str,
) -> None:
    assert m.globals is not None
    first = int(clash.where[0])
    lane = int(m.chosen(where)[first if keep is None else np.flatnonzero(keep)[first]])
    offset = int(word[first]) * m.globals.grain
    one = trace.allocation
    x, y, _ = m.geometry.grid
    number = int(clash.block[0])
    other = f"thread {int(clash.thread[0])} of block {(number % x, number // x % y, number // (x * y))}"
    m.fault(
        "race",
        place,
        lane,
        f"global address {one.start + offset:#x} ({offset:,} bytes into {one.name or 'an allocation'}) is {now} by"
        f" thread {int(m.thread_of[lane])} of block {m.block_index(lane)} and was {before} by {other} with nothing"
        " that orders the two",
        address=one.start + offset,
        space="global",
        count=len(clash.where),
    )
