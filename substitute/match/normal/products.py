"""Laws of products, which are flat and include quotients, roots and powers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..coefficient import ONE, Coefficient, number
from .laws import Laws
from .node import FLOATS, Node
from .sums import is_balanced

_ODD = frozenset(f"math.{name}" for name in ("tanh", "erf", "sin", "tan", "atan", "asin", "sinh", "asinh", "atanh"))
_EVEN = frozenset(("math.cos", "math.cosh", "math.absf"))
SYMMETRIC = _ODD | _EVEN
"""Functions that do not depend on the sign of the operand, or only in the sign of the result."""
_LARGEST_POWER = 8
MINUS_ONE = number(-1)


class Products(Laws):
    """Products, quotients, powers and roots."""

    def product(self, type_: str, scale: Coefficient, factors: Iterable[Node], divisors: Iterable[Node]) -> Node:
        """Return the flattened product."""
        above: list[Node] = []
        below: list[Node] = []
        coefficient = scale
        for nodes, up, down, inverse in ((factors, above, below, False), (divisors, below, above, True)):
            for node in nodes:
                if node.op == "constant" and not (inverse and node.coefficients[0].value == 0):
                    own = node.coefficients[0]
                elif node.op == "product":
                    own = node.coefficients[0]
                    if inverse and own.value == 0:
                        up.append(node)
                        continue
                    if len(node.parts) > 1:
                        self.applied["quotient-of-quotient" if inverse or node.divided else "associate-product"] += 1
                    up.extend(node.factors)
                    down.extend(node.divisors)
                else:
                    up.append(node)
                    continue
                if not (own.is_one or coefficient.is_one or own.is_minus_one or coefficient.is_minus_one):
                    self.applied["merge-constants"] += 1
                if inverse and not own.is_one:
                    self.applied["reciprocal-of-constant"] += 1
                coefficient = coefficient.times(own.inverse() if inverse else own)
        if not above and not below:
            return self.number(coefficient, type_)
        if type_ not in FLOATS and len(above) == 1 and above[0].op == "sum":
            return self.sum(type_, self.terms(above[0], coefficient))
        squared = self._without_sizes(above), self._without_sizes(below)
        if any(squared):
            return self.product(type_, coefficient, squared[0] or above, squared[1] or below)
        coefficient, above = self._turned(coefficient, above)
        return self.product_of(type_, coefficient, above, below)

    def _without_sizes(self, factors: Sequence[Node]) -> list[Node]:
        """Return the factors with those in place of an even number of their absolute values; none without such."""
        counts = Counter(factor for factor in factors if factor.op == "math.absf")
        even = {factor for factor, count in counts.items() if count % 2 == 0}
        if not even:
            return []
        self.applied["square-of-absolute"] += 1
        return [factor.parts[0] if factor in even else factor for factor in factors]

    def quotient(self, type_: str, a: Node, b: Node) -> Node:
        """Return `a / b`."""
        return self.product(type_, ONE, [a], [b])

    def reciprocal_root(self, type_: str, a: Node) -> Node:
        """Return `1 / sqrt(a)`."""
        self.applied["reciprocal-root"] += 1
        return self.product(type_, ONE, [], [self.node("math.sqrt", type_, (a,))])

    def multiply_add(self, type_: str, a: Node, b: Node, c: Node) -> Node:
        """Return `a · b + c`."""
        self.applied["fused-multiply-add"] += 1
        return self.sum(type_, [*self.terms(self.product(type_, ONE, [a, b], []), ONE), *self.terms(c, ONE)])

    def power(self, op: str, type_: str, a: Node, b: Node) -> Node:
        """Return a power with a constant exponent: a product, a root, or an unchanged power."""
        exponent = b.coefficients[0].value if not b.coefficients[0].factors else None
        if exponent is not None and exponent.denominator == 1 and 0 < abs(exponent) <= _LARGEST_POWER:
            count = int(exponent)
            self.applied["square" if count == 2 else "cube"] += 1
            return self.product(type_, ONE, [a] * max(count, 0), [a] * max(-count, 0))
        if exponent is not None and abs(exponent) * 2 == 1 and op == "math.powf":
            root = [self.node("math.sqrt", type_, (a,))]
            self.applied["root-by-power" if exponent > 0 else "reciprocal-root-by-power"] += 1
            return self.product(type_, ONE, root, []) if exponent > 0 else self.product(type_, ONE, [], root)
        return self.node(op, type_, (a, b))

    def symmetric(self, op: str, type_: str, a: Node) -> Node:
        """Return an odd or an even function with the sign of its operand removed."""
        if a.op == "product" and a.coefficients[0].value < 0:
            self.applied["odd-function" if op in _ODD else "even-function"] += 1
            flipped = self.product_of(a.type, a.coefficients[0].negated(), a.factors, a.divisors)
            return self.product(type_, MINUS_ONE if op in _ODD else ONE, [self.node(op, type_, (flipped,))], [])
        return self.node(op, type_, (a,))

    def _turned(self, coefficient: Coefficient, factors: list[Node]) -> tuple[Coefficient, list[Node]]:
        """Return a negative product of one difference with the difference reversed: `-(a - b)` is `b - a`."""
        if coefficient.value >= 0:
            return coefficient, factors
        open_ = [i for i, f in enumerate(factors) if _is_turnable(f)]
        if len(open_) != 1:
            return coefficient, factors
        return coefficient.negated(), [self.negated(f) if i == open_[0] else f for i, f in enumerate(factors)]


def turn_squares(factors: Sequence[Node]) -> Iterator[tuple[Node, ...]]:
    """Yield the factors with a difference of even power reversed: `(a - b)²` is `(b - a)²`.

    The turned ones belong to no table: only their kinds and parts may be compared.
    """
    for factor, count in Counter(factors).items():
        if count % 2 == 0 and _is_turnable(factor):
            turned = replace(factor, coefficients=tuple(c.negated() for c in factor.coefficients))
            yield tuple(turned if f is factor else f for f in factors)


def _is_turnable(a: Node) -> bool:
    return a.op == "sum" and a.type in FLOATS and is_balanced(a)
