"""A launch of a dispatch with its inputs and its golden: plain data, to be judged on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elements import storage_type

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingRange:
    """A binding of a launch: a range of a buffer."""

    resource: int
    """Number of the buffer; bindings with equal numbers share a buffer, as in the host program."""
    offset: int
    """In bytes, from the buffer's start."""
    length: int
    """In bytes."""
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Arguments of a launch of a dispatch by the host program."""

    bindings: tuple[BindingRange, ...]
    constants: tuple[int, ...]
    """Push constants, as unsigned 32-bit words."""
    workload: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A tensor in a binding, as the dispatch's body accesses it."""

    binding: int
    offset: int
    """In bytes, from the binding's start."""
    shape: tuple[int, ...]
    element: str
    """IREE's name, such as `f32`."""
    access: str
    """`readonly`, `writeonly` or `readwrite`."""
    index_limit: int | None = None
    """Exclusive limit of integers that are used as indices."""
    name: str = ""
    """Its name in verdicts, such as `x` or `result 0`."""

    @property
    def size_bytes(self) -> int:
        """Bytes from its first element to its last."""
        return int(np.prod(self.shape, dtype=np.int64)) * storage_type(self.element).itemsize

    @property
    def described(self) -> str:
        """Return the tensor's name and type, such as `x: 4x16xf32`."""
        at = f" at byte {self.offset}" if self.offset else ""
        name = self.name or f"binding {self.binding}{at}"
        return f"{name}: {'x'.join(map(str, (*self.shape, self.element)))}"

    def view(self, binding: Bytes) -> Array:
        """Return the tensor as a view of the binding's memory."""
        return binding[self.offset : self.offset + self.size_bytes].view(storage_type(self.element)).reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Expected values of one slice of one tensor."""

    area: Area
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    coordinates: tuple[NDArray[np.int64], ...] | None
    """Coordinates of the known elements, if the slice was too large to evaluate whole; None: all."""
    values: Array
    """The golden, float64 (integers as int64): of the slice's sizes, or one per coordinate."""
    allowed: NDArray[np.float64]
    """Allowed error of each element, fixed before any result is seen; infinite: cannot be judged."""
    depth: int
    """Length of the last reduction."""

    def read(self, binding: Bytes) -> Array:
        """Return the same elements of a binding after a launch, in their own type."""
        window = tuple(
            slice(o, o + (n - 1) * s + 1 if n else o, s)
            for o, n, s in zip(self.offsets, self.sizes, self.strides, strict=True)
        )
        values = self.area.view(binding)[window]
        return values[self.coordinates] if self.coordinates is not None else values

    def position(self, flat: int) -> tuple[int, ...]:
        """Return the coordinates, in the tensor, of one of these elements."""
        if self.coordinates is not None:
            inside = tuple(int(c[flat]) for c in self.coordinates)
        else:
            inside = tuple(int(c) for c in np.unravel_index(flat, self.sizes)) if self.sizes else ()
        return tuple(o + i * s for o, i, s in zip(self.offsets, inside, self.strides, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Initial contents of a range of a buffer."""

    resource: int
    start: int
    data: Bytes

    @property
    def stop(self) -> int:
        """First byte after the range."""
        return self.start + self.data.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A launch with inputs and expected results."""

    label: str
    """Name in messages: the dispatch, and the place of its launch."""
    entry: str
    """Function of the harness that launches it."""
    launch: Launch
    areas: tuple[Area, ...]
    sizes: tuple[int, ...]
    """Sizes of the buffers, in bytes."""
    filled: tuple[Filled, ...]
    """Contents that the dispatch may read; all other bytes are poison when it is launched."""
    written: tuple[tuple[int, int, int], ...]
    """(resource, start, stop) of all bytes that it may write."""
    expected: tuple[Expected, ...]
    inputs: str
    """The class of inputs, such as `normal` or `exact`."""
    seed: int
    repeatable: bool = True
    """True if two launches give the same bits."""
    copies: bool = False
    """True if nothing is computed, so that the signs of zeros have to be right as well."""
    signs: bool = False
    """True if the signs of zeros have to be right where IREE's own code has them right."""
    alignment: int = 1
    """Alignment of the operands' addresses in bytes, besides their elements' sizes."""
    refused: str = ""
    """Reason why a device may refuse to launch it; empty if none may."""
    beside: bool = True
    """True if IREE's own code is run for it too, and the errors of both are compared."""

    @property
    def key(self) -> str:
        """Name of the case on the command line."""
        return case_key(self.label, self.inputs, self.seed)

    def contents(self, fill: int = 0) -> tuple[Bytes, ...]:
        """Return the buffers before a launch."""
        buffers = tuple(np.full(size, fill, np.uint8) if fill else np.zeros(size, np.uint8) for size in self.sizes)
        for part in self.filled:
            buffers[part.resource][part.start : part.stop] = part.data
        return buffers

    def binding(self, contents: Sequence[Bytes], number: int) -> Bytes:
        """Return the bytes of one binding in the buffers' contents."""
        found = self.launch.bindings[number]
        return contents[found.resource][found.offset : found.offset + found.length]


def case_key(label: str, inputs: str, seed: int) -> str:
    """Return the text in which `--case` searches."""
    return f"{label} [{inputs}], seed {seed}"
