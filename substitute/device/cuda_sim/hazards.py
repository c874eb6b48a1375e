"""Races in shared memory: the last write and reads of each word, and the clocks that each warp has seen of the others.

Every warp has a clock. An access stores the thread and its warp's clock at the word. `seen[block, u, w]` is the largest
clock of warp w whose accesses are ordered before those that warp u makes now; a barrier raises it for all that take
part, an mbarrier carries it from those that arrive to those that wait. An access by thread t at clock c is ordered
before one by thread u if t is u or c ≤ seen[warp of u, warp of t]. So threads of one warp are unordered too, until a
`bar.warp.sync`; lanes of a single instruction are only checked against each other for different values in one word.

Asynchronous copies leave a stamp that is unordered with every access until they have completed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .types import Array

_THREAD_BITS = 10
_THREAD_MASK = (1 << _THREAD_BITS) - 1
_LOG_LENGTH = 128
PENDING_CLOCK = (1 << 52) - 1
"""Clock of a copy in flight."""


@dataclass(slots=True)
class Conflict:
    """Positions (among those checked) of accesses unordered with an earlier one, and the thread of the earlier one."""

    where: Array
    thread: Array
    pending: Array
    """Mask of earlier accesses that are copies in flight."""


@dataclass(slots=True)
class Hazards:
    """The shadow of the shared memories of a batch, in words of `grain` bytes."""

    blocks: int
    warps: int
    grain: int
    words: int
    """Number of words of all blocks."""
    writer: Array = field(init=False)
    reader: Array = field(init=False)
    other_reader: Array = field(init=False)
    atomic: Array = field(init=False)
    """[words] bool: the last write was an atomic operation."""
    clock: Array = field(init=False)
    seen: Array = field(init=False)
    atomics_used: bool = field(init=False)
    dirty: bool = False
    """True if something may have been written since the last barrier of all threads, or a copy is in flight."""
    in_flight: int = 0
    """Number of words that copies in flight will write."""
    times: Array | None = None
    """[words]: time of the last write in the generic proxy; None if nothing reads shared memory asynchronously."""
    fenced: Array = field(init=False)
    """[blocks, threads]: time of each thread's last `fence.proxy.async`."""
    fenced_seen: Array = field(init=False)
    """[blocks, warps, warps]: `seen` of each warp at the last such fence of one of its threads."""
    now: int = 0
    epoch: int = 0
    """Incremented whenever a clock changes."""
    floor: int = 0
    """Every thread has seen all accesses up to this clock."""
    looked: Array | None = None
    """[blocks, warps] of `GlobalHazards`, propagated by barriers like `seen`."""
    log: list[tuple[Array, Array, Array]] = field(default_factory=list)
    """Reads not recorded yet: most are discarded at the next barrier of all threads without having been needed."""

    def __post_init__(self) -> None:
        # a stamp of 0 is thread 0 at clock 0: clocks begin at 1 and everything at 0 is seen by all
        self.writer = np.zeros(self.words + 16, np.int64)
        self.reader = np.zeros(self.words + 16, np.int64)
        self.other_reader = np.zeros(self.words + 16, np.int64)
        self.atomic = np.zeros(self.words + 16, bool)
        self.atomics_used = False
        self.fenced = np.zeros((self.blocks, 32 * self.warps), np.int64)
        self.fenced_seen = np.zeros((self.blocks, self.warps, self.warps), np.int64)
        self.clock = np.ones((self.blocks, self.warps), np.int64)
        self.seen = np.zeros((self.blocks, self.warps, self.warps), np.int64)

    def restart(self) -> None:
        """Reset the clocks for other blocks of a kernel without shared memory."""
        if self.epoch:
            self.epoch = self.floor = 0
            self.log.clear()
            self.clock[:], self.seen[:] = 1, 0

    def stamps(self, block: Array, thread: Array) -> Array:
        """Return the stamps of accesses by threads now."""
        made: Array = (self.clock[block, thread >> 5] << _THREAD_BITS) | thread
        return made

    def unordered(self, stamps: Array, block: Array, thread: Array) -> Array:
        """Return a mask of earlier accesses not ordered before one by `thread` now."""
        if not stamps.size or int(stamps.max()) >> _THREAD_BITS <= self.floor:
            return np.zeros(stamps.shape, bool)
        before = stamps & _THREAD_MASK
        clocks = stamps >> _THREAD_BITS
        known = self.seen[block, thread >> 5, before >> 5]
        found: Array = (clocks > known) & ((before != thread) | (clocks == PENDING_CLOCK))
        return found

    def read(self, word: Array, block: Array, thread: Array) -> Conflict | None:
        """Record reads of one word each; conflicts are with writes."""
        self.log.append((word, block, thread))
        if len(self.log) >= _LOG_LENGTH:
            self.flush()
        if not self.dirty:
            return None
        written = self.writer[word]
        return self._conflict(self.unordered(written, block, thread), written)

    def flush(self) -> None:
        """Record the reads of the log. Needed before clocks change, and before readers are queried."""
        log, self.log = self.log, []
        for word, block, thread in log:
            self._note_read(word, block, thread)

    def _note_read(self, word: Array, block: Array, thread: Array) -> None:
        before = self.reader[word]
        another = (before & _THREAD_MASK) != thread
        keep_two_reads(self.reader, self.other_reader, word, self.stamps(block, thread), before, another)

    def write(self, word: Array, block: Array, thread: Array, changes: Array | None) -> Conflict | None:
        """Record writes of one word each; conflicts are with reads, and with writes of other values.

        changes: [n] bool, where the value differs from what was there; None: always.
        """
        self.flush()
        self.dirty = True
        stamp = self.stamps(block, thread)
        written, first, second = self.writer[word], self.reader[word], self.other_reader[word]
        by_write = self.unordered(written, block, thread)
        if changes is not None:
            by_write &= changes | ((written >> _THREAD_BITS) == PENDING_CLOCK)
        by_first, by_second = self.unordered(first, block, thread), self.unordered(second, block, thread)
        if changes is not None:
            by_first, by_second = by_first & changes, by_second & changes
        self.writer[word] = stamp
        if self.times is not None:
            self.now += 1
            self.times[word] = self.now
        if self.atomics_used:
            self.atomic[word] = False
        earlier = np.where(by_write, written, np.where(by_first, first, second))
        return self._conflict(by_write | by_first | by_second, earlier)

    def update(self, word: Array, block: Array, thread: Array, *, writes: bool) -> Conflict | None:
        """Record atomic operations: they conflict with reads and writes that are not atomic."""
        if not writes:
            written = self.writer[word]
            return self._conflict(self.unordered(written, block, thread) & ~self.atomic[word], written)
        self.flush()
        self.dirty = self.atomics_used = True
        written, first, second = self.writer[word], self.reader[word], self.other_reader[word]
        by_write = self.unordered(written, block, thread) & ~self.atomic[word]
        by_first, by_second = self.unordered(first, block, thread), self.unordered(second, block, thread)
        self.writer[word] = self.stamps(block, thread)
        self.atomic[word] = True
        earlier = np.where(by_write, written, np.where(by_first, first, second))
        return self._conflict(by_write | by_first | by_second, earlier)

    def _conflict(self, bad: Array, earlier: Array) -> Conflict | None:
        if not bad.any():
            return None
        where = np.flatnonzero(bad)
        found = earlier[where]
        return Conflict(where, found & _THREAD_MASK, (found >> _THREAD_BITS) == PENDING_CLOCK)

    def begin_copy(self, word: Array, thread: Array, *, reads: bool = False) -> None:
        """Mark words as read or written by a copy in flight."""
        self.flush()
        if not reads:
            self.dirty = True
            self.in_flight += len(word)
            if self.times is not None:
                self.times[word] = 0
        target = self.reader if reads else self.writer
        target[word] = (PENDING_CLOCK << _THREAD_BITS) | thread

    def end_copy(self, word: Array, block: Array, thread: Array, *, reads: bool = False, generic: bool = False) -> None:
        """Record that `thread` has seen a copy complete; `generic`: asynchronous readers need a fence after it."""
        self.flush()
        if not reads:
            self.dirty = True
            self.in_flight -= len(word)
        target = self.reader if reads else self.writer
        target[word] = self.stamps(block, thread)
        if generic and self.times is not None:
            self.now += 1
            self.times[word] = self.now

    def watch_proxies(self) -> None:
        """Record from now on the times that checks of asynchronous readers need."""
        self.times = np.zeros(self.words + 16, np.int64)

    def fence(self, block: Array, thread: Array) -> None:
        """Record a `fence.proxy.async`: earlier writes become visible to asynchronous readers."""
        self.now += 1
        self.fenced[block, thread] = self.now
        self.fenced_seen[block, thread >> 5] = self.seen[block, thread >> 5]

    def unfenced(self, word: Array, block: int, readers: Array) -> Array:
        """Return the positions of words that were written in the generic proxy and not fenced since.

        The fence is their writer's, or that of a reader to whom the write was ordered (by a barrier) before the fence.
        """
        if self.times is None:
            return np.zeros(0, np.int64)
        stamps = self.writer[word]
        writer = stamps & _THREAD_MASK
        by_writer = self.times[word] <= self.fenced[block, writer]
        known = self.fenced_seen[block, np.unique(readers >> 5)].max(axis=0)
        return np.flatnonzero(~by_writer & (self.times[word] > 0) & ((stamps >> _THREAD_BITS) > known[writer >> 5]))

    def join_all(self) -> None:
        """Record a barrier of all threads of all blocks."""
        self.log.clear()
        self.dirty = self.in_flight > 0
        self.seen[:] = self.clock[:, None, :]
        self.floor = int(self.clock.min())
        self.clock += 1
        self.epoch += 1
        if self.looked is not None:
            self.looked[:] = self.looked.max(axis=1, keepdims=True)

    def join(self, block: int, warps: Array) -> None:
        """Record a barrier of some warps of a block: each of them sees all that any of them has seen."""
        self.flush()
        known = self.seen[block, warps].max(axis=0)
        known[warps] = np.maximum(known[warps], self.clock[block, warps])
        self.seen[block, warps] = known
        self.clock[block, warps] += 1
        self.epoch += 1
        if self.looked is not None:
            self.looked[block, warps] = self.looked[block, warps].max()

    def sync_warps(self, block: Array, warp: Array) -> None:
        """Record a `bar.warp.sync` of some warps."""
        self.flush()
        self.seen[block, warp, warp] = self.clock[block, warp]
        self.clock[block, warp] += 1
        self.epoch += 1

    def release(self, block: int, warp: int) -> Array:
        """Return the clocks that a thread of the warp passes on, [warps]; its later accesses are not included."""
        self.flush()
        known: Array = self.seen[block, warp].copy()
        known[warp] = self.clock[block, warp]
        # earlier accesses of other threads of the same warp are passed on too: the warp has one clock
        self.clock[block, warp] += 1
        self.epoch += 1
        return known

    def acquire(self, block: int, warp: int, known: Array) -> None:
        """Merge clocks that were passed on into those that the warp has seen."""
        self.seen[block, warp] = np.maximum(self.seen[block, warp], known)
        if self.looked is not None:
            self.looked[block, warp] = self.looked[block].max()


def keep_two_reads(
    reader: Array, other_reader: Array, word: Array, stamp: Array, before: Array, another: Array
) -> None:
    """Record the last read of each word, and keep a read by another thread if one was recorded."""
    if another.any():
        other_reader[word[another]] = before[another]
    reader[word] = stamp
    lost = reader[word] != stamp
    if lost.any():
        other_reader[word[lost]] = stamp[lost]
