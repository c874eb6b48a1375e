"""The language of `constraints` and `workgroup_count`: integers and conditions over the axes of a kernel."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NoReturn

from ..errors import ManifestError, SourceText
from .index import Expr, Index, apply, symbol
from .kernel import Constraint

MAX_LENGTH = 400
"""Longest text that is read: keeps the recursion below far from Python's limit."""
MAX_INTEGER = (1 << 63) - 1

Predicate = Literal["eq", "ne", "lt", "le", "gt", "ge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Comparison of two signed 64-bit integers."""

    predicate: Predicate
    left: Index
    right: Index

    def __str__(self) -> str:
        return f"{render_size(self.left)} {PREDICATES[self.predicate][0]} {render_size(self.right)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic:
    """Combination of conditions. All of them may be evaluated: none can trap (`constraint_to_index`)."""

    op: Literal["and", "or", "not"]
    args: tuple[Condition, ...]
    """One for `not`, two or more for the others."""

    def __str__(self) -> str:
        parts = [f"({a})" if isinstance(a, Logic) else str(a) for a in self.args]
        return f"not ({self.args[0]})" if self.op == "not" else f" {self.op} ".join(parts)


Condition = bool | Comparison | Logic
"""A truth value known now, or an expression that yields one at launch."""

PREDICATES: dict[Predicate, tuple[str, Callable[[int, int], bool]]] = {
    "eq": ("==", lambda a, b: a == b),
    "ne": ("!=", lambda a, b: a != b),
    "lt": ("<", lambda a, b: a < b),
    "le": ("<=", lambda a, b: a <= b),
    "gt": (">", lambda a, b: a > b),
    "ge": (">=", lambda a, b: a >= b),
}
FUNCTIONS: dict[str, tuple[int, int]] = {"min": (2, 8), "max": (2, 8), "ceildiv": (2, 2)}
"""Smallest and largest number of arguments of each function."""
RESERVED = frozenset((*FUNCTIONS, "and", "or", "not", "push", "offset"))
"""Words that cannot be the name of an axis."""

# fmt: off
_COMPARE: dict[type[ast.cmpop], Predicate] = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
}
# fmt: on
_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.FloorDiv: "floordiv",
    ast.Mod: "rem",
}
_INFIX = {"add": "+", "sub": "-", "mul": "*", "floordiv": "//", "rem": "%"}
_DIVISIONS = frozenset(("floordiv", "rem", "ceildiv"))
_ALLOWED_SIZE = "integers, axes, + - * // %, min(…), max(…), ceildiv(…, …) and parentheses"
_ALLOWED_CONDITION = f"a condition: comparisons (== != < <= > >=) of {_ALLOWED_SIZE}, joined by and, or, not"


def parse_constraint(text: str, axes: Iterable[str], *, where: str = "") -> Constraint:
    """Parse a condition such as `N % 16 == 0 and K >= 64`. Raises `ManifestError` that points at the column."""
    tree = _Reader(text, frozenset(axes), where, _ALLOWED_CONDITION)
    expression = tree.parse()
    tree.condition(expression)  # (folding may have removed an axis that the text still names)
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return Constraint(text=text, axes=tree.axes & names)


def parse_size(text: str, axes: Iterable[str], *, where: str = "") -> Index:
    """Read an integer such as `ceildiv(N, 64)`; axes become symbols, and a divisor below 1 counts as 1.

    Raises `ManifestError` that points at the column.
    """
    tree = _Reader(text, frozenset(axes), where, _ALLOWED_SIZE)
    return _substitute(tree.size(tree.parse()), {}, [])


def constraint_to_index(constraint: Constraint, axes: Mapping[str, Index]) -> Condition:
    """Return the constraint with each axis replaced by its size, and folded where the sizes are known.

    `floordiv` and `rem` round to negative infinity. No part can trap: a divisor that is not a constant becomes
    `max(divisor, 1)`, beside the condition that it is at least 1. Raises `KeyError` for an axis that has no size.
    """
    divisors: list[Index] = []
    condition = _substitute_condition(_read(constraint.text, constraint.axes), axes, divisors)
    guards: list[Condition] = []
    for divisor in divisors:
        guard = _compare("ge", divisor, 1)
        if guard not in guards:
            guards.append(guard)
    return _join("and", [*guards, condition])


def evaluate_constraint(constraint: Constraint, sizes: Mapping[str, int]) -> bool:
    """Return True if the constraint holds. A division by zero makes it false. Raises `KeyError` for an axis without
    size.
    """
    condition = constraint_to_index(constraint, {name: sizes[name] for name in constraint.axes})
    assert isinstance(condition, bool), condition
    return condition


def describe_sizes(constraint: Constraint, sizes: Mapping[str, Index]) -> str:
    """Format the sizes that a constraint mentions: `K = 100, N = 16`."""
    return ", ".join(f"{name} = {render_size(sizes[name])}" for name in sorted(constraint.axes))


def render_size(value: Index) -> str:
    """Format an integer expression: `ceildiv(N, 64) + 1`."""
    if isinstance(value, int):
        return str(value)
    if value.op in _INFIX:
        left, right = (_operand(a) for a in value.args)
        return f"{left} {_INFIX[value.op]} {right}"
    if value.op in ("push", "symbol"):
        return str(value)
    return f"{value.op}({', '.join(render_size(a) for a in value.args if not isinstance(a, str))})"


def _operand(value: Index | str) -> str:
    assert not isinstance(value, str)
    text = render_size(value)
    return f"({text})" if isinstance(value, Expr) and value.op in _INFIX else text


def _compare(predicate: Predicate, left: Index, right: Index) -> Condition:
    if isinstance(left, int) and isinstance(right, int):
        return PREDICATES[predicate][1](left, right)
    return Comparison(predicate=predicate, left=left, right=right)


def _join(op: Literal["and", "or"], args: Iterable[Condition]) -> Condition:
    """Return the conjunction or disjunction, without neutral parts."""
    neutral, kept = op == "and", list[Condition]()
    for arg in args:
        if isinstance(arg, bool):
            if arg != neutral:
                return arg
        else:
            kept.append(arg)
    if len(kept) <= 1:
        return kept[0] if kept else neutral
    return Logic(op=op, args=tuple(kept))


@lru_cache(maxsize=4096)
def _read(text: str, axes: frozenset[str]) -> Condition:
    tree = _Reader(text, axes, "", _ALLOWED_CONDITION)
    return tree.condition(tree.parse())


def _substitute(value: Index, axes: Mapping[str, Index], divisors: list[Index]) -> Index:
    """Return `value` with axes replaced and folded; divisors that are not constant are made safe and added to
    `divisors`.
    """
    if isinstance(value, int):
        return value
    if value.op == "symbol":
        return axes[str(value.args[0])] if axes else value
    args = [_substitute(a, axes, divisors) for a in value.args if not isinstance(a, str)]
    if value.op in _DIVISIONS and not (isinstance(value.args[1], int) and value.args[1] >= 1):
        divisors.append(args[1])
        args[1] = apply("max", args[1], 1)
    return apply(value.op, *args)


def _substitute_condition(condition: Condition, axes: Mapping[str, Index], divisors: list[Index]) -> Condition:
    match condition:
        case Comparison(predicate=predicate, left=left, right=right):
            return _compare(predicate, _substitute(left, axes, divisors), _substitute(right, axes, divisors))
        case Logic(op="not", args=(inner,)):
            value = _substitute_condition(inner, axes, divisors)
            return not value if isinstance(value, bool) else Logic(op="not", args=(value,))
        case Logic(op="and" | "or" as op, args=args):
            return _join(op, [_substitute_condition(a, axes, divisors) for a in args])
    assert isinstance(condition, bool)
    return condition


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reader of a subset of Python's grammar."""

    text: str
    axes: frozenset[str]
    where: str
    allowed: str

    def parse(self) -> ast.expr:
        if len(self.text) > MAX_LENGTH:
            self._fail(f"an expression of {len(self.text)} characters is too long", 0, f"at most {MAX_LENGTH}")
        if not self.text.strip():
            self._fail("an empty expression", 0)
        # a line break would end the expression for Python; here it is white space
        line = self.text.replace("\n", " ").replace("\r", " ")
        start = len(line) - len(line.lstrip())
        try:
            tree = ast.parse(line.lstrip(), mode="eval").body
        except SyntaxError as error:
            column = start + max((error.offset or 1) - 1, 0)
            lone = re.search(r"(?<![=!<>])=(?!=)", line)  # Python's message is about assignments here
            if lone:
                self._fail("`=` is not a comparison", lone.start(), "`==`")
            self._fail(f"cannot be parsed: {error.msg}", min(column, len(line)))
        except ValueError as error:  # a null byte, before Python 3.12
            self._fail(f"cannot be parsed: {error}", 0)
        return tree

    def condition(self, node: ast.expr) -> Condition:
        match node:
            case ast.Compare(left=first, ops=ops, comparators=rest):
                if any(type(op) not in _COMPARE for op in ops):
                    self._refuse(node, "this comparison")
                values = [self.size(v) for v in (first, *rest)]
                pairs = zip(ops, values, values[1:], strict=False)
                return _join("and", [_compare(_COMPARE[type(op)], left, right) for op, left, right in pairs])
            case ast.BoolOp(op=op, values=nodes):
                return _join("and" if isinstance(op, ast.And) else "or", [self.condition(n) for n in nodes])
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                value = self.condition(inner)
                return not value if isinstance(value, bool) else Logic(op="not", args=(value,))
            case ast.Name() | ast.Constant() | ast.BinOp() | ast.Call():
                if not isinstance(node, ast.Constant) or type(node.value) is int:
                    self.size(node)
                    self._fail(f"`{self._text(node)}` is a number, not a condition", self._column(node))
        self._refuse(node, f"`{self._text(node)}`")

    def size(self, node: ast.expr) -> Index:
        match node:
            case ast.Constant(value=value) if type(value) is int:  # not bool, which is an int too
                if value > MAX_INTEGER:
                    self._fail("the integer does not fit 64 bits", self._column(node), f"at most {MAX_INTEGER}")
                return value
            case ast.Name(id=name):
                if name not in self.axes:
                    self._unknown(node, name)
                return symbol(name)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return apply("sub", 0, self.size(inner))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return self._apply(_BINARY[type(op)], [left, right])
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
                fewest, most = FUNCTIONS[name]
                if not fewest <= len(args) <= most:
                    count = str(fewest) if fewest == most else f"{fewest} to {most}"
                    what = f"`{name}` has {len(args)} argument{'s' * (len(args) != 1)}"
                    self._fail(what, self._column(node), f"{count} arguments")
                return self._apply(name, args)
            case ast.BinOp(op=ast.Div()):
                self._fail("`/` is not an integer division", self._column(node.left), "`//` or `ceildiv(…, …)`")
        self._refuse(node, f"`{self._text(node)}`")

    def _apply(self, op: str, nodes: list[ast.expr]) -> Index:
        args = [self.size(n) for n in nodes]
        if op in _DIVISIONS and isinstance(args[1], int) and args[1] < 1:
            self._fail(f"a division by {args[1]}", self._column(nodes[1]), "a divisor of at least 1")
        if op in ("min", "max"):  # two at a time, as every consumer of an index expects
            value = args[0]
            for arg in args[1:]:
                value = apply(op, value, arg)
            return value
        return apply(op, *args)

    def _unknown(self, node: ast.expr, name: str) -> NoReturn:
        close = difflib.get_close_matches(name, [*self.axes, *FUNCTIONS], n=1, cutoff=0.5)
        same = [axis for axis in self.axes if axis.lower() == name.lower()]
        hint = f"did you mean `{(same or close)[0]}`?" if same or close else ""
        known = ", ".join(sorted(self.axes)) or "no axes: the kernel has no operands"
        self._fail(f"unknown axis `{name}`", self._column(node), f"one of {known}" if self.axes else known, hint)

    def _refuse(self, node: ast.expr, what: str) -> NoReturn:
        self._fail(f"{what} is not allowed here", self._column(node))

    def _fail(self, what: str, column: int, expected: str = "", next_step: str = "") -> NoReturn:
        source = SourceText(line=1, column=column + 1, text=self.text.replace("\n", " ").replace("\r", " "))
        raise ManifestError(
            what, where=self.where, expected=expected or self.allowed, next_step=next_step, source=source
        )

    def _column(self, node: ast.expr) -> int:
        """Return the position in `text`; `ast` counts bytes of UTF-8."""
        start = len(self.text) - len(self.text.lstrip())
        return start + len(self.text.lstrip().encode()[: node.col_offset].decode(errors="replace"))

    def _text(self, node: ast.expr) -> str:
        start, stop = node.col_offset, node.end_col_offset
        return self.text.lstrip().encode()[start:stop].decode(errors="replace")
