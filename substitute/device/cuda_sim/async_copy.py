"""cp.async in groups: copies from global to shared memory that complete when they are waited for.

The bytes are read when the copy is issued and appear in shared memory when it completes, so that code that does not
wait reads what was there before. Source: PTX ISA 9.7.9.25 "cp.async" and its kin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer
from .addresses import split_generic
from .batch import Batch
from .copies import begin_copy, end_copy, place_copy
from .decode import Builder, Decoder, Run
from .faults import Place, Refused
from .memory_access import load
from .types import Array, Registers


@dataclass(slots=True)
class Copy:
    """Copies of one instruction that have not completed."""

    lanes: Array
    """[n] lane numbers."""
    offset: Array
    """[n] bytes from the start of all shared memories."""
    data: Array
    """[n, bytes]."""
    place: Place


@dataclass(slots=True)
class CopyGroups:
    """Copies of a batch that are not yet committed, and committed groups with each lane's number."""

    open: list[Copy] = field(default_factory=list)
    committed: list[tuple[Copy, Array]] = field(default_factory=list)
    """(copies, [n] the number of the group in each lane's count)."""
    counts: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    """[lanes] number of groups that each lane has committed."""

    def of(self, total: int) -> CopyGroups:
        """Return the groups themselves, sized for a batch of `total` lanes."""
        if not self.counts.size:
            self.counts = np.zeros(total, np.int64)
        return self


def groups(m: Batch) -> CopyGroups:
    """The batch's groups."""
    found: CopyGroups | None = m.units.get("groups")
    if found is None:
        found = m.units["groups"] = CopyGroups().of(m.total)
    return found


def _async(d: Decoder, i: Instruction) -> Run | None:
    words = i.opcode
    if "bulk" in words:
        from .bulk import bulk

        return bulk(d, i)
    if "mbarrier" in words:
        from .bulk import arrive_after_copies

        return arrive_after_copies(d, i)
    if "commit_group" in words:
        guard = d.guard
        return lambda m, r: _commit(m, None if guard is None else guard(r))
    if "wait_group" in words or "wait_all" in words:
        return _wait(d, i)
    if words[1] != "async" or not any(word in ("ca", "cg") for word in words):
        raise Refused(".".join(words))
    return _copy(d, i)


def _copy(d: Decoder, i: Instruction) -> Run:
    to, _ = d.address(i.operands[0])
    origin, _ = d.address(i.operands[1])
    size_operand = i.operands[2]
    if not isinstance(size_operand, Integer) or size_operand.value not in (4, 8, 16):
        raise Refused("cp.async of another size than 4, 8 or 16 bytes")
    size = size_operand.value
    rest = list(i.operands[3:])
    if any("cache_hint" in word for word in i.opcode):
        rest.pop()
    source_size = d.read(rest[0], "u32") if rest and not _is_predicate(rest[0]) else None
    ignore = d.read(rest[0], "pred") if rest and _is_predicate(rest[0]) else None
    d.smallest_shared_access = min(d.smallest_shared_access, size)
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        lanes = m.chosen(where)
        taken = np.full(len(lanes), size)
        if source_size is not None:
            taken = np.minimum(_of(source_size(r), where, len(lanes)).astype(np.int64), size)
        if ignore is not None:
            taken = np.where(_of(ignore(r), where, len(lanes)), 0, taken)
        data = _fetch(m, place, _of(origin(r), where, len(lanes)), taken, size, lanes, where)
        copy = place_copy(m, place, _of(to(r), where, len(lanes)), data, size, lanes)
        if copy is not None:
            begin_copy(m, place, copy[0], size, copy[1])
            groups(m).open.append(Copy(copy[1], copy[0], copy[2], place))

    return run


def _is_predicate(operand: object) -> bool:
    return getattr(operand, "type", "") == "pred" or type(operand).__name__ == "Negated"


def _of(value: Array, where: Array | None, lanes: int) -> Array:
    if value.shape[0] == 1:
        return np.broadcast_to(value, (lanes,))
    return value if where is None else value[where]


def _fetch(m: Batch, place: Place, address: Array, taken: Array, size: int, lanes: Array, where: Array | None) -> Array:
    """Return [n, size] bytes, read now; bytes beyond the source size are zeros and are not read."""
    if (taken == size).all():
        return _load(m, place, address, size, where)
    data = np.zeros((len(lanes), size), np.uint8)
    positions = np.arange(m.count) if where is None else where
    for width in np.unique(taken[taken > 0]).tolist():
        some = np.flatnonzero(taken == width)
        step = int(width) & -int(width)
        if int(width) == size:
            data[some] = _load(m, place, address[some], size, positions[some])
            continue
        for offset in range(0, int(width), step):
            data[some, offset : offset + step] = _load(m, place, address[some] + offset, step, positions[some])
    return data


def _load(m: Batch, place: Place, address: Array, size: int, where: Array | None) -> Array:
    """Return the global bytes of chosen lanes; `address` has one element for each of them."""
    parts = split_generic(m, address, where)
    if where is None or len(address) == 1:
        data = load(m, place, parts[0][0], address, size, where)
    else:
        whole = np.broadcast_to(address[:1], (m.count,)).copy()
        whole[where] = address
        data = load(m, place, parts[0][0], whole, size, where)
    return np.broadcast_to(data, (len(address), size))


def _commit(m: Batch, keep: Array | None) -> None:
    """Commit the lanes' open copies as a group."""
    state = groups(m)
    lanes = m.chosen(None if keep is None else np.flatnonzero(np.broadcast_to(keep, (m.count,))))
    mine = np.zeros(m.total, bool)
    mine[lanes] = True
    left = []
    for copy in state.open:
        inside = mine[copy.lanes]
        if inside.all():
            state.committed.append((copy, state.counts[copy.lanes]))
            continue
        if inside.any():
            state.committed.append((_part(copy, inside), state.counts[copy.lanes[inside]]))
        left.append(_part(copy, ~inside))
    state.open = left
    state.counts[lanes] += 1


def _part(copy: Copy, some: Array) -> Copy:
    return Copy(copy.lanes[some], copy.offset[some], copy.data[some], copy.place)


def _wait(d: Decoder, i: Instruction) -> Run:
    guard = d.guard
    everything = "wait_all" in i.opcode
    pending = 0
    if i.operands:
        if not isinstance(i.operands[0], Integer):
            raise Refused("cp.async.wait_group of something that is no constant")
        pending = i.operands[0].value

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else np.broadcast_to(guard(r), (m.count,))
        if keep is not None and not keep.any():
            return
        if everything:
            _commit(m, keep)
        complete(m, m.chosen(None if keep is None else np.flatnonzero(keep)), pending)

    return run


def complete(m: Batch, lanes: Array, pending: int) -> None:
    """Complete the lanes' groups except the newest `pending` ones."""
    state = groups(m)
    due = np.full(m.total, -1, np.int64)
    due[lanes] = state.counts[lanes] - pending
    left = []
    for copy, number in state.committed:
        ready = number < due[copy.lanes]
        if not ready.any():
            left.append((copy, number))
            continue
        land(m, copy if ready.all() else _part(copy, ready))
        if not ready.all():
            left.append((_part(copy, ~ready), number[~ready]))
    state.committed = left


def land(m: Batch, copy: Copy) -> None:
    """Write the bytes of a copy to shared memory.

    Of the asynchronous copies, only those with `.bulk` are made in the async proxy (PTX ISA, "Async Proxy"): wgmma and
    bulk copies see what these have written only after a `fence.proxy.async`.

    Of the asynchronous copies, only those with `.bulk` are made in the async proxy (PTX ISA, "Async Proxy"): wgmma and
    bulk copies see what these have written only behind a `fence.proxy.async`.
    """
    size = copy.data.shape[1]
    end_copy(m, copy.offset, copy.data, size, copy.lanes, generic=True)


BUILDERS: dict[str, Builder] = {"cp": _async}
