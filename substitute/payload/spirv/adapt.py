"""Adaptation of a SPIR-V binary, instruction by instruction, to a dispatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...errors import PayloadError
from ...model.parameter import encode
from .module import (
    DECORATION_ALIASED,
    DECORATION_BINDING,
    DECORATION_RESTRICT,
    OP_DECORATE,
    OP_ENTRY_POINT,
    OP_SPEC_CONSTANT,
    OP_SPEC_CONSTANT_FALSE,
    OP_SPEC_CONSTANT_TRUE,
    OP_TYPE_FLOAT,
    STORAGE_BUFFER,
    Instruction,
    SpirvModule,
    read_module,
    read_string,
    string_words,
    write_module,
)


def adapt(
    binary: bytes,
    *,
    entry: str,
    export_name: str,
    bindings: Mapping[int, int] | None = None,
    spec_constants: Mapping[int, int | float] | None = None,
    name: str = "SPIR-V binary",
) -> bytes:
    """Return the binary with its entry point renamed, its buffers rebound, and new defaults of its constants.

    `bindings`: kernel's binding → dispatch's binding; others are unchanged. `spec_constants`: SpecId → value; a number
    for integers and bools, for floats its value. Every buffer becomes `Aliased`, since IREE binds one buffer as input
    and as output. Raises `PayloadError` for an entry point, a binding or a SpecId that the binary does not have.
    """
    module = read_module(binary, name=name)
    if not any(e.name == entry for e in module.entry_points):
        raise PayloadError(
            f"the SPIR-V binary has no entry point {entry!r}",
            where=name,
            expected=", ".join(repr(e.name) for e in module.entry_points),
            found=repr(entry),
            next_step="correct `entry` in [payload]",
        )
    values = {
        c.id: _words(module, c.id, (spec_constants or {})[c.spec_id])
        for c in module.spec_constants
        if c.spec_id in (spec_constants or {})
    }
    _check_known(module, bindings or {}, spec_constants or {}, name)
    changed = [
        _change(i, entry=entry, export_name=export_name, bindings=bindings or {}, values=values)
        for i in module.instructions
    ]
    return write_module(replace(module, instructions=tuple(_alias(module, changed))))


def _change(
    instruction: Instruction,
    *,
    entry: str,
    export_name: str,
    bindings: Mapping[int, int],
    values: Mapping[int, Instruction],
) -> Instruction:
    words = instruction.words
    if instruction.op == OP_ENTRY_POINT:
        text, used = read_string(words[2:])
        if text == entry:
            return Instruction(OP_ENTRY_POINT, (*words[:2], *string_words(export_name), *words[2 + used :]))
    elif instruction.op == OP_DECORATE and words[1] == DECORATION_BINDING and words[2] in bindings:
        return Instruction(OP_DECORATE, (words[0], DECORATION_BINDING, bindings[words[2]]))
    elif instruction.op in (OP_SPEC_CONSTANT, OP_SPEC_CONSTANT_TRUE, OP_SPEC_CONSTANT_FALSE) and words[1] in values:
        new = values[words[1]]
        return Instruction(new.op, (words[0], words[1], *new.words))
    return instruction


def _words(module: SpirvModule, identifier: int, value: int | float) -> Instruction:
    """Return the opcode and the literal words of a constant's new default."""
    at = next(
        i
        for i in module.instructions
        if i.op in (OP_SPEC_CONSTANT, OP_SPEC_CONSTANT_TRUE, OP_SPEC_CONSTANT_FALSE) and i.words[1] == identifier
    )
    if at.op != OP_SPEC_CONSTANT:
        return Instruction(OP_SPEC_CONSTANT_TRUE if value else OP_SPEC_CONSTANT_FALSE, ())
    count = len(at.words) - 2
    width = next((i.words[1] for i in module.instructions if i.op == OP_TYPE_FLOAT and i.words[0] == at.words[0]), 0)
    if width:
        bits = encode(float(value), f"f{width}")
        return Instruction(OP_SPEC_CONSTANT, tuple(bits >> (32 * n) & 0xFFFFFFFF for n in range(count)))
    bits = int(value) & ((1 << (32 * count)) - 1)
    return Instruction(OP_SPEC_CONSTANT, tuple(bits >> (32 * n) & 0xFFFFFFFF for n in range(count)))


def _check_known(
    module: SpirvModule, bindings: Mapping[int, int], spec_constants: Mapping[int, int | float], name: str
) -> None:
    known = {c.spec_id for c in module.spec_constants}
    for spec_id in spec_constants:
        if spec_id not in known:
            raise PayloadError(
                f"the SPIR-V binary has no specialization constant {spec_id}",
                where=name,
                expected=f"one of {', '.join(map(str, sorted(known))) or 'none: it has no specialization constant'}",
                found=f"SpecId {spec_id}",
                next_step="correct `spec_constants` in [payload]",
            )
    if bindings and any(r.binding is not None and r.binding not in bindings for r in module.resources):
        loose = sorted({r.binding for r in module.resources if r.binding is not None} - set(bindings))
        raise PayloadError(
            f"the SPIR-V binary uses {'bindings' if len(loose) > 1 else 'binding'} {', '.join(map(str, loose))}, "
            "which no operand stands for",
            where=name,
            expected=f"only bindings {', '.join(map(str, sorted(bindings)))}",
            found=f"binding {loose[0]}",
            next_step="give the kernel's operands the bindings 0, 1, … in the definition's order",
        )


def _alias(module: SpirvModule, instructions: list[Instruction]) -> list[Instruction]:
    """Return the instructions with `Aliased` added to every storage buffer that is not `Restrict`.

    "The client API and compiler may assume that memory object declarations do not alias unless they are decorated with
    Aliased" (SPIR-V specification, 2.18.2 "Aliasing"); GLSL cannot express it.
    """
    decorated = {
        i.words[0]
        for i in instructions
        if i.op == OP_DECORATE and i.words[1] in (DECORATION_ALIASED, DECORATION_RESTRICT)
    }
    buffers = [r.id for r in module.resources if r.storage == STORAGE_BUFFER and r.id not in decorated]
    at = next((n for n, i in enumerate(instructions) if i.op == OP_DECORATE), len(instructions))
    added = [Instruction(OP_DECORATE, (buffer, DECORATION_ALIASED)) for buffer in buffers]
    return instructions[:at] + added + instructions[at:]
