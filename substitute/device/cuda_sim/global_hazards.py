"""Races in device memory between threads of all blocks of a launch.

As in shared memory (`hazards`), each word holds the thread and the clock of its last write and of two reads, and
threads of one block are ordered by `Hazards.seen` of their warps. Between blocks there is order only where

- the earlier access was *published*: its warp, or one that a barrier ordered after it, executed a fence or an operation
with release semantics (at the scope of the device, or of the block for a thread of the same block), and - the later
thread has *looked* since: it, or a warp that a barrier has ordered before it, executed an atomic operation or a strong
read.

The location that was looked at is ignored, so that the order of right programs is always seen (locks, grid barriers,
tickets, flags, look-back), but a race may be missed in a kernel that synchronises on another location.

Accesses are noted only in allocations that the kernel may write (`pointers`). Blocks that do not run at the same time
here are compared as well: on a device they may.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .hazards import Hazards, keep_two_reads
from .memory import Allocation
from .types import Array

_CLOCK_BITS, _THREAD_BITS = 30, 10
_CLOCK_MASK, _THREAD_MASK = (1 << _CLOCK_BITS) - 1, (1 << _THREAD_BITS) - 1
_BLOCK_SHIFT = _CLOCK_BITS + _THREAD_BITS
_MOST_BLOCKS = 1 << 22


@dataclass(slots=True)
class Clash:
    """Accesses that are unordered with an earlier one: positions, and the earlier block and thread."""

    where: Array
    block: Array
    thread: Array


@dataclass(frozen=True, slots=True)
class Rows:
    """Elements of an array: rows of `length` that begin `stride` elements apart and do not overlap."""

    first: int
    count: int
    length: int
    stride: int

    @property
    def last(self) -> int:
        """Number of the last element."""
        return self.first + (self.count - 1) * self.stride + self.length - 1

    def of(self, array: Array) -> Array:
        """[count, length] view of a contiguous array."""
        size = array.itemsize
        return np.ndarray(
            (self.count, self.length),
            array.dtype,
            buffer=array,
            offset=self.first * size,
            strides=(self.stride * size, size),
        )

    def as_words(self, each: int, origin: int) -> Rows:
        """Return the rows in words, `each` of which make an element, counted from word `origin`."""
        return Rows(self.first * each - origin, self.count, self.length * each, self.stride * each)

    def numbers(self) -> Array:
        """Return the numbers of the elements, [count × length]."""
        found: Array = self.first + self.stride * np.arange(self.count)[:, None] + np.arange(self.length)
        return found.reshape(-1)


@dataclass(slots=True)
class Trace:
    """Accesses to one allocation, in words of `grain` bytes."""

    allocation: Allocation
    first: int
    """Number of the first word in device memory."""
    last: int
    writer: Array = field(init=False)
    reader: Array = field(init=False)
    other_reader: Array = field(init=False)
    atomic: Array = field(init=False)
    """[words] bool: the last write was an atomic operation or a strong store."""
    read_range: tuple[int, int] = (1 << 62, -1)
    write_range: tuple[int, int] = (1 << 62, -1)
    atomics_used: bool = False

    def __post_init__(self) -> None:
        count = self.last - self.first + 1
        self.writer, self.reader, self.other_reader = (np.zeros(count, np.int64) for _ in range(3))
        self.atomic = np.zeros(count, bool)

    def is_untouched(self, low: int, high: int) -> bool:
        """Return True if no word from `low` to `high`, counted from the first, was accessed; by the ranges of
        accesses.
        """
        return not any(a <= high and low <= b for a, b in (self.read_range, self.write_range))

    def is_fresh(self, words: Rows) -> bool:
        """Return True if none of these words was accessed; by the words themselves."""
        return not (words.of(self.writer).any() or words.of(self.reader).any())

    def is_unread(self, words: Rows) -> bool:
        """Return True if none of these words was read, and no write lies in their range."""
        if self.write_range[0] <= words.last and words.first <= self.write_range[1]:
            return False
        low, high = self.read_range
        return not (low <= words.last and words.first <= high) or not words.of(self.reader).any()


@dataclass(slots=True)
class Published:
    """[blocks, warps]: clock up to which accesses are published, the time of the fence, and the clock before it."""

    clock: Array
    since: Array
    before: Array

    def raise_to(self, number: Array, known: Array, now: int) -> None:
        """Record fences of warps of some blocks, with the clocks that they have seen."""
        rows = np.unique(number)
        old = self.clock[rows]
        np.maximum.at(self.clock, number, known)
        raised = self.clock[rows] > old
        self.before[rows] = np.where(raised, old, self.before[rows])
        self.since[rows] = np.where(raised, now, self.since[rows])

    def covers(self, number: Array, warp: Array, clock: Array, looked: Array) -> Array:
        """Return a mask of accesses published before the reader looked; only the last two fences are told apart."""
        late = (clock <= self.clock[number, warp]) & (looked >= self.since[number, warp])
        covered: Array = late | ((clock <= self.before[number, warp]) & (looked > 0))
        return covered


@dataclass(slots=True)
class GlobalHazards:
    """Recorded accesses of a launch."""

    grain: int
    traces: list[Trace]
    blocks: int
    """Number of blocks of the grid."""
    warps: int
    """Number of warps of a block."""
    hazards: Hazards = field(init=False)
    """Clocks of the running blocks."""
    numbers: Array = field(init=False)
    """Numbers of the running blocks in the grid."""
    looked: Array = field(init=False)
    """[running blocks, warps]: time of the last look; 0: never."""
    now: int = 1
    """Counts fences."""
    published: Published | None = None
    """Publications to the device; None before the first fence."""
    published_in_block: Published | None = None
    _lanes: Array | None = None
    """[lanes]: stamps of the running blocks at clock 0."""
    _first: int = 0
    _stamps: tuple[int, Array] | None = None

    def begin(self, hazards: Hazards, blocks: range, block_of: Array, thread_of: Array) -> None:
        """Set the running blocks; `block_of` and `thread_of` are those of all their lanes."""
        self.hazards, self.numbers = hazards, np.asarray(blocks)
        self.looked = np.zeros((len(blocks), self.warps), np.int64)
        hazards.looked = self.looked
        if self._lanes is None or len(self._lanes) != len(block_of) or blocks.stop >= _MOST_BLOCKS:
            number = (self.numbers[block_of] % _MOST_BLOCKS + 1) << _BLOCK_SHIFT
            self._lanes = number | (thread_of << _CLOCK_BITS)
        else:
            # the same lanes of later blocks
            self._lanes = self._lanes + np.int64((blocks.start - self._first) << _BLOCK_SHIFT)
        self._first = blocks.start
        self._stamps = None

    def find(self, word: int) -> Trace | None:
        """Return the trace of the allocation that holds a word."""
        for trace in self.traces:
            if trace.first <= word <= trace.last:
                return trace
        return None

    def stamps(self, lanes: Array | None, block: Array, thread: Array) -> Array:
        """Return the stamps of accesses by lanes (None: all) now; `block` (among the running ones) and `thread` are
        theirs.
        """
        assert self._lanes is not None
        if lanes is None and self._stamps is not None and self._stamps[0] == self.hazards.epoch:
            return self._stamps[1]
        clock = self.hazards.clock
        first = clock[0, 0]
        now = first if (clock == first).all() else clock[block, thread >> 5]
        made: Array = (self._lanes if lanes is None else self._lanes[lanes]) | now
        if lanes is None:
            self._stamps = (self.hazards.epoch, made)
        return made

    def unordered(self, stamps: Array, own: Array, block: Array, thread: Array) -> Array:
        """Return a mask of earlier accesses not ordered before those of threads now, whose stamps are `own`."""
        foreign: Array = (stamps != 0) & ((stamps ^ own) >> _CLOCK_BITS != 0)
        if not foreign.any():
            return foreign
        at = np.flatnonzero(foreign)
        before, block, thread = stamps[at], block[at], thread[at]
        clock, warp = before & _CLOCK_MASK, (before >> (_CLOCK_BITS + 5)) & (_THREAD_MASK >> 5)
        number = (before >> _BLOCK_SHIFT) - 1
        same = number == self.numbers[block] % _MOST_BLOCKS
        ordered = same & (clock <= self.hazards.seen[block, thread >> 5, warp])
        looked = self.looked[block, thread >> 5]
        if self.published is not None:
            ordered |= self.published.covers(number, warp, clock, looked)
        if self.published_in_block is not None:
            ordered |= same & self.published_in_block.covers(number, warp, clock, looked)
        foreign[at] = ~ordered
        return foreign

    def read(self, trace: Trace, word: Array, own: Array, block: Array, thread: Array) -> Clash | None:
        """Record reads of one word each (counted from the trace's first); they clash with writes."""
        low, high = int(word.min()), int(word.max())
        clash = None
        if trace.write_range[0] <= high and low <= trace.write_range[1]:
            written = trace.writer[word]
            clash = _clash(self.unordered(written, own, block, thread), written)
        _note_read(trace, word, own)
        trace.read_range = _wider(trace.read_range, low, high)
        return clash

    def write(
        self, trace: Trace, word: Array, own: Array, block: Array, thread: Array, changes: Array | None
    ) -> Clash | None:
        """Record writes of one word each; they clash with reads, and with writes of other values."""
        low, high = int(word.min()), int(word.max())
        clash = None
        if not trace.is_untouched(low, high):
            clash = self._clash_of_write(trace, word, own, block, thread, changes, atomic=False)
        if changes is not None and not changes.all():
            word, own = word[changes], own[changes]
        trace.writer[word] = own
        if trace.atomics_used:
            trace.atomic[word] = False
        trace.write_range = _wider(trace.write_range, low, high)
        return clash

    def read_rows(self, trace: Trace, words: Rows, own: Array) -> None:
        """Record reads of words that were not accessed before."""
        target = words.of(trace.reader)
        target[:] = own.reshape(target.shape)
        trace.read_range = _wider(trace.read_range, words.first, words.last)

    def write_rows(self, trace: Trace, words: Rows, own: Array) -> None:
        """Record writes of words that were not accessed before."""
        target = words.of(trace.writer)
        target[:] = own.reshape(target.shape)
        trace.write_range = _wider(trace.write_range, words.first, words.last)

    def write_fresh(self, trace: Trace, words: list[Array], own: Array, low: int, high: int) -> None:
        """Record writes of words inside of a range that was not accessed before."""
        for word in words:
            trace.writer[word] = own
        trace.write_range = _wider(trace.write_range, low, high)

    def update(
        self, trace: Trace, word: Array, own: Array, block: Array, thread: Array, *, writes: bool
    ) -> Clash | None:
        """Record atomic operations and strong accesses: they clash with weak ones."""
        low, high = int(word.min()), int(word.max())
        clash = None
        if not trace.is_untouched(low, high):
            if writes:
                clash = self._clash_of_write(trace, word, own, block, thread, None, atomic=True)
            else:
                written = trace.writer[word]
                clash = _clash(self.unordered(written, own, block, thread) & ~trace.atomic[word], written)
        if writes:
            trace.writer[word] = own
            trace.atomic[word] = trace.atomics_used = True
            trace.write_range = _wider(trace.write_range, low, high)
        return clash

    def _clash_of_write(
        self,
        trace: Trace,
        word: Array,
        own: Array,
        block: Array,
        thread: Array,
        changes: Array | None,
        *,
        atomic: bool,
    ) -> Clash | None:
        written = trace.writer[word]
        bad = self.unordered(written, own, block, thread)
        if atomic:
            bad &= ~trace.atomic[word]
        earlier = written
        if trace.read_range[1] >= 0:
            for reads in (trace.reader[word], trace.other_reader[word]):
                late = self.unordered(reads, own, block, thread) & ~bad
                earlier = np.where(late, reads, earlier)
                bad = bad | late
        return _clash(bad if changes is None else bad & changes, earlier)

    def publish(self, block: Array, warp: Array, *, device: bool) -> None:
        """Publish the accesses that warps have seen, at a fence or an operation with release semantics."""
        hazards = self.hazards
        hazards.flush()
        known = hazards.seen[block, warp]
        rows = np.arange(len(warp))
        known[rows, warp] = hazards.clock[block, warp]
        number = self.numbers[block] % _MOST_BLOCKS
        if self.published_in_block is None:
            self.published_in_block = self._nothing()
        self.now += 1
        self.published_in_block.raise_to(number, known, self.now)
        if device:
            if self.published is None:
                self.published = self._nothing()
            self.published.raise_to(number, known, self.now)
        hazards.clock[block, warp] += 1
        hazards.epoch += 1

    def look(self, block: Array, warp: Array) -> None:
        """Record atomic operations and strong reads of some warps as looks."""
        self.looked[block, warp] = self.now

    def _nothing(self) -> Published:
        shape = (min(self.blocks, _MOST_BLOCKS), self.warps)
        return Published(np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64))


def _note_read(trace: Trace, word: Array, own: Array) -> None:
    before = trace.reader[word]
    another = ((before ^ own) >> _CLOCK_BITS != 0) & (before != 0)
    keep_two_reads(trace.reader, trace.other_reader, word, own, before, another)


def _wider(known: tuple[int, int], low: int, high: int) -> tuple[int, int]:
    return min(known[0], low), max(known[1], high)


def _clash(bad: Array, earlier: Array) -> Clash | None:
    if not bad.any():
        return None
    where = np.flatnonzero(bad)
    found = earlier[where]
    return Clash(where, (found >> _BLOCK_SHIFT) - 1, (found >> _CLOCK_BITS) & _THREAD_MASK)
