"""Disassembly of one instruction in the form of `spirv-dis --raw-id --no-header`, for messages.

Source: SPIR-V Specification 1.6, section 3 "Binary Form". Only instructions that messages point at are spelled out.
"""

from __future__ import annotations

from ...errors import PayloadError, SourceText
from .module import CAPABILITIES, EXECUTION_MODELS, Instruction, SpirvModule, read_string

_DECORATIONS = {
    0: "RelaxedPrecision",
    1: "SpecId",
    2: "Block",
    3: "BufferBlock",
    6: "ArrayStride",
    11: "BuiltIn",
    18: "Invariant",
    19: "Restrict",
    20: "Aliased",
    21: "Volatile",
    23: "Coherent",
    24: "NonWritable",
    25: "NonReadable",
    33: "Binding",
    34: "DescriptorSet",
    35: "Offset",
}
_BUILT_INS = {
    24: "NumWorkgroups",
    25: "WorkgroupSize",
    26: "WorkgroupId",
    27: "LocalInvocationId",
    28: "GlobalInvocationId",
    29: "LocalInvocationIndex",
    36: "SubgroupSize",
}
_STORAGE = {
    0: "UniformConstant",
    1: "Input",
    2: "Uniform",
    3: "Output",
    4: "Workgroup",
    5: "CrossWorkgroup",
    6: "Private",
    7: "Function",
    8: "Generic",
    9: "PushConstant",
    12: "StorageBuffer",
}
_MODES = {17: "LocalSize", 38: "LocalSizeId"}
_ADDRESSING = {0: "Logical", 1: "Physical32", 2: "Physical64", 5348: "PhysicalStorageBuffer64"}
_MEMORY = {0: "Simple", 1: "GLSL450", 2: "OpenCL", 3: "Vulkan"}
_ENUMERANTS: dict[str, dict[int, str]] = {
    "capability": CAPABILITIES,
    "model": EXECUTION_MODELS,
    "decoration": _DECORATIONS,
    "built-in": _BUILT_INS,
    "storage": _STORAGE,
    "mode": _MODES,
    "addressing": _ADDRESSING,
    "memory": _MEMORY,
}

# opcode → name, then the meaning of its words; `=` marks the result, `*` repeats to the end
_FORMATS: dict[int, tuple[str, tuple[str, ...]]] = {
    14: ("OpMemoryModel", ("addressing", "memory")),
    15: ("OpEntryPoint", ("model", "id", "string", "id*")),
    16: ("OpExecutionMode", ("id", "mode", "number*")),
    17: ("OpCapability", ("capability",)),
    30: ("OpTypeStruct", ("=", "id*")),
    32: ("OpTypePointer", ("=", "storage", "id")),
    59: ("OpVariable", ("id", "=", "storage", "id*")),
    61: ("OpLoad", ("id", "=", "id", "number*")),
    71: ("OpDecorate", ("id", "decoration", "number*")),
    72: ("OpMemberDecorate", ("id", "number", "decoration", "number*")),
    224: ("OpControlBarrier", ("id", "id", "id")),
    225: ("OpMemoryBarrier", ("id", "id")),
    331: ("OpExecutionModeId", ("id", "mode", "id*")),
}


def disassemble(instruction: Instruction) -> str:
    """Return `OpDecorate %12 Binding 3`; an instruction without a name here as its opcode's number and its words."""
    name, kinds = _FORMATS.get(instruction.op, (f"Op{instruction.op}", ("number*",)))
    words, result, parts, at = instruction.words, "", [], 0
    for kind in kinds:
        if at >= len(words):
            break
        if kind == "string":
            text, used = read_string(words[at:])
            parts.append(f'"{text}"')
            at += used
            continue
        last = len(words) if kind.endswith("*") else at + 1
        for word in words[at:last]:
            if kind == "=":
                result = f"%{word} = "
            else:
                parts.append(_operand(kind.rstrip("*"), word))
        at = last
    if name == "OpDecorate" and parts[1:2] == ["BuiltIn"] and len(words) > 2:
        parts[2] = _BUILT_INS.get(words[2], str(words[2]))
    return " ".join((f"{result}{name}", *parts))


def _operand(kind: str, word: int) -> str:
    if kind == "id":
        return f"%{word}"
    return _ENUMERANTS.get(kind, {}).get(word, str(word))


def fault(
    module: SpirvModule, at: int | None, what: str, *, name: str, expected: str, found: str, next_step: str
) -> PayloadError:
    """Return an error about instruction `at` of a module, or (None) about the module."""
    source = None
    if at is not None:
        source = SourceText(line=at + 1, column=1, text=disassemble(module.instructions[at]))
    return PayloadError(
        what,
        where=name if at is None else f"{name}, instruction {at + 1}",
        source=source,
        expected=expected,
        found=found,
        next_step=next_step,
    )


def index_of(module: SpirvModule, op: int, *words: int | None) -> int | None:
    """Return the first instruction with this opcode and these first words (None: any). None if there is none."""
    for at, instruction in enumerate(module.instructions):
        have = instruction.words[: len(words)]
        same = len(have) == len(words) and all(w is None or w == h for w, h in zip(words, have, strict=True))
        if instruction.op == op and same:
            return at
    return None
