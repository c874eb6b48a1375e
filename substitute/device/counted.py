"""Bytes in this process that code with counters sets (see `payload.llvm.counters`)."""

from __future__ import annotations

import ctypes
import mmap
from functools import lru_cache

import numpy as np

from ..payload.llvm.counters import ADDRESS, PAUSES, SIZE
from .fixed_memory import map_at, refuse_fixed_memory


class CountedMemory:
    """Counters of all code of this process. A class, because the memory is mapped once and read repeatedly."""

    def __init__(self) -> None:
        self.reason = "" if map_at(ADDRESS, SIZE + mmap.PAGESIZE) else "no memory can be mapped for counters"
        """Why nothing can be counted; empty: it can."""
        if not self.reason:
            self._bytes = np.ctypeslib.as_array((ctypes.c_uint8 * SIZE).from_address(ADDRESS))

    def clear(self, *, pauses: int = 0) -> None:
        """Forget everything. `pauses`: how often code that changes static variables is held up from now on."""
        self._bytes[:] = 0
        ctypes.c_int32.from_address(PAUSES).value = pauses

    def read(self) -> frozenset[int]:
        """Return the counters that are set."""
        return frozenset(np.flatnonzero(self._bytes).tolist())


def refuse_counters() -> str:
    """Return why code cannot be counted on this machine; empty: it can."""
    reason = refuse_fixed_memory()
    return f"counters: {reason}" if reason else ""


@lru_cache(maxsize=1)
def counted_memory() -> CountedMemory:
    """Return this process's counters, mapped when they are first asked for."""
    return CountedMemory()
