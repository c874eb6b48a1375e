"""Approximate instructions with the error that the PTX ISA allows them.

Source of the bounds: PTX ISA 9.1, the notes of each instruction in 9.7.3, "Floating Point Instructions" (div, rcp,
sqrt, rsqrt, sin, cos, lg2, ex2, tanh), and in 9.7.4, "Half Precision Floating Point Instructions" (tanh, ex2).

No simulation can say which last bits a device gives, so there are two: the nearest number, and one that is wrong by as
much as the ISA allows, above or below by the bits of the operand. A kernel that is held to a bound must meet it with
both.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .types import Array

Bound = Callable[[Array, Array], Array]
"""Function from operands and exact results (float64) to the largest error."""


SIGNIFICANT_BITS = 24
SMALLEST_EXPONENT = -126
"""Exponent of the smallest normal f32."""


def _relative(bits: float) -> Bound:
    return lambda _x, y: np.abs(y) * 2.0**-bits


def _absolute(bits: float) -> Bound:
    return lambda _x, y: np.full(y.shape, 2.0**-bits)


def _ulps(count: int) -> Bound:
    """Units in the last place of an f32."""

    def bound(_x: Array, y: Array) -> Array:
        _, exponent = np.frexp(y)
        unit: Array = np.ldexp(float(count), np.maximum(exponent - 1, SMALLEST_EXPONENT) - SIGNIFICANT_BITS + 1)
        return unit

    return bound


def _logarithm(x: Array, y: Array) -> Array:
    """Return the largest error of a logarithm: absolute between 0.5 and 2, where the result is small; relative
    elsewhere.
    """
    return np.where((x > 0.5) & (x < 2.0), 2.0**-22, np.abs(y) * 2.0**-22)


def _circular(x: Array, _y: Array) -> Array:
    """Return the largest error of sine and cosine: 2^-20.5 up to 2π, 2^-14.7 up to 100π, no guarantee beyond."""
    size = np.abs(x)
    beyond = np.minimum(1.0, size * 2.0**-18)
    return np.where(size <= 2 * math.pi, 2.0**-20.5, np.where(size <= 100 * math.pi, 2.0**-14.7, beyond))


BOUNDS: dict[tuple[str, str], Bound] = {
    ("ex2", "f32"): _ulps(2),
    ("ex2", "f16"): _relative(9.9),
    ("ex2", "bf16"): _relative(7),
    ("lg2", "f32"): _logarithm,
    ("sin", "f32"): _circular,
    ("cos", "f32"): _circular,
    ("tanh", "f32"): _relative(11),
    ("tanh", "f16"): _absolute(10.987),
    ("tanh", "bf16"): _absolute(8),
    ("rcp", "f32"): _ulps(1),
    ("rsqrt", "f32"): _relative(22.9),
    ("sqrt", "f32"): _relative(23),
    ("div", "f32"): _ulps(2),
}
LARGE_DIVISOR = 2.0**126
"""Divisors above it give zero in div.approx, or NaN where the dividend is infinite."""


_off = False


def choose(how: str) -> None:
    """Set the approximation (`nearest` or `worst`) of kernels that are decoded from now on."""
    global _off
    _off = how == "worst"


def is_worst_case() -> bool:
    """Return True if approximate instructions give results with the largest allowed error."""
    return _off


def add_largest_error(name: str, element: str, function: Callable[..., Array]) -> Callable[..., Array]:
    """Return the function with the largest error that the ISA allows; unchanged where the ISA states none."""
    bound = BOUNDS.get((name, element))
    if bound is None:
        return function

    def wrong(*operands: Array) -> Array:
        nearest = function(*operands)
        wide = nearest.astype(np.float64)
        with np.errstate(all="ignore"):
            error = bound(operands[-1].astype(np.float64), wide)
            bits = np.bitwise_xor.reduce([_odd(x) for x in operands])
            moved = wide + np.where(bits, error, -error)
        if name in ("sin", "cos", "tanh"):
            moved = np.clip(moved, -1.0, 1.0)
        # powers of two, zeros, infinities and NaN are exact on every device
        keep = ~np.isfinite(wide) | (wide == 0) | (np.frexp(np.abs(wide))[0] == 0.5)
        result: Array = np.where(keep, nearest, moved.astype(nearest.dtype))
        return result

    return wrong


def divide(a: Array, b: Array) -> Array:
    """Return div.approx.f32: a · (1/b), which is zero for divisors near the largest."""
    quotient: Array = np.divide(a, b)
    large = (np.abs(b) > np.float32(LARGE_DIVISOR)) & np.isfinite(b)
    zero = np.where(np.isinf(a), np.float32(np.nan), np.copysign(np.float32(0), quotient))
    result: Array = np.where(large, zero, quotient).astype(a.dtype)
    return result


def _odd(x: Array) -> Array:
    """Return the parity of all bits of each number."""
    bits = np.ascontiguousarray(x).view(np.dtype(f"u{x.dtype.itemsize}")).astype(np.uint64)
    mixed = bits * np.uint64(0x9E3779B97F4A7C15)
    odd: Array = (mixed >> np.uint64(63)).astype(bool)
    return odd
