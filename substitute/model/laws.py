"""The laws by which a definition and a dispatch are normalised before they are compared, one line each.

`match/normal` builds the form; `runtime_tests/match/test_laws.py` evaluates both sides of every law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Mode = Literal["all", "exact"]
"""Laws that a kernel accepts: all, or those that change no bit of any result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Two spellings of one value."""

    name: str
    left: str
    right: str
    ulps: float = 0.0
    """Largest difference of the sides, in units in the last place of the largest intermediate number; 0: no bit
    differs."""
    but: str = ""
    """Operands for which the sides differ nevertheless: `-0` (of either sign, or as the result), `∞`, `NaN`, `range`
    (overflow or underflow of an intermediate result)."""

    one_way: bool = False
    """True where a definition of the right side takes a dispatch of the left side, and not the other way round: it is
    nearer to the real numbers, so that the bound of the dispatch has room for it."""
    rounds_less: bool = False
    """True where the left side is a dispatch of f16 or bf16, and the right side a definition in f32 that rounds at its
    end alone. The other way round is no law: such a kernel would be less exact than its dispatch."""

    approximates: float = 0.0
    """Units in the last place by which the sides of a one-way law differ as real numbers."""

    @property
    def widening(self) -> float:
        """Units in the last place, for each rounding of the dispatch, by which its bound is widened.

        Roundings that a kernel does not do are in the bound already; a constant that the dispatch rounded, and the
        error of a formula without any rounding, are not.
        """
        return self.approximates if self.one_way else self.ulps

    @property
    def concerns_special(self) -> bool:
        """True if the sides differ for some NaN or infinity."""
        return "NaN" in self.but or "∞" in self.but

    @property
    def is_exact(self) -> bool:
        """True if both sides have the same bits for all operands; the bits of a NaN do not count."""
        return not self.ulps and not self.but


def _exact(name: str, left: str, right: str) -> Law:
    return Law(name=name, left=left, right=right)


def _near(name: str, left: str, right: str, ulps: float = 0.0, but: str = "") -> Law:
    return Law(name=name, left=left, right=right, ulps=ulps, but=but)


def _better(name: str, left: str, right: str, ulps: float, but: str) -> Law:
    return Law(name=name, left=left, right=right, ulps=ulps, but=but, one_way=True)


def _rounds_less(name: str, left: str, right: str, ulps: float, approximates: float = 0.0) -> Law:
    return Law(
        name=name,
        left=left,
        right=right,
        ulps=ulps,
        but="range",
        one_way=True,
        rounds_less=True,
        approximates=approximates,
    )


def _approximation(name: str, left: str, right: str, ulps: float) -> Law:
    return Law(name=name, left=left, right=right, ulps=ulps, one_way=True, approximates=4.0)


def _truncation(name: str, left: str, right: str) -> Law:
    return Law(name=name, left=left, right=right, ulps=2, but="range", one_way=True, approximates=1.0)


def _polynomial(x: str, *coefficients: float) -> str:
    """Return `c0 + x * (c1 + x * (…))`."""
    text = repr(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        text = f"({coefficient!r} + {x} * {text})"
    return text


# one spelling of many: near zero the series of erf, else the exponential of a polynomial in 1 / (1 + |a| / 2)
_SERIES = [(-1) ** n / (math.factorial(n) * (2 * n + 1)) * 2 / math.sqrt(math.pi) for n in range(12)]
_TAIL_COEFFICIENTS = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806),
    *(0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277),
)
_NEARNESS = "(1.0 / (1.0 + absf(a) * 0.5))"
_TAIL = f"{_NEARNESS} * exp({_polynomial(_NEARNESS, *_TAIL_COEFFICIENTS)} - a * a)"
_NEAR_ZERO = f"a * {_polynomial('(a * a)', *_SERIES)}"
_ERF = f"select(lt(absf(a), 1.0), {_NEAR_ZERO}, select(lt(a, 0.0), {_TAIL} - 1.0, 1.0 - {_TAIL}))"
_ERFC = f"select(lt(absf(a), 0.25), 1.0 - {_NEAR_ZERO}, select(lt(a, 0.0), 2.0 - {_TAIL}, {_TAIL}))"
_SOFTPLUS_OF_NEGATED = "-(maximumf(-a, 0.0) + log1p(exp(-absf(a))))"
_BELOW = "select(lt(a, -0.5), c, d)"


# fmt: off
_ALL = (
    _exact("commute", "a + b", "b + a"),
    _exact("commute-product", "a * b", "b * a"),
    _exact("subtract", "a - b", "a + -b"),
    _exact("negate-twice", "-(-a)", "a"),
    _exact("sign-of-product", "(-a) * b", "-(a * b)"),
    _exact("sign-of-quotient", "(-a) / b", "-(a / b)"),
    _exact("times-minus-one", "a * -1.0", "-a"),
    _exact("times-one", "a * 1.0", "a"),
    _exact("divided-by-power-of-two", "a / 8.0", "a * 0.125"),
    _exact("square", "powf(a, 2.0)", "a * a"),
    _exact("square-by-integer", "fpowi(a, 2)", "a * a"),
    _exact("square-of-absolute", "absf(a) * absf(a)", "a * a"),
    _exact("compare-swapped", "gt(a, b)", "lt(b, a)"),
    _exact("select-swapped", "select(not(p), a, b)", "select(p, b, a)"),
    _exact("select-equal-arms", "select(p, a, a)", "a"),
    _exact("unordered-select-is-maximum", "select(ugt(a, 2.0), a, 2.0)", "maximumf(a, 2.0)"),
    _exact("unordered-select-is-minimum", "select(ult(a, 2.0), a, 2.0)", "minimumf(a, 2.0)"),
    _exact("ordered-select-is-maximum-of-constant", "select(olt(a, 2.0), 2.0, a)", "maximumf(a, 2.0)"),
    _exact("maximum-of-several", "maximumf(maximumf(a, b), c)", "maximumf(a, maximumf(b, c))"),
    _exact("clamp-order", "maximumf(minimumf(a, 6.0), 1.0)", "minimumf(maximumf(a, 1.0), 6.0)"),
    _exact("odd-function", "tanh(-a)", "-tanh(a)"),
    _exact("even-function", "cos(-a)", "cos(a)"),
    _exact("absolute-of-negated", "absf(-a)", "absf(a)"),
    _exact("extended-and-truncated", "truncf(extf(a))", "a"),
    _near("associate", "(a + b) + c", "a + (b + c)", 2, "range"),
    _near("associate-product", "(a * b) * c", "a * (b * c)", 2, "range"),
    _near("quotient-as-product", "a / b", "a * (1.0 / b)", 2, "range"),
    _near("quotient-of-quotient", "(a / b) / c", "a / (b * c)", 2, "range"),
    _near("reciprocal-of-constant", "a / 3.0", "a * 0.3333333432674408", 2, "range"),
    _near("merge-constants", "(a * 3.0) * 0.7", "a * 2.1", 3, "range"),
    _near("merge-added-constants", "(a + 3.0) + 0.7", "a + 3.7", 3, "range"),
    _near("reciprocal-root", "1.0 / sqrt(a)", "rsqrt(a)", 3, "range"),
    _near("cube", "powf(a, 3.0)", "a * a * a", 3, "range"),
    _near("root-by-power", "powf(a, 0.5)", "sqrt(a)", 2, "-0, ∞"),
    _near("reciprocal-root-by-power", "powf(a, -0.5)", "rsqrt(a)", 3, "-0, ∞"),
    _near("common-factor", "a * b + a * c", "a * (b + c)", 3, "∞, range"),
    _near("scale-of-sum", "(a + 3.0) * 0.1", "a * 0.1 + 0.3", 3, "range"),
    _near("scale-of-clamp", "maximumf(a, 5.1) * 0.3", "maximumf(a * 0.3, 1.53)", 3, "range"),
    _near("negated-difference", "-(a - b)", "b - a", but="-0"),
    _near("difference-to-zero", "0.0 - a", "-a", but="-0"),
    _near("plus-zero", "a + 0.0", "a", but="-0"),
    _exact("twice", "a + a", "2.0 * a"),
    _near("ordered-select-is-maximum", "select(ogt(a, 2.0), a, 2.0)", "maximumf(a, 2.0)", but="NaN"),
    _near("select-is-maximum", "select(ogt(a, b), a, b)", "maximumf(a, b)", but="NaN, -0"),
    _near("two-slopes", "select(gt(a, 0.0), a, a * -0.1)", "select(lt(a, 0.0), a * -0.1, a)", but="-0"),
    _near("slopes-as-sum", "maximumf(a, 0.0) + minimumf(a, 0.0) * 0.1", "select(lt(a, 0.0), a * 0.1, a)", 1, "-0"),
    _near("absolute-by-select", "select(lt(a, 0.0), -a, a)", "absf(a)", but="-0"),
    _near("fused-multiply-add", "fma(a, b, c)", "a * b + c", 1, "range"),
    _exact("nan-by-select", "select(une(a, a), a, exp(a))", "exp(a)"),
    _exact("nan-by-select-of-negated", "select(une(a, a), -a, exp(a))", "exp(a)"),
    _near("softplus", "select(gt(a, 20.0), a, log1p(exp(a)))", "maximumf(a, 0.0) + log1p(exp(-absf(a)))", 3),
    _near("split-at-zero", "select(gt(a, 0.0), a, expm1(a))", "maximumf(a, 0.0) + expm1(minimumf(a, 0.0))", but="-0"),
    _near("softplus-of-negated", "minimumf(a, 0.0) - log1p(exp(-absf(a)))", _SOFTPLUS_OF_NEGATED, but="-0"),
    _near("complement-of-comparison", "select(ole(a, b), c, d)", "select(gt(a, b), d, c)", but="NaN"),
    _exact("disjoint-ranges", f"select(gt(a, 0.5), b, {_BELOW})", "select(lt(a, -0.5), c, select(gt(a, 0.5), b, d))"),
    _exact("outside-as-absolute", "select(lt(a, -0.5), b, select(gt(a, 0.5), b, c))", "select(gt(absf(a), 0.5), b, c)"),
    _near("gate-at-zero", "select(oge(a, 0.0), a, a * b)", "select(gt(a, 0.0), a, a * b)", but="-0, ∞, NaN"),
    _near("gate-as-sum", "maximumf(a, 0.0) + b * minimumf(a, 0.0)", "select(lt(a, 0.0), a * b, a)", but="-0, ∞, NaN"),
    _near("masked-by-sum", "a + select(p, -1e999, 0.0)", "select(p, -1e999, a)", but="-0, ∞, NaN"),
    _near("blend", "a * (1.0 - c) + b * c", "a + c * (b - a)", 4, "∞, range"),
    _better("logarithm-of-reciprocal", "log(1.0 / a)", "-log(a)", 2, "range"),
    _better("exponential-less-one", "exp(a) - 1.0", "expm1(a)", 2, "range"),
    _better("logarithm-of-one-more", "log(1.0 + a)", "log1p(a)", 2, "range"),
    _better("softplus-of-large", "log1p(exp(a))", "select(gt(a, 20.0), a, log1p(exp(a)))", 2, "range"),
    _rounds_less("round-less", "a * b + c", "wide(a * b + c)", 1.5),
    _rounds_less("narrow-constant", "a * 0.1", "wide(a * 0.1)", 2, approximates=0.5),
    _truncation("truncated-constant", "a * 0.04999999701976776", "a * 0.05"),
    _approximation("error-function", _ERF, "erf(a)", 8),
    _approximation("complement-of-error-function", _ERFC, "erfc(a)", 8),
)
# fmt: on

LAWS: dict[str, Law] = {law.name: law for law in _ALL}
