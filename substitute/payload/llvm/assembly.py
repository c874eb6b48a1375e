"""LLVM IR → assembly in which each instruction knows the line of IR that it came from, for people to read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from typing import Any

from substitute.errors import PayloadError
from substitute.model.dispatch import Target

from .optimize import DEBUG_INFO, machine_for, parse_ir

_DEFINE = re.compile(r"define .*\{$")
_INSTRUCTION = re.compile(r"  (%[^ ]+ = )?[a-z]")
_LOCATION = re.compile(r"\t\.loc\t\d+ (\d+) ")
_SECTION = re.compile(r"\t\.(section|text|data|bss)\b")
_DATA = re.compile(r"\t\.(byte|short|long|quad|zero|asciz?|string|2byte|4byte|8byte|word|hword|xword)\b")
_SHOWN = re.compile(rf"\t[^.#;]|[^\s#;]|{_DATA.pattern}")
"""An instruction, a label, or data; everything else speaks to the assembler."""
_LOCAL = re.compile(r"\.L(tmp|func_|debug|sec_|info_|cu_|abbrev|line|str_|rnglists|loclists|addr)\w*:")
_METADATA = 1_000_000
"""Number of the first metadata node that is added; no module has so many of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyLine:
    """A line of assembly."""

    text: str
    line: int
    """Line of the IR that it came from, from 1; 0 if it is not known."""


def assemble(text: str, target: Target, where: str) -> tuple[AssemblyLine, ...]:
    """Return the assembly of a module for the target's CPU. Raises `PayloadError` for IR that LLVM rejects."""
    _, machine = machine_for(target, where)
    try:
        module: Any = parse_ir(add_line_numbers(text), where)
    except PayloadError:
        module = parse_ir(text, where)  # without links
    return tuple(read_assembly(machine.emit_assembly(module)))


def add_line_numbers(text: str) -> str:
    """Return IR with debug information that says on which line of `text` each instruction is.

    IR that has debug information already, or none of whose functions has a body, is returned as it is.
    """
    if DEBUG_INFO in text:
        return text
    numbers = count(_METADATA)
    unit, file, kind, flag = (next(numbers) for _ in range(4))
    lines: list[str] = []
    nodes: list[str] = []
    scope: int | None = None
    table = False
    for number, line in enumerate(text.splitlines(), 1):
        if _DEFINE.match(line):
            scope = next(numbers)
            nodes.append(
                f'!{scope} = distinct !DISubprogram(name: "f{scope}", scope: !{file}, file: !{file}, line: {number}, '
                f"type: !{kind}, scopeLine: {number}, spFlags: DISPFlagDefinition, unit: !{unit})"
            )
            lines.append(f"{line[:-1]}!dbg !{scope} {{")
            continue
        if line == "}":
            scope = None
        elif scope is not None and line.startswith("  switch ") and line.endswith("["):
            table = True  # the instruction ends with the bracket that closes its table
        elif scope is not None and (line.strip() == "]" if table else _INSTRUCTION.match(line)):
            table = False
            place = next(numbers)
            nodes.append(f"!{place} = !DILocation(line: {number}, column: 1, scope: !{scope})")
            line = f"{line}, !dbg !{place}"
        lines.append(line)
    if not nodes:
        return text
    head = [
        f"{DEBUG_INFO} = !{{!{unit}}}",
        f"!llvm.module.flags = !{{!{flag}}}",
        f'!{flag} = !{{i32 2, !"Debug Info Version", i32 3}}',
        f"!{unit} = distinct !DICompileUnit(language: DW_LANG_C, file: !{file}, emissionKind: LineTablesOnly)",
        f'!{file} = !DIFile(filename: "payload.ll", directory: "")',
        f"!{kind} = !DISubroutineType(types: !{{}})",
    ]
    return "\n".join([*lines, *head, *nodes, ""])


def read_assembly(text: str) -> list[AssemblyLine]:
    """Return instructions, labels and data of an assembler's input with the lines that `.loc` names."""
    found: list[AssemblyLine] = []
    line, debug = 0, False
    for raw in text.splitlines():
        if _SECTION.match(raw):
            debug = ".debug" in raw
        if place := _LOCATION.match(raw):
            line = int(place[1])
        if debug or _LOCAL.match(raw) or not _SHOWN.match(raw):
            continue
        code = raw.startswith("\t") and not _DATA.match(raw)
        if not raw.startswith((".L", "\t")):
            line = 0  # another function
        found.append(AssemblyLine(text=raw.expandtabs(8), line=line if code else 0))
    return found
