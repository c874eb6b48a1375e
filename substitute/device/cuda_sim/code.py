"""A decoded kernel: its steps, its registers' slots, and its segments (steps that run without a decision)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .batch import Batch
from .decode import Control, Run, Slots, Step
from .faults import Place
from .layout import Layout
from .pointers import WrittenPointers, find_written_pointers
from .types import Array, Registers

if TYPE_CHECKING:
    from .coverage import Coverage


@dataclass(slots=True)
class Segment:
    """Steps from `start` to before `end`; only the last one may have a control."""

    runs: tuple[Run, ...]
    steps: tuple[Step, ...]
    start: int
    end: int
    gathers: tuple[int, ...]
    """Slots that the steps read, or write for some lanes only."""
    scatters: tuple[int, ...]
    """Slots that the steps write and that are live afterwards."""
    control: Control | None
    place: Place
    """Place of the last step."""
    awaits: bool
    """True if the segment ends a loop that polls device memory."""
    loads_early: bool
    """True if a step may load memory that was never written."""


@dataclass(slots=True)
class Code:
    """A decoded kernel."""

    name: str
    steps: Sequence[Step]
    slots: Slots
    layout: Layout
    grain: int
    """Size in bytes of the smallest access to shared memory."""
    leaders: frozenset[int]
    reads_asynchronously: bool
    """True if wgmma or bulk copies read shared memory."""
    live: list[int] = field(default_factory=list)
    """Live slots (as bits) before each step; one more element for the end."""
    suspects: frozenset[int] = frozenset()
    """Registers that might be read before they are written."""
    smallest_global_access: int = 1
    """Size in bytes."""
    written: WrittenPointers | None = None
    """Computed on first use, as is `waits`."""
    waits: bool | None = None
    initial: Registers = field(default_factory=list)
    segments: dict[tuple[int, bool], Segment] = field(default_factory=dict)
    coverage: Coverage | None = None
    """Ways that its branches went; None where nobody asks."""

    def initial_registers(self) -> Registers:
        """Return the initial values of all slots: constants, and zeros for all others."""
        if not self.initial:
            values = self.slots.values
            self.initial = [values.get(slot, np.zeros(1, dtype)) for slot, dtype in enumerate(self.slots.dtypes)]
        return list(self.initial)

    def written_pointers(self) -> WrittenPointers:
        """Return the origins of the addresses that the kernel writes to."""
        if self.written is None:
            self.written = find_written_pointers(self.steps, self.slots)
        return self.written

    def waits_for_others(self) -> bool:
        """Return True if a loop may depend on other blocks: one that reads device memory strongly."""
        if self.waits is None:
            self.waits = self._waits_for_others()
        return self.waits

    def _waits_for_others(self) -> bool:
        return any(self._awaits(at, step) for at, step in enumerate(self.steps))

    def _awaits(self, at: int, step: Step) -> bool:
        """Return True if a step jumps back over a strong read of device memory."""
        if step.control is None or step.control.kind not in ("branch", "switch"):
            return False
        starts = [target for target in step.control.targets if target <= at]
        return any(one.awaits for start in starts for one in self.steps[start : at + 1])

    def segment(self, start: int, *, divergent: bool) -> Segment:
        """Return the segment of steps from `start`.

        While lanes diverge it ends where others might join: before labels and before warp-level instructions.

        While lanes diverge it ends where others might join: before labels and before warp-level instructions.
        """
        found = self.segments.get((start, divergent))
        if found is None:
            found = self.segments[start, divergent] = self._segment(start, divergent)
        return found

    def _segment(self, start: int, divergent: bool) -> Segment:
        end = start
        used: set[int] = set()
        defined: set[int] = set()
        runs: list[Run] = []
        while end < len(self.steps):
            step = self.steps[end]
            if divergent and end > start and (end in self.leaders or step.members is not None):
                break
            used |= step.uses | step.defines
            defined |= step.defines
            if step.run is not None:
                runs.append(step.run)
            end += 1
            if step.control is not None:
                break
        last = self.steps[end - 1] if end > start else None
        after = self._live_after(end, last)
        return Segment(
            runs=tuple(runs),
            steps=tuple(self.steps[start:end]),
            start=start,
            end=end,
            gathers=tuple(sorted(used)),
            scatters=tuple(s for s in sorted(defined) if after >> s & 1),
            control=last.control if last else None,
            place=last.place if last else Place(line=0, column=0, text=""),
            awaits=last is not None and self._awaits(end - 1, last),
            loads_early=any(step.loads_early for step in self.steps[start:end]),
        )

    def _live_after(self, end: int, last: Step | None) -> int:
        if last is None:
            return 0
        return _join(self.live, last, end)


def _join(live: Sequence[int], step: Step, following: int) -> int:
    """Return the slots that are live after a step."""
    control = step.control
    if control is None:
        return live[following]
    if control.kind in ("exit", "trap"):
        return live[following] if control.guard is not None else 0
    if control.kind in ("branch", "switch"):
        joined = 0
        for target in control.targets:
            joined |= live[target]
        falls = control.guard is not None
        return joined | (live[following] if falls else 0)
    return live[following]


def analyse(code: Code) -> None:
    """Compute liveness, and the registers that might be read before they are written."""
    count = len(code.steps)
    uses, kills = [], []
    for step in code.steps:
        uses.append(_bits(step.uses))
        # a guarded write leaves other lanes' values alone
        kills.append(0 if step.guard is not None else _bits(step.defines))
    live = [0] * (count + 1)
    changed = True
    while changed:
        changed = False
        for at in range(count - 1, -1, -1):
            new = uses[at] | (_join(live, code.steps[at], at + 1) & ~kills[at])
            if new != live[at]:
                live[at] = new
                changed = True
    code.live = live
    registers = set(code.slots.registers.values())
    code.suspects = frozenset(slot for slot in registers if live[0] >> slot & 1) if count else frozenset()
    if code.suspects:
        _watch(code)


def _bits(slots: frozenset[int]) -> int:
    total = 0
    for slot in slots:
        total |= 1 << slot
    return total


def _watch(code: Code) -> None:
    """Wrap the steps that touch suspects: each lane's writes are recorded, and its reads checked.

    Copies propagate the state of their source, so that only a use that affects a result is reported.

    Copies hand on what they are copies of, so that only a use that can matter is a finding.
    """
    suspects = set(code.suspects)
    while True:
        more = {
            slot for step in code.steps if set(step.copies) & suspects for slot in step.defines if slot not in suspects
        }
        if not more:
            break
        suspects |= more
    code.suspects = frozenset(suspects)
    names = code.slots.names
    for step in code.steps:
        reads, writes = step.uses & code.suspects, step.defines & code.suspects
        if reads or writes:
            step.run = _watched(step, tuple(sorted(reads)), tuple(sorted(writes)), names)


def _watched(step: Step, reads: tuple[int, ...], writes: tuple[int, ...], names: Sequence[str]) -> Run:
    inner, guard, copies, place = step.run, step.guard, tuple(step.copies), step.place
    checked = tuple(slot for slot in reads if slot not in copies or slot in step.guard_slots)

    def copied(m: Batch, r: Registers, written: dict[int, Array]) -> Array:
        """Return a mask, [count], of copied lanes that were written; of a `selp`, only the selected operand counts."""
        if step.takes is None:
            flags = [m.of_active(written[slot]) for slot in copies if slot in reads]
            return np.logical_and.reduce(flags) if flags else np.ones(m.count, bool)
        first, second = (m.of_active(written[slot]) if slot in reads else True for slot in step.between)
        return np.where(step.takes(r), first, second)

    def run(m: Batch, r: Registers) -> None:
        written: dict[int, Array] = m.units["written"]
        keep = None if guard is None else np.broadcast_to(guard(r), (m.count,))
        for slot in checked:
            missing = ~m.of_active(written[slot])
            if keep is not None and slot not in step.guard_slots:
                missing = missing & keep
            if step.needs is not None and slot in step.conditional:
                missing = missing & step.needs(r)
            if missing.any():
                lane = int(m.chosen(None)[int(missing.argmax())])
                m.fault(
                    "uninitialised-register",
                    place,
                    lane,
                    f"{names[slot]} is read and was never written",
                    count=int(missing.sum()),
                )
                written[slot][m.chosen(None)] = True
        known = copied(m, r, written)
        if inner is not None:
            inner(m, r)
        for slot in writes:
            now = m.of_active(written[slot])
            written[slot][m.chosen(None)] = known if keep is None else np.where(keep, known, now)

    return run


__all__ = ["Code", "Control", "Segment", "analyse"]
