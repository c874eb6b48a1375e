"""Values in normal form. Equal values are one object, so that they are compared by identity and never by a hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...model.ops import COMMUTATIVE
from ..coefficient import ONE, Coefficient

FLOATS = frozenset(("f16", "bf16", "f32", "f64"))
SIGNED = "signed"
"""Operation of a conversion of a signed integer to a type that holds all of its values."""


class Kind:
    """Kind of a value, independent of what it reads and of its coefficients: values of one kind may be unified."""

    __slots__ = ("order",)

    def __init__(self, order: tuple[object, ...]) -> None:
        self.order = order
        """Sorts kinds the same way in every process. Subtrees that are equal are one tuple, which Python compares by
        identity first, so that a comparison only descends where two kinds differ."""


_KINDS: dict[tuple[object, ...], Kind] = {}
"""Every kind that this process has seen; their number is bounded by the shapes of expressions."""


def _kind_of(words: str, above: Sequence[Kind], below: Sequence[Kind], coefficients: int) -> Kind:
    key = (words, coefficients, tuple(above), tuple(below))
    found = _KINDS.get(key)
    if found is None:
        order = (words, coefficients, tuple(k.order for k in above), tuple(k.order for k in below))
        found = _KINDS.setdefault(key, Kind(order))
    return found


def in_order(kinds: Sequence[Kind]) -> list[Kind]:
    """Return the kinds sorted."""
    return sorted(kinds, key=lambda kind: kind.order)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value in normal form. Those of one `NodeTable` are equal if they are one object."""

    op: str
    """`sum`, `product`, `maximum`, `minimum`, `clamp`, `slopes`, `unit` (the number 1), or the operation's own name."""
    type: str
    parts: tuple[Node, ...]
    """Operands; for a product, the factors and then the divisors."""
    attribute: object
    """A comparison's predicate, a read's number, …"""
    coefficients: tuple[Coefficient, ...]
    """Coefficient of each part of a sum; one of a product; the ends of a clamp; the slopes below and above zero."""
    divided: int
    """For a product, number of its last parts that are divisors."""
    kind: Kind
    at: int
    """Node of the graph, for reads and gathers."""

    @property
    def factors(self) -> tuple[Node, ...]:
        """The factors of a product."""
        return self.parts[: len(self.parts) - self.divided]

    @property
    def divisors(self) -> tuple[Node, ...]:
        """The divisors of a product."""
        return self.parts[len(self.parts) - self.divided :]

    @property
    def terms(self) -> tuple[tuple[Coefficient, Node], ...]:
        """The summands of a sum."""
        return tuple(zip(self.coefficients, self.parts, strict=True))


class NodeTable:
    """Table of nodes, each made once. Operands of commutative operations keep the order of the first one."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Node] = {}

    def node(
        self,
        op: str,
        type_: str,
        parts: Sequence[Node] = (),
        *,
        attribute: object = None,
        coefficients: tuple[Coefficient, ...] = (),
        divided: int = 0,
        commutative: bool = False,
        at: int = -1,
    ) -> Node:
        """Return the node, new or known."""
        parts = tuple(parts)
        words = repr(attribute)
        free = commutative or op in COMMUTATIVE
        own: object = coefficients
        if op == "product":
            split = len(parts) - divided
            which: object = (tuple(sorted(map(id, parts[:split]))), tuple(sorted(map(id, parts[split:]))))
        elif op == "sum":
            which, own = frozenset(Counter(zip(map(id, parts), coefficients, strict=True)).items()), ()
        else:
            which = tuple(sorted(map(id, parts)) if free else map(id, parts))
        key = (op, type_, which, words, own)
        found = self._known.get(key)
        if found is None:
            split = len(parts) - divided
            above, below = [p.kind for p in parts[:split]], [p.kind for p in parts[split:]]
            if free or op in ("product", "sum"):
                above, below = in_order(above), in_order(below)
            bound = op in ("read", "gather", "index")
            kind = _kind_of(f"{op} {type_} {'' if bound else words}", above, below, len(coefficients))
            found = self._known[key] = Node(op, type_, parts, attribute, coefficients, divided, kind, at)
        return found

    def number(self, value: Coefficient, type_: str) -> Node:
        """Return a constant."""
        return self.node("constant", type_, coefficients=(value,))

    def unit(self, type_: str) -> Node:
        """Return the node whose coefficient is a sum's constant."""
        return self.node("unit", type_)

    def sum_of(self, type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
        """Return the sum of these terms unchanged."""
        return self.node("sum", type_, [p for _, p in terms], coefficients=tuple(c for c, _ in terms))

    def product_of(self, type_: str, scale: Coefficient, factors: Sequence[Node], divisors: Sequence[Node]) -> Node:
        """Return the product of these factors unchanged; a single factor is returned itself."""
        if scale.is_one and len(factors) == 1 and not divisors:
            return factors[0]
        return self.node("product", type_, (*factors, *divisors), coefficients=(scale,), divided=len(divisors))

    def negation(self, condition: Node) -> Node:
        """Return the negation of a condition."""
        return condition.parts[0] if condition.op == "not" else self.node("not", "i1", (condition,))

    def scaled(self, a: Node) -> tuple[Coefficient, Node]:
        """Return a value's constant factor, and the rest."""
        if a.op == "product":
            return a.coefficients[0], self.product_of(a.type, ONE, a.factors, a.divisors)
        return ONE, a

    def negated(self, total: Node) -> Node:
        """Return a sum with the sign of each term changed."""
        return self.sum_of(total.type, [(c.negated(), p) for c, p in total.terms])
