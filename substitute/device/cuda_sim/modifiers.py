"""Checks of opcodes: what an instruction's modifiers may be."""

from __future__ import annotations

from collections.abc import Iterable

from .faults import Refused
from .types import DTYPES


def split(opcode: tuple[str, ...], allowed: Iterable[str] = (), types: Iterable[str] | None = None) -> set[str]:
    """The modifiers between an opcode's name and its type. Raises `Refused` for one that is not allowed."""
    found = set(opcode[1:-1])
    for modifier in found - set(allowed):
        raise Refused(f"the modifier .{modifier} of {opcode[0]}")
    if types is not None and opcode[-1] not in set(types):
        raise Refused(f"the type .{opcode[-1]} of {opcode[0]}")
    if types is None and opcode[-1] not in DTYPES:
        raise Refused(f"the type .{opcode[-1]} of {opcode[0]}")
    return found


INTEGERS = tuple(f"{letter}{bits}" for letter in "usb" for bits in (8, 16, 32, 64))
FLOATS = ("f16", "bf16", "f32", "f64")
PACKED = ("f16x2", "bf16x2")
ROUNDINGS = ("rn", "rz", "rm", "rp")
