"""Types of arguments and results: in the syntax of IREE's command line (`4x?xf32`), and as NumPy types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.elements import ELEMENTS
from ..model.numpy_types import numpy_type

Array = NDArray[Any]

ELEMENT_TYPES: dict[str, str] = {
    "i1": "bool",
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    "index": "int64",
    **{f"ui{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"si{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{e.name: e.numpy for e in ELEMENTS if e.is_float},
    "complex<f32>": "complex64",
    "complex<f64>": "complex128",
}
"""MLIR's name of each element type and NumPy's; the first name of a NumPy type is the one that is printed."""

_NAMES = {numpy: name for name, numpy in reversed(ELEMENT_TYPES.items())}
_SHAPE_AND_ELEMENT = re.compile(r"((?:(?:\d+|\?)x)*)([a-z].*)")


def element_dtype(element: str) -> np.dtype[Any]:
    """Return NumPy's type for MLIR's name of an element type. Raises `KeyError`."""
    return numpy_type(ELEMENT_TYPES[element])


def element_name(dtype: np.dtype[Any]) -> str:
    """Return MLIR's name for NumPy's type, or NumPy's own if MLIR has none."""
    return _NAMES.get(dtype.name, str(dtype)) if dtype.isnative else str(dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueType:
    """The type of one argument or result."""

    element: str
    """MLIR's name, such as `f32`; MLIR's whole type for values that are neither tensors nor numbers."""
    shape: tuple[int | None, ...] | None
    """None for a scalar; a dimension of None has any size."""

    def __str__(self) -> str:
        if self.shape is None:
            return f"scalar {self.element}" if self.element in ELEMENT_TYPES else self.element
        return "x".join([*("?" if size is None else str(size) for size in self.shape), self.element])

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """NumPy's type, or None if there is none."""
        return element_dtype(self.element) if self.bytes_are_known else None

    @property
    def bytes_are_known(self) -> bool:
        """True for numbers and tensors of numbers, the only values that NumPy arrays can carry."""
        return self.element in ELEMENT_TYPES

    def fits(self, value: Array) -> bool:
        """Return True if `value` can be passed as an argument of this type."""
        if self.shape is None:
            return value.ndim == 0 and (self.dtype is None or _number_fits(value.dtype, self.dtype))
        # MLIR's integers have no sign, so i32 accepts uint32 too
        same_element = self.dtype is None or element_name(value.dtype).lstrip("u") == self.element.lstrip("su")
        same_rank = value.ndim == len(self.shape)
        return same_element and same_rank and all(a in (None, b) for a, b in zip(self.shape, value.shape, strict=True))


def _number_fits(found: np.dtype[Any], expected: np.dtype[Any]) -> bool:
    if found.kind == "b" or expected.kind == "b":
        return found.kind in "biu" and expected.kind in "biu"
    # an integer may be passed for a float, never the other way round
    return found.kind in "iu" or expected.kind not in "iu"


def type_of(value: Array) -> ValueType:
    """Return the type of an array: its shape and element type."""
    return ValueType(element=element_name(value.dtype), shape=value.shape)


def parse_value_type(text: str) -> ValueType:
    """Parse `4x?xf32` or `scalar f32`. Raises `ValueError`."""
    if text.startswith("scalar "):
        return ValueType(element=text.removeprefix("scalar "), shape=None)
    match = _SHAPE_AND_ELEMENT.fullmatch(text)
    if match is None or match[2] not in ELEMENT_TYPES:
        raise ValueError(f"not a tensor type: {text!r}")
    return ValueType(element=match[2], shape=_sizes(match[1]))


def _sizes(text: str) -> tuple[int | None, ...]:
    return tuple(None if size == "?" else int(size) for size in text.split("x")[:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """An exported function and its signature."""

    name: str
    inputs: tuple[ValueType, ...] | None
    """None if the module does not declare them."""
    results: tuple[ValueType, ...] | None
    """None if the module does not declare them."""

    def __str__(self) -> str:
        if self.inputs is None or self.results is None:
            return f"{self.name}(…)"
        return f"{self.name}({', '.join(map(str, self.inputs))}) -> ({', '.join(map(str, self.results))})"


def parse_declaration(name: str, declaration: str) -> Function:
    """Parse IREE's `iree.abi.declaration`: `sync func @f(%input0: tensor<4xf32>) -> (%output0: …)`."""
    rest = declaration.partition(f"@{name}(")[2]
    inputs, at = _list_until_closed(rest)
    results: tuple[str, ...] = ()
    _, arrow, tail = rest[at:].partition("->")
    if arrow:
        results, _ = _list_until_closed(tail.strip().removeprefix("("))
    return Function(name=name, inputs=tuple(map(_mlir_type, inputs)), results=tuple(map(_mlir_type, results)))


def _list_until_closed(text: str) -> tuple[tuple[str, ...], int]:
    """Split at commas up to the parenthesis that closes the list; return its position as well."""
    depth, start, items = 0, 0, []
    end = len(text)
    for at, char in enumerate(text):
        if char in "<([{":
            depth += 1
        elif char == ")" and depth == 0:
            end = at
            break
        elif char in ")]}" or (char == ">" and text[at - 1] != "-"):
            depth -= 1
        elif char == "," and depth == 0:
            items.append(text[start:at])
            start = at + 1
    items.append(text[start:end])
    return tuple(item.strip() for item in items if item.strip()), min(end + 1, len(text))


def _mlir_type(argument: str) -> ValueType:
    """Return the type of `%input0: tensor<4x8xf32> {…}`."""
    text = argument.partition(":")[2].strip() if argument.startswith("%") else argument
    text = text.partition(" {")[0].strip()
    if text.startswith("tensor<"):
        match = _SHAPE_AND_ELEMENT.fullmatch(text[len("tensor<") : -1])
        if match:
            return ValueType(element=match[2], shape=_sizes(match[1]))
    return ValueType(element=text, shape=None)
