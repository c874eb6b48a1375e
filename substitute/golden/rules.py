"""The table of scalar operations: MLIR's name → evaluation. In order, one provider per name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from . import floats, integers
from .complex_numbers import COMPLEX, ComplexRule
from .numbers import Arithmetic, Array, Element, Num, element_of, from_storage, wrap

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """Element types and attributes of one scalar operation."""

    operands: tuple[Element, ...]
    result: Element
    attributes: Attributes = field(default_factory=lambda: MappingProxyType({}))


Rule = Callable[[Arithmetic, Scalar, list[Num]], Num]


_KEEP_SIGN = frozenset({"arith.addf", "arith.subf", "arith.negf", "arith.maximumf", "arith.minimumf"})
"""Operations that give no infinite or undefined result for an operand of uncertain sign."""


def _float_rule(name: str, rule: floats.FloatRule) -> Rule:
    def apply(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        found = rule(how, scalar.result, operands)
        error = found.error
        if error is not None and not np.isfinite(found.value.sum()):
            error = _settled(found.value, error, operands, signs=name not in _KEEP_SIGN)
        if found.doubt is not None:
            error = np.where(found.doubt, np.inf, np.zeros(1) if error is None else error)
        excluded = _excluded(scalar.attributes.get("fastmath", frozenset()), [*operands, found])
        if excluded is not None:
            error = np.where(excluded, np.inf, np.zeros(1) if error is None else error)
        return Num(found.value, error, found.depth)

    return apply


def _excluded(flags: frozenset[str], numbers: list[Num]) -> Array | None:
    """Return a mask of the elements that `fastmath` flags make poison: operands or results that are NaN or infinite."""
    if not flags & {"fast", "nnan", "ninf"}:
        return None
    bad = np.zeros(1, bool)
    for number in numbers:
        if flags & {"fast", "nnan"}:
            bad = bad | np.isnan(number.value)
        if flags & {"fast", "ninf"}:
            bad = bad | np.isinf(number.value)
    return bad


def _settled(value: Array, error: Array, operands: list[Num], *, signs: bool) -> Array:
    """Return the error, 0 for infinite and NaN results unless an operand may have any value or (`signs`) be zero."""
    doubt = np.zeros(1, bool)
    for operand in operands:
        if operand.error is not None:
            doubt = doubt | np.isinf(operand.error)
            if signs:
                doubt = doubt | ((operand.error > 0) & (np.abs(operand.value) <= operand.error))
    return np.where(np.isfinite(value), error, np.where(doubt, np.inf, 0.0))


def _depth(operands: list[Num]) -> int:
    return max((operand.depth for operand in operands), default=1)


def _integer_error(operands: list[Num], value: Array, name: str) -> Array | None:
    """Return the error of an integer result whose operands are uncertain (converted from a rounded float)."""
    if all(operand.error is None for operand in operands):
        return None
    errors = [operand.errors() for operand in operands]
    uncertain = np.asarray(sum(errors))
    match name:
        case "arith.addi" | "arith.subi":
            return uncertain
        case "arith.maxsi" | "arith.minsi" | "arith.maxui" | "arith.minui":
            return np.asarray(np.maximum(*errors))
        case "arith.muli":
            return floats.product_error(*[Num(o.value.astype(np.float64), o.error) for o in operands])
        case "math.absi":
            return errors[0]
    return np.where(uncertain > 0, np.inf, np.zeros(1))


def _boolean_error(operands: list[Num], name: str) -> Array | None:
    """Return the error of a Boolean result: 1 (uncertain) unless an operand that is certain decides."""
    if all(operand.error is None for operand in operands):
        return None
    a, b = operands
    ea, eb = a.errors() > 0, b.errors() > 0
    match name:
        case "arith.andi":
            decided = (~ea & ~a.value) | (~eb & ~b.value)
        case "arith.ori":
            decided = (~ea & a.value) | (~eb & b.value)
        case _:
            decided = np.zeros(1, bool)
    return np.where((ea | eb) & ~decided, 1.0, 0.0)


def _binary(name: str, function: integers.Integer) -> Rule:
    def rule(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        a, b = operands
        element = scalar.result
        value = wrap(function(a.value, b.value, element), element)
        error = _boolean_error(operands, name) if element.kind == "boolean" else _integer_error(operands, value, name)
        bad = integers.undefined(name, a.value, b.value, element, scalar.attributes.get("overflowFlags", frozenset()))
        if bad is not None:
            error = np.where(bad, np.inf, np.zeros(1) if error is None else error)
        return Num(value, error, _depth(operands))

    return rule


def _unary(name: str, function: integers.Count) -> Rule:
    def rule(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        value = wrap(function(operands[0].value, scalar.result), scalar.result)
        return Num(value, _integer_error(operands, value, name), operands[0].depth)

    return rule


def _compare(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
    a, b = operands
    predicate = int(scalar.attributes["predicate"])
    element = scalar.operands[0]
    if element.is_float:
        value = floats.compare(predicate, a.value, b.value)
    else:
        value = integers.compare(predicate, a.value, b.value, element)
    if a.error is None and b.error is None:
        return Num(value, None, _depth(operands))
    error = a.errors() + b.errors()
    if a is b:  # the value is the same, with the same error: only the class of the number may be uncertain
        return Num(value, np.where(np.isinf(error) & element.is_float, 1.0, 0.0), _depth(operands))
    if element.kind == "boolean":
        return Num(value, np.where(error > 0, 1.0, 0.0), _depth(operands))
    with np.errstate(invalid="ignore"):
        close = np.abs(a.value.astype(np.float64) - b.value.astype(np.float64)) <= error
    return Num(value, np.where(close | np.isinf(error), 1.0, 0.0), _depth(operands))


def _select(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
    condition, a, b = operands
    value = np.where(condition.value, a.value, b.value)
    if all(operand.error is None for operand in operands):
        return Num(value, None, _depth(operands))
    error = np.where(condition.value, a.errors(), b.errors())
    if condition.error is not None:
        with np.errstate(invalid="ignore"):
            wide = scalar.result.compute if scalar.result.part else np.float64
            apart = np.abs(a.value.astype(wide) - b.value.astype(wide))
        apart = np.where(np.isnan(apart), np.inf, apart) + np.maximum(a.errors(), b.errors())
        error = np.where(condition.error > 0, np.maximum(error, apart), error)
    return Num(value, error, _depth(operands))


def _to_float(signed: bool) -> Rule:
    def rule(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        (x,), (source,) = operands, scalar.operands
        if signed and source.kind == "boolean":
            exact = -x.value.astype(np.float64)  # a signed i1 that is set is −1
        else:
            exact = (x.value if signed else integers.zero_extended(x.value, source)).astype(np.float64)
        limit = 1.0 / how.unit(scalar.result) if how.unit(scalar.result) else np.inf
        fits = x.error is None and float(np.abs(exact).max(initial=0.0)) <= limit
        return how.rounded(exact, x.error, scalar.result, ulps=0.0 if fits else 1.0, depth=x.depth)

    return rule


def _to_integer(signed: bool) -> Rule:
    """Return the rule of a truncation. Out of range is undefined: the value saturates, with an infinite error."""

    def rule(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        (x,), element = operands, scalar.result
        bits = element.bits
        low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1)) if signed else (0.0, 2.0**bits)
        whole = np.trunc(x.value)
        outside = ~((whole >= low) & (whole < high))
        # the largest float64 below the limit, which truncates to the largest integer where that is one
        kept = np.where(np.isnan(whole), 0.0, np.clip(whole, low, np.nextafter(high, 0.0)))
        value = kept.astype(np.int64 if signed or bits < 64 else np.uint64).astype(element.compute)
        if x.error is None and not outside.any():
            return Num(value, None, x.depth)
        step = np.maximum(
            np.abs(np.trunc(x.value + x.errors()) - whole), np.abs(np.trunc(x.value - x.errors()) - whole)
        )
        return Num(value, np.where(outside | np.isnan(step), np.inf, step), x.depth)

    return rule


def _extend(signed: bool) -> Rule:
    def rule(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        (x,), (source,) = operands, scalar.operands
        if source.kind == "boolean":
            value = x.value.astype(scalar.result.compute)
            value = -value if signed else value
        else:
            value = (x.value if signed else integers.zero_extended(x.value, source)).astype(scalar.result.compute)
        return Num(value, x.error, x.depth)

    return rule


def _truncate(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
    (x,) = operands
    if scalar.result.kind == "boolean":
        uncertain = None if x.error is None else np.where(x.error > 0, 1.0, 0.0)
        return Num((x.value & 1).astype(bool), uncertain, x.depth)
    return Num(wrap(x.value.astype(scalar.result.compute), scalar.result), x.error, x.depth)


def _index_cast(signed: bool) -> Rule:
    def rule(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        wider = scalar.result.bits >= scalar.operands[0].bits
        return (_extend(signed) if wider else _truncate)(how, scalar, operands)

    return rule


def _float_cast(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
    (x,) = operands
    narrower = scalar.result.bits < scalar.operands[0].bits or scalar.result.unit > scalar.operands[0].unit
    if narrower:
        return how.rounded_if_inexact(x.value, x.error, scalar.result, depth=x.depth)
    return how.rounded(x.value, x.error, scalar.result, ulps=0.0, depth=x.depth)


def _bitcast(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
    (x,), (source,) = operands, scalar.operands
    raw = np.ascontiguousarray(x.value.astype(source.storage)).view(scalar.result.storage)
    error = None if x.error is None else np.where(x.error > 0, np.inf, 0.0)
    return Num(from_storage(raw.reshape(x.value.shape), scalar.result), error, x.depth)


def _classify(function: Callable[[Array], Array]) -> Rule:
    def rule(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        (x,) = operands
        error = None if x.error is None else np.where(np.isinf(x.error), 1.0, 0.0)
        return Num(function(x.value), error, x.depth)

    return rule


def _complex_rule(rule: ComplexRule) -> Rule:
    def apply(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        part = next(element.part for element in (*scalar.operands, scalar.result) if element.part)
        return rule(how, element_of(part), operands)

    return apply


CASTS: tuple[tuple[str, Rule], ...] = (
    ("arith.cmpf", _compare),
    ("arith.cmpi", _compare),
    ("arith.select", _select),
    ("arith.sitofp", _to_float(True)),
    ("arith.uitofp", _to_float(False)),
    ("arith.fptosi", _to_integer(True)),
    ("arith.fptoui", _to_integer(False)),
    ("arith.extsi", _extend(True)),
    ("arith.extui", _extend(False)),
    ("arith.trunci", _truncate),
    ("arith.index_cast", _index_cast(True)),
    ("arith.index_castui", _index_cast(False)),
    ("arith.extf", _float_cast),
    ("arith.truncf", _float_cast),
    ("arith.bitcast", _bitcast),
    ("math.isnan", _classify(np.isnan)),
    ("math.isinf", _classify(np.isinf)),
    ("math.isfinite", _classify(np.isfinite)),
    ("math.isnormal", _classify(lambda x: np.isfinite(x) & (x != 0))),
)

# `index` and `arith` differ only in the name and the type
_INDEX = tuple(
    (f"index.{ours}", f"arith.{theirs}")
    for ours, theirs in (
        ("add", "addi"),
        ("sub", "subi"),
        ("mul", "muli"),
        ("divs", "divsi"),
        ("divu", "divui"),
        ("ceildivs", "ceildivsi"),
        ("ceildivu", "ceildivui"),
        ("floordivs", "floordivsi"),
        ("rems", "remsi"),
        ("remu", "remui"),
        ("maxs", "maxsi"),
        ("maxu", "maxui"),
        ("mins", "minsi"),
        ("minu", "minui"),
        ("shl", "shli"),
        ("shrs", "shrsi"),
        ("shru", "shrui"),
        ("and", "andi"),
        ("or", "ori"),
        ("xor", "xori"),
        ("casts", "index_cast"),
        ("castu", "index_castui"),
    )
)

_MOVES = frozenset({"arith.negf", "math.absf", "math.copysign", "arith.select", "arith.bitcast"})
"""Operations that keep the bits of a subnormal operand on every device."""


def _flushing(name: str, rule: Rule) -> Rule:
    if name in _MOVES:
        return rule

    def apply(how: Arithmetic, scalar: Scalar, operands: list[Num]) -> Num:
        if how.flushes:
            operands = [how.taken(x, e) for x, e in zip(operands, scalar.operands, strict=True)]
        return rule(how, scalar, operands)

    return apply


REGISTRY: tuple[tuple[str, Rule], ...] = (
    *((name, _flushing(name, _float_rule(name, rule))) for name, rule in floats.FLOATS),
    *((name, _binary(name, function)) for name, function in integers.BINARY),
    *((name, _unary(name, function)) for name, function in integers.UNARY),
    *((name, _flushing(name, rule)) for name, rule in CASTS),
    *((name, _complex_rule(rule)) for name, rule in COMPLEX),
)
"""All scalar operations, in order."""

RULES: dict[str, Rule] = dict(REGISTRY)
assert len(RULES) == len(REGISTRY), "two rules for one operation"
RULES.update({ours: RULES[theirs] for ours, theirs in _INDEX})
