"""`config` of a `[[target]]`: tests of a variant's target configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..model.kernel import ConfigTest
from .diagnostics import Diagnostic, describe
from .positions import Path as KeyPath

PREDICATES = ("any_of", "regex", "min", "max")
"""Keys of a table that tests one value; a table with other keys descends into the value."""
_EXPECTED = (
    "a string (`*` and `?` stand for any characters), an integer, true or false; an array of these, of which one has "
    'to be there; { min = 64 }, { max = 128 } or { regex = "…" }; or a table of keys inside of the value'
)


def config_problems(path: KeyPath, config: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Check a table `config`; yield a diagnostic per error."""
    for key, value in config.items():
        yield from _problems((*path, key), value)


def parse_config(config: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[ConfigTest, ...]]:
    """Return the keys with one plain value, and the other tests, of a table without diagnostics of
    `config_problems`.
    """
    plain = {key: value for key, value in config.items() if _is_plain(value)}
    tests = [test for key, value in config.items() if key not in plain for test in _tests((key,), value)]
    return tuple((key, _text(value)) for key, value in plain.items()), tuple(tests)


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, str) and not set("*?") & set(value))


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int | str)


def _problems(path: KeyPath, value: Any) -> Iterator[Diagnostic]:
    if _is_scalar(value):
        return
    if isinstance(value, list) and value:
        wrong = [item for item in value if not _is_scalar(item)]
        if wrong:
            yield _wrong(path, wrong[0])
    elif isinstance(value, dict) and value:
        if "regex" in value or set(value) <= set(PREDICATES):
            yield from _predicate_problems(path, value)
        else:
            yield from config_problems(path, value)
    else:
        yield _wrong(path, value)


def _predicate_problems(path: KeyPath, table: Mapping[str, Any]) -> Iterator[Diagnostic]:
    types: dict[str, type[Any]] = {"any_of": list, "regex": str, "min": int, "max": int}
    for key, value in table.items():
        if key not in PREDICATES:
            yield Diagnostic(
                path=(*path, key), what=f"unknown key `{key}`", expected="one of " + ", ".join(PREDICATES), at_key=True
            )
        elif not isinstance(value, types[key]) or isinstance(value, bool):
            yield _wrong((*path, key), value)
        elif key == "any_of":
            yield from _problems((*path, key), value)
        elif key == "regex":
            try:
                re.compile(value)
            except re.error as error:
                yield Diagnostic(
                    path=(*path, key),
                    what=f"not a regular expression: {error.msg}",
                    expected="Python's regular expressions",
                    found=describe(value),
                    column=error.pos,
                    next_step="escape characters that stand for themselves with a backslash",
                )


def _wrong(path: KeyPath, value: object) -> Diagnostic:
    return Diagnostic(path=path, what="has the wrong type", expected=_EXPECTED, found=describe(value))


def _tests(path: tuple[str, ...], value: Any) -> Iterator[ConfigTest]:
    if isinstance(value, list):
        yield ConfigTest(path=path, any_of=tuple(_text(item) for item in value))
    elif not isinstance(value, dict):
        yield ConfigTest(path=path, any_of=(_text(value),))
    elif "regex" in value or set(value) <= set(PREDICATES):
        yield ConfigTest(
            path=path,
            any_of=tuple(_text(item) for item in value.get("any_of", ())),
            regex=value.get("regex", ""),
            minimum=value.get("min"),
            maximum=value.get("max"),
        )
    else:
        for key, below in value.items():
            yield from _tests((*path, key), below)


def _text(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
