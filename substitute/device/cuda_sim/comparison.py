"""Builders of comparisons and selections.

Source: PTX ISA 9.7.6 "Comparison and Selection Instructions", 9.7.7 "Half Precision Comparison Instructions".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction, Pair, Register
from . import floating
from .batch import Batch
from .decode import Builder, Decoder, Run
from .faults import Refused
from .modifiers import FLOATS, PACKED, split
from .types import DTYPES, Array, Read, Registers, bf16_to_f32

Function = Callable[..., Array]
_UNSIGNED_NAMES = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
_PLAIN: dict[str, Function] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
COMBINE: dict[str, Function] = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
_ORDERED = ("eq", "ne", "lt", "le", "gt", "ge")
_INTEGERS = ("16", "32", "64")
COMPARISONS: dict[str, tuple[str, ...]] = {
    **{f"b{bits}": ("eq", "ne") for bits in _INTEGERS},
    **{f"s{bits}": _ORDERED for bits in _INTEGERS},
    **{f"u{bits}": (*_ORDERED, *_UNSIGNED_NAMES) for bits in _INTEGERS},
    **{t: (*_ORDERED, "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan") for t in (*FLOATS, *PACKED)},
}
"""Comparisons of each type."""


def _words(i: Instruction, count: int) -> tuple[str, str | None, bool]:
    """Return comparison, combination and .ftz of an opcode that ends in `count` types. Raises `Refused`."""
    origin = i.opcode[-1]
    modifiers = split(
        i.opcode,
        (*COMPARISONS.get(origin, ()), *COMBINE, *(("ftz",) if origin in ("f16", "f16x2", "f32") else ())),
        count=count,
    )
    names = [word for word in i.opcode[1:-count] if word in COMPARISONS.get(origin, ())]
    combines = [word for word in i.opcode[1:-count] if word in COMBINE]
    if len(names) != 1 or len(combines) > 1 or (len(i.operands) == 4) != bool(combines):
        raise Refused(f"{'.'.join(i.opcode)} with {len(i.operands)} operands")
    return names[0], next((word for word in combines if word in modifiers), None), _asked(modifiers, names[0])


def _asked(modifiers: set[str], name: str) -> bool:
    return name in modifiers and "ftz" in modifiers


def _comparison(operator: str, type_: str, *, ftz: bool) -> Function:
    """Return the comparison of values as the type is held; pairs give [lanes, 2]."""
    element = type_.removesuffix("x2")
    if element not in FLOATS:
        return _PLAIN[_UNSIGNED_NAMES.get(operator, operator)]
    if operator in ("eq", "lt", "le", "gt", "ge") and type_ in ("f16", "f32", "f64") and not ftz:
        return _PLAIN[operator]
    half = DTYPES[element]

    def function(a: Array, b: Array) -> Array:
        if type_ in PACKED:
            a, b = (np.ascontiguousarray(x).view(half).reshape(-1, 2) for x in (a, b))
        if element == "bf16":
            a, b = bf16_to_f32(a), bf16_to_f32(b)
        if ftz:
            a, b = floating.flush(a), floating.flush(b)
        return floating.compare(a, b, operator)

    return function


def _set_predicate(d: Decoder, i: Instruction) -> Run:
    """Build `setp p|q, a, b, c`: q is the complement; for pairs p is of the low half, and q of the high one."""
    type_ = i.opcode[-1]
    operator, combination, ftz = _words(i, 1)
    function = _comparison(operator, type_, ftz=ftz)
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    combine = COMBINE[combination] if combination else None
    c = d.read(i.operands[3], "pred") if combine is not None else None
    first = i.operands[0]
    if not isinstance(first, Pair):
        if type_ in PACKED:
            raise Refused(".".join(i.opcode) + " with one destination")
        if combine is None or c is None:
            return d.pure(first, "pred", lambda r: function(a(r), b(r)))
        both, other = combine, c
        return d.pure(first, "pred", lambda r: both(function(a(r), b(r)), other(r)))
    if type_ in ("f16", "bf16"):
        raise Refused(".".join(i.opcode) + " with two destinations")
    put, put_other, guard = d.put(first.first, "pred"), d.put(first.second, "pred"), d.guard

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        result = function(a(r), b(r))
        if type_ in PACKED:
            result, inverse = np.ascontiguousarray(result[:, 0]), np.ascontiguousarray(result[:, 1])
        else:
            inverse = ~result
        if combine is not None and c is not None:
            other = c(r)
            result, inverse = combine(result, other), combine(inverse, other)
        put(r, result, keep)
        put_other(r, inverse, keep)

    return run


_SET_RESULTS = {
    **dict.fromkeys(COMPARISONS, ("u32", "s32", "f32")),
    "f16": ("f16", "u32", "s32", "u16", "s16"),
    "bf16": ("bf16", "u32", "s32", "u16", "s16"),
    "f16x2": ("f16x2", "u32", "s32"),
    "bf16x2": ("bf16x2", "u32", "s32"),
}
_ONE = {"f32": 0x3F800000, "f16": 0x3C00, "bf16": 0x3F80, "f16x2": 0x3C003C00, "bf16x2": 0x3F803F80}


def _set(d: Decoder, i: Instruction) -> Run:
    """Build a comparison that gives all ones, or 1.0; for pairs in each half."""
    result, type_ = i.opcode[-2:]
    operator, combination, ftz = _words(i, 2)
    if result not in (*_SET_RESULTS[type_], *(("f16", "bf16") if type_ in COMPARISONS else ())):
        raise Refused(".".join(i.opcode))
    function = _comparison(operator, type_, ftz=ftz)
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    combine = COMBINE[combination] if combination else None
    c = d.read(i.operands[3], "pred") if combine is not None else None
    bits = DTYPES[f"u{8 * DTYPES[result].itemsize}"]
    yes = bits.type(_ONE.get(result, int(np.iinfo(bits).max)))
    halves = np.array([0xFFFF, 0xFFFF0000], np.uint32)

    def compute(r: Registers) -> Array:
        found = function(a(r), b(r))
        if combine is not None and c is not None:
            found = combine(found, c(r)[:, None] if type_ in PACKED else c(r))
        if type_ in PACKED:
            mask = np.where(found, halves, np.uint32(0)).sum(axis=1, dtype=np.uint32)
            both: Array = (mask & yes).view(DTYPES[result])
            return both
        return np.where(found, yes, np.zeros(1, bits)).view(DTYPES[result])

    return d.pure(i.operands[0], result, compute)


def _select(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode)
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    p = d.read(i.operands[3], "pred")
    first, second = (d.slot(o) if isinstance(o, Register) else None for o in i.operands[1:3])
    d.step.copies = tuple(slot for slot in (first, second) if slot is not None)
    d.step.takes, d.step.between = p, (first, second)
    return d.pure(i.operands[0], type_, lambda r: np.where(p(r), a(r), b(r)))


def _select_by_sign(d: Decoder, i: Instruction) -> Run:
    """Build slct: NaN is not ≥ 0, and -0 is."""
    type_, by = i.opcode[-2:]
    ftz = "ftz" in split(i.opcode, ("ftz",) if by == "f32" else (), count=2)
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    c = d.read(i.operands[3], by)
    signs: Read = (lambda r: floating.flush(c(r))) if ftz else c
    return d.pure(i.operands[0], type_, lambda r: np.where(signs(r) >= 0, a(r), b(r)))


_CLASSES = ("finite", "infinite", "number", "notanumber", "normal", "subnormal")


def _test(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    words = split(i.opcode, _CLASSES, ("f32", "f64"))
    what = next((word for word in _CLASSES if word in words), None)
    if what is None:
        raise Refused(".".join(i.opcode))
    kind, read = what, d.read(i.operands[1], type_)
    return d.pure(i.operands[0], "pred", lambda r: floating.classify(read(r), kind))


def _copy_sign(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("f32", "f64"))
    a, b = (d.read(o, type_) for o in i.operands[1:])
    return d.pure(i.operands[0], type_, lambda r: np.copysign(b(r), a(r)))


BUILDERS: dict[str, Builder] = {
    "setp": _set_predicate,
    "set": _set,
    "selp": _select,
    "slct": _select_by_sign,
    "testp": _test,
    "copysign": _copy_sign,
}
