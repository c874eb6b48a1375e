"""Builders of arithmetic on integers and floating-point numbers.

Source: PTX ISA 9.7.1 "Integer Arithmetic Instructions", 9.7.3 "Floating Point Instructions", 9.7.4 "Half Precision
Floating Point Instructions", 9.7.5 "Mixed Precision Floating Point Instructions".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction
from . import approximations, floating, integer
from .carry import carry
from .decode import Builder, Decoder, Run, call
from .faults import Refused
from .modifiers import FLOATS, INTEGERS, PACKED, split
from .rounding import fma32, round_bf16
from .types import DTYPES, Array, bf16_to_f32, is_float, is_signed

Function = Callable[..., Array]
_X2 = ("u16x2", "s16x2")


def on_floats(
    function: Function, type_: str, *, ftz: bool = False, sat: bool = False, relu: bool = False, bits: bool = False
) -> Function:
    """Adapt a function of float arrays to operands as the type is held (bits of bf16, pairs in 32 bits).

    NaN results are the type's canonical NaN, whatever the operands were. `bits`: the function only moves bits, such as
    a change of sign.
    """
    element = type_.removesuffix("x2")
    if element == "f64":
        return function if bits else floating.settle_f64(function)

    if element == type_ in ("f32", "f16") and not (ftz or sat or relu or bits):
        return lambda *operands: floating.canonical(function(*operands))

    def inner(*operands: Array) -> Array:
        values = list(operands)
        if element == "bf16":
            values = [bf16_to_f32(x) for x in values]
        if ftz:
            values = [floating.flush(x) for x in values]
        result = function(*values)
        if ftz:
            result = floating.flush(result)
        if sat:
            return round_bf16(floating.clamp(result)) if element == "bf16" else floating.clamp(result)
        if relu:
            result = floating.relu(result)
        if element == "bf16":
            return (result.view(np.uint32) >> np.uint32(16)).astype(np.uint16) if bits else round_bf16(result)
        return result if bits else floating.canonical(result)

    if type_ not in PACKED:
        return inner if ftz or sat or relu or element == "bf16" or not bits else function
    half = np.dtype(np.uint16) if element == "bf16" else np.dtype(np.float16)

    def packed(*operands: Array) -> Array:
        parts = [np.ascontiguousarray(x).view(half).reshape(-1, 2) for x in operands]
        return np.ascontiguousarray(inner(*parts)).reshape(-1).view(np.uint32)

    return packed


def _rounding(modifiers: set[str]) -> str:
    return next((m for m in ("rz", "rm", "rp", "rn") if m in modifiers), "rn")


def _float_function(name: str, element: str, modifiers: set[str]) -> Function:
    mode = _rounding(modifiers)
    if mode != "rn":
        return floating.directed(name, element, mode)
    if name == "fma":
        if element == "f32":
            return fma32
        return lambda a, b, c: floating.multiply_add(a, b, c, element)
    if name == "div" and modifiers & {"approx", "full"}:
        function = approximations.divide if "approx" in modifiers else np.divide
        return approximations.add_largest_error(name, element, function) if approximations.is_worst_case() else function
    plain: dict[str, Function] = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    return plain[name]


_FLOAT_MODIFIERS: dict[str, tuple[str, ...]] = {
    "f32": ("rn", "rz", "rm", "rp", "ftz", "sat", "approx", "full"),
    "f64": ("rn", "rz", "rm", "rp"),
    "f16": ("rn", "ftz", "sat"),
    "bf16": ("rn",),
}


def float_arithmetic(d: Decoder, i: Instruction) -> Run:
    """Build add, sub, mul, fma, mad, div of floating-point types."""
    name, type_ = i.opcode[0].replace("mad", "fma"), i.opcode[-1]
    element = type_.removesuffix("x2")
    allowed = {*_FLOAT_MODIFIERS.get(element, ())} - ({"approx", "full"} if name != "div" else set())
    if name == "fma" and element in ("f16", "bf16"):
        allowed.add("relu")
    modifiers = split(i.opcode, allowed, (*FLOATS, *PACKED))
    function = on_floats(
        _float_function(name, element, modifiers),
        type_,
        ftz="ftz" in modifiers,
        sat="sat" in modifiers,
        relu="relu" in modifiers,
    )
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    return d.pure(i.operands[0], type_, call(function, reads))


def _add(d: Decoder, i: Instruction) -> Run:
    name, type_ = i.opcode[0], i.opcode[-1]
    if is_float(type_) or type_ in PACKED:
        if len(i.opcode) > 2 and i.opcode[-2] in DTYPES:
            return _mixed(d, i)
        return float_arithmetic(d, i)
    if "cc" in i.opcode:
        return carry(d, i)
    modifiers = split(i.opcode, ("sat",) if type_ == "s32" else (), (*INTEGERS, *_X2))
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    function: Function = np.add if name == "add" else np.subtract
    if type_.endswith("x2"):
        function = _in_halves(function, type_)
    if "sat" in modifiers:
        plain, dtype = function, DTYPES[type_]
        return d.pure(
            i.operands[0],
            type_,
            call(lambda a, b: integer.saturate(plain(a.astype(np.int64), b.astype(np.int64)), dtype), reads),
        )
    return d.pure(i.operands[0], type_, call(function, reads))


def _in_halves(function: Function, type_: str) -> Function:
    half = np.dtype(f"{'i' if type_[0] == 's' else 'u'}2")

    def packed(*operands: Array) -> Array:
        parts = [np.ascontiguousarray(x).view(half).reshape(-1, 2) for x in operands]
        return np.ascontiguousarray(function(*parts)).reshape(-1).view(np.uint32)

    return packed


def _mixed(d: Decoder, i: Instruction) -> Run:
    """Build add.f32.f16 and its relatives, whose operands except the last are narrower than the result."""
    name, (wide, narrow) = i.opcode[0], i.opcode[-2:]
    modifiers = split(i.opcode, ("rn", "rz", "rm", "rp", "sat"), ("f32", "f16", "bf16"), count=2)
    if wide != "f32" or narrow == "f32":
        raise Refused(".".join(i.opcode))
    *first, last = i.operands[1:]
    reads = [*(d.read(o, narrow) for o in first), d.read(last, wide)]
    function = on_floats(_float_function(name, "f32", modifiers), "f32", sat="sat" in modifiers)

    def widened(*operands: Array) -> Array:
        values = [bf16_to_f32(x) if x.dtype == np.uint16 else x.astype(np.float32) for x in operands]
        return function(*values)

    return d.pure(i.operands[0], wide, call(widened, reads))


def _multiply(d: Decoder, i: Instruction) -> Run:
    name, type_ = i.opcode[0], i.opcode[-1]
    if is_float(type_) or type_ in PACKED:
        return _mixed(d, i) if name == "fma" and i.opcode[-2] in DTYPES else float_arithmetic(d, i)
    if "cc" in i.opcode:
        return carry(d, i)
    allowed = ("lo", "hi", *(() if name.endswith("24") else ("wide",)), *(() if name[:3] == "mul" else ("sat",)))
    modifiers = split(i.opcode, allowed, INTEGERS)
    a, b = (d.read(operand, type_) for operand in i.operands[1:3])
    result, product = type_, _product(type_, modifiers, name)
    if "wide" in modifiers:
        result = f"{type_[0]}{2 * int(type_[1:])}"
    if name in ("mul", "mul24"):
        return d.pure(i.operands[0], result, lambda r: product(a(r), b(r)))
    c = d.read(i.operands[3], result)
    if "sat" in modifiers:
        if "hi" not in modifiers or type_ != "s32":
            raise Refused(".".join(i.opcode))
        return d.pure(
            i.operands[0],
            result,
            lambda r: integer.saturate(product(a(r), b(r)).astype(np.int64) + c(r), DTYPES[result]),
        )
    return d.pure(i.operands[0], result, lambda r: product(a(r), b(r)) + c(r))


def _product(type_: str, modifiers: set[str], name: str) -> Function:
    if name.endswith("24"):
        return integer.multiply_24(DTYPES[type_], high="hi" in modifiers or "lo" not in modifiers)
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
    return d.pure(i.operands[0], type_, call(integer.divide if i.opcode[0] == "div" else integer.remainder, reads))


def _extremum(d: Decoder, i: Instruction) -> Run:
    """Build min and max; for floats also with three operands, .abs, and the product of the signs (.xorsign.abs)."""
    type_, largest = i.opcode[-1], i.opcode[0] == "max"
    element = type_.removesuffix("x2")
    reads = [d.read(operand, type_) for operand in i.operands[1:]]
    if element in FLOATS:
        allowed = {"f64": (), "bf16": ("NaN", "xorsign", "abs")}.get(element, ("ftz", "NaN", "xorsign", "abs"))
        modifiers = split(i.opcode, allowed, (*FLOATS, *PACKED))
        nan, signs, absolute = "NaN" in modifiers, "xorsign" in modifiers, "abs" in modifiers
        if signs != (absolute and len(reads) == 2):
            raise Refused(".".join(i.opcode))

        def pick(a: Array, b: Array) -> Array:
            if signs:
                return floating.multiply_signs(floating.extremum(np.abs(a), np.abs(b), largest=largest, nan=nan), a, b)
            return floating.extremum(a, b, largest=largest, nan=nan)

        def of_three(a: Array, b: Array, c: Array) -> Array:
            return pick(pick(*map(np.abs, (a, b))), np.abs(c)) if absolute else pick(pick(a, b), c)

        function = on_floats(pick if len(reads) == 2 else of_three, type_, ftz="ftz" in modifiers)
        return d.pure(i.operands[0], type_, call(function, reads))
    modifiers = split(i.opcode, ("relu",) if type_ in ("s32", "s16x2") else (), (*INTEGERS, *_X2))
    plain: Function = np.maximum if largest else np.minimum
    if "relu" in modifiers:
        plain = _not_negative(plain)
    function = _in_halves(plain, type_) if type_.endswith("x2") else plain
    return d.pure(i.operands[0], type_, call(function, reads))


def _not_negative(function: Function) -> Function:
    return lambda a, b: np.maximum(function(a, b), a.dtype.type(0))


def _sign(d: Decoder, i: Instruction) -> Run:
    """Build abs and neg. The ISA leaves NaN results open; here NaNs keep their bits except for the sign."""
    name, type_ = i.opcode[0], i.opcode[-1]
    element = type_.removesuffix("x2")
    allowed = ("ftz",) if element in ("f32", "f16") else ()
    modifiers = split(i.opcode, allowed, (*[t for t in INTEGERS if is_signed(t)], *FLOATS, *PACKED))
    read = d.read(i.operands[1], type_)
    function: Function = np.negative if name == "neg" else np.abs
    if element in FLOATS:
        function = on_floats(function, type_, ftz="ftz" in modifiers, bits=True)
    return d.pure(i.operands[0], type_, lambda r: function(read(r)))


def _unary_float(d: Decoder, i: Instruction) -> Run:
    """Build ex2, lg2, sin, cos, tanh, rcp, sqrt, rsqrt."""
    name, type_ = i.opcode[0], i.opcode[-1]
    element = type_.removesuffix("x2")
    rounds = ("rn", "rz", "rm", "rp") if name in ("rcp", "sqrt") else ()
    modifiers = split(i.opcode, ("approx", "ftz", *rounds), (*FLOATS, *PACKED))
    mode, ftz, rough = _rounding(modifiers), "ftz" in modifiers, "approx" in modifiers
    if mode != "rn":
        function = floating.directed(name, element, mode)
    elif name == "sqrt" and element in ("f32", "f64"):
        function = np.sqrt
    elif name == "rcp" and element in ("f32", "f64"):
        function = lambda x: np.divide(x.dtype.type(1), x)  # noqa: E731
    else:
        function = lambda x: floating.approximate(name, x)  # noqa: E731
    if approximations.is_worst_case() and (rough or name in ("ex2", "lg2", "sin", "cos", "tanh", "rsqrt")):
        function = approximations.add_largest_error(name, element, function)
    if element == "f64":
        function = floating.upper_half(function) if rough and ftz else function
    elif type_ == "bf16" and name == "ex2" and not ftz:
        raise Refused(".".join(i.opcode))
    whole = on_floats(function, type_, ftz=ftz)
    read = d.read(i.operands[1], type_)
    return d.pure(i.operands[0], type_, lambda r: whole(read(r)))


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("add", "sub"), _add),
    **dict.fromkeys(("mul", "mad", "mul24", "mad24", "fma"), _multiply),
    **dict.fromkeys(("div", "rem"), _divide),
    **dict.fromkeys(("min", "max"), _extremum),
    **dict.fromkeys(("abs", "neg"), _sign),
    **dict.fromkeys(("ex2", "lg2", "sin", "cos", "tanh", "rcp", "sqrt", "rsqrt"), _unary_float),
}
