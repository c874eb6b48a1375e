"""Integer operations: exact, wrapping at their width, signed or unsigned as each operation defines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .numbers import Array, Element

Integer = Callable[[Array, Array, Element], Array]


def unsigned(value: Array) -> Array:
    """Return the same bits as an unsigned type."""
    if value.dtype == np.dtype(bool):
        return value.astype(np.uint8)
    return value.view(f"uint{value.dtype.itemsize * 8}")


def zero_extended(value: Array, element: Element) -> Array:
    """Return the bits of a value as an unsigned number of its width."""
    bits = unsigned(np.asarray(value))
    if element.bits in (1, bits.dtype.itemsize * 8):
        return bits
    return np.asarray(bits & bits.dtype.type((1 << element.bits) - 1))


def _as_unsigned(function: Callable[[Array, Array], Array]) -> Integer:
    def apply(a: Array, b: Array, element: Element) -> Array:
        return function(zero_extended(a, element), zero_extended(b, element)).astype(element.compute)

    return apply


def _plain(function: Callable[[Array, Array], Array]) -> Integer:
    return lambda a, b, element: function(a, b)


def _on_booleans(booleans: Callable[[Array, Array], Array], integers: Callable[[Array, Array], Array]) -> Integer:
    return lambda a, b, element: (booleans if element.kind == "boolean" else integers)(a, b)


def _nonzero(b: Array) -> Array:
    """Return the divisor with 1 for every 0; division by zero is undefined."""
    return np.where(b == 0, np.ones_like(b), b)


def _floor_divide(a: Array, b: Array) -> Array:
    return np.floor_divide(a, _nonzero(b))


def _truncate_divide(a: Array, b: Array) -> Array:
    divisor = _nonzero(b)
    quotient = np.floor_divide(a, divisor)
    inexact = (quotient * divisor != a) & ((a < 0) != (divisor < 0))
    return np.asarray(quotient + inexact.astype(quotient.dtype))


def _ceil_divide(a: Array, b: Array) -> Array:
    divisor = _nonzero(b)
    quotient = np.floor_divide(a, divisor)
    return np.asarray(quotient + (quotient * divisor != a).astype(quotient.dtype))


def _remainder(a: Array, b: Array) -> Array:
    """Return the remainder, with the sign of the dividend."""
    return np.fmod(a, _nonzero(b))


def _shift(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """Return a shift modulo the width of the NumPy type; shifting by the width or more is `undefined`."""

    def apply(a: Array, b: Array) -> Array:
        return function(a, b & b.dtype.type(a.dtype.itemsize * 8 - 1))

    return apply


def _power(a: Array, b: Array) -> Array:
    """Return a to the power of b by repeated squaring; a negative exponent gives 1/a truncated."""
    exponent = np.abs(b)
    result, square = np.ones_like(a), a.copy()
    for _ in range(max(1, int(exponent.max(initial=0)).bit_length())):
        result = np.where(exponent & 1 == 1, result * square, result)
        square, exponent = square * square, exponent >> 1
    return np.where((b < 0) & (np.abs(a) != 1), np.zeros_like(a), result)


BINARY: tuple[tuple[str, Integer], ...] = (
    ("arith.addi", _on_booleans(np.logical_xor, np.add)),
    ("arith.subi", _on_booleans(np.logical_xor, np.subtract)),
    ("arith.muli", _on_booleans(np.logical_and, np.multiply)),
    ("arith.andi", _plain(np.bitwise_and)),
    ("arith.ori", _plain(np.bitwise_or)),
    ("arith.xori", _plain(np.bitwise_xor)),
    # an i1 of 1 is −1 as a signed number
    ("arith.maxsi", _on_booleans(np.logical_and, np.maximum)),
    ("arith.minsi", _on_booleans(np.logical_or, np.minimum)),
    ("arith.maxui", _as_unsigned(np.maximum)),
    ("arith.minui", _as_unsigned(np.minimum)),
    ("arith.divsi", _plain(_truncate_divide)),
    ("arith.divui", _as_unsigned(_floor_divide)),
    ("arith.floordivsi", _plain(_floor_divide)),
    ("arith.ceildivsi", _plain(_ceil_divide)),
    ("arith.ceildivui", _as_unsigned(_ceil_divide)),
    ("arith.remsi", _plain(_remainder)),
    ("arith.remui", _as_unsigned(_remainder)),
    ("arith.shli", _plain(_shift(np.left_shift))),
    ("arith.shrsi", _plain(_shift(np.right_shift))),
    ("arith.shrui", _as_unsigned(_shift(np.right_shift))),
    ("math.ipowi", _plain(_power)),
)
"""Operation → (a, b, element type) → result, before wrapping to a width that NumPy lacks."""

_DIVISIONS = frozenset(("divsi", "divui", "floordivsi", "ceildivsi", "ceildivui", "remsi", "remui"))
_SHIFTS = frozenset(("shli", "shrsi", "shrui"))


def undefined(name: str, a: Array, b: Array, element: Element, flags: frozenset[str] = frozenset()) -> Array | None:
    """Return a mask of the elements where MLIR leaves an operation undefined or poison; None if there are none."""
    kind = name.removeprefix("arith.")
    if kind in _DIVISIONS:
        bad = b == 0
        if kind.endswith("si") and element.kind != "boolean":
            bad = bad | ((b == -1) & (a == -(1 << (element.bits - 1))))
        elif kind.endswith("si"):
            bad = bad | (a & b)  # −1 ÷ −1 is 1, which a signed i1 lacks
    elif kind in _SHIFTS:
        bad = zero_extended(b, element).astype(np.uint64) >= np.uint64(element.bits)
    elif name == "math.ipowi":
        bad = (a == 0) & (b < 0)
    else:
        bad = np.zeros(1, bool)
    if flags and kind in ("addi", "subi", "muli", "shli"):
        bad = bad | _wraps(kind, a, b, element, flags)
    return np.asarray(bad) if bad.any() else None


def _wraps(kind: str, a: Array, b: Array, element: Element, flags: frozenset[str]) -> Array:
    """Return a mask of the elements where a result does not fit, in the senses that the flags exclude."""
    bad = np.zeros(1, bool)
    operations: dict[str, Callable[[Array, Array], Array]] = {
        "addi": np.add,
        "subi": np.subtract,
        "muli": np.multiply,
        "shli": lambda x, y: x * np.left_shift(1, np.clip(y, 0, element.bits - 1).astype(object)),
    }
    for flag, signed in (("nsw", True), ("nuw", False)):
        if flag in flags:
            x, y = (v if signed and element.kind != "boolean" else zero_extended(v, element) for v in (a, b))
            exact = operations[kind](np.asarray(x).astype(object), np.asarray(y).astype(object))
            low, high = (-(1 << (element.bits - 1)), 1 << (element.bits - 1)) if signed else (0, 1 << element.bits)
            bad = bad | np.asarray((exact < low) | (exact >= high), bool)
    return bad


Count = Callable[[Array, Element], Array]


def _bits(value: Array, element: Element) -> list[Array]:
    """Return the bits of a value, the lowest first."""
    word = zero_extended(value, element)
    return [(word >> word.dtype.type(i)) & word.dtype.type(1) for i in range(element.bits)]


def _leading_zeros(value: Array, element: Element) -> Array:
    count, open_ = np.zeros(value.shape, np.int64), np.ones(value.shape, bool)
    for bit in reversed(_bits(value, element)):
        open_ &= bit == 0
        count += open_
    return count.astype(element.compute)


def _trailing_zeros(value: Array, element: Element) -> Array:
    count, open_ = np.zeros(value.shape, np.int64), np.ones(value.shape, bool)
    for bit in _bits(value, element):
        open_ &= bit == 0
        count += open_
    return count.astype(element.compute)


def _population(value: Array, element: Element) -> Array:
    return np.asarray(sum(bit.astype(np.int64) for bit in _bits(value, element))).astype(element.compute)


UNARY: tuple[tuple[str, Count], ...] = (
    ("math.absi", lambda a, element: np.abs(a)),
    ("math.ctlz", _leading_zeros),
    ("math.cttz", _trailing_zeros),
    ("math.ctpop", _population),
)

_ORDER: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
"""Names of the predicates of `arith.cmpi`, indexed by their number."""


def compare(predicate: int, a: Array, b: Array, element: Element) -> Array:
    """Return the result of `arith.cmpi`."""
    name = PREDICATES[predicate]
    if name[0] == "u" or element.kind == "boolean":
        a, b = zero_extended(a, element), zero_extended(b, element)
    if element.kind == "boolean" and name[0] == "s":
        a, b = b, a  # a signed i1 that is set is −1
    return _ORDER[name[-2:]](a, b)
