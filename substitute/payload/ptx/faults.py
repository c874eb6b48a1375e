"""Errors that point into a PTX file."""

from __future__ import annotations

import re

from ...errors import PayloadError
from .syntax import Instruction, Module


def fault(
    module: Module, at: int, what: str, *, expected: str, found: str, next_step: str, details: str = ""
) -> PayloadError:
    """Return an error that points at a position of the module's text."""
    source = module.place(at)
    return PayloadError(
        what,
        where=f"{module.name}:{source.line}:{source.column}",
        source=source,
        expected=expected,
        found=found,
        next_step=next_step,
        details=details,
    )


def place_of(module: Module, instruction: Instruction, name: str) -> int:
    """Return the position of an instruction's last use of a name (results come first), or its start."""
    spelled = name.partition("#")[0]
    span = instruction.span
    pattern = re.compile(rf"(?<![\w$%]){re.escape(spelled)}(?![\w$])")
    found = [m.start() for m in pattern.finditer(module.text, span.start, span.end)]
    return found[-1] if found else span.start


def source_of(module: Module, instruction: Instruction) -> str:
    """Return an instruction's text, on one line."""
    return " ".join(module.text[instruction.span.start : instruction.span.end].split())
