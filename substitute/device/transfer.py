"""Arrays into a device's memory and out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .value_type import Array


def to_device(device: Any, value: Array) -> Any:
    """A buffer view of the device that holds a copy of `value`."""
    from iree.runtime import BufferUsage, MemoryType
    from iree.runtime.dtypes import map_dtype_to_hal_element_type

    return device.allocator.allocate_buffer_copy(
        memory_type=MemoryType.DEVICE_LOCAL,
        allowed_usage=BufferUsage.DEFAULT,
        device=device,
        buffer=np.ascontiguousarray(value).reshape(value.shape),
        element_type=map_dtype_to_hal_element_type(value.dtype),
    )


def to_host(device: Any, view: Any) -> Array:
    """A copy of a buffer view's contents, in memory that NumPy owns."""
    from iree.runtime import HalElementType

    dtype = np.dtype(HalElementType.map_to_dtype(view.element_type))
    shape = tuple(view.shape)
    if 0 in shape:
        return np.empty(shape, dtype)
    buffer = view.get_buffer()
    if not _is_mappable(buffer):
        buffer = _stage(device, buffer)
    # what `map` gives is the device's own memory, gone with the buffer
    return np.array(buffer.map().asarray(shape, dtype), copy=True)


def _is_mappable(buffer: Any) -> bool:
    from iree.runtime import BufferUsage, MemoryType

    visible, mapping = int(MemoryType.HOST_VISIBLE), int(BufferUsage.MAPPING_SCOPED)
    return bool(buffer.memory_type() & visible == visible and buffer.allowed_usage() & mapping == mapping)


def _stage(device: Any, source: Any) -> Any:
    """A copy in memory that the host can map.

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
