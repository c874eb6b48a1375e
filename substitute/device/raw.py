"""One dispatch at a time, on buffers that the caller lays out byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from .drivers import launch_error, open_device
from .transfer import bytes_to_host

Bytes = NDArray[np.uint8]
"""The contents of a buffer."""
STICKY = frozenset({"cuda", "cuda-sim", "hip", "vulkan"})
"""Drivers on which a launch that fails may take the device with it: everything after it fails as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One launch: which buffers its bindings lie in, and its integers."""

    buffers: tuple[Bytes, ...]
    """Contents before the launch, each in a buffer of its own."""
    bindings: tuple[tuple[int, int, int], ...]
    """(buffer, byte offset, byte length) of each binding; several may lie in one buffer."""
    constants: tuple[int, ...] = ()
    """Push constants, as 32-bit words."""
    workload: tuple[int, ...] = ()
    touched: tuple[tuple[tuple[int, int], ...], ...] = ()
    """For each buffer the ranges that are copied to the device and back, where that can be had; none: all of it."""


class RawModule:
    """A module of `validate.harness`, loaded on a device. Raises `DeviceError`."""

    def __init__(self, vmfb: bytes, *, device: str = "local-task") -> None:
        self.device = device
        self._vmfb = vmfb
        self._sticky = device.partition("://")[0] in STICKY
        self._failed = False
        self._open(fresh=device.partition("://")[0] == "cuda")

    def _open(self, *, fresh: bool) -> None:
        """`fresh`: on a device that nobody else in this process holds, so that it ends with this module."""
        from iree.runtime import VmContext, VmInstance, VmModule, create_hal_module

        self._device: Any = open_device(self.device, fresh=fresh)
        self._instance: Any = VmInstance()
        try:
            self._module: Any = VmModule.copy_buffer(self._instance, self._vmfb)
            self._context: Any = VmContext(
                self._instance, [create_hal_module(self._instance, self._device), self._module]
            )
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"the dispatches cannot be loaded on {self.device}", details=str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the module."""
        self._context = self._module = self._instance = self._device = None

    def recover(self) -> bool:
        """Opens the device again where a launch that failed may have taken it along; False if that cannot be done.

        The next launch does so by itself, and raises `DeviceError` where it cannot.
        """
        if self._sticky and self._failed:
            self.close()
            try:
                self._open(fresh=True)
            except DeviceError:
                return False
        self._failed = False
        return True

    def launch(self, entry: str, *grids: Grid) -> list[tuple[Bytes, ...]]:
        """Launches one grid, or several at once where `entry` takes several; the buffers' contents afterwards.

        Raises `DeviceError`.
        """
        from iree.runtime import VmVariantList

        if self._failed and not self.recover():
            raise DeviceError(f"{entry} was not launched", details=f"a launch before it took {self.device} with it")
        self._failed = True
        held = [self._allocate_all(grid) for grid in grids]
        packed = _packed(grids, held)
        results = VmVariantList(1)
        try:
            self._context.invoke(self._module.lookup_function(entry), packed, results)
        except (RuntimeError, ValueError, IndexError) as error:  # (an IndexError is IREE's OUT_OF_RANGE)
            raise launch_error(entry, error, device=self._device, name=self.device) from error
        after = [
            tuple(
                bytes_to_host(self._device, buffer, ranges)
                for buffer, ranges in zip(buffers, _ranges(grid), strict=True)
            )
            for grid, buffers in zip(grids, held, strict=True)
        ]
        self._failed = False
        return after

    def bind(self, entry: str, grid: Grid) -> Callable[[], None]:
        """A launch that can be repeated on the same buffers, to be timed; what it leaves there is not looked at.

        Raises `DeviceError` where the buffers cannot be had, and when it is called and fails.
        """
        from iree.runtime import VmVariantList

        packed = _packed([grid], [self._allocate_all(grid)])
        function, context = self._module.lookup_function(entry), self._context

        def launch() -> None:
            try:
                context.invoke(function, packed, VmVariantList(1))
            except (RuntimeError, ValueError) as error:
                self._failed = True
                raise launch_error(entry, error, device=self._device, name=self.device) from error

        return launch

    def _allocate_all(self, grid: Grid) -> list[Any]:
        return [self._allocate(*one) for one in zip(grid.buffers, _ranges(grid), strict=True)]

    def _allocate(self, contents: Bytes, touched: tuple[tuple[int, int], ...]) -> Any:
        """A buffer with these contents, which nobody but the launch touches on the device if that can be had."""
        from iree.runtime import BufferUsage, MemoryType

        allocator = self._device.allocator
        try:
            buffer = allocator.allocate_buffer(
                memory_type=int(MemoryType.HOST_LOCAL | MemoryType.DEVICE_VISIBLE),
                allowed_usage=int(BufferUsage.DEFAULT | BufferUsage.MAPPING),
                allocation_size=contents.size,
            )
            # (copies through the device's queue would take longer than all the rest)
            mapped = buffer.map().asarray((contents.size,), np.dtype(np.uint8))
            for first, last in touched or ((0, contents.size),):
                mapped[first:last] = contents[first:last]
            return buffer
        except (RuntimeError, ValueError):
            pass  # a device without such memory
        try:
            return allocator.allocate_buffer_copy(
                memory_type=MemoryType.DEVICE_LOCAL,
                allowed_usage=BufferUsage.DEFAULT,
                device=self._device,
                buffer=np.ascontiguousarray(contents),
            )
        except (RuntimeError, ValueError) as error:
            raise DeviceError(
                f"{contents.size} bytes cannot be allocated on {self.device}", details=str(error)
            ) from error


def _ranges(grid: Grid) -> Sequence[tuple[tuple[int, int], ...]]:
    return grid.touched or [()] * len(grid.buffers)


def _packed(grids: Sequence[Grid], held: Sequence[Sequence[Any]]) -> Any:
    """The arguments of a harness's function, with a buffer for each of the grids' buffers."""
    from iree.runtime import VmVariantList

    packed = VmVariantList(16)
    for grid, buffers in zip(grids, held, strict=True):
        for buffer, offset, length in grid.bindings:
            packed.push_ref(buffers[buffer].ref)
            packed.push_int(offset)
            packed.push_int(length)
        for value in (*grid.constants, *grid.workload):
            packed.push_int(value)
    return packed
