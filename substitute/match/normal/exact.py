"""The laws that change no bit of any result, for kernels with `laws = "exact"`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..coefficient import ONE, Coefficient, number
from .form import Form
from .node import FLOATS, Node
from .products import MINUS_ONE


class ExactForm(Form):
    """Normal form by the laws that change no bit."""

    complements = False

    def terms(self, a: Node, scale: Coefficient) -> list[tuple[Coefficient, Node]]:
        if a.type not in FLOATS:
            return super().terms(a, scale)
        if a.op == "constant":
            return [(a.coefficients[0].times(scale), self.unit(a.type))]
        if a.op == "product" and a.coefficients[0].is_minus_one:
            return [(scale.negated(), self.product_of(a.type, ONE, a.factors, a.divisors))]
        return [(scale, a)]

    def sum(self, type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
        if type_ not in FLOATS:
            return super().sum(type_, terms)
        if len(terms) == 2 and terms[0][1] is terms[1][1] and terms[0][0] == terms[1][0]:
            return self.product(type_, terms[0][0], [terms[0][1], self.number(number(2), type_)], [])
        return self.sum_of(type_, list(terms))

    def product(self, type_: str, scale: Coefficient, factors: Iterable[Node], divisors: Iterable[Node]) -> Node:
        if type_ not in FLOATS:
            return super().product(type_, scale, factors, divisors)
        coefficient = scale
        above: list[Node] = []
        below: list[Node] = []
        for nodes, kept in ((factors, above), (divisors, below)):
            for node in nodes:
                if node.op in ("product", "constant") and node.coefficients[0].value < 0:
                    coefficient = coefficient.negated()
                    node = self._rescaled(node, MINUS_ONE)
                if node.op != "constant" or not node.coefficients[0].is_one:
                    kept.append(node)
        if len(above) == 1 and not below and above[0].op in ("product", "constant"):
            return self._rescaled(above[0], coefficient)
        if not above and not below:
            return self.number(coefficient, type_)
        if len(above) == 2 and (squared := self._without_sizes(above)):
            above = squared
        return self.product_of(type_, coefficient, above, below)

    def _rescaled(self, a: Node, scale: Coefficient) -> Node:
        value = a.coefficients[0].times(scale)
        return (
            self.number(value, a.type) if a.op == "constant" else self.product_of(a.type, value, a.factors, a.divisors)
        )

    def quotient(self, type_: str, a: Node, b: Node) -> Node:
        if b.op == "constant" and not b.coefficients[0].factors and b.coefficients[0].value:
            inverse = b.coefficients[0].inverse()
            if not inverse.roundings:
                return self.product(type_, ONE, [a, self.number(inverse, type_)], [])
        return self.product(type_, ONE, [a], [b])

    def reciprocal_root(self, type_: str, a: Node) -> Node:
        return self.node("math.rsqrt", type_, (a,))

    def multiply_add(self, type_: str, a: Node, b: Node, c: Node) -> Node:
        return self.node("math.fma", type_, (a, b, c))

    def power(self, op: str, type_: str, a: Node, b: Node) -> Node:
        exponent = b.coefficients[0]
        if exponent.value == 2 and not exponent.factors:
            return self.product(type_, ONE, [a, a], [])
        return self.node(op, type_, (a, b))

    def extreme(self, op: str, type_: str, a: Node, b: Node) -> Node:
        if type_ in FLOATS and "num" in op:
            return self.node(op, type_, (a, b), commutative=True)
        return super().extreme(op, type_, a, b)

    def cut(self, kind: str, type_: str, a: Node, end: Coefficient) -> Node:
        opposite = "minimum" if kind == "maximum" else "maximum"
        if a.op == opposite and len(a.parts) == 1 and len(a.coefficients) == 1:
            return super().cut(kind, type_, a, end)
        return self.node(kind, type_, (a,), coefficients=(end,))

    def _guarded_above(self, type_: str, end: Node, x: Node, a: Node, b: Node) -> Node | None:
        return None

    def _gated(self, type_: str, x: Node, y: Node, a: Node, b: Node) -> Node | None:
        return None

    def _two_slopes(self, kind: str, type_: str, operands: Sequence[Node]) -> Node | None:
        return None

    def _selected_slopes(self, type_: str, x: Node, y: Node, a: Node, b: Node) -> Node | None:
        return None

    def chosen_extreme(self, type_: str, kind: str, a: Node, b: Node) -> Node:
        if a.op == "constant" and a.coefficients[0].value:
            return self._extreme(kind, type_, [a, b])
        x, y = (a, b) if kind == "minimum" else (b, a)
        return self.node("arith.select", type_, (self.node("arith.cmpf", "i1", (x, y), attribute="olt"), a, b))
