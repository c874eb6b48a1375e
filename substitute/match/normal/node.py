"""Values in normal form. Equal values are one object, so that they are compared by identity and never by a hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...model.ops import COMMUTATIVE
from ..coefficient import ONE, Coefficient

FLOATS = frozenset(("f16", "bf16", "f32", "f64"))


class Kind:
    """The shape of a value, whatever it reads and whatever its coefficients: values of one kind may be unified."""

    __slots__ = ("order",)

    def __init__(self, order: tuple[object, ...]) -> None:
        self.order = order
        """Sorts kinds the same way in every process. Subtrees that are equal are one tuple, which Python compares by
        identity first, so that a comparison only descends where two kinds differ."""


_KINDS: dict[tuple[object, ...], Kind] = {}
"""Every kind that this process has seen: as many as there are shapes of expressions, not as there are expressions."""


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
    """Operands. Of a product, the factors and then what it is divided by."""
    attribute: object
    """A comparison's predicate, a read's number, …"""
    coefficients: tuple[Coefficient, ...]
    """Of a sum, of each part; of a product, one; of a clamp, its ends; of `slopes`, those below and above zero."""
    divided: int
    """Of a product, the number of its last parts that it is divided by."""
    kind: Kind
    at: int
    """The node of the graph that it is, for reads and gathers."""

    @property
    def factors(self) -> tuple[Node, ...]:
        """Return what a product multiplies."""
        return self.parts[: len(self.parts) - self.divided]

    @property
    def divisors(self) -> tuple[Node, ...]:
        """Return what a product is divided by."""
        return self.parts[len(self.parts) - self.divided :]

    @property
    def terms(self) -> tuple[tuple[Coefficient, Node], ...]:
        """Return the summands of a sum."""
        return tuple(zip(self.coefficients, self.parts, strict=True))


class NodeTable:
    """Makes nodes, each once. Operands of commutative operations keep the order of the first that was made."""

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
        """Return what a sum's constant is the coefficient of."""
        return self.node("unit", type_)

    def sum_of(self, type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
        """Return the sum of these terms as they are."""
        return self.node("sum", type_, [p for _, p in terms], coefficients=tuple(c for c, _ in terms))

    def product_of(self, type_: str, scale: Coefficient, factors: Sequence[Node], divisors: Sequence[Node]) -> Node:
        """Return the product of these as they are; a factor that stands alone is itself."""
        if scale.is_one and len(factors) == 1 and not divisors:
            return factors[0]
        return self.node("product", type_, (*factors, *divisors), coefficients=(scale,), divided=len(divisors))

    def negation(self, condition: Node) -> Node:
        """Return a condition that holds where another does not."""
        return condition.parts[0] if condition.op == "not" else self.node("not", "i1", (condition,))

    def scaled(self, a: Node) -> tuple[Coefficient, Node]:
        """Return a value's constant factor, and the rest."""
        if a.op == "product":
            return a.coefficients[0], self.product_of(a.type, ONE, a.factors, a.divisors)
        return ONE, a

    def negated(self, total: Node) -> Node:
        """Return a sum with the other sign in each term."""
        return self.sum_of(total.type, [(c.negated(), p) for c, p in total.terms])
