"""Laws of choices: maxima, minima, comparisons, and selections that are equivalent to one of these."""

from __future__ import annotations

from collections.abc import Sequence

from ..coefficient import ONE, Coefficient, number
from .laws import Laws
from .node import FLOATS, SIGNED, Node


class Choices(Laws):
    """Maxima, minima, comparisons and selections."""

    complements = True
    """False where the operands may be NaN, for which neither a comparison nor its complement holds."""

    def extreme(self, op: str, type_: str, a: Node, b: Node) -> Node:
        """Return the maximum or the minimum of two values."""
        kind = "maximum" if "max" in op else "minimum"
        if type_ not in FLOATS:
            kind = op
        elif "num" in op:
            self.applied["ordered-select-is-maximum"] += 1
        return self._extreme(kind, type_, [a, b])

    def _extreme(self, kind: str, type_: str, operands: Sequence[Node]) -> Node:
        flat: list[Node] = []
        for node in operands:
            if node.op == kind:
                flat += [*node.parts, *(self.number(c, type_) for c in node.coefficients)]
            else:
                flat.append(node)
        ends = [n.coefficients[0] for n in flat if n.op == "constant"]
        others = list(dict.fromkeys(n for n in flat if n.op != "constant"))
        if any(end.factors for end in ends):
            return self.node(kind, type_, flat, commutative=True)
        choose = max if "max" in kind else min
        end = choose(ends, key=lambda c: c.value) if ends else None
        if not others:
            assert end is not None
            return self.number(end, type_)
        neutral = "-inf" if "max" in kind else "inf"
        if len(others) > 1 and any(n.op == "special" and n.attribute == neutral for n in others):
            others = [n for n in others if not (n.op == "special" and n.attribute == neutral)]
        if end is None:
            if len(others) == 1:
                return others[0]
            if len(others) == 2 and (sloped := self._two_slopes(kind, type_, others)) is not None:
                return sloped
            return self.node(kind, type_, others, commutative=True)
        if len(others) > 1 or type_ not in FLOATS:
            return self.node(kind, type_, others, coefficients=(end,), commutative=True)
        return self.cut(kind, type_, others[0], end)

    def cut(self, kind: str, type_: str, a: Node, end: Coefficient) -> Node:
        """Return a value cut off at a constant."""
        opposite = "minimum" if kind == "maximum" else "maximum"
        if a.op == "product":
            # the scale of the bounded value is factored out
            scale = a.coefficients[0]
            if scale.value and not scale.is_one and not scale.factors:
                self.applied["scale-of-clamp"] += 1
                inner = self.product_of(type_, ONE, a.factors, a.divisors)
                cut = end.times(scale.inverse())
                return self.product(
                    type_, scale, [self.cut(kind if scale.value > 0 else opposite, type_, inner, cut)], []
                )
        if a.op == opposite and len(a.parts) == 1 and len(a.coefficients) == 1:
            low, high = (a.coefficients[0], end) if kind == "minimum" else (end, a.coefficients[0])
            if low.value <= high.value:
                return self.node("clamp", type_, a.parts, coefficients=(low, high))
        return self.node(kind, type_, (a,), coefficients=(end,))

    def _two_slopes(self, kind: str, type_: str, operands: Sequence[Node]) -> Node | None:
        (first, a), (second, b) = (self.scaled(n) for n in operands)
        if a is not b or first.factors or second.factors:
            return None
        self.applied["two-slopes"] += 1
        low, high = sorted((first, second), key=lambda c: c.value)
        return self.slopes(type_, a, low, high) if kind == "maximum" else self.slopes(type_, a, high, low)

    def slopes(self, type_: str, a: Node, below: Coefficient, above: Coefficient) -> Node:
        """Return `below · a` where `a` is negative and `above · a` where it is positive."""
        if below.is_minus_one and above.is_one:
            self.applied["absolute-by-select"] += 1
            return self.node("math.absf", type_, (a,))
        if above.value and not above.is_one and not above.factors:
            return self.product(type_, above, [self.slopes(type_, a, below.times(above.inverse()), ONE)], [])
        return self.node("slopes", type_, (a,), coefficients=(below, above))

    def select(self, type_: str, condition: Node, a: Node, b: Node) -> Node:
        """Return a selection, as a maximum, a minimum or two slopes if it is equivalent to one."""
        while condition.op == "not":
            condition, a, b = condition.parts[0], b, a
        if a is b:
            self.applied["select-equal-arms"] += 1
            return a
        if condition.op == "constant":
            return a if condition.coefficients[0].value else b
        if type_ == "i1" and a.op == b.op == "constant":
            return condition if a.coefficients[0].value else self.negation(condition)
        if condition.op == "arith.cmpf" and condition.attribute in ("olt", "ole") and type_ in FLOATS:
            x, y = condition.parts
            if (a is x and b is y) or (a is y and b is x):
                return self.chosen_extreme(type_, "minimum" if a is x else "maximum", a, b)
            if (sloped := self._selected_slopes(type_, x, y, a, b)) is not None:
                return sloped
            if (gated := self._gated(type_, x, y, a, b)) is not None:
                return gated
        if (guarded := self.guarded(type_, condition, a, b)) is not None:
            return guarded
        if condition.op == "arith.cmpf":
            return self._ordered(type_, condition, a, b)
        return self.node("arith.select", type_, (condition, a, b))

    def _ordered(self, type_: str, condition: Node, a: Node, b: Node) -> Node:
        """Return a selection by `<` in place of `<=`, nested ones from the lowest range up."""
        x, y = condition.parts
        if condition.attribute == "ole" and self.complements:
            self.applied["complement-of-comparison"] += 1
            condition, (x, y), (a, b) = self.compare("arith.cmpf", "olt", y, x), (y, x), (b, a)
        if condition.attribute != "olt":
            return self.node("arith.select", type_, (condition, a, b))
        if b.op == "arith.select" and b.parts[0].op == "arith.cmpf" and b.parts[0].attribute == "olt":
            inner, c, d = b.parts
            low, high = inner.parts
            # where neither range has a number of the other, the order of the questions does not matter
            if x.op == "constant" and high.op == "constant" and y is low and _is_above(x, high):
                self.applied["disjoint-ranges"] += 1
                outer, inner, a, c = inner, condition, c, a
                return self._by_size(type_, outer, inner, a, c, d)
            if y.op == "constant" and low.op == "constant" and x is high and _is_above(low, y):
                return self._by_size(type_, condition, inner, a, c, d)
        return self.node("arith.select", type_, (condition, a, b))

    def _by_size(self, type_: str, low: Node, high: Node, a: Node, c: Node, d: Node) -> Node:
        """Return `a` below the low end, `c` above the high one, else `d`; by the absolute value where `a` is `c`."""
        x, below = low.parts
        above = high.parts[0]
        if a is c and below.coefficients[0] == above.coefficients[0].negated():
            self.applied["outside-as-absolute"] += 1
            return self.node(
                "arith.select",
                type_,
                (self.compare("arith.cmpf", "olt", above, self.node("math.absf", type_, (x,))), a, d),
            )
        return self.node("arith.select", type_, (low, a, self.node("arith.select", type_, (high, c, d))))

    def _gated(self, type_: str, x: Node, y: Node, a: Node, b: Node) -> Node | None:
        """Return a choice by the sign of a value between two multiples of it: at 0 both are 0."""
        zero, moving = (x, y) if x.op == "constant" else (y, x)
        if zero.op != "constant" or zero.coefficients[0].value != 0 or zero.coefficients[0].factors:
            return None
        if not (_is_multiple(a, moving) and _is_multiple(b, moving)) or a is b:
            return None
        self.applied["gate-at-zero"] += 1
        below, above = (a, b) if zero is y else (b, a)
        return self.gate(type_, moving, below, above)

    def gate(self, type_: str, x: Node, below: Node, above: Node) -> Node:
        """Return `below` where `x` is negative and else `above`, which are multiples of it."""
        zero = self.number(number(0), type_)
        return self.node("arith.select", type_, (self.compare("arith.cmpf", "olt", x, zero), below, above))

    def chosen_extreme(self, type_: str, kind: str, a: Node, b: Node) -> Node:
        """Return a comparison followed by a selection of its operands as a maximum or minimum; NaN gives `b`."""
        self.applied["unordered-select-is-maximum" if a.op == "constant" else "select-is-maximum"] += 1
        if b.op == "constant":
            self.applied["ordered-select-is-maximum"] += 1
        return self._extreme(kind, type_, [a, b])

    def _selected_slopes(self, type_: str, x: Node, y: Node, a: Node, b: Node) -> Node | None:
        if "constant" not in (x.op, y.op):
            return None
        zero, moving = (x, y) if x.op == "constant" else (y, x)
        if zero.coefficients[0].value != 0:
            return None
        scale, core = self.scaled(moving)
        (first, one), (second, two) = self.scaled(a), self.scaled(b)
        if not (one is core and two is core) or scale.value == 0 or first.factors or second.factors:
            return None
        below, above = (first, second) if zero is y else (second, first)
        if scale.value < 0:
            below, above = above, below
        self.applied["two-slopes"] += 1
        return self.slopes(type_, core, below, above)

    def compare(self, op: str, predicate: str, a: Node, b: Node) -> Node:
        """Return a comparison by `<`, `<=` or `==`, or its negation."""
        order, relation = (predicate[0], predicate[1:]) if predicate not in ("eq", "ne") else ("", predicate)
        if op == "arith.cmpf":
            if predicate in ("false", "true"):
                return self.number(number(int(predicate == "true")), "i1")
            if predicate in ("ord", "uno"):
                found = self.node(op, "i1", (a, b), attribute="ord", commutative=True)
                return found if predicate == "ord" else self.negation(found)
            if order == "u":
                inverse = {"lt": "oge", "le": "ogt", "gt": "ole", "ge": "olt", "eq": "one", "ne": "oeq"}[relation]
                return self.negation(self.compare(op, inverse, a, b))
        if relation in ("gt", "ge"):
            a, b, relation = b, a, {"gt": "lt", "ge": "le"}[relation]
        if op == "arith.cmpi":
            if order != "u" and a.op == b.op == SIGNED and a.parts[0].type == b.parts[0].type:
                return self.compare(op, order + relation, a.parts[0], b.parts[0])
            if relation == "ne":
                return self.negation(self.node(op, "i1", (a, b), attribute="eq", commutative=True))
            if relation == "le":
                return self.negation(self.compare(op, f"{order}lt", b, a))
            if order == "s" and relation == "lt" and (loop := _just_below(b)) is not None:
                return self.compare(op, "sle", a, loop)
        both = relation in ("eq", "ne")
        return self.node(op, "i1", (a, b), attribute=order + relation, commutative=both)


def _just_below(a: Node) -> Node | None:
    """Return the loop's index, or a conversion of it, to which 1 is added: that sum does not overflow."""
    if a.op != "sum" or len(a.parts) != 2 or not all(c.is_one for c in a.coefficients):
        return None
    loops = [p for p in a.parts if p.op == "index" or (p.op == SIGNED and p.parts[0].op == "index")]
    return loops[0] if len(loops) == 1 and any(p.op == "unit" for p in a.parts) else None


def _is_above(high: Node, low: Node) -> bool:
    """Return True for a constant that is no less than another one."""
    (a,), (b,) = high.coefficients, low.coefficients
    return not a.factors and not b.factors and a.value >= b.value


def _is_multiple(a: Node, x: Node) -> bool:
    """Return True for a product with this factor, or the value itself."""
    return a is x or (a.op == "product" and x in a.factors and x not in a.divisors)
