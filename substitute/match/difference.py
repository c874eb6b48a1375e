"""The first place where the scalar bodies of two loop nests differ, with types and values."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..model.dispatch import Nest
from ..model.ops import COMMUTATIVE
from ..model.scalar import Scalar

_DEPTH = 2
"""Levels of operations below the differing one that a message shows."""
_LONGEST = 100
"""Length of the expression that is shown around the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Subgraph of a definition and the different one at the same place of the dispatch."""

    expected: str
    found: str
    at_root: bool = False
    """True if the results themselves differ, rather than operands that they are computed from."""


def find_difference(pattern: Nest, nest: Nest, names: Sequence[str], *, prologue: bool, what: str = "") -> Difference:
    """Return the first difference between a definition's body and a dispatch's that cannot be unified.

    `names` are those of the definition's reads; `what` names the bodies in messages. Operands of commutative operations
    are compared in the order in which more of them agree.
    """
    return _Comparison(pattern=pattern, nest=nest, names=names, prologue=prologue).difference(what)


def count_agreement(pattern: Nest, nest: Nest, *, prologue: bool) -> int:
    """Return the number of nodes of a definition's body that agree with a dispatch's."""
    comparison = _Comparison(pattern=pattern, nest=nest, names=(), prologue=prologue)
    pairs = zip(pattern.expr.results, nest.expr.results, strict=False)
    return sum(comparison.agreement(p, g) for p, g in pairs)


def describe_expression(nest: Nest, at: int, names: Sequence[str] = (), depth: int = _DEPTH) -> str:
    """Format a node: `addf(mulf(a, b), 1.5)`, with `…` below the depth limit."""
    node = nest.expr.nodes[at]
    if node.op == "read":
        return names[node.attribute] if names and isinstance(node.attribute, int) else f"in{node.attribute}"
    if node.op == "constant":
        return describe_number(node.attribute, node.type)
    if node.op == "parameter":
        return f"parameter {node.attribute}"
    if node.op == "index":
        return f"index of loop d{node.attribute}"
    if not node.operands:
        return str(node.attribute)
    below = (describe_expression(nest, o, names, depth - 1) for o in node.operands)
    inner = ", ".join(below) if depth > 0 else "…"
    op = node.op.partition(".")[2] or node.op
    attribute = f" {node.attribute}" if node.op != "gather" and node.attribute is not None else ""
    return f"{op}{attribute}({inner})"


def describe_number(value: object, type_: str) -> str:
    """Return the shortest decimal that is this number in its type, so that different numbers have different texts."""
    if not isinstance(value, float):
        return str(value)
    code = {"f16": "e", "bf16": "f", "f32": "f"}.get(type_, "d")
    try:
        wanted = struct.pack(code, value)
        short = (f"{value:.{digits}g}" for digits in range(1, 18))
        text = next(text for text in short if struct.pack(code, float(text)) == wanted)
        return f"{text}.0" if text.lstrip("-").isdigit() else text
    except (OverflowError, StopIteration, struct.error):
        return repr(value)


@dataclass(slots=True, kw_only=True)
class _Comparison:
    pattern: Nest
    nest: Nest
    names: Sequence[str]
    prologue: bool
    _agreement: dict[tuple[int, int], int] = field(default_factory=dict)

    def difference(self, what: str) -> Difference:
        wanted, found = self.pattern.expr, self.nest.expr
        if len(wanted.results) != len(found.results):
            return Difference(expected=f"{len(wanted.results)} results", found=str(len(found.results)))
        if self.pattern.combiner != self.nest.combiner:
            return Difference(expected=self.pattern.combiner, found=self.nest.combiner)
        bound: list[tuple[int, int]] = []
        for p, g in zip(wanted.results, found.results, strict=True):
            place = self._first(p, g, None, bound)
            if place is not None:
                return self._words(*place, what)
        return self._conflict(bound)

    def agreement(self, p: int, g: int) -> int:
        """Return the number of nodes at and below `p` that agree with those at and below `g`."""
        if (p, g) not in self._agreement:
            wanted, found = self.pattern.expr.nodes[p], self.nest.expr.nodes[g]
            alike = self._alike(wanted, found)
            below = self._order(wanted, found) if alike and wanted.op != "read" else ()
            self._agreement[p, g] = int(alike) + sum(
                self.agreement(a, b) for a, b in zip(wanted.operands, below, strict=False)
            )
        return self._agreement[p, g]

    def _alike(self, wanted: Scalar, found: Scalar) -> bool:
        if wanted.type != found.type:
            return False
        if wanted.op == "read":
            return self.prologue or found.op == "read"
        if wanted.op != found.op or len(wanted.operands) != len(found.operands):
            return False
        return wanted.op in ("gather", "index") or repr(wanted.attribute) == repr(found.attribute)

    def _order(self, wanted: Scalar, found: Scalar) -> tuple[int, ...]:
        """Return the dispatch's operands in the order in which most of them agree."""
        if wanted.op not in COMMUTATIVE:
            return found.operands
        orders = (found.operands, found.operands[::-1])
        return max(orders, key=lambda o: sum(self.agreement(a, b) for a, b in zip(wanted.operands, o, strict=True)))

    def _first(
        self, p: int, g: int, above: tuple[int, int] | None, bound: list[tuple[int, int]]
    ) -> tuple[int, int, tuple[int, int] | None] | None:
        """Return the first pair of nodes that differ, and the pair above them."""
        wanted, found = self.pattern.expr.nodes[p], self.nest.expr.nodes[g]
        if not self._alike(wanted, found):
            return p, g, above
        if wanted.op in ("read", "gather"):
            bound.append((p, g))
        if wanted.op == "read":
            return None
        for a, b in zip(wanted.operands, self._order(wanted, found), strict=True):
            place = self._first(a, b, (p, g), bound)
            if place is not None:
                return place
        return None

    def _words(self, p: int, g: int, above: tuple[int, int] | None, what: str) -> Difference:
        wanted, found = self.pattern.expr.nodes[p], self.nest.expr.nodes[g]
        expected = f"{describe_expression(self.pattern, p, self.names)} : {wanted.type}"
        actual = f"{describe_expression(self.nest, g)} : {found.type}"
        if wanted.op == "read" and found.op != "read" and wanted.type == found.type:
            source = self.pattern.reads[int(str(wanted.attribute))].source
            expected += " as it is" if isinstance(source, int) else " as it lies in memory"
        if above is not None:
            around = (
                describe_expression(self.pattern, above[0], self.names, 1),
                describe_expression(self.nest, above[1], (), 1),
            )
            expected, actual = f"{expected}, in {around[0]}", f"{actual}, in {around[1]}"
        elif what:
            expected, actual = f"{what} {expected}", f"{what} {actual}"
        return Difference(expected=_cut(expected), found=_cut(actual), at_root=above is None)

    def _conflict(self, bound: list[tuple[int, int]]) -> Difference:
        """Return the difference of bodies of one shape in which one operand corresponds to two, or two to one."""
        first: dict[object, int] = {}
        taken: dict[int, int] = {}
        for p, g in bound:
            number = self.pattern.expr.nodes[p].attribute
            name = describe_expression(self.pattern, p, self.names, 0)
            there = describe_expression(self.nest, g, (), 0)
            if first.setdefault(number, g) != g:
                other = describe_expression(self.nest, first[number], (), 0)
                return Difference(expected=f"{name} in every place where it is used", found=f"{other} and {there}")
            other_p = taken.setdefault(g, p)
            if self.pattern.expr.nodes[other_p].attribute != number:
                other = describe_expression(self.pattern, other_p, self.names, 0)
                return Difference(expected=f"two operands, {other} and {name}", found=f"{there} in both places")
        return Difference(
            expected="the indices of the definition's loops, each in its place", found="those of other loops"
        )


def _cut(text: str) -> str:
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}…"
