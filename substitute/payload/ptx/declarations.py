"""Declarations: registers, variables with initialisers, parameters, performance directives.

Source: PTX ISA 9.0, 5.1 "State Spaces", 5.4 "Variables", 11.2 "Kernel Entry and Function Directives".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from .initial import expect, name_at, read_initial
from .operands import integer
from .scopes import Scope, UniqueNames, registers
from .syntax import (
    TYPE_BITS,
    Directive,
    Float,
    Initial,
    Linkage,
    Parameter,
    RegisterDeclaration,
    Space,
    Symbol,
    Variable,
)
from .tokens import Tokens

SPACES = frozenset({".global", ".shared", ".local", ".const", ".param"})
LINKAGES = frozenset({".extern", ".visible", ".weak", ".common"})
_OPAQUE = frozenset({"texref", "samplerref", "surfref"})
_POINTED = {
    ".global": "global",
    ".shared": "shared",
    ".local": "local",
    ".const": "const",
    ".param": "param",
    ".generic": "generic",
}
MAX_ELEMENTS = 1 << 40


def read_registers(tokens: Tokens, at: int, scope: Scope, unique: UniqueNames, out: list[RegisterDeclaration]) -> int:
    """Read `.reg .v2 .f32 a, %r<4>;`. Return the token after the semicolon."""
    texts, start = tokens.texts, at
    at += 1
    vector, type_ = 1, ""
    while texts[at][:1] == ".":
        word = texts[at][1:]
        if word in ("v2", "v4"):
            vector = int(word[1])
        elif word == "align":
            at += 1
        elif word in TYPE_BITS:
            type_ = word
        else:
            raise tokens.error("a register's type is not known", at, ".b32, .f32, .pred, …")
        at += 1
    if not type_:
        raise tokens.error("a register has no type", at, ".reg .TYPE NAME")
    while True:
        name, begin = name_at(tokens, at), at
        at += 1
        count = None
        if texts[at] == "<":
            count, at = integer(tokens, at + 1, in_angles=True)
            at = expect(tokens, at, ">", "a family of registers cannot be read")
            known = unique.take(name)
            scope.families[name] = (known, type_, vector, count)
            scope.known.clear()
        else:
            if name in scope.names:
                raise tokens.error(f"{name} is declared twice", begin, "one declaration of a name in one scope")
            known = unique.take(name)
            scope.add(name, registers(known, type_, vector))
        out.append(
            RegisterDeclaration(
                name=known,
                type=type_,
                vector=vector,  # type: ignore[arg-type]
                count=count,
                span=tokens.span(start, at - 1),
            )
        )
        if texts[at] == ";":
            return at + 1
        at = expect(tokens, at, ",", "a declaration of registers cannot be read")


def read_variables(tokens: Tokens, at: int, scope: Scope, unique: UniqueNames, out: list[Variable]) -> int:
    """Read `.visible .global .align 4 .v2 .b8 x[16] = {…}, y;` from its linkage or space. Return the token after it."""
    texts, start = tokens.texts, at
    words, at = _qualifiers(tokens, at)
    alignment = words.alignment or TYPE_BITS.get(words.type, 64) // 8 * words.vector
    while True:
        name = name_at(tokens, at)
        count, at = _dimensions(tokens, at + 1)[:2]
        initial = None
        if texts[at] == "=":
            elements: list[int | Float | Initial] = []
            at = read_initial(tokens, at + 1, elements)
            initial = tuple(elements)
            count = len(elements) // words.vector if count is None else count
        if name in scope.names and not (words.linkage == "extern" or words.space == "param"):
            _refuse_second(tokens, start, name, scope)
        if texts[at] == "<":  # a family of parameters: .param .b32 p<4>;
            at = _family(tokens, at, name, scope, unique, out, start, words.type, alignment)
        else:
            known = unique.take(name) if scope.parent is not None else name  # a module's names are as they stand
            scope.add(name, Symbol(known, words.space))
            scope.sizes[known] = TYPE_BITS.get(words.type, 64) // 8
            out.append(
                Variable(
                    name=known,
                    space=words.space,
                    type=words.type,
                    vector=words.vector,
                    count=count,
                    alignment=alignment,
                    linkage=words.linkage,
                    initial=initial,
                    span=tokens.span(start, at - 1),
                )
            )
        if texts[at] == ";":
            return at + 1
        at = expect(tokens, at, ",", "a declaration of variables cannot be read")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Qualifiers:
    """Qualifiers before a variable's name."""

    linkage: Linkage
    space: Space
    type: str
    vector: Literal[1, 2, 4]
    alignment: int
    """0 if none is given."""


def _qualifiers(tokens: Tokens, at: int) -> tuple[_Qualifiers, int]:
    texts, start = tokens.texts, at
    linkage = space = type_ = ""
    vector, alignment = 1, 0
    while texts[at][:1] == ".":
        word = texts[at]
        at += 1
        if word in LINKAGES:
            linkage = word[1:]
        elif word.partition("::")[0] in SPACES:
            space = word[1:].partition("::")[0]
        elif word == ".align":
            alignment, at = integer(tokens, at)
        elif word in (".v2", ".v4"):
            vector = int(word[2])
        elif word == ".attribute":
            at = _skip_brackets(tokens, at)
        elif word[1:] in TYPE_BITS or word[1:] in _OPAQUE:
            type_ = word[1:]
        else:
            raise tokens.error("a declaration has a word that is not known", at - 1, "a state space, a type or .align")
    if not type_ or not space:
        raise tokens.error("a variable cannot be read", start, ".SPACE .TYPE NAME")
    return _Qualifiers(
        linkage=cast("Linkage", linkage),
        space=cast("Space", space),
        type=type_,
        vector=cast("Literal[1, 2, 4]", vector),
        alignment=alignment,
    ), at


def _family(
    tokens: Tokens,
    at: int,
    name: str,
    scope: Scope,
    unique: UniqueNames,
    out: list[Variable],
    start: int,
    type_: str,
    alignment: int,
) -> int:
    count, at = integer(tokens, at + 1, in_angles=True)
    if count > 4096:
        raise tokens.error("a family of variables is too large", at - 1, "at most 4096")
    at = expect(tokens, at, ">", "a family of variables cannot be read")
    for number_ in range(count):
        known = unique.take(f"{name}{number_}")
        scope.add(f"{name}{number_}", Symbol(known, "param"))
        out.append(
            Variable(
                name=known, space="param", type=type_, count=1, alignment=alignment, span=tokens.span(start, at - 1)
            )
        )
    return at


def _refuse_second(tokens: Tokens, at: int, name: str, scope: Scope) -> None:
    found = scope.names[name]
    if not isinstance(found, Symbol):
        raise tokens.error(f"{name} is declared twice", at, "one declaration of a name in one scope")


def _dimensions(tokens: Tokens, at: int) -> tuple[int | None, int, bool]:
    """Read `[8][4]`. Return the product (None for `[]`), the token after it, and whether there was any."""
    texts = tokens.texts
    count: int | None = 1
    is_array = False
    while texts[at] == "[":
        is_array = True
        if texts[at + 1] == "]":
            count, at = None, at + 2
            continue
        begin = at
        size, at = integer(tokens, at + 1)
        at = expect(tokens, at, "]", "an array's size cannot be read")
        if size < 0 or size > MAX_ELEMENTS:
            raise tokens.error("an array has a size that cannot be", begin + 1, "a number of elements", str(size))
        count = None if count is None else count * size
    return count, at, is_array


def read_parameters(tokens: Tokens, at: int, scope: Scope, out: list[Parameter]) -> int:
    """Read `(.param .u64 .ptr .global .align 16 a, …)` from its opening parenthesis. Return the token after it."""
    texts = tokens.texts
    at = expect(tokens, at, "(", "a list of parameters cannot be read")
    while texts[at] != ")":
        at = _parameter(tokens, at, scope, out)
        if texts[at] == ",":
            at += 1
        elif texts[at] != ")":
            raise tokens.error("a list of parameters cannot be read", at, "',' or ')'")
    return at + 1


def _parameter(tokens: Tokens, at: int, scope: Scope, out: list[Parameter]) -> int:
    texts, start = tokens.texts, at
    is_register, type_, alignment, pointer, vector = False, "", 0, None, 1
    pointer_alignment = 1
    while texts[at][:1] == ".":
        word = texts[at]
        at += 1
        if word == ".reg":
            is_register = True
        elif word in (".param", ".const"):
            pointer = _POINTED[word] if pointer == "generic" else pointer
        elif word == ".align":
            value, at = integer(tokens, at)
            if pointer:
                pointer_alignment = value
            else:
                alignment = value
        elif word == ".ptr":
            pointer = "generic"
        elif word in _POINTED:
            pointer = _POINTED[word]
        elif word in (".v2", ".v4"):
            vector = int(word[2])
        elif word[1:] in TYPE_BITS or word[1:] in _OPAQUE:
            type_ = word[1:]
        else:
            raise tokens.error("a parameter has a word that is not known", at - 1, ".param .TYPE NAME")
    if not type_:
        raise tokens.error("a parameter cannot be read", start, ".param .TYPE NAME")
    name = name_at(tokens, at)
    count, at, is_array = _dimensions(tokens, at + 1)
    parameter = Parameter(
        name=name,
        type=type_,
        count=count,
        array=is_array,
        alignment=alignment or max(1, TYPE_BITS.get(type_, 64) // 8) * vector,
        register=is_register,
        pointer=cast("Space | None", pointer),
        pointer_alignment=pointer_alignment,
        span=tokens.span(start, at - 1),
        vector=cast("Literal[1, 2, 4]", vector),
    )
    if name != "_":
        if name in scope.names:
            raise tokens.error(f"{name} is declared twice", at - 1, "one parameter of a name")
        scope.add(name, registers(name, type_, vector) if is_register else Symbol(name, "param"))
    out.append(parameter)
    return at


def read_directive(tokens: Tokens, at: int) -> tuple[Directive, int]:
    """Read `.maxntid 128, 1, 1` after a function's parameters, or a `.pragma`. Return the token after it as well."""
    texts, start = tokens.texts, at
    name = texts[at][1:]
    at += 1
    if name == "pragma":
        text = texts[at]
        while texts[at][:1] == '"' or texts[at] == ",":
            at += 1
        return Directive(name=name, values=(), text=text.strip('"'), span=tokens.span(start, at - 1)), at
    values: list[int] = []
    while texts[at][:1].isdigit() or (values and texts[at] == ","):
        at += texts[at] == ","
        value, at = integer(tokens, at)
        values.append(value)
    return Directive(name=name, values=tuple(values), span=tokens.span(start, at - 1)), at


def _skip_brackets(tokens: Tokens, at: int) -> int:
    """Return the token after the closing parenthesis of the one at `at`."""
    depth = 0
    while True:
        text = tokens.texts[at]
        if not text:
            raise tokens.error("a parenthesis is never closed", at, "')'")
        depth += (text == "(") - (text == ")")
        at += 1
        if depth <= 0:
            return at
