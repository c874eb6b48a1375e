"""Integer operations that NumPy does not have.

Source: PTX ISA 9.7.1 "Integer Arithmetic Instructions", 9.7.2 "Extended-Precision …", 9.7.8 "Logic and Shift …".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .types import Array


def multiply_high(a: Array, b: Array) -> Array:
    """Return the upper half of a product."""
    size = a.dtype.itemsize
    if size < 8:
        wide = np.dtype(f"{a.dtype.kind}{2 * size}")
        high: Array = ((a.astype(wide) * b.astype(wide)) >> wide.type(8 * size)).astype(a.dtype)
        return high
    if a.dtype.kind == "i":
        raw = multiply_high(a.view(np.uint64), b.view(np.uint64)).view(np.int64)
        signed: Array = raw - np.where(a < 0, b, 0) - np.where(b < 0, a, 0)
        return signed
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    a0, a1, b0, b1 = a & low, a >> shift, b & low, b >> shift
    middle = a1 * b0 + ((a0 * b0) >> shift)
    other = (middle & low) + a0 * b1
    top: Array = a1 * b1 + (middle >> shift) + (other >> shift)
    return top


def divide(a: Array, b: Array) -> Array:
    """Return the quotient, towards zero; division by zero gives all ones (the ISA leaves it open)."""
    zero = b == 0
    safe = np.where(zero, np.ones(1, b.dtype), b)
    if a.dtype.kind == "u":
        quotient = a // safe
    else:
        raw = np.dtype(f"u{a.dtype.itemsize}")
        size_a, size_b = np.abs(a).view(raw), np.abs(safe).view(raw)
        magnitude = size_a // size_b
        quotient = np.where((a < 0) != (safe < 0), -magnitude, magnitude).astype(raw).view(a.dtype)
    return np.where(zero, ~np.zeros(1, a.dtype), quotient)


def remainder(a: Array, b: Array) -> Array:
    """Return the remainder, with the sign of the dividend; division by zero gives all ones, as ptxas's code does."""
    rest: Array = a - divide(a, b) * b
    return np.where(b == 0, ~np.zeros(1, a.dtype), rest)


def multiply_24(dtype: np.dtype[Any], *, high: bool) -> Callable[[Array, Array], Array]:
    """Return mul24: products of the low 24 bits, of which the upper or the lower 32 of 48 are kept."""
    shift, down = np.int64(40), np.int64(16 if high else 0)

    def narrow(x: Array) -> Array:
        return (x.astype(np.int64) << shift) >> shift if dtype.kind == "i" else x.astype(np.int64) & np.int64(0xFFFFFF)

    return lambda a, b: ((narrow(a) * narrow(b)) >> down).astype(np.uint32).view(dtype)


def shift_left(a: Array, amount: Array) -> Array:
    """Shift left; amounts of the width or more give 0."""
    bits = 8 * a.dtype.itemsize
    kept = np.minimum(amount, np.uint32(bits - 1)).astype(a.dtype)
    return np.where(amount >= bits, np.zeros(1, a.dtype), a << kept)


def shift_right(a: Array, amount: Array) -> Array:
    """Shift right; amounts of the width or more give 0, or the sign."""
    bits = 8 * a.dtype.itemsize
    kept = np.minimum(amount, np.uint32(bits - 1)).astype(a.dtype)
    shifted = a >> kept
    return shifted if a.dtype.kind == "i" else np.where(amount >= bits, np.zeros(1, a.dtype), shifted)


def funnel(low: Array, high: Array, amount: Array, *, left: bool, wrap: bool) -> Array:
    """Return shf: 32 bits of (high, low) shifted."""
    n = (amount & np.uint32(31) if wrap else np.minimum(amount, np.uint32(32))).astype(np.uint64)
    both = (high.astype(np.uint64) << np.uint64(32)) | low
    if left:
        shifted = np.where(n == 32, low.astype(np.uint64), ((both << n) >> np.uint64(32)) & np.uint64(0xFFFFFFFF))
    else:
        shifted = (both >> n) & np.uint64(0xFFFFFFFF)
    result: Array = shifted.astype(np.uint32)
    return result


def extract(a: Array, position: Array, length: Array) -> Array:
    """Return bfe: bits beyond the end are zeros, or copies of the sign bit."""
    bits = 8 * a.dtype.itemsize
    raw_type = np.dtype(f"u{a.dtype.itemsize}")
    p, n = (position & np.uint32(255)).astype(np.int64), (length & np.uint32(255)).astype(np.int64)
    unsigned = a.dtype.kind == "u"
    wide = a.view(np.int64) if unsigned and bits == 64 else a.astype(np.int64)
    down = np.minimum(p, 63)
    shifted = (wide.view(np.uint64) >> down.astype(np.uint64)).view(np.int64) if unsigned else wide >> down
    if unsigned:
        shifted = np.where(p >= bits, np.int64(0), shifted)
    mask = np.where(n >= 64, np.uint64(2**64 - 1), (np.uint64(1) << np.minimum(n, 63).astype(np.uint64)) - np.uint64(1))
    field = shifted.view(np.uint64) & mask
    if a.dtype.kind == "i":
        # "the sign bit of the extracted field": msb at min(pos + len - 1, width - 1)
        at = np.minimum(p + n - 1, bits - 1)
        sign = (wide >> np.maximum(at, 0)) & 1
        field = np.where((sign == 1) & (n > 0), field | ~mask, field)
        field = np.where(n == 0, np.uint64(0), field)
    result: Array = field.astype(raw_type).view(a.dtype)
    return result


def insert(a: Array, b: Array, position: Array, length: Array) -> Array:
    """Return bfi: the low bits of `a` inserted into `b`."""
    bits = 8 * a.dtype.itemsize
    p, n = (position & np.uint32(255)).astype(np.int64), (length & np.uint32(255)).astype(np.int64)
    ones = np.where(n >= 64, np.uint64(2**64 - 1), (np.uint64(1) << np.minimum(n, 63).astype(np.uint64)) - np.uint64(1))
    shift = np.minimum(p, 63).astype(np.uint64)
    mask = np.where(p >= bits, np.uint64(0), ones << shift)
    result: Array = ((b.astype(np.uint64) & ~mask) | ((a.astype(np.uint64) << shift) & mask)).astype(a.dtype)
    return result


def reverse_bits(a: Array) -> Array:
    """Return brev."""
    table = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)
    rows = table[np.ascontiguousarray(a).view(np.uint8).reshape(-1, a.dtype.itemsize)][:, ::-1]
    return np.ascontiguousarray(rows).reshape(-1).view(a.dtype)


def leading_zeros(a: Array) -> Array:
    """Return clz."""
    spread = a.copy()
    bits = 8 * a.dtype.itemsize
    step = 1
    while step < bits:
        spread |= spread >> a.dtype.type(step)
        step *= 2
    zeros: Array = (bits - np.bitwise_count(spread).astype(np.int64)).astype(np.uint32)
    return zeros


def find_top(a: Array, *, shift_amount: bool) -> Array:
    """Return bfind: the position of the most significant bit that differs from the sign; all ones if there is none."""
    raw = np.dtype(f"u{a.dtype.itemsize}")
    bits = 8 * a.dtype.itemsize
    value = np.where(a < 0, ~a, a).view(raw) if a.dtype.kind == "i" else a
    top = np.int64(bits - 1) - leading_zeros(value)
    found = np.where(shift_amount, np.int64(bits - 1) - top, top)
    result: Array = np.where(top < 0, np.int64(0xFFFFFFFF), found).astype(np.uint32)
    return result


def lop3(a: Array, b: Array, c: Array, table: int) -> Array:
    """Return a function of three bits: bit (a·4 + b·2 + c) of the table."""
    result = np.zeros(1, a.dtype)
    for row in range(8):
        if table >> row & 1:
            result = result | ((a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c))
    return result


def permute(a: Array, b: Array, selector: Array, mode: str) -> Array:
    """Return prmt."""
    both = (b.astype(np.uint64) << np.uint64(32)) | a
    result = np.zeros(1, np.uint32)
    low = selector & np.uint32(3)
    for place in range(4):
        if mode == "":
            code = (selector >> np.uint32(4 * place)) & np.uint32(15)
        else:
            choices = {
                "f4e": [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]],
                "b4e": [[0, 7, 6, 5], [1, 0, 7, 6], [2, 1, 0, 7], [3, 2, 1, 0]],
                "rc8": [[n] * 4 for n in range(4)],
                "ecl": [[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 2, 3], [3, 3, 3, 3]],
                "ecr": [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]],
                "rc16": [[0, 1, 0, 1], [2, 3, 2, 3], [0, 1, 0, 1], [2, 3, 2, 3]],
            }[mode]
            code = np.array([row[place] for row in choices], np.uint32)[low]
        byte = (both >> ((code & np.uint32(7)).astype(np.uint64) * np.uint64(8))) & np.uint64(255)
        sign = np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0))
        byte = np.where(code & np.uint32(8), sign, byte)
        result = result | (byte.astype(np.uint32) << np.uint32(8 * place))
    return result


def dot(a: Array, b: Array, c: Array, *, a_signed: bool, b_signed: bool, halves: bool, high: bool) -> Array:
    """Return dp4a or dp2a: products of bytes (or of 16-bit halves and bytes) summed onto c."""
    letters = {True: "i", False: "u"}
    b_bytes = np.ascontiguousarray(b).view(f"{letters[b_signed]}1").reshape(-1, 4).astype(np.int64)
    if halves:
        a_parts = np.ascontiguousarray(a).view(f"{letters[a_signed]}2").reshape(-1, 2).astype(np.int64)
        b_bytes = b_bytes[:, 2:] if high else b_bytes[:, :2]
    else:
        a_parts = np.ascontiguousarray(a).view(f"{letters[a_signed]}1").reshape(-1, 4).astype(np.int64)
    total = (a_parts * b_bytes).sum(axis=1) + c.astype(np.int64)
    result: Array = total.astype(np.uint64).astype(np.uint32).view(c.dtype)
    return result


def saturate(value: Array, dtype: np.dtype[Any]) -> Array:
    """Clamp wider integers to the range of a type."""
    limits = np.iinfo(dtype)
    result: Array = np.clip(value, limits.min, limits.max).astype(dtype)
    return result


def find_set(mask: Array, base: Array, offset: Array) -> Array:
    """Return fns: the position of the set bit that is `offset` set bits away from bit `base`; all ones if there is
    none.

    An offset of 0 stands for `base` itself, which must be set then.
    """
    mask, base, offset = (np.ascontiguousarray(x) for x in np.broadcast_arrays(mask, base & np.uint32(31), offset))
    found = np.full(mask.shape, 0xFFFFFFFF, np.uint32)
    for at, (bits, start, count) in enumerate(zip(mask.tolist(), base.tolist(), offset.tolist(), strict=True)):
        step = -1 if count < 0 else 1
        positions = range(start, -1 if step < 0 else 32, step)
        set_ones = [n for n in (positions if count else range(start, start + 1)) if bits >> n & 1]
        wanted = max(abs(count), 1) - 1
        if wanted < len(set_ones):
            found[at] = set_ones[wanted]
    return found
