"""Detection of a file's format by its content, and checks of ELF objects against a dispatch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from ..errors import PayloadError

ELF_MACHINES = {
    "x86_64": "EM_X86_64",
    "aarch64": "EM_AARCH64",
    "arm": "EM_ARM",
    "riscv64": "EM_RISCV",
    "riscv32": "EM_RISCV",
    "i386": "EM_386",
    "i686": "EM_386",
}
MACHINE_NAMES = {
    "EM_X86_64": "x86-64",
    "EM_AARCH64": "AArch64",
    "EM_ARM": "Arm",
    "EM_RISCV": "RISC-V",
    "EM_386": "x86",
    "EM_CUDA": "CUDA",
    "EM_AMDGPU": "AMD GPU",
}
LLVM_WORDS = ("; ModuleID", "target triple", "target datalayout", "define ", "declare ", "source_filename")


def sniff(data: bytes) -> str:
    """Return `SPIR-V`, `LLVM bitcode`, `ELF object (x86-64)`, `PTX`, `LLVM IR text`, `GLSL`, `archive`, `text` or
    `binary`.
    """
    if not data:
        return "nothing (an empty file)"
    if data[:4] in (b"\x03\x02\x23\x07", b"\x07\x23\x02\x03"):
        return "SPIR-V"
    if data[:4] in (b"BC\xc0\xde", b"\xde\xc0\x17\x0b"):
        return "LLVM bitcode"
    if data[:4] == b"\x7fELF":
        return _elf_kind(data)
    if data[:8] in (b"!<arch>\n", b"!<thin>\n"):
        return "archive"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "binary"
    return "binary" if "\0" in text.rstrip("\0") else _text_kind(text)


def _text_kind(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith(("//", "/*", "*"))]
    if any(line.startswith(".version") for line in code) and any(line.startswith(".target") for line in code):
        return "PTX"
    if any(line.startswith("#version") for line in code) or any("gl_GlobalInvocationID" in line for line in code):
        return "GLSL"
    if any(line.startswith(LLVM_WORDS) for line in lines):
        return "LLVM IR text"
    return "text"


def _elf_kind(data: bytes) -> str:
    try:
        elf = _open(data)
    except PayloadError:
        return "a damaged ELF file"
    machine = str(elf.header["e_machine"])
    kind = {"ET_REL": "object", "ET_DYN": "shared library", "ET_EXEC": "program"}.get(elf.header["e_type"], "file")
    return f"ELF {kind} ({MACHINE_NAMES.get(machine, machine)})"


def _open(data: bytes) -> Any:
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        return ELFFile(io.BytesIO(data))
    except (ELFError, ConstructError, ValueError, KeyError) as error:
        raise _damaged(error, "object file") from error


def _damaged(error: Exception, name: str) -> PayloadError:
    return PayloadError(
        "the ELF file is damaged",
        where=name,
        expected="an ELF header and its sections",
        found=str(error) or type(error).__name__,
        next_step="compile the object again",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """Symbols of an object file."""

    machine: str
    """`x86-64`, …"""
    functions: tuple[str, ...]
    """Global functions that it defines."""
    undefined: tuple[str, ...]
    """Symbols that the link has to provide."""
    thread_local: tuple[str, ...]
    """Thread-local symbols, which IREE's embedded linker refuses."""


def read_object(data: bytes, *, name: str = "object file") -> ObjectFacts:
    """Read an ELF object's symbols. Raises `PayloadError` if it is no relocatable object."""
    found = sniff(data)
    if not found.startswith("ELF object"):
        raise PayloadError(
            "this is no object file",
            where=name,
            expected="an ELF relocatable object (`cc -c`)",
            found=found,
            next_step="name the right file, or correct `kind`",
        )
    machine, symbols = _symbols(data, name)
    functions: list[str] = []
    undefined: list[str] = []
    thread_local: list[str] = []
    for symbol, type_, bind, section in symbols:
        if type_ == "STT_TLS":
            thread_local.append(symbol)
        elif section == "SHN_UNDEF":
            if symbol:
                undefined.append(symbol)
        elif type_ == "STT_FUNC" and bind in ("STB_GLOBAL", "STB_WEAK"):
            functions.append(symbol)
    return ObjectFacts(
        machine=MACHINE_NAMES.get(machine, machine),
        functions=tuple(functions),
        undefined=tuple(undefined),
        thread_local=tuple(thread_local),
    )


def _symbols(data: bytes, name: str) -> tuple[str, list[tuple[str, str, str, object]]]:
    """Return the machine, and (name, type, binding, section) of each symbol."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError

    elf = _open(data)
    try:
        table = elf.get_section_by_name(".symtab")
        entries = [(s.name, s.entry) for s in table.iter_symbols()] if table is not None else []
    except (ELFError, ConstructError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise _damaged(error, name) from error
    symbols = [(text, e["st_info"]["type"], e["st_info"]["bind"], e["st_shndx"]) for text, e in entries]
    return str(elf.header["e_machine"]), symbols


RESOLVED = frozenset({"_GLOBAL_OFFSET_TABLE_"})
"""Symbols that IREE's embedded linker provides for an object: its mathematics and memcpy are bitcode, linked
earlier."""

_ABSOLUTE = {
    # read-only sections may not hold addresses; 32-bit addresses are never possible
    "x64": {1: "R_X86_64_64", 10: "R_X86_64_32", 11: "R_X86_64_32S"},
    "AArch64": {257: "R_AARCH64_ABS64", 258: "R_AARCH64_ABS32"},
}
_SHORT = frozenset({"R_X86_64_32", "R_X86_64_32S", "R_AARCH64_ABS32"})
_WRITABLE, _LOADED = 1, 2


def _absolute_relocations(data: bytes) -> tuple[str, ...]:
    """Return the relocations that a linker cannot resolve for position-independent code."""
    from elftools.elf.relocation import RelocationSection

    elf = _open(data)
    names = _ABSOLUTE.get(elf.get_machine_arch(), {})
    found: list[str] = []
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection):
            continue
        target = elf.get_section(section["sh_info"])
        if not target["sh_flags"] & _LOADED:
            continue
        for relocation in section.iter_relocations():
            name = names.get(relocation["r_info_type"], "")
            if name and (name in _SHORT or not target["sh_flags"] & _WRITABLE):
                found.append(f"{name} in {target.name}")
    return tuple(dict.fromkeys(found))


_LIBRARY_HINT = (
    "put the code for these into the object, or use LLVM IR (kind = llvm-ir), for which the toolkit has the "
    "functions of libm"
)


def verify_object(
    data: bytes,
    *,
    entry: str,
    machine: str,
    name: str = "object file",
    resolved: frozenset[str] = RESOLVED,
    library_hint: str = _LIBRARY_HINT,
) -> ObjectFacts:
    """Check that an object defines `entry` for `machine` (`x86_64`, …) and needs no symbol that the link lacks.

    `library_hint`: the next step where a symbol is missing. Raises `PayloadError`.
    """
    facts = read_object(data, name=name)
    wanted = MACHINE_NAMES.get(ELF_MACHINES.get(machine, machine), machine)
    if facts.machine != wanted:
        raise PayloadError(
            "the object file is for another machine",
            where=name,
            expected=wanted,
            found=facts.machine,
            next_step="compile it for the target's architecture",
        )
    if entry not in facts.functions:
        raise PayloadError(
            f"the object file does not define {entry!r}",
            where=name,
            expected=f"a global function {entry!r}",
            found=", ".join(facts.functions) or "no global function",
            next_step='correct `entry` in [payload]; in C++ declare it extern "C"',
        )
    missing = [symbol for symbol in facts.undefined if symbol not in resolved]
    if missing or facts.thread_local:
        raise PayloadError(
            "the object file needs what the link does not have",
            where=name,
            expected="no undefined symbol, and nothing thread-local",
            found=", ".join((*missing, *(f"{s} (thread-local)" for s in facts.thread_local))),
            next_step=library_hint,
        )
    absolute = _absolute_relocations(data)
    if absolute:
        raise PayloadError(
            "the object file is not position-independent",
            where=name,
            expected="no absolute address in code or constants",
            found=", ".join(absolute),
            next_step="compile it with -fPIC, and without -mcmodel=large",
        )
    return facts
