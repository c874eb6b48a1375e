"""cp.async.bulk without tensor maps: whole ranges between global and shared memory, with mbarriers or bulk groups.

Source: PTX ISA 9.7.9.25.4 "cp.async.bulk", 9.7.9.25.6 "cp.async.bulk.commit_group", "wait_group".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer
from .addresses import split_generic
from .async_copy import complete, groups
from .batch import SHARED_WINDOW, Batch
from .copies import begin_copy, end_copy, place_copy
from .decode import Decoder, Run
from .faults import Place, Refused
from .mbarrier import arrive, complete_bytes, locate, tell
from .memory_access import load, store
from .races import check_proxy
from .types import Array, Registers

GRAIN = 16
"""Addresses and sizes of bulk copies must be multiples of it."""


@dataclass(slots=True)
class Bulk:
    """A copy into shared memory that is in flight."""

    lane: int
    offset: int
    data: Array
    element: int
    place: Place


@dataclass(slots=True)
class BulkReads:
    """Copies out of shared memory, whose source may not be written before they have been waited for."""

    lane: int
    offset: int
    size: int
    group: int = -1


@dataclass(slots=True)
class BulkState:
    """State of a batch's bulk copies."""

    coming: list[Bulk] = field(default_factory=list)
    going: list[BulkReads] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    """Number of bulk groups that each lane has committed."""


def bulk_state(m: Batch) -> BulkState:
    """Return the state of the batch's bulk copies."""
    found: BulkState | None = m.units.get("bulk")
    if found is None:
        found = m.units["bulk"] = BulkState()
        m.units["deliver"] = deliver
    return found


def bulk(d: Decoder, i: Instruction) -> Run | None:
    """Build an instruction that begins with cp.async.bulk."""
    words = i.opcode
    if "tensor" in words:
        raise Refused("tensor maps (cp.async.bulk.tensor)")
    if any("multicast" in word for word in words):
        raise Refused("clusters (.multicast::cluster)")
    if "prefetch" in words:
        return None
    if "commit_group" in words:
        return _commit(d)
    if "wait_group" in words:
        return _wait(d, i)
    spaces = [word for word in words if word.partition("::")[0] in ("shared", "global")]
    if len(spaces) == 2 and spaces[0].startswith("shared") and spaces[1] == "global":
        return _inward(d, i)
    if len(spaces) == 2 and spaces[0] == "global":
        return _outward(d, i)
    raise Refused("clusters (" + ".".join(words) + ")")


def _fits(m: Batch, place: Place, lane: int, values: tuple[int, ...]) -> bool:
    """Return whether (to, from, size) can be copied; a finding is reported if not."""
    if values[-1] == 0:
        return False
    if values[-1] > m.shared_bytes:
        words = f"{values[-1]:,} bytes are more than a block's shared memory of {m.shared_bytes:,}"
        m.fault("out-of-bounds", place, lane, words, address=values[0])
        return False
    bad = next((value for value in values if value % GRAIN), None)
    if bad is not None:
        words = f"addresses and sizes of bulk copies are multiples of {GRAIN}, {bad:#x} is not"
        m.fault("misaligned", place, lane, words, address=bad)
    return bad is None


def _inward(d: Decoder, i: Instruction) -> Run:
    to, _ = d.address(i.operands[0])
    origin, _ = d.address(i.operands[1])
    size = d.read(i.operands[2], "u32")
    barrier, _ = d.address(i.operands[3])
    guard, place = d.guard, d.place
    d.smallest_shared_access = min(d.smallest_shared_access, 8)

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        lanes = m.chosen(where)
        for n, lane in enumerate(lanes.tolist()):
            target, source, count, at = (_one(x(r), where, n) for x in (to, origin, size, barrier))
            target -= SHARED_WINDOW if target >= SHARED_WINDOW else 0
            if not _fits(m, place, lane, (target, source, count)):
                continue
            data = _range(m, place, "global", source, count, lane)
            lanes_of = np.full(count // GRAIN, lane)
            offsets = np.arange(target, target + count, GRAIN)
            placed = place_copy(m, place, offsets, data.reshape(-1, GRAIN), GRAIN, lanes_of)
            element = int(locate(m, place, np.array([at]), np.array([lane]))[0])
            if placed is None or len(placed[0]) < len(offsets):
                continue
            begin_copy(m, place, placed[0], GRAIN, lanes_of)
            bulk_state(m).coming.append(Bulk(lane, int(placed[0][0]), data, element, place))

    return run


def _one(value: Array, where: Array | None, n: int) -> int:
    if value.shape[0] == 1:
        return int(value[0])
    return int(value[n] if where is None else value[where[n]])


def _range(m: Batch, place: Place, space: str, start: int, count: int, lane: int) -> Array:
    """Return [count] bytes, with the checks of a load, as one lane."""
    before = m.lanes
    addresses = np.arange(start, start + count, GRAIN)
    m.activate(np.full(len(addresses), lane))
    if space == "global":
        space = split_generic(m, addresses, None)[0][0]
    data = load(m, place, space, addresses, GRAIN, None)
    m.activate(before)
    return np.broadcast_to(data, (len(addresses), GRAIN)).reshape(-1)


def deliver(m: Batch) -> bool:
    """Complete all copies in flight; return whether there were any."""
    state = bulk_state(m)
    coming, state.coming = state.coming, []
    for one in coming:
        rows = one.data.reshape(-1, GRAIN)
        offsets = one.offset + GRAIN * np.arange(len(rows))
        end_copy(m, offsets, rows, GRAIN, np.full(len(rows), one.lane))
        if one.element >= 0:
            tell(m, one.element, one.lane)
            complete_bytes(m, one.place, one.element, one.lane, len(one.data))
    return bool(coming)


def _outward(d: Decoder, i: Instruction) -> Run:
    to, _ = d.address(i.operands[0])
    d.note_store("global", GRAIN)
    origin, _ = d.address(i.operands[1])
    size = d.read(i.operands[2], "u32")
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        for n, lane in enumerate(m.chosen(where).tolist()):
            target, source, count = (_one(x(r), where, n) for x in (to, origin, size))
            source -= SHARED_WINDOW if source >= SHARED_WINDOW else 0
            if not _fits(m, place, lane, (target, source, count)):
                continue
            data = _range(m, place, "shared", source, count, lane)
            before = m.lanes
            addresses = np.arange(target, target + count, GRAIN)
            m.activate(np.full(len(addresses), lane))
            store(m, place, "global", addresses, data.reshape(-1, GRAIN), GRAIN, None)
            m.activate(before)
            offset = source + int(m.shared_base[lane])
            if m.hazards is not None:
                words = np.arange(offset // m.hazards.grain, (offset + count - 1) // m.hazards.grain + 1)
                check_proxy(m, place, words, lane, m.thread_of[lane : lane + 1])
            _mark(m, offset, count, lane, begin=True)
            bulk_state(m).going.append(BulkReads(lane, offset, count))

    return run


def _mark(m: Batch, offset: int, count: int, lane: int, *, begin: bool) -> None:
    if m.hazards is None:
        return
    words = np.arange(offset // m.hazards.grain, (offset + count - 1) // m.hazards.grain + 1)
    thread = np.full(len(words), m.thread_of[lane])
    if begin:
        m.hazards.begin_copy(words, thread, reads=True)
    else:
        m.hazards.end_copy(words, np.full(len(words), m.block_of[lane]), thread, reads=True)


def _commit(d: Decoder) -> Run:
    guard = d.guard

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        state = bulk_state(m)
        for lane in m.chosen(where).tolist():
            number = state.counts.get(lane, 0)
            state.counts[lane] = number + 1
            for one in state.going:
                if one.lane == lane and one.group < 0:
                    one.group = number

    return run


def _wait(d: Decoder, i: Instruction) -> Run:
    guard = d.guard
    pending = i.operands[0].value if i.operands and isinstance(i.operands[0], Integer) else 0

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        state = bulk_state(m)
        mine = set(m.chosen(where).tolist())
        left = []
        for one in state.going:
            if one.lane in mine and 0 <= one.group < state.counts.get(one.lane, 0) - pending:
                _mark(m, one.offset, one.size, one.lane, begin=False)
            else:
                left.append(one)
        state.going = left

    return run


def arrive_after_copies(d: Decoder, i: Instruction) -> Run:
    """Build cp.async.mbarrier.arrive: an arrival once the lane's earlier cp.async have completed."""
    address, _ = d.address(i.operands[0])
    counts = "noinc" in i.opcode
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        lanes = m.chosen(where)
        state = groups(m)
        mine = np.zeros(m.total, bool)
        mine[lanes] = True
        state.committed += [(copy, np.full(len(copy.lanes), -1)) for copy in state.open if mine[copy.lanes].all()]
        state.open = [copy for copy in state.open if not mine[copy.lanes].all()]
        complete(m, lanes, 0)
        at = address(r)
        at = np.broadcast_to(at, (len(lanes),)) if at.shape[0] == 1 else at if where is None else at[where]
        for element, lane in zip(locate(m, place, at, lanes).tolist(), lanes.tolist(), strict=True):
            # without .noinc the arrival that this makes was added to the pending ones: the count stays
            arrive(m, place, element, lane, 1 if counts else 0)

    return run
