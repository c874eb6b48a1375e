"""Builders of logic, shifts, bit fields, permutations and small dot products.

Source: PTX ISA 9.7.1 "Integer Arithmetic Instructions", 9.7.8 "Logic and Shift Instructions", 9.7.9.7 "prmt".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer, Pair
from . import integer
from .batch import Batch
from .comparison import COMBINE
from .decode import Builder, Decoder, Run, call
from .faults import Refused
from .modifiers import split
from .types import DTYPES, Array, Registers

Function = Callable[..., Array]
_BITS = ("b16", "b32", "b64")
_WORDS = ("u32", "s32", "u64", "s64")
_MODES = ("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")


def _logic(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), (*_BITS, "pred"))
    table: dict[str, Function] = {**COMBINE, "not": np.invert}
    return d.pure(i.operands[0], type_, call(table[i.opcode[0]], [d.read(o, type_) for o in i.operands[1:]]))


def _zero_test(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), _BITS)
    read = d.read(i.operands[1], type_)
    return d.pure(i.operands[0], type_, lambda r: (read(r) == 0).astype(DTYPES[type_]))


def _shift(d: Decoder, i: Instruction) -> Run:
    type_, left = i.opcode[-1], i.opcode[0] == "shl"
    split(i.opcode, (), _BITS if left else [letter + bits for letter in "usb" for bits in ("16", "32", "64")])
    a, amount = d.read(i.operands[1], type_), i.operands[2]
    if isinstance(amount, Integer) and 0 <= amount.value < int(type_[1:]):
        n = DTYPES[type_].type(amount.value)
        return d.pure(i.operands[0], type_, (lambda r: a(r) << n) if left else (lambda r: a(r) >> n))
    b = d.read(amount, "u32")
    function = integer.shift_left if left else integer.shift_right
    return d.pure(i.operands[0], type_, lambda r: function(a(r), b(r)))


def _funnel(d: Decoder, i: Instruction) -> Run:
    modifiers = split(i.opcode, ("l", "r", "clamp", "wrap"), ("b32",))
    a, b, c = (d.read(o, "u32") for o in i.operands[1:])
    left, wrap = "l" in modifiers, "wrap" in modifiers
    if left == ("r" in modifiers) or wrap == ("clamp" in modifiers):
        raise Refused(".".join(i.opcode))
    return d.pure(i.operands[0], "b32", lambda r: integer.funnel(a(r), b(r), c(r), left=left, wrap=wrap))


def _extract(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), _WORDS)
    a, (p, n) = d.read(i.operands[1], type_), (d.read(o, "u32") for o in i.operands[2:])
    return d.pure(i.operands[0], type_, lambda r: integer.extract(a(r), p(r), n(r)))


def _insert(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("b32", "b64"))
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    p, n = (d.read(o, "u32") for o in i.operands[3:])
    return d.pure(i.operands[0], type_, lambda r: integer.insert(a(r), b(r), p(r), n(r)))


def _count(d: Decoder, i: Instruction) -> Run:
    """Build popc, clz, bfind, whose result has 32 bits."""
    name, type_ = i.opcode[0], i.opcode[-1]
    modifiers = split(i.opcode, ("shiftamt",) if name == "bfind" else (), _WORDS if name == "bfind" else ("b32", "b64"))
    read, shift_amount = d.read(i.operands[1], type_), "shiftamt" in modifiers
    functions: dict[str, Function] = {
        "popc": lambda a: np.bitwise_count(a).astype(np.uint32),
        "clz": integer.leading_zeros,
        "bfind": lambda a: integer.find_top(a, shift_amount=shift_amount),
    }
    function = functions[name]
    return d.pure(i.operands[0], "u32", lambda r: function(read(r)))


def _reverse(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("b32", "b64"))
    read = d.read(i.operands[1], type_)
    return d.pure(i.operands[0], type_, lambda r: integer.reverse_bits(read(r)))


def _lop3(d: Decoder, i: Instruction) -> Run:
    """Build `lop3.b32 d, a, b, c, table`; with `.or` or `.and` also `d|p`, and a predicate after the table."""
    words = split(i.opcode, ("or", "and"), ("b32",))
    operation = next((word for word in ("or", "and") if word in words), None)
    table = i.operands[4]
    if not isinstance(table, Integer) or len(i.operands) != (6 if operation else 5):
        raise Refused(".".join(i.opcode) + " with these operands")
    a, b, c = (d.read(o, "b32") for o in i.operands[1:4])
    number = table.value & 255
    first = i.operands[0]
    if operation is None:
        return d.pure(first, "b32", lambda r: integer.lop3(a(r), b(r), c(r), number))
    if not isinstance(first, Pair):
        raise Refused(".".join(i.opcode) + " without a predicate as its second destination")
    put, put_predicate, q, guard = d.put(first.first, "b32"), d.put(first.second, "pred"), i.operands[5], d.guard
    other, combine = d.read(q, "pred"), COMBINE[operation]

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        result, predicate = integer.lop3(a(r), b(r), c(r), number), other(r)
        put(r, result, keep)
        put_predicate(r, combine(result != 0, predicate), keep)

    return run


def _permute(d: Decoder, i: Instruction) -> Run:
    # the mode follows the type: prmt.b32.f4e
    mode = i.opcode[2] if len(i.opcode) > 2 else ""
    if len(i.opcode) > 3 or i.opcode[1] != "b32" or mode not in ("", *_MODES):
        raise Refused(".".join(i.opcode))
    a, b, c = (d.read(o, "b32") for o in i.operands[1:])
    return d.pure(i.operands[0], "b32", lambda r: integer.permute(a(r), b(r), c(r), mode))


def _dot(d: Decoder, i: Instruction) -> Run:
    name, types = i.opcode[0], i.opcode[-2:]
    modifiers = split(i.opcode, ("lo", "hi") if name == "dp2a" else (), ("u32", "s32"), count=2)
    signed = [t == "s32" for t in types]
    result = "s32" if any(signed) else "u32"
    a, b = d.read(i.operands[1], "b32"), d.read(i.operands[2], "b32")
    c = d.read(i.operands[3], result)
    halves, high = name == "dp2a", "hi" in modifiers
    if halves and not high and "lo" not in modifiers:
        raise Refused(".".join(i.opcode))
    return d.pure(
        i.operands[0],
        result,
        lambda r: integer.dot(a(r), b(r), c(r), a_signed=signed[0], b_signed=signed[1], halves=halves, high=high),
    )


def _sad(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("u16", "s16", *_WORDS))
    raw = "u" + type_[1:]
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    c, dtype = d.read(i.operands[3], raw), DTYPES[raw]

    def compute(r: Registers) -> Array:
        x, y = a(r), b(r)
        far: Array = np.where(x < y, y.view(dtype) - x.view(dtype), x.view(dtype) - y.view(dtype)) + c(r)
        return far

    return d.pure(i.operands[0], raw, compute)


def _limit(i: Instruction, modifiers: set[str]) -> Function:
    """Return the function of .wrap or .clamp that limits a number of bits. Raises `Refused`."""
    if ("wrap" in modifiers) == ("clamp" in modifiers):
        raise Refused(".".join(i.opcode))
    if "wrap" in modifiers:
        return lambda amount: amount & np.uint32(31)
    return lambda amount: np.minimum(amount, np.uint32(32))


def _mask(d: Decoder, i: Instruction) -> Run:
    """Build bmsk: `b` ones from bit `a` on."""
    modifiers = split(i.opcode, ("clamp", "wrap"), ("b32",))
    a, b = (d.read(o, "u32") for o in i.operands[1:])
    limit = _limit(i, modifiers)

    def compute(r: Registers) -> Array:
        start, width = (limit(x).astype(np.uint64) for x in (a(r), b(r)))
        ones = (np.uint64(1) << width) - np.uint64(1)
        return ((ones << start) & np.uint64(0xFFFFFFFF)).astype(np.uint32)

    return d.pure(i.operands[0], "b32", compute)


def _extend(d: Decoder, i: Instruction) -> Run:
    """Build szext: the `b` low bits of `a`, extended."""
    type_ = i.opcode[-1]
    modifiers = split(i.opcode, ("clamp", "wrap"), ("u32", "s32"))
    a, b = d.read(i.operands[1], type_), d.read(i.operands[2], "u32")
    zero, limit = np.zeros(1, np.uint32), _limit(i, modifiers)
    return d.pure(i.operands[0], type_, lambda r: integer.extract(a(r), zero, limit(b(r))))


def _find_set(d: Decoder, i: Instruction) -> Run:
    """Build fns: the position of the n-th set bit from a base, upwards or downwards."""
    split(i.opcode, (), ("b32",))
    mask, base, offset = (d.read(o, t) for o, t in zip(i.operands[1:], ("u32", "u32", "s32"), strict=True))
    return d.pure(i.operands[0], "u32", lambda r: integer.find_set(mask(r), base(r), offset(r)))


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("and", "or", "xor", "not"), _logic),
    **dict.fromkeys(("shl", "shr"), _shift),
    **dict.fromkeys(("popc", "clz", "bfind"), _count),
    **dict.fromkeys(("dp4a", "dp2a"), _dot),
    "cnot": _zero_test,
    "shf": _funnel,
    "bfe": _extract,
    "bfi": _insert,
    "brev": _reverse,
    "lop3": _lop3,
    "prmt": _permute,
    "sad": _sad,
    "bmsk": _mask,
    "szext": _extend,
    "fns": _find_set,
}
