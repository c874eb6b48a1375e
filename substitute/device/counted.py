"""The bytes that counted code sets (see `payload.llvm.counters`), in this process."""

from __future__ import annotations

import ctypes
import mmap
import sys
from functools import lru_cache

import numpy as np

from ..payload.llvm.counters import ADDRESS, SIZE

_FIXED = 0x100000
"""`MAP_FIXED_NOREPLACE`: there, or not at all."""


class CountedMemory:
    """The counters of all code of this process. A class, because the memory is mapped once and read again and again."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED
        found = library.mmap(ADDRESS, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        self.reason = "" if found == ADDRESS else "no memory can be mapped for counters"
        """Why nothing can be counted; empty: it can."""
        if not self.reason:
            self._bytes = np.ctypeslib.as_array((ctypes.c_uint8 * SIZE).from_address(ADDRESS))

    def clear(self) -> None:
        """Forget everything."""
        self._bytes[:] = 0

    def read(self) -> frozenset[int]:
        """Return the counters that are set."""
        return frozenset(np.flatnonzero(self._bytes).tolist())


def why_not_counted() -> str:
    """Return why code cannot be counted on this machine; empty: it can."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return "counters need 64-bit Linux"
    return ""


@lru_cache(maxsize=1)
def counted_memory() -> CountedMemory:
    """Return this process's counters, mapped when they are first asked for."""
    return CountedMemory()
