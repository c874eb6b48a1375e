"""Verification of PTX against its dispatch. IREE checks none of this, and the driver reports little.

Rules: entry, ISA version, target, parameters, block size, clusters, textures, shared memory, names, instructions,
calls, registers that are read before they are written, and assembly by ptxas.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import PayloadError
from .assembler import Assembly, Resources, assemble
from .body import check_body, check_calls, check_reads, instructions_of
from .faults import fault
from .instructions import ENDS, symbols_of
from .memory import SharedMemory, reachable, shared_memory
from .parse import parse
from .signature import MAX_BINDINGS, MAX_CONSTANTS, Expected, check_parameters, raw_signature
from .syntax import Directive, Function, Module
from .targets import (
    NEWEST_VERSION,
    STATIC_SHARED_BYTES,
    architecture,
    compatible,
    first_version,
    shared_bytes_limit,
)

MAX_THREADS = 1024
MAX_THREADS_Z = 64
BLOCK_REGISTERS = 64 * 1024
"""32-bit registers that one block can have, on every architecture from sm_60 on."""
_CLUSTERS = ("reqnctapercluster", "explicitcluster", "blocksareclusters")


@dataclass(frozen=True, slots=True, kw_only=True)
class PtxFacts:
    """Facts about PTX that passed."""

    entry: str
    version: tuple[int, int]
    target: str
    workgroup_size: tuple[int, int, int] | None
    """`.reqntid`, which a launch has to match; None if the entry accepts any."""
    shared_bytes: int
    """Static shared memory."""
    resources: Resources | None
    """Resources by ptxas; None if it did not run."""
    checked_by: tuple[str, ...]
    """Checks that ran: `structure`, `ptxas`."""
    left_out: tuple[str, ...] = ()
    """Checks that did not run, with the reasons."""
    notes: tuple[str, ...] = ()
    """Notes for the user."""

    @property
    def summary(self) -> str:
        """One line for messages: the entry's resources, checks that did not run, notes."""
        taken = str(self.resources) if self.resources else f"{self.shared_bytes:,} B shared"
        return "; ".join((taken, *self.left_out, *self.notes))


def verify(
    text: str,
    *,
    entry: str,
    bindings: int,
    push_constants: int,
    target_arch: str,
    workgroup_size: tuple[int, int, int] | None = None,
    shared_memory_bytes: int = 0,
    name: str = "PTX",
) -> PtxFacts:
    """Check PTX against a dispatch with `bindings` pointers and `push_constants` 32-bit words.

    `target_arch` is the variant's (`sm_80`; empty: any); `workgroup_size` and `shared_memory_bytes` (dynamic) are the
    manifest's. Raises `PayloadError`.
    """
    module = parse(text, name=name)
    facts = check(
        module,
        entry=entry,
        expected=raw_signature(bindings, push_constants),
        target_arch=target_arch,
        workgroup_size=workgroup_size,
        shared_memory_bytes=shared_memory_bytes,
    )
    assembly = assemble(text, entry=entry, target=module.target, arch=target_arch)
    return with_assembly(module, facts, assembly, workgroup_size)


def check(
    module: Module,
    *,
    entry: str,
    expected: tuple[Expected, ...],
    target_arch: str,
    workgroup_size: tuple[int, int, int] | None,
    shared_memory_bytes: int,
    passer: str = "the dispatch",
    scratch: int = 0,
) -> PtxFacts:
    """Check all rules but ptxas. `passer` and `scratch` are those of `check_parameters`. Raises `PayloadError`."""
    found = find_entry(module, entry)
    _check_header(module, target_arch)
    _check_limits(module, found, expected)
    check_parameters(module, found, expected, passer=passer, scratch=scratch)
    _check_workgroup(module, found, workgroup_size)
    functions = reachable(module, found)
    _check_features(module, found, functions)
    for function in module.functions:
        check_body(module, function)
    check_calls(module, functions)
    _check_end(module, found)
    memory = shared_memory(module, functions)
    _check_shared(module, found, memory, shared_memory_bytes, target_arch or module.target)
    notes = check_reads(module, functions)
    return PtxFacts(
        entry=entry,
        version=module.version,
        target=module.target,
        workgroup_size=_sizes(found, "reqntid"),
        shared_bytes=memory.static_bytes,
        resources=None,
        checked_by=("structure",),
        notes=notes,
    )


def with_assembly(
    module: Module, facts: PtxFacts, assembly: Assembly, size: tuple[int, int, int] | None = None
) -> PtxFacts:
    """Return the facts with the results of ptxas; `size` is the workgroup's, by default the entry's own.

    Raises `PayloadError` where ptxas refused, at the line that it names, and where a block does not fit the device.
    """
    if assembly.error:
        starts = module.text.split("\n")
        line = min(assembly.line, len(starts))
        at = sum(len(s) + 1 for s in starts[: max(0, line - 1)])
        at += len(starts[line - 1]) - len(starts[line - 1].lstrip()) if line else 0
        raise fault(
            module,
            at,
            "ptxas refuses the PTX",
            expected=f"PTX that assembles for {module.target}",
            found=assembly.error,
            next_step="correct the line that ptxas names",
            details=assembly.output,
        )
    if assembly.left_out:
        left_out = (*facts.left_out, assembly.left_out)
        return _replace(facts, assembly.resources, facts.checked_by, left_out)
    _check_registers(module, facts, assembly, size or facts.workgroup_size)
    return _replace(facts, assembly.resources, (*facts.checked_by, "ptxas"), facts.left_out)


def _check_registers(module: Module, facts: PtxFacts, assembly: Assembly, size: tuple[int, int, int] | None) -> None:
    """Check the registers of a block: they are allocated to warps in units of 8 per thread; a larger launch fails."""
    entry = module.entry(facts.entry)
    if assembly.resources is None or size is None or entry is None:
        return
    each = -(-assembly.resources.registers // 8) * 8
    threads = -(-size[0] * size[1] * size[2] // 32) * 32
    if each * threads > BLOCK_REGISTERS:
        raise fault(
            module,
            entry.name_span.start,
            "a block takes more registers than there are",
            expected=f"at most {BLOCK_REGISTERS} registers: {BLOCK_REGISTERS // threads // 8 * 8} for each of "
            f"{threads} threads",
            found=f"{assembly.resources.registers} for each thread (ptxas)",
            next_step=f"add .maxntid {', '.join(map(str, size))} (__launch_bounds__), or make the workgroup smaller",
        )


def _replace(
    facts: PtxFacts, resources: Resources | None, checked_by: tuple[str, ...], left_out: tuple[str, ...]
) -> PtxFacts:
    return PtxFacts(
        entry=facts.entry,
        version=facts.version,
        target=facts.target,
        workgroup_size=facts.workgroup_size,
        shared_bytes=facts.shared_bytes,
        resources=resources,
        checked_by=checked_by,
        left_out=left_out,
        notes=facts.notes,
    )


def find_entry(module: Module, entry: str) -> Function:
    """Return the entry of this name. Raises `PayloadError`."""
    found = module.entry(entry)
    if found is None:
        raise PayloadError(
            f"the PTX has no entry {entry!r}",
            where=module.name,
            expected=f".entry {entry}",
            found=", ".join(e.name for e in module.entries) or "no .entry at all",
            next_step="correct `entry` in [payload]" if module.entries else "compile a __global__ function",
        )
    if found.body is None:
        raise fault(
            module,
            found.name_span.start,
            f"entry {entry} has no body",
            expected="{ … }",
            found=";",
            next_step="compile the kernel itself, not its declaration",
        )
    return found


def _check_header(module: Module, target_arch: str) -> None:
    at = module.version_span.start
    version = f"{module.version[0]}.{module.version[1]}"
    if module.version > NEWEST_VERSION:
        raise fault(
            module,
            at,
            "the PTX is newer than the driver accepts",
            expected=f"at most PTX ISA {NEWEST_VERSION[0]}.{NEWEST_VERSION[1]} (driver 580)",
            found=version,
            next_step="compile it with an older toolkit, or lower .version if it uses nothing newer",
        )
    at = module.target_span.start
    if architecture(module.target) is None or first_version(module.target) is None:
        raise fault(
            module,
            at,
            f"{module.target} is no target that is known",
            expected="sm_80, sm_90a, sm_100f, …",
            found=module.target,
            next_step="correct .target",
        )
    first = first_version(module.target)
    if first is not None and module.version < first:
        raise fault(
            module,
            module.version_span.start,
            f"PTX ISA {version} does not know {module.target}",
            expected=f"PTX ISA {first[0]}.{first[1]} or newer for {module.target}",
            found=version,
            next_step="raise .version, or lower .target",
        )
    if module.address_size != 64:
        raise fault(
            module,
            at,
            "the PTX has 32-bit addresses",
            expected=".address_size 64",
            found=f".address_size {module.address_size}",
            next_step="compile it for 64-bit",
        )
    if target_arch and not compatible(module.target, target_arch):
        raise fault(
            module,
            at,
            f"the PTX does not run on {target_arch}",
            expected=f".target {target_arch}, or an older one without the suffix a",
            found=module.target,
            next_step="compile it for the target's architecture, or restrict `architectures` in kernel.toml",
        )


def _check_limits(module: Module, entry: Function, expected: tuple[Expected, ...]) -> None:
    bindings = sum(e.what.startswith("binding ") for e in expected)
    constants = sum(e.what.startswith("push constant ") for e in expected)
    if bindings > MAX_BINDINGS or constants > MAX_CONSTANTS:
        raise fault(
            module,
            entry.name_span.start,
            "the dispatch has more parameters than IREE's CUDA driver passes",
            expected=f"at most {MAX_BINDINGS} bindings and {MAX_CONSTANTS} push constants",
            found=f"{bindings} bindings and {constants} push constants",
            next_step="leave this dispatch to IREE",
        )


def _sizes(entry: Function, directive: str) -> tuple[int, int, int] | None:
    found = entry.directive(directive)
    if found is None:
        return None
    x, y, z = (*found.values, 1, 1, 1)[:3]
    return (x, y, z)


def _check_workgroup(module: Module, entry: Function, size: tuple[int, int, int] | None) -> None:
    required, most = entry.directive("reqntid"), entry.directive("maxntid")
    if size is None:
        if required is None:
            raise fault(
                module,
                entry.name_span.start,
                "nobody says the workgroup size",
                expected="launch.workgroup_size, or .reqntid",
                found="neither",
                next_step="add workgroup_size to [launch]: without it IREE launches empty blocks",
            )
        size = _sizes(entry, "reqntid") or (0, 0, 0)
    elif required is not None and _sizes(entry, "reqntid") != size:
        raise fault(
            module,
            required.span.start,
            "the workgroup size is not what the entry requires",
            expected=f".reqntid {', '.join(map(str, _sizes(entry, 'reqntid') or ()))}",
            found=f"launch.workgroup_size {size}",
            next_step="make the two agree",
        )
    threads = size[0] * size[1] * size[2]
    limit = MAX_THREADS
    if most is not None:
        x, y, z = _sizes(entry, "maxntid") or (MAX_THREADS, 1, 1)
        limit = min(limit, x * y * z)
    if not 0 < threads <= limit or min(size) < 1 or size[2] > MAX_THREADS_Z:
        raise fault(
            module,
            _at(entry, most),
            "the workgroup has a size that cannot be launched",
            expected=f"1 to {limit} threads" + (" (.maxntid)" if most else "") + f", at most {MAX_THREADS_Z} along z",
            found=f"{size}: {threads} threads",
            next_step="correct launch.workgroup_size",
        )


def _at(entry: Function, directive: Directive | None) -> int:
    return entry.name_span.start if directive is None else directive.span.start


def _check_features(module: Module, entry: Function, functions: tuple[Function, ...]) -> None:
    """Refuse features that IREE's launches do not have (clusters, textures), and aliases without a target."""
    for name in _CLUSTERS:
        directive = entry.directive(name)
        if directive is not None:
            raise fault(
                module,
                directive.span.start,
                f"entry {entry.name} is launched in clusters",
                expected="an entry without cluster directives: IREE's CUDA driver sets no launch attributes",
                found=f".{name}",
                next_step="write it for single blocks",
            )
    for alias, aliasee in module.aliases:
        defined = any(f.name == aliasee and f.body is not None and not f.is_entry for f in module.functions)
        if not defined:
            raise fault(
                module,
                module.text.find(".alias"),
                f"{alias} is another name of {aliasee}, which is no function here",
                expected="the name of a .func with a body",
                found=f".alias {alias}, {aliasee};",
                next_step=f"define {aliasee}, or correct its name",
            )
    named = {
        symbol.name
        for function in functions
        for instruction in instructions_of(function)
        for operand in instruction.operands
        for symbol in symbols_of(operand)
    }
    for variable in module.variables:
        if variable.name in named and variable.type in ("texref", "samplerref", "surfref"):
            raise fault(
                module,
                variable.span.start,
                f"{variable.name} is a texture, which IREE does not bind",
                expected="global, shared and constant memory",
                found=f".{variable.type}",
                next_step="read through the pointer",
            )


def _check_end(module: Module, entry: Function) -> None:
    if not any(i.opcode[0] in ENDS for i in instructions_of(entry)):
        raise fault(
            module,
            entry.name_span.start,
            f"entry {entry.name} never returns: is the PTX cut off?",
            expected="ret or exit",
            found="neither",
            next_step="check that the file is whole",
        )


def _check_shared(module: Module, entry: Function, memory: SharedMemory, dynamic: int, arch: str) -> None:
    static = memory.static_bytes
    if static > STATIC_SHARED_BYTES:
        raise fault(
            module,
            max(memory.static, key=lambda v: v.size_bytes).span.start,
            f"entry {entry.name} declares too much shared memory",
            expected=f"at most {STATIC_SHARED_BYTES} bytes",
            found=f"{static} bytes",
            next_step="declare it `.extern .shared` and set launch.shared_memory_bytes",
        )
    if memory.dynamic and dynamic == 0:
        variable = memory.dynamic[0]
        raise fault(
            module,
            variable.span.start,
            f"{variable.name} has no bytes at launch",
            expected=f"launch.shared_memory_bytes, for .extern .shared {variable.name}[]",
            found="0 bytes",
            next_step="set shared_memory_bytes in [launch]",
        )
    limit = shared_bytes_limit(arch)
    if static + dynamic > limit:
        raise fault(
            module,
            entry.name_span.start,
            f"a block takes more shared memory than {arch} has",
            expected=f"at most {limit} bytes",
            found=f"{static} bytes static + {dynamic} bytes dynamic",
            next_step="make the tiles smaller, or restrict `architectures` in kernel.toml",
        )
