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
from .modifiers import PACKED
from .types import DTYPES, Array, Registers, bf16_to_f32, is_float

Function = Callable[..., Array]
_UNSIGNED_NAMES = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
_PLAIN: dict[str, Function] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
COMBINE: dict[str, Function] = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


def _comparison(operator: str, type_: str, *, ftz: bool) -> Function:
    if not is_float(type_):
        name = _UNSIGNED_NAMES.get(operator, operator)
        if name not in _PLAIN:
            raise Refused(f"the comparison .{operator} of .{type_}")
        return _PLAIN[name]
    if operator in ("eq", "lt", "le", "gt", "ge") and type_ != "bf16" and not ftz:
        return _PLAIN[operator]

    def function(a: Array, b: Array) -> Array:
        if type_ == "bf16":
            a, b = bf16_to_f32(a), bf16_to_f32(b)
        if ftz and type_ == "f32":
            a, b = floating.flush(a), floating.flush(b)
        return floating.compare(a, b, operator)

    floating.compare(np.zeros(1), np.zeros(1), operator)
    return function


def _set_predicate(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    words = [word for word in i.opcode[1:-1] if word != "ftz"]
    if type_ in PACKED:
        return _set_packed(d, i, words)
    if type_ not in DTYPES or not words:
        raise Refused(".".join(i.opcode))
    function = _comparison(words[0], type_, ftz="ftz" in i.opcode)
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    combine = COMBINE[words[1]] if len(words) > 1 and words[1] in COMBINE else None
    c = d.read(i.operands[3], "pred") if combine is not None else None
    first = i.operands[0]
    if not isinstance(first, Pair):
        if combine is None or c is None:
            return d.pure(first, "pred", lambda r: function(a(r), b(r)))
        both, other = combine, c
        return d.pure(first, "pred", lambda r: both(function(a(r), b(r)), other(r)))
    put, put_other, guard = d.put(first.first, "pred"), d.put(first.second, "pred"), d.guard

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        result = function(a(r), b(r))
        inverse = ~result
        if combine is not None and c is not None:
            result, inverse = combine(result, c(r)), combine(inverse, c(r))
        put(r, result, keep)
        put_other(r, inverse, keep)

    return run


def _set_packed(d: Decoder, i: Instruction, words: list[str]) -> Run:
    """Of two halves, setp: p for the low one, q for the high one."""
    element = i.opcode[-1].removesuffix("x2")
    if len(words) != 1 or not isinstance(i.operands[0], Pair):
        raise Refused(".".join(i.opcode))
    function = _comparison(words[0], element, ftz=False)
    a, b = (d.read(o, "b32") for o in i.operands[1:3])
    put, put_other, guard = d.put(i.operands[0].first, "pred"), d.put(i.operands[0].second, "pred"), d.guard

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        x, y = (np.ascontiguousarray(v(r)).view(DTYPES[element]).reshape(-1, 2) for v in (a, b))
        result = function(x, y)
        put(r, np.ascontiguousarray(result[:, 0]), keep)
        put_other(r, np.ascontiguousarray(result[:, 1]), keep)

    return run


def _set(d: Decoder, i: Instruction) -> Run:
    """A comparison as all ones, or as 1.0."""
    result, type_ = i.opcode[-2:]
    words = [word for word in i.opcode[1:-2] if word != "ftz"]
    if type_ in PACKED or type_ not in DTYPES or result not in ("u32", "s32", "f32", "u16", "f16", "bf16"):
        raise Refused(".".join(i.opcode))
    function = _comparison(words[0], type_, ftz="ftz" in i.opcode)
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    c = d.read(i.operands[3], "pred") if len(words) > 1 else None
    combine = COMBINE[words[1]] if len(words) > 1 else None
    dtype = DTYPES[result]
    yes = dtype.type(0x3F80) if result == "bf16" else dtype.type(1) if dtype.kind == "f" else None

    def compute(r: Registers) -> Array:
        found = function(a(r), b(r))
        if combine is not None and c is not None:
            found = combine(found, c(r))
        return np.where(found, ~np.zeros(1, dtype) if yes is None else yes, np.zeros(1, dtype))

    return d.pure(i.operands[0], result, compute)


def _select(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    p = d.read(i.operands[3], "pred")
    first, second = (d.slot(o) if isinstance(o, Register) else None for o in i.operands[1:3])
    d.step.copies = tuple(slot for slot in (first, second) if slot is not None)
    d.step.takes, d.step.between = p, (first, second)
    return d.pure(i.operands[0], type_, lambda r: np.where(p(r), a(r), b(r)))


def _select_by_sign(d: Decoder, i: Instruction) -> Run:
    type_, by = i.opcode[-2:]
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    c = d.read(i.operands[3], by)
    return d.pure(i.operands[0], type_, lambda r: np.where(c(r) >= 0, a(r), b(r)))


def _test(d: Decoder, i: Instruction) -> Run:
    what, type_ = i.opcode[1], i.opcode[-1]
    floating.classify(np.zeros(1, np.float32), what)
    read = d.read(i.operands[1], type_)
    return d.pure(i.operands[0], "pred", lambda r: floating.classify(read(r), what))


def _copy_sign(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    a, b = (d.read(o, type_) for o in i.operands[1:])
    return d.pure(i.operands[0], type_, lambda r: np.copysign(b(r), a(r)))


BUILDERS: dict[str, Builder] = {
    "setp": _set_predicate, "set": _set, "selp": _select, "slct": _select_by_sign, "testp": _test,
    "copysign": _copy_sign,
}  # fmt: skip
