"""Float operations in float64, and bounds on the error of a rounded computation of each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .numbers import Arithmetic, Array, Element, Num

FloatRule = Callable[[Arithmetic, Element, list[Num]], Num]
LEAST = float(np.nextafter(0.0, 1.0))
"""The smallest error that is none."""


def _depth(operands: list[Num]) -> int:
    return max((operand.depth for operand in operands), default=1)


def _total(*errors: Array | None) -> Array | None:
    known = [error for error in errors if error is not None]
    return np.asarray(sum(known[1:], known[0])) if known else None


def _add(sign: int) -> FloatRule:
    def rule(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        a, b = operands
        value = a.value + b.value if sign > 0 else a.value - b.value
        return how.rounded(value, _total(a.error, b.error), element, depth=_depth(operands))

    return rule


def _multiply(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    a, b = operands
    product = how.rounded_if_inexact(a.value * b.value, product_error(a, b), element, depth=_depth(operands))
    if how.certain_zeros or not how.bounds:
        return product
    hidden = ((a.value == 0) & ~np.isfinite(b.value)) | ((b.value == 0) & ~np.isfinite(a.value))
    return _uncertain_where(np.asarray(hidden), product)


def _uncertain_where(uncertain: Array, number: Num) -> Num:
    """Return a number whose value says nothing in some elements, though it may be infinite or NaN there."""
    if not uncertain.any():
        return number
    doubt = uncertain if number.doubt is None else uncertain | number.doubt
    return Num(number.value, number.error, number.depth, doubt)


def product_error(a: Num, b: Num) -> Array | None:
    """Return the error of a·b without that of its own rounding."""
    terms = []
    if a.error is not None:
        terms.append(a.error * np.abs(b.value))
    if b.error is not None:
        terms.append(np.abs(a.value) * b.error)
    if a.error is not None and b.error is not None:
        terms.append(a.error * b.error)
    return _total(*terms)


def _divide(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    a, b = operands
    value = a.value / b.value
    error = a.error
    if b.error is not None:
        error = _total(error, np.abs(value) * b.error)
    if error is not None:
        divisor = np.abs(b.value) - (0.0 if b.error is None else b.error)
        error = np.where(divisor > 0, error / np.where(divisor > 0, divisor, 1.0), np.inf)
    # GPUs divide by multiplying with an approximate reciprocal: 2.5 ULP in Vulkan, 2 in CUDA's fast mode
    quotient = how.rounded(value, error, element, ulps=5.0, depth=_depth(operands))
    if how.certain_zeros or not how.bounds:
        return quotient
    size = np.abs(b.value)
    return _uncertain_where((size < element.smallest) | (size > 1 / element.smallest), quotient)


def _remainder(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    a, b = operands
    value = np.fmod(a.value, b.value)
    error = _total(a.error, b.error)
    if error is not None:  # a step of the quotient changes the result by b
        near = (np.abs(value) <= error) | (np.abs(value) + error >= np.abs(b.value))
        error = np.where(near, np.inf, error * (1 + np.abs(np.trunc(a.value / b.value))))
    return how.rounded(value, error, element, ulps=4.0, depth=_depth(operands))


def _extremum(function: Callable[[Array, Array], Array]) -> FloatRule:
    def rule(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        a, b = operands
        value = function(a.value, b.value)
        zeros = (a.value == 0) & (b.value == 0)
        if np.any(zeros):  # NumPy returns either of them; -0 is less than 0 (IEEE 754-2019, 9.6)
            least = function in (np.minimum, np.fmin)
            with np.errstate(invalid="ignore", over="ignore"):
                value = np.where(zeros, -(-a.value - b.value) if least else a.value + b.value, value)
        error = None
        if a.error is not None or b.error is not None:
            loose = np.maximum(a.errors(), b.errors())
            with np.errstate(invalid="ignore"):
                # the result rises with both operands: where it is certainly cut off, there is no error left
                above = function(a.value + a.errors(), b.value + b.errors()) - value
                below = value - function(a.value - a.errors(), b.value - b.errors())
                error = np.maximum(above, below)
            error = np.where(np.isfinite(error) & np.isfinite(loose), error, loose)
        if function in (np.fmin, np.fmax) and how.bounds and np.any(zeros):
            # `maxnumf` and `minnumf` may return either zero: its sign is a matter of the least error
            either = zeros & (np.signbit(a.value) != np.signbit(b.value))
            error = np.where(either, LEAST, np.zeros(1) if error is None else error) if np.any(either) else error
        return how.rounded(value, error, element, ulps=0.0, depth=_depth(operands))

    return rule


def monotone(
    function: Callable[[Array], Array], ulps: float, domain: tuple[float, float] = (-np.inf, np.inf)
) -> FloatRule:
    """Return the rule of a function that is monotone on its domain: its error is found at both ends of the operand's.

    Where the operand may lie on either side of the domain's edge, the result may be NaN or a number.
    """

    def rule(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        (x,) = operands
        value = function(x.value)
        if x.error is None:
            return how.rounded(value, None, element, ulps=ulps, depth=x.depth)
        with np.errstate(all="ignore"):
            above = function(np.clip(x.value + x.error, *domain))
            below = function(np.clip(x.value - x.error, *domain))
            error = np.maximum(np.abs(above - value), np.abs(value - below))
            either = np.zeros(np.broadcast_shapes(np.shape(value), np.shape(x.error)), bool)
            for edge in filter(np.isfinite, domain):
                either |= np.abs(x.value - edge) < x.error
        return _uncertain_where(either, how.rounded(value, error, element, ulps=ulps, depth=x.depth))

    return rule


def _exponential(function: Callable[[Array], Array], base: float) -> FloatRule:
    """Return the rule of 2^(x·log2 base) with a rounded product, whose relative error grows with |x|."""

    def rule(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        (x,) = operands
        value = function(x.value)
        if not how.bounds:
            return how.rounded(value, None, element, depth=x.depth)
        spread = (1.5 * np.abs(x.value) * how.unit(element)) + x.errors()
        error = value * np.expm1(np.minimum(spread * math.log(base), 700.0))
        return how.rounded(value, error, element, ulps=4.0, depth=x.depth)

    return rule


def lipschitz(function: Callable[[Array], Array], ulps: float, slope: float, absolute: float = 0.0) -> FloatRule:
    """Return the rule of a function of bounded slope; `absolute` is an implementation's error in unit roundoffs of
    1.
    """

    def rule(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        (x,) = operands
        error = None if x.error is None else slope * x.error
        if absolute and how.bounds:
            error = _total(error, np.asarray(absolute * how.unit(element)))
        return how.rounded(function(x.value), error, element, ulps=ulps, depth=x.depth)

    return rule


def _trigonometric(function: Callable[[Array], Array]) -> FloatRule:
    """Return the rule of a sine or cosine; reducing a large argument costs accuracy where instructions are
    approximate.
    """

    def rule(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        (x,) = operands
        error = None
        if how.bounds:
            error = np.minimum(x.errors() + how.unit(element) * (8.0 + np.abs(x.value)), 2.0)
            error = np.where(np.isinf(x.errors()), np.inf, error)  # an infinite operand gives NaN
        return how.rounded(function(x.value), error, element, ulps=4.0, depth=x.depth)

    return rule


def _composed(
    rule: FloatRule, spread: Callable[[Array], Array], domain: tuple[float, float] | None = None, squares: bool = False
) -> FloatRule:
    """Return a rule with the error of IREE's formula for the function, which applies if `Arithmetic.composed` is set.

    The formulas: sin/cos, (eˣ − e⁻ˣ)/2, log(x + √(x² ± 1)), log((1 + x)/(1 − x))/2, eˣ − 1, log(1 + x), e^(log(x)/3).
    `spread` is the
    error in unit roundoffs of 1. Outside of `domain` the result is undefined, and with `squares` where x² overflows.
    """

    def apply(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        (x,) = operands
        found = rule(how, element, operands)
        if not (how.bounds and how.composed):
            return found
        size = np.abs(np.asarray(x.value, np.float64))
        with np.errstate(all="ignore"):
            error = found.errors() + how.unit(element) * spread(size)
            doubt = np.isnan(error)
            if domain is not None:
                doubt = doubt | (x.value < domain[0]) | (x.value > domain[1])
            if squares:
                doubt = doubt | (size * size > element.largest)
        return _uncertain_where(doubt, Num(found.value, error, found.depth, found.doubt))

    return apply


def _flat(size: Array) -> Array:
    return np.full(np.shape(size), 8.0)


def _of_root(size: Array) -> Array:
    """Return the error of the logarithm in e^(log(x)/3), relative to the result."""
    return np.where((size > 0) & np.isfinite(size), np.cbrt(size) * 4.0 * np.abs(np.log(size)), 0.0)


def _bent(function: Callable[[Array], Array], ulps: float) -> FloatRule:
    """Return the rule of an even function that rises with |x|."""

    def rule(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
        (x,) = operands
        value = function(x.value)
        error = None
        if x.error is not None:
            error = (
                function(np.abs(x.value) + x.error)
                - value
                + np.abs(value - function(np.maximum(np.abs(x.value) - x.error, 0)))
            )
        return how.rounded(value, error, element, ulps=ulps, depth=x.depth)

    return rule


def _power(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    a, b = operands
    exponent = b.value.astype(np.float64)
    value = np.power(a.value, exponent)
    error = None
    if how.bounds:
        with np.errstate(all="ignore"):
            # 2^(b·log2 a), where the product is rounded
            certain = (a.value == 0) | (exponent == 0)
            spread = np.abs(exponent * np.log(np.abs(np.where(certain, 1.0, a.value))))
            relative = 2.0 * how.unit(element) * spread
            if a.error is not None:
                room = np.abs(a.value) - a.error
                relative = relative + np.abs(exponent) * np.where(room > 0, a.error / room, np.inf)
            if b.error is not None:
                relative = relative + b.error * np.abs(np.log(np.abs(a.value)))
            error = np.abs(value) * np.expm1(np.minimum(relative, 700.0))
            if a.error is not None:
                at_zero = np.abs(a.value) <= a.error
                error = np.where(
                    at_zero & (exponent > 0), np.power(np.abs(a.value) + a.error, exponent) + np.abs(value), error
                )
    result = how.rounded(value, error, element, ulps=16.0, depth=_depth(operands))
    if not (how.bounds and how.composed):
        return result
    with np.errstate(all="ignore"):  # C defines a result where 2^(b·log2 a) is undefined, as for 0^0
        logarithm = exponent * np.log2(np.abs(a.value))
    lost = np.isnan(logarithm) & ~np.isnan(a.value) & ~np.isnan(exponent)
    return _uncertain_where(lost | ((a.value < 0) & np.isinf(exponent)), result)


def _arc_tangent2(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    y, x = operands
    error = None
    if y.error is not None or x.error is not None:
        radius = np.hypot(x.value, y.value) - x.errors() - y.errors()
        error = np.where(radius > 0, (x.errors() + y.errors()) / np.where(radius > 0, radius, 1.0), np.inf)
        cut = (np.abs(y.value) <= y.errors()) & (x.value - x.errors() < 0)
        error = np.where(cut, np.inf, error)
    if how.bounds and how.composed:  # on the cut the sign of a zero decides, which IREE's formula does not keep
        cut = (y.value == 0) & ((x.value < 0) | (x.value == 0))
        if cut.any():
            error = np.where(cut, np.inf, 0.0 if error is None else error)
    return how.rounded(np.arctan2(y.value, x.value), error, element, ulps=4096.0, depth=_depth(operands))


def _fused(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    a, b, c = operands
    error = _total(product_error(a, b), c.error, np.abs(a.value * b.value) * how.unit(element) if how.bounds else None)
    return how.rounded(a.value * b.value + c.value, error, element, depth=_depth(operands))


def _copysign(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    a, b = operands
    error = a.error
    if how.bounds:  # the sign of what is near zero may be either, and that of a NaN is unspecified
        near = np.abs(b.value) <= b.error if b.error is not None else False
        error = np.where(near | np.isnan(b.value), np.inf, a.errors())
    return how.rounded(np.copysign(a.value, b.value), error, element, ulps=0.0, depth=_depth(operands))


def _clamp(how: Arithmetic, element: Element, operands: list[Num]) -> Num:
    x, low, high = operands
    inner = _extremum(np.maximum)(how, element, [x, low])
    return _extremum(np.minimum)(how, element, [inner, high])


def _each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """Return a function of Python's `math` applied to every element."""

    def apply(x: Array) -> Array:
        x = np.asarray(x, np.float64)
        return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)

    return apply


def _round_half_away(x: Array) -> Array:
    # adding ½ would round 0.49999999999999994 up
    whole = np.trunc(x)
    return whole + np.where(np.abs(x - whole) >= 0.5, np.copysign(1.0, x), 0.0)


FLOATS: tuple[tuple[str, FloatRule], ...] = (
    ("arith.addf", _add(1)),
    ("arith.subf", _add(-1)),
    ("arith.mulf", _multiply),
    ("arith.divf", _divide),
    ("arith.remf", _remainder),
    ("arith.negf", lipschitz(np.negative, 0.0, 1.0)),
    ("arith.maximumf", _extremum(np.maximum)),
    ("arith.minimumf", _extremum(np.minimum)),
    ("arith.maxnumf", _extremum(np.fmax)),
    ("arith.minnumf", _extremum(np.fmin)),
    ("math.absf", lipschitz(np.abs, 0.0, 1.0)),
    ("math.exp", _exponential(np.exp, math.e)),
    ("math.exp2", _exponential(np.exp2, 2.0)),
    ("math.expm1", _composed(monotone(np.expm1, 32.0), _flat)),
    ("math.log", monotone(np.log, 8.0, (0.0, np.inf))),
    ("math.log2", monotone(np.log2, 8.0, (0.0, np.inf))),
    ("math.log10", monotone(np.log10, 8.0, (0.0, np.inf))),
    ("math.log1p", _composed(monotone(np.log1p, 32.0, (-1.0, np.inf)), _flat)),
    ("math.sqrt", monotone(np.sqrt, 4.0, (0.0, np.inf))),
    ("math.rsqrt", monotone(lambda x: 1.0 / np.sqrt(x), 8.0, (0.0, np.inf))),
    ("math.cbrt", _composed(monotone(np.cbrt, 16.0), _of_root)),
    ("math.tanh", lipschitz(np.tanh, 32.0, 1.0, absolute=4.0)),
    ("math.erf", lipschitz(_each(math.erf), 32.0, 2 / math.sqrt(math.pi), absolute=4.0)),
    ("math.erfc", lipschitz(_each(math.erfc), 32.0, 2 / math.sqrt(math.pi), absolute=8.0)),
    ("math.sin", _trigonometric(np.sin)),
    ("math.cos", _trigonometric(np.cos)),
    ("math.tan", _composed(monotone(np.tan, 64.0), lambda size: (1.0 + np.tan(size) ** 2) * (8.0 + size))),
    ("math.asin", _composed(monotone(np.arcsin, 4096.0, (-1.0, 1.0)), _flat, (-1.0, 1.0))),
    ("math.acos", _composed(monotone(np.arccos, 4096.0, (-1.0, 1.0)), _flat, (-1.0, 1.0))),
    ("math.atan", lipschitz(np.arctan, 4096.0, 1.0)),
    ("math.atan2", _arc_tangent2),
    ("math.sinh", _composed(monotone(np.sinh, 64.0), _flat)),
    ("math.cosh", _bent(np.cosh, 64.0)),
    ("math.asinh", _composed(monotone(np.arcsinh, 64.0), _flat, squares=True)),
    (
        "math.acosh",
        _composed(
            monotone(np.arccosh, 64.0, (1.0, np.inf)),
            lambda size: 8.0 + 8.0 / np.sqrt(np.maximum(size - 1.0, np.finfo(np.float64).eps)),
            (1.0, np.inf),
            squares=True,
        ),
    ),
    ("math.atanh", _composed(monotone(np.arctanh, 64.0, (-1.0, 1.0)), _flat, (-1.0, 1.0))),
    ("math.floor", monotone(np.floor, 0.0)),
    ("math.ceil", monotone(np.ceil, 0.0)),
    ("math.trunc", monotone(np.trunc, 0.0)),
    ("math.round", monotone(_round_half_away, 0.0)),
    ("math.roundeven", monotone(np.rint, 0.0)),
    ("math.powf", _power),
    ("math.fpowi", _power),
    ("math.fma", _fused),
    ("math.copysign", _copysign),
    ("math.clampf", _clamp),
)
"""Operation → result. The ULPs: what Vulkan's precision table allows, or twice what CUDA's and LLVM's libraries say."""

PREDICATES = (
    "false",
    "oeq",
    "ogt",
    "oge",
    "olt",
    "ole",
    "one",
    "ord",
    "ueq",
    "ugt",
    "uge",
    "ult",
    "ule",
    "une",
    "uno",
    "true",
)
"""Names of the predicates of `arith.cmpf`, indexed by their number."""
_ORDER: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def compare(predicate: int, a: Array, b: Array) -> Array:
    """Return the result of `arith.cmpf`: ordered predicates are false where an operand is NaN, unordered ones true."""
    name = PREDICATES[predicate]
    nan = np.isnan(a) | np.isnan(b)
    match name:
        case "false" | "true":
            return np.full(nan.shape, name == "true")
        case "ord":
            return ~nan
        case "uno":
            return nan
    found = _ORDER[name[1:]](a, b)
    return found | nan if name[0] == "u" else found & ~nan
