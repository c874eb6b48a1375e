"""The math functions' operations on NumPy arrays: what the functions compute where every operation is rounded once."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from substitute.codegen.mathematics.operations import FloatOps

Array = Any
_TYPES = {"f32": (np.float32, np.uint32, np.int32), "f64": (np.float64, np.uint64, np.int64)}
_PREDICATES = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}


class NumpyOps(FloatOps[Array]):
    """Numbers are arrays of one float type, integers of the unsigned type of that width, conditions of bool."""

    def __init__(self, element: str) -> None:
        self.element = element
        self._float, self._unsigned, self._signed = _TYPES[element]

    def const(self, number: float) -> Array:
        return self._float(number)

    def add(self, a: Array, b: Array) -> Array:
        return a + b

    def sub(self, a: Array, b: Array) -> Array:
        return a - b

    def mul(self, a: Array, b: Array) -> Array:
        return a * b

    def div(self, a: Array, b: Array) -> Array:
        return a / b

    def fma(self, a: Array, b: Array, c: Array) -> Array:
        return a * b + c

    def neg(self, a: Array) -> Array:
        return -a

    def abs(self, a: Array) -> Array:
        return np.abs(a)

    def copysign(self, size: Array, sign: Array) -> Array:
        return np.copysign(size, sign)

    def sqrt(self, a: Array) -> Array:
        return np.sqrt(a)

    def trunc(self, a: Array) -> Array:
        return np.trunc(a)

    def round_even(self, a: Array) -> Array:
        return np.rint(a)

    def compare(self, predicate: str, a: Array, b: Array) -> Array:
        return _PREDICATES[predicate](a, b)

    def unordered(self, a: Array, b: Array) -> Array:
        return np.isnan(a) | np.isnan(b)

    def both(self, a: Array, b: Array) -> Array:
        return a & b

    def either(self, a: Array, b: Array) -> Array:
        return a | b

    def negate(self, a: Array) -> Array:
        return ~a

    def select(self, condition: Array, yes: Array, no: Array) -> Array:
        return np.where(condition, yes, no)

    def bits(self, a: Array) -> Array:
        return np.asarray(a).view(self._unsigned)

    def from_bits(self, pattern: Array) -> Array:
        return np.asarray(pattern).view(self._float)

    def integer(self, number: int) -> Array:
        return self._unsigned(number & int(np.iinfo(self._unsigned).max))

    def int_add(self, a: Array, b: Array) -> Array:
        return a + b

    def int_sub(self, a: Array, b: Array) -> Array:
        return a - b

    def int_mul(self, a: Array, b: Array) -> Array:
        return a * b

    def int_mul_high(self, a: Array, b: Array) -> Array:
        assert self.element == "f32"
        return (a.astype(np.uint64) * b.astype(np.uint64) >> np.uint64(32)).astype(np.uint32)

    def int_and(self, a: Array, b: Array) -> Array:
        return a & b

    def int_xor(self, a: Array, b: Array) -> Array:
        return a ^ b

    def shift_left(self, a: Array, by: Array) -> Array:
        return a << self._unsigned(by)

    def shift_right(self, a: Array, by: Array, *, signed: bool = False) -> Array:
        if signed:
            return (np.asarray(a).view(self._signed) >> self._signed(by)).view(self._unsigned)
        return a >> self._unsigned(by)

    def int_compare(self, predicate: str, a: Array, b: Array) -> Array:
        if predicate == "<":
            return np.asarray(a).view(self._signed) < np.asarray(b).view(self._signed)
        return _PREDICATES[predicate.removeprefix("u")](a, b)
