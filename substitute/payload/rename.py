"""Renaming of the symbols that an ELF object defines, so that objects of several kernels can be linked together."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

_HIDDEN = 2
"""STV_HIDDEN."""


def rename_symbols(data: bytes, new_name: Callable[[str], str]) -> bytes:
    """Return the object with a new name for every global symbol that it defines, none visible outside of the module.

    The linker silently takes the first of two equal symbols; and it cannot bind a visible symbol to code that was not
    compiled with -fPIC. Names are not changed in place; a longer string table is appended to the file. `data` is an ELF
    relocatable object (`sniff.verify_object`).
    """
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(data))
    table = elf.get_section_by_name(".symtab")
    strings = elf.get_section(table["sh_link"])
    names = bytearray(strings.data())
    changed = bytearray(data)
    order = "<" if elf.little_endian else ">"
    for number, symbol in enumerate(table.iter_symbols()):
        if symbol["st_shndx"] == "SHN_UNDEF" or symbol["st_info"]["bind"] == "STB_LOCAL":
            continue
        # st_name is the first word in both classes, st_other the byte after st_info (gABI, "Symbol Table")
        entry = table["sh_offset"] + number * table["sh_entsize"]
        struct.pack_into(f"{order}I", changed, entry, len(names))
        changed[entry + (5 if elf.elfclass == 64 else 13)] = _HIDDEN
        names += new_name(symbol.name).encode() + b"\0"
    changed += b"\0" * (-len(changed) % 16)
    _move_section(changed, elf.elfclass, order, elf["e_shoff"] + table["sh_link"] * elf["e_shentsize"], len(names))
    return bytes(changed + names)


def _move_section(changed: bytearray, elf_class: int, order: str, header: int, size: int) -> None:
    """Make a section header point at data that is appended to the file."""
    # sh_offset and sh_size follow four words and, in 64-bit files, have eight bytes each (gABI, "Sections")
    form, at = ("QQ", 24) if elf_class == 64 else ("II", 16)
    struct.pack_into(f"{order}{form}", changed, header + at, len(changed), size)
