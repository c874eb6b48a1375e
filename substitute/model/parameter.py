"""Parameters of a definition: scalars that a dispatch fixes, as a number or as a value known at launch."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from .dispatch import View
from .elements import ELEMENT
from .index import Expr, Index

PASSED_TYPES = {"f16": "f32", "bf16": "f32", "f32": "f32", "f64": "f64", "i64": "i64", "index": "i64"}
"""Type in which code gets a parameter of each type; all others are integers, passed as `i32`."""
SCALAR_TYPES = frozenset((*PASSED_TYPES, "i1", "i8", "i16", "i32"))
"""Types that a parameter may have."""

_FORMATS = {"f16": "<e", "f32": "<f", "f64": "<d"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarParameter:
    """A scalar argument of a definition."""

    name: str
    type: str
    position: int
    """Position among all arguments of the function."""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterValue:
    """The value of a parameter in a dispatch: bits that are known now or at launch, or one element in memory."""

    type: str
    bits: Index = 0
    """Bits of the value in its type, as an unsigned integer; an expression if they are known at launch."""
    view: View | None = None
    """Window that holds the value; None if `bits` do."""
    element: Index = 0
    """Element of the window."""

    @property
    def constant(self) -> float | int | None:
        """The value, if it is known now."""
        if self.view is not None or isinstance(self.bits, Expr):
            return None
        return decode(self.bits, self.type)

    def __str__(self) -> str:
        if self.view is not None:
            place = f" at element {self.element}" if self.element != 0 else ""
            return f"an element of operand {self.view.operand}{place}"
        return format_value(self.constant, self.type) if isinstance(self.bits, int) else f"{self.bits} at launch"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundParameter:
    """A parameter and its value in a dispatch."""

    name: str
    value: ParameterValue

    @property
    def passed_type(self) -> str:
        """Type in which code gets it: `f32`, `f64`, `i32` or `i64`."""
        return passed_type(self.value.type)

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


def passed_type(type_: str) -> str:
    """Return the type in which code gets a parameter of a type: half floats as `f32`, short integers as `i32`."""
    return PASSED_TYPES.get(type_, "i32")


def encode(value: float | int, type_: str) -> int:
    """Return the bits of a number, rounded to a type, as an unsigned integer."""
    if type_ == "bf16":
        return _bf16_bits(float(value))
    if type_ in _FORMATS:
        packed = struct.pack(_FORMATS[type_], _within(float(value), type_))
        return int.from_bytes(packed, "little")
    return int(value) & ((1 << _bit_count(type_)) - 1)


def decode(bits: int, type_: str) -> float | int:
    """Return the number of a type with these bits; integers with their sign, `i1` as 0 or 1."""
    bits &= (1 << _bit_count(type_)) - 1  # (a shorter type is passed in a word of 32 bits)
    if type_ == "bf16":
        return float(struct.unpack("<f", struct.pack("<I", bits << 16))[0])
    if type_ in _FORMATS:
        size = struct.calcsize(_FORMATS[type_])
        return float(struct.unpack(_FORMATS[type_], bits.to_bytes(size, "little"))[0])
    count = _bit_count(type_)
    return bits - (1 << count) if count > 1 and bits >> (count - 1) else bits


def round_to(value: float, type_: str) -> float:
    """Return the number of a type that is nearest to a value."""
    return float(decode(encode(value, type_), type_))


def is_exact(value: float | int, type_: str) -> bool:
    """Return True for a finite number that a type can hold as it is."""
    return decode(encode(value, type_), type_) == value


def format_value(value: float | int | None, type_: str) -> str:
    """Format a number as the shortest decimal that is this number in its type."""
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    short = (f"{value:.{digits}g}" for digits in range(1, 18))
    text = next((text for text in short if encode(float(text), type_) == encode(value, type_)), repr(value))
    return f"{text}.0" if text.lstrip("-").isdigit() else text


def _bit_count(type_: str) -> int:
    return 1 if type_ == "i1" else ELEMENT[type_].bits


def _within(value: float, type_: str) -> float:
    """Return the value, or an infinity if it is too large for the type (`struct` refuses it)."""
    largest = {"f16": 65520.0, "f32": 3.4028235677973366e38}.get(type_, math.inf)
    return math.copysign(math.inf, value) if abs(value) >= largest else value


def _bf16_bits(value: float) -> int:
    """Round to nearest even, from a double that need not be a float32."""
    if math.isnan(value):
        return 0x7FC0
    bits = encode(value, "f32")
    short = bits >> 16
    rest = bits & 0xFFFF
    exact = decode(bits, "f32")
    # a double next to a tie that f32 rounded to the tie is not a tie
    above = rest > 0x8000 or (rest == 0x8000 and abs(value) > abs(float(exact)))
    tie = rest == 0x8000 and abs(value) == abs(float(exact))
    return short + (above or (tie and short & 1 == 1))
