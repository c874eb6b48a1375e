"""mbarrier objects: arrivals, expected bytes, phases, and waits that let other lanes run.

The 64 bits of an object, which the ISA leaves open, are here: expected arrivals (20 bits), pending arrivals (20),
outstanding bytes plus 2^20 (22), the phase's parity (1), a mark that it was initialised (1). Source: PTX ISA 9.7.13.15
"mbarrier".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer, Sink
from .batch import SHARED_WINDOW, Batch
from .decode import Builder, Control, Decoder, Run
from .faults import Place, Refused
from .types import DTYPES, Array, Registers

_BYTES_BIAS = 1 << 20
_MASK = (1 << 20) - 1
_VALID = 1 << 63
MAX_COUNT = (1 << 20) - 1


@dataclass(slots=True)
class Phase:
    """Fields of an mbarrier object."""

    expected: int
    pending: int
    bytes_to_come: int
    parity: int

    @classmethod
    def read(cls, word: int) -> Phase:
        """Decode an object."""
        return cls(word & _MASK, word >> 20 & _MASK, (word >> 40 & 0x3FFFFF) - _BYTES_BIAS, word >> 62 & 1)

    def word(self) -> int:
        """Encode as an object."""
        coming = (self.bytes_to_come + _BYTES_BIAS) & 0x3FFFFF
        return self.expected | self.pending << 20 | coming << 40 | self.parity << 62 | _VALID


class Objects:
    """The mbarriers of a batch, by their place in shared memory, with the clocks that they order."""

    def __init__(self) -> None:
        self.gathered: dict[int, Array] = {}
        """Clocks that the arrivals of the current phase have seen, by place."""
        self.passed_on: dict[int, Array] = {}
        """Clocks that a successful wait receives, by place."""


def objects(m: Batch) -> Objects:
    """Return the batch's mbarriers."""
    found: Objects | None = m.units.get("mbarriers")
    if found is None:
        found = m.units["mbarriers"] = Objects()
    return found


def locate(m: Batch, place: Place, address: Array, lanes: Array) -> Array:
    """Return element numbers in shared memory of addresses of objects; -1 for invalid ones."""
    if int(address.max()) >= SHARED_WINDOW:
        address = np.where(address >= SHARED_WINDOW, address - np.int64(SHARED_WINDOW), address)
    bad = (address < 0) | (address + 8 > m.shared_bytes) | ((address & 7) != 0)
    if bad.any():
        first = int(bad.argmax())
        kind = "misaligned" if address[first] & 7 else "out-of-bounds"
        m.fault(
            kind,
            place,
            int(lanes[first]),
            f"no mbarrier can be at shared address {int(address[first]):#x}",
            address=int(address[first]),
            space="shared",
            count=int(bad.sum()),
        )
    return np.where(bad, -1, (address + m.shared_base[lanes]) >> 3)


def state_of(m: Batch, place: Place, lane: int, element: int) -> Phase | None:
    """Return the object at an element; a finding if it was not initialised."""
    if element < 0:
        return None
    word = int(m.view("shared", DTYPES["u64"])[element])
    shadow = m.shared_shadow[8 * element : 8 * element + 8]
    if (shadow != 2).any() or not word & _VALID:
        m.fault(
            "uninitialised-memory",
            place,
            lane,
            "this mbarrier was never initialised",
            address=8 * element - int(m.shared_base[lane]),
            space="shared",
        )
        return None
    return Phase.read(word)


def save(m: Batch, element: int, phase: Phase) -> None:
    """Write an object back; a complete phase is replaced by the next one."""
    if phase.pending <= 0 and phase.bytes_to_come == 0:
        phase.parity ^= 1
        phase.pending += phase.expected
        known = objects(m).gathered.pop(element, None)
        if known is not None:
            objects(m).passed_on[element] = known
    m.changes += 1
    m.view("shared", DTYPES["u64"])[element] = np.uint64(phase.word())
    m.shared_shadow[8 * element : 8 * element + 8] = 2


def tell(m: Batch, element: int, lane: int) -> None:
    """Pass the lane's clocks on to those that wait for this phase."""
    if m.hazards is None:
        return
    block, warp = int(m.block_of[lane]), int(m.thread_of[lane]) // 32
    known = m.hazards.release(block, warp)
    before = objects(m).gathered.get(element)
    objects(m).gathered[element] = known if before is None else np.maximum(before, known)


def arrive(m: Batch, place: Place, element: int, lane: int, count: int, byte_count: int = 0) -> int:
    """Record `count` arrivals and expected bytes; return the state before."""
    phase = state_of(m, place, lane, element)
    if phase is None:
        return 0
    before = phase.word()
    tell(m, element, lane)
    if count > phase.pending:
        m.fault("barrier", place, lane, f"{count} arrivals at an mbarrier that waits for {phase.pending}")
        count = phase.pending
    phase.pending -= count
    phase.bytes_to_come += byte_count
    save(m, element, phase)
    return before


def complete_bytes(m: Batch, place: Place, element: int, lane: int, byte_count: int) -> None:
    """Record that bytes of a copy have arrived."""
    phase = state_of(m, place, lane, element)
    if phase is not None:
        phase.bytes_to_come -= byte_count
        save(m, element, phase)


def _mbarrier(d: Decoder, i: Instruction) -> Run:
    kind = i.opcode[1]
    if any("::cluster" in word for word in i.opcode) and kind not in ("arrive", "expect_tx", "complete_tx"):
        raise Refused("clusters (" + ".".join(i.opcode) + ")")
    if kind in ("test_wait", "try_wait"):
        return _wait(d, i)
    if kind in ("arrive", "arrive_drop"):
        return _arrive(d, i)
    if kind in ("init", "inval", "expect_tx", "complete_tx"):
        return _change(d, i)
    if kind == "pending_count":
        read = d.read(i.operands[1], "b64")
        return d.pure(i.operands[0], "u32", lambda r: ((read(r) >> np.uint64(20)) & np.uint64(_MASK)).astype(np.uint32))
    raise Refused(".".join(i.opcode))


def _change(d: Decoder, i: Instruction) -> Run:
    kind = i.opcode[1]
    address, _ = d.address(i.operands[0])
    number = d.read(i.operands[1], "u32") if len(i.operands) > 1 else d.read(Integer(0), "u32")
    guard, place = d.guard, d.place
    d.smallest_shared_access = min(d.smallest_shared_access, 8)

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        lanes = m.chosen(where)
        at = locate(m, place, _pick(address(r), where, len(lanes)), lanes)
        numbers = _pick(number(r), where, len(lanes))
        for element, lane, value in zip(at.tolist(), lanes.tolist(), numbers.tolist(), strict=True):
            if element < 0:
                continue
            if kind == "init":
                if not 1 <= value <= MAX_COUNT:
                    m.fault("barrier", place, lane, f"an mbarrier for {value} arrivals")
                m.changes += 1
                fresh = Phase(expected=value, pending=value, bytes_to_come=0, parity=0)
                m.view("shared", DTYPES["u64"])[element] = np.uint64(fresh.word())
                m.shared_shadow[8 * element : 8 * element + 8] = 2
            elif kind == "inval":
                m.view("shared", DTYPES["u64"])[element] = np.uint64(0)
                m.shared_shadow[8 * element : 8 * element + 8] = 1
                m.whole_shared = False
            elif kind == "complete_tx":
                complete_bytes(m, place, element, lane, value)
            else:
                arrive(m, place, element, lane, 0, value)

    return run


def _pick(value: Array, where: Array | None, lanes: int) -> Array:
    if value.shape[0] == 1:
        return np.broadcast_to(value, (lanes,))
    return value if where is None else value[where]


def _arrive(d: Decoder, i: Instruction) -> Run:
    operands = list(i.operands)
    first = operands.pop(0) if type(operands[0]).__name__ != "Address" else Sink()
    put = d.put_some(first, "b64")
    address, _ = d.address(operands[0])
    number = d.read(operands[1], "u32") if len(operands) > 1 else d.read(Integer(1), "u32")
    expects, drops = "expect_tx" in i.opcode, i.opcode[1] == "arrive_drop"
    guard, place = d.guard, d.place
    d.smallest_shared_access = min(d.smallest_shared_access, 8)

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        lanes = m.chosen(where)
        at = locate(m, place, _pick(address(r), where, len(lanes)), lanes)
        numbers = _pick(number(r), where, len(lanes)).tolist()
        states = np.zeros(len(lanes), np.uint64)
        for position, (element, lane) in enumerate(zip(at.tolist(), lanes.tolist(), strict=True)):
            if drops and element >= 0:
                _drop(m, place, element, lane, 1 if expects else numbers[position])
            counts = (1, numbers[position]) if expects else (numbers[position], 0)
            states[position] = arrive(m, place, element, lane, *counts)
        put(r, states, where, m.count)

    return run


def _drop(m: Batch, place: Place, element: int, lane: int, count: int) -> None:
    phase = state_of(m, place, lane, element)
    if phase is not None:
        phase.expected -= count
        m.view("shared", DTYPES["u64"])[element] = np.uint64(phase.word())


def _wait(d: Decoder, i: Instruction) -> Run:
    """Build a wait: a failing test suspends the lane until something changes, and then returns false, as callers loop.

    Copies complete only when no lane can run, so that a lane that does not wait for them reads old contents.

    Copies land only when nobody can go on: whoever does not wait for them sees that they are missing.
    """
    put = d.put(i.operands[0], "pred")
    address, _ = d.address(i.operands[1])
    by_parity = "parity" in i.opcode
    expected = d.read(i.operands[2], "u32" if by_parity else "b64")
    guard, place = d.guard, d.place
    missed = d.slots.new(np.dtype(np.bool_), "<missed>")
    d.slots.values[missed] = np.zeros(1, bool)
    d.add_use(missed)
    d.smallest_shared_access = min(d.smallest_shared_access, 8)

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        r[missed] = np.zeros(1, bool)
        if not some:
            return
        lanes = m.chosen(where)
        at = locate(m, place, _pick(address(r), where, len(lanes)), lanes)
        wanted = _pick(expected(r), where, len(lanes))
        parity = (
            (wanted & 1).astype(np.int64) if by_parity else ((wanted >> np.uint64(62)) & np.uint64(1)).astype(np.int64)
        )
        keys, row = np.unique(at, return_inverse=True)
        now = np.array([_parity(m, place, int(e), int(lanes[int((row == n).argmax())])) for n, e in enumerate(keys)])[
            row
        ]
        done = now != parity
        _learn(m, at[done], lanes[done])
        whole = np.zeros(m.count, bool)
        whole[slice(None) if where is None else where] = done
        put(r, whole, None if guard is None else guard(r))
        miss = np.zeros(m.count, bool)
        miss[slice(None) if where is None else where] = ~done
        r[missed] = miss

    d.step.control = Control("yield", None, index=lambda r: r[missed])
    return run


def _parity(m: Batch, place: Place, element: int, lane: int) -> int:
    phase = state_of(m, place, lane, element)
    return -1 if phase is None else phase.parity


def _learn(m: Batch, elements: Array, lanes: Array) -> None:
    if m.hazards is None or not lanes.size:
        return
    known = objects(m).passed_on
    warps = np.unique(np.stack([elements, m.warp_of[lanes]]), axis=1)
    for element, warp in warps.T.tolist():
        if element in known:
            m.hazards.acquire(warp // m.warps_per_block, warp % m.warps_per_block, known[element])


BUILDERS: dict[str, Builder] = {"mbarrier": _mbarrier}
