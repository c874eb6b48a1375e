"""Builders of additions with a carry: add.cc, addc, sub.cc, subc, mad.cc, madc.

The flag has one meaning, whichever instruction sets or takes it: the carry out of `a + b + carry`, where a subtraction
adds `~b`, with a carry of 1 where nothing is taken away before. So `sub.cc` sets it where nothing is borrowed.
Source: PTX ISA 9.7.2 "Extended-Precision Integer Arithmetic Instructions".
"""

from __future__ import annotations

import numpy as np

from ...payload.ptx.syntax import Instruction, Register
from . import integer
from .batch import Batch
from .decode import Builder, Decoder, Run
from .faults import Refused
from .modifiers import split
from .types import DTYPES, Registers

FLAG = Register("<carry>", "pred")
_TYPES = ("u32", "s32", "b32", "u64", "s64", "b64")


def carry(d: Decoder, i: Instruction) -> Run:
    """Build an addition with carry; `d` holds the flag as a register."""
    name, type_ = i.opcode[0], i.opcode[-1]
    base = name.rstrip("c") if name in ("addc", "subc", "madc") else name
    modifiers = split(i.opcode, ("cc", "lo", "hi") if base == "mad" else ("cc",), _TYPES)
    takes, gives, high = name.endswith("c"), "cc" in modifiers, "hi" in modifiers
    if base == "mad" and not high and "lo" not in modifiers:
        raise Refused(".".join(i.opcode))
    raw = "u" + type_[1:]
    dtype = DTYPES[raw]
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    carry_in = d.read(FLAG, "pred") if takes else None
    put, put_carry, guard = d.put(i.operands[0], raw), d.put(FLAG, "pred") if gives else None, d.guard
    subtracts = base == "sub"

    def run(m: Batch, r: Registers) -> None:
        values = [read(r) for read in reads]
        if base == "mad":
            product = integer.multiply_high(values[0], values[1]) if high else values[0] * values[1]
            values = [product, values[2]]
        a, b = (x.view(dtype) for x in values)
        b = ~b if subtracts else b
        one = np.full(1, subtracts, dtype) if carry_in is None else carry_in(r).astype(dtype)
        part = a + b
        total = part + one
        keep = None if guard is None else guard(r)
        put(r, total, keep)
        if put_carry is not None:
            put_carry(r, (part < a) | (total < part), keep)

    return run


BUILDERS: dict[str, Builder] = dict.fromkeys(("addc", "subc", "madc"), carry)
