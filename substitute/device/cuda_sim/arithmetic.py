"""Builders of arithmetic, logic, shifts, comparisons and selections.

Source: PTX ISA 9.7.1 to 9.7.8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer, Register
from . import floating, integer
from .batch import Batch
from .comparison import COMBINE
from .decode import Builder, Decoder, Run
from .faults import Refused
from .modifiers import FLOATS, INTEGERS, PACKED, split
from .rounding import fma32, round_bf16
from .types import DTYPES, Array, Read, Registers, bf16_to_f32, is_float, is_signed

Function = Callable[..., Array]


def _apply(function: Function, reads: list[Read]) -> Read:
    """A function of operands, without a loop where there are few."""
    if len(reads) == 1:
        (a,) = reads
        return lambda r: function(a(r))
    if len(reads) == 2:
        a, b = reads
        return lambda r: function(a(r), b(r))
    if len(reads) == 3:
        a, b, c = reads
        return lambda r: function(a(r), b(r), c(r))
    return lambda r: function(*[read(r) for read in reads])


def on_floats(function: Function, type_: str, *, ftz: bool = False, sat: bool = False, relu: bool = False) -> Function:
    """Lets a function of float arrays work on operands as the type is held (bits of bf16, pairs in 32 bits)."""
    element = type_.removesuffix("x2")

    def inner(*operands: Array) -> Array:
        values = list(operands)
        if element == "bf16":
            values = [bf16_to_f32(x) for x in values]
        if ftz and element == "f32":
            values = [floating.flush(x) for x in values]
        result = function(*values)
        if ftz and element == "f32":
            result = floating.flush(result)
        if sat:
            result = floating.clamp(result)
        if relu:
            result = np.where(result < 0, np.zeros(1, result.dtype), result)
        return round_bf16(result) if element == "bf16" else result

    if not (ftz or sat or relu or element == "bf16" or type_ in PACKED):
        return function
    if type_ not in PACKED:
        return inner
    half = np.dtype(np.uint16) if element == "bf16" else np.dtype(np.float16)

    def packed(*operands: Array) -> Array:
        parts = [np.ascontiguousarray(x).view(half).reshape(-1, 2) for x in operands]
        return np.ascontiguousarray(inner(*parts)).reshape(-1).view(np.uint32)

    return packed


def _rounding(modifiers: set[str]) -> str:
    return next((m for m in ("rz", "rm", "rp") if m in modifiers), "rn")


def _float_function(name: str, element: str, modifiers: set[str]) -> Function:
    mode = _rounding(modifiers)
    if mode != "rn":
        return floating.directed(name, element, mode)
    if name == "fma":
        if element == "f32":
            return fma32
        return lambda a, b, c: floating.multiply_add(a, b, c, element)
    plain: dict[str, Function] = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    return plain[name]


def float_arithmetic(d: Decoder, i: Instruction) -> Run:
    """add, sub, mul, fma, mad, div of floating-point types."""
    name, type_ = i.opcode[0].replace("mad", "fma"), i.opcode[-1]
    allowed = {"rn", "rz", "rm", "rp", "ftz", "sat", "approx", "full"} | ({"relu"} if name == "fma" else set())
    modifiers = split(i.opcode, allowed, (*FLOATS, *PACKED))
    element = type_.removesuffix("x2")
    function = on_floats(
        _float_function(name, element, modifiers), type_,
        ftz="ftz" in modifiers, sat="sat" in modifiers, relu="relu" in modifiers,
    )  # fmt: skip
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    return d.pure(i.operands[0], type_, _apply(function, reads))


def _add(d: Decoder, i: Instruction) -> Run:
    name, type_ = i.opcode[0], i.opcode[-1]
    if is_float(type_) or type_ in PACKED:
        if len(i.opcode) > 2 and i.opcode[-2] in DTYPES:
            return _mixed(d, i)
        return float_arithmetic(d, i)
    modifiers = split(i.opcode, ("sat", "cc"), (*INTEGERS, "u16x2", "s16x2"))
    if "cc" in modifiers:
        return _carry(d, i)
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    function: Function = np.add if name == "add" else np.subtract
    if type_.endswith("x2"):
        function = _in_halves(function, type_)
    if "sat" in modifiers:
        plain, dtype = function, DTYPES[type_]
        return d.pure(
            i.operands[0], type_,
            _apply(lambda a, b: integer.saturate(plain(a.astype(np.int64), b.astype(np.int64)), dtype), reads),
        )  # fmt: skip
    return d.pure(i.operands[0], type_, _apply(function, reads))


def _in_halves(function: Function, type_: str) -> Function:
    half = np.dtype(f"{'i' if type_[0] == 's' else 'u'}2")

    def packed(*operands: Array) -> Array:
        parts = [np.ascontiguousarray(x).view(half).reshape(-1, 2) for x in operands]
        return np.ascontiguousarray(function(*parts)).reshape(-1).view(np.uint32)

    return packed


def _mixed(d: Decoder, i: Instruction) -> Run:
    """add.f32.f16 and its kin: the first operand is narrower."""
    narrow = i.opcode[-1]
    wide = i.opcode[-2]
    if wide != "f32" or narrow not in ("f16", "bf16"):
        raise Refused(f"{'.'.join(i.opcode)}")
    name = i.opcode[0]
    count = len(i.operands) - 1
    reads = [d.read(o, narrow if n < count - 1 else wide) for n, o in enumerate(i.operands[1:])]
    function = _float_function(name, "f32", set(i.opcode[1:-2]))

    def widened(*operands: Array) -> Array:
        values = [bf16_to_f32(x) if x.dtype == np.uint16 else x.astype(np.float32) for x in operands]
        return function(*values)

    return d.pure(i.operands[0], wide, _apply(widened, reads))


def _carry(d: Decoder, i: Instruction) -> Run:
    """add.cc, addc, sub.cc, subc, mad.cc, madc: with the carry bit CC."""
    name, type_ = i.opcode[0], i.opcode[-1]
    base = name.rstrip("c") if name in ("addc", "subc", "madc") else name
    takes, gives = name.endswith("c"), "cc" in i.opcode
    dtype = DTYPES["u" + type_[1:]]
    carry = Register("<carry>", "pred")
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    carry_in = d.read(carry, "pred") if takes else None
    put = d.put(i.operands[0], "u" + type_[1:])
    put_carry = d.put(carry, "pred") if gives else None
    guard, high = d.guard, "hi" in i.opcode
    if base == "mad" and not high and "lo" not in i.opcode:
        raise Refused(".".join(i.opcode))

    def run(m: Batch, r: Registers) -> None:
        values = [read(r) for read in reads]
        if base == "mad":
            product = integer.multiply_high(values[0], values[1]) if high else values[0] * values[1]
            values = [product, values[2]]
        a, b = (x.view(dtype) for x in values)
        extra = np.zeros(1, dtype) if carry_in is None else carry_in(r).astype(dtype)
        if base == "sub":
            total = a - b - extra
            out = (a < b) | ((a == b) & (extra != 0))
        else:
            total = a + b + extra
            out = (total < a) | ((total == a) & (extra != 0) & (b != 0))
        keep = None if guard is None else guard(r)
        put(r, total, keep)
        if put_carry is not None:
            put_carry(r, out, keep)

    return run


def _multiply(d: Decoder, i: Instruction) -> Run:
    name, type_ = i.opcode[0], i.opcode[-1]
    if is_float(type_) or type_ in PACKED:
        return _mixed(d, i) if name in ("fma", "mul") and i.opcode[-2] in DTYPES else float_arithmetic(d, i)
    modifiers = split(i.opcode, ("lo", "hi", "wide", "sat", "cc"), INTEGERS)
    if "cc" in modifiers:
        return _carry(d, i)
    a, b = (d.read(operand, type_) for operand in i.operands[1:3])
    result, product = type_, _product(type_, modifiers, name)
    if "wide" in modifiers:
        result = f"{type_[0]}{2 * int(type_[1:])}"
    if name in ("mul", "mul24"):
        return d.pure(i.operands[0], result, lambda r: product(a(r), b(r)))
    c = d.read(i.operands[3], result)
    if "sat" in modifiers:
        return d.pure(
            i.operands[0], result,
            lambda r: integer.saturate(product(a(r), b(r)).astype(np.int64) + c(r), DTYPES[result]),
        )  # fmt: skip
    return d.pure(i.operands[0], result, lambda r: product(a(r), b(r)) + c(r))


def _product(type_: str, modifiers: set[str], name: str) -> Function:
    if name.endswith("24"):
        wide = np.int64
        shift = np.int64(40)

        def narrow(x: Array) -> Array:
            return (x.astype(wide) << shift) >> shift if is_signed(type_) else x.astype(wide) & np.int64(0xFFFFFF)

        down = np.int64(16 if "hi" in modifiers else 0)
        return lambda a, b: ((narrow(a) * narrow(b)) >> down).astype(np.uint32).view(DTYPES[type_])
    if "wide" in modifiers:
        dtype = DTYPES[f"{type_[0]}{2 * int(type_[1:])}"]
        return lambda a, b: a.astype(dtype) * b.astype(dtype)
    if "hi" in modifiers:
        return integer.multiply_high
    if "lo" in modifiers:
        return np.multiply
    raise Refused(f"{name} of integers without .lo, .hi or .wide")


def _divide(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    if is_float(type_):
        return float_arithmetic(d, i)
    split(i.opcode, (), INTEGERS)
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    return d.pure(i.operands[0], type_, _apply(integer.divide if i.opcode[0] == "div" else integer.remainder, reads))


def _extremum(d: Decoder, i: Instruction) -> Run:
    type_, largest = i.opcode[-1], i.opcode[0] == "max"
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    if type_.endswith("16x2") and type_[0] in "us":
        split(i.opcode, ("relu",), (type_,))
        function: Function = _in_halves(np.maximum if largest else np.minimum, type_)
    elif is_float(type_) or type_ in PACKED:
        modifiers = split(i.opcode, ("ftz", "NaN"), (*FLOATS, *PACKED))
        nan = "NaN" in modifiers

        def pick(a: Array, b: Array) -> Array:
            return floating.extremum(a, b, largest=largest, nan=nan)

        inner = pick if len(reads) == 2 else lambda a, b, c: pick(pick(a, b), c)
        function = on_floats(inner, type_, ftz="ftz" in modifiers)
    else:
        modifiers = split(i.opcode, ("relu",), INTEGERS)
        function = np.maximum if largest else np.minimum
        if "relu" in modifiers:
            plain = function
            function = lambda a, b: np.maximum(plain(a, b), a.dtype.type(0))  # noqa: E731
    return d.pure(i.operands[0], type_, _apply(function, reads))


def _sign(d: Decoder, i: Instruction) -> Run:
    """Of abs and neg."""
    name, type_ = i.opcode[0], i.opcode[-1]
    modifiers = split(i.opcode, ("ftz",), (*INTEGERS, *FLOATS, *PACKED))
    read = d.read(i.operands[1], type_)
    if type_ in ("bf16", *PACKED, "f16"):
        raw = {"bf16": "u16", "f16": "u16"}.get(type_, "u32")
        bits = DTYPES[raw]
        mask = bits.type(0x80008000 if raw == "u32" else 0x8000)
        read = d.read(i.operands[1], raw)
        return d.pure(i.operands[0], raw, (lambda r: read(r) ^ mask) if name == "neg" else (lambda r: read(r) & ~mask))
    function: Function = np.negative if name == "neg" else np.abs
    if type_ == "f32":
        function = on_floats(function, type_, ftz="ftz" in modifiers)
    return d.pure(i.operands[0], type_, lambda r: function(read(r)))


def _unary_float(d: Decoder, i: Instruction) -> Run:
    """ex2, lg2, sin, cos, tanh, rcp, sqrt, rsqrt."""
    name, type_ = i.opcode[0], i.opcode[-1]
    modifiers = split(i.opcode, ("approx", "ftz", "rn", "rz", "rm", "rp"), (*FLOATS, *PACKED))
    mode = _rounding(modifiers)
    element = type_.removesuffix("x2")
    if mode != "rn":
        function = floating.directed(name, element, mode)
    elif name == "sqrt" and element in ("f32", "f64"):
        function = np.sqrt
    elif name == "rcp" and element in ("f32", "f64"):
        function = lambda x: np.divide(x.dtype.type(1), x)  # noqa: E731
    else:
        function = lambda x: floating.approximate(name, x)  # noqa: E731
    read = d.read(i.operands[1], type_)
    whole = on_floats(function, type_, ftz="ftz" in modifiers)
    return d.pure(i.operands[0], type_, lambda r: whole(read(r)))


def _logic(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), ("b16", "b32", "b64", "pred"))
    table: dict[str, Function] = {**COMBINE, "not": np.invert}
    function = table[i.opcode[0]]
    return d.pure(i.operands[0], type_, _apply(function, [d.read(o, type_) for o in i.operands[1:]]))


def _zero_test(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    read = d.read(i.operands[1], type_)
    return d.pure(i.operands[0], type_, lambda r: (read(r) == 0).astype(DTYPES[type_]))


def _shift(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    split(i.opcode, (), INTEGERS)
    a, amount = d.read(i.operands[1], type_), i.operands[2]
    if isinstance(amount, Integer) and 0 <= amount.value < int(type_[1:]):
        n = DTYPES[type_].type(amount.value)
        return d.pure(i.operands[0], type_, (lambda r: a(r) << n) if i.opcode[0] == "shl" else (lambda r: a(r) >> n))
    b = d.read(amount, "u32")
    function = integer.shift_left if i.opcode[0] == "shl" else integer.shift_right
    return d.pure(i.operands[0], type_, lambda r: function(a(r), b(r)))


def _funnel(d: Decoder, i: Instruction) -> Run:
    modifiers = split(i.opcode, ("l", "r", "clamp", "wrap"), ("b32",))
    a, b, c = (d.read(o, "u32") for o in i.operands[1:])
    left, wrap = "l" in modifiers, "wrap" in modifiers
    return d.pure(i.operands[0], "b32", lambda r: integer.funnel(a(r), b(r), c(r), left=left, wrap=wrap))


def _bit_field(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    if i.opcode[0] == "bfe":
        a = d.read(i.operands[1], type_)
        p, n = (d.read(o, "u32") for o in i.operands[2:])
        return d.pure(i.operands[0], type_, lambda r: integer.extract(a(r), p(r), n(r)))
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    p, n = (d.read(o, "u32") for o in i.operands[3:])
    return d.pure(i.operands[0], type_, lambda r: integer.insert(a(r), b(r), p(r), n(r)))


def _bits(d: Decoder, i: Instruction) -> Run:
    """popc, clz, brev, bfind."""
    name, type_ = i.opcode[0], i.opcode[-1]
    modifiers = split(i.opcode, ("shiftamt",), INTEGERS)
    read = d.read(i.operands[1], type_)
    if name == "brev":
        return d.pure(i.operands[0], type_, lambda r: integer.reverse_bits(read(r)))
    functions: dict[str, Function] = {
        "popc": lambda a: np.bitwise_count(a).astype(np.uint32), "clz": integer.leading_zeros,
        "bfind": lambda a: integer.find_top(a, shift_amount="shiftamt" in modifiers),
    }  # fmt: skip
    function = functions[name]
    return d.pure(i.operands[0], "u32", lambda r: function(read(r)))


def _lop3(d: Decoder, i: Instruction) -> Run:
    table = i.operands[-1]
    if len(i.opcode) != 2 or not isinstance(table, Integer):
        raise Refused(".".join(i.opcode) + " with a predicate")
    a, b, c = (d.read(o, "b32") for o in i.operands[1:4])
    number = table.value & 255
    return d.pure(i.operands[0], "b32", lambda r: integer.lop3(a(r), b(r), c(r), number))


def _permute(d: Decoder, i: Instruction) -> Run:
    mode = i.opcode[2] if len(i.opcode) > 2 else ""
    if mode not in ("", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"):
        raise Refused(".".join(i.opcode))
    a, b, c = (d.read(o, "b32") for o in i.operands[1:])
    return d.pure(i.operands[0], "b32", lambda r: integer.permute(a(r), b(r), c(r), mode))


def _dot(d: Decoder, i: Instruction) -> Run:
    name, types = i.opcode[0], i.opcode[-2:]
    signed = [t == "s32" for t in types]
    result = "s32" if any(signed) else "u32"
    a, b = d.read(i.operands[1], "b32"), d.read(i.operands[2], "b32")
    c = d.read(i.operands[3], result)
    halves, high = name == "dp2a", "hi" in i.opcode
    return d.pure(
        i.operands[0], result,
        lambda r: integer.dot(a(r), b(r), c(r), a_signed=signed[0], b_signed=signed[1], halves=halves, high=high),
    )  # fmt: skip


def _sad(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    raw = "u" + type_[1:]
    a, b = (d.read(o, type_) for o in i.operands[1:3])
    c = d.read(i.operands[3], raw)
    dtype = DTYPES[raw]

    def compute(r: Registers) -> Array:
        x, y = a(r), b(r)
        far: Array = np.where(x < y, y.view(dtype) - x.view(dtype), x.view(dtype) - y.view(dtype)) + c(r)
        return far

    return d.pure(i.operands[0], raw, compute)


def _mask(d: Decoder, i: Instruction) -> Run:
    """For bmsk, `b` ones from bit `a` on."""
    a, b = (d.read(o, "u32") for o in i.operands[1:])
    wrap = "wrap" in i.opcode

    def compute(r: Registers) -> Array:
        start, width = (x.astype(np.uint64) & np.uint64(31) if wrap else x.astype(np.uint64) for x in (a(r), b(r)))
        start, width = np.minimum(start, np.uint64(32)), np.minimum(width, np.uint64(32))
        ones = (np.uint64(1) << width) - np.uint64(1)
        return ((ones << start) & np.uint64(0xFFFFFFFF)).astype(np.uint32)

    return d.pure(i.operands[0], "b32", compute)


def _extend(d: Decoder, i: Instruction) -> Run:
    """Keeps `b` low bits, extended."""
    type_ = i.opcode[-1]
    wrap = "wrap" in i.opcode
    a, b = d.read(i.operands[1], type_), d.read(i.operands[2], "u32")

    def compute(r: Registers) -> Array:
        width = b(r) & np.uint32(31) if wrap else np.minimum(b(r), np.uint32(32))
        return integer.extract(a(r), np.zeros(1, np.uint32), width)

    return d.pure(i.operands[0], type_, compute)


OPERANDS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("add", "sub", "addc", "subc", "mul", "mul24", "div", "rem", "and", "or", "xor", "shl"), (3,)),
    **dict.fromkeys(("mad", "mad24", "madc", "fma", "sad", "prmt", "dp4a", "dp2a", "shf", "bfe", "selp", "slct"), (4,)),
    **dict.fromkeys(("abs", "neg", "not", "cnot", "popc", "clz", "brev", "bfind", "testp", "rcp", "sqrt"), (2,)),
    **dict.fromkeys(("rsqrt", "ex2", "lg2", "sin", "cos", "tanh", "mov"), (2,)),
    **dict.fromkeys(("min", "max"), (3, 4)),
    "shr": (3,), "bfi": (5,), "lop3": (5,), "setp": (3, 4), "set": (3, 4), "copysign": (3,), "ld": (2, 3), "st": (2, 3),
}  # fmt: skip
"""How many operands an instruction has."""

BUILDERS: dict[str, Builder] = {
    "add": _add, "sub": _add, "addc": _carry, "subc": _carry, "madc": _carry, "mul": _multiply, "mad": _multiply,
    "mul24": _multiply, "mad24": _multiply, "fma": _multiply, "div": _divide, "rem": _divide, "min": _extremum,
    "max": _extremum, "abs": _sign, "neg": _sign, "and": _logic, "or": _logic, "xor": _logic, "not": _logic,
    "cnot": _zero_test, "shl": _shift, "shr": _shift, "shf": _funnel, "bfe": _bit_field, "bfi": _bit_field,
    "popc": _bits, "clz": _bits, "brev": _bits, "bfind": _bits, "lop3": _lop3, "prmt": _permute, "dp4a": _dot,
    "dp2a": _dot, "sad": _sad, "bmsk": _mask, "szext": _extend,
    **dict.fromkeys(("ex2", "lg2", "sin", "cos", "tanh", "rcp", "sqrt", "rsqrt"), _unary_float),
}  # fmt: skip
