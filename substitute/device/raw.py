"""Single dispatches, on buffers that the caller lays out byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from .drivers import IREE_ERRORS, launch_error, open_device
from .guarded import Block, Region, Touch, guarded_memory, refuse_guards
from .transfer import bytes_to_host

Bytes = NDArray[np.uint8]
"""The contents of a buffer."""
STICKY = frozenset({"cuda", "cuda-sim", "hip", "vulkan"})
"""Drivers on which a failed launch may break the device, so that all later launches fail as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One launch: its buffers, the ranges of its bindings, and its integers."""

    buffers: tuple[Bytes, ...]
    """Contents before the launch, each in its own buffer."""
    bindings: tuple[tuple[int, int, int], ...]
    """(buffer, byte offset, byte length) of each binding; several may lie in one buffer."""
    constants: tuple[int, ...] = ()
    """Push constants, as 32-bit words."""
    workload: tuple[int, ...] = ()
    touched: tuple[tuple[tuple[int, int], ...], ...] = ()
    """Ranges of each buffer that are copied to the device and back, where that is possible; empty: all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedGrid:
    """One launch in memory beside inaccessible pages."""

    blocks: tuple[Block, ...]
    bindings: tuple[tuple[int, int, int], ...]
    """(block, byte offset from the block's first byte, which may be negative, byte length) of each binding."""
    constants: tuple[int, ...] = ()
    workload: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """Outcome of a guarded launch."""

    contents: tuple[Bytes, ...]
    """Contents of the blocks afterwards."""
    changed: tuple[tuple[int, ...], ...]
    """Offsets, from each block's first byte, of bytes that were changed in the rest of its pages."""
    touched: tuple[Touch, ...]
    """Accesses outside of all pages, one for each page."""


class RawModule:
    """A module of `validate.harness`, loaded on a device. Raises `DeviceError`."""

    def __init__(self, vmfb: bytes, *, device: str = "local-task") -> None:
        self.device = device
        self._vmfb = vmfb
        self._sticky = device.partition("://")[0] in STICKY
        self._failed = False
        self._open(fresh=device.partition("://")[0] == "cuda")

    def _open(self, *, fresh: bool) -> None:
        """Open the module; `fresh`: on a device that is not shared, so that it is closed with this module."""
        from iree.runtime import VmContext, VmInstance, VmModule, create_hal_module

        self._device: Any = open_device(self.device, fresh=fresh)
        self._instance: Any = VmInstance()
        try:
            self._module: Any = VmModule.copy_buffer(self._instance, self._vmfb)
            self._context: Any = VmContext(
                self._instance, [create_hal_module(self._instance, self._device), self._module]
            )
        except IREE_ERRORS as error:
            raise DeviceError(f"the dispatches cannot be loaded on {self.device}", details=str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the module."""
        self._context = self._module = self._instance = self._device = None

    def recover(self) -> bool:
        """Open the device again if a failed launch may have broken it; return False if that cannot be done.

        The next launch does so by itself, and raises `DeviceError` if it cannot.
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
        """Launch one grid, or several at once where `entry` takes several; return the buffers' contents afterwards.

        Raises `DeviceError`.
        """
        if self._failed and not self.recover():
            raise DeviceError(f"{entry} was not launched", details=f"a launch before it took {self.device} with it")
        self._failed = True
        held = [self._allocate_all(grid) for grid in grids]
        with guarded_memory().watch(()) if self.guards else nullcontext():
            self._invoke(entry, _values(grids, held))
        after = [
            tuple(
                bytes_to_host(self._device, buffer, ranges)
                for buffer, ranges in zip(buffers, _ranges(grid), strict=True)
            )
            for grid, buffers in zip(grids, held, strict=True)
        ]
        self._failed = False
        return after

    @property
    def guards(self) -> bool:
        """Return True if launches can be made in memory beside inaccessible pages."""
        return guards_memory(self.device)

    def call(self, function: str, *arguments: int) -> int | None:
        """Call a function of integers and return its result; None if the module has no such function."""
        from iree.runtime import VmVariantList

        found = self._module.lookup_function(function)
        if found is None:
            return None
        packed, results = VmVariantList(len(arguments)), VmVariantList(1)
        for value in arguments:
            packed.push_int(value)
        self._context.invoke(found, packed, results)
        return int(results.get_variant(0))

    def launch_guarded(self, entry: str, grid: GuardedGrid) -> Guarded:
        """Launch one grid in guarded memory. Raises `DeviceError`; a fault outside of that memory ends the process."""
        memory = guarded_memory()
        regions = memory.place(grid.blocks)
        try:
            buffers = [self._imported(region) for region in regions]
            bindings = [(buffers[n], grid.blocks[n].reach + at, length) for n, at, length in grid.bindings]
            with memory.watch(regions) as touched:
                self._invoke(
                    entry, [*(value for binding in bindings for value in binding), *grid.constants, *grid.workload]
                )
            return Guarded(
                contents=tuple(region.contents() for region in regions),
                changed=tuple(tuple(region.changed()) for region in regions),
                touched=tuple(touched),
            )
        finally:
            memory.clear(regions)

    def _imported(self, region: Region) -> Any:
        """Return the region as a buffer of the device; IREE must not read it, as most of it is inaccessible."""
        from iree.runtime import BufferUsage, MemoryType

        return self._device.allocator.import_host_allocation(
            np.ctypeslib.as_array(region.memory()),
            int(MemoryType.HOST_LOCAL | MemoryType.DEVICE_VISIBLE),
            int(BufferUsage.DEFAULT | BufferUsage.MAPPING),
        )

    def _invoke(self, entry: str, values: Sequence[Any]) -> None:
        from iree.runtime import VmVariantList

        try:
            self._context.invoke(self._module.lookup_function(entry), _pushed(values), VmVariantList(1))
        except IREE_ERRORS as error:
            raise launch_error(entry, error, device=self._device, name=self.device) from error

    def bind(self, entry: str, grid: Grid) -> Callable[[], None]:
        """Return a launch that can be repeated on the same buffers, for timing; the results are not read.

        Raises `DeviceError` if the buffers cannot be allocated, and when a call fails.
        """
        from iree.runtime import VmVariantList

        packed = _pushed(_values([grid], [self._allocate_all(grid)]))
        function, context = self._module.lookup_function(entry), self._context

        def launch() -> None:
            try:
                context.invoke(function, packed, VmVariantList(1))
            except IREE_ERRORS as error:
                self._failed = True
                raise launch_error(entry, error, device=self._device, name=self.device) from error

        return launch

    def _allocate_all(self, grid: Grid) -> list[Any]:
        return [self._allocate(*one) for one in zip(grid.buffers, _ranges(grid), strict=True)]

    def _allocate(self, contents: Bytes, touched: tuple[tuple[int, int], ...]) -> Any:
        """Return a buffer with these contents, in memory that the host can map if there is any."""
        from iree.runtime import BufferUsage, MemoryType

        allocator = self._device.allocator
        try:
            buffer = allocator.allocate_buffer(
                memory_type=int(MemoryType.HOST_LOCAL | MemoryType.DEVICE_VISIBLE),
                allowed_usage=int(BufferUsage.DEFAULT | BufferUsage.MAPPING),
                allocation_size=contents.size,
            )
            # (copies through the device's queue would take most of the time)
            mapped = buffer.map().asarray((contents.size,), np.dtype(np.uint8))
            for first, last in touched or ((0, contents.size),):
                mapped[first:last] = contents[first:last]
            return buffer
        except IREE_ERRORS:
            pass  # a device without such memory
        try:
            return allocator.allocate_buffer_copy(
                memory_type=MemoryType.DEVICE_LOCAL,
                allowed_usage=BufferUsage.DEFAULT,
                device=self._device,
                buffer=np.ascontiguousarray(contents),
            )
        except IREE_ERRORS as error:
            raise DeviceError(
                f"{contents.size} bytes cannot be allocated on {self.device}", details=str(error)
            ) from error


def _ranges(grid: Grid) -> Sequence[tuple[tuple[int, int], ...]]:
    return grid.touched or [()] * len(grid.buffers)


def _values(grids: Sequence[Grid], held: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the arguments of a harness's function, with a buffer for each of the grids' buffers."""
    values: list[Any] = []
    for grid, buffers in zip(grids, held, strict=True):
        for number, offset, length in grid.bindings:
            values += (buffers[number], offset, length)
        values += (*grid.constants, *grid.workload)
    return values


def _pushed(values: Sequence[Any]) -> Any:
    """Return integers and buffers as a list of the VM."""
    from iree.runtime import VmVariantList

    packed = VmVariantList(len(values))
    for value in values:
        if isinstance(value, int):
            packed.push_int(value)
        else:
            packed.push_ref(value.ref)
    return packed


def guards_memory(device: str) -> bool:
    """Return True if launches on the device can be made in guarded memory, and prepare this process for them."""
    if not device.startswith("local") or refuse_guards():
        return False
    guarded_memory()
    return True
