"""GLSL functions that kernels may call; a shader includes those that it uses, directly or indirectly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from .mathematics import write_functions

FILES = ("float32.glsl", "float64.glsl", "small_floats.glsl", "integers.glsl")
INT64_FILES = {True: ("int64_native.glsl", "int64.glsl"), False: ("int64_emulated.glsl", "int64.glsl")}
WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Definition:
    """One function, constant or macro of the library."""

    name: str
    text: str
    uses: frozenset[str]


@cache
def definitions(native_int64: bool) -> tuple[Definition, ...]:
    """All definitions, in an order in which each stands after what it uses."""
    found: list[Definition] = []
    for file in (*FILES, *INT64_FILES[native_int64]):
        found += _split(files(__package__).joinpath(file).read_text(encoding="utf-8"))
        if file == "float32.glsl":
            found += _split(write_functions())
    return tuple(found)


def library_for(text: str, *, native_int64: bool) -> str:
    """Return the definitions that `text` needs, directly or through others."""
    everything = definitions(native_int64)
    by_name: dict[str, frozenset[str]] = {}
    for definition in everything:  # overloads share a name: take all of them
        by_name[definition.name] = by_name.get(definition.name, frozenset()) | definition.uses
    needed: set[str] = set()
    stack = [word for word in set(WORD.findall(text)) if word in by_name]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack.extend(word for word in by_name[name] if word in by_name)
    return "\n".join(d.text for d in everything if d.name in needed)


def _split(text: str) -> list[Definition]:
    """Split a file of the library into definitions: their first line is at column 0, as is the `}` that ends them."""
    result: list[Definition] = []
    lines: list[str] = []
    for line in text.splitlines():
        if not lines and (not line.strip() or line.startswith("//")):
            continue
        lines.append(line)
        if line.startswith(("}", "#define")) or (len(lines) == 1 and line.rstrip().endswith((";", "}"))):
            body = "\n".join(lines)
            result.append(Definition(_name(lines[0]), body, frozenset(WORD.findall(body))))
            lines = []
    assert not lines, f"unfinished definition: {lines[0]}"
    return result


def _name(line: str) -> str:
    if line.startswith("#define"):
        return line.split()[1]
    if line.startswith("const"):
        return line.split()[2].partition("[")[0]
    return str(WORD.findall(line.partition("(")[0])[-1])
