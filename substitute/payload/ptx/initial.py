"""Initialisers of variables, and parsing steps that all declarations share.

Source: PTX ISA 9.0, 5.4.4 "Initializers".
"""

from __future__ import annotations

from .operands import MAX_NESTING, integer, number
from .syntax import Float, Initial
from .tokens import Tokens


def read_initial(tokens: Tokens, at: int, out: list[int | Float | Initial], depth: int = 0) -> int:
    """Read an initialiser, nested braces flattened. Return the token after it."""
    texts = tokens.texts
    if texts[at] != "{":
        return _initial_value(tokens, at, out)
    if depth > MAX_NESTING:
        raise tokens.error("braces are nested too deeply", at, f"at most {MAX_NESTING} levels")
    at += 1
    while texts[at] != "}":
        at = read_initial(tokens, at, out, depth + 1)
        if texts[at] == ",":
            at += 1
        elif texts[at] != "}":
            raise tokens.error("an initialiser cannot be read", at, "',' or '}'")
    return at + 1


def _initial_value(tokens: Tokens, at: int, out: list[int | Float | Initial]) -> int:
    texts = tokens.texts
    text = texts[at]
    if text == "generic" and texts[at + 1] == "(":
        symbol, at = _initial_symbol(tokens, at + 2)
        at = expect(tokens, at, ")", "an initialiser cannot be read")
        offset, at = _tail(tokens, at)
        out.append(Initial(symbol=symbol, offset=offset, generic=True))
    elif text[:1].isalpha() or text[:1] in ("_", "$", "%"):
        symbol, at = _initial_symbol(tokens, at)
        offset, at = _tail(tokens, at)
        out.append(Initial(symbol=symbol, offset=offset))
    elif text[:1].isdigit() and texts[at + 1] == "(":  # 0xFF(x): one byte of an address
        mask, _ = integer(tokens, at)
        generic = texts[at + 2] == "generic"
        symbol, at = _initial_symbol(tokens, at + (4 if generic else 2))
        at = expect(tokens, at, ")", "an initialiser cannot be read")
        if generic:
            at = expect(tokens, at, ")", "an initialiser cannot be read")
        out.append(Initial(symbol=symbol, mask=mask, generic=generic))
    else:
        value = number(texts[at + (text == "-")]) if text[:1].isdigit() or text == "-" else None
        if isinstance(value, Float):
            if text == "-":
                value = Float(-value.value, value.bits ^ (1 << (value.width - 1)), value.width)
            out.append(value)
            return at + 1 + (text == "-")
        constant, at = integer(tokens, at)
        out.append(constant)
    return at


def _initial_symbol(tokens: Tokens, at: int) -> tuple[str, int]:
    return name_at(tokens, at), at + 1


def _tail(tokens: Tokens, at: int) -> tuple[int, int]:
    """Read `+ 8` after a symbol."""
    text = tokens.texts[at]
    if text not in ("+", "-"):
        return 0, at
    value, at = integer(tokens, at + 1)
    return (value if text == "+" else -value), at


def name_at(tokens: Tokens, at: int) -> str:
    """Return the name at a token. Raises `PayloadError` if it is none."""
    text = tokens.texts[at]
    if not text or not (text[0].isalpha() or text[0] in "_$%"):
        raise tokens.error("a name is missing", at, "a name")
    return text


def expect(tokens: Tokens, at: int, text: str, what: str) -> int:
    """Return the token after this text. Raises `PayloadError` for another text."""
    if tokens.texts[at] != text:
        raise tokens.error(what, at, f"'{text}'")
    return at + 1
