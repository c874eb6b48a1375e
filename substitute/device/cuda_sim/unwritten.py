"""Values loaded from shared or local memory that was never written: a finding where they are used.

Loads ahead of time (the last iteration of a software pipeline) read such memory and discard the result. So the lanes of
registers that hold such a value are tracked; moves, selections and arithmetic propagate it, and any other use (a store,
a branch, an address, an instruction of a whole warp) is a finding. While no register holds one, there is no cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .types import Array, Registers

if TYPE_CHECKING:
    from .batch import Batch
    from .decode import Step


@dataclass(slots=True)
class UnwrittenBytes:
    """Unwritten bytes that a load has read."""

    lanes: Array
    """[n] lane numbers."""
    marks: Array
    """[n, bytes] bool: never written."""
    space: str
    address: int


@dataclass(slots=True)
class UnwrittenValue:
    """Lanes of a register that hold an unwritten value, and its origin."""

    lanes: Array
    """[total] bool."""
    space: str
    address: int
    line: int
    """Line of the load."""


def hold(m: Batch, slot: int, lanes: Array, found: UnwrittenBytes, line: int) -> None:
    """Mark a register of some lanes as loaded from unwritten bytes."""
    if not lanes.size:
        return
    value = m.unwritten.get(slot)
    if value is None:
        value = m.unwritten[slot] = UnwrittenValue(np.zeros(m.total, bool), found.space, found.address, line)
    value.lanes[lanes] = True


def run_with_unwritten(m: Batch, r: Registers, step: Step, names: Sequence[str]) -> None:
    """Execute a step while some registers hold values that were never written."""
    keep = None if step.guard is None else np.broadcast_to(step.guard(r), (m.count,))
    used = [slot for slot in step.uses if slot in m.unwritten]
    handed_on = None
    if used and (step.pure or step.copies) and not any(slot in step.guard_slots for slot in used):
        handed_on = _handed_on(m, r, step, used)
    else:
        for slot in used:
            _report(m, r, step, slot, keep, names[slot])
    active = m.chosen(None)
    written = active if keep is None else active[keep]
    for slot in step.defines:
        value = m.unwritten.get(slot)
        if value is not None:
            value.lanes[written] = False
    if handed_on is not None:
        flags, origin = handed_on
        lanes = active[flags if keep is None else flags & keep]
        for slot in step.defines:
            hold(m, slot, lanes, UnwrittenBytes(lanes, flags, origin.space, origin.address), origin.line)
    for slot in [slot for slot, value in m.unwritten.items() if not value.lanes.any()]:
        del m.unwritten[slot]
    if step.run is not None:
        step.run(m, r)


def _handed_on(m: Batch, r: Registers, step: Step, used: list[int]) -> tuple[Array, UnwrittenValue]:
    """Return a mask, [count], of results that depend on unwritten values, and one of those values."""
    held = {slot: m.of_active(m.unwritten[slot].lanes) for slot in used}
    origin = m.unwritten[used[0]]
    if step.takes is None:
        return np.logical_or.reduce(list(held.values())), origin
    none = np.zeros(m.count, bool)
    first, second = (none if slot is None else held.get(slot, none) for slot in step.between)
    return np.where(step.takes(r), first, second), origin


def _report(m: Batch, r: Registers, step: Step, slot: int, keep: Array | None, name: str) -> None:
    value = m.unwritten[slot]
    bad = m.of_active(value.lanes)
    if keep is not None and slot not in step.guard_slots:
        bad = bad & keep
    if step.needs is not None and slot in step.conditional:
        bad = bad & step.needs(r)
    if not bad.any():
        return
    lane = int(m.chosen(None)[int(bad.argmax())])
    m.fault(
        "uninitialised-memory",
        step.place,
        lane,
        f"{name} holds what line {value.line} read of {value.space} memory at {value.address:#x}, which was never"
        " written",
        address=value.address,
        space=value.space,
        count=int(bad.sum()),
    )
    value.lanes[m.chosen(None)] = False
