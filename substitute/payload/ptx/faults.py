"""Errors that point into a PTX file."""

from __future__ import annotations

import re

from ...errors import PayloadError
from .syntax import Instruction, Module


def fault(
    module: Module, at: int, what: str, *, expected: str, found: str, next_step: str, details: str = ""
) -> PayloadError:
    """An error that points at a position of the module's text."""
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
    """Where an instruction names something last (what is written stands first); its beginning where it does not."""
    spelled = name.partition("#")[0]
    span = instruction.span
    pattern = re.compile(rf"(?<![\w$%]){re.escape(spelled)}(?![\w$])")
    found = [m.start() for m in pattern.finditer(module.text, span.start, span.end)]
    return found[-1] if found else span.start


def source_of(module: Module, instruction: Instruction) -> str:
    """An instruction as it stands, on one line."""
    return " ".join(module.text[instruction.span.start : instruction.span.end].split())
