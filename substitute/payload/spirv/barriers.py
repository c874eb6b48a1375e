"""Barriers that do not order memory, and workgroup memory beyond the target's.

Source: SPIR-V Specification 1.6, "OpControlBarrier" and "Memory Semantics <id>"; Vulkan specification, appendix "Memory
Model".
"""

from __future__ import annotations

from .disassembly import fault
from .module import STORAGE_WORKGROUP, Declarations, Instruction, SpirvModule

OP_CONTROL_BARRIER, OP_MEMORY_BARRIER = 224, 225
SCOPE_WORKGROUP, SCOPE_SUBGROUP = 2, 3
ORDERS, WORKGROUP_MEMORY = 0x2 | 0x4 | 0x8 | 0x10, 0x100
"""Acquire, Release, AcquireRelease, SequentiallyConsistent; and the memory that they apply to."""


def check_barriers(module: SpirvModule, name: str) -> None:
    """Check that a workgroup's barriers order workgroup memory, if it is used. Raises `PayloadError`.

    LLVM's SPIR-V backend emits barriers without semantics: on some drivers results are then wrong intermittently.
    """
    declarations = Declarations(module.instructions)
    if not any(storage == STORAGE_WORKGROUP for _, _, storage in declarations.variables):
        return
    for at, instruction in enumerate(module.instructions):
        if instruction.op != OP_CONTROL_BARRIER:
            continue
        execution, scope, semantics = (_value(declarations, word) for word in instruction.words)
        if execution != SCOPE_WORKGROUP or scope is None or semantics is None:
            continue
        ordered = semantics & ORDERS and semantics & WORKGROUP_MEMORY and scope <= SCOPE_WORKGROUP
        if not ordered and not _fenced(module.instructions, at, declarations):
            raise fault(
                module,
                at,
                "a barrier does not order workgroup memory",
                name=name,
                expected="scope Workgroup (2) and semantics AcquireRelease | WorkgroupMemory (0x108)",
                found=f"memory scope {scope}, semantics 0x{semantics:x}",
                next_step="write barrier() in GLSL; in SPIR-V give OpControlBarrier these semantics: without them "
                "invocations may see old values of each other",
            )


def _value(declarations: Declarations, word: int) -> int | None:
    constant = declarations.constants.get(word)
    return constant[0] if constant else None


def _fenced(instructions: tuple[Instruction, ...], at: int, declarations: Declarations) -> bool:
    """Return True if memory barriers before and after the control barrier order the memory."""
    sides = [instructions[n] for n in (at - 1, at + 1) if 0 <= n < len(instructions)]
    fences = [i for i in sides if i.op == OP_MEMORY_BARRIER]
    return len(fences) == 2 and all((_value(declarations, i.words[1]) or 0) & WORKGROUP_MEMORY for i in fences)


def workgroup_bytes(module: SpirvModule) -> int | None:
    """Return the bytes of workgroup memory that the module declares; None if a size is not known."""
    declarations = Declarations(module.instructions)
    total = 0
    for type_, _, storage in declarations.variables:
        if storage == STORAGE_WORKGROUP:
            pointer = declarations.types.get(type_)
            size = declarations.size(pointer.words[1]) if pointer else None
            if size is None:
                return None
            total += size
    return total
