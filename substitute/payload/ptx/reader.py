"""The header level of PTX: tokens with their places, directives, entries and their parameters.

Source: PTX ISA 9.0, chapters 4 "Syntax", 5.4 "Parameterized Variable Names", 11 "Directives".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ...errors import PayloadError, SourceText

Kind = Literal["word", "number", "string", "sign"]
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$%.")
_PAIRS = {"{": "}", "(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `text == source[start:end]`."""

    kind: Kind
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """`.param .u64 .ptr .global .align 16 name[4]`."""

    name: str
    type: str
    """`u64`, `b8`, … without the dot."""
    count: int
    """Elements; 1 for a scalar."""
    start: int
    """Where the parameter begins in the text."""

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return int(self.type.lstrip("usbf")) if self.type.lstrip("usbf").isdigit() else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`.entry name (parameters) directives { body }`."""

    name: str
    name_at: tuple[int, int]
    parameters: tuple[Parameter, ...]
    reqntid: tuple[int, int, int] | None
    maxntid: tuple[int, int, int] | None
    shared_bytes: int
    """Static shared memory declared in the body."""
    returns: bool
    """True if the body has `ret` or `exit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PtxModule:
    """What the header level says."""

    text: str
    tokens: tuple[Token, ...]
    version: tuple[int, int]
    version_at: int
    target: str
    """`sm_80`, `sm_90a`, …"""
    target_at: int
    address_size: int
    entries: tuple[Entry, ...]
    shared_bytes: int
    """Static shared memory declared outside of entries."""

    def entry(self, name: str) -> Entry | None:
        """The entry of this name."""
        return next((e for e in self.entries if e.name == name), None)


def place(text: str, at: int) -> SourceText:
    """The line that holds position `at`."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)]
    return SourceText(line=text.count("\n", 0, at) + 1, column=at - start + 1, text=line.replace("\t", " "))


def tokenize(text: str, *, name: str = "PTX") -> Iterator[Token]:
    """All tokens but white space and comments. Raises `PayloadError` for what no PTX holds."""
    at, end = 0, len(text)
    while at < end:
        character = text[at]
        if character.isspace():
            at += 1
        elif text.startswith("//", at):
            stop = text.find("\n", at)
            at = stop if stop >= 0 else end
        elif text.startswith("/*", at):
            at = _closed(text, at, "*/", "a comment", name)
        elif character == '"':
            stop = _closed(text, at + 1, '"', "a string", name, at)
            yield Token("string", text[at:stop], at, stop)
            at = stop
        elif character in _WORD:
            stop = at
            while stop < end and text[stop] in _WORD:
                stop += 1
            yield Token("number" if character.isdigit() else "word", text[at:stop], at, stop)
            at = stop
        elif character in "{}()[]<>,;:=+-*/!|&^~?@#\\":
            yield Token("sign", character, at, at + 1)
            at += 1
        else:
            raise PayloadError(
                f"{character!r} stands where PTX has nothing like it",
                where=name,
                source=place(text, at),
                expected="PTX text",
                found=f"character U+{ord(character):04X}",
                next_step="check that the file is whole, and text",
            )


def _closed(text: str, at: int, closer: str, what: str, name: str, start: int | None = None) -> int:
    stop = text.find(closer, at)
    if stop < 0:
        raise PayloadError(
            f"{what} never ends",
            where=name,
            source=place(text, at if start is None else start),
            expected=closer,
            found="the end of the file",
            next_step="check that the file is whole",
        )
    return stop + len(closer)


def read_ptx(text: str, *, name: str = "PTX") -> PtxModule:
    """Reads a PTX file's header level. Raises `PayloadError` for what is missing, unbalanced or cut off."""
    return _Reader(text, name).read()


class _Reader:
    """Walks over the tokens once."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._tokens = tuple(tokenize(text, name=name))
        self._partner = self._match_brackets()
        self._at = 0

    def read(self) -> PtxModule:
        version, version_at = self._version()
        target, target_at = self._target()
        address_size = 32
        entries: list[Entry] = []
        shared = 0
        while self._at < len(self._tokens):
            word = self._tokens[self._at].text
            if word == ".address_size":
                address_size = self._number(self._at + 1)
                self._at += 2
            elif word == ".entry":
                entries.append(self._entry())
            elif word == ".func":
                self._skip_function()
            elif word == ".shared":
                shared += self._shared_bytes(self._at)
                self._at += 1
            elif word == "{":
                self._at = self._partner[self._at] + 1
            else:
                self._at += 1
        return PtxModule(
            text=self._text, tokens=self._tokens, version=version, version_at=version_at, target=target,
            target_at=target_at, address_size=address_size, entries=tuple(entries), shared_bytes=shared,
        )  # fmt: skip

    def _match_brackets(self) -> dict[int, int]:
        partner: dict[int, int] = {}
        stack: list[int] = []
        for at, token in enumerate(self._tokens):
            if token.kind != "sign":
                continue
            if token.text in _PAIRS:
                stack.append(at)
            elif token.text in _PAIRS.values():
                if not stack or _PAIRS[self._tokens[stack[-1]].text] != token.text:
                    raise self._error(f"{token.text!r} closes nothing", at, "a bracket that was opened before", "none")
                opened = stack.pop()
                partner[opened] = at
        if stack:
            opened_text = self._tokens[stack[-1]].text
            raise self._error(
                f"{opened_text!r} is never closed: the PTX is cut off",
                stack[-1],
                _PAIRS[opened_text],
                "the end of the file",
            )
        return partner

    def _version(self) -> tuple[tuple[int, int], int]:
        self._expect(".version", "PTX begins with .version (PTX ISA 11.1)")
        token = self._token(self._at)
        major, _, minor = token.text.partition(".")
        if not (major.isdigit() and minor.isdigit()):
            raise self._error("the version cannot be read", self._at, ".version MAJOR.MINOR", token.text)
        self._at += 1
        return (int(major), int(minor)), token.start

    def _target(self) -> tuple[str, int]:
        self._expect(".target", ".target follows .version (PTX ISA 11.1)")
        token = self._token(self._at)
        if not token.text.startswith("sm_"):
            raise self._error("the target cannot be read", self._at, "sm_80, sm_90a, …", token.text)
        self._at += 1
        return token.text, token.start

    def _entry(self) -> Entry:
        name = self._token(self._at + 1)
        if name.kind != "word":
            raise self._error("an entry has no name", self._at, ".entry NAME (…)", name.text)
        at = self._at + 2
        parameters: tuple[Parameter, ...] = ()
        if self._token(at).text == "(":
            close = self._partner[at]
            parameters = tuple(self._parameters(at + 1, close))
            at = close + 1
        sizes: dict[str, tuple[int, int, int]] = {}
        while self._token(at).text not in ("{", ";"):
            if self._token(at).text in (".maxntid", ".reqntid"):
                sizes[self._token(at).text] = self._triple(at + 1)
            at += 1
        if self._token(at).text == ";":
            raise self._error(f"entry {name.text} has no body", at, "{ … }", ";")
        close = self._partner[at]
        body = range(at + 1, close)
        self._at = close + 1
        return Entry(
            name=name.text,
            name_at=(name.start, name.end),
            parameters=parameters,
            reqntid=sizes.get(".reqntid"),
            maxntid=sizes.get(".maxntid"),
            shared_bytes=sum(self._shared_bytes(i) for i in body if self._tokens[i].text == ".shared"),
            returns=any(self._returns(i) for i in body),
        )

    def _returns(self, at: int) -> bool:
        word = self._tokens[at].text.partition(".")[0]
        return word in ("ret", "exit", "trap") and self._tokens[at].kind == "word"

    def _parameters(self, start: int, stop: int) -> Iterator[Parameter]:
        at = start
        while at < stop:
            end = at
            while end < stop and self._tokens[end].text != ",":
                end = self._partner[end] if self._tokens[end].text in _PAIRS else end
                end += 1
            yield self._parameter(at, end)
            at = end + 1

    def _parameter(self, start: int, end: int) -> Parameter:
        if start >= end or self._tokens[start].text != ".param":
            raise self._error("a parameter cannot be read", start, ".param .TYPE NAME", self._token(start).text)
        type_ = name = ""
        count, at = 1, start + 1
        while at < end:
            text = self._tokens[at].text
            if text == "[":
                count *= self._number(at + 1) if self._tokens[at + 1].text != "]" else 0
                at = self._partner[at]
            elif text == ".align":
                at += 1
            elif text.startswith("."):
                type_ = text[1:] if _is_type(text[1:]) else type_
            elif self._tokens[at].kind == "word":
                name = text
            at += 1
        if not type_ or not name:
            raise self._error("a parameter cannot be read", start, ".param .TYPE NAME", self._source(start, end))
        return Parameter(name=name, type=type_, count=count, start=self._tokens[start].start)

    def _shared_bytes(self, at: int) -> int:
        """Bytes of the variables that one `.shared` declares; 0 where the word is part of something else."""
        size = 0
        at += 1
        while at < len(self._tokens) and self._tokens[at].text.startswith("."):
            text = self._tokens[at].text[1:]
            size = int(text[1:]) // 8 if _is_type(text) and text[1:].isdigit() else size
            at += 2 if text == "align" else 1
        total = 0
        while size and at < len(self._tokens) and self._tokens[at].kind == "word":
            count = 1
            at += 1
            while at < len(self._tokens) and self._tokens[at].text == "[":
                count *= self._number(at + 1) if self._tokens[at + 1].text != "]" else 0
                at = self._partner[at] + 1
            total += count * size
            if at >= len(self._tokens) or self._tokens[at].text != ",":
                break
            at += 1
        return total

    def _skip_function(self) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at].text not in ("{", ";"):
            self._at = self._partner.get(self._at, self._at) + 1
        if self._at < len(self._tokens) and self._tokens[self._at].text == "{":
            self._at = self._partner[self._at]
        self._at += 1

    def _triple(self, at: int) -> tuple[int, int, int]:
        values = [self._number(at)]
        while len(values) < 3 and self._token(at + 1).text == ",":
            at += 2
            values.append(self._number(at))
        values += [1] * (3 - len(values))
        return (values[0], values[1], values[2])

    def _number(self, at: int) -> int:
        token = self._token(at)
        try:
            return int(token.text.rstrip("U"), 0)
        except ValueError:
            raise self._error("a number cannot be read", at, "a whole number", token.text) from None

    def _expect(self, word: str, why: str) -> None:
        token = self._token(self._at)
        if token.text != word:
            raise self._error(why, self._at, word, token.text)
        self._at += 1

    def _token(self, at: int) -> Token:
        if at >= len(self._tokens):
            raise PayloadError(
                "the PTX is cut off",
                where=self._name,
                source=place(self._text, max(0, len(self._text.rstrip()) - 1)),
                expected=".version, .target, and an .entry with a body",
                found="the end of the file" if self._tokens else "no PTX at all",
                next_step="check that the file is whole",
            )
        return self._tokens[at]

    def _source(self, start: int, end: int) -> str:
        return self._text[self._tokens[start].start : self._tokens[end - 1].end]

    def _error(self, what: str, at: int, expected: str, found: str) -> PayloadError:
        return PayloadError(
            what,
            where=self._name,
            source=place(self._text, self._tokens[at].start),
            expected=expected,
            found=found,
            next_step="check that the file is whole; `ptxas` says more",
        )


def _is_type(text: str) -> bool:
    return text[:1] in ("u", "s", "b", "f") and text[1:] in ("8", "16", "32", "64", "128")
