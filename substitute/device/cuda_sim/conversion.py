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
from .floating import clamp, flush
from .rounding import round_bf16, round_f64
from .types import DTYPES, E4M3, E5M2, Array, Registers, bf16_to_f32, is_float

Function = Callable[[Array], Array]
_TO_INTEGER: dict[str, Function] = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
_TABLES = {"e4m3": E4M3, "e5m2": E5M2}
_KNOWN = {
    "rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi", "ftz", "sat", "satfinite", "relu",
}  # fmt: skip


def to_integer(value: Array, type_: str, rounding: str) -> Array:
    """Clamped to the type's range; NaN gives 0 (ISA: for 32-bit and wider float sources)."""
    dtype = DTYPES[type_]
    limits = np.iinfo(dtype)
    whole = _TO_INTEGER[rounding](value.astype(np.float64))
    high, low = whole >= float(limits.max), whole <= float(limits.min)
    plain = np.where(high | low | np.isnan(whole), 0.0, whole)
    result: Array = plain.astype(dtype)
    result = np.where(high, dtype.type(limits.max), result)
    return np.where(low, dtype.type(limits.min), result).astype(dtype)


def to_float(value: Array, type_: str, rounding: str) -> Array:
    """Any float or integer array to a float format, with one rounding; bf16 as its bits."""
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
    return bits


def _integer_error(value: Array, wide: Array) -> Array:
    """What float64 lacks of 64-bit integers."""
    return np.array([int(v) - int(w) for v, w in zip(value.tolist(), wide.tolist(), strict=True)], np.float64)


def to_tf32(value: Array, rounding: str, *, relu: bool = False) -> Array:
    """float32 → the bits of tf32 (10 mantissa bits), to nearest with ties away (rna), to even, or towards zero."""
    bits = value.view(np.uint32)
    if relu:
        bits = np.where(value < 0, np.uint32(0), bits)
    if rounding == "rna":
        rounded = bits + np.uint32(0x1000)
    elif rounding == "rn":
        rounded = bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))
    else:
        rounded = bits
    special = (bits & np.uint32(0x7F800000)) == np.uint32(0x7F800000)
    return np.where(special, bits, rounded & np.uint32(0xFFFFE000))


@cache
def _grid(type_: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positive finite values of an 8-bit format in order, and the middles between them."""
    table = _TABLES[type_][:128].astype(np.float64)
    values = table[np.isfinite(table)]
    return values, (values[1:] + values[:-1]) / 2


def to_f8(value: Array, type_: str, *, relu: bool = False) -> Array:
    """Float → e4m3 or e5m2 codes, to nearest even, overflow to the largest finite number (.satfinite)."""
    wide = value.astype(np.float64)
    if relu:
        wide = np.where(wide < 0, 0.0, wide)
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


def _convert(d: Decoder, i: Instruction) -> Run:
    to, origin = i.opcode[-2:]
    if i.opcode[1] == "pack":
        return _pack(d, i)
    modifiers = set(i.opcode[1:-2])
    for modifier in modifiers - _KNOWN:
        raise Refused(f"cvt.{modifier}")
    if to not in DTYPES or origin not in DTYPES:
        raise Refused(".".join(i.opcode))
    if to.endswith("x2") or origin.endswith("x2"):
        return _convert_pair(d, i, to, origin, modifiers)
    function = _scalar(to, origin, modifiers)
    read = _source(d, i.operands[1], origin)
    return d.pure(i.operands[0], to, lambda r: function(read(r)))


def _scalar(to: str, origin: str, modifiers: set[str]) -> Function:
    rounding = next((m for m in modifiers if m[0] == "r" and m != "relu"), "")
    ftz, sat = "ftz" in modifiers, "sat" in modifiers
    if to == "tf32":
        return lambda x: to_tf32(x, rounding, relu="relu" in modifiers)
    dtype = DTYPES[to]
    if is_float(origin) and not is_float(to):
        if rounding not in _TO_INTEGER:
            raise Refused(f"cvt to .{to} without .rni, .rzi, .rmi or .rpi")
        return lambda x: to_integer(flush(x) if ftz and x.dtype == np.float32 else x, to, rounding)
    if not is_float(origin) and not is_float(to):
        if sat:
            return lambda x: _saturated(x, dtype)
        return lambda x: x.astype(dtype)
    relu = "relu" in modifiers

    def function(x: Array) -> Array:
        if ftz and x.dtype == np.float32:
            x = flush(x)
        if rounding in _TO_INTEGER:
            x = _TO_INTEGER[rounding](x)
        if sat:
            x = clamp(x)
        if relu:
            x = np.where(x < 0, np.zeros(1, x.dtype), x)
        result = to_float(x, to, "rn" if rounding in _TO_INTEGER else rounding)
        return flush(result) if ftz and to == "f32" else result

    return function


def _saturated(x: Array, dtype: np.dtype[Any]) -> Array:
    limits, own = np.iinfo(dtype), np.iinfo(x.dtype)
    low, high = max(limits.min, own.min), min(limits.max, own.max)
    result: Array = np.clip(x, x.dtype.type(low), x.dtype.type(high)).astype(dtype)
    return result


def _convert_pair(d: Decoder, i: Instruction, to: str, origin: str, modifiers: set[str]) -> Run:
    """Two numbers at once: `cvt.rn.f16x2.f32 d, high, low`, `cvt.rn.satfinite.e4m3x2.f32`, `cvt.rn.f16x2.e4m3x2`."""
    relu = "relu" in modifiers
    rounding = next((m for m in ("rz", "rna") if m in modifiers), "rn")
    element = to.removesuffix("x2")
    if origin in ("e4m3x2", "e5m2x2"):
        if to != "f16x2":
            raise Refused(".".join(i.opcode))
        table, read = _TABLES[origin[:4]], d.read(i.operands[1], "b16")

        def widened(r: Registers) -> Array:
            codes = np.ascontiguousarray(read(r)).view(np.uint8).reshape(-1, 2)
            values = table[codes].astype(np.float16)
            values = np.where(values < 0, np.float16(0), values) if relu else values
            return np.ascontiguousarray(values).reshape(-1).view(np.uint32)

        return d.pure(i.operands[0], "b32", widened)

    def narrow(x: Array) -> Array:
        if element in _TABLES:
            return to_f8(x, element, relu=relu)
        if relu:
            x = np.where(x < 0, np.zeros(1, x.dtype), x)
        found = to_float(x, element, rounding)
        if "satfinite" in modifiers:
            found = _finite(found, element)
        return found.view(np.uint16)

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
    high, low = (_source(d, operand, origin) for operand in i.operands[1:3])
    return d.pure(
        i.operands[0], result,
        lambda r: (narrow(high(r)).astype(dtype) << dtype.type(shift)) | narrow(low(r)).astype(dtype),
    )  # fmt: skip


def _finite(found: Array, element: str) -> Array:
    bits = found.view(np.uint16)
    infinity = np.uint16(0x7C00 if element == "f16" else 0x7F80)
    over = (bits & np.uint16(0x7FFF)) == infinity
    return np.where(over, bits - np.uint16(1), bits)


def _pack(d: Decoder, i: Instruction) -> Run:
    """cvt.pack.sat: two integers, saturated and put below the bits of a third."""
    words = [word for word in i.opcode[2:] if word != "sat"]
    to, origin = words[0], words[1]
    bits = int(to[1:])
    a, b = (d.read(o, origin) for o in i.operands[1:3])
    c = d.read(i.operands[3], "b32") if len(i.operands) > 3 else None
    raw = np.dtype(f"u{bits // 8}")

    def compute(r: Registers) -> Array:
        high, low = (_saturated(x(r), DTYPES[to]).view(raw).astype(np.uint32) for x in (a, b))
        result = (high << np.uint32(bits)) | low
        if c is not None and bits < 16:
            result = result | (c(r) << np.uint32(2 * bits))
        return result

    return d.pure(i.operands[0], "b32", compute)


BUILDERS: dict[str, Builder] = {"cvt": _convert}
