"""SPIR-V binaries as instructions, and the declarations of a compute shader's module.

Source: SPIR-V Specification 1.6, section 2.3 "Physical Layout of a SPIR-V Module and Instruction" and section 3 "Binary
Form"; enumerant values are those of the unified `spirv.core.grammar.json`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ...errors import PayloadError

MAGIC = 0x07230203
HEADER_WORDS = 5
MAX_DEPTH = 32
"""Limit of nested types; a damaged module may refer to itself."""

OP_NAME, OP_ENTRY_POINT, OP_EXECUTION_MODE, OP_CAPABILITY = 5, 15, 16, 17
OP_MEMORY_MODEL = 14
OP_TYPE_BOOL, OP_TYPE_INT, OP_TYPE_FLOAT, OP_TYPE_VECTOR, OP_TYPE_MATRIX, OP_TYPE_ARRAY = 20, 21, 22, 23, 24, 28
OP_TYPE_RUNTIME_ARRAY, OP_TYPE_STRUCT, OP_TYPE_POINTER = 29, 30, 32
OP_CONSTANT, OP_CONSTANT_COMPOSITE = 43, 44
OP_SPEC_CONSTANT_TRUE, OP_SPEC_CONSTANT_FALSE, OP_SPEC_CONSTANT, OP_SPEC_CONSTANT_COMPOSITE = 48, 49, 50, 51
OP_FUNCTION, OP_VARIABLE, OP_DECORATE, OP_MEMBER_DECORATE, OP_EXECUTION_MODE_ID = 54, 59, 71, 72, 331

DECORATION_SPEC_ID, DECORATION_BLOCK, DECORATION_BUFFER_BLOCK, DECORATION_ARRAY_STRIDE = 1, 2, 3, 6
DECORATION_BUILT_IN, DECORATION_RESTRICT, DECORATION_ALIASED = 11, 19, 20
DECORATION_BINDING, DECORATION_DESCRIPTOR_SET, DECORATION_OFFSET = 33, 34, 35
BUILT_IN_WORKGROUP_SIZE = 25

MODE_LOCAL_SIZE, MODE_LOCAL_SIZE_ID = 17, 38
STORAGE_UNIFORM_CONSTANT, STORAGE_UNIFORM, STORAGE_WORKGROUP, STORAGE_FUNCTION = 0, 2, 4, 7
STORAGE_PUSH_CONSTANT, STORAGE_BUFFER = 9, 12

EXECUTION_MODELS = {0: "Vertex", 4: "Fragment", 5: "GLCompute", 6: "Kernel", 5364: "TaskEXT", 5365: "MeshEXT"}
CAPABILITIES = {
    0: "Matrix",
    1: "Shader",
    5: "Linkage",
    6: "Kernel",
    9: "Float16",
    10: "Float64",
    11: "Int64",
    12: "Int64Atomics",
    22: "Int16",
    38: "Int8Extension",
    39: "Int8",
    61: "GroupNonUniform",
    62: "GroupNonUniformVote",
    63: "GroupNonUniformArithmetic",
    64: "GroupNonUniformBallot",
    65: "GroupNonUniformShuffle",
    66: "GroupNonUniformShuffleRelative",
    67: "GroupNonUniformClustered",
    68: "GroupNonUniformQuad",
    4433: "StorageBuffer16BitAccess",
    4434: "UniformAndStorageBuffer16BitAccess",
    4435: "StoragePushConstant16",
    4441: "VariablePointersStorageBuffer",
    4442: "VariablePointers",
    4448: "StorageBuffer8BitAccess",
    4449: "UniformAndStorageBuffer8BitAccess",
    4450: "StoragePushConstant8",
    4464: "DenormPreserve",
    4465: "DenormFlushToZero",
    4466: "SignedZeroInfNanPreserve",
    4467: "RoundingModeRTE",
    4468: "RoundingModeRTZ",
    5345: "VulkanMemoryModel",
    5346: "VulkanMemoryModelDeviceScope",
    5347: "PhysicalStorageBufferAddresses",
    6016: "DotProductInputAll",
    6017: "DotProductInput4x8Bit",
    6018: "DotProductInput4x8BitPacked",
    6019: "DotProduct",
    6022: "CooperativeMatrixKHR",
    5116: "BFloat16TypeKHR",
}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; `words` are its operands, without the first word that holds opcode and length."""

    op: int
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """OpEntryPoint."""

    name: str
    model: str
    """`GLCompute`, …"""
    function: int
    interface: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A variable of a descriptor or of the push constants."""

    id: int
    name: str
    storage: int
    """The storage class."""
    descriptor_set: int | None
    binding: int | None
    size_bytes: int | None
    """Size of a push-constant block, up to the end of its members. None: not known, or unbounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecConstant:
    """A scalar specialization constant."""

    id: int
    spec_id: int
    name: str
    default: tuple[int, ...]
    """Its words; empty for a bool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpirvModule:
    """A module's instructions in order, and its declarations."""

    version: tuple[int, int]
    header: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    capabilities: tuple[int, ...]
    memory_model: tuple[int, int]
    """(addressing model, memory model)."""
    entry_points: tuple[EntryPoint, ...]
    resources: tuple[Resource, ...]
    spec_constants: tuple[SpecConstant, ...]

    def entry(self, name: str) -> EntryPoint | None:
        """Return the compute entry point of this name, else any entry point of this name."""
        named = [e for e in self.entry_points if e.name == name]
        return next((e for e in named if e.model == "GLCompute"), named[0] if named else None)

    def workgroup_size(self, entry: EntryPoint) -> tuple[int, int, int] | None:
        """Return the constant decorated with WorkgroupSize, else LocalSize or LocalSizeId.

        "If an object is decorated with the WorkgroupSize decoration, this takes precedence over any LocalSize
        execution mode" (Vulkan specification, "Compute Shaders"). Specialization constants count with their defaults.
        """
        declarations = Declarations(self.instructions)
        for target, decoration, operands in declarations.decorations:
            if decoration == DECORATION_BUILT_IN and operands == (BUILT_IN_WORKGROUP_SIZE,):
                return declarations.triple(declarations.composites.get(target, ()))
        for instruction in self.instructions:
            if instruction.op not in (OP_EXECUTION_MODE, OP_EXECUTION_MODE_ID):
                continue
            target, mode, operands = instruction.words[0], instruction.words[1], instruction.words[2:]
            if target != entry.function:
                continue
            if mode == MODE_LOCAL_SIZE:
                return (operands[0], operands[1], operands[2])
            if mode == MODE_LOCAL_SIZE_ID:
                return declarations.triple(operands)
        return None


class Declarations:
    """Types, constants, names and decorations of a module, by id."""

    def __init__(self, instructions: tuple[Instruction, ...]) -> None:
        self.names: dict[int, str] = {}
        self.decorations: list[tuple[int, int, tuple[int, ...]]] = []
        self.members: dict[tuple[int, int], int] = {}
        self.types: dict[int, Instruction] = {}
        self.constants: dict[int, tuple[int, ...]] = {}
        self.composites: dict[int, tuple[int, ...]] = {}
        self.variables: list[tuple[int, int, int]] = []
        for instruction in instructions:
            self._read(instruction.op, instruction.words)

    def _read(self, op: int, words: tuple[int, ...]) -> None:
        if op == OP_NAME:
            self.names[words[0]] = read_string(words[1:])[0]
        elif op == OP_DECORATE:
            self.decorations.append((words[0], words[1], words[2:]))
        elif op == OP_MEMBER_DECORATE and words[2] == DECORATION_OFFSET:
            self.members[words[0], words[1]] = words[3]
        elif OP_TYPE_INT <= op <= OP_TYPE_POINTER:
            self.types[words[0]] = Instruction(op, words[1:])
        elif op in (OP_CONSTANT, OP_SPEC_CONSTANT):
            self.constants[words[1]] = words[2:]
        elif op in (OP_CONSTANT_COMPOSITE, OP_SPEC_CONSTANT_COMPOSITE):
            self.composites[words[1]] = words[2:]
        elif op == OP_VARIABLE:
            self.variables.append((words[0], words[1], words[2]))

    def decoration(self, target: int, decoration: int) -> int | None:
        """Return the first operand of a decoration."""
        return next((o[0] for t, d, o in self.decorations if t == target and d == decoration and o), None)

    def triple(self, ids: tuple[int, ...]) -> tuple[int, int, int] | None:
        """Return three constants' values."""
        if len(ids) != 3 or any(i not in self.constants for i in ids):
            return None
        x, y, z = (self.constants[i][0] for i in ids)
        return (x, y, z)

    def size(self, type_: int, depth: int = 0) -> int | None:
        """Return the bytes of a type; None if its size is not known or unbounded."""
        known = self.types.get(type_)
        if known is None or depth > MAX_DEPTH:
            return None
        words = known.words
        if known.op in (OP_TYPE_INT, OP_TYPE_FLOAT):
            return words[0] // 8
        if known.op in (OP_TYPE_VECTOR, OP_TYPE_MATRIX):
            inner = self.size(words[0], depth + 1)
            return None if inner is None else inner * words[1]
        if known.op == OP_TYPE_ARRAY:
            stride = self.decoration(type_, DECORATION_ARRAY_STRIDE) or self.size(words[0], depth + 1)
            count = self.constants.get(words[1])
            return None if stride is None or count is None else stride * count[0]
        if known.op == OP_TYPE_STRUCT:
            return self._struct_size(type_, words, depth)
        return None

    def _struct_size(self, type_: int, members: tuple[int, ...], depth: int) -> int | None:
        end = 0
        for number, member in enumerate(members):
            size, offset = self.size(member, depth + 1), self.members.get((type_, number))
            if size is None or offset is None:
                return None
            end = max(end, offset + size)
        return end


def read_module(data: bytes, *, name: str = "module") -> SpirvModule:
    """Read a little-endian SPIR-V binary. Raises `PayloadError` if it is none, or is cut off."""
    words = _words(data, name)
    instructions: list[Instruction] = []
    at = HEADER_WORDS
    while at < len(words):
        op, length = words[at] & 0xFFFF, words[at] >> 16
        if length == 0 or at + length > len(words):
            raise PayloadError(
                "the SPIR-V binary is cut off or damaged",
                where=f"{name}, word {at}",
                expected=f"an instruction that ends before word {len(words)}",
                found=f"opcode {op} with {length} words",
                next_step="compile the shader again",
            )
        instructions.append(Instruction(op, words[at + 1 : at + length]))
        at += length
    try:
        return _describe(words, tuple(instructions))
    except (IndexError, ValueError) as error:
        raise PayloadError(
            "the SPIR-V binary is damaged",
            where=name,
            expected="declarations with all their operands",
            found=str(error),
            next_step="compile the shader again",
        ) from error


def write_module(module: SpirvModule) -> bytes:
    """Return the binary of a module: its header and its instructions."""
    words = list(module.header)
    for instruction in module.instructions:
        words += [(len(instruction.words) + 1) << 16 | instruction.op, *instruction.words]
    return struct.pack(f"<{len(words)}I", *words)


def _words(data: bytes, name: str) -> tuple[int, ...]:
    if len(data) % 4:
        raise PayloadError(
            "the SPIR-V binary is cut off",
            where=name,
            expected="a size that is a multiple of 4 bytes",
            found=f"{len(data)} bytes",
            next_step="compile the shader again",
        )
    words = struct.unpack(f"<{len(data) // 4}I", data)
    if len(words) < HEADER_WORDS or words[0] != MAGIC:
        swapped = len(words) > 0 and struct.unpack(">I", data[:4])[0] == MAGIC
        from ..sniff import sniff

        raise PayloadError(
            "this is no SPIR-V binary",
            where=name,
            expected=f"the magic number 0x{MAGIC:08x}, little-endian, and a header of {HEADER_WORDS} words",
            found="SPIR-V in big-endian order" if swapped else sniff(data),
            next_step="name a file that `glslangValidator -V` or `spirv-as` wrote",
        )
    return words


def _describe(words: tuple[int, ...], instructions: tuple[Instruction, ...]) -> SpirvModule:
    declarations = Declarations(instructions)
    entries: list[EntryPoint] = []
    model = (0, 0)
    for instruction in instructions:
        if instruction.op == OP_ENTRY_POINT:
            execution, function, *rest = instruction.words
            text, used = read_string(tuple(rest))
            entries.append(
                EntryPoint(
                    name=text,
                    model=EXECUTION_MODELS.get(execution, f"execution model {execution}"),
                    function=function,
                    interface=tuple(rest[used:]),
                )
            )
        elif instruction.op == OP_MEMORY_MODEL:
            model = (instruction.words[0], instruction.words[1])
    return SpirvModule(
        version=(words[1] >> 16 & 0xFF, words[1] >> 8 & 0xFF),
        header=words[:HEADER_WORDS],
        instructions=instructions,
        capabilities=tuple(i.words[0] for i in instructions if i.op == OP_CAPABILITY),
        memory_model=model,
        entry_points=tuple(entries),
        resources=tuple(_resources(declarations)),
        spec_constants=tuple(_spec_constants(instructions, declarations)),
    )


def _resources(declarations: Declarations) -> list[Resource]:
    result: list[Resource] = []
    for type_, variable, storage in declarations.variables:
        if storage not in (STORAGE_UNIFORM_CONSTANT, STORAGE_UNIFORM, STORAGE_PUSH_CONSTANT, STORAGE_BUFFER):
            continue
        pointer = declarations.types.get(type_)
        pointee = pointer.words[1] if pointer and pointer.op == OP_TYPE_POINTER else 0
        name = declarations.names.get(variable) or declarations.names.get(pointee) or f"%{variable}"
        result.append(
            Resource(
                id=variable,
                name=name,
                storage=storage,
                descriptor_set=declarations.decoration(variable, DECORATION_DESCRIPTOR_SET),
                binding=declarations.decoration(variable, DECORATION_BINDING),
                size_bytes=declarations.size(pointee) if storage == STORAGE_PUSH_CONSTANT else None,
            )
        )
    return result


def _spec_constants(instructions: tuple[Instruction, ...], declarations: Declarations) -> list[SpecConstant]:
    result: list[SpecConstant] = []
    for instruction in instructions:
        if instruction.op not in (OP_SPEC_CONSTANT, OP_SPEC_CONSTANT_TRUE, OP_SPEC_CONSTANT_FALSE):
            continue
        identifier = instruction.words[1]
        spec_id = declarations.decoration(identifier, DECORATION_SPEC_ID)
        if spec_id is not None:
            name = declarations.names.get(identifier, f"%{identifier}")
            result.append(SpecConstant(id=identifier, spec_id=spec_id, name=name, default=instruction.words[2:]))
    return result


def read_string(words: tuple[int, ...]) -> tuple[str, int]:
    """Return a nul-terminated string at the start of `words`, and its number of words. Raises `ValueError`."""
    data = struct.pack(f"<{len(words)}I", *words)
    end = data.index(b"\0")
    return data[:end].decode("utf-8", errors="replace"), end // 4 + 1


def string_words(text: str) -> tuple[int, ...]:
    """Return a nul-terminated string, padded with zeros to whole words."""
    data = text.encode() + b"\0"
    data += b"\0" * (-len(data) % 4)
    return struct.unpack(f"<{len(data) // 4}I", data)
