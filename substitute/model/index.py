"""Integers known at launch: sizes, offsets and strides as constants or expressions over push constants and axes."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MASK_64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Expr:
    """An integer that is only known when the dispatch is launched.

    `str(expr)` is a Python-like expression and `parse(str(expr)) == expr`.
    """

    op: str
    """`push` (a 32-bit push constant), `symbol` (a named axis), or one of `FUNCTIONS`."""
    args: tuple[Index | str, ...]
    """`(ordinal,)` of a push, `(name,)` of a symbol, else the operands."""

    def __str__(self) -> str:
        if self.op == "push":
            return f"push({self.args[0]})"
        if self.op == "symbol":
            return str(self.args[0])
        name = f"{self.op}_" if keyword.iskeyword(self.op) else self.op
        return f"{name}({', '.join(str(a) for a in self.args)})"


Index = int | Expr
"""A constant, or an expression."""

FUNCTIONS: dict[str, Callable[..., int]] = {
    "u64": lambda low, high: (low | (high << 32)) & MASK_64,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b,
    "ceildiv": lambda a, b: -(-a // b),
    "rem": lambda a, b: a % b,
    "min": min,
    "max": max,
    "shl": lambda a, b: (a << b) & MASK_64,
    "shr": lambda a, b: a >> b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "trunc32": lambda a: a & 0xFFFFFFFF,
    "sext32": lambda a: ((a & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000,
}


def push(ordinal: int) -> Expr:
    """Push constant `ordinal`, a 32-bit word read without sign."""
    return Expr("push", (ordinal,))


def symbol(name: str) -> Expr:
    """Return a named axis of a kernel's definition."""
    return Expr("symbol", (name,))


def apply(op: str, *args: Index) -> Index:
    """Return `op(*args)`, folded where all arguments are constants and simplified where one is neutral."""
    constants = [a for a in args if isinstance(a, int)]
    if len(constants) == len(args):
        return FUNCTIONS[op](*constants)
    if op in ("add", "mul") and len(args) == 2:
        a, b = args
        if isinstance(a, int):
            a, b = b, a  # constants come last, so that equal expressions are equal data
        if b == (0 if op == "add" else 1):
            return a
        if op == "mul" and b == 0:
            return 0
        return Expr(op, (a, b))
    if op in ("sub", "shl", "shr") and args[1] == 0:
        return args[0]
    if op in ("floordiv", "ceildiv") and args[1] == 1:
        return args[0]
    return Expr(op, tuple(args))


def add(a: Index, b: Index) -> Index:
    """Return `a + b`, simplified."""
    return apply("add", a, b)


def mul(a: Index, b: Index) -> Index:
    """Return `a · b`, simplified."""
    return apply("mul", a, b)


def product(values: tuple[Index, ...]) -> Index:
    """Return the product of all values, 1 for none."""
    result: Index = 1
    for value in values:
        result = mul(result, value)
    return result


def evaluate(value: Index, push_constants: tuple[int, ...] = (), symbols: Mapping[str, int] | None = None) -> int:
    """Evaluate `value` for these push constants and axes. Raises `KeyError` or `IndexError` for unknown ones."""
    if isinstance(value, int):
        return value
    if value.op == "push":
        return push_constants[int(value.args[0])]  # type: ignore[arg-type]
    if value.op == "symbol":
        return (symbols or {})[str(value.args[0])]
    args = [evaluate(a, push_constants, symbols) for a in value.args]  # type: ignore[arg-type]
    return FUNCTIONS[value.op](*args)


def substitute(value: Index, symbols: Mapping[str, Index]) -> Index:
    """Return `value` with each symbol of the mapping replaced, folded again."""
    if isinstance(value, int) or value.op == "push":
        return value
    if value.op == "symbol":
        return symbols.get(str(value.args[0]), value)
    return apply(value.op, *(substitute(a, symbols) for a in value.args if not isinstance(a, str)))


def leaves(value: Index) -> frozenset[Expr]:
    """Return the push constants and symbols that `value` depends on."""
    if isinstance(value, int):
        return frozenset()
    if value.op in ("push", "symbol"):
        return frozenset((value,))
    return frozenset().union(*(leaves(a) for a in value.args))  # type: ignore[arg-type]


def parse(text: str) -> Index:
    """Parse the text of an index. Raises `ValueError` for anything else."""
    try:
        return _from_ast(ast.parse(text, mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"not an index expression: {text!r}") from error


def _from_ast(node: ast.expr) -> Index:
    match node:
        case ast.Constant(value=int() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)):
            return -number
        case ast.Name(id=name):
            return symbol(name)
        case ast.Call(func=ast.Name(id="push"), args=[ast.Constant(value=int() as ordinal)]):
            return push(ordinal)
        case ast.Call(func=ast.Name(id=name), args=args) if name.removesuffix("_") in FUNCTIONS:
            return Expr(name.removesuffix("_"), tuple(_from_ast(a) for a in args))
    raise ValueError(f"not an index expression: {ast.unparse(node)!r}")
