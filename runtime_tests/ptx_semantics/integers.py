"""Integer instructions as functions of bit patterns: an independent reference in plain Python integers.

Source: PTX ISA 9.7.1, 9.7.2, 9.7.8, 9.7.9.7 "prmt".
"""

from __future__ import annotations

from collections.abc import Callable

Function = Callable[..., int]


def width(type_: str) -> int:
    """Bits of `s32`."""
    return int(type_[1:])


def read(bits: int, type_: str) -> int:
    """The value of a bit pattern."""
    size = width(type_)
    bits &= (1 << size) - 1
    return bits - (1 << size) if type_[0] == "s" and bits >> (size - 1) else bits


def limits(type_: str) -> tuple[int, int]:
    """Smallest and largest value."""
    size = width(type_)
    return (-(1 << (size - 1)), (1 << (size - 1)) - 1) if type_[0] == "s" else (0, (1 << size) - 1)


def clamped(value: int, type_: str) -> int:
    """Into the type's range."""
    low, high = limits(type_)
    return min(max(value, low), high)


def divide(a: int, b: int) -> int:
    """Towards zero; all ones for a division by zero."""
    if not b:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def shift_left(a: int, amount: int, size: int) -> int:
    """Amounts are clamped to the width."""
    return a << min(amount, size)


def bit_field(a: int, position: int, length: int, type_: str) -> int:
    """Bfe, by the ISA's own pseudo code."""
    size = width(type_)
    msb = size - 1
    position, length = position & 0xFF, length & 0xFF
    bits = a & ((1 << size) - 1)
    sign = bits >> min(position + length - 1, msb) & 1 if type_[0] == "s" and length else 0
    result = 0
    for i in range(size):
        if i < length and position + i <= msb:
            result |= (bits >> (position + i) & 1) << i
        else:
            result |= sign << i
    return result


def insert(a: int, b: int, position: int, length: int, size: int) -> int:
    """Bfi, by the ISA's own pseudo code."""
    position, length = position & 0xFF, length & 0xFF
    result = b
    for i in range(length):
        if position + i > size - 1:
            break
        result = result & ~(1 << (position + i)) | (a >> i & 1) << (position + i)
    return result


def find_top(a: int, type_: str, *, shift: bool) -> int:
    """Bfind."""
    size = width(type_)
    value = read(a, type_)
    value = ~value if value < 0 else value
    if value == 0:
        return 0xFFFFFFFF
    top = value.bit_length() - 1
    return size - 1 - top if shift else top


def permute(a: int, b: int, c: int, mode: str) -> int:
    """Prmt, from the tables of the ISA."""
    data = [a >> 8 * n & 255 for n in range(4)] + [b >> 8 * n & 255 for n in range(4)]
    n = c & 3
    selectors = {
        "": [c >> 4 * k & 15 for k in range(4)],
        "f4e": [n, n + 1, n + 2, n + 3],
        "b4e": [n, (n - 1) % 8, (n - 2) % 8, (n - 3) % 8],
        "rc8": [n] * 4,
        "ecl": [max(k, n) for k in range(4)],
        "ecr": [min(k, n) for k in range(4)],
        "rc16": [2 * (n & 1), 2 * (n & 1) + 1] * 2,
    }[mode]
    result = 0
    for k, selector in enumerate(selectors):
        byte = data[selector & 7]
        if mode == "" and selector & 8:
            byte = 255 if byte & 128 else 0
        result |= byte << 8 * k
    return result


def dot(a: int, b: int, c: int, types: tuple[str, str], *, halves: bool, high: bool) -> int:
    """dp4a, dp2a."""
    signed = [t == "s32" for t in types]
    if halves:
        left = [read(a >> 16 * n, "s16" if signed[0] else "u16") for n in range(2)]
        right = [read(b >> 8 * (n + 2 * high), "s8" if signed[1] else "u8") for n in range(2)]
    else:
        left = [read(a >> 8 * n, "s8" if signed[0] else "u8") for n in range(4)]
        right = [read(b >> 8 * n, "s8" if signed[1] else "u8") for n in range(4)]
    return c + sum(x * y for x, y in zip(left, right, strict=True))


def funnel(a: int, b: int, c: int, *, left: bool, wrap: bool) -> int:
    """Shf."""
    n = c & 31 if wrap else min(c, 32)
    both = b << 32 | a
    return both << n >> 32 if left else both >> n


def lop3(a: int, b: int, c: int, table: int) -> int:
    """Each bit from the table."""
    return sum((table >> ((a >> n & 1) << 2 | (b >> n & 1) << 1 | (c >> n & 1)) & 1) << n for n in range(32))


def find_set(mask: int, base: int, offset: int) -> int:
    """Fns, by the ISA's own pseudo code."""
    if offset == 0:
        return base if mask >> base & 1 else 0xFFFFFFFF
    step = -1 if offset < 0 else 1
    left, at = abs(offset), base
    while 0 <= at < 32:
        if mask >> at & 1:
            left -= 1
            if left == 0:
                return at
        at += step
    return 0xFFFFFFFF


def packed(a: int, b: int, c: int, type_: str) -> int:
    """cvt.pack.sat from s32."""
    bits = int(type_[1:])
    low, high = limits(type_)
    mask = (1 << bits) - 1
    first, second = (min(max(x, low), high) & mask for x in (a, b))
    return c << 2 * bits | first << bits | second
