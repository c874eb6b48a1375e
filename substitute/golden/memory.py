"""Tensors that a dispatch reads from its bindings, and the stores that it makes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .numbers import PACKED_BOOLEAN, Array, element_of, to_storage
from .unsupported import Unsupported

if TYPE_CHECKING:
    from iree.compiler import ir

PACKED_STORAGE = "#iree_encoding.packed_storage"
Access = Literal["readonly", "writeonly", "readwrite"]
_TENSOR = re.compile(r"!iree_tensor_ext\.dispatch\.tensor<(readonly|writeonly|readwrite):(.*)>$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subspan:
    """A tensor in a binding."""

    binding: int
    """The binding's position in the layout."""
    byte_offset: int
    element: str
    """MLIR's name of the element type."""
    shape: tuple[int, ...]
    access: Access
    index_limit: int | None = None
    """Exclusive upper limit (with 0 as the lower one) of integers used as an index, or of bytes that stand for
    Booleans."""

    @property
    def size_bytes(self) -> int:
        """Size in memory."""
        element, count = element_of(self.element), math.prod(self.shape)
        return -(-count * element.bits // 8) if element.packed else count * element.storage.itemsize

    def view(self, buffer: NDArray[np.uint8]) -> Array:
        """Return the tensor in the binding's bytes, in its storage type (a copy where elements are packed).

        Raises `UsageError` where it does not fit.
        """
        stop = self.byte_offset + self.size_bytes
        if self.byte_offset < 0 or stop > buffer.size:
            raise UsageError(
                "a tensor does not fit into its binding",
                where=f"binding {self.binding}",
                expected=f"at least {stop} bytes",
                found=f"{buffer.size} bytes",
                next_step="make the buffer larger, or check the push constants",
            )
        raw = buffer[self.byte_offset : stop]
        element = element_of(self.element)
        if element.packed:
            from .layout import unpack

            return unpack(raw, element, math.prod(self.shape)).reshape(self.shape)
        return raw.view(element.storage).reshape(self.shape)


def dispatch_tensor(type_: ir.Type) -> tuple[Access, ir.RankedTensorType]:
    """Return access and tensor type of `!iree_tensor_ext.dispatch.tensor<readonly:tensor<4x?xf32>>`. Raises
    `Unsupported` for any other type.
    """
    from iree.compiler import ir

    found = _TENSOR.match(str(type_))
    if not found:
        raise Unsupported(f"a binding of type {str(type_).partition('<')[0]}")
    tensor = ir.RankedTensorType(ir.Type.parse(found[2], type_.context))
    check_plain(tensor)
    return found[1], tensor  # type: ignore[return-value]


def check_plain(tensor: ir.RankedTensorType) -> None:
    """Raise `Unsupported` for a tensor whose layout in memory is only decided later."""
    if tensor.encoding is not None and str(tensor.encoding) != PACKED_STORAGE:
        raise Unsupported(f"the encoding {re.split(r'[<,]', str(tensor.encoding))[0]}")


def element_name(tensor: ir.RankedTensorType) -> str:
    """Return the name of a tensor's element type: another one for Booleans of one bit."""
    name = str(tensor.element_type)
    return PACKED_BOOLEAN if name == "i1" and tensor.encoding is not None else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Reference values of the elements of a result."""

    value: Array
    """float64, or integers in their own width, or Booleans."""
    error: NDArray[np.float64]
    """Bound on the error of a computation whose operations, the store included, are each rounded in their own type.
    Infinite where no bound is known."""
    depth: int
    """Length of the longest reduction that the elements depend on."""
    element: str
    """The storage type."""

    def rounded(self) -> Array:
        """Return the values in the storage type, rounded to nearest even; values beyond its range become infinite."""
        return to_storage(self.value, element_of(self.element))


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store of a dispatch: a slice of a tensor in a binding, and its reference values."""

    subspan: Subspan
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    coordinates: tuple[NDArray[np.int64], ...] | None
    """Coordinates of the elements of `golden` in the slice; None if it holds the whole slice."""
    golden: Golden
    """Reference values, of shape `sizes` or in one dimension of samples."""

    def read(self, buffer: NDArray[np.uint8]) -> Array:
        """Return the same elements from the binding's bytes, in the storage type."""
        place = tuple(
            slice(o, o + (n - 1) * s + 1, s) if n else slice(0, 0)
            for o, n, s in zip(self.offsets, self.sizes, self.strides, strict=True)
        )
        window = self.subspan.view(buffer)[place]
        return window if self.coordinates is None else window[self.coordinates]

    def rounded(self) -> Array:
        """Return the golden values in the storage type."""
        return self.golden.rounded()

    def elements(self) -> NDArray[np.int64]:
        """Return the positions of all stored elements in order, counted in elements from the subspan's start."""
        return _places(self.offsets, self.sizes, self.strides, self.subspan.shape)

    def ranges(self) -> NDArray[np.int64]:
        """Return the bytes that are written, as [n, 2] starts and ends in the binding, merged and sorted."""
        width = element_of(self.subspan.element).storage.itemsize
        if self.sizes == self.subspan.shape:
            start = self.subspan.byte_offset
            return np.array([[start, start + self.subspan.size_bytes]], np.int64)
        # the innermost dimensions that are stored whole, and the one around them, are contiguous
        split, run = len(self.sizes), 1
        while split and self.sizes[split - 1] == self.subspan.shape[split - 1]:
            split -= 1
            run *= self.sizes[split]
        inner = self.subspan.shape[split:]
        if split and self.strides[split - 1] == 1:
            split -= 1
            run *= self.sizes[split]
            inner = self.subspan.shape[split:]
            first = self.offsets[split] * math.prod(inner[1:])
        else:
            first = 0
        starts = _places(self.offsets[:split], self.sizes[:split], self.strides[:split], self.subspan.shape[:split])
        starts = starts * math.prod(inner) + first
        return np.stack([starts, starts + run], 1) * width + self.subspan.byte_offset


def _places(
    offsets: Sequence[int], sizes: Sequence[int], strides: Sequence[int], shape: Sequence[int]
) -> NDArray[np.int64]:
    """Return the row-major positions of a slice's elements in a tensor, in order."""
    flat = np.zeros((), np.int64)
    for o, n, s, whole in zip(offsets, sizes, strides, shape, strict=True):
        flat = flat[..., None] * whole + (o + np.arange(n, dtype=np.int64) * s)
    return flat.ravel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Stores that a dispatch should make to its bindings."""

    stores: tuple[Store, ...]
    """Stores in the order of the body; a later one wins where two write the same bytes."""
    subspans: tuple[Subspan, ...]
    seconds: float
    """Duration of the evaluation."""

    def written(self, binding: int) -> NDArray[np.int64]:
        """Return the bytes of a binding that are written, as [n, 2] starts and ends, merged and sorted."""
        parts = [store.ranges() for store in self.stores if store.subspan.binding == binding]
        if not parts:
            return np.zeros((0, 2), np.int64)
        rows = np.concatenate(parts)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        rows = rows[rows[:, 0] < rows[:, 1]]
        if not len(rows):
            return rows
        # a range begins a new one where it starts after the furthest end so far
        reach = np.maximum.accumulate(rows[:, 1])
        new = np.r_[True, rows[1:, 0] > reach[:-1]]
        last = np.r_[np.flatnonzero(new)[1:] - 1, len(rows) - 1]
        return np.stack([rows[new, 0], reach[last]], 1)
