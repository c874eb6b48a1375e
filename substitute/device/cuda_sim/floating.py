"""Floating-point values: flushing, saturation, the approximations, minima, directed rounding.

The approximate instructions (`ex2`, `lg2`, `sin`, `cos`, `tanh`, `rcp`, `rsqrt`, `sqrt`, `div.full`) are computed in
float64 and rounded once. A device's last bits differ: PTX ISA 9.7.3 allows it, and no simulation can say how. NaN
results of f32, f16 and bf16 are the canonical NaN, whichever operand was one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .faults import Refused
from .rounding import fma32, fma64, round_bf16, round_f64, round_rational, round_root, to_odd, two_product, two_sum
from .types import Array, bf16_to_f32, bits_of

Function = Callable[..., Array]

APPROXIMATIONS: dict[str, Function] = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sqrt": np.sqrt,
    "rcp": lambda x: 1.0 / x,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
}
"""Functions of float64."""


CANONICAL: dict[int, Any] = {4: np.uint32(0x7FFFFFFF).view(np.float32), 2: np.uint16(0x7FFF).view(np.float16)}
"""NaN result of instructions on f32 and f16, by the size in bytes."""


def canonical(value: Array) -> Array:
    """Return float32 or float16 with every NaN replaced by the canonical one."""
    if value.dtype == np.float32:
        flat = value if value.ndim == 1 else value.reshape(-1)
        # a sum of squares is NaN exactly where one of its terms is
        total = flat.dot(flat)
        if total == total:
            return value
    nans = np.isnan(value)
    return np.where(nans, CANONICAL[value.dtype.itemsize], value) if nans.any() else value


def settle_f64(function: Function) -> Function:
    """Return a float64 function that keeps a NaN's payload; of several the largest, so that their order does not
    matter.
    """

    def settled(*operands: Array) -> Array:
        result = function(*operands)
        nans = np.isnan(result)
        if not nans.any():
            return result
        bits = result.view(np.uint64)
        quiet = np.uint64(1 << 51)
        best = np.zeros(1, np.uint64)
        for operand in operands:
            best = np.maximum(best, np.where(np.isnan(operand), operand.view(np.uint64) | quiet, np.uint64(0)))
        whole: Array = np.where(nans & (best != 0), best, bits).view(np.float64)
        return whole

    return settled


_TINY = {4: (np.uint32, 0x7F800000), 2: (np.uint16, 0x7C00), 8: (np.uint64, 0x7FF0 << 48)}


def flush(value: Array) -> Array:
    """Replace subnormal numbers by zeros of the same sign."""
    raw, exponent = _TINY[value.dtype.itemsize]
    small = (value.view(raw) & raw(exponent)) == 0
    if not small.any():
        return value
    return np.where(small, np.copysign(value.dtype.type(0), value), value)


def clamp(value: Array) -> Array:
    """Apply .sat: clamp to [0, 1]; NaN and -0 become +0."""
    result: Array = np.where(value > 0, np.minimum(value, 1), 0).astype(value.dtype)
    return result


def relu(value: Array) -> Array:
    """Apply .relu: negative numbers and -0 become +0; NaN becomes the canonical NaN."""
    return canonical(np.where((value > 0) | np.isnan(value), value, np.zeros(1, value.dtype)))


def upper_half(function: Function) -> Function:
    """Return rcp.approx.ftz.f64 or rsqrt: only the upper 32 bits are read and written; subnormal numbers are zeros."""
    mask = np.uint64(0xFFFFFFFF00000000)

    def upper(x: Array) -> Array:
        result = flush(np.asarray(function(flush((x.view(np.uint64) & mask).view(np.float64)))))
        cut: Array = np.where(np.isnan(result), np.uint64(0x7FFFFFFF00000000), result.view(np.uint64) & mask)
        return cut.view(np.float64)

    return upper


def multiply_signs(size: Array, a: Array, b: Array) -> Array:
    """Return `size` with the product of two signs."""
    result: Array = np.copysign(size, np.where(np.signbit(a) ^ np.signbit(b), -1, 1).astype(size.dtype))
    return result


def approximate(name: str, value: Array) -> Array:
    """Return one of `APPROXIMATIONS`, in the type of its argument."""
    if value.dtype == np.float64:
        return APPROXIMATIONS[name](value)
    result: Array = APPROXIMATIONS[name](value.astype(np.float64)).astype(value.dtype)
    return result


def extremum(a: Array, b: Array, *, largest: bool, nan: bool) -> Array:
    """Return min or max: -0 is below +0; without .NaN a number wins over NaN."""
    function = {
        (True, True): np.maximum,
        (True, False): np.fmax,
        (False, True): np.minimum,
        (False, False): np.fmin,
    }[largest, nan]
    result: Array = function(a, b)
    zero = (a == 0) & (b == 0)
    if zero.any():
        x, y = bits_of(a), bits_of(b)
        both = ((x & y) if largest else (x | y)).view(a.dtype)
        result = np.where(zero, both, result)
    return result


def multiply_add(a: Array, b: Array, c: Array, type_: str) -> Array:
    """Return a·b + c rounded once; bf16 as float32 on both sides."""
    if type_ == "f32":
        return fma32(a, b, c)
    if type_ == "f64":
        return fma64(a, b, c)
    total, error = two_sum(*np.broadcast_arrays(a.astype(np.float64) * b, c.astype(np.float64)))
    odd = to_odd(total, error)
    if type_ == "bf16":
        return bf16_to_f32(round_bf16(odd))
    result: Array = odd.astype(np.float16)
    return result


def directed(name: str, type_: str, mode: str) -> Function:
    """Return add, sub, mul, fma, div, rcp or sqrt with rounding towards zero or an infinity."""
    if type_ not in ("f32", "f64"):
        raise Refused(f"{name}.{mode}.{type_}")
    if type_ == "f64":
        inner = _rational(name, mode)
    else:

        def inner(*operands: Array) -> Array:
            value, error = _exact(name, [x.astype(np.float64) for x in operands])
            return round_f64(value, error, type_, mode)

    if mode != "rm" or name not in ("add", "sub", "fma"):
        return inner

    def function(*operands: Array) -> Array:
        # IEEE 754, 6.3: downwards, a sum that is zero is -0 unless both of its terms are +0
        result = inner(*operands)
        first, last = (operands[0] * operands[1] if name == "fma" else operands[0]), operands[-1]
        negative = np.signbit(first) | (np.signbit(last) ^ (name == "sub"))
        return np.where((result == 0) & negative, np.copysign(result, -1), result)

    return function


_RATIONAL: dict[str, Callable[..., Fraction]] = {
    "mul": lambda a, b: a * b,
    "fma": lambda a, b, c: a * b + c,
    "div": lambda a, b: a / b,
    "rcp": lambda a: 1 / a,
    "sqrt": lambda a: a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
}


def _rational(name: str, mode: str) -> Function:
    """Return a float64 operation in exact rational arithmetic, lane by lane: slow, but rarely used."""
    plain: dict[str, Function] = {
        "mul": np.multiply,
        "fma": lambda a, b, c: a * b + c,
        "div": np.divide,
        "rcp": lambda a: 1.0 / a,
        "sqrt": np.sqrt,
        "add": np.add,
        "sub": np.subtract,
    }

    def function(*operands: Array) -> Array:
        values = [np.ascontiguousarray(x) for x in np.broadcast_arrays(*operands)]
        result = np.array(plain[name](*values))
        for at in range(len(result)):
            lane = [float(x[at]) for x in values]
            if not all(map(math.isfinite, lane)) or (name in ("div", "rcp") and lane[-1] == 0):
                continue
            exact = _RATIONAL[name](*map(Fraction, lane))
            if name == "sqrt":
                result[at] = round_root(exact, mode) if exact > 0 else result[at]
            elif exact:
                result[at] = round_rational(exact, mode)
        return result

    return function


def _exact(name: str, x: list[Array]) -> tuple[Array, Array]:
    """Return a result in float64 and (sign and size of) its rounding error."""
    x = [np.ascontiguousarray(a) for a in np.broadcast_arrays(*x)]
    if name in ("add", "sub"):
        return two_sum(x[0], x[1] if name == "add" else -x[1])
    if name == "mul":
        return two_product(x[0], x[1])
    if name == "fma":
        return two_sum(x[0] * x[1], x[2])
    if name == "sqrt":
        root = np.sqrt(x[0])
        square, rest = two_product(root, root)
        return root, np.where(root > 0, ((x[0] - square) - rest) / (2 * root), 0.0)
    numerator, denominator = (np.ones_like(x[0]), x[0]) if name == "rcp" else (x[0], x[1])
    quotient = numerator / denominator
    product, rest = two_product(quotient, denominator)
    error = ((numerator - product) - rest) / denominator
    return quotient, np.where(np.isfinite(error), error, 0.0)


def compare(a: Array, b: Array, operator: str) -> Array:
    """Return setp's comparison of numbers: ordered ones are false for NaN, those that end in u are true."""
    plain = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    if operator in ("num", "nan"):
        unordered = np.isnan(a) | np.isnan(b)
        return ~unordered if operator == "num" else unordered
    base = operator[:2]
    if base not in plain or len(operator) > 3:
        raise Refused(f"the comparison .{operator}")
    result: Array = plain[base](a, b)
    if operator == "ne":
        return result & ~(np.isnan(a) | np.isnan(b))
    if operator.endswith("u") and base != "ne":
        return result | np.isnan(a) | np.isnan(b)
    return result


def classify(value: Array, what: str) -> Array:
    """Return testp's classification."""
    tiny = np.finfo(value.dtype).tiny
    size = np.abs(value)
    tests: dict[str, Callable[[], Array]] = {
        "finite": lambda: np.isfinite(value),
        "infinite": lambda: np.isinf(value),
        "number": lambda: ~np.isnan(value),
        "notanumber": lambda: np.isnan(value),
        # testp classifies zeros as normal
        "normal": lambda: np.isfinite(value) & ((size >= tiny) | (size == 0)),
        "subnormal": lambda: (size < tiny) & (size > 0),
    }
    if what not in tests:
        raise Refused(f"testp.{what}")
    return tests[what]()
