"""Memory at a fixed address, for code that is compiled with the address in it."""

from __future__ import annotations

import ctypes
import mmap
import sys

_FIXED = 0x100000
"""`MAP_FIXED_NOREPLACE`: map at the address, or fail."""


def refuse_fixed_memory() -> str:
    """Return why memory cannot be mapped at a fixed address on this machine; empty if it can."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return "64-bit Linux is needed"
    return ""


def map_at(address: int, size: int) -> bool:
    """Map zeroed memory at an address for the rest of this process; return False if that fails."""
    if refuse_fixed_memory():
        return False
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED
    return bool(library.mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0) == address)
