"""The language of `[parameters]`: conditions over real numbers, which are parameters and sizes of axes."""

from __future__ import annotations

import ast
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from ..errors import ManifestError, SourceText
from .kernel import Condition
from .parameter import encode, round_to

MAX_LENGTH = 400
"""Longest text that is read: keeps the recursion below far from Python's limit."""
FUNCTIONS: dict[str, tuple[int, int, Callable[..., float]]] = {
    "abs": (1, 1, abs),
    "exp": (1, 1, math.exp),
    "log": (1, 1, math.log),
    "max": (2, 8, max),
    "min": (2, 8, min),
    "sqrt": (1, 1, math.sqrt),
}
"""Smallest and largest number of arguments of each function, and its implementation."""
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ALLOWED = (
    "comparisons (== != < <= > >=) of numbers, parameters and axes with + - * / // % **, "
    f"{', '.join(FUNCTIONS)} and parentheses, joined by and, or, not"
)

Types = Mapping[str, str]
"""Type of each parameter by its name."""


def parse_condition(text: str, names: Iterable[str]) -> Condition:
    """Parse a condition such as `scale == 1 / sqrt(D)`. Raises `ManifestError` that points at the column."""
    known = frozenset(names)
    if len(text) > MAX_LENGTH:
        _fail(text, f"an expression of {len(text)} characters is too long", 0, f"at most {MAX_LENGTH}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        column = max((getattr(error, "offset", 1) or 1) - 1, 0)
        _fail(text, f"cannot be parsed: {getattr(error, 'msg', error)}", min(column, len(text)))
    _check_condition(text, tree, known)
    return Condition(text=text, names=known & {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})


def evaluate_condition(condition: Condition, values: Mapping[str, float], types: Types) -> bool:
    """Return True if the condition holds; a condition that cannot be computed (a division by zero) does not.

    A parameter equals a number that it differs from by one unit in the last place of its type at most: `1 / sqrt(D)` is
    computed in many ways. Raises `KeyError` for a name without a value.
    """
    tree = ast.parse(condition.text.strip(), mode="eval").body
    try:
        return _holds(tree, values, types)
    except (ArithmeticError, ValueError, TypeError):
        return False


def evaluate_number(text: str, values: Mapping[str, float]) -> float | None:
    """Return the value of an expression, or None if it has none."""
    try:
        number = _number(ast.parse(text.strip(), mode="eval").body, values)
    except (ArithmeticError, ValueError, TypeError, KeyError, SyntaxError):
        return None
    return number


def list_bounds(condition: Condition, name: str) -> list[str]:
    """Return the expressions that a condition compares a parameter with."""
    found: list[str] = []
    for node in ast.walk(ast.parse(condition.text.strip(), mode="eval")):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, right in itertools.pairwise(sides):
                for side, other in ((left, right), (right, left)):
                    if isinstance(side, ast.Name) and side.id == name:
                        found.append(ast.unparse(other))
    return found


def _holds(node: ast.expr, values: Mapping[str, float], types: Types) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=nodes):
            return all(_holds(n, values, types) for n in nodes)
        case ast.BoolOp(values=nodes):
            return any(_holds(n, values, types) for n in nodes)
        case ast.UnaryOp(operand=inner):
            return not _holds(inner, values, types)
        case ast.Compare(left=first, ops=ops, comparators=rest):
            sides = (first, *rest)
            return all(_compare(op, a, b, values, types) for op, a, b in zip(ops, sides, rest, strict=False))
    raise TypeError(ast.dump(node))


def _compare(op: ast.cmpop, left: ast.expr, right: ast.expr, values: Mapping[str, float], types: Types) -> bool:
    a, b = _number(left, values), _number(right, values)
    floats = [
        types[side.id]
        for side in (left, right)
        if isinstance(side, ast.Name) and types.get(side.id, "i64")[0] in "fb" and math.isfinite(a) and math.isfinite(b)
    ]
    if not floats or isinstance(op, ast.Lt | ast.Gt):
        return _COMPARISONS[type(op)](a, b)
    equal = any(_nearly_equal(a, b, type_) for type_ in floats)
    if isinstance(op, ast.Eq | ast.NotEq):
        return equal is isinstance(op, ast.Eq)
    return equal or _COMPARISONS[type(op)](a, b)


def _nearly_equal(a: float, b: float, type_: str) -> bool:
    """Return True for numbers that are equal in a type, or neighbours of one sign."""
    x, y = round_to(a, type_), round_to(b, type_)
    return x == y or (x * y > 0 and abs(encode(x, type_) - encode(y, type_)) <= 1)


def _number(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_number(inner, values)
        case ast.BinOp(left=left, op=op, right=right):
            number = _OPERATORS[type(op)](_number(left, values), _number(right, values))
            if isinstance(number, complex):
                raise ValueError("a power with no real value")
            return number
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name][2](*(_number(arg, values) for arg in args))
    raise TypeError(ast.dump(node))


def _check_condition(text: str, node: ast.expr, names: frozenset[str]) -> None:
    match node:
        case ast.BoolOp(values=nodes):
            for part in nodes:
                _check_condition(text, part, names)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            _check_condition(text, inner, names)
        case ast.Compare(left=first, ops=ops, comparators=rest) if all(type(op) in _COMPARISONS for op in ops):
            for part in (first, *rest):
                _check_number(text, part, names)
        case _:
            _fail(text, f"`{_spelling(text, node)}` is no condition", node.col_offset)


def _check_number(text: str, node: ast.expr, names: frozenset[str]) -> None:
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return
        case ast.Name(id=name):
            if name not in names:
                known = ", ".join(sorted(names))
                _fail(text, f"unknown name `{name}`", node.col_offset, f"a parameter or an axis: {known}")
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            _check_number(text, inner, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check_number(text, left, names)
            _check_number(text, right, names)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            fewest, most, _ = FUNCTIONS[name]
            if not fewest <= len(args) <= most:
                count = str(fewest) if fewest == most else f"{fewest} to {most}"
                _fail(text, f"`{name}` has {len(args)} arguments", node.col_offset, f"{count} arguments")
            for arg in args:
                _check_number(text, arg, names)
        case _:
            _fail(text, f"`{_spelling(text, node)}` is not allowed here", node.col_offset)


def _spelling(text: str, node: ast.expr) -> str:
    return text.strip().encode()[node.col_offset : node.end_col_offset].decode(errors="replace")


def _fail(text: str, what: str, column: int, expected: str = "") -> NoReturn:
    start = len(text) - len(text.lstrip())
    source = SourceText(line=1, column=start + column + 1, text=text.replace("\n", " "))
    raise ManifestError(what, expected=expected or _ALLOWED, source=source)
