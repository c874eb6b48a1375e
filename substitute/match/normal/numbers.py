"""Laws of numbers: constants are exact fractions, sizes are numbers, and so are conversions of either."""

from __future__ import annotations

import math

from ...model.index import substitute
from ..coefficient import ONE, Coefficient, narrow_number, number, round_to
from .laws import Laws
from .node import FLOATS, SIGNED, Node

_WHOLE = {"f16": 2**11, "bf16": 2**8, "f32": 2**24, "f64": 2**53}
"""Up to these a float has every integer."""


class Numbers(Laws):
    """Constants, sizes, and conversions."""

    def constant(self, value: object, type_: str) -> Node:
        if isinstance(value, float) and not math.isfinite(value):
            return self.node("special", type_, attribute=repr(value))
        assert isinstance(value, int | float)
        if type_ == "i1":
            value = int(value != 0)
        return self.number(number(round_to(value, type_) if isinstance(value, float) else value), type_)

    def narrow_constant(self, value: float, narrow: str, type_: str) -> Node:
        """Return a constant that was rounded to a narrow type."""
        if not math.isfinite(value):
            return self.constant(value, type_)
        own = narrow_number(value, narrow)
        self.applied["narrow-constant"] += own.roundings > 0
        return self.number(own, type_)

    def size(self, value: object, type_: str) -> Node:
        size = substitute(value, self.sizes)  # type: ignore[arg-type]
        if isinstance(size, int):
            return self.number(number(size), type_)
        return self.node("size", type_, attribute=size)

    def convert(self, op: str, type_: str, a: Node) -> Node:
        """Return a conversion; of numbers it is a number, and sizes are the same integer in every type."""
        if a.type == type_ and op in ("arith.extf", "arith.truncf"):
            return a  # in a body without its roundings
        if a.op == "size":
            if op in ("arith.sitofp", "arith.uitofp"):
                return self.number(Coefficient(ONE.value, 0, ((("size", a.attribute), 1),)), type_)
            return self.node("size", type_, attribute=a.attribute)
        if a.op == "constant":
            value = a.coefficients[0]
            if value.factors:
                return self.number(value, type_) if op in ("arith.extf", "arith.truncf") else self.node(op, type_, (a,))
            if op == "arith.extf":
                return self.number(value, type_)
            if op in ("arith.truncf", "arith.sitofp"):
                rounded = round_to(_to_float(value), type_)
                return (
                    self.number(number(rounded, value.roundings), type_)
                    if math.isfinite(rounded)
                    else (self.node("special", type_, attribute=repr(rounded)))
                )
            if op in ("arith.extsi", "arith.index_cast") or value.value >= 0:
                bits = int(type_[1:]) if type_[1:].isdigit() else 64
                if -(2 ** (bits - 1)) <= value.value < 2 ** (bits - 1) and a.type != "i1":
                    own = number(round_to(float(value.value), type_)) if type_ in FLOATS else number(value.value)
                    return self.number(own, type_)
        if op == "arith.truncf" and a.op == "arith.extf" and a.parts[0].type == type_:
            self.applied["extended-and-truncated"] += 1
            return a.parts[0]
        holds = _bits(a.type) <= _bits(type_) or (a.op == "index" and self.loops_are_short and _bits(type_) == 32)
        if op in ("arith.extsi", "arith.index_cast") and holds and a.type != "i1":
            op = SIGNED
        if op == "arith.sitofp" and a.op == "sum" and (total := self._sum_as_float(type_, a)) is not None:
            return total
        if op in (SIGNED, "arith.sitofp") and a.op == SIGNED:
            a = a.parts[0]  # the same integer, whatever types are between
        return a if op == SIGNED and a.type == type_ else self.node(op, type_, (a,))

    def _sum_as_float(self, type_: str, total: Node) -> Node | None:
        """Return a sum of small integers as a sum of floats, where a float has all numbers between."""
        if any(c.factors or c.value.denominator != 1 for c in total.coefficients):
            return None
        largest = sum(abs(c.value) * _largest(p) for c, p in total.terms)
        if largest > _WHOLE.get(type_, 0) or largest > 2 ** (_bits(total.type) - 1) - 1:
            return None
        terms = ((c, p if p.op == "unit" else self.convert("arith.sitofp", type_, p)) for c, p in total.terms)
        return self.sum(type_, [(c, self.unit(type_) if p.op == "unit" else p) for c, p in terms])


def _largest(a: Node) -> int:
    """Return the largest absolute value of an integer in normal form: of the narrow type that it was, or of its own."""
    if a.op == "unit":
        return 1
    return 1 << (_bits(a.parts[0].type if a.op == SIGNED else a.type) - 1)


def _to_float(value: Coefficient) -> float:
    return value.value.numerator / value.value.denominator


def _bits(type_: str) -> int:
    return int(type_[1:]) if type_[1:].isdigit() else 64
