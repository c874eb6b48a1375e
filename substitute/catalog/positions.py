"""Positions of the keys in a TOML file. `tomllib` only gives values, and messages need lines and columns."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import SourceText

Path = tuple[str | int, ...]
"""Keys and positions in arrays, from the top."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'", re.DOTALL
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")


@dataclass(frozen=True, slots=True)
class Position:
    """Offsets into the text."""

    key: int
    """Offset of the key (for an array's element: of the value)."""
    value: int
    """Offset of the value; for a table with a header, of the header."""


def positions(text: str) -> Mapping[Path, Position]:
    """Return the position of every key and array element of a TOML text that `tomllib` accepts."""
    reader = _Reader(text)
    reader.document()
    return reader.found


def source_at(text: str, offset: int) -> SourceText:
    """Return the line that holds `offset`."""
    start = text.rfind("\n", 0, offset) + 1
    stop = text.find("\n", offset)
    line = text[start : stop if stop >= 0 else len(text)].rstrip("\r")
    # a tab would put the caret elsewhere
    return SourceText(line=text.count("\n", 0, offset) + 1, column=offset - start + 1, text=line.replace("\t", " "))


def string_offset(text: str, start: int) -> int | None:
    """Return the offset of a one-line string's first character, or None if the string has escapes."""
    match = _STRING.match(text, start)
    if match is None or match[0].startswith(('"""', "'''")) or (match[0][0] == '"' and "\\" in match[0]):
        return None
    return start + 1


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    found: dict[Path, Position] = field(default_factory=dict)
    lengths: dict[Path, int] = field(default_factory=dict)
    """Number of elements that each array of tables has so far."""

    def document(self) -> None:
        prefix: Path = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                prefix = self._header()
            else:
                self._assignment(prefix)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def _header(self) -> Path:
        start = self.at
        array = self.text.startswith("[[", start)
        self.at += 1 + array
        keys = self._key()
        self.at += 1 + array
        path: Path = ()
        for key in keys[:-1]:
            path = self._last((*path, key))
        path = (*path, keys[-1])
        if array:
            self.found.setdefault(path, Position(start, start))
            self.lengths[path] = self.lengths.get(path, 0) + 1
            path = self._last(path)
        self.found[path] = Position(start, start)
        return path

    def _last(self, path: Path) -> Path:
        """Return the newest element, where `path` is an array of tables."""
        return (*path, self.lengths[path] - 1) if path in self.lengths else path

    def _assignment(self, prefix: Path) -> None:
        start = self.at
        path = prefix
        for key in self._key():
            path = (*path, key)
            self.found.setdefault(path, Position(start, start))
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self.found[path] = Position(start, self.at)
        self._value(path)

    def _key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            match = _STRING.match(self.text, self.at) or _BARE_KEY.match(self.text, self.at)
            assert match is not None, self.text[self.at :]
            keys += tomllib.loads(f"{match[0]} = 0")
            self.at = match.end()
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._skip(_STRING)
        elif first in "[{":
            self._items(path, "]" if first == "[" else "}")
        else:
            self._skip(_SCALAR)

    def _items(self, path: Path, close: str) -> None:
        """Read an array or an inline table."""
        self.at += 1
        count = 0
        self._skip(_BLANK)
        while self.text[self.at] != close:
            if close == "]":
                item = (*path, count)
                self.found[item] = Position(self.at, self.at)
                self._value(item)
            else:
                self._assignment(path)
            count += 1
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self._skip(_BLANK)
        self.at += 1
