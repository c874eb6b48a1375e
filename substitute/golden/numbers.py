"""Numbers during the evaluation of a dispatch: exact values with a bound on the error of a rounded computation.

Floats of every width are held in float64, integers in their own width (so that they wrap), `i1` as a Boolean,
`index` in 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..model.elements import ML_FLOATS
from ..model.numpy_types import numpy_type
from .unsupported import Unsupported

Array = NDArray[Any]
Rounding = Literal["ideal", "as written"]
Growth = Literal["certain", "probable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """An element type of MLIR."""

    name: str
    """MLIR's name of the type: `f32`, `i1`, `index`."""
    kind: Literal["float", "integer", "boolean", "index", "complex"]
    bits: int
    """Bits of the number; a pair of numbers has those of both."""
    compute: np.dtype[Any]
    """NumPy type that values are evaluated in."""
    storage: np.dtype[Any]
    """NumPy type of the elements in memory."""
    unit: float = 0.0
    """The largest relative error of one rounding."""
    smallest: float = 0.0
    """The smallest normal number: hardware may flush smaller ones to zero."""
    largest: float = np.inf
    """The largest finite number."""
    packed: bool = False
    """Several elements lie in one byte."""
    part: str = ""
    """The type of both parts of a complex number."""

    @property
    def is_float(self) -> bool:
        """True for types that round."""
        return self.kind == "float"


_NUMPY_FLOATS = {"f16": np.float16, "f32": np.float32, "f64": np.float64}
_PACKED_FLOATS = {"f4E2M1FN": "float4_e2m1fn"}
PACKED_BOOLEAN = "packed i1"
"""An `i1` that takes a bit of memory, where a tensor's encoding says so."""
_PACKED_BITS = (2, 4)
"""Widths of integers that IREE packs; others take as many bytes as they need, rounded up to a power of two."""


SAMPLE = 256
"""Elements that are looked at first where all are to have few bits."""


@lru_cache(maxsize=64)
def element_of(name: str) -> Element:
    """Return the element type of this name. Raises `Unsupported`."""
    if name in _NUMPY_FLOATS or name in ML_FLOATS or name in _PACKED_FLOATS:
        return _float(name)
    if name in ("complex<f32>", "complex<f64>"):
        part = _float(name.removeprefix("complex<").removesuffix(">"))
        both = np.dtype(f"complex{part.bits * 2}")
        return Element(
            name=name,
            kind="complex",
            bits=part.bits * 2,
            compute=np.dtype(np.complex128),
            storage=both,
            part=part.name,
        )
    if name in ("i1", PACKED_BOOLEAN):
        return Element(
            name=name,
            kind="boolean",
            bits=1,
            compute=np.dtype(bool),
            storage=np.dtype(np.int8),
            packed=name == PACKED_BOOLEAN,
        )
    if name == "index":
        return Element(name=name, kind="index", bits=64, compute=np.dtype(np.int64), storage=np.dtype(np.int64))
    digits = name.removeprefix("u").removeprefix("s").removeprefix("i")
    if (digits.isdigit() and 0 < int(digits) <= 64 and name[0] in "iu") or name.startswith("si"):
        bits = int(digits)
        width = next(w for w in (8, 16, 32, 64) if w >= bits)
        dtype = np.dtype(f"int{width}")
        return Element(name=name, kind="integer", bits=bits, compute=dtype, storage=dtype, packed=bits in _PACKED_BITS)
    raise Unsupported(f"element type {name}")


def _float(name: str) -> Element:
    packed = name in _PACKED_FLOATS
    info: Any
    if name in _NUMPY_FLOATS:
        storage = np.dtype(_NUMPY_FLOATS[name])
        info = np.finfo(storage)
    else:
        import ml_dtypes

        storage = numpy_type({**ML_FLOATS, **_PACKED_FLOATS}[name])
        info = ml_dtypes.finfo(storage)  # type: ignore[no-untyped-call]
    return Element(
        name=name,
        kind="float",
        bits=int(info.bits),
        packed=packed,
        compute=np.dtype(np.float64),
        storage=storage,
        unit=float(info.eps) / 2,
        smallest=float(info.smallest_normal),
        largest=float(info.max),
    )


@dataclass(frozen=True, slots=True)
class Num:
    """Numbers with an absolute bound on the error of a rounded computation of them."""

    value: Array
    error: Array | None = None
    """Bound, of the shape of `value` or broadcastable to it; None: exact. Infinite: no bound is known."""
    depth: int = 1
    """Length of the longest reduction that the numbers depend on."""
    doubt: Array | None = None
    """Set by the rule of one operation only: where a result says nothing, though it may be infinite or NaN."""

    def map(self, change: Any) -> Num:
        """Return the number with the same change of layout made to value and error, which must have one shape."""
        error = None if self.error is None else change(self.full_errors())
        return Num(change(self.value), error, self.depth)

    def errors(self) -> Array:
        """Return the bound as an array."""
        return np.zeros(1) if self.error is None else self.error

    def full_errors(self) -> Array:
        """Return the bound with the shape of the value."""
        error, shape = self.errors(), np.shape(self.value)
        return np.broadcast_to(error.reshape(()) if not shape and error.size == 1 else error, shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Options of the evaluation: rounding, and the error model."""

    bounds: bool = True
    """Propagate error bounds."""
    rounding: Rounding = "ideal"
    """`as written`: every float result is rounded to its own type; `ideal`: none is."""
    units: Mapping[str, float] = field(default_factory=dict)
    """Unit roundoffs that replace those of element types."""
    growth: Growth = "certain"
    """Growth of the error of a sum of n terms: with n, or (with overwhelming probability) with its square root."""
    once: bool = False
    """Give sums, products and casts of exact numbers the error of one correct rounding: zero where their type holds the
    result, else half the distance of its neighbours."""

    exact_sums: bool = True
    """Give sums of exact numbers no error where every partial sum, in any order, is a number of their type."""
    start: tuple[float, float] = (math.inf, 0.0)
    """Step and largest size of the numbers that a sum starts from, which its partial sums contain, see `exact`."""
    certain_zeros: bool = True
    """Give a quotient by zero, by a subnormal number or by one of the largest, and a product of zero with infinity or
    NaN, a sure result. Vulkan promises none: it bounds the error for divisors from 2^-126 to 2^126 (Vulkan 1.3,
    Precision of Individual Operations), and drivers take 0·x for 0."""
    flushes: bool = False
    """Allow operations that compute to take subnormal operands for zero."""
    composed: bool = False
    """Allow functions the error of the formulas that compilers and drivers expand them to, and no certain result
    outside of the formulas' domain: for IREE's own code, not for kernels."""

    def unit(self, element: Element) -> float:
        """Return the relative error of one rounding in this type."""
        return self.units.get(element.name, element.unit)

    def sum_factor(self, count: int, element: Element) -> float:
        """Return γ, the relative error of a sum of `count` terms.

        Higham, Accuracy and Stability of Numerical Algorithms, §3.1; for `probable`: Higham and Mary 2019.
        """
        steps = float(count)
        if self.growth == "probable":
            steps = min(steps, 6.0 * np.sqrt(count))
        product = steps * self.unit(element)
        return product / (1 - product) if product < 0.5 else np.inf

    def flushed(self, magnitude: Array, count: int, element: Element) -> Array:
        """Return a bound on the loss of a sum of `count` terms through subnormal numbers that are taken for zero."""
        return np.minimum(magnitude, count * element.smallest)

    def taken(self, operand: Num, element: Element) -> Num:
        """Return an operand of an operation that computes, with the error of taking a subnormal number for zero."""
        if not self.flushes or not element.is_float:
            return operand
        size = np.abs(operand.value)
        lost = np.where(size < element.smallest, size, 0.0)
        return Num(operand.value, operand.errors() + lost, operand.depth) if lost.any() else operand

    def rounded_if_inexact(self, value: Array, error: Array | None, element: Element, *, depth: int = 1) -> Num:
        """Return the product or cast of operands, which is exact if they are and the type holds every result."""
        if self.exact_sums and error is None and _holds(element, value):
            return Num(value, None, depth)
        return self.rounded(value, error, element, depth=depth)

    def rounded(self, value: Array, error: Array | None, element: Element, *, ulps: float = 1.0, depth: int = 1) -> Num:
        """Return the float result of an operation, with the error of its own rounding added."""
        if self.rounding == "as written" and element.name != "f64":
            value = value.astype(element.storage).astype(np.float64)
        if not self.bounds:
            return Num(value, None, depth)
        if ulps == 0.0:
            return Num(value, error, depth)
        size = np.abs(value)
        if self.once and ulps == 1.0 and element.name != "f64":
            return Num(value, _rounded_once(value, size, error, element), depth)
        own = size * (ulps * self.unit(element))
        low = size < element.smallest
        if low.any():  # subnormal numbers may be flushed to zero, and are spaced evenly
            own = own + np.where(low, size + element.smallest * self.unit(element), 0.0)
        if error is not None:
            own = own + error
        own = np.asarray(own)
        peak = size.max(initial=0.0)
        if not peak <= element.largest or error is not None:
            own = _settled(own, size, element)
        return Num(value, own, depth)


def _holds(element: Element, values: Array) -> bool:
    """Return True if all values are zeros or normal numbers of the type; most arrays fail in their first elements."""
    flat = values.reshape(-1)
    for part in (flat[:SAMPLE], flat[SAMPLE:]):
        size = np.abs(part)
        if ((size < element.smallest) & (size > 0)).any() or not bool(
            (part.astype(element.storage).astype(np.float64) == part).all()
        ):
            return False
    return True


def _rounded_once(value: Array, size: Array, error: Array | None, element: Element) -> Array:
    """Return the error of a correctly rounded result, that of its operands included; a subnormal one may become
    zero.
    """
    before = np.zeros(1) if error is None else error
    _, exponent = np.frexp(np.maximum(size + before, element.smallest))
    own = np.ldexp(element.unit, exponent - 1)
    own = np.where((before == 0) & (value.astype(element.storage).astype(np.float64) == value), 0.0, own)
    low = (size < element.smallest) & (size > 0)
    if low.any():
        own = own + np.where(low, size, 0.0)
    return np.where(np.isinf(size) & (before == 0), 0.0, _settled(np.asarray(own + before), size, element))


def _settled(error: Array, size: Array, element: Element) -> Array:
    """Return the error, made infinite beyond the type's range and where it is NaN."""
    with np.errstate(invalid="ignore"):
        lost = np.isnan(error) | ((size + error) > element.largest)
    return np.where(lost, np.inf, error) if lost.any() else error


def from_storage(raw: Array, element: Element) -> Array:
    """Return elements of the storage type exactly, in the type that they are evaluated in."""
    if element.kind == "boolean":
        return (raw.view(np.int8) & 1).astype(bool) if raw.dtype != np.dtype(bool) else raw
    return raw.astype(element.compute) if raw.dtype != element.compute else raw


def to_storage(value: Array, element: Element) -> Array:
    """Return elements in the storage type, rounded to nearest even."""
    with np.errstate(over="ignore", invalid="ignore"):
        return value.astype(element.storage)


def wrap(value: Array, element: Element) -> Array:
    """Return integers wrapped to a width that NumPy does not have."""
    if element.kind != "integer" or element.bits == element.compute.itemsize * 8:
        return value
    shift = element.compute.itemsize * 8 - element.bits
    return np.right_shift(np.left_shift(value, shift), shift)
