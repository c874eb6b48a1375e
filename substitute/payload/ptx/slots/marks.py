"""Slots of a kernel's text: each is marked by `.pragma "slot store c[batch, row, column]";` before its access.

    slot load x[row, c]                       the ld after it reads the operand x at these coordinates
    slot store c[batch, row, column]          the st after it writes the result c; a vector continues along the last one
    slot store y[row] by thread of 128        all threads of the block execute it with the same value; nests with more
                                              loops are shared by the 128 of them, numbered by the register

Coordinates are registers of 32 or 64 bits, one for each axis of the operand in `kernel.toml`, in its order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ....model.kernel import Kernel
from ..body import instructions_of
from ..faults import fault, source_of
from ..syntax import TYPE_BITS, Address, Directive, Function, Instruction, Module, Operand, Register, Span, Vector

_WORDS = re.compile(r"slot (load|store) (\w+)\s*\[([^\]]*)\](?:\s+by (\S+) of (\d+))?")
NAME_OF_MARKS = "slot "


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Threads that share fused work beyond one element."""

    register: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A marked slot."""

    is_store: bool
    operand: str
    coordinates: tuple[tuple[str, int], ...]
    """(register, bits) for each axis."""
    spread: Spread | None
    pragma: Span
    instruction: Instruction

    @property
    def values(self) -> tuple[Operand, ...]:
        """The operands that are loaded or stored, element by element."""
        value = self.instruction.operands[1 if self.is_store else 0]
        return value.elements if isinstance(value, Vector) else (value,)


def marks_of(module: Module, entry: Function, kernel: Kernel) -> tuple[Mark, ...]:
    """Return all slots of an entry, in order. Raises `PayloadError` for one that cannot be read."""
    found = []
    for directive in entry.directives:
        if directive.name == "pragma" and directive.text.startswith(NAME_OF_MARKS):
            found.append(_mark(module, entry, kernel, directive))
    return tuple(found)


def _mark(module: Module, entry: Function, kernel: Kernel, directive: Directive) -> Mark:
    words = _WORDS.fullmatch(directive.text)
    if words is None:
        raise fault(
            module,
            directive.span.start,
            "a slot cannot be read",
            expected="slot load OPERAND[REGISTER, …] or slot store OPERAND[REGISTER, …] [by REGISTER of THREADS]",
            found=directive.text,
            next_step="correct the pragma",
        )
    kind, operand, listed, thread, threads = words.groups()
    names = [name.strip() for name in listed.split(",") if name.strip()]
    spec = next((o for o in kernel.operands if o.name == operand), None)
    if spec is None or len(spec.axes) != len(names):
        wanted = [f"{o.name}[{', '.join(o.axes)}]" for o in kernel.operands]
        raise fault(
            module,
            directive.span.start,
            "a slot names no operand with these coordinates",
            expected=" or ".join(wanted),
            found=directive.text,
            next_step="name one register for each axis",
        )
    instruction = _next(module, entry, directive, "st" if kind == "store" else "ld")
    coordinates = tuple((name, _bits(module, entry, directive, name)) for name in names)
    spread = None
    if thread:
        _bits(module, entry, directive, thread, wanted=(32,))
        spread = Spread(register=thread, threads=int(threads))
    return Mark(
        is_store=kind == "store",
        operand=operand,
        coordinates=coordinates,
        spread=spread,
        pragma=Span(directive.span.start, _behind(module, directive)),
        instruction=instruction,
    )


def _behind(module: Module, directive: Directive) -> int:
    """Return the position after the pragma's semicolon."""
    return module.text.index(";", directive.span.end - 1) + 1


def _next(module: Module, entry: Function, directive: Directive, opcode: str) -> Instruction:
    """Return the instruction after the pragma: a plain access to global memory, of registers."""
    behind = [i for i in instructions_of(entry) if i.span.start > directive.span.start]
    instruction = min(behind, key=lambda i: i.span.start, default=None)
    if instruction is not None and instruction.opcode[0] == opcode and len(instruction.operands) == 2:
        value = instruction.operands[1 if opcode == "st" else 0]
        values = value.elements if isinstance(value, Vector) else (value,)
        memory = instruction.operands[0 if opcode == "st" else 1]
        plain = all(isinstance(v, Register) and v.type in ("f32", "b32") for v in values)
        if plain and isinstance(memory, Address) and instruction.opcode[-1] in ("f32", "b32"):
            return instruction
    raise fault(
        module,
        directive.span.start,
        "a slot stands in front of something else",
        expected=f"{opcode}.global.f32 (or a vector of them) behind it, of f32 registers",
        found=source_of(module, instruction) if instruction else "the end",
        next_step="move the pragma",
    )


def _bits(
    module: Module, entry: Function, directive: Directive, name: str, *, wanted: tuple[int, ...] = (32, 64)
) -> int:
    for declared in entry.registers:
        number = name.removeprefix(declared.name) if name.startswith(declared.name) else "-"
        one = declared.count is None and declared.name == name
        family = declared.count is not None and number.isdecimal() and int(number) < declared.count
        if (one or family) and declared.type[0] in "bus" and TYPE_BITS[declared.type] in wanted:
            return TYPE_BITS[declared.type]
    raise fault(
        module,
        directive.span.start,
        f"{name} is no register that can be a coordinate",
        expected=f"a register of {' or '.join(map(str, wanted))} bits",
        found=directive.text,
        next_step="name integer registers that are declared in this entry",
    )
