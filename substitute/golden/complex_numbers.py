"""Operations of the dialect `complex`. A bound holds for both parts: it is one on the distance in the plane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .numbers import Arithmetic, Array, Element, Num

ComplexRule = Callable[[Arithmetic, Element, list[Num]], Num]
"""Rule on numbers whose parts have this float type."""


def _rounded(how: Arithmetic, part: Element, value: Array, error: Array | None, *, ulps: float, depth: int) -> Num:
    """The result of an operation with the error of its roundings added.

    Nothing is said of what is no number, or infinite, or so large that a product on the way may have been.
    """
    if not how.bounds or (ulps == 0.0 and error is None):
        return Num(value, error if how.bounds else None, depth)
    size = np.abs(value)
    own = np.asarray(size * (ulps * how.unit(part)) + (part.smallest if ulps else 0.0))
    if error is not None:
        own = own + error
    with np.errstate(invalid="ignore"):
        lost = ~np.isfinite(size) | ~(size + own <= part.largest / 4)
    return Num(value, np.where(lost, np.inf, own), depth)


def _depth(operands: list[Num]) -> int:
    return max(operand.depth for operand in operands)


def _sum_error(*operands: Num) -> Array | None:
    if all(operand.error is None for operand in operands):
        return None
    return np.asarray(sum(operand.errors() for operand in operands))


def _create(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
    real, imaginary = operands
    value = np.empty(np.broadcast_shapes(np.shape(real.value), np.shape(imaginary.value)), np.complex128)
    value.real, value.imag = real.value, imaginary.value
    return Num(value, _sum_error(*operands), _depth(operands))


def _part(function: Callable[[Array], Array]) -> ComplexRule:
    def rule(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
        (x,) = operands
        return Num(np.asarray(function(x.value)), x.error, x.depth)

    return rule


def _linear(function: Callable[..., Array], ulps: float) -> ComplexRule:
    def rule(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
        value = function(*(operand.value for operand in operands))
        return _rounded(how, part, value, _sum_error(*operands), ulps=ulps, depth=_depth(operands))

    return rule


def _moved(function: Callable[[Array], Array]) -> ComplexRule:
    return lambda how, part, operands: Num(function(operands[0].value), operands[0].error, operands[0].depth)


def _multiply(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
    a, b = operands
    error = np.abs(a.value) * b.errors() + a.errors() * (np.abs(b.value) + b.errors())
    known = None if a.error is None and b.error is None else error
    return _rounded(how, part, a.value * b.value, known, ulps=8.0, depth=_depth(operands))


def _divide(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
    a, b = operands
    value, size = a.value / b.value, np.abs(b.value)
    room = size - b.errors()
    error = np.where(room > 0, (a.errors() + np.abs(value) * b.errors()) / np.where(room > 0, room, 1.0), np.inf)
    # the square of the divisor is on the way of some algorithms
    lost = (size == 0) | ~_squares_fit(size, part) | ~_squares_fit(np.abs(a.value), part)
    found = _rounded(how, part, value, error, ulps=32.0, depth=_depth(operands))
    return Num(found.value, np.where(lost, np.inf, found.errors()), found.depth) if how.bounds else found


def _squares_fit(size: Array, part: Element) -> Array:
    """Return a mask of sizes whose squares neither overflow nor become subnormal."""
    return np.asarray((size == 0) | ((size > np.sqrt(part.smallest) * 16) & (size < np.sqrt(part.largest) / 16)))


def _absolute(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
    (x,) = operands
    size = np.abs(x.value)
    found = _rounded(how, part, size, x.error, ulps=8.0, depth=x.depth)
    return Num(size, np.where(_squares_fit(size, part), found.errors(), np.inf), x.depth) if how.bounds else found


def _smooth(
    function: Callable[[Array], Array], slope: Callable[[Array], Array], ulps: float, *, cut: bool = False
) -> ComplexRule:
    """A function whose formula is not known: right to some ULPs of the result and of 1, where nothing overflows.

    `slope` is a bound on what an error of the operand is multiplied by, close to it; `cut`: it jumps at negative
    numbers.
    """

    def rule(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
        (x,) = operands
        value, size = function(x.value), np.abs(x.value)
        if not how.bounds:
            return Num(value, None, x.depth)
        error = how.unit(part) * ulps * (1.0 + size) * (1.0 + slope(x.value)) + 2.0 * slope(x.value) * x.errors()
        lost = ~_squares_fit(size, part) | ~np.isfinite(error) | (x.errors() > size / 4)
        if cut:
            lost = lost | ((x.value.real <= 0) & (np.abs(x.value.imag) <= x.errors()))
        found = _rounded(how, part, value, error, ulps=ulps, depth=x.depth)
        return Num(value, np.where(lost, np.inf, found.errors()), x.depth)

    return rule


def _inverse(x: Array) -> Array:
    size = np.abs(x)
    return np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), np.inf)


def _root_slope(x: Array) -> Array:
    return np.asarray(np.sqrt(_inverse(x)))


def _wave_slope(x: Array) -> Array:
    return np.asarray(np.cosh(x.imag))


def _compare(equal: bool) -> ComplexRule:
    def rule(how: Arithmetic, part: Element, operands: list[Num]) -> Num:
        a, b = operands
        error = _sum_error(a, b)
        close = None if error is None else np.where(np.abs(a.value - b.value) <= error, 1.0, 0.0)
        return Num((a.value == b.value) == equal, close, _depth(operands))

    return rule


COMPLEX: tuple[tuple[str, ComplexRule], ...] = (
    ("complex.create", _create),
    ("complex.re", _part(np.real)),
    ("complex.im", _part(np.imag)),
    ("complex.add", _linear(np.add, 1.0)),
    ("complex.sub", _linear(np.subtract, 1.0)),
    ("complex.mul", _multiply),
    ("complex.div", _divide),
    ("complex.neg", _moved(np.negative)),
    ("complex.conj", _moved(np.conj)),
    ("complex.abs", _absolute),
    ("complex.exp", _smooth(np.exp, lambda x: np.exp(x.real), 16.0)),
    ("complex.log", _smooth(np.log, _inverse, 32.0, cut=True)),
    ("complex.sqrt", _smooth(np.sqrt, _root_slope, 32.0, cut=True)),
    ("complex.sin", _smooth(np.sin, _wave_slope, 32.0)),
    ("complex.cos", _smooth(np.cos, _wave_slope, 32.0)),
    ("complex.eq", _compare(equal=True)),
    ("complex.neq", _compare(equal=False)),
)
"""Operation → result. The ULPs cover the algorithms in use: none of them is prescribed."""
