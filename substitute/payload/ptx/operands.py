"""Operands of instructions and constant expressions.

Source: PTX ISA 9.0, 4.5 "Constants" (literals, constant expressions), 6 "Instruction Operands".
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ...errors import PayloadError
from .scopes import Scope
from .syntax import (
    Address,
    Arguments,
    Element,
    Float,
    Integer,
    Negated,
    Operand,
    Pair,
    Register,
    Symbol,
    Vector,
)
from .tokens import Tokens


def _divide(a: int, b: int) -> int:
    """Divide towards zero; a division by zero gives 0."""
    if not b:
        return 0
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_BINARY: tuple[dict[str, Callable[[int, int], int]], ...] = (
    {"||": lambda a, b: int(bool(a or b))},
    {"&&": lambda a, b: int(bool(a and b))},
    {"|": lambda a, b: a | b},
    {"^": lambda a, b: a ^ b},
    {"&": lambda a, b: a & b},
    {"==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b)},
    {
        "<=": lambda a, b: int(a <= b),
        ">=": lambda a, b: int(a >= b),
        "<": lambda a, b: int(a < b),
        ">": lambda a, b: int(a > b),
    },
    {"<<": lambda a, b: a << (b & 63), ">>": lambda a, b: a >> (b & 63)},
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": _divide, "%": lambda a, b: a - _divide(a, b) * b},
)
"""Binary operators by increasing precedence."""
_SUM = len(_BINARY) - 2
"""The level of sums."""
_LONG = frozenset({"||", "&&", "==", "!=", "<=", ">=", "<<", ">>"})
_CASTS = (".s64", ".u64")
MAX_NESTING = 32
"""Limit of nested brackets; real PTX has two levels."""


def number(text: str) -> Integer | Float | None:
    """Return a literal; None if the text is none."""
    prefix = text[:2].lower()
    try:
        if prefix in ("0x", "0b"):
            return Integer(int(text.rstrip("U"), 0))
        if prefix == "0f":
            bits = int(text[2:], 16)
            return Float(struct.unpack(">f", bits.to_bytes(4, "big"))[0], bits, 32)
        if prefix == "0d":
            bits = int(text[2:], 16)
            return Float(struct.unpack(">d", bits.to_bytes(8, "big"))[0], bits, 64)
        digits = text.rstrip("U")
        if digits.isdigit():
            return Integer(int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10))
        return decimal(float(text))
    except (ValueError, OverflowError):
        return None


def decimal(value: float) -> Float:
    """Return a constant in double precision."""
    return Float(value, int.from_bytes(struct.pack(">d", value), "big"), 64)


def wrapped(value: int, type_: str) -> int:
    """Return an integer wrapped to 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if type_ == "s64" and value >> 63 else value


class OperandParser:
    """Parser of one operand at a time; `at` is the next token."""

    __slots__ = ("_depth", "at", "calls", "scope", "tokens", "unresolved")

    def __init__(self, tokens: Tokens, scope: Scope) -> None:
        self.tokens, self.scope = tokens, scope
        self.at = 0
        self.unresolved = False
        """True if an undeclared name was met."""
        self._depth = 0
        self.calls = False
        """True if parentheses are lists of arguments rather than constants."""

    def operand(self) -> Operand:
        """Return the operand at `at`, which moves past it."""
        texts, at = self.tokens.texts, self.at
        text = texts[at]
        if text == "[":
            return self._address()
        if text == "{" or (text == "(" and self.calls):
            return self._list(text)
        if text == "!":
            return self._negated()
        first = self._simple()
        follows = texts[self.at]
        if follows == "|":
            self.at += 1
            return Pair(first, self._simple())
        if isinstance(first, Symbol) and follows == "[":
            return self._element(first)
        if isinstance(first, Symbol) and follows in ("+", "-"):
            return Symbol(first.name, first.kind, self._offset())
        return first

    def _simple(self) -> Operand:
        """Return a register, a symbol or a constant."""
        text = self.tokens.texts[self.at]
        if text and (text[0].isdigit() or text in ("-", "~", "+", "(")):
            return self._constant()
        if not text or not (text[0].isalpha() or text[0] in "_$%"):
            raise self.tokens.error("an operand cannot be read", self.at, "a register, a constant, [address] or {…}")
        self.at += 1
        return self._name(text)

    def _name(self, text: str) -> Operand:
        found = self.scope.find(text)
        if found is None:
            self.unresolved = True
            return Symbol(text, "unknown")
        return found

    def _constant(self) -> Operand:
        """Return a literal, with a sign, or an expression of integers."""
        texts, start = self.tokens.texts, self.at
        sign = -1 if texts[start] == "-" else 1
        at = start + (texts[start] in ("-", "+"))
        value = number(texts[at]) if texts[at][:1].isdigit() else None
        if value is not None and texts[at + 1] in (",", ";", "]", "}", ")", "|"):
            self.at = at + 1
            if isinstance(value, Integer):
                return value if sign > 0 else Integer(-value.value)
            if sign > 0:
                return value
            return Float(-value.value, value.bits ^ (1 << (value.width - 1)), value.width)
        return Integer(self.expression())

    def expression(self, level: int = 0) -> int:
        """Return the value of a constant expression of integers."""
        if level == len(_BINARY):
            return self._unary()
        value = self.expression(level + 1)
        if level == 0:
            return self._choice(value)
        return self._chain(level, value)

    def _chain(self, level: int, value: int) -> int:
        """Apply further operands of operators of equal precedence."""
        while True:
            operator = self._operator(level)
            if not operator:
                return value
            value = _BINARY[level][operator](value, self.expression(level + 1))

    def _choice(self, value: int) -> int:
        """Read `? b : c` after a condition."""
        value = self._chain(0, value)
        if self.tokens.texts[self.at] != "?":
            return value
        self._enter()
        self.at += 1
        chosen = self.expression()
        self._expect(":")
        other = self.expression()
        self._depth -= 1
        return chosen if value else other

    def _operator(self, level: int) -> str:
        texts, at = self.tokens.texts, self.at
        first, both = texts[at], texts[at] + texts[at + 1]
        for text in _BINARY[level]:
            if text == both or (text == first and both not in _LONG):
                self.at += len(text)
                return text
        return ""

    def _unary(self) -> int:
        text = self.tokens.texts[self.at]
        if text in ("-", "~", "+", "!"):
            self._enter()
            self.at += 1
            value = self._unary()
            self._depth -= 1
            return {"-": -value, "~": ~value, "+": value, "!": int(not value)}[text]
        if text == "(" and self.tokens.texts[self.at + 1] in _CASTS:
            cast = self.tokens.texts[self.at + 1]
            self.at += 2
            self._expect(")")
            return wrapped(self._unary(), cast[1:])
        if text == "(":
            self._enter()
            self.at += 1
            value = self.expression()
            self._expect(")")
            self._depth -= 1
            return value
        value_at = self.at
        literal = number(text) if text[:1].isdigit() else None
        if not isinstance(literal, Integer):
            raise self.tokens.error("a constant cannot be read", value_at, "an integer")
        self.at += 1
        return literal.value

    def _address(self) -> Address:
        texts = self.tokens.texts
        self.at += 1
        base = self._simple()
        if isinstance(base, Vector) or not isinstance(base, (Register, Symbol, Integer)):
            raise self.tokens.error("an address cannot be read", self.at - 1, "[register + constant] or [variable]")
        offset, coordinates = 0, None
        if texts[self.at] in ("+", "-"):
            offset = self._offset()
        if texts[self.at] == ",":
            self.at += 1
            found = self._list("{") if texts[self.at] == "{" else Vector((self._simple(),))
            coordinates = found if isinstance(found, Vector) else None
        self._expect("]")
        return Address(base, offset, coordinates)

    def _element(self, base: Symbol) -> Element:
        """Read `table[2]`, `table[%r]`, `table[%r + 1]`: elements of the variable's scalar type, as ptxas counts
        them.
        """
        size = self.scope.element_bytes(base.name)
        if not size:
            raise self.tokens.error(f"{base.name} has no elements", self.at, "the name of a variable")
        self.at += 1
        text = self.tokens.texts[self.at]
        index = self.scope.find(text) if text[:1].isalpha() or text[:1] in ("_", "$", "%") else None
        offset = 0
        if isinstance(index, Register):
            self.at += 1
            if self.tokens.texts[self.at] in ("+", "-"):
                offset = self._offset()
        elif index is not None or not text:
            raise self.tokens.error("an element's number cannot be read", self.at, "a constant or a register")
        else:
            offset = self.expression()
        self._expect("]")
        return Element(base, index if isinstance(index, Register) else None, offset * size, size)

    def _offset(self) -> int:
        """Read `+ 4`, `- 4`, `+ -4`."""
        sign = -1 if self.tokens.texts[self.at] == "-" else 1
        self.at += 1
        return sign * self.expression()

    def _list(self, opened: str) -> Vector | Arguments:
        texts = self.tokens.texts
        closer = "}" if opened == "{" else ")"
        elements: list[Operand] = []
        calls, self.calls = self.calls, False
        self._enter()
        self.at += 1
        while texts[self.at] != closer:
            elements.append(self.operand())
            if texts[self.at] == ",":
                self.at += 1
            elif texts[self.at] != closer:
                raise self.tokens.error("a list of operands cannot be read", self.at, f"',' or '{closer}'")
        self.at += 1
        self._depth -= 1
        self.calls = calls
        return Vector(tuple(elements)) if opened == "{" else Arguments(tuple(elements))

    def _negated(self) -> Operand:
        self.at += 1
        found = self._simple()
        if isinstance(found, Integer):
            return Integer(int(not found.value))
        if isinstance(found, Register):
            return Negated(found)
        if isinstance(found, Symbol):
            return found
        raise self.tokens.error("'!' stands before something that has no inverse", self.at - 1, "a predicate register")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self.tokens.error("brackets are nested too deeply", self.at, f"at most {MAX_NESTING} levels")

    def _expect(self, text: str) -> None:
        if self.tokens.texts[self.at] != text:
            raise self.tokens.error("an operand cannot be read", self.at, f"'{text}'")
        self.at += 1


def integer(tokens: Tokens, at: int, *, in_angles: bool = False) -> tuple[int, int]:
    """Return a constant expression at token `at`, and the token after it; in angles `>` ends it. Raises
    `PayloadError`.
    """
    parser = OperandParser(tokens, Scope())
    parser.at = at
    try:
        return parser.expression(_SUM if in_angles else 0), parser.at
    except RecursionError:
        raise tokens.error("a constant is nested too deeply", at, "an integer") from None


__all__ = ["MAX_NESTING", "OperandParser", "PayloadError", "decimal", "integer", "number"]
