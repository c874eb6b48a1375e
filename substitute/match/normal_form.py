"""The form to which the scalar bodies of definitions and dispatches are brought before they are compared.

Sums are flat, and so are products with their quotients; constants are merged into exact coefficients; what is left has
one spelling where the laws of `model/laws.py` know several.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from ..model.index import Index, substitute
from ..model.laws import Mode
from ..model.ops import COMMUTATIVE
from ..model.scalar import Scalar
from .coefficient import ONE, Coefficient, number, round_to

FLOATS = frozenset(("f16", "bf16", "f32", "f64"))
_ODD = frozenset(f"math.{name}" for name in ("tanh", "erf", "sin", "tan", "atan", "asin", "sinh", "asinh", "atanh"))
_EVEN = frozenset(("math.cos", "math.cosh", "math.absf"))
_LARGEST_POWER = 8
_SIGNED = "signed"
"""A conversion of an integer with sign to a type that holds all of its values."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value in normal form."""

    op: str
    """`sum`, `product`, `maximum`, `minimum`, `clamp`, `slopes`, `unit` (the number 1), or the operation's own name."""
    type: str
    parts: tuple[Node, ...] = ()
    """Operands. Of a product, the factors and then what it is divided by."""
    attribute: object = None
    """A comparison's predicate, a read's number, …"""
    coefficients: tuple[Coefficient, ...] = ()
    """Of a sum, of each part; of a product, one; of a clamp, its ends; of `slopes`, those below and above zero."""
    divided: int = 0
    """Of a product, the number of its last parts that it is divided by."""
    key: int = 0
    """Equal for nodes that may be unified: whatever they read, and whatever their coefficients."""
    name: int = 0
    """Equal for equal nodes."""
    at: int = -1
    """The node of the graph that it is, for reads and gathers."""

    @property
    def factors(self) -> tuple[Node, ...]:
        """Return what a product multiplies."""
        return self.parts[: len(self.parts) - self.divided]

    @property
    def divisors(self) -> tuple[Node, ...]:
        """Return what a product is divided by."""
        return self.parts[len(self.parts) - self.divided :]


@dataclass(frozen=True, slots=True)
class Normal:
    """Every node of a graph in normal form."""

    nodes: tuple[Node, ...]
    laws: Mapping[str, int]
    """Laws that were applied, and how often."""


class ByIdentity:
    """A key that compares by identity, for data that takes long to hash."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __hash__(self) -> int:
        return id(self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and other.held is self.held


def normalise(nodes: tuple[Scalar, ...], mode: Mode, sizes: tuple[tuple[str, Index], ...] = ()) -> Normal:
    """Return the normal form of a graph's nodes, with the sizes of these axes in place of their names."""
    return _normalise(ByIdentity(nodes), mode, sizes)


@lru_cache(maxsize=4096)
def _normalise(key: ByIdentity, mode: Mode, sizes: tuple[tuple[str, Index], ...]) -> Normal:
    nodes: tuple[Scalar, ...] = key.held  # type: ignore[assignment]
    builder = (_Builder if mode == "all" else _ExactBuilder)(dict(sizes))
    for at, node in enumerate(nodes):
        builder.nodes.append(builder.build(at, node, [builder.nodes[o] for o in node.operands]))
    return Normal(tuple(builder.nodes), dict(builder.laws))


class _Builder:
    """Builds nodes from the leaves up, in one pass."""

    def __init__(self, sizes: Mapping[str, Index]) -> None:
        self.nodes: list[Node] = []
        self.laws: Counter[str] = Counter()
        self._sizes = sizes

    def build(self, at: int, node: Scalar, operands: list[Node]) -> Node:
        """Return the normal form of one operation on operands in normal form."""
        type_ = node.type
        match node.op, operands:
            case "read", _:
                return _node("read", type_, attribute=node.attribute, at=at)
            case "constant", _:
                return self._constant(node.attribute, type_)
            case "size", _:
                return self._size(node.attribute, type_)
            case (("arith.addf" | "arith.addi"), [a, b]) if type_ != "i1":
                return self.sum(type_, [*self.terms(a, ONE), *self.terms(b, ONE)])
            case (("arith.subf" | "arith.subi"), [a, b]) if type_ != "i1":
                return self.sum(type_, [*self.terms(a, ONE), *self.terms(b, _MINUS_ONE)])
            case "arith.negf", [a]:
                return self.product(type_, _MINUS_ONE, [a], [])
            case (("arith.mulf" | "arith.muli"), [a, b]) if type_ != "i1":
                return self.product(type_, ONE, [a, b], [])
            case "arith.divf", [a, b]:
                return self.quotient(type_, a, b)
            case "math.rsqrt", [a]:
                return self.reciprocal_root(type_, a)
            case "math.fma", [a, b, c]:
                return self.multiply_add(type_, a, b, c)
            case (("math.powf" | "math.fpowi"), [a, b]) if b.op == "constant":
                return self.power(node.op, type_, a, b)
            case (
                (
                    "arith.maximumf"
                    | "arith.minimumf"
                    | "arith.maxnumf"
                    | "arith.minnumf"
                    | "arith.maxsi"
                    | "arith.minsi"
                ),
                [a, b],
            ):
                return self.extreme(node.op, type_, a, b)
            case "math.clampf", [a, low, high]:
                return self.extreme("arith.minimumf", type_, self.extreme("arith.maximumf", type_, a, low), high)
            case "arith.select", [condition, a, b]:
                return self.select(type_, condition, a, b)
            case (("arith.cmpf" | "arith.cmpi"), [a, b]):
                return self.compare(node.op, str(node.attribute), a, b)
            case "arith.xori", [a, b] if type_ == "i1" and "constant" in (a.op, b.op):
                value, other = (a, b) if a.op == "constant" else (b, a)
                return _not(other) if value.coefficients[0].value else other
            case (
                (
                    "arith.extf"
                    | "arith.truncf"
                    | "arith.sitofp"
                    | "arith.uitofp"
                    | "arith.extsi"
                    | "arith.extui"
                    | "arith.trunci"
                    | "arith.index_cast"
                    | "arith.index_castui"
                ),
                [a],
            ):
                return self.convert(node.op, type_, a)
            case _, [a] if node.op in _ODD | _EVEN:
                return self.symmetric(node.op, type_, a)
            case "math.sqrt", [a] if a.op == "constant" and not a.coefficients[0].factors:
                inside = a.coefficients[0]
                if inside.value > 0:
                    root = round_to(math.sqrt(inside.value), type_)
                    return self._number(number(root, inside.roundings), type_)
        return _node(node.op, type_, operands, attribute=node.attribute, at=at if node.op == "gather" else -1)

    # -- numbers -----------------------------------------------------------------------------------------------

    def _constant(self, value: object, type_: str) -> Node:
        if isinstance(value, float) and not math.isfinite(value):
            return _node("special", type_, attribute=repr(value))
        assert isinstance(value, int | float)
        if type_ == "i1":
            value = int(value != 0)
        return self._number(number(round_to(value, type_) if isinstance(value, float) else value), type_)

    def _number(self, value: Coefficient, type_: str) -> Node:
        return _node("constant", type_, coefficients=(value,))

    def _size(self, value: object, type_: str) -> Node:
        size = substitute(value, self._sizes)  # type: ignore[arg-type]
        if isinstance(size, int):
            return self._number(number(size), type_)
        return _node("size", type_, attribute=size)

    def convert(self, op: str, type_: str, a: Node) -> Node:
        """Conversions of numbers are numbers; sizes are the same integer in every type."""
        if a.op == "size":
            if op in ("arith.sitofp", "arith.uitofp"):
                return self._number(Coefficient(ONE.value, 0, ((("size", a.attribute), 1),)), type_)
            return _node("size", type_, attribute=a.attribute)
        if a.op == "constant":
            value = a.coefficients[0]
            if value.factors:
                return self._number(value, type_) if op in ("arith.extf", "arith.truncf") else _node(op, type_, (a,))
            if op == "arith.extf":
                return self._number(value, type_)
            if op in ("arith.truncf", "arith.sitofp"):
                rounded = round_to(_to_float(value), type_)
                return (
                    self._number(number(rounded, value.roundings), type_)
                    if math.isfinite(rounded)
                    else (_node("special", type_, attribute=repr(rounded)))
                )
            if op in ("arith.extsi", "arith.index_cast") or value.value >= 0:
                bits = int(type_[1:]) if type_[1:].isdigit() else 64
                if -(2 ** (bits - 1)) <= value.value < 2 ** (bits - 1) and a.type != "i1":
                    own = number(round_to(float(value.value), type_)) if type_ in FLOATS else number(value.value)
                    return self._number(own, type_)
        if op == "arith.truncf" and a.op == "arith.extf" and a.parts[0].type == type_:
            self.laws["extended-and-truncated"] += 1
            return a.parts[0]
        if op in ("arith.extsi", "arith.index_cast") and _bits(a.type) <= _bits(type_) and a.type != "i1":
            op = _SIGNED
        if op in (_SIGNED, "arith.sitofp") and a.op == _SIGNED:
            a = a.parts[0]  # the same integer, whatever lies between
        return a if op == _SIGNED and a.type == type_ else _node(op, type_, (a,))

    # -- sums --------------------------------------------------------------------------------------------------

    def terms(self, a: Node, scale: Coefficient) -> list[tuple[Coefficient, Node]]:
        """Return the summands of a value."""
        if a.op == "sum":
            self.laws["associate"] += 1
            return [(c.times(scale), p) for c, p in zip(a.coefficients, a.parts, strict=True)]
        if a.op == "constant":
            return [(a.coefficients[0].times(scale), _unit(a.type))]
        if a.op == "product" and not a.coefficients[0].is_one:
            inner = a.coefficients[0].times(scale)
            if len(a.parts) == 1 and not a.divided:
                if a.parts[0].op == "sum":
                    self.laws["scale-of-sum"] += 1
                    return self.terms(a.parts[0], inner)
                return [(inner, a.parts[0])]
            return [(inner, _product_of(a.type, ONE, a.factors, a.divisors))]
        return [(scale, a)]

    def sum(self, type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
        """Return the sum of scaled nodes, none of which is a sum or a scaled one."""
        merged = self._merged(terms)
        if len(merged) > 1:
            kept = [(c, p) for c, p in merged if not (p.op == "unit" and c.value == 0)]
            if len(kept) < len(merged):
                self.laws["plus-zero"] += 1
            merged = kept
        if not merged:
            return self._number(number(0), type_)
        if len(merged) == 1:
            (coefficient, part) = merged[0]
            if part.op == "unit":
                return self._number(coefficient, type_)
            return self.product(type_, coefficient, [part], [])
        if type_ not in FLOATS:
            return _sum_of(type_, merged)
        if (sloped := self._slopes_of_sum(type_, merged)) is not None:
            return self.sum(type_, sloped)
        common = self._common(merged)
        if common:
            self.laws["common-factor"] += 1
            rest = [(c, _without(p, common)) for c, p in merged]
            inner = self.sum(type_, [t for c, p in rest for t in self.terms(p, c)])
            return self.product(type_, ONE, [*common, inner], [])
        scale = _scale(merged)
        if scale.is_one:
            return _sum_of(type_, merged)
        self.laws["negated-difference" if scale.is_minus_one else "scale-of-sum"] += 1
        inverse = scale.inverse()
        exact = [(_sharpened(c.times(inverse), c, scale), p) for c, p in merged]
        return _product_of(type_, scale, (_sum_of(type_, exact),), ())

    def _merged(self, terms: Sequence[tuple[Coefficient, Node]]) -> list[tuple[Coefficient, Node]]:
        merged: list[tuple[Coefficient, Node]] = []
        for coefficient, part in terms:
            for at, (known, other) in enumerate(merged):
                if other.name == part.name and (total := known.plus(coefficient)) is not None:
                    if total.value == 0 and part.op != "unit":
                        continue  # a - a is a NaN for what is infinite
                    self.laws["merge-added-constants" if part.op == "unit" else "common-factor"] += 1
                    merged[at] = (total, other)
                    break
            else:
                merged.append((coefficient, part))
        return merged

    def _common(self, terms: Sequence[tuple[Coefficient, Node]]) -> list[Node]:
        """Return a factor of all terms."""
        first = _factors_of(terms[0][1])
        for factor in first:
            if all(any(f.name == factor.name for f in _factors_of(p)) for _, p in terms[1:]):
                return [factor]
        return []

    def _slopes_of_sum(
        self, type_: str, terms: list[tuple[Coefficient, Node]]
    ) -> list[tuple[Coefficient, Node]] | None:
        """Return the terms with `a·max(x, 0) + b·min(x, 0)` as one."""
        for at, (up, above) in enumerate(terms):
            if above.op != "maximum" or not _is_zero_end(above):
                continue
            for other, (down, below) in enumerate(terms):
                if below.op == "minimum" and _is_zero_end(below) and below.parts[0].name == above.parts[0].name:
                    self.laws["slopes-as-sum"] += 1
                    rest = [t for n, t in enumerate(terms) if n not in (at, other)]
                    return [*rest, *self.terms(self.slopes(type_, above.parts[0], down, up), ONE)]
        return None

    # -- products ----------------------------------------------------------------------------------------------

    def product(self, type_: str, scale: Coefficient, factors: Iterable[Node], divisors: Iterable[Node]) -> Node:
        """Return the product, flat."""
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
                        self.laws["quotient-of-quotient" if inverse or node.divided else "associate-product"] += 1
                    up.extend(node.factors)
                    down.extend(node.divisors)
                else:
                    up.append(node)
                    continue
                if not (own.is_one or coefficient.is_one or own.is_minus_one or coefficient.is_minus_one):
                    self.laws["merge-constants"] += 1
                if inverse and not own.is_one:
                    self.laws["reciprocal-of-constant"] += 1
                coefficient = coefficient.times(own.inverse() if inverse else own)
        if not above and not below:
            return self._number(coefficient, type_)
        if type_ not in FLOATS and len(above) == 1 and above[0].op == "sum":
            return self.sum(type_, self.terms(above[0], coefficient))
        coefficient, above = _turned(coefficient, above)
        return _product_of(type_, coefficient, above, below)

    def quotient(self, type_: str, a: Node, b: Node) -> Node:
        """Return `a / b`."""
        return self.product(type_, ONE, [a], [b])

    def reciprocal_root(self, type_: str, a: Node) -> Node:
        """Return `1 / sqrt(a)`."""
        self.laws["reciprocal-root"] += 1
        return self.product(type_, ONE, [], [_node("math.sqrt", type_, (a,))])

    def multiply_add(self, type_: str, a: Node, b: Node, c: Node) -> Node:
        """Return `a · b + c`."""
        self.laws["fused-multiply-add"] += 1
        return self.sum(type_, [*self.terms(self.product(type_, ONE, [a, b], []), ONE), *self.terms(c, ONE)])

    def power(self, op: str, type_: str, a: Node, b: Node) -> Node:
        """Return a power with a constant exponent: a product, a root, or what it is."""
        exponent = b.coefficients[0].value if not b.coefficients[0].factors else None
        if exponent is not None and exponent.denominator == 1 and 0 < abs(exponent) <= _LARGEST_POWER:
            count = int(exponent)
            self.laws["square" if count == 2 else "cube"] += 1
            return self.product(type_, ONE, [a] * max(count, 0), [a] * max(-count, 0))
        if exponent is not None and abs(exponent) * 2 == 1 and op == "math.powf":
            root = [_node("math.sqrt", type_, (a,))]
            self.laws["root-by-power" if exponent > 0 else "reciprocal-root-by-power"] += 1
            return self.product(type_, ONE, root, []) if exponent > 0 else self.product(type_, ONE, [], root)
        return _node(op, type_, (a, b))

    def symmetric(self, op: str, type_: str, a: Node) -> Node:
        """Return an odd or an even function, without its operand's sign."""
        if a.op == "product" and a.coefficients[0].value < 0:
            self.laws["odd-function" if op in _ODD else "even-function"] += 1
            flipped = _product_of(a.type, a.coefficients[0].negated(), a.factors, a.divisors)
            return self.product(type_, _MINUS_ONE if op in _ODD else ONE, [_node(op, type_, (flipped,))], [])
        return _node(op, type_, (a,))

    # -- choices -----------------------------------------------------------------------------------------------

    def extreme(self, op: str, type_: str, a: Node, b: Node) -> Node:
        """Return the maximum or the minimum of two values."""
        kind = "maximum" if "max" in op else "minimum"
        if type_ not in FLOATS:
            kind = op
        elif "num" in op:
            self.laws["ordered-select-is-maximum"] += 1
        return self._extreme(kind, type_, [a, b])

    def _extreme(self, kind: str, type_: str, operands: Sequence[Node]) -> Node:
        flat: list[Node] = []
        for node in operands:
            if node.op == kind:
                flat += [*node.parts, *(self._number(c, type_) for c in node.coefficients)]
            else:
                flat.append(node)
        ends = [n.coefficients[0] for n in flat if n.op == "constant"]
        others = list({n.name: n for n in flat if n.op != "constant"}.values())
        if any(end.factors for end in ends):
            return _node(kind, type_, flat, commutative=True)
        choose = max if "max" in kind else min
        end = choose(ends, key=lambda c: c.value) if ends else None
        if not others:
            assert end is not None
            return self._number(end, type_)
        neutral = "-inf" if "max" in kind else "inf"
        if len(others) > 1 and any(n.op == "special" and n.attribute == neutral for n in others):
            others = [n for n in others if not (n.op == "special" and n.attribute == neutral)]
        if end is None:
            if len(others) == 1:
                return others[0]
            if len(others) == 2 and (sloped := self._two_slopes(kind, type_, others)) is not None:
                return sloped
            return _node(kind, type_, others, commutative=True)
        if len(others) > 1 or type_ not in FLOATS:
            return _node(kind, type_, others, coefficients=(end,), commutative=True)
        return self._bounded(kind, type_, others[0], end)

    def _bounded(self, kind: str, type_: str, a: Node, end: Coefficient) -> Node:
        """Return a value cut off at a constant."""
        opposite = "minimum" if kind == "maximum" else "maximum"
        if a.op == "product":
            # the scale of what is cut stands before it
            scale = a.coefficients[0]
            if scale.value and not scale.is_one and not scale.factors:
                self.laws["scale-of-clamp"] += 1
                inner = _product_of(type_, ONE, a.factors, a.divisors)
                cut = end.times(scale.inverse())
                return self.product(
                    type_, scale, [self._bounded(kind if scale.value > 0 else opposite, type_, inner, cut)], []
                )
        if a.op == opposite and len(a.parts) == 1 and len(a.coefficients) == 1:
            low, high = (a.coefficients[0], end) if kind == "minimum" else (end, a.coefficients[0])
            if low.value <= high.value:
                return _node("clamp", type_, a.parts, coefficients=(low, high))
        return _node(kind, type_, (a,), coefficients=(end,))

    def _two_slopes(self, kind: str, type_: str, operands: Sequence[Node]) -> Node | None:
        (first, a), (second, b) = (_scaled(n) for n in operands)
        if a.name != b.name or first.factors or second.factors:
            return None
        self.laws["two-slopes"] += 1
        low, high = sorted((first, second), key=lambda c: c.value)
        return self.slopes(type_, a, low, high) if kind == "maximum" else self.slopes(type_, a, high, low)

    def slopes(self, type_: str, a: Node, below: Coefficient, above: Coefficient) -> Node:
        """Return `below · a` where `a` is negative and `above · a` where it is positive."""
        if below.is_minus_one and above.is_one:
            self.laws["absolute-by-select"] += 1
            return _node("math.absf", type_, (a,))
        if above.value and not above.is_one and not above.factors:
            return self.product(type_, above, [self.slopes(type_, a, below.times(above.inverse()), ONE)], [])
        return _node("slopes", type_, (a,), coefficients=(below, above))

    def select(self, type_: str, condition: Node, a: Node, b: Node) -> Node:
        """Return a choice; a maximum, a minimum or two slopes where it is one."""
        while condition.op == "not":
            condition, a, b = condition.parts[0], b, a
        if a.name == b.name:
            self.laws["select-equal-arms"] += 1
            return a
        if condition.op == "constant":
            return a if condition.coefficients[0].value else b
        if condition.op == "arith.cmpf" and condition.attribute in ("olt", "ole") and type_ in FLOATS:
            x, y = condition.parts
            if (a.name, b.name) in ((x.name, y.name), (y.name, x.name)):
                return self.chosen_extreme(type_, "minimum" if a.name == x.name else "maximum", a, b)
            if (sloped := self._selected_slopes(type_, x, y, a, b)) is not None:
                return sloped
        return _node("arith.select", type_, (condition, a, b))

    def chosen_extreme(self, type_: str, kind: str, a: Node, b: Node) -> Node:
        """Return the maximum or minimum that a comparison and a choice between its operands are; NaN gives `b`."""
        self.laws["unordered-select-is-maximum" if a.op == "constant" else "select-is-maximum"] += 1
        if b.op == "constant":
            self.laws["ordered-select-is-maximum"] += 1
        return self._extreme(kind, type_, [a, b])

    def _selected_slopes(self, type_: str, x: Node, y: Node, a: Node, b: Node) -> Node | None:
        if "constant" not in (x.op, y.op):
            return None
        zero, moving = (x, y) if x.op == "constant" else (y, x)
        if zero.coefficients[0].value != 0:
            return None
        scale, core = _scaled(moving)
        (first, one), (second, two) = _scaled(a), _scaled(b)
        if not (one.name == two.name == core.name) or scale.value == 0 or first.factors or second.factors:
            return None
        below, above = (first, second) if zero is y else (second, first)
        if scale.value < 0:
            below, above = above, below
        self.laws["two-slopes"] += 1
        return self.slopes(type_, core, below, above)

    def compare(self, op: str, predicate: str, a: Node, b: Node) -> Node:
        """Return a comparison by `<`, `<=` or `==`, or its negation."""
        order, relation = (predicate[0], predicate[1:]) if predicate not in ("eq", "ne") else ("", predicate)
        if op == "arith.cmpf":
            if predicate in ("false", "true"):
                return self._number(number(int(predicate == "true")), "i1")
            if predicate in ("ord", "uno"):
                found = _node(op, "i1", (a, b), attribute="ord", commutative=True)
                return found if predicate == "ord" else _not(found)
            if order == "u":
                inverse = {"lt": "oge", "le": "ogt", "gt": "ole", "ge": "olt", "eq": "one", "ne": "oeq"}[relation]
                return _not(self.compare(op, inverse, a, b))
        if relation in ("gt", "ge"):
            a, b, relation = b, a, {"gt": "lt", "ge": "le"}[relation]
        if op == "arith.cmpi":
            if relation == "ne":
                return _not(_node(op, "i1", (a, b), attribute="eq", commutative=True))
            if relation == "le":
                return _not(_node(op, "i1", (b, a), attribute=f"{order}lt"))
        both = relation in ("eq", "ne")
        return _node(op, "i1", (a, b), attribute=order + relation, commutative=both)


class _ExactBuilder(_Builder):
    """Applies only laws that change no bit."""

    def terms(self, a: Node, scale: Coefficient) -> list[tuple[Coefficient, Node]]:
        if a.type not in FLOATS:
            return super().terms(a, scale)
        if a.op == "constant":
            return [(a.coefficients[0].times(scale), _unit(a.type))]
        if a.op == "product" and a.coefficients[0].is_minus_one:
            return [(scale.negated(), _product_of(a.type, ONE, a.factors, a.divisors))]
        return [(scale, a)]

    def sum(self, type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
        if type_ not in FLOATS:
            return super().sum(type_, terms)
        if len(terms) == 2 and terms[0][1].name == terms[1][1].name and terms[0][0] == terms[1][0]:
            return self.product(type_, terms[0][0], [terms[0][1], self._number(number(2), type_)], [])
        return _sum_of(type_, list(terms))

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
                    node = self._rescaled(node, _MINUS_ONE)
                if node.op != "constant" or not node.coefficients[0].is_one:
                    kept.append(node)
        if len(above) == 1 and not below and above[0].op in ("product", "constant"):
            return self._rescaled(above[0], coefficient)
        if not above and not below:
            return self._number(coefficient, type_)
        return _product_of(type_, coefficient, above, below)

    def _rescaled(self, a: Node, scale: Coefficient) -> Node:
        value = a.coefficients[0].times(scale)
        return self._number(value, a.type) if a.op == "constant" else _product_of(a.type, value, a.factors, a.divisors)

    def quotient(self, type_: str, a: Node, b: Node) -> Node:
        if b.op == "constant" and not b.coefficients[0].factors and b.coefficients[0].value:
            inverse = b.coefficients[0].inverse()
            if not inverse.roundings:
                return self.product(type_, ONE, [a, self._number(inverse, type_)], [])
        return self.product(type_, ONE, [a], [b])

    def reciprocal_root(self, type_: str, a: Node) -> Node:
        return _node("math.rsqrt", type_, (a,))

    def multiply_add(self, type_: str, a: Node, b: Node, c: Node) -> Node:
        return _node("math.fma", type_, (a, b, c))

    def power(self, op: str, type_: str, a: Node, b: Node) -> Node:
        exponent = b.coefficients[0]
        if exponent.value == 2 and not exponent.factors:
            return self.product(type_, ONE, [a, a], [])
        return _node(op, type_, (a, b))

    def extreme(self, op: str, type_: str, a: Node, b: Node) -> Node:
        if type_ in FLOATS and "num" in op:
            return _node(op, type_, (a, b), commutative=True)
        return super().extreme(op, type_, a, b)

    def _bounded(self, kind: str, type_: str, a: Node, end: Coefficient) -> Node:
        opposite = "minimum" if kind == "maximum" else "maximum"
        if a.op == opposite and len(a.parts) == 1 and len(a.coefficients) == 1:
            return super()._bounded(kind, type_, a, end)
        return _node(kind, type_, (a,), coefficients=(end,))

    def _two_slopes(self, kind: str, type_: str, operands: Sequence[Node]) -> Node | None:
        return None

    def _selected_slopes(self, type_: str, x: Node, y: Node, a: Node, b: Node) -> Node | None:
        return None

    def chosen_extreme(self, type_: str, kind: str, a: Node, b: Node) -> Node:
        if a.op == "constant" and a.coefficients[0].value:
            return self._extreme(kind, type_, [a, b])
        x, y = (a, b) if kind == "minimum" else (b, a)
        return _node("arith.select", type_, (_node("arith.cmpf", "i1", (x, y), attribute="olt"), a, b))


_MINUS_ONE = number(-1)


def _node(
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
    free = commutative or op in COMMUTATIVE
    keys = tuple(p.key for p in parts)
    names = tuple(p.name for p in parts)
    if op == "product":
        split = len(parts) - divided
        keys = (*sorted(keys[:split]), 0, *sorted(keys[split:]))
        names = (*sorted(names[:split]), 0, *sorted(names[split:]))
    elif op == "sum":
        names = tuple(sorted(hash(pair) for pair in zip(names, coefficients, strict=True)))
        keys = tuple(sorted(keys))
    elif free:
        keys, names = tuple(sorted(keys)), tuple(sorted(names))
    bound = op in ("read", "gather", "index")
    words = f"{op} {type_} {'' if bound else repr(attribute)}"
    # no string's own hash, which differs from process to process: sums are turned by the order of these
    key = hash((crc32(words.encode()), keys, len(coefficients)))
    name = hash((op, type_, names, repr(attribute), () if op == "sum" else coefficients))
    return Node(op, type_, tuple(parts), attribute, coefficients, divided, key, name, at)


def _sum_of(type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
    return _node("sum", type_, [p for _, p in terms], coefficients=tuple(c for c, _ in terms))


def _product_of(type_: str, scale: Coefficient, factors: Sequence[Node], divisors: Sequence[Node]) -> Node:
    if scale.is_one and len(factors) == 1 and not divisors:
        return factors[0]
    return _node("product", type_, (*factors, *divisors), coefficients=(scale,), divided=len(divisors))


def _unit(type_: str) -> Node:
    return _node("unit", type_)


def _not(condition: Node) -> Node:
    return condition.parts[0] if condition.op == "not" else _node("not", "i1", (condition,))


def _scaled(a: Node) -> tuple[Coefficient, Node]:
    """Return a value's constant factor, and the rest."""
    if a.op == "product":
        return a.coefficients[0], _product_of(a.type, ONE, a.factors, a.divisors)
    return ONE, a


def _factors_of(a: Node) -> tuple[Node, ...]:
    if a.op == "unit":
        return ()
    return a.factors if a.op == "product" else (a,)


def _without(a: Node, common: Sequence[Node]) -> Node:
    """Return a product without these factors."""
    if a.op != "product":
        return _node("constant", a.type, coefficients=(ONE,))
    left = list(a.factors)
    for factor in common:
        left.pop(next(i for i, f in enumerate(left) if f.name == factor.name))
    if not left and not a.divided:
        return _node("constant", a.type, coefficients=(a.coefficients[0],))
    return _product_of(a.type, a.coefficients[0], left, a.divisors)


def _scale(terms: Sequence[tuple[Coefficient, Node]]) -> Coefficient:
    """Return the factor that stands before a sum, so that its smallest term has the coefficient 1."""
    moving = [c for c, p in terms if p.op != "unit"] or [c for c, _ in terms]
    if any(c.value == 0 for c in moving):
        return ONE
    smallest = min(moving, key=lambda c: (len(c.factors), str(c.factors), abs(c.value)))
    negative = sum(c.value < 0 for c in moving) * 2 - len(moving)
    if negative == 0:
        negative = _leaning(terms)
    return smallest.size.negated() if negative > 0 else smallest.size


def _leaning(terms: Sequence[tuple[Coefficient, Node]]) -> int:
    """Return 1 if a sum with as many negative terms as others is turned, by the kinds of its terms; 0 if not."""
    signs: dict[int, int] = {}
    for c, p in terms:
        signs[p.key] = signs.get(p.key, 0) + (1 if c.value > 0 else -1)
    return next((1 if signs[key] < 0 else 0 for key in sorted(signs) if signs[key]), 0)


def _turned(coefficient: Coefficient, factors: list[Node]) -> tuple[Coefficient, list[Node]]:
    """Return a negative product of one difference, turned: `-(a - b)` is `b - a`."""
    if coefficient.value >= 0:
        return coefficient, factors
    open_ = [i for i, f in enumerate(factors) if f.op == "sum" and f.type in FLOATS and _is_balanced(f)]
    if len(open_) != 1:
        return coefficient, factors
    return coefficient.negated(), [_negated(f) if i == open_[0] else f for i, f in enumerate(factors)]


def turn_squares(factors: Sequence[Node]) -> Iterator[tuple[Node, ...]]:
    """Yield the factors with a difference that stands an even number of times turned: `(a - b)²` is `(b - a)²`."""
    for name, count in Counter(f.name for f in factors).items():
        first = next(f for f in factors if f.name == name)
        if count % 2 == 0 and first.op == "sum" and first.type in FLOATS and _is_balanced(first):
            yield tuple(_negated(f) if f.name == name else f for f in factors)


def _negated(total: Node) -> Node:
    """Return a sum with the other sign in each term."""
    return _sum_of(total.type, [(c.negated(), p) for c, p in zip(total.coefficients, total.parts, strict=True)])


def _is_balanced(total: Node) -> bool:
    """Return True for a sum of which neither sign is more natural than the other."""
    terms = list(zip(total.coefficients, total.parts, strict=True))
    signs: dict[int, int] = {}
    for c, p in terms:
        signs[p.key] = signs.get(p.key, 0) + (1 if c.value > 0 else -1)
    return not any(signs.values())


def _is_zero_end(a: Node) -> bool:
    return len(a.parts) == 1 and len(a.coefficients) == 1 and a.coefficients[0].value == 0


def _sharpened(quotient: Coefficient, value: Coefficient, scale: Coefficient) -> Coefficient:
    """Return a coefficient divided by the scale; by itself, that is exactly 1."""
    return ONE if value.size == scale.size and value.value == scale.value else quotient


def _to_float(value: Coefficient) -> float:
    return value.value.numerator / value.value.denominator


def _bits(type_: str) -> int:
    return int(type_[1:]) if type_[1:].isdigit() else 64
