"""Facts of element types: one row each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatFormat:
    """A binary floating-point format with a sign, but for `f8E8M0FNU`."""

    exponent: int
    """Bits of the exponent."""
    mantissa: int
    """Bits of the fraction, without the hidden one."""
    bias: int
    infinities: bool = True
    """The highest exponent means infinity and NaN, as in IEEE 754."""
    unsigned_zero: bool = False
    """`FNUZ`: the bit pattern of -0 is the only NaN."""
    signed: bool = True

    @property
    def bits(self) -> int:
        return int(self.signed) + self.exponent + self.mantissa

    @property
    def significant_bits(self) -> int:
        """Integers up to two to this power are all representable."""
        return self.mantissa + 1

    @property
    def largest(self) -> int:
        """Bits of the largest finite number."""
        every = (1 << (self.exponent + self.mantissa)) - 1
        if self.infinities:
            return every - (1 << self.mantissa)
        return every if self.unsigned_zero else every - 1

    @property
    def largest_value(self) -> float:
        """The largest finite number."""
        fraction = self.largest & ((1 << self.mantissa) - 1)
        return math.ldexp(1 + fraction / (1 << self.mantissa), (self.largest >> self.mantissa) - self.bias)

    @property
    def smallest_normal(self) -> float:
        """The smallest number with all bits of the fraction."""
        return math.ldexp(1.0, -self.bias + (1 if self.mantissa else 0))

    @property
    def nan(self) -> int:
        """Bits of the quiet NaN that conversions produce."""
        if self.unsigned_zero:
            return 1 << (self.bits - 1)
        if self.infinities:
            return self.largest + 1 + (1 << (self.mantissa - 1))
        return (1 << (self.exponent + self.mantissa)) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementType:
    """One element type of MLIR."""

    name: str
    """Name as MLIR prints it."""
    kind: Literal["float", "integer", "boolean", "index"]
    bits: int
    """Bits of an element in memory: an `i1` is stored as a byte."""
    numpy: str
    """NumPy's name of the type that holds an element; ml_dtypes' if NumPy has none. Empty for less than a byte."""
    format: FloatFormat | None = None
    """Float format; None for other types."""

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_narrow_float(self) -> bool:
        """True for floats that hardware computes in a wider type."""
        return self.is_float and self.bits < 32


def _float(name: str, numpy: str, exponent: int, mantissa: int, bias: int, **facts: bool) -> ElementType:
    layout = FloatFormat(exponent=exponent, mantissa=mantissa, bias=bias, **facts)
    return ElementType(name=name, kind="float", bits=layout.bits, numpy=numpy, format=layout)


ELEMENTS: tuple[ElementType, ...] = (
    _float("f64", "float64", 11, 52, 1023),
    _float("f32", "float32", 8, 23, 127),
    _float("f16", "float16", 5, 10, 15),
    _float("bf16", "bfloat16", 8, 7, 127),
    _float("f8E4M3FN", "float8_e4m3fn", 4, 3, 7, infinities=False),
    _float("f8E5M2", "float8_e5m2", 5, 2, 15),
    _float("f8E4M3FNUZ", "float8_e4m3fnuz", 4, 3, 8, infinities=False, unsigned_zero=True),
    _float("f8E5M2FNUZ", "float8_e5m2fnuz", 5, 2, 16, infinities=False, unsigned_zero=True),
    _float("f8E8M0FNU", "float8_e8m0fnu", 8, 0, 127, infinities=False, signed=False),
    ElementType(name="i64", kind="integer", bits=64, numpy="int64"),
    ElementType(name="i32", kind="integer", bits=32, numpy="int32"),
    ElementType(name="i16", kind="integer", bits=16, numpy="int16"),
    ElementType(name="i8", kind="integer", bits=8, numpy="int8"),
    ElementType(name="i4", kind="integer", bits=4, numpy=""),
    ElementType(name="i2", kind="integer", bits=2, numpy=""),
    ElementType(name="i1", kind="boolean", bits=8, numpy="bool"),
    ElementType(name="index", kind="index", bits=64, numpy="int64"),
)
"""All types with a row of facts; IR with other types is not read."""

ELEMENT: dict[str, ElementType] = {element.name: element for element in ELEMENTS}
"""Types by name."""
ML_FLOATS: dict[str, str] = {e.name: e.numpy for e in ELEMENTS if e.is_float and e.name not in ("f64", "f32", "f16")}
"""The floats that NumPy lacks, with ml_dtypes' names."""
