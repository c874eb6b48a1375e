"""The sixteen barriers of a block: `bar.sync`, `bar.arrive`, `bar.red`.

Source: PTX ISA 9.7.13.1 "bar, barrier".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .batch import AT_BARRIER, EXITED, RUNNABLE, Batch
from .faults import Place
from .types import Array, Read, Registers


@dataclass(slots=True)
class BarrierUse:
    """Operands of a barrier instruction."""

    mode: str
    """sync, arrive or red."""
    number: Read
    threads: Read | None
    """Number of threads that take part; None: all of the block."""
    reduction: str = ""
    """and, or, popc."""
    predicate: Read | None = None
    store: Callable[[Registers, Array, Array, int], None] | None = None
    """Writer of a reduction's result for lanes: (registers, values, lanes, total)."""


@dataclass(slots=True)
class Pending:
    """A barrier that some threads have reached, but not all."""

    lanes: list[Array] = field(default_factory=list)
    """Lanes that wait."""
    passed: list[Array] = field(default_factory=list)
    """Lanes that arrived without waiting."""
    votes: list[Array] = field(default_factory=list)
    expected: int | None = None
    use: BarrierUse | None = None
    place: Place | None = None


@dataclass(slots=True)
class Barriers:
    """All barriers of a batch that lanes wait at."""

    waiting: dict[tuple[int, int], Pending] = field(default_factory=dict)
    """Pending barriers by (block in the batch, barrier number)."""

    def arrive(self, m: Batch, use: BarrierUse, r: Registers, place: Place, whole: Registers) -> None:
        """Record the arrival of the active lanes; `r`: their registers, `whole`: those of all lanes."""
        lanes = m.chosen(None)
        number = np.broadcast_to(use.number(r), lanes.shape)
        threads = None if use.threads is None else np.broadcast_to(use.threads(r), lanes.shape)
        votes = None if use.predicate is None else np.broadcast_to(use.predicate(r), lanes.shape)
        keys = m.block_of[lanes] * 16 + (number & 15)
        order = np.argsort(keys, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
        if use.mode != "arrive":
            m.state[lanes] = AT_BARRIER
        for group in groups:
            first = int(group[0])
            key = (int(m.block_of[lanes[first]]), int(number[first]) & 15)
            pending = self.waiting.setdefault(key, Pending())
            expected = None if threads is None else int(threads[first])
            self._join(m, pending, use, place, lanes[group], expected)
            if votes is not None:
                pending.votes.append(votes[group])
            if self._complete(m, key[0], pending):
                self.release(m, key, whole)

    def _join(
        self, m: Batch, pending: Pending, use: BarrierUse, place: Place, lanes: Array, expected: int | None
    ) -> None:
        if pending.place is None:
            pending.place, pending.expected = place, expected
        elif expected != pending.expected:
            m.fault(
                "barrier",
                place,
                int(lanes[0]),
                f"threads wait for {_words(pending.expected)} at line {pending.place.line} and for {_words(expected)}"
                " here, at one barrier",
            )
        elif place.line != pending.place.line and expected is None and use.mode != "arrive":
            m.fault(
                "barrier",
                place,
                int(lanes[0]),
                f"threads of one block wait at different barrier instructions: some here, some at line"
                f" {pending.place.line} ({pending.place.text})",
            )
        if expected is not None and expected % 32:
            m.fault("barrier", place, int(lanes[0]), f"{expected} threads are no whole number of warps")
        (pending.passed if use.mode == "arrive" else pending.lanes).append(lanes)
        if use.mode != "arrive":
            pending.use = use

    def _complete(self, m: Batch, block: int, pending: Pending) -> bool:
        """Return whether enough threads have arrived: a warp counts as 32 threads once all its lanes have arrived."""
        threads = m.geometry.threads
        start = block * threads
        arrived = np.zeros(32 * m.warps_per_block, np.int64)
        np.add.at(arrived, np.concatenate([*pending.lanes, *pending.passed]) - start, 1)
        if pending.expected is None:
            # "all non-exited threads" of the block (CUDA C++ Programming Guide, "Synchronization Functions")
            return bool(((arrived[:threads] > 0) | (m.state[start : start + threads] == EXITED)).all())
        here = arrived[:threads] > 0
        missing = ~here & (m.state[start : start + threads] != EXITED)
        padded = np.zeros(32 * m.warps_per_block, bool)
        padded[:threads] = missing
        some = np.zeros(32 * m.warps_per_block, bool)
        some[:threads] = here
        begun: Array = np.asarray(some.reshape(-1, 32).any(axis=1))
        late: Array = np.asarray(padded.reshape(-1, 32).any(axis=1))
        return int((begun & ~late).sum()) * 32 >= pending.expected

    def release(self, m: Batch, key: tuple[int, int], whole: Registers) -> None:
        """Release the threads that wait at a barrier, with the result of its reduction."""
        pending = self.waiting.pop(key)
        m.changes += 1
        lanes = np.concatenate(pending.lanes) if pending.lanes else np.zeros(0, np.int64)
        m.state[lanes] = RUNNABLE
        block = key[0]
        if m.hazards is not None:
            # a barrier of the whole block is ordered after all accesses of threads that have exited
            everyone = m.thread_of[np.concatenate([lanes, *pending.passed])]
            warps = np.arange(m.warps_per_block) if pending.expected is None else np.unique(everyone >> 5)
            m.hazards.join(block, warps)
        use = pending.use
        if use is not None and use.store is not None and lanes.size:
            votes = np.concatenate(pending.votes)
            use.store(whole, reduce_votes(use.reduction, votes), lanes, m.total)

    def stuck(self, m: Batch, whole: Registers) -> bool:
        """Release threads whose barrier waits for threads that have exited; called when no lane can run.

        Reports a finding where the barrier names a number of threads: it would never complete on a device. Returns
        False if no barrier was released: the missing threads wait elsewhere, and the launch is deadlocked.

        That is a finding where the barrier asks for a number of threads: it will never be complete on a device.
        Returns False where the missing threads wait somewhere else, so that going on makes no sense.
        """
        threads = m.geometry.threads
        released = False
        for key, pending in list(self.waiting.items()):
            block = key[0]
            start = block * threads
            here = np.zeros(threads, bool)
            here[np.concatenate([*pending.lanes, *pending.passed]) - start] = True
            states = m.state[start : start + threads]
            missing = np.flatnonzero(~here)
            gone = missing[states[missing] == EXITED]
            if not pending.lanes or pending.place is None:
                continue
            if len(gone) == len(missing) and len(gone):
                if pending.expected is not None:
                    m.fault(
                        "barrier",
                        pending.place,
                        int(pending.lanes[0][0]),
                        f"{len(gone)} of {threads} threads have exited without arriving at barrier {key[1]},"
                        f" which waits for {pending.expected}; the first is"
                        f" thread {m.thread_index(start + int(gone[0]))}",
                    )
                self.release(m, key, whole)
                released = True
        return released


def reduce_votes(reduction: str, votes: Array) -> Array:
    """Return the result of `bar.red`, [1]."""
    if reduction == "popc":
        return np.array([int(votes.sum())], np.uint32)
    return np.array([bool(votes.all() if reduction == "and" else votes.any())])


def _words(expected: int | None) -> str:
    return "all threads" if expected is None else f"{expected} threads"
