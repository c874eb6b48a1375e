"""Laws of functions that frontends spell out: softplus, ELU, and guards against NaN."""

from __future__ import annotations

from collections.abc import Sequence

from ..coefficient import Coefficient
from .laws import Laws
from .node import FLOATS, Node
from .products import MINUS_ONE

_LINEAR_FROM = {"f16": (8, 11), "bf16": (6, 88), "f32": (17, 88), "f64": (37, 709)}
"""Between these, `log1p(exp(x))` is `x` in each type, and `exp(x)` is finite."""
LOSE_DIGITS = frozenset(("math.exp", "math.log"))
"""Operations without which there is no formula that an improved form has in another spelling."""
_STRICT = frozenset(
    ("sum", "product", "maximum", "minimum", "clamp", "slopes", "softplus", "arith.extf", "arith.truncf")
)
"""Values that are NaN where one of their parts is; so are all of `math`."""


class Functions(Laws):
    """Functions that are several operations in one frontend and one, or others, in the next."""

    improves = False
    """True for the form of a dispatch in which formulas that lose digits are those that do not."""

    def joined_terms(
        self, type_: str, terms: Sequence[tuple[Coefficient, Node]]
    ) -> list[tuple[Coefficient, Node]] | None:
        """Return the terms of a sum of floats with two of them as a function; None where no two are."""
        for at, (scale, a) in enumerate(terms):
            for other, (factor, b) in enumerate(terms):
                made = self._joined(type_, scale, a, factor, b) if at != other else None
                if made is not None:
                    return [*self.terms(made, scale), *(t for n, t in enumerate(terms) if n not in (at, other))]
        return None

    def _joined(self, type_: str, scale: Coefficient, a: Node, factor: Coefficient, b: Node) -> Node | None:
        if a.op == "maximum" and scale == factor and _is_end(a, 0) and _is_softplus_of_size(b, a.parts[0]):
            self.applied["softplus"] += 1
            return self.node("softplus", type_, a.parts)
        if a.op == "minimum" and scale == factor.negated() and _is_end(a, 0) and _is_softplus_of_size(b, a.parts[0]):
            self.applied["softplus-of-negated"] += 1
            turned = self.node("softplus", type_, (self.product(type_, MINUS_ONE, a.parts, []),))
            return self.product(type_, MINUS_ONE, [turned], [])
        if self.improves and a.op == "math.exp" and b.op == "unit" and scale == factor.negated():
            self.applied["exponential-less-one"] += 1
            return self.node("math.expm1", type_, a.parts)
        return None

    def logarithm(self, type_: str, a: Node) -> Node:
        """Return `log(a)`."""
        if self.improves and a.op == "product" and a.divided == 1 and not a.factors and a.coefficients[0].is_one:
            self.applied["logarithm-of-reciprocal"] += 1
            return self.product(type_, MINUS_ONE, [self.logarithm(type_, a.divisors[0])], [])
        if self.improves and a.op == "sum":
            left = [(c, p) for c, p in a.terms if p.op != "unit" or not c.is_one]
            if len(left) == len(a.parts) - 1:
                self.applied["logarithm-of-one-more"] += 1
                return self.logarithm_of_one_more(type_, self.sum(type_, left))
        return self.node("math.log", type_, (a,))

    def logarithm_of_one_more(self, type_: str, a: Node) -> Node:
        """Return `log1p(a)`."""
        if self.improves and a.op == "math.exp" and not _is_size_negated(a.parts[0]):
            self.applied["softplus-of-large"] += 1
            return self.node("softplus", type_, a.parts)
        return self.node("math.log1p", type_, (a,))

    def guarded(self, type_: str, condition: Node, a: Node, b: Node) -> Node | None:
        """Return a choice between what a function is for some operands and for others; None for any other choice."""
        if condition.op != "arith.cmpf" or type_ not in FLOATS:
            return None
        x, y = condition.parts
        if x is y and condition.attribute in ("oeq", "ord") and _is_nan_with(a, x) and _is_nan_with(b, x):
            self.applied["nan-by-select"] += 1
            return a
        if condition.attribute not in ("olt", "ole"):
            return None
        return self._guarded_above(type_, x, y, a, b) or self._guarded_above(type_, y, x, b, a)

    def _guarded_above(self, type_: str, end: Node, x: Node, a: Node, b: Node) -> Node | None:
        """Return the choice of `a` where `x` is above a constant, and else of `b`."""
        if end.op != "constant" or end.coefficients[0].factors:
            return None
        low, high = _LINEAR_FROM[type_]
        is_softplus = b.op == "softplus" or (b.op == "math.log1p" and b.parts[0].op == "math.exp")
        if a is x and is_softplus and low <= end.coefficients[0].value <= high:
            argument = b.parts[0] if b.op == "softplus" else b.parts[0].parts[0]
            if argument is x:
                self.applied["softplus"] += 1
                return self.node("softplus", type_, (x,))
        (above, one), (below, two) = self.scaled(a), self.scaled(b)
        if one is x and two.op == "math.expm1" and end.coefficients[0].value == 0:
            low_part = self.cut("minimum", type_, x, end.coefficients[0])
            if two.parts[0] in (x, low_part):
                self.applied["split-at-zero"] += 1
                negative = self.node("math.expm1", type_, (low_part,))
                return self.sum(type_, [(above, self.cut("maximum", type_, x, end.coefficients[0])), (below, negative)])
        return None


def _is_end(a: Node, value: int) -> bool:
    return len(a.parts) == 1 and len(a.coefficients) == 1 and a.coefficients[0].value == value


def _is_size_negated(a: Node) -> bool:
    """Return True for `-absf(x)`."""
    return a.op == "product" and len(a.parts) == 1 and a.coefficients[0].is_minus_one and a.parts[0].op == "math.absf"


def _is_softplus_of_size(a: Node, x: Node) -> bool:
    """Return True for `log1p(exp(-absf(x)))`."""
    if a.op != "math.log1p" or a.parts[0].op != "math.exp":
        return False
    inside = a.parts[0].parts[0]
    return _is_size_negated(inside) and inside.parts[0].parts[0] is x


def _is_nan_with(a: Node, x: Node) -> bool:
    """Return True for a value that is NaN where `x` is."""
    strict = a.op in _STRICT or a.op.startswith("math.")
    return a is x or (strict and any(_is_nan_with(part, x) for part in a.parts))
