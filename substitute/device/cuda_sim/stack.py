"""Builders of alloca, stacksave and stackrestore: local memory of a size known at run time.

Source: PTX ISA 9.7.20 "Stack Manipulation Instructions".
"""

from __future__ import annotations

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer
from .batch import Batch
from .decode import Builder, Decoder, Run
from .faults import Refused
from .modifiers import split
from .types import Array, Registers


def _taken(m: Batch) -> Array:
    """Return the used bytes of each thread's stack, [lanes of the batch]."""
    found: Array = m.units.setdefault("stack", np.zeros(m.total, np.int64))
    return found


def _allocate(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("u64", "u32"))
    place, guard, space = d.place, d.guard, d.layout.stack
    alignment = i.operands[2] if len(i.operands) > 2 else Integer(8)
    if space is None or not isinstance(alignment, Integer):
        raise Refused(".".join(i.opcode))
    read, put = d.read(i.operands[1], type_), d.put(i.operands[0], type_)
    grain, base, most = max(1, alignment.value), space.offset, space.size_bytes

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else np.broadcast_to(guard(r), (m.count,))
        taken, lanes = _taken(m), m.chosen(None)
        start = -(-taken[lanes] // grain) * grain
        end = start + np.broadcast_to(read(r), (m.count,)).astype(np.int64)
        over = (end > most) if keep is None else (end > most) & keep
        if over.any():
            words = f"the thread's stack has {most:,} bytes, {int(end[over][0]):,} are asked for"
            m.fault("out-of-bounds", place, int(lanes[int(over.argmax())]), words, space="local", count=int(over.sum()))
            start, end = np.where(over, 0, start), np.where(over, taken[lanes], end)
        taken[lanes] = end if keep is None else np.where(keep, end, taken[lanes])
        put(r, (start + base).astype(f"u{8 if type_ == 'u64' else 4}"), keep)

    return run


def _save(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("u64", "u32"))
    put, guard = d.put(i.operands[0], type_), d.guard
    dtype = np.dtype(f"u{8 if type_ == 'u64' else 4}")
    return lambda m, r: put(r, _taken(m)[m.chosen(None)].astype(dtype), None if guard is None else guard(r))


def _restore(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("u64", "u32"))
    read, guard = d.read(i.operands[0], type_), d.guard

    def run(m: Batch, r: Registers) -> None:
        lanes, taken = m.chosen(None), _taken(m)
        value = np.broadcast_to(read(r), (m.count,)).astype(np.int64)
        taken[lanes] = value if guard is None else np.where(guard(r), value, taken[lanes])

    return run


BUILDERS: dict[str, Builder] = {"alloca": _allocate, "stacksave": _save, "stackrestore": _restore}
