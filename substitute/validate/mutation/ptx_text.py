"""Mutation operators on PTX: each keeps the length of its line, so that the module around it is unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .mutant import Mutant

_BOUNDS = {
    "lt": "le",
    "le": "lt",
    "gt": "ge",
    "ge": "gt",
    "eq": "ne",
    "ne": "eq",
    "lo": "ls",
    "ls": "lo",
    "hi": "hs",
    "hs": "hi",
}
_OTHER = {"add": "sub", "sub": "add", "min": "max", "max": "min", "and": "or ", "shl": "shr", "shr": "shl"}
_STATEMENT = re.compile(r"^(?P<head>\s*(?:@!?[\w$%]+\s+)?)(?P<name>[a-z]\w*)(?P<rest>[.\w:]*\s.*|[.\w:]*);")
_NUMBER = re.compile(r"(?<=[ ,\[+])(\d+)(?=[;,\] ]|$)")
_FLOAT = re.compile(r"0f[0-9A-Fa-f]{8}")
_GUARD = re.compile(r"^(\s+)@(!?)([\w$%]+)(\s)")


def mutants_of(text: str, *, code: int, title: str = "") -> list[Mutant]:
    """Return all mutants; `place` is a byte of the text, `patch` its replacement."""
    found, offset, inside = [], 0, False
    for number, line in enumerate(text.split("\n")):
        inside = (inside or line.strip().startswith("{")) and not line.startswith("}")
        seen = {line}
        for operator, changed in _changes(line) if inside else ():
            changed = changed.ljust(len(line))
            if len(changed) == len(line) and changed not in seen:
                seen.add(changed)
                found.append(
                    Mutant(
                        code=code,
                        title=title,
                        operator=operator,
                        place=offset,
                        line=number + 1,
                        before=line,
                        after=changed.rstrip(),
                        patch=changed.encode(),
                    )
                )
        offset += len(line.encode()) + 1
    return found


def _changes(line: str) -> Iterator[tuple[str, str]]:
    statement = _STATEMENT.match(line)
    if statement is None or line.lstrip().startswith("."):
        return
    head, name, rest = statement["head"], statement["name"], statement["rest"]
    after = line[statement.end("rest") :]
    if name in ("setp", "set"):
        for how in re.finditer(r"\.(lt|le|gt|ge|eq|ne|lo|ls|hi|hs)(?=\.)", rest):
            changed = f"{rest[: how.start(1)]}{_BOUNDS[how[1]]}{rest[how.end(1) :]}"
            yield "bound", f"{head}{name}{changed}{after}"
    if name in _OTHER:
        yield "wrong operation", f"{head}{_OTHER[name]}{rest}{after}"
    if name in ("min", "max") and ".NaN" in rest:
        yield "NaN ignored", f"{head}{name}{rest.replace('.NaN', '', 1)}{after}"
    if name in ("bar", "barrier"):
        yield "dropped barrier", f"{head};"
    if name == "st" or (name == "red"):
        yield "missing store", f"{head};"
    if name == "sub" or name == "div":
        operands = re.match(r"^(\S+\s+[^,]+,\s*)([^,]+)(,\s*)([^,]+)$", rest)
        if operands is not None:
            yield "swapped operands", f"{head}{name}{operands[1]}{operands[4]}{operands[3]}{operands[2]}{after}"
    if name in ("setp", "shr", "cvt", "div", "rem", "min", "max") and re.search(r"\.[su](8|16|32|64)\b", rest):
        sign = re.search(r"\.([su])(8|16|32|64)\b", rest)
        assert sign is not None
        other = "u" if sign[1] == "s" else "s"
        yield "signedness", f"{head}{name}{rest[: sign.start(1)]}{other}{rest[sign.end(1) :]}{after}"
    if name == "cvt" and ".rn." in rest:
        yield "rounded towards zero", f"{head}{name}{rest.replace('.rn.', '.rz.', 1)}{after}"
    for value in _NUMBER.finditer(rest):
        for step in (1, -1):
            made = str(int(value[1]) + step)
            if int(value[1]) + step >= 0 and len(made) == len(value[1]):
                yield "constant", f"{head}{name}{rest[: value.start()]}{made}{rest[value.end() :]}{after}"
    for value in _FLOAT.finditer(rest):
        bits = int(value[0][2:], 16)
        other_bits = bits ^ (1 << 13) if bits & 0x7F800000 not in (0, 0x7F800000) else bits ^ 0x3F800000
        yield "constant", f"{head}{name}{rest[: value.start()]}0f{other_bits:08X}{rest[value.end() :]}{after}"
    guard = _GUARD.match(line)
    if guard is not None:
        if guard[2]:
            yield "negated condition", f"{guard[1]} @{guard[3]}{line[guard.end(3) :]}"
        elif len(guard[1]) > 1:
            yield "negated condition", f"{guard[1][:-1]}@!{guard[3]}{line[guard.end(3) :]}"
