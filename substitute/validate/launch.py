"""Launch of a case on a device: buffers between guard zones, poison in results, and detection of changed bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..device.guarded import READ, WRITTEN, Block, Touch
from ..device.raw import Grid, GuardedGrid, RawModule
from .case import Area, Bytes, Case
from .elements import storage_type

GUARD_BYTES = 4096
"""Size of the guards before and after every buffer; a multiple of every alignment that a device requires."""
PATTERNS = (0xFF, 0x5A)
"""Fill patterns of poison and guards: NaN in every floating-point type, and a large number."""
WORD = 4
"""Size of the pattern that guards repeat."""
IN_FLIGHT = "_twice"
"""Suffix of the harness's function that launches two grids at once (see `harness`)."""

SELECTION = "_selected"
"""Suffix of the function that returns the kernel that a launch selects; missing if it is always the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Arrangement of the buffers of one launch."""

    pattern: int = PATTERNS[0]
    shift: int = 0
    """Bytes by which every binding is moved inside its buffer; a multiple of the device's alignment."""
    behind: int = 0
    """Bytes of the guard that every binding includes: a device may discard writes beyond a binding."""
    near: bool = False
    """True if only the accessible ranges, and the guard around them, are filled and checked, so that the size of the
    buffer does not matter."""
    beside: str = ""
    """`end` or `start`: each operand's last byte, or its first, is next to an inaccessible page instead of a guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Changed bytes that are not results."""

    where: str
    """`before its buffer`, `behind its buffer`, `in what is only read` or `between its results`."""
    resource: int
    offset: int
    """Offset of the first such byte from the buffer's start."""
    count: int

    operands: str = ""
    """The tensors in the buffer."""

    def __str__(self) -> str:
        held = f"which holds {self.operands}" if self.operands else "which holds nothing"
        return f"{self.count} bytes changed {self.where} ({held}; first at byte {self.offset})"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfBounds:
    """An access to memory next to an operand."""

    verb: str
    operand: str
    distance: int
    """Distance in bytes from its end; negative: before its start."""

    def __str__(self) -> str:
        place = (
            f"{-self.distance} bytes before its start" if self.distance < 0 else f"{self.distance} bytes behind its end"
        )
        return f"it {self.verb} outside of {self.operand}: {place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """Outcome of one launch of a case."""

    arrangement: Arrangement
    contents: tuple[Bytes, ...]
    """Buffers without their guards."""
    faults: tuple[Fault | OutOfBounds, ...]


def selects_fallback(module: RawModule, case: Case) -> bool:
    """Return True if the launch runs IREE's own code and no kernel."""
    selected = module.call(case.entry + SELECTION, *case.launch.workload)
    return selected is not None and selected < 0


def run_case(module: RawModule, case: Case, *arrangements: Arrangement) -> tuple[Ran, ...]:
    """Launch a case once per arrangement; two arrangements are in flight together. Raises `DeviceError`."""
    if arrangements[0].beside:
        (arrangement,) = arrangements
        return (_run_guarded(module, case, arrangement),)
    grids = [lay_out(case, arrangement) for arrangement in arrangements]
    entry = case.entry + (IN_FLIGHT if len(grids) > 1 else "")
    after = module.launch(entry, *grids)
    return tuple(
        look_at(case, arrangement, grid.buffers, buffers)
        for arrangement, grid, buffers in zip(arrangements, grids, after, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A range of one buffer that is kept together: bindings that overlap."""

    resource: int
    start: int
    stop: int
    bindings: tuple[int, ...]


def _groups(case: Case) -> list[_Group]:
    """Return the ranges to place next to inaccessible pages: from the first tensor of a binding to its last."""
    spans = []
    for number, binding in enumerate(case.launch.bindings):
        areas = [a for a in case.areas if a.binding == number and a.size_bytes]
        first = min((a.offset for a in areas), default=0)
        last = max((a.offset + a.size_bytes for a in areas), default=first)
        spans.append((binding.resource, binding.offset + first, binding.offset + last, number))
    groups: list[_Group] = []
    for resource, start, stop, number in sorted(spans):
        before = groups[-1] if groups else None
        if before is not None and before.resource == resource and start < before.stop:
            groups[-1] = _Group(
                resource=resource, start=before.start, stop=max(stop, before.stop), bindings=(*before.bindings, number)
            )
        else:
            groups.append(_Group(resource=resource, start=start, stop=stop, bindings=(number,)))
    return groups


def granule(case: Case) -> int:
    """Return the alignment of the operands' addresses: the largest element's size, or the kernel's requirement."""
    return max([case.alignment, *(storage_type(area.element).itemsize for area in case.areas)])


def _run_guarded(module: RawModule, case: Case, arrangement: Arrangement) -> Ran:
    before = contents_with_poison(case, arrangement.pattern)
    groups = _groups(case)
    blocks, bindings = [], [(0, 0, 0)] * len(case.launch.bindings)
    for number, group in enumerate(groups):
        of = [case.launch.bindings[b] for b in group.bindings]
        blocks.append(
            Block(
                contents=before[group.resource][group.start : group.stop],
                alignment=granule(case),
                at_end=arrangement.beside == "end",
                fill=guard_bytes(arrangement.pattern, number, 4),
                reach=group.start - min(b.offset for b in of),
            )
        )
        for b in group.bindings:
            binding = case.launch.bindings[b]
            bindings[b] = (number, binding.offset - group.start, binding.length)
    launch = case.launch
    done = module.launch_guarded(
        case.entry,
        GuardedGrid(
            blocks=tuple(blocks), bindings=tuple(bindings), constants=launch.constants, workload=launch.workload
        ),
    )
    after = [buffer.copy() for buffer in before]
    faults: list[Fault | OutOfBounds] = [_out_of_bounds(case, groups, touch) for touch in done.touched]
    for number, (group, contents, changed) in enumerate(zip(groups, done.contents, done.changed, strict=True)):
        after[group.resource][group.start : group.stop] = contents
        faults += [_out_of_bounds(case, groups, Touch(block=number, offset=at, kind=WRITTEN)) for at in changed[:1]]
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        faults += _faults(case, number, old, new, 0, case.sizes[number], (0, case.sizes[number]))
    return Ran(arrangement=arrangement, contents=tuple(after), faults=tuple(faults))


def contents_with_poison(case: Case, pattern: int) -> list[Bytes]:
    """Return the buffers before a launch."""
    buffers = [guard_bytes(pattern, number, size) for number, size in enumerate(case.sizes)]
    for resource, first, last in case.written:
        buffers[resource][first:last] = pattern
    for part in case.filled:
        buffers[part.resource][part.start : part.stop] = part.data
    return buffers


def _out_of_bounds(case: Case, groups: Sequence[_Group], touch: Touch) -> OutOfBounds:
    group = groups[touch.block]
    at = group.start + touch.offset
    areas = [a for a in case.areas if a.binding in group.bindings]
    ends = [(case.launch.bindings[a.binding].offset + a.offset, a) for a in areas]

    def distance(start: int, area: Area) -> int:
        return start - at if at < start else max(at - start - area.size_bytes, 0)

    verb = {READ: "reads", WRITTEN: "writes"}.get(touch.kind, "reads or writes")
    if not ends:
        return OutOfBounds(verb=verb, operand="an operand without elements", distance=touch.offset)
    start, area = min(ends, key=lambda one: distance(*one))
    return OutOfBounds(
        verb=verb, operand=area.described, distance=at - start if at < start else at - start - area.size_bytes
    )


def lay_out(case: Case, arrangement: Arrangement) -> Grid:
    """Return the buffers of a launch: guard, the buffer's contents with poison, guard."""
    start = GUARD_BYTES + arrangement.shift
    buffers, touched = [], []
    for number, size in enumerate(case.sizes):
        buffer = np.zeros(start + size + GUARD_BYTES, np.uint8)
        ranges = looked_at(case, number, arrangement)
        for first, last in ranges:
            buffer[first:last] = guard_bytes(arrangement.pattern, number, last - first)
        touched.append(ranges if arrangement.near else ())
        for resource, first, last in case.written:
            if resource == number:
                buffer[start + first : start + last] = arrangement.pattern
        for part in case.filled:
            if part.resource == number:
                buffer[start + part.start : start + part.stop] = part.data
        buffers.append(buffer)
    return Grid(
        buffers=tuple(buffers),
        bindings=tuple((b.resource, start + b.offset, b.length + arrangement.behind) for b in case.launch.bindings),
        constants=case.launch.constants,
        workload=case.launch.workload,
        touched=tuple(touched),
    )


def looked_at(case: Case, number: int, arrangement: Arrangement) -> tuple[tuple[int, int], ...]:
    """Yield the bytes of buffer `number`, its guards included, that are filled before a launch and checked after it."""
    start = GUARD_BYTES + arrangement.shift
    stop = start + case.sizes[number] + GUARD_BYTES
    if not arrangement.near:
        return ((0, stop),)
    used = [(first, last) for resource, first, last in case.written if resource == number]
    used += [(part.start, part.stop) for part in case.filled if part.resource == number]
    used += [(b.offset + b.length, b.offset + b.length) for b in case.launch.bindings if b.resource == number]
    merged: list[tuple[int, int]] = []
    for first, last in sorted(used):
        low = max(start + first - GUARD_BYTES, 0) // WORD * WORD
        high = min(-(-(start + last + GUARD_BYTES) // WORD) * WORD, stop)
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def guard_bytes(pattern: int, number: int, size: int) -> Bytes:
    """Return the guard of buffer `number`, which differs from those of other buffers.

    So a copy from one guard into another is detected. With the first pattern it is still NaN in f32 and f64.
    """
    own = (pattern ^ (0x11 + 0x25 * number)) & 0xFF
    word = np.array([own, own, pattern, pattern], np.uint8).view(np.uint32)[0]
    return np.full(-(-size // 4), word, np.uint32).view(np.uint8)[:size]


def look_at(case: Case, arrangement: Arrangement, before: Iterable[Bytes], after: Iterable[Bytes]) -> Ran:
    """Return the outcome of one launch from the buffers before and after it."""
    start = GUARD_BYTES + arrangement.shift
    faults: list[Fault | OutOfBounds] = []
    contents = []
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        size = case.sizes[number]
        for window in looked_at(case, number, arrangement):
            faults += _faults(case, number, old, new, start, size, window)
        contents.append(new[start : start + size])
    return Ran(arrangement=arrangement, contents=tuple(contents), faults=tuple(faults))


def _faults(
    case: Case, number: int, old: Bytes, new: Bytes, start: int, size: int, window: tuple[int, int]
) -> Iterable[Fault]:
    """Yield changes in a window of one buffer, whose contents are the `size` bytes from `start`."""
    low, high = window
    changed = old[low:high] != new[low:high]

    def here(first: int, last: int) -> slice:
        return slice(max(start + first - low, 0), max(start + last - low, 0))

    for resource, first, last in case.written:
        if resource == number:
            changed[here(first, last)] = False
    if not changed.any():
        return
    read = np.zeros(changed.size, bool)
    for part in case.filled:
        if part.resource == number:
            read[here(part.start, part.stop)] = True
    inside = np.zeros(changed.size, bool)
    inside[here(0, size)] = True
    before, behind = np.zeros(changed.size, bool), np.zeros(changed.size, bool)
    before[here(-start, 0)], behind[here(size, size + len(old))] = True, True
    kinds = (
        ("before its buffer", before),
        ("behind its buffer", behind),
        ("in what is only read", inside & read),
        ("between its results", inside & ~read),
    )
    for where, mask in kinds:
        wrong: NDArray[np.bool_] = changed & mask
        if wrong.any():
            first = int(np.argmax(wrong)) + low - start
            areas = [a for a in case.areas if case.launch.bindings[a.binding].resource == number]
            yield Fault(
                where=where,
                resource=number,
                offset=first,
                count=int(np.count_nonzero(wrong)),
                operands=", ".join(a.described for a in areas),
            )
