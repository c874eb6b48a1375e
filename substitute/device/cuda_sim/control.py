"""Builders of branches, exits, barriers and fences.

Source: PTX ISA 9.7.12 "Control Flow Instructions", 9.7.13 "Parallel Synchronization and Communication Instructions".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer, Operand, Register, Symbol, Table
from .barriers import BarrierUse
from .batch import Batch
from .decode import Builder, Control, Decoder, Run
from .faults import Place, Refused
from .modifiers import note
from .races import publish
from .types import DTYPES, Array, Registers, resize


def _branch(d: Decoder, i: Instruction) -> None:
    d.step.control = Control("branch", d.guard, (d.target(i.operands[0]),))


def _exit(d: Decoder, i: Instruction) -> None:
    d.step.control = Control("exit", d.guard)


def _trap(d: Decoder, i: Instruction) -> None:
    d.step.control = Control("trap", d.guard)


def switch(d: Decoder, i: Instruction, table: Table) -> None:
    """Build brx.idx."""
    targets = tuple(d.target(Symbol(name, "label")) for name in table.targets)
    d.step.control = Control("switch", d.guard, targets, d.read(i.operands[0], "u32"))


def _nothing(d: Decoder, i: Instruction) -> None:
    """Build nothing: memory is in order and kernels run one after the other, so ordering and hints have no effect."""
    return None


def _fence(d: Decoder, i: Instruction) -> Run | None:
    """Build `fence` and `membar`, which publish earlier accesses; a proxy fence orders accesses between proxies."""
    if "proxy" in i.opcode and not any(word.startswith("async") for word in i.opcode):
        return None
    proxies, device = "proxy" in i.opcode, "cta" not in i.opcode
    guard = d.guard

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        if not proxies:
            publish(m, where, device=device)
        elif m.hazards is not None:
            lanes = m.chosen(where)
            m.hazards.fence(m.block_of[lanes], m.thread_of[lanes])

    return run


def _barrier(d: Decoder, i: Instruction) -> Run | None:
    words = [word for word in i.opcode[1:] if word not in ("cta", "aligned")]
    mode = words[0] if words else ""
    if mode == "warp":
        note(i.opcode, ("warp",))
        return _warp_barrier(d, i)
    if mode in ("cluster",):
        raise Refused("clusters (barrier.cluster)")
    if mode not in ("sync", "arrive", "red"):
        raise Refused(".".join(i.opcode))
    note(i.opcode, (mode,))
    operands = list(i.operands)
    store, reduction, predicate = None, "", None
    if mode == "red":
        reduction = words[1]
        if reduction not in ("popc", "and", "or") or words[2:] != [("u32" if reduction == "popc" else "pred")]:
            raise Refused(".".join(i.opcode))
        note(i.opcode, words)
        store = _late(d, operands.pop(0), "u32" if reduction == "popc" else "pred")
        predicate = d.read(operands.pop(), "pred")
    number = d.read(operands[0], "u32") if operands else d.read(Integer(0), "u32")
    threads = d.read(operands[1], "u32") if len(operands) > 1 else None
    use = BarrierUse(mode=mode, number=number, threads=threads, reduction=reduction, predicate=predicate, store=store)
    d.step.control = Control("barrier", d.guard, data=use)
    return None


def _late(d: Decoder, operand: Operand, type_: str) -> Callable[[Registers, Array, Array, int], None]:
    """Return a writer of the result of a barrier, for lanes of the whole batch, called when it completes."""
    if not isinstance(operand, Register):
        raise Refused("a destination that is no register")
    slot = d.slot(operand)
    d.put(operand, type_)
    dtype = d.slots.dtypes[slot]

    def write(r: Registers, values: Array, lanes: Array, total: int) -> None:
        whole = np.broadcast_to(r[slot], (total,)).copy()
        whole[lanes] = resize(values.astype(DTYPES[type_]), dtype, signed=False)
        r[slot] = whole

    return write


def _warp_barrier(d: Decoder, i: Instruction) -> Run:
    mask = d.read(i.operands[0], "u32")
    d.step.members = mask
    place, guard = d.place, d.guard

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        check_members(m, place, np.broadcast_to(mask(r), (m.count,)), where)
        if m.hazards is not None:
            warps = np.unique(m.warp_of[m.chosen(where)])
            m.hazards.sync_warps(warps // m.warps_per_block, warps % m.warps_per_block)

    return run


def check_members(m: Batch, place: Place, masks: Array, where: Array | None) -> None:
    """Report lanes that execute a warp-level instruction without being named in its mask."""
    lanes = m.chosen(where)
    if where is not None:
        masks = masks[where]
    outside = ((masks >> (m.thread_of[lanes] % 32).astype(np.uint32)) & 1) == 0
    if outside.any():
        first = int(outside.argmax())
        lane = int(lanes[first])
        words = (
            f"lane {int(m.thread_of[lane]) % 32} executes this, and its mask {int(masks[first]):#010x} does not name it"
        )
        m.fault("warp", place, lane, words, count=int(outside.sum()))


BUILDERS: dict[str, Builder] = {
    "fence": _fence,
    "membar": _fence,
    "bra": _branch,
    "ret": _exit,
    "exit": _exit,
    "trap": _trap,
    "brkpt": _trap,
    "bar": _barrier,
    "barrier": _barrier,
    **dict.fromkeys(("nanosleep", "pmevent", "setmaxnreg", "griddepcontrol", "createpolicy"), _nothing),
}
