"""cvt in all its roundings, and cvt.pack.

Source: PTX ISA 9.7.9.21 "cvt", 9.7.9.22 "cvt.pack".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...payload.ptx.syntax import Instruction, Operand
from .decode import Builder, Decoder, Run
from .faults import Refused
from .floating import canonical, clamp, flush, relu
from .modifiers import Modifiers, note, split
from .rounding import round_bf16, round_f64
from .types import DTYPES, E4M3, E5M2, Array, Registers, bf16_to_f32, is_float

Function = Callable[[Array], Array]
_TO_INTEGER: dict[str, Function] = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
_TABLES = {"e4m3": E4M3, "e5m2": E5M2}


def to_integer(value: Array, type_: str, rounding: str, *, wide: bool = False) -> Array:
    """Return integers clamped to the type's range.

    NaN gives 0 unless the source (`wide`) or the result has 64 bits: then only the uppermost bit is set (PTX ISA,
    "cvt").
    """
    dtype = DTYPES[type_]
    limits = np.iinfo(dtype)
    whole = _TO_INTEGER[rounding](value.astype(np.float64))
    high, low, nans = whole >= float(limits.max), whole <= float(limits.min), np.isnan(whole)
    plain = np.where(high | low | nans, 0.0, whole)
    result: Array = plain.astype(dtype)
    result = np.where(high, dtype.type(limits.max), result)
    result = np.where(low, dtype.type(limits.min), result)
    if (wide or dtype.itemsize == 8) and nans.any():
        top = np.array([1 << (8 * dtype.itemsize - 1)], f"u{dtype.itemsize}").view(dtype)
        result = np.where(nans, top, result)
    return result.astype(dtype)


def to_float(value: Array, type_: str, rounding: str) -> Array:
    """Convert an array of floats or integers to a float format, with one rounding; bf16 as its bits."""
    dtype = DTYPES[type_]
    exact_in_64 = not (value.dtype.kind in "iu" and value.dtype.itemsize == 8)
    if rounding in ("rz", "rm", "rp"):
        wide = value.astype(np.float64)
        error = np.zeros(1) if exact_in_64 else _integer_error(value, wide)
        result = round_f64(wide, error, type_, rounding)
        return _bits_of_bf16(result) if type_ == "bf16" else result
    if type_ == "bf16":
        if exact_in_64:
            return round_bf16(value if value.dtype == np.float32 else value.astype(np.float64))
        wide = value.astype(np.float64)
        return _bits_of_bf16(round_f64(wide, _integer_error(value, wide), "bf16", "rn"))
    plain: Array = value.astype(dtype)
    return plain


def _bits_of_bf16(value: Array) -> Array:
    bits: Array = (value.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(value), np.uint16(0x7FFF), bits)


def _integer_error(value: Array, wide: Array) -> Array:
    """Return the difference of 64-bit integers and their values in float64."""
    return np.array([int(v) - int(w) for v, w in zip(value.tolist(), wide.tolist(), strict=True)], np.float64)


def to_tf32(value: Array, rounding: str, *, relu_: bool = False, satfinite: bool = False) -> Array:
    """Convert float32 to the bits of tf32 (10 mantissa bits), to nearest with ties away (rna), to even, or towards
    zero.
    """
    bits = (relu(value) if relu_ else value).view(np.uint32)
    if rounding == "rna":
        rounded = bits + np.uint32(0x1000)
    elif rounding == "rn":
        rounded = bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))
    else:
        rounded = bits
    special = (bits & np.uint32(0x7F800000)) == np.uint32(0x7F800000)
    result = np.where(special, bits, rounded & np.uint32(0xFFFFE000))
    result = np.where(np.isnan(value), np.uint32(0x7FFFFFFF), result)
    if satfinite:
        over = (result & np.uint32(0x7FFFFFFF)) == np.uint32(0x7F800000)
        result = np.where(over, (result & np.uint32(1 << 31)) | np.uint32(0x7F7FE000), result)
    return result


@cache
def _grid(type_: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the positive finite values of an 8-bit format in order, and the midpoints between them."""
    table = _TABLES[type_][:128].astype(np.float64)
    values = table[np.isfinite(table)]
    return values, (values[1:] + values[:-1]) / 2


def to_f8(value: Array, type_: str, *, relu_: bool = False) -> Array:
    """Convert floats to e4m3 or e5m2 codes, to nearest even, overflow to the largest finite number (.satfinite)."""
    wide = (relu(value) if relu_ else value).astype(np.float64)
    values, middles = _grid(type_)
    size = np.abs(wide)
    below = np.searchsorted(middles, size, side="left")
    tie = (below < len(middles)) & (middles[np.minimum(below, len(middles) - 1)] == size)
    code = np.where(tie & (below % 2 == 1), below + 1, below)
    code = np.minimum(code, len(values) - 1).astype(np.uint8)
    code = np.where(np.signbit(wide), code | np.uint8(0x80), code)
    result: Array = np.where(np.isnan(wide), np.uint8(0x7F), code).astype(np.uint8)
    return result


def _source(d: Decoder, operand: Operand, type_: str) -> Callable[[Registers], Array]:
    read = d.read(operand, type_)
    if type_ == "bf16":
        return lambda r: bf16_to_f32(read(r))
    return read


_ROUNDINGS = ("rn", "rz", "rm", "rp", "rna", *_TO_INTEGER)


_SIGNIFICANT = {"bf16": 8, "f16": 11, "f32": 24, "f64": 53}


def _roundings(to: str, origin: str) -> tuple[str, ...]:
    """Return the roundings that a conversion can have; an empty one if it may have none."""
    if not is_float(to):
        return tuple(_TO_INTEGER) if is_float(origin) else ("",)
    if to == "tf32":
        return ("rna", "rn", "rz") if origin == "f32" else ()
    if to == origin:
        return ("", *_TO_INTEGER)
    if is_float(origin) and _SIGNIFICANT.get(origin, 0) < _SIGNIFICANT[to] and {to, origin} != {"bf16", "f16"}:
        return ("",)
    return ("rn", "rz", "rm", "rp")


def _is_unclamped(to: str, origin: str, modifiers: set[str]) -> bool:
    """Return True if a modifier asks for clamping that this conversion does not have."""
    names = set(modifiers)
    if names & {"relu", "satfinite"} and (to not in ("f16", "bf16", "tf32") or origin != "f32"):
        return True
    return "sat" in names and "bf16" in (to, origin)


def _one_rounding(modifiers: set[str]) -> str:
    found = [word for word in _ROUNDINGS if word in modifiers]
    if len(found) > 1:
        raise Refused(f"cvt.{'.'.join(found)}")
    return found[0] if found else ""


def _convert(d: Decoder, i: Instruction) -> Run:
    if i.opcode[1] == "pack":
        return _pack(d, i)
    to, origin = i.opcode[-2:]
    modifiers = split(i.opcode, (*_ROUNDINGS, "ftz", "sat", "satfinite", "relu"), count=2)
    if "ftz" in modifiers and "f32" not in (to, origin):
        raise Refused(".".join(i.opcode))
    if to.endswith("x2") or origin.endswith("x2"):
        return _convert_pair(d, i, to, origin, modifiers)
    if _one_rounding(modifiers) not in _roundings(to, origin) or _is_unclamped(to, origin, modifiers):
        raise Refused(".".join(i.opcode))
    function = _scalar(to, origin, modifiers)
    read = _source(d, i.operands[1], origin)
    return d.pure(i.operands[0], to, lambda r: function(read(r)))


def _scalar(to: str, origin: str, modifiers: Modifiers) -> Function:
    rounding = _one_rounding(modifiers)
    ftz = "ftz" in modifiers
    dtype = DTYPES[to]
    if is_float(origin) and not is_float(to):
        if rounding not in _TO_INTEGER:
            raise Refused(f"cvt to .{to} without .rni, .rzi, .rmi or .rpi")
        note(modifiers.opcode, ("sat",))  # a conversion to integers always clamps
        wide = origin == "f64"
        return lambda x: to_integer(flush(x) if ftz else x, to, rounding, wide=wide)
    if not is_float(origin) and not is_float(to):
        if "sat" in modifiers:
            return lambda x: _saturated(x, np.iinfo(dtype)).astype(dtype)
        return lambda x: x.astype(dtype)
    sat, relu_, satfinite = "sat" in modifiers, "relu" in modifiers, "satfinite" in modifiers
    if to == "tf32":
        return lambda x: to_tf32(x, rounding, relu_=relu_, satfinite=satfinite)
    whole = _TO_INTEGER.get(rounding)
    final = "rn" if whole is not None else rounding

    def function(x: Array) -> Array:
        if ftz and x.dtype == np.float32:
            x = flush(x)
        if whole is not None:
            x = whole(x)
        if sat:
            x = clamp(x)
        result = to_float(x, to, final)
        if ftz and to == "f32":
            result = flush(result)
        if to in ("f16", "f32"):
            result = canonical(result)
        return _finished(result, to, relu_=relu_, satfinite=satfinite)

    return function


def _finished(result: Array, to: str, *, relu_: bool, satfinite: bool) -> Array:
    """Apply .relu and .satfinite to a result as its type is held."""
    if satfinite:
        result = _finite(result, to)
    if relu_:
        return round_bf16(relu(bf16_to_f32(result))) if to == "bf16" else relu(result)
    return result


def _saturated(x: Array, limits: np.iinfo[Any]) -> Array:
    """Return integers clamped to a range, in their own type."""
    own = np.iinfo(x.dtype)
    low, high = max(limits.min, own.min), min(limits.max, own.max)
    result: Array = np.clip(x, x.dtype.type(low), x.dtype.type(high))
    return result


def _convert_pair(d: Decoder, i: Instruction, to: str, origin: str, modifiers: set[str]) -> Run:
    """Build a conversion of pairs: `cvt.rn.f16x2.f32 d, high, low`, `cvt.rn.satfinite.e4m3x2.f32`,
    `cvt.rn.f16x2.e4m3x2`.
    """
    relu_, satfinite = "relu" in modifiers, "satfinite" in modifiers
    rounding = _one_rounding(modifiers)
    element = to.removesuffix("x2")
    if {"sat", "ftz"} & set(modifiers) or (element in ("f16", "bf16") and origin[-2:] == "x2" and origin[0] != "e"):
        raise Refused(".".join(i.opcode))
    if rounding not in ("rn", "rz") or (rounding == "rz" and element not in ("f16", "bf16")):
        raise Refused(".".join(i.opcode))
    if origin in ("e4m3x2", "e5m2x2"):
        if to != "f16x2" or rounding != "rn":
            raise Refused(".".join(i.opcode))
        table, read = _TABLES[origin[:4]], d.read(i.operands[1], "b16")

        def widened(r: Registers) -> Array:
            codes = np.ascontiguousarray(read(r)).view(np.uint8).reshape(-1, 2)
            values = canonical(table[codes].astype(np.float16))
            return np.ascontiguousarray(relu(values) if relu_ else values).reshape(-1).view(np.uint32)

        return d.pure(i.operands[0], "b32", widened)
    if element not in ("f16", "bf16", *_TABLES) or (element in _TABLES and not satfinite):
        raise Refused(".".join(i.opcode))

    def narrow(x: Array) -> Array:
        if element in _TABLES:
            return to_f8(x, element, relu_=relu_)
        found = to_float(x, element, rounding)
        if element == "f16":
            found = canonical(found)
        return _finished(found, element, relu_=relu_, satfinite=satfinite).view(np.uint16)

    result, shift = ("b16", 8) if element in _TABLES else ("b32", 16)
    dtype = DTYPES[result]
    if origin in ("f16x2", "bf16x2"):
        both = d.read(i.operands[1], "b32")
        half = np.dtype(np.float16)

        def from_halves(r: Registers) -> Array:
            raw = np.ascontiguousarray(both(r)).view(np.uint16)
            values = bf16_to_f32(raw) if origin[0] == "b" else raw.view(half)
            return np.ascontiguousarray(narrow(values)).view(dtype)

        return d.pure(i.operands[0], result, from_halves)
    if origin != "f32":
        raise Refused(".".join(i.opcode))
    high, low = (_source(d, operand, origin) for operand in i.operands[1:3])
    return d.pure(
        i.operands[0],
        result,
        lambda r: (narrow(high(r)).astype(dtype) << dtype.type(shift)) | narrow(low(r)).astype(dtype),
    )


def _finite(found: Array, element: str) -> Array:
    """Replace infinities by the largest finite number."""
    size = found.dtype.itemsize
    bits = found.view(f"u{size}")
    infinity = {"f16": 0x7C00, "bf16": 0x7F80, "f32": 0x7F800000}[element]
    one, sign = bits.dtype.type(1), bits.dtype.type(1 << (8 * size - 1))
    over = (bits & ~sign) == infinity
    return np.where(over, bits - one, bits).view(found.dtype)


_PACKED_BITS = {**{f"{letter}{bits}": bits for letter in "us" for bits in (2, 4, 8, 16)}}


def _pack(d: Decoder, i: Instruction) -> Run:
    """Build cvt.pack.sat: two integers, saturated and placed below the bits of a third."""
    words = i.opcode[3:]
    note(i.opcode, ("sat", *words))
    if i.opcode[2] != "sat" or len(words) != len(i.operands) - 1 or words[1] not in ("u32", "s32"):
        raise Refused(".".join(i.opcode))
    to, origin = words[0], words[1]
    bits = _PACKED_BITS.get(to)
    if bits is None or (bits == 16) != (len(words) == 2) or words[2:] not in ((), ("b32",)):
        raise Refused(".".join(i.opcode))
    a, b = (d.read(o, origin) for o in i.operands[1:3])
    c = d.read(i.operands[3], "b32") if len(words) > 2 else None
    lowest, highest = (0, (1 << bits) - 1) if to[0] == "u" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    mask, shift = np.int64((1 << bits) - 1), np.uint32(bits)

    def compute(r: Registers) -> Array:
        high, low = ((np.clip(x(r).astype(np.int64), lowest, highest) & mask).astype(np.uint32) for x in (a, b))
        result: Array = (high << shift) | low
        return result if c is None else result | (c(r) << np.uint32(2 * bits))

    return d.pure(i.operands[0], "b32", compute)


BUILDERS: dict[str, Builder] = {"cvt": _convert}
