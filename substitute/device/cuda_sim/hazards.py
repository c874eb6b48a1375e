"""Races in shared memory: who last wrote and read each word, and what each warp has been told of the others.

Every warp has a clock. An access leaves the thread and its warp's clock at the word. `seen[block, u, w]` is the
largest clock of warp w whose accesses are ordered before what warp u does now; a barrier raises it for all that take
part, an mbarrier carries it from those that arrive to those that wait. An access by thread t at clock c is ordered
before one by thread u if t is u or c ≤ seen[warp of u, warp of t]. So threads of one warp are unordered too, until a
`bar.warp.sync`; lanes of a single instruction are not checked against each other but for different values in one word.

Asynchronous copies leave a stamp that nothing is ordered behind until they have completed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .types import Array

_THREAD_BITS = 10
_THREAD_MASK = (1 << _THREAD_BITS) - 1
_LOG_LENGTH = 128
PENDING_CLOCK = (1 << 52) - 1
"""The clock of a copy in flight."""


@dataclass(slots=True)
class Conflict:
    """Positions (among those checked) whose access is unordered with an earlier one, and that one's thread."""

    where: Array
    thread: Array
    pending: Array
    """Whether the earlier access is a copy in flight."""


@dataclass(slots=True)
class Hazards:
    """The shadow of the shared memories of a batch, in words of `grain` bytes."""

    blocks: int
    warps: int
    grain: int
    words: int
    """Of all blocks."""
    writer: Array = field(init=False)
    reader: Array = field(init=False)
    other_reader: Array = field(init=False)
    atomic: Array = field(init=False)
    """[words] bool: the last write was an atomic operation."""
    clock: Array = field(init=False)
    seen: Array = field(init=False)
    atomics_used: bool = field(init=False)
    dirty: bool = False
    """Something may have been written since the last barrier of everybody, or a copy is in flight."""
    in_flight: int = 0
    """Words that copies in flight will write."""
    times: Array | None = None
    """[words]: when each was last written in the generic proxy; None where nothing asynchronous reads shared memory."""
    fenced: Array = field(init=False)
    """[blocks, threads]: when each thread last executed `fence.proxy.async`."""
    fenced_seen: Array = field(init=False)
    """[blocks, warps, warps]: `seen` of each warp when one of its threads last did so."""
    now: int = 0
    epoch: int = 0
    """Changes whenever a clock does."""
    floor: int = 0
    """Every thread knows of all accesses up to this clock."""
    looked: Array | None = None
    """[blocks, warps] of `GlobalHazards`, handed on by barriers as `seen` is."""
    log: list[tuple[Array, Array, Array]] = field(default_factory=list)
    """Reads not noted yet: most are forgotten at the next barrier of everybody without ever mattering."""

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
        """Other blocks run now, of a kernel without shared memory."""
        if self.epoch:
            self.epoch = self.floor = 0
            self.log.clear()
            self.clock[:], self.seen[:] = 1, 0

    def stamps(self, block: Array, thread: Array) -> Array:
        """What accesses of threads leave now."""
        made: Array = (self.clock[block, thread >> 5] << _THREAD_BITS) | thread
        return made

    def unordered(self, stamps: Array, block: Array, thread: Array) -> Array:
        """Where an earlier access is not ordered before one by `thread` now."""
        if not stamps.size or int(stamps.max()) >> _THREAD_BITS <= self.floor:
            return np.zeros(stamps.shape, bool)
        before = stamps & _THREAD_MASK
        clocks = stamps >> _THREAD_BITS
        known = self.seen[block, thread >> 5, before >> 5]
        found: Array = (clocks > known) & ((before != thread) | (clocks == PENDING_CLOCK))
        return found

    def read(self, word: Array, block: Array, thread: Array) -> Conflict | None:
        """Notes reads of one word each; conflicts are with writes."""
        self.log.append((word, block, thread))
        if len(self.log) >= _LOG_LENGTH:
            self.flush()
        if not self.dirty:
            return None
        written = self.writer[word]
        return self._conflict(self.unordered(written, block, thread), written)

    def flush(self) -> None:
        """Notes the reads of the log; before clocks change, and before anything asks who has read."""
        log, self.log = self.log, []
        for word, block, thread in log:
            self._note_read(word, block, thread)

    def _note_read(self, word: Array, block: Array, thread: Array) -> None:
        before = self.reader[word]
        another = (before & _THREAD_MASK) != thread
        keep_two_reads(self.reader, self.other_reader, word, self.stamps(block, thread), before, another)

    def write(self, word: Array, block: Array, thread: Array, changes: Array | None) -> Conflict | None:
        """Notes writes of one word each; conflicts are with reads, and with writes of other values.

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
        """Notes atomic operations: they conflict with reads and writes that are not atomic."""
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
        """Marks words as the business of a copy in flight."""
        self.flush()
        if not reads:
            self.dirty = True
            self.in_flight += len(word)
            if self.times is not None:
                self.times[word] = 0
        target = self.reader if reads else self.writer
        target[word] = (PENDING_CLOCK << _THREAD_BITS) | thread

    def end_copy(self, word: Array, block: Array, thread: Array, *, reads: bool = False, generic: bool = False) -> None:
        """The copy is done, as far as `thread` knows; `generic`: asynchronous readers need a fence behind it."""
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
        """From now on notes what asynchronous readers need to know."""
        self.times = np.zeros(self.words + 16, np.int64)

    def fence(self, block: Array, thread: Array) -> None:
        """`fence.proxy.async`: what came before is visible to asynchronous readers."""
        self.now += 1
        self.fenced[block, thread] = self.now
        self.fenced_seen[block, thread >> 5] = self.seen[block, thread >> 5]

    def unfenced(self, word: Array, block: int, readers: Array) -> Array:
        """Positions of words that were written in the generic proxy and not fenced since.

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
        """A barrier of all threads of all blocks."""
        self.log.clear()
        self.dirty = self.in_flight > 0
        self.seen[:] = self.clock[:, None, :]
        self.floor = int(self.clock.min())
        self.clock += 1
        self.epoch += 1
        if self.looked is not None:
            self.looked[:] = self.looked.max(axis=1, keepdims=True)

    def join(self, block: int, warps: Array) -> None:
        """A barrier of some warps of a block: all of them learn what each of them knows."""
        self.flush()
        known = self.seen[block, warps].max(axis=0)
        known[warps] = np.maximum(known[warps], self.clock[block, warps])
        self.seen[block, warps] = known
        self.clock[block, warps] += 1
        self.epoch += 1
        if self.looked is not None:
            self.looked[block, warps] = self.looked[block, warps].max()

    def sync_warps(self, block: Array, warp: Array) -> None:
        """`bar.warp.sync` of some warps."""
        self.flush()
        self.seen[block, warp, warp] = self.clock[block, warp]
        self.clock[block, warp] += 1
        self.epoch += 1

    def release(self, block: int, warp: int) -> Array:
        """[warps]: what a thread of the warp passes on; what it does later is not part of it."""
        self.flush()
        known: Array = self.seen[block, warp].copy()
        known[warp] = self.clock[block, warp]
        # what other threads of the same warp did before is passed on too: one clock serves the whole warp
        self.clock[block, warp] += 1
        self.epoch += 1
        return known

    def acquire(self, block: int, warp: int, known: Array) -> None:
        """The warp learns."""
        self.seen[block, warp] = np.maximum(self.seen[block, warp], known)
        if self.looked is not None:
            self.looked[block, warp] = self.looked[block].max()


def keep_two_reads(
    reader: Array, other_reader: Array, word: Array, stamp: Array, before: Array, another: Array
) -> None:
    """Note the last read of each word, and beside it one by another thread: that which was noted, where it is such."""
    if another.any():
        other_reader[word[another]] = before[another]
    reader[word] = stamp
    lost = reader[word] != stamp
    if lost.any():
        other_reader[word[lost]] = stamp[lost]
