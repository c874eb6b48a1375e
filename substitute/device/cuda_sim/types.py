"""PTX's fundamental types as NumPy types, and the small-float formats that NumPy lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Values of lanes: [1] if all lanes have the same, else [active lanes]."""
Registers = list[Array]
"""One array per slot: registers, constants and special registers of the active lanes."""
Read = Callable[[Registers], Array]

_UNSIGNED: dict[int, np.dtype[Any]] = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
DTYPES: dict[str, np.dtype[Any]] = {
    **{f"{letter}{8 * size}": dtype for letter in "ub" for size, dtype in _UNSIGNED.items()},
    **{f"s{8 * size}": np.dtype(f"i{size}") for size in _UNSIGNED},
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "bf16": _UNSIGNED[2],
    "f16x2": _UNSIGNED[4],
    "bf16x2": _UNSIGNED[4],
    "tf32": _UNSIGNED[4],
    "e4m3": _UNSIGNED[1],
    "e5m2": _UNSIGNED[1],
    "e4m3x2": _UNSIGNED[2],
    "e5m2x2": _UNSIGNED[2],
    "u16x2": _UNSIGNED[4],
    "s16x2": _UNSIGNED[4],
    "b128": np.dtype(np.complex128),
    "pred": np.dtype(np.bool_),
}
"""NumPy type that registers and operands of a type are held in; formats that NumPy lacks as their bits."""


def unsigned(size_bytes: int) -> np.dtype[Any]:
    """Return the unsigned integer of 1, 2, 4 or 8 bytes."""
    return _UNSIGNED[size_bytes]


def is_signed(type_: str) -> bool:
    """Return True for `s8` … `s64`."""
    return type_[0] == "s" and type_[1:].isdigit()


def is_float(type_: str) -> bool:
    """Return True for types whose values are one floating-point number."""
    return type_ in ("f16", "f32", "f64", "bf16", "tf32")


def bits_of(value: Array) -> Array:
    """Return the same bits as unsigned integers."""
    return value if value.dtype.kind in "ub" else value.view(_UNSIGNED[value.dtype.itemsize])


def resize(value: Array, dtype: np.dtype[Any], *, signed: bool) -> Array:
    """Return the bits of `value` in a container of another type: cut off, or extended with zeros or with the sign."""
    if value.dtype == dtype:
        return value
    if value.dtype == np.bool_ or dtype == np.bool_:
        return value.astype(dtype)
    size = dtype.itemsize
    if value.dtype.itemsize == size:
        return value.view(dtype)
    raw = bits_of(value)
    if signed and size > raw.dtype.itemsize:
        return raw.view(f"i{raw.dtype.itemsize}").astype(f"i{size}").view(dtype)
    return raw.astype(_UNSIGNED[size]).view(dtype)


def bf16_to_f32(bits: Array) -> Array:
    """Convert bf16 bits to float32, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _table(exponent_bits: int, mantissa_bits: int, *, infinity: bool) -> NDArray[np.float32]:
    """Return the 256 values of an 8-bit format. PTX ISA 5.2.3: e4m3 has no infinity and one NaN pattern per sign."""
    codes = np.arange(256, dtype=np.int64)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = codes & ((1 << mantissa_bits) - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    scale = float(1 << mantissa_bits)
    normal = (1 + mantissa / scale) * np.exp2((exponent - bias).astype(np.float64))
    values = np.where(exponent == 0, mantissa / scale * 2.0 ** (1 - bias), normal)
    top = exponent == (1 << exponent_bits) - 1
    if infinity:
        values = np.where(top, np.where(mantissa == 0, np.inf, np.nan), values)
    else:
        values = np.where(top & (mantissa == (1 << mantissa_bits) - 1), np.nan, values)
    return np.where(codes & 128, -values, values).astype(np.float32)


E4M3 = _table(4, 3, infinity=False)
"""Value of each e4m3 code."""
E5M2 = _table(5, 2, infinity=True)
"""Value of each e5m2 code."""


def widen(bits: Array, type_: str) -> Array:
    """Convert floats of any format to float32 (or float64 for f64), exactly. `bits` as `DTYPES` holds the type."""
    if type_ == "bf16":
        return bf16_to_f32(bits)
    if type_ == "e4m3":
        return E4M3[bits]
    if type_ == "e5m2":
        return E5M2[bits]
    if type_ == "tf32":
        # the 13 low bits of a tf32 operand are ignored
        return (bits & np.uint32(0xFFFFE000)).view(np.float32)
    if type_ == "f16":
        wide: Array = bits.view(np.float16).astype(np.float32)
        return wide
    return bits
