"""The state of one client's driver: devices, contexts, memory, handles."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..faults import InvalidAddress, OutOfMemory
from ..memory import Bytes, Memory
from . import codes
from .architectures import Architecture, visible_architectures
from .client import Client, Hello
from .codes import CODES, DriverError
from .objects import Context, Handles, Module, Region, Registration
from .reports import Reports
from .settings import Settings
from .texts import AREA_BYTES, Texts

T = TypeVar("T")
_NEAR_BYTES = 64
"""Changes at most this far apart are written to the host together."""
_UNWRITTEN = 0xFF
"""Initial value of the bytes of device memory."""


class Interrupted(Exception):
    """A kernel was interrupted with Ctrl-C."""


class Driver:
    """State behind the driver functions. `data`: the shared device memory; `shadow`: its state, one byte for each."""

    def __init__(
        self, client: Client, hello: Hello, *, data: NDArray[np.uint8], shadow: NDArray[np.uint8], settings: Settings
    ) -> None:
        self.client = client
        self.functions = hello.functions
        self.settings = settings
        self.devices = visible_architectures(settings.device)
        self.texts = Texts(data[:AREA_BYTES], hello.base)
        self.memory = Memory(
            hello.size_bytes - AREA_BYTES,
            base=hello.base + AREA_BYTES,
            data=data[AREA_BYTES:],
            shadow=shadow[AREA_BYTES:],
        )
        self.reports = Reports(settings)
        self.handles = Handles()
        self.initialised = False
        self.thread = 0
        """The client's calling thread."""
        self.regions: dict[int, Region] = {}
        self.registrations: dict[int, Registration] = {}
        """Registrations by host address."""
        self._primary: dict[Architecture, Context] = {}
        self._current: dict[int, list[Context]] = {}
        self._words: dict[int, str] = {}
        self.executing = False
        """True while a kernel runs; it may then be interrupted."""
        self.last_fault = ""
        """Description of the last fault of a launch."""

    # --- errors

    def note(self, error: DriverError) -> None:
        """Remember the details of an error for `cuGetErrorString`."""
        self._words[error.code] = error.words
        if error.code in codes.FAULTS:
            self.last_fault = str(error)

    def words_on(self, code: int) -> str:
        """Return the driver's text for a code, with the details of its last occurrence."""
        words = self._words.get(code, "")
        return f"{CODES[code].words}: {words}" if words else CODES[code].words

    # --- devices and contexts

    def device(self, ordinal: int) -> Architecture:
        """Return a device. Raises `DriverError` for an ordinal without one."""
        if not 0 <= ordinal < len(self.devices):
            raise DriverError(codes.INVALID_DEVICE, f"device {ordinal} of {len(self.devices)}")
        return self.devices[ordinal]

    def primary(self, device: Architecture) -> Context:
        """Return the device's primary context, created on first use."""
        if device not in self._primary:
            context = Context(architecture=device, primary=True)
            self._primary[device] = context
            self.handles.add(context)
        return self._primary[device]

    def has_primary(self, device: Architecture) -> bool:
        """Return True if the device has a primary context."""
        return device in self._primary

    def replace_faulty(self) -> None:
        """Replace primary contexts that a fault has ended, for programs that cannot release them.

        Retain counts are kept, and allocations can still be freed.

        What was retained stays retained, and what was allocated can still be freed.
        """
        for device, old in self._primary.items():
            if old.fault is not None:
                new = Context(architecture=device, primary=True, users=old.users, replaced=old)
                self._primary[device] = new
                self.handles.add(new)
                for region in self.regions.values():
                    region.context = new if region.context is old else region.context

    def stack(self) -> list[Context]:
        """Return the calling thread's contexts, the current one last."""
        return self._current.setdefault(self.thread, [])

    def current(self) -> Context:
        """Return the calling thread's context. Raises `DriverError` if there is none, or if a fault has ended it."""
        stack = self.stack()
        if not stack:
            raise DriverError(codes.INVALID_CONTEXT, "no context is current in this thread")
        context = stack[-1]
        if context.fault is not None:
            raise context.fault
        return context

    def end_context(self, context: Context) -> None:
        """Free all that belongs to a context."""
        for registration in [r for r in self.registrations.values() if r.context is context]:
            self.unregister(registration.host)
        for region in [r for r in self.regions.values() if r.context is context]:
            self.free(region)
        self._end_handles(context)
        if context.primary:
            del self._primary[context.architecture]
            self.handles.remove(self.handles.handle_of(context))
        for stack in self._current.values():
            stack[:] = [one for one in stack if one is not context]

    def _end_handles(self, context: Context) -> None:
        for thing in self.handles.remove_of(context):
            if isinstance(thing, Module):
                thing.program.unload(self.memory)
        if context.replaced is not None:
            self._end_handles(context.replaced)
            self.handles.remove(self.handles.handle_of(context.replaced))

    # --- handles

    def find(self, handle: int, kind: type[T], *, code: int = codes.INVALID_HANDLE) -> T:
        """Return the object of a handle. Raises `DriverError` for a wrong handle, or if a fault has ended its
        context.
        """
        thing = self.handles.find(handle)
        if not isinstance(thing, kind):
            raise DriverError(code, f"{handle:#x} is no {kind.__name__.lower()}, or no longer one")
        context = getattr(thing, "context", None)
        if isinstance(context, Context) and context.fault is not None:
            raise context.fault
        return thing

    # --- memory

    def allocate(self, context: Context, size_bytes: int, *, host: bool = False, name: str = "") -> Region:
        """Allocate device memory; `host` memory counts as written, as the host's writes are not seen."""
        if size_bytes == 0:
            raise DriverError(codes.INVALID_VALUE, "an allocation of no bytes")
        try:
            start = self.memory.allocate(size_bytes, name=name, initialised=host)
        except OutOfMemory as error:
            raise DriverError(codes.OUT_OF_MEMORY, f"{error.what}: {error.found}, {error.expected}") from error
        if not host:
            # NaN in every floating-point type: unwritten memory cannot pass for a result
            self.memory.data[start - self.memory.base :][:size_bytes] = _UNWRITTEN
        region = Region(start=start, size_bytes=size_bytes, context=context, host=host)
        self.regions[start] = region
        return region

    def free(self, region: Region) -> None:
        """Free an allocation."""
        del self.regions[region.start]
        if region.pool is not None:
            region.pool.used_bytes -= region.size_bytes
        self.memory.free(region.start)

    def in_arena(self, address: int) -> bool:
        """Return True for device memory, allocated or not."""
        return self.memory.base <= address < self.memory.base + self.memory.size_bytes

    def check(self, address: int, size_bytes: int) -> None:
        """Raise `DriverError` unless the range lies inside of one allocation of device memory."""
        if size_bytes and not self.memory.contains(address, size_bytes):
            found = self.memory.find(address)
            where = (
                f"only {found.end - address} of them lie in its allocation" if found else self.memory.nearest(address)
            )
            raise DriverError(codes.INVALID_VALUE, f"{size_bytes} bytes at {address:#x}: {where}")

    def copy(self, destination: int, source: int, size_bytes: int) -> None:
        """Copy between any two places, of the device or of the host. Raises `DriverError`."""
        if not size_bytes:
            return
        to_device, from_device = self.in_arena(destination), self.in_arena(source)
        if to_device:
            self.check(destination, size_bytes)
        if from_device:
            self.check(source, size_bytes)
            self.take_from_host(source, size_bytes)
        if to_device and from_device:
            self.memory.copy(destination, source, size_bytes)
        else:
            self.client.copy(destination, source, size_bytes)
            if to_device:
                self.memory.mark_initialised(destination, size_bytes)
        if to_device:
            self.give_to_host(destination, size_bytes)

    def fill(self, address: int, pattern: bytes, count: int) -> None:
        """Fill memory with a pattern. Raises `DriverError`."""
        if not count:
            return
        if address % len(pattern):
            raise DriverError(codes.INVALID_VALUE, f"{address:#x} is no multiple of {len(pattern)}")
        self.check(address, len(pattern) * count)
        try:
            self.memory.fill(address, pattern, count)
        except InvalidAddress as error:
            raise DriverError(codes.INVALID_VALUE, error.found) from error
        self.give_to_host(address, len(pattern) * count)

    # --- host memory that the device may use

    def register(self, context: Context, host: int, size_bytes: int, *, read_only: bool) -> None:
        """Map host memory to a copy in device memory. Raises `DriverError`."""
        for other in self.registrations.values():
            if host < other.host + other.size_bytes and other.host < host + size_bytes:
                raise DriverError(codes.HOST_MEMORY_ALREADY_REGISTERED, f"{other.size_bytes} bytes at {other.host:#x}")
        region = self.allocate(context, size_bytes, host=True, name="registered host memory")
        registration = Registration(
            host=host, size_bytes=size_bytes, device=region.start, read_only=read_only, context=context
        )
        try:
            self.client.copy(region.start, host, size_bytes)
        except DriverError:
            self.free(region)
            raise
        self.registrations[host] = registration

    def unregister(self, host: int) -> None:
        """Unmap host memory. Raises `DriverError` for memory that is not registered."""
        registration = self.registrations.pop(host, None)
        if registration is None:
            raise DriverError(codes.HOST_MEMORY_NOT_REGISTERED, f"{host:#x}")
        self.free(self.regions[registration.device])

    def take_from_host(self, address: int, size_bytes: int) -> None:
        """Copy host memory to its registered copies in a range of device memory."""
        for one, start, size in self._registrations_in(address, size_bytes):
            # registered pages stay mapped to the device until they are unregistered, even if the host has unmapped them
            with suppress(DriverError):
                self.client.copy(start, one.host + start - one.device, size)

    def give_to_host(self, address: int, size_bytes: int) -> None:
        """Copy registered copies in a range back to host memory. Raises `DriverError` where it cannot be written."""
        for one, start, size in self._registrations_in(address, size_bytes):
            if not one.read_only:
                self.client.copy(one.host + start - one.device, start, size)

    def lend_to_kernel(self) -> list[tuple[Registration, Bytes]]:
        """Update all registered copies from the host; return the contents of those that a kernel may write."""
        self.take_from_host(self.memory.base, self.memory.size_bytes)
        return [(one, self._bytes(one).copy()) for one in self.registrations.values() if not one.read_only]

    def return_from_kernel(self, lent: list[tuple[Registration, Bytes]]) -> None:
        """Copy to the host the bytes that a kernel has changed, and no others: host threads may have written meanwhile.

        Raises `DriverError` where the kernel wrote memory that the host cannot write.

        Raises `DriverError` where the kernel wrote what the host cannot write.
        """
        for one, before in lent:
            changed = np.flatnonzero(self._bytes(one) != before)
            if not changed.size:
                continue
            gaps = np.flatnonzero(np.diff(changed) > _NEAR_BYTES)
            starts, ends = changed[np.r_[0, gaps + 1]], changed[np.r_[gaps, -1]] + 1
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                try:
                    self.client.copy(one.host + start, one.device + start, end - start)
                except DriverError as error:
                    words = f"a kernel wrote registered host memory at {one.host + start:#x} that cannot be written"
                    raise DriverError(codes.ILLEGAL_ADDRESS, words) from error

    def _bytes(self, one: Registration) -> Bytes:
        low = one.device - self.memory.base
        return self.memory.data[low : low + one.size_bytes]

    def _registrations_in(self, address: int, size_bytes: int) -> list[tuple[Registration, int, int]]:
        """Return the registrations in a range of device memory: each with start and size of the part of its copy."""
        parts = [
            (one, max(address, one.device), min(address + size_bytes, one.device + one.size_bytes))
            for one in self.registrations.values()
        ]
        return [(one, start, end - start) for one, start, end in parts if start < end]
