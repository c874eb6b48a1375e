"""The simulated device's global memory: one flat arena, an allocation table, and a shadow byte for every byte."""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .faults import InvalidAddress, OutOfMemory

NOT_ALLOCATED, UNWRITTEN, WRITTEN = 0, 1, 2
"""Values of a shadow byte."""
RED_ZONE_BYTES = 256
"""Smallest gap between two allocations, so that an access past the end of one is detected."""
ALIGNMENT = 256
DEFAULT_BASE = 0x7F00_0000_0000

Bytes = NDArray[np.uint8]


@dataclass(slots=True)
class Allocation:
    """One live region."""

    start: int
    size_bytes: int
    name: str = ""
    writable: bool = True
    whole: bool = False
    """True if every byte is known to have been written; false if not checked yet."""

    @property
    def end(self) -> int:
        """First address after the allocation."""
        return self.start + self.size_bytes


@dataclass(slots=True)
class Memory:
    """Device memory of `size_bytes` at device address `base`.

    `data` and `shadow` may be given as [size_bytes] arrays over mappings that are shared with somebody else.
    """

    size_bytes: int
    base: int = DEFAULT_BASE
    data: Bytes = field(default_factory=lambda: np.zeros(0, np.uint8))
    """Allocated here if it is empty."""
    shadow: Bytes = field(default_factory=lambda: np.zeros(0, np.uint8))
    _starts: list[int] = field(default_factory=list)
    _live: dict[int, Allocation] = field(default_factory=dict)
    _freed: list[tuple[int, int]] = field(default_factory=list)
    _gaps: list[tuple[int, int]] = field(default_factory=list)
    modules: dict[Any, Any] = field(default_factory=dict)
    """Variables of loaded programs in this memory, by program."""

    def __post_init__(self) -> None:
        self.size_bytes -= self.size_bytes % 16
        if not self.data.size:
            self.data = np.zeros(self.size_bytes, np.uint8)
        if not self.shadow.size:
            self.shadow = np.zeros(self.size_bytes, np.uint8)
        self.data, self.shadow = self.data[: self.size_bytes], self.shadow[: self.size_bytes]
        self._gaps = [(self.base + RED_ZONE_BYTES, self.base + self.size_bytes)]

    @property
    def free_bytes(self) -> int:
        """Return the number of free bytes, which may be fragmented."""
        return sum(end - start for start, end in self._gaps)

    def allocate(
        self, size_bytes: int, *, alignment: int = ALIGNMENT, name: str = "", initialised: bool = False
    ) -> int:
        """Allocate a region and return its address. Raises `OutOfMemory`."""
        alignment = max(alignment, ALIGNMENT)
        for place, (low, high) in enumerate(self._gaps):
            start = -(-low // alignment) * alignment
            end = -(-(start + max(size_bytes, 1) + RED_ZONE_BYTES) // ALIGNMENT) * ALIGNMENT
            if end <= high:
                self._gaps[place : place + 1] = [gap for gap in ((low, start), (end, high)) if gap[0] < gap[1]]
                self._freed = [region for region in self._freed if region[1] <= start or region[0] >= end]
                self._enter(Allocation(start, size_bytes, name))
                self._set_shadow(start, size_bytes, WRITTEN if initialised else UNWRITTEN)
                return start
        raise OutOfMemory(
            "the simulated device has no room for this allocation",
            expected=f"at most {self.free_bytes:,} bytes (in pieces)",
            found=f"{size_bytes:,} bytes",
            next_step="give the device more memory, or free some",
        )

    def register(self, start: int, size_bytes: int, name: str = "") -> None:
        """Declare memory that was placed in the arena elsewhere (host memory, say) as live and written."""
        self._check(start, size_bytes, live=False)
        self._enter(Allocation(start, size_bytes, name))
        self._set_shadow(start, size_bytes, WRITTEN)

    def free(self, address: int) -> None:
        """Free an allocation; later accesses are findings. Raises `InvalidAddress`."""
        one = self.unregister(address)
        end = -(-(one.start + max(one.size_bytes, 1) + RED_ZONE_BYTES) // ALIGNMENT) * ALIGNMENT
        gaps = sorted([*self._gaps, (one.start, min(end, self.base + self.size_bytes))])
        merged: list[tuple[int, int]] = []
        for low, high in gaps:
            if merged and merged[-1][1] >= low:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        # first fit would return the same place at once and hide uses after free: reuse it last
        self._gaps = sorted(merged, key=lambda gap: gap[0] <= one.start < gap[1])

    def unregister(self, address: int) -> Allocation:
        """Remove a region from the table without reusing its place. Raises `InvalidAddress`."""
        one = self._live.pop(address, None)
        if one is None:
            raise InvalidAddress("no live allocation starts here", found=f"{address:#x}")
        self._starts.remove(address)
        self._freed.append((one.start, one.end))
        self._set_shadow(one.start, one.size_bytes, NOT_ALLOCATED)
        return one

    def _enter(self, one: Allocation) -> None:
        insort(self._starts, one.start)
        self._live[one.start] = one

    def find(self, address: int) -> Allocation | None:
        """Return the live allocation that holds the address."""
        place = bisect_right(self._starts, address) - 1
        if place < 0:
            return None
        one = self._live[self._starts[place]]
        return one if address < one.end else None

    def allocations(self) -> list[Allocation]:
        """Return all live regions."""
        return list(self._live.values())

    def contains(self, address: int, size_bytes: int) -> bool:
        """Return whether one live allocation holds the whole range."""
        one = self.find(address)
        return one is not None and address + size_bytes <= one.end

    def was_freed(self, address: int) -> bool:
        """Return whether the address was in an allocation that has been freed."""
        return any(start <= address < end for start, end in self._freed)

    def nearest(self, address: int) -> str:
        """Describe an address by the nearest allocation and the distance to it."""
        place = bisect_right(self._starts, address) - 1
        candidates = [self._live[start] for start in self._starts[max(place, 0) : place + 2]]
        if not candidates:
            return "nothing is allocated"
        one = min(candidates, key=lambda a: a.start - address if address < a.start else address - a.end)
        what = f"{one.name or 'an allocation'} of {one.size_bytes:,} bytes at {one.start:#x}"
        if address < one.start:
            return f"{one.start - address:,} bytes before {what}"
        return f"{address - one.end:,} bytes past the end of {what}"

    def is_whole(self, one: Allocation) -> bool:
        """Return whether every byte of the allocation has been written; the shadow is read until it was."""
        if not one.whole:
            low = one.start - self.base
            one.whole = bool((self.shadow[low : low + one.size_bytes] == WRITTEN).all())
        return one.whole

    def write(self, address: int, data: bytes | Bytes) -> None:
        """Copy from the host."""
        source = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1).view(np.uint8)
        low = self._check(address, source.size)
        self.data[low : low + source.size] = source
        self.mark_initialised(address, source.size)

    def read(self, address: int, size_bytes: int) -> bytes:
        """Copy to the host."""
        low = self._check(address, size_bytes)
        return self.data[low : low + size_bytes].tobytes()

    def fill(self, address: int, pattern: bytes, count: int) -> None:
        """Repeat a pattern of 1, 2 or 4 bytes."""
        low = self._check(address, len(pattern) * count)
        self.data[low : low + len(pattern) * count] = np.tile(np.frombuffer(pattern, np.uint8), count)
        self.mark_initialised(address, len(pattern) * count)

    def copy(self, destination: int, source: int, size_bytes: int) -> None:
        """Copy within the device; bytes that were never written stay so at the destination."""
        to, origin = self._check(destination, size_bytes), self._check(source, size_bytes)
        self.data[to : to + size_bytes] = self.data[origin : origin + size_bytes].copy()
        self.copy_state(destination, source, size_bytes)

    def copy_state(self, destination: int, source: int, size_bytes: int) -> None:
        """Copy the shadow only, for a copy of the bytes that was made elsewhere."""
        to, origin = self._check(destination, size_bytes), self._check(source, size_bytes)
        self.shadow[to : to + size_bytes] = self.shadow[origin : origin + size_bytes].copy()
        target = self.find(destination)
        if target is not None:
            target.whole = False

    def mark_initialised(self, address: int, size_bytes: int) -> None:
        """Mark bytes as written that were written to `data` directly."""
        self._check(address, size_bytes)
        self._set_shadow(address, size_bytes, WRITTEN)

    def _set_shadow(self, address: int, size_bytes: int, value: int) -> None:
        low = address - self.base
        self.shadow[low : low + size_bytes] = value

    def _check(self, address: int, size_bytes: int, *, live: bool = True) -> int:
        inside = self.base <= address and address + size_bytes <= self.base + self.size_bytes
        if not inside or (live and size_bytes and not self.contains(address, size_bytes)):
            raise InvalidAddress(
                "this is not inside of one live allocation",
                found=f"{size_bytes:,} bytes at {address:#x}: {self.nearest(address)}",
            )
        return address - self.base
