"""PTX as tokens with their places, and errors that point at one.

Source: PTX ISA 9.0, chapter 4 "Syntax".
"""

from __future__ import annotations

import re

from ...errors import PayloadError
from .syntax import Span, place

_TOKEN = re.compile(
    r"""(?:\s++|//[^\n]*+|/\*(?s:.*?)\*/)*+
    ( [A-Za-z_$%][\w$.%]*+(?:::[\w$.]++)*+          # names and opcodes: cp.async.bulk.shared::cta
    | \.[A-Za-z_$%][\w$%]*+(?:::\w++)*+             # directives, of which several need no space: .reg.b16
    | 0[fF][0-9a-fA-F]{8}(?![\w$]) | 0[dD][0-9a-fA-F]{16}(?![\w$])
    | 0[xX][0-9a-fA-F]++U?(?![\w$]) | 0[bB][01]++U?(?![\w$])
    | \d++(?:\.\d*+)?(?:[eE][+-]?\d++)?U?(?![\w$])
    | "[^"\n]*+"
    | [{}()\[\]<>,;:=+\-*!|&^~?@\#\\] | /(?!\*)
    | \Z )""",
    re.VERBOSE | re.ASCII,
)


class Tokens:
    """All tokens of a text: `texts[i]` begins at `starts[i]`. The last ones are empty and mark the end.

    Raises `PayloadError` for text that is not PTX.
    """

    __slots__ = ("name", "starts", "text", "texts")

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        if not text.isascii():
            raise self._not_ascii()
        self.texts: list[str] = []
        self.starts: list[int] = []
        add_text, add_start = self.texts.append, self.starts.append
        end = 0
        for match in _TOKEN.finditer(text):
            if match.start() != end:
                break
            add_text(match[1])
            add_start(match.start(1))
            end = match.end()
        if not self.texts or self.texts[-1]:
            raise self._strange(end)
        self.texts += [""] * 4  # so that looking ahead by a few tokens needs no check
        self.starts += [len(text)] * 4

    def end(self, at: int) -> int:
        """Return the end of token `at`."""
        return self.starts[at] + len(self.texts[at])

    def span(self, first: int, last: int) -> Span:
        """Return the span from the beginning of token `first` to the end of token `last`."""
        return Span(self.starts[first], self.end(last))

    def error(self, what: str, at: int, expected: str, found: str = "", next_step: str = "") -> PayloadError:
        """Return an error that points at token `at`, which is `found` by default."""
        at = min(at, len(self.texts) - 1)
        here = self.texts[at]
        position = self.starts[at] if here else max(0, len(self.text.rstrip()) - 1)
        if not here and not found:
            what, found = f"the PTX is cut off: {what}", "the end of the file"
        return PayloadError(
            what,
            where=self.name,
            source=place(self.text, position),
            expected=expected,
            found=found or here,
            next_step=next_step or "check that the file is whole; `ptxas` says more",
        )

    def _not_ascii(self) -> PayloadError:
        """Return the error for characters that are not ASCII, which ptxas refuses in comments too."""
        at = next(n for n, character in enumerate(self.text) if ord(character) > 127)
        return PayloadError(
            "the PTX holds a character that is not ASCII",
            where=self.name,
            source=place(self.text, at),
            expected="ASCII text, in comments too (PTX ISA 4.1; ptxas refuses anything else)",
            found=f"{self.text[at]!r} (U+{ord(self.text[at]):04X})",
            next_step="take it out",
        )

    def _strange(self, at: int) -> PayloadError:
        """Return the error for text at `at` that is no token."""
        skipped = re.compile(r"(?:\s++|//[^\n]*+|/\*(?s:.*?)\*/)*+").match(self.text, at)
        at = skipped.end() if skipped else at
        character = self.text[at]
        what = {'"': ("a string never ends", '"'), "/": ("a comment never ends", "*/")}.get(character)
        if what:
            return PayloadError(
                what[0],
                where=self.name,
                source=place(self.text, at),
                expected=what[1],
                found="the end of the line" if character == '"' else "the end of the file",
                next_step="check that the file is whole",
            )
        if character.isdigit():
            return PayloadError(
                "a number cannot be read",
                where=self.name,
                source=place(self.text, at),
                expected="12, 0xC, 0f41400000, 0d4028000000000000 or 12.0",
                found=re.compile(r"[\w$.]*").match(self.text, at)[0],  # type: ignore[index]
                next_step="write it as one of these",
            )
        return PayloadError(
            f"{character!r} stands where PTX has nothing like it",
            where=self.name,
            source=place(self.text, at),
            expected="PTX text",
            found=f"character U+{ord(character):04X}",
            next_step="check that the file is whole, and text",
        )
