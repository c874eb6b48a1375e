"""Parser of a PTX file: tokens → `syntax.Module`.

Source: PTX ISA 9.0, chapters 4 "Syntax" and 11 "Directives".
"""

from __future__ import annotations

from .declarations import LINKAGES, SPACES, read_directive, read_variables
from .functions import FunctionParser, skip_line
from .operands import integer
from .scopes import Scope, UniqueNames
from .syntax import Function, Module, Span, Variable
from .tokens import Tokens


def parse(text: str, *, name: str = "PTX") -> Module:
    """Parse a PTX file; `name` is its name in messages. Raises `PayloadError` with the position of an error."""
    return _ModuleParser(Tokens(text, name)).read()


class _ModuleParser:
    """Parser of the directives outside of functions."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._at = 0
        self._scope = Scope()
        self._functions: list[Function] = []
        self._variables: list[Variable] = []
        self._aliases: list[tuple[str, str]] = []
        self._sections: list[Span] = []

    def read(self) -> Module:
        tokens = self._tokens
        version, version_span = self._version()
        targets, target_span = self._targets()
        address_size = 32
        while tokens.texts[self._at]:
            if tokens.texts[self._at] == ".address_size":
                address_size, self._at = integer(tokens, self._at + 1)
            else:
                self._item()
        return Module(
            name=tokens.name,
            text=tokens.text,
            version=version,
            version_span=version_span,
            targets=targets,
            target_span=target_span,
            address_size=address_size,
            functions=tuple(self._functions),
            variables=tuple(self._variables),
            aliases=tuple(self._aliases),
            sections=tuple(self._sections),
        )

    def _version(self) -> tuple[tuple[int, int], Span]:
        tokens = self._tokens
        self._expect(".version", "PTX begins with .version (PTX ISA 11.1.1)")
        at = self._at
        major, _, minor = tokens.texts[at].partition(".")
        if not (major.isdigit() and minor.isdigit()):
            raise tokens.error("the version cannot be read", at, ".version MAJOR.MINOR")
        self._at += 1
        return (int(major), int(minor)), tokens.span(at, at)

    def _targets(self) -> tuple[tuple[str, ...], Span]:
        tokens = self._tokens
        self._expect(".target", ".target follows .version (PTX ISA 11.1.2)")
        start = self._at
        if not tokens.texts[start].startswith("sm_"):
            raise tokens.error("the target cannot be read", start, "sm_80, sm_90a, …")
        targets = [tokens.texts[start]]
        self._at += 1
        while tokens.texts[self._at] == ",":
            targets.append(tokens.texts[self._at + 1])
            self._at += 2
        return tuple(targets), tokens.span(start, start)

    def _item(self) -> None:
        tokens, at = self._tokens, self._at
        texts = tokens.texts
        first = at
        while texts[first] in LINKAGES or texts[first] == ".attribute":
            first += 1
            if texts[first] == "(":
                raise tokens.error("an attribute stands where none can", first, "a declaration")
        word = texts[first]
        if word in (".entry", ".func"):
            parser = FunctionParser(tokens, self._scope)
            function, self._at = parser.read(at, first)
            self._functions.append(function)
        elif word.partition("::")[0] in SPACES or word in (".tex",):
            self._at = read_variables(tokens, at, self._scope, UniqueNames(), self._variables)
        elif word in (".file", ".loc"):
            self._at = skip_line(tokens, at)
        elif word == ".section":
            self._at = _skip_braces(tokens, at)
            self._sections.append(tokens.span(at, self._at - 1))
        elif word == ".pragma":
            _, self._at = read_directive(tokens, at)
            self._expect(";", "a pragma cannot be read")
        elif word == ".alias":
            self._aliases.append((texts[at + 1], texts[at + 3]))
            self._at = at + 4
            self._expect(";", "an alias cannot be read")
        elif word == ";":
            self._at += 1
        else:
            raise tokens.error("this cannot stand outside of a function", at, ".entry, .func, .global, .shared, …")

    def _expect(self, word: str, why: str) -> None:
        if self._tokens.texts[self._at] != word:
            raise self._tokens.error(why, self._at, word)
        self._at += 1


def _skip_braces(tokens: Tokens, at: int) -> int:
    """Return the token after a `.section name { … }`, which holds DWARF data."""
    start = at
    while tokens.texts[at] and tokens.texts[at] != "}":
        at += 1
    if not tokens.texts[at]:
        raise tokens.error("a section is never closed: the PTX is cut off", start, "}", "the end of the file")
    return at + 1
