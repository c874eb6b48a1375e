"""Laws of sums: they are flat, constants are merged, and common factors are factored out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..coefficient import ONE, Coefficient, number
from .laws import Laws
from .node import FLOATS, Kind, Node, in_order


class Sums(Laws):
    """Sums and differences."""

    def terms(self, a: Node, scale: Coefficient) -> list[tuple[Coefficient, Node]]:
        """Return the summands of a value."""
        if a.op == "sum":
            self.applied["associate"] += 1
            return [(c.times(scale), p) for c, p in zip(a.coefficients, a.parts, strict=True)]
        if a.op == "constant":
            return [(a.coefficients[0].times(scale), self.unit(a.type))]
        if a.op == "product" and not a.coefficients[0].is_one:
            inner = a.coefficients[0].times(scale)
            if len(a.parts) == 1 and not a.divided:
                if a.parts[0].op == "sum":
                    self.applied["scale-of-sum"] += 1
                    return self.terms(a.parts[0], inner)
                return [(inner, a.parts[0])]
            return [(inner, self.product_of(a.type, ONE, a.factors, a.divisors))]
        return [(scale, a)]

    def sum(self, type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
        """Return the sum of scaled nodes, none of which is a sum or a scaled one."""
        merged = self._merged(terms)
        if len(merged) > 1:
            kept = [(c, p) for c, p in merged if not (p.op == "unit" and c.value == 0)]
            if len(kept) < len(merged):
                self.applied["plus-zero"] += 1
            merged = kept
        if not merged:
            return self.number(number(0), type_)
        if len(merged) == 1:
            (coefficient, part) = merged[0]
            if part.op == "unit":
                return self.number(coefficient, type_)
            return self.product(type_, coefficient, [part], [])
        if type_ not in FLOATS:
            return self.sum_of(type_, merged)
        if (sloped := self._slopes_of_sum(type_, merged)) is not None:
            return self.sum(type_, sloped)
        if (joined := self.joined_terms(type_, merged)) is not None:
            return self.sum(type_, joined)
        if (masked := self._masked(type_, merged)) is not None:
            return masked
        if (blended := self._blended(type_, merged)) is not None:
            return self.sum(type_, blended)
        common = self._common(merged)
        if common:
            self.applied["common-factor"] += 1
            rest = [(c, self._without(p, common)) for c, p in merged]
            inner = self.sum(type_, [t for c, p in rest for t in self.terms(p, c)])
            return self.product(type_, ONE, [*common, inner], [])
        scale = _scale(merged)
        if scale.is_one:
            return self.sum_of(type_, merged)
        self.applied["negated-difference" if scale.is_minus_one else "scale-of-sum"] += 1
        inverse = scale.inverse()
        exact = [(_sharpened(c.times(inverse), c, scale), p) for c, p in merged]
        return self.product_of(type_, scale, (self.sum_of(type_, exact),), ())

    def _merged(self, terms: Sequence[tuple[Coefficient, Node]]) -> list[tuple[Coefficient, Node]]:
        merged: list[tuple[Coefficient, Node]] = []
        for coefficient, part in terms:
            for at, (known, other) in enumerate(merged):
                if other is part and (total := known.plus(coefficient)) is not None:
                    if total.value == 0 and part.op != "unit":
                        continue  # a - a is NaN for infinities
                    self.applied["merge-added-constants" if part.op == "unit" else "common-factor"] += 1
                    merged[at] = (total, other)
                    break
            else:
                merged.append((coefficient, part))
        return merged

    def _common(self, terms: Sequence[tuple[Coefficient, Node]]) -> list[Node]:
        """Return a factor of all terms."""
        first = _factors_of(terms[0][1])
        for factor in first:
            if all(any(f is factor for f in _factors_of(p)) for _, p in terms[1:]):
                return [factor]
        return []

    def _slopes_of_sum(
        self, type_: str, terms: list[tuple[Coefficient, Node]]
    ) -> list[tuple[Coefficient, Node]] | None:
        """Return the terms with `a·max(x, 0) + b·min(x, 0)` as one term."""
        for at, (up, above) in enumerate(terms):
            if above.op != "maximum" or not _is_zero_end(above):
                continue
            for other, (down, below) in enumerate(terms):
                if below.op == "minimum" and _is_zero_end(below) and below.parts[0] is above.parts[0]:
                    self.applied["slopes-as-sum"] += 1
                    rest = [t for n, t in enumerate(terms) if n not in (at, other)]
                    return [*rest, *self.terms(self.slopes(type_, above.parts[0], down, up), ONE)]
                gated = self._gate_of_sum(type_, (up, above), (down, below))
                if gated is not None:
                    rest = [t for n, t in enumerate(terms) if n not in (at, other)]
                    return [*rest, *self.terms(gated, ONE)]
        return None

    def _gate_of_sum(self, type_: str, up: tuple[Coefficient, Node], down: tuple[Coefficient, Node]) -> Node | None:
        """Return `max(x, 0) + w·min(x, 0)` as a choice by the sign of `x`."""
        (scale, above), (factor, product) = up, down
        if product.op != "product" or product.divided:
            return None
        x = above.parts[0]
        low = [p for p in product.factors if p.op == "minimum" and _is_zero_end(p) and p.parts[0] is x]
        if len(low) != 1 or not scale.is_one:
            return None
        self.applied["gate-as-sum"] += 1
        return self.gate(type_, x, self.product(type_, factor, [*self._but(product.factors, low[0]), x], []), x)

    def _masked(self, type_: str, terms: list[tuple[Coefficient, Node]]) -> Node | None:
        """Return `a + select(p, -∞, 0)` as `select(p, -∞, a)`."""
        for at, (scale, mask) in enumerate(terms):
            if mask.op != "arith.select" or not scale.is_one or len(terms) < 2:
                continue
            condition, a, b = mask.parts
            ends = [p.op == "special" and p.attribute == "-inf" for p in (a, b)]
            zero = [p.op == "constant" and p.coefficients[0].value == 0 for p in (a, b)]
            if (ends[0] and zero[1]) or (ends[1] and zero[0]):
                self.applied["masked-by-sum"] += 1
                rest = self.sum(type_, [t for n, t in enumerate(terms) if n != at])
                return self.select(type_, condition, *((a, rest) if ends[0] else (rest, b)))
        return None

    def _blended(self, type_: str, terms: list[tuple[Coefficient, Node]]) -> list[tuple[Coefficient, Node]] | None:
        """Return the terms with `a·(1 - c) + b·c` as `a + c·(b - a)`."""
        for at, (scale, outer) in enumerate(terms):
            inside = next((f for f in outer.factors if _is_complement(f)), None) if outer.op == "product" else None
            if inside is None or outer.divided:
                continue
            ((one, _), (_, weight)) = sorted(inside.terms, key=lambda t: t[1].op != "unit")
            for other, (factor, near) in enumerate(terms):
                if other == at or near.op != "product" or near.divided or weight not in near.factors:
                    continue
                self.applied["blend"] += 1
                far = self.product(type_, ONE, self._but(outer.factors, inside), [])
                close = self.product(type_, ONE, self._but(near.factors, weight), [])
                change = self.sum(type_, [*self.terms(close, factor), *self.terms(far, scale.times(one).negated())])
                rest = [t for n, t in enumerate(terms) if n not in (at, other)]
                scale = scale.times(one)
                moved = self.product(type_, ONE, [weight, change], [])
                return [*rest, *self.terms(far, scale), *self.terms(moved, ONE)]
        return None

    @staticmethod
    def _but(factors: Sequence[Node], one: Node) -> list[Node]:
        left = list(factors)
        left.remove(one)
        return left

    def _without(self, a: Node, common: Sequence[Node]) -> Node:
        """Return a product without these factors."""
        if a.op != "product":
            return self.number(ONE, a.type)
        left = list(a.factors)
        for factor in common:
            left.remove(factor)
        if not left and not a.divided:
            return self.number(a.coefficients[0], a.type)
        return self.product_of(a.type, a.coefficients[0], left, a.divisors)


def is_balanced(total: Node) -> bool:
    """Return True for a sum with no preferred sign."""
    return not any(_count_signs(total.terms).values())


def _count_signs(terms: Iterable[tuple[Coefficient, Node]]) -> dict[Kind, int]:
    """Return the surplus of positive over negative terms of each kind."""
    signs: dict[Kind, int] = {}
    for c, p in terms:
        signs[p.kind] = signs.get(p.kind, 0) + (1 if c.value > 0 else -1)
    return signs


def _factors_of(a: Node) -> tuple[Node, ...]:
    if a.op == "unit":
        return ()
    return a.factors if a.op == "product" else (a,)


def _scale(terms: Sequence[tuple[Coefficient, Node]]) -> Coefficient:
    """Return the factor of a sum for which its smallest term has the coefficient 1."""
    moving = [c for c, p in terms if p.op != "unit"] or [c for c, _ in terms]
    if any(c.value == 0 for c in moving):
        return ONE
    smallest = min(moving, key=lambda c: (len(c.factors), str(c.factors), abs(c.value)))
    negative = sum(c.value < 0 for c in moving) * 2 - len(moving)
    if negative == 0:
        negative = _leaning(terms)
    return smallest.size.negated() if negative > 0 else smallest.size


def _leaning(terms: Sequence[tuple[Coefficient, Node]]) -> int:
    """Return 1 if a sum with as many negative terms as others is to be negated, by the kinds of its terms; 0 if not."""
    signs = _count_signs(terms)
    return next((1 if signs[kind] < 0 else 0 for kind in in_order(list(signs)) if signs[kind]), 0)


def _is_complement(a: Node) -> bool:
    """Return True for `1 - c` or `c - 1`."""
    if a.op != "sum" or len(a.parts) != 2 or all(p.op != "unit" for p in a.parts):
        return False
    (first, second) = a.coefficients
    return first.size.is_one and second.size.is_one and first == second.negated()


def _is_zero_end(a: Node) -> bool:
    return len(a.parts) == 1 and len(a.coefficients) == 1 and a.coefficients[0].value == 0


def _sharpened(quotient: Coefficient, value: Coefficient, scale: Coefficient) -> Coefficient:
    """Return a coefficient divided by the scale; exactly 1 if they are equal."""
    return ONE if value.size == scale.size and value.value == scale.value else quotient
