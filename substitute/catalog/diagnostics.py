"""Diagnostics for a `kernel.toml`: place, expectation, finding and next step."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ManifestError, SourceText
from .positions import Path as KeyPath
from .positions import positions, source_at, string_offset

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

NEXT_STEP = "docs/manifest.md explains the keys of kernel.toml; `iree-substitute new` writes a kernel that works"

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# fmt: off
_TYPES = {
    "string_type": "a string", "bool_type": "true or false", "int_type": "an integer", "list_type": "an array",
    "dict_type": "a table", "model_type": "a table", "string_too_short": "a string that is not empty",
}
# fmt: on

_EXPECTED = {
    "schema": "1, the version of the schema that this iree-substitute reads",
    "slots": 'any of "prologue" and "epilogue", such as ["epilogue"]',
    "constraints": 'an array of conditions, such as ["N % 16 == 0"]',
    "operands": 'the axes of an operand, such as ["M", "K"] or { axes = ["M", "K"], strided = true }',
    "target": 'at least one table [[target]] with a backend, such as backend = "llvm-cpu"',
    "target.config": "a string, an integer, true or false",
    "target.device": 'true, false, an integer, or a comparison such as ">= 9"',
    "launch.workgroup_size": "three integers of at least 1, such as [64, 1, 1]",
    "launch.workgroup_count": 'three expressions over axes, such as ["ceildiv(N, 64)", "M", "1"]',
}
"""Expected values of keys whose type alone does not describe them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """An error in a manifest."""

    path: KeyPath
    """The key; the table that lacks it, for a missing one."""
    what: str
    expected: str = ""
    found: str = ""
    next_step: str = ""
    missing: str = ""
    """The missing key."""
    at_key: bool = False
    """True if the key is wrong, not its value."""
    column: int | None = None
    """Offset of the error in the string at `path`."""


def key_path(path: KeyPath) -> str:
    """Return a path in the notation of messages: `target[1].features[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if _BARE_KEY.fullmatch(part) else f'."{part}"'
    return text.removeprefix(".")


def manifest_error(file: Path, text: str, diagnostics: Sequence[Diagnostic]) -> ManifestError:
    """Return one error that shows the first diagnostic in full and names the others."""
    known = positions(text)
    first, *others = (
        locate_diagnostic(file, text, known, p) for p in sorted(diagnostics, key=lambda p: _order(known, p))
    )
    if others:
        first.details = "\n".join(["also wrong in this file:", *(f"{o.where}: {o.what}" for o in others)])
    return first


def locate_diagnostic(file: Path, text: str, known: Mapping[KeyPath, Any], diagnostic: Diagnostic) -> ManifestError:
    """Return one diagnostic with its line and caret."""
    path = diagnostic.path
    while path and path not in known:
        path = path[:-1]
    source: SourceText | None = None
    if path:
        offset = known[path].key if diagnostic.at_key else known[path].value
        inside = None if diagnostic.column is None else string_offset(text, offset)
        source = source_at(text, offset if inside is None else inside + (diagnostic.column or 0))
    where = f"{file}:{source.line}" if source else str(file)
    return ManifestError(
        diagnostic.what,
        where=": ".join(filter(None, (where, key_path(diagnostic.path)))),
        expected=diagnostic.expected,
        found=diagnostic.found,
        next_step=diagnostic.next_step or NEXT_STEP,
        source=source,
    )


def _order(known: Mapping[KeyPath, Any], diagnostic: Diagnostic) -> int:
    path = diagnostic.path
    while path and path not in known:
        path = path[:-1]
    return known[path].key if path else -1


def schema_diagnostics(error: ValidationError, data: Mapping[str, Any], schema: type[BaseModel]) -> list[Diagnostic]:
    """Translate the schema library's errors into diagnostics."""
    found: dict[tuple[KeyPath, str], Diagnostic] = {}
    for detail in error.errors(include_url=False, include_context=True):
        diagnostic = _problem(dict(detail), data, schema)
        found.setdefault((diagnostic.path, diagnostic.what), diagnostic)
    # a misspelt key is also a missing one: report it once
    meant = {(p.path[:-1], p.next_step) for p in found.values() if p.at_key}
    return [p for p in found.values() if (p.path, f"did you mean `{p.missing}`?") not in meant]


def _problem(detail: dict[str, Any], data: Mapping[str, Any], schema: type[BaseModel]) -> Diagnostic:
    path, kind, value = _as_written(detail["loc"], data), detail["type"], detail["input"]
    help_text = _EXPECTED.get(".".join(p for p in path if isinstance(p, str)), "")
    if len(path) == 2 and path[0] == "operands":
        help_text = _EXPECTED["operands"]
    if len(path) == 4 and path[2] in ("config", "device"):
        help_text = _EXPECTED[f"target.{path[2]}"]
    if kind == "missing":
        parent, name = path[:-1], path[-1]
        help_text = help_text or f"`{name} = …`"
        return Diagnostic(path=parent, what=f"the key `{name}` is missing", expected=help_text, missing=str(name))
    if kind == "extra_forbidden":
        return _unknown_key(path, _keys_of(schema, path[:-1]))
    if detail["loc"][-1] == "[key]":
        return Diagnostic(path=path, what="not a name", expected=_pattern(detail), found=describe(value), at_key=True)
    if kind == "string_pattern_mismatch":
        return Diagnostic(path=path, what="not a valid name", expected=_pattern(detail), found=describe(value))
    if kind == "literal_error":
        return _not_one_of(path, value, detail["ctx"]["expected"], help_text)
    if kind in ("too_short", "too_long"):
        what = f"has {len(value)} item{'s' * (len(value) != 1)}"
        return Diagnostic(path=path, what=what, expected=help_text or detail["msg"], found=describe(value))
    if kind == "greater_than_equal":
        expected = f"an integer of at least {detail['ctx']['ge']}"
        return Diagnostic(path=path, what="too small", expected=help_text or expected, found=describe(value))
    expected = help_text or _TYPES.get(kind, detail["msg"])
    return Diagnostic(
        path=path,
        what="has the wrong type" if "type" in kind else "not allowed",
        expected=expected,
        found=describe(value),
    )


def _as_written(location: Sequence[str | int], data: Mapping[str, Any]) -> KeyPath:
    """Return the library's location without parts that are not in the file."""
    path = [part for part in location if part != "[key]"]
    if path[:1] == ["version"]:
        path[0] = "schema"
    if len(path) > 2 and path[0] == "operands" and isinstance(data["operands"][path[1]], list):
        del path[2]  # the short form has no key `axes`
    if len(path) > 4 and path[0] == "target" and path[2] in ("config", "device"):
        del path[4:]  # the alternative of a union that was tried
    return tuple(path)


def _pattern(detail: dict[str, Any]) -> str:
    from .schema import PATTERNS

    pattern = detail["ctx"]["pattern"]
    return PATTERNS.get(pattern, f"text that matches {pattern}")


def _not_one_of(path: KeyPath, value: object, choices: str, help_text: str) -> Diagnostic:
    names = [part for part in choices.replace(" or ", ", ").replace("'", "").split(", ") if part]
    hint = did_you_mean(value, names) if isinstance(value, str) else ""
    if path == ("schema",) and isinstance(value, int) and not isinstance(value, bool) and value > 1:
        hint = "this kernel is made for a newer iree-substitute: upgrade it (`pip install -U iree-substitute`)"
    expected = help_text or "one of " + ", ".join(f'"{name}"' for name in names)
    return Diagnostic(path=path, what="not a known value", expected=expected, found=describe(value), next_step=hint)


def _unknown_key(path: KeyPath, known: Sequence[str]) -> Diagnostic:
    name = str(path[-1])
    return Diagnostic(
        path=path,
        what=f"unknown key `{name}`",
        expected="one of " + ", ".join(known),
        next_step=did_you_mean(name, known),
        at_key=True,
    )


def _keys_of(schema: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys that the table at `path` may hold."""
    from .schema import (
        DefinitionTable,
        ExecutableConstantTable,
        LaunchTable,
        OperandTable,
        PayloadTable,
        TargetTable,
    )

    tables: dict[object, type[BaseModel]] = {
        "operands": OperandTable,
        "target": TargetTable,
        "definition": DefinitionTable,
        "payload": PayloadTable,
        "launch": LaunchTable,
        "executable_constant": ExecutableConstantTable,
    }
    table = tables[path[0]] if path else schema
    return [info.alias or name for name, info in table.model_fields.items()]


def did_you_mean(name: object, known: Sequence[str]) -> str:
    """Return `did you mean …?` if a known name is close, else an empty text."""
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def describe(value: object) -> str:
    """Return a value of a TOML file with its type."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'the string "{shorten(value)}"' if value else "an empty string"
        case int():
            return f"the integer {value}"
        case float():
            return f"the number {value}"
        case list():
            return f"the array {shorten(str(value))}" if value else "an empty array"
        case dict():
            return "a table"
    return f"{type(value).__name__} {value}"


def shorten(text: str) -> str:
    """Return at most 60 characters of `text`."""
    return text if len(text) <= 60 else text[:59] + "…"
