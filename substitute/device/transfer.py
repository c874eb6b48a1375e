"""Copies of arrays to a device's memory and back."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from .value_type import Array

_ELEMENT_TYPES = {
    "bool": "BOOL_8",
    "bfloat16": "BFLOAT_16",
    "float16": "FLOAT_16",
    "float32": "FLOAT_32",
    "float64": "FLOAT_64",
    "float8_e4m3fn": "FLOAT_8_E4M3_FN",
    "float8_e4m3fnuz": "FLOAT_8_E4M3_FNUZ",
    "float8_e5m2": "FLOAT_8_E5M2",
    "float8_e5m2fnuz": "FLOAT_8_E5M2_FNUZ",
    "float8_e8m0fnu": "FLOAT_8_E8M0_FNU",
    "complex64": "COMPLEX_64",
    "complex128": "COMPLEX_128",
    **{f"int{n}": f"SINT_{n}" for n in (8, 16, 32, 64)},
    **{f"uint{n}": f"UINT_{n}" for n in (8, 16, 32, 64)},
}
"""NumPy's name → the name in `iree.runtime.HalElementType`; IREE's own table has moved from version to version."""


def _element_type(dtype: np.dtype[Any]) -> Any:
    from iree.runtime import HalElementType

    return getattr(HalElementType, _ELEMENT_TYPES[dtype.name])


@cache
def _dtypes() -> dict[int, np.dtype[Any]]:
    """Return NumPy's type of each HAL element type; integers without a sign are signed."""
    import ml_dtypes
    from iree.runtime import HalElementType

    names = {hal: name for name, hal in _ELEMENT_TYPES.items()} | {f"INT_{n}": f"int{n}" for n in (8, 16, 32, 64)}
    return {int(getattr(HalElementType, hal)): np.dtype(getattr(ml_dtypes, name, name)) for hal, name in names.items()}


def to_device(device: Any, value: Array) -> Any:
    """Return a buffer view of the device that holds a copy of `value`."""
    from iree.runtime import BufferUsage, MemoryType

    return device.allocator.allocate_buffer_copy(
        memory_type=MemoryType.DEVICE_LOCAL,
        allowed_usage=BufferUsage.DEFAULT,
        device=device,
        buffer=np.ascontiguousarray(value).reshape(value.shape),
        element_type=_element_type(value.dtype),
    )


def is_known(view: Any) -> bool:
    """Return True if a NumPy array can hold the elements of a buffer view, each in whole bytes."""
    return int(view.element_type) in _dtypes()


def to_host(device: Any, view: Any) -> Array:
    """Return a copy of a buffer view's contents, in memory that NumPy owns."""
    dtype = _dtypes()[int(view.element_type)]
    shape = tuple(view.shape)
    if 0 in shape:
        return np.empty(shape, dtype)
    size_bytes = math.prod(shape) * dtype.itemsize
    return bytes_to_host(device, view.get_buffer())[:size_bytes].view(dtype).reshape(shape)


def bytes_to_host(device: Any, buffer: Any, ranges: tuple[tuple[int, int], ...] = ()) -> Array:
    """Return a copy of all bytes of a buffer; `map` only gives a view of device memory, which is freed with the buffer.

    With `ranges` only these are copied, and the rest is zero.
    """
    size = buffer.byte_length()
    if not size:
        return np.empty(0, np.uint8)
    if not _is_mappable(buffer):
        buffer = _stage(device, buffer)
    mapped = buffer.map().asarray((size,), np.dtype(np.uint8))
    if not ranges:
        return np.array(mapped, copy=True)
    copied = np.zeros(size, np.uint8)
    for first, last in ranges:
        copied[first:last] = mapped[first:last]
    return copied


def _is_mappable(buffer: Any) -> bool:
    from iree.runtime import BufferUsage, MemoryType

    visible, mapping = int(MemoryType.HOST_VISIBLE), int(BufferUsage.MAPPING_SCOPED)
    return bool(buffer.memory_type() & visible == visible and buffer.allowed_usage() & mapping == mapping)


def _stage(device: Any, source: Any) -> Any:
    """Return a copy in memory that the host can map.

    `DeviceArray.to_host` would rather let the device write into NumPy's memory, which the Vulkan driver refuses for
    every address that is no multiple of its alignment: "does not satisfy minImportedHostPointerAlignment".
    """
    from iree.runtime import BufferUsage, HalFence, MemoryType

    staging = device.allocator.allocate_buffer(
        memory_type=int(MemoryType.HOST_LOCAL | MemoryType.DEVICE_VISIBLE),
        allowed_usage=int(BufferUsage.TRANSFER_TARGET | BufferUsage.MAPPING_SCOPED),
        allocation_size=source.byte_length(),
    )
    semaphore = device.create_semaphore(0)
    device.queue_copy(
        source,
        staging,
        wait_semaphores=HalFence.create_at(semaphore, 0),
        signal_semaphores=HalFence.create_at(semaphore, 1),
    )
    HalFence.create_at(semaphore, 1).wait()
    return staging
