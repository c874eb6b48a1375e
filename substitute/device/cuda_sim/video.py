"""Builders of the video instructions: operations on bytes, halves or words, with saturation and a second operation.

Source: PTX ISA 9.7.17 "Scalar Video Instructions", 9.7.18 "SIMD Video Instructions".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction, Negated, Operand, Part
from .comparison import COMPARISONS
from .decode import Builder, Decoder, Run
from .faults import Refused
from .modifiers import split
from .types import Array, Read, Registers

Function = Callable[[Array, Array], Array]
_WORDS = ("u32", "s32")
_TESTS: dict[str, Function] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _difference(a: Array, b: Array) -> Array:
    size: Array = np.abs(a - b)
    return size


def _average(a: Array, b: Array) -> Array:
    total: Array = a + b
    return (total + (total >= 0)) >> 1


_PLAIN: dict[str, Function] = {
    "vadd": np.add,
    "vsub": np.subtract,
    "vabsdiff": _difference,
    "vmin": np.minimum,
    "vmax": np.maximum,
    "vavrg": _average,
}


def _bits(part: str) -> tuple[int, int]:
    """Return the first bit and the number of bits of `b2`, `h1` or nothing."""
    if not part:
        return 0, 32
    return (8 * int(part[1]), 8) if part[0] == "b" else (16 * int(part[1]), 16)


def _cut(value: Array, bits: int, *, signed: bool) -> Array:
    """Return the low bits of int64 values as numbers of that width."""
    shift = np.int64(64 - bits)
    if signed:
        return (value << shift) >> shift
    return value & np.int64((1 << bits) - 1)


def _clamp(value: Array, bits: int, *, signed: bool) -> Array:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    clamped: Array = np.clip(value, low, high)
    return clamped


def _source(d: Decoder, operand: Operand, type_: str) -> Read:
    """Return a reader of a word, or a byte or half of it, as int64."""
    negative = isinstance(operand, Negated)
    register = operand.register if isinstance(operand, (Part, Negated)) else operand
    first, bits = _bits(operand.name if isinstance(operand, Part) else "")
    if negative:
        raise Refused("a video instruction with a negated operand")
    read = d.read(register, "b32")
    shift, signed = np.int64(first), type_[0] == "s"
    return lambda r: _cut(read(r).astype(np.int64) >> shift, bits, signed=signed)


def _finish(d: Decoder, i: Instruction, value: Read, type_: str, second: str, *, sat: bool) -> Run:
    """Build saturation and the use of a third operand: a second operation, or the other bits of a merged result."""
    target = i.operands[0]
    part = target.name if isinstance(target, Part) else ""
    first, bits = _bits(part)
    signed = type_[0] == "s"
    has_third = len(i.operands) > 3
    if bool(part or second) != has_third or (part and second):
        raise Refused(f"{'.'.join(i.opcode)} with {len(i.operands)} operands")
    c = d.read(i.operands[3], "b32") if has_third else None
    kept = np.int64(0xFFFFFFFF ^ (((1 << bits) - 1) << first))

    def compute(r: Registers) -> Array:
        result = value(r)
        if sat:
            result = _clamp(result, bits, signed=signed)
        if c is not None and part:
            result = (c(r).astype(np.int64) & kept) | ((result & np.int64((1 << bits) - 1)) << np.int64(first))
        elif c is not None:
            other = _cut(c(r).astype(np.int64), 32, signed=signed)
            own = _cut(result, 32, signed=signed)
            result = {"add": np.add, "min": np.minimum, "max": np.maximum}[second](own, other)
        return (result & np.int64(0xFFFFFFFF)).astype(np.uint32)

    return d.pure(target.register if isinstance(target, Part) else target, "b32", compute)


def _second(modifiers: set[str]) -> str:
    return next((word for word in ("add", "min", "max") if word in modifiers), "")


def _scalar(d: Decoder, i: Instruction) -> Run:
    """Build vadd, vsub, vabsdiff, vmin, vmax; words after the types select saturation and a second operation."""
    name, types = i.opcode[0], i.opcode[1:4]
    modifiers = split(i.opcode, ("sat", "add", "min", "max"), _WORDS, count=3, types_first=True)
    a, b = (_source(d, o, t) for o, t in zip(i.operands[1:3], types[1:], strict=True))
    function, sat, second = _PLAIN[name], "sat" in modifiers, _second(modifiers)
    return _finish(d, i, lambda r: function(a(r), b(r)), types[0], second, sat=sat)


def _shift(d: Decoder, i: Instruction) -> Run:
    name, types = i.opcode[0], i.opcode[1:4]
    modifiers = split(i.opcode, ("sat", "clamp", "wrap", "add", "min", "max"), _WORDS, count=3, types_first=True)
    wrap = "wrap" in modifiers
    if types[2] != "u32" or wrap == ("clamp" in modifiers):
        raise Refused(".".join(i.opcode))
    a, b = (_source(d, o, t) for o, t in zip(i.operands[1:3], types[1:], strict=True))

    def shifted(r: Registers) -> Array:
        amount = b(r) & 31 if wrap else np.minimum(b(r), 32)
        return a(r) << amount if name == "vshl" else a(r) >> amount

    return _finish(d, i, shifted, types[0], _second(modifiers), sat="sat" in modifiers)


def _multiply_add(d: Decoder, i: Instruction) -> Run:
    types = i.opcode[1:4]
    modifiers = split(i.opcode, ("sat", "shr7", "shr15", "po"), _WORDS, count=3, types_first=True)
    if isinstance(i.operands[0], Part) or len(i.operands) != 4:
        raise Refused(".".join(i.opcode))
    a, b = (_source(d, o, t) for o, t in zip(i.operands[1:3], types[1:], strict=True))
    signed = "s32" in types[1:]
    c = _source(d, i.operands[3], "s32" if signed else "u32")
    one, down = np.int64("po" in modifiers), np.int64(7 if "shr7" in modifiers else 15 if "shr15" in modifiers else 0)
    sat, result_signed = "sat" in modifiers, types[0] == "s32"

    def compute(r: Registers) -> Array:
        result = (a(r) * b(r) + c(r) + one) >> down
        if sat:
            result = _clamp(result, 32, signed=result_signed)
        return (result & np.int64(0xFFFFFFFF)).astype(np.uint32)

    return d.pure(i.operands[0], "b32", compute)


def _compare(d: Decoder, i: Instruction) -> Run:
    types = i.opcode[1:3]
    modifiers = split(i.opcode, (*_TESTS, "add", "min", "max"), _WORDS, count=2, types_first=True)
    test = next((_TESTS[word] for word in COMPARISONS["s32"] if word in modifiers), None)
    if test is None:
        raise Refused(".".join(i.opcode))
    a, b = (_source(d, o, t) for o, t in zip(i.operands[1:3], types, strict=True))
    chosen = test
    return _finish(d, i, lambda r: chosen(a(r), b(r)).astype(np.int64), "u32", _second(modifiers), sat=False)


def _lanes(d: Decoder, i: Instruction) -> Run:
    """Build vadd2, vadd4, …: the operation on each half or byte; with .add all of them are summed onto the third
    operand.
    """
    name, lanes = i.opcode[0][:-1], int(i.opcode[0][-1])
    compares = name == "vset"
    types = ("u32", *i.opcode[1:3]) if compares else i.opcode[1:4]
    count = 2 if compares else 3
    modifiers = split(i.opcode, ("add", *(_TESTS if compares else ("sat",))), _WORDS, count=count, types_first=True)
    function = next((f for word, f in _TESTS.items() if word in modifiers), None) if compares else _PLAIN[name]
    if function is None or len(i.operands) != 4 or any(isinstance(o, (Part, Negated)) for o in i.operands):
        raise Refused(f"{'.'.join(i.opcode)} with these operands")
    if {"sat", "add"} <= set(modifiers):
        raise Refused(".".join(i.opcode))
    chosen, sat, sums, signed = function, "sat" in modifiers, "add" in modifiers, types[0] == "s32"
    bits = 32 // lanes
    a, b, c = (d.read(o, "b32") for o in i.operands[1:])

    def compute(r: Registers) -> Array:
        x, y = a(r).astype(np.int64), b(r).astype(np.int64)
        total = c(r).astype(np.int64) if sums else np.zeros(1, np.int64)
        for lane in range(lanes):
            shift = np.int64(lane * bits)
            left, right = (_cut(v >> shift, bits, signed=t == "s32") for v, t in zip((x, y), types[1:], strict=True))
            result = chosen(left, right).astype(np.int64)
            if sat:
                result = _clamp(result, bits, signed=signed)
            result = _cut(result, bits, signed=signed and sums)
            total = total + (result if sums else result << shift)
        return (total & np.int64(0xFFFFFFFF)).astype(np.uint32)

    return d.pure(i.operands[0], "b32", compute)


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("vadd", "vsub", "vabsdiff", "vmin", "vmax"), _scalar),
    **dict.fromkeys(("vshl", "vshr"), _shift),
    "vmad": _multiply_add,
    "vset": _compare,
    **dict.fromkeys((f"{name}{n}" for name in (*_PLAIN, "vset") for n in (2, 4)), _lanes),
}
