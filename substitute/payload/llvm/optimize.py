"""LLVM IR → optimised bitcode for the variant's CPU; IREE links it without vectorising its loops."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm

from substitute.errors import PayloadError, SourceText
from substitute.model.dispatch import Target

from ...codegen.llvm.function import Hardware
from .c_functions import MEMORY_FUNCTIONS, calls_memory, resolve_calls
from .definitions import with_attribute
from .resolve import INTRINSICS, resolve_math

RESOLVED = frozenset(
    (
        "exp",
        "expf",
        "pow",
        "powf",
        "fmod",
        "fmodf",
        "sqrt",
        "sqrtf",
        "floor",
        "floorf",
        "ceil",
        "ceilf",
        "round",
        "roundf",
        "fabs",
        "fabsf",
        "fmin",
        "fminf",
        "fmax",
        "fmaxf",
        "ldexp",
        "ldexpf",
        "memcpy",
        "memset",
        "memmove",
    )
)
"""Functions that IREE's linker provides, LLVM has instructions for, or `c_functions` defines; a test links each."""

# IREE also lists features that the CPU lacks, some of which llvmlite's LLVM does not know and warns about
_MATTERS_WHEN_OFF = frozenset(
    (
        "sse4.1",
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512dq",
        "avx512vl",
        "avx512vnni",
        "avx512bf16",
        "avx512fp16",
        "neon",
        "sve",
        "v",
    )
)
KEEPS_LOOPS = " ".join(f'"no-builtin-{name}"' for name in MEMORY_FUNCTIONS)
"""Attributes of a function that keep LLVM, also inside of IREE, from turning its loops into calls."""
DEBUG_INFO = "!llvm.dbg.cu"
"""Appears in the text of every module with debug information."""
_LOCATION = re.compile(r"<string>:(\d+):(\d+): error: (.*)")


def parse_ir(text: str, where: str) -> Any:
    """Return a verified module of llvmlite.binding. Raises `PayloadError` with the position of the error."""
    initialize()
    try:
        # llvmlite's own context: with one per module, a garbage collector may free it before its module
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise _syntax_error(text, str(error), where) from error
    return module


def parse_bitcode(data: bytes, where: str) -> Any:
    """Return a verified module of llvmlite.binding, from bitcode. Raises `PayloadError`."""
    initialize()
    try:
        module = llvm.parse_bitcode(data)
        module.verify()
    except RuntimeError as error:
        raise PayloadError(
            "this is no LLVM bitcode that LLVM can read",
            where=where,
            expected=f"bitcode of LLVM {llvm.llvm_version_info[0]} or older",
            found=str(error).strip(),
            next_step="disassemble it with llvm-dis of the LLVM that wrote it, and use the .ll file",
        ) from error
    return module


def to_bitcode(
    source: str | bytes | Any,
    *,
    target: Target,
    entry: str,
    finished: bool = False,
    linked: frozenset[str] = frozenset(),
) -> bytes:
    """Optimise a module (text, bitcode, or llvmlite.ir or binding module) and return bitcode for IREE to link.

    `linked` functions are defined in objects that are linked with it. `finished` code is only resolved and checked:
    IREE's own passes clean it up, though they vectorise no loops. Raises `PayloadError` for IR that does not parse or
    verify, a missing entry, and undefined symbols.
    """
    module = _parse(source, entry)
    _check_entry(module, entry)
    resolve_math(module, Hardware.of(target))
    triple, machine = machine_for(target, entry)
    module.triple = triple
    module.data_layout = str(machine.target_data)
    if DEBUG_INFO in (source if isinstance(source, str) else str(module)):
        _strip_debug_info(module, machine)
    _hide_all_but(module, entry)
    if not finished:
        module = _optimised(module, machine, entry)
    resolve_calls(module, triple, machine)
    missing = [symbol for symbol in undefined_symbols(module) if symbol not in linked]
    if missing:
        raise PayloadError(
            f"the payload calls what nobody defines: {', '.join(missing)}",
            where=entry,
            expected="no undefined symbols but " + ", ".join(sorted(s for s in RESOLVED if s[-1] != "f")),
            found=", ".join(missing),
            next_step="define the function in the payload, or mark it static inline",
        )
    return bytes(module.as_bitcode())


def _strip_debug_info(module: Any, machine: Any) -> None:
    """Remove debug information.

    IREE inlines the code into functions with debug information of their own, where LLVM's verifier refuses calls
    without a position, which a compiler leaves on calls that it makes itself.
    """
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
    passes = llvm.create_new_module_pass_manager()
    passes.add_strip_symbols_pass()  # names of values and private functions are removed as well
    passes.run(module, builder)
    builder.close()


def undefined_symbols(module: Any) -> tuple[str, ...]:
    """Return functions and globals that the module uses but that neither it nor IREE's linker provides."""
    unknown = [
        item.name
        for item in (*module.functions, *module.global_variables)
        if item.is_declaration and item.name not in RESOLVED and not _is_instruction(item.name)
    ]
    return tuple(sorted(unknown))


def _is_instruction(name: str) -> bool:
    """Return whether LLVM has code for this intrinsic; the others become calls of libm."""
    return name.startswith("llvm.") and name.split(".")[1] not in INTRINSICS


def _parse(source: Any, where: str) -> Any:
    if isinstance(source, bytes):
        return parse_bitcode(source, where)
    if isinstance(source, llvm.ModuleRef):
        return source
    return parse_ir(str(source), where)


def _check_entry(module: Any, entry: str) -> None:
    defined = [f.name for f in module.functions if not f.is_declaration]
    if entry not in defined:
        raise PayloadError(
            "the payload does not define its entry point",
            where=entry,
            expected=f"a function {entry}",
            found=", ".join(defined) or "no function",
            next_step="name one of these functions as payload.entry in kernel.toml",
        )


def _hide_all_but(module: Any, entry: str) -> None:
    """Make all symbols but the entry private, so that payloads do not clash and fully inlined functions are removed."""
    for item in (*module.functions, *module.global_variables):
        if not item.is_declaration and item.name != entry and not item.name.startswith("llvm."):
            item.linkage = llvm.Linkage.internal


def _optimised(module: Any, machine: Any, where: str) -> Any:
    """Return the module after LLVM's passes, without calls of memory functions that LLVM would make of its loops.

    IREE's linker provides a `memcpy` and a `memset` for these, which copy byte by byte: a copy of rows takes four times
    as long as with the module's own loops.
    """
    before = None if calls_memory(module) else module.as_bitcode()
    _run_passes(module, machine)
    if before is None or not calls_memory(module):
        return module
    text = str(llvm.parse_bitcode(before))
    again = parse_ir(with_attribute(text, KEEPS_LOOPS), where)
    _run_passes(again, machine)
    return again


def _run_passes(module: Any, machine: Any) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = True
    options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, options)
    passes = builder.getModulePassManager()
    passes.run(module, builder)
    builder.close()


@lru_cache(maxsize=1)
def initialize() -> None:
    """Register LLVM's code generators, once: passes query them for the cost of instructions."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    # a pass makes this kind of metadata known when it first runs, and bitcode lists every kind that is known: without
    # this the first payload of a process would differ from the same one made later
    llvm.parse_assembly("define void @f() {\n  ret void, !heapallocsite !0\n}\n!0 = !{}")


def machine_for(target: Target, where: str) -> tuple[str, Any]:
    """Return the triple and the code generator of a target. Raises `PayloadError` for one that llvmlite lacks."""
    triple = target.get("target_triple") or llvm.get_default_triple()
    features = [w for w in target.get("cpu_features").split(",") if w[:1] == "+" or w[1:] in _MATTERS_WHEN_OFF]
    try:
        return triple, _cached_machine(triple, target.get("cpu"), ",".join(features))
    except RuntimeError as error:
        raise PayloadError(
            f"LLVM cannot generate code for {triple}",
            where=where,
            found=str(error).strip(),
            expected="the triple of a CPU that llvmlite knows",
            next_step="check the variant's target_triple",
        ) from error


@lru_cache(maxsize=16)
def _cached_machine(triple: str, cpu: str, features: str) -> Any:
    initialize()
    found = llvm.Target.from_triple(triple)
    return found.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="default")


def _syntax_error(text: str, message: str, where: str) -> PayloadError:
    place = _LOCATION.search(message)
    if not place:
        return PayloadError(
            "LLVM rejects this IR",
            where=where,
            details=message,
            next_step="correct the IR; `opt -passes=verify` says the same",
        )
    line, column = int(place[1]), int(place[2])
    lines = text.splitlines()
    shown = lines[line - 1] if line <= len(lines) else ""
    return PayloadError(
        place[3],
        where=f"{where}, line {line}",
        source=SourceText(line=line, column=column, text=shown),
        next_step="correct the IR; `opt -passes=verify` says the same",
    )
