"""Memory beside inaccessible pages: an access outside of an operand is detected, recorded, and then allowed.

All regions lie in one reserved range of addresses. A handler for SIGSEGV records a launch's accesses to it outside of
its regions, makes that page accessible, and returns, so that one launch shows all such pages and ends no process. A
fault anywhere else ends the process as usual, but its record, in a file, remains.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST_VERSION = (3, 13)
"""First version of IREE whose Python bindings accept host memory as a buffer."""
PAGE = mmap.PAGESIZE
RESERVED = 1 << 37
"""Size of the reserved range."""
APART = 1 << 20
"""Smallest number of inaccessible bytes on both sides of a region."""
MOST_FAULTS = 256
"""Number of faults that are recorded of one launch."""
_HEAD = struct.Struct("<QQQQQqQ")
"""The range: first address, end, number of faults; the last fault: address, stack pointer, code, kind."""
_FAULT = struct.Struct("<QQ")
_RECORD_BYTES = _HEAD.size + MOST_FAULTS * _FAULT.size
READ, WRITTEN, UNKNOWN = 0, 1, 2
PROTECTION_FAULT = 128
"""`SI_KERNEL`: the processor gave no address, as for an aligned instruction on an unaligned address."""
STACK_REACH = 1 << 20

_MACHINES = {
    # offsets in ucontext_t of the error code (bit 1: a write) and of the stack pointer
    "x86_64": (192, 160),
}
_SIGSEGV = 11
_SA_SIGINFO, _SA_ONSTACK, _SA_NODEFER = 4, 0x08000000, 0x40000000

_HANDLER = """
define void @on_fault(i32 %signal, ptr %info, ptr %context) {{
entry:
  %address_at = getelementptr i8, ptr %info, i64 16
  %address = load i64, ptr %address_at
  %code_at = getelementptr i8, ptr %info, i64 8
  %code32 = load i32, ptr %code_at
  %code = sext i32 %code32 to i64
  %error_at = getelementptr i8, ptr %context, i64 {error}
  %error = load i64, ptr %error_at
  %shifted = lshr i64 %error, 1
  %kind = and i64 %shifted, 1
  %stack_at = getelementptr i8, ptr %context, i64 {stack}
  %stack = load i64, ptr %stack_at
  %record = inttoptr i64 {record} to ptr
  %low = load i64, ptr %record
  %high_at = getelementptr i64, ptr %record, i64 1
  %high = load i64, ptr %high_at
  %above = icmp uge i64 %address, %low
  %below = icmp ult i64 %address, %high
  %inside = and i1 %above, %below
  br i1 %inside, label %guard, label %elsewhere
guard:
  %count_at = getelementptr i64, ptr %record, i64 2
  %number = atomicrmw add ptr %count_at, i64 1 monotonic
  %first = icmp ult i64 %number, {most}
  br i1 %first, label %keep, label %open
keep:
  %start = mul i64 %number, 16
  %from = add i64 %start, {head}
  %fault = getelementptr i8, ptr %record, i64 %from
  store i64 %address, ptr %fault
  %kind_at = getelementptr i64, ptr %fault, i64 1
  store i64 %kind, ptr %kind_at
  br label %open
open:
  %page = and i64 %address, {page_mask}
  %mprotect = inttoptr i64 {mprotect} to ptr
  %status = call i32 %mprotect(i64 %page, i64 {page}, i32 3)
  %opened = icmp eq i32 %status, 0
  br i1 %opened, label %done, label %elsewhere
elsewhere:
  %last = getelementptr i64, ptr %record, i64 3
  store i64 %address, ptr %last
  %last_stack = getelementptr i64, ptr %record, i64 4
  store i64 %stack, ptr %last_stack
  %last_code = getelementptr i64, ptr %record, i64 5
  store i64 %code, ptr %last_code
  %last_kind = getelementptr i64, ptr %record, i64 6
  %known = add i64 %kind, 16
  store i64 %known, ptr %last_kind
  %sigaction = inttoptr i64 {sigaction} to ptr
  %old = inttoptr i64 {old} to ptr
  %restored = call i32 %sigaction(i32 {signal}, ptr %old, ptr null)
  br label %done
done:
  ret void
}}
"""


class _SigAction(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint8 * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Contents of a buffer to be placed beside an inaccessible page."""

    contents: NDArray[np.uint8]
    alignment: int
    """Alignment of the first byte's address; it is more only by chance."""
    at_end: bool
    """True if the last byte is next to the inaccessible page after it, else the first byte to the one before it."""
    fill: NDArray[np.uint8]
    """Bytes that fill the rest of its pages, repeated."""
    reach: int = 0
    """Bytes before the first that the buffer starts with, so that bindings can have smaller offsets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """An access outside of all blocks."""

    block: int
    """The nearest block."""
    offset: int
    """Offset of the first accessed byte from the block's first byte."""
    kind: int
    """READ, WRITTEN or UNKNOWN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A fault that ended a process."""

    address: int
    kind: int
    protection: bool
    """True if the fault has no address."""
    stack: bool
    """True if the address is near the stack pointer, at the end of the stack."""


class Region:
    """A block in memory."""

    def __init__(self, block: Block, low: int) -> None:
        self.block = block
        size = block.contents.size
        pages = -(-(size + block.alignment) // PAGE) if size else 1
        self.first = low + APART + -(-block.reach // PAGE) * PAGE
        self.stop = self.first + pages * PAGE
        self.base = (self.stop - size) // block.alignment * block.alignment if block.at_end else self.first
        self.given = self.base - block.reach
        """Start of the buffer's memory."""
        self.end = self.stop + APART

    def write(self) -> None:
        """Make the pages accessible and fill them."""
        _protect(self.first, self.stop - self.first, mmap.PROT_READ | mmap.PROT_WRITE)
        self._bytes()[:] = self._filled()
        at = self.base - self.first
        self._bytes()[at : at + self.block.contents.size] = self.block.contents

    def contents(self) -> NDArray[np.uint8]:
        """Return a copy of the block's current contents."""
        at = self.base - self.first
        return self._bytes()[at : at + self.block.contents.size].copy()

    def changed(self) -> list[int]:
        """Return offsets, from the block's first byte, of changed bytes in its pages that are outside of the block."""
        wrong = self._bytes() != self._filled()
        at = self.base - self.first
        wrong[at : at + self.block.contents.size] = False
        return [int(position) - at for position in np.flatnonzero(wrong)]

    def memory(self) -> ctypes.Array[ctypes.c_uint8]:
        """Return the buffer: from `reach` bytes before the block to far beyond it. Most of it is inaccessible."""
        return (ctypes.c_uint8 * (self.end - self.given)).from_address(self.given)

    def _bytes(self) -> NDArray[np.uint8]:
        size = self.stop - self.first
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.first))

    def _filled(self) -> NDArray[np.uint8]:
        return np.resize(self.block.fill, self.stop - self.first)


class GuardedMemory:
    """The reserved addresses and the handler; one for a process, see `guarded_memory`."""

    def __init__(self) -> None:
        self._low = _reserve(RESERVED)
        # a file, which outlives the process; the parent process removes its temporary files
        self._file = tempfile.NamedTemporaryFile(prefix="fault-")  # noqa: SIM115 (as long as the process)
        self._file.truncate(_RECORD_BYTES)
        self._record = mmap.mmap(self._file.fileno(), _RECORD_BYTES)
        self._record_at = ctypes.addressof(ctypes.c_uint8.from_buffer(self._record))
        self._old, self._new = _SigAction(), _SigAction()
        self._new.handler = _compile_handler(self._record_at, ctypes.addressof(self._old))
        self._new.flags = _SA_SIGINFO | _SA_ONSTACK | _SA_NODEFER
        self._stack = ctypes.create_string_buffer(1 << 16)

    @property
    def record(self) -> str:
        """Path of the record."""
        return self._file.name

    def place(self, blocks: Sequence[Block]) -> list[Region]:
        """Place blocks in memory and return their regions; earlier regions are replaced."""
        regions, low = [], self._low
        for block in blocks:
            region = Region(block, low)
            region.write()
            regions.append(region)
            low = region.stop
        assert low + APART < self._low + RESERVED
        return regions

    @contextmanager
    def watch(self, regions: Sequence[Region]) -> Iterator[list[Touch]]:
        """Record faults within the block; at its end the list holds the accesses outside of the regions."""
        found: list[Touch] = []
        _HEAD.pack_into(self._record, 0, self._low, self._low + RESERVED, 0, 0, 0, 0, 0)
        self._install()
        try:
            yield found
        finally:
            _libc().sigaction(_SIGSEGV, ctypes.byref(self._old), None)
            count = min(_HEAD.unpack_from(self._record)[2], MOST_FAULTS)
            for number in range(count if regions else 0):
                address, kind = _FAULT.unpack_from(self._record, _HEAD.size + number * _FAULT.size)
                found.append(_nearest(regions, address, kind))
                _protect(address // PAGE * PAGE, PAGE, 0)

    def clear(self, regions: Sequence[Region]) -> None:
        """Remove the regions from memory."""
        if regions:
            first, stop = regions[0].first, regions[-1].stop
            _libc().madvise(first, stop - first, mmap.MADV_DONTNEED)
            _protect(first, stop - first, 0)

    def _install(self) -> None:
        if threading.current_thread() is threading.main_thread():
            # so that a stack that overflows in this thread is recorded
            stack = struct.pack("<QiiQ", ctypes.addressof(self._stack), 0, 0, len(self._stack))
            _libc().sigaltstack(stack, None)
        _libc().sigaction(_SIGSEGV, ctypes.byref(self._new), ctypes.byref(self._old))


def refuse_guards() -> str:
    """Return why this machine cannot guard memory; empty if it can."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return f"nothing is known of signals on {platform.system()} on {platform.machine()}"
    try:
        import llvmlite.binding  # noqa: F401
    except ImportError:
        return "llvmlite is not installed"
    return "" if _takes_host_memory() else "this version of IREE does not take memory of the host"


@cache
def _takes_host_memory() -> bool:
    """Return whether the version of IREE's stubs suffices; the runtime's library must not be loaded before a fork."""
    try:
        installed = version("iree-base-runtime")
    except PackageNotFoundError:
        return False
    return tuple(map(int, installed.split(".")[:2])) >= FIRST_VERSION


@cache
def guarded_memory() -> GuardedMemory:
    """Return the guarded memory of this process."""
    return GuardedMemory()


def read_crash(record: str | Path) -> Crash | None:
    """Return the fault that ended the process of this record; None if the handler recorded none."""
    try:
        data = Path(record).read_bytes()
    except OSError:
        return None
    if len(data) < _HEAD.size:
        return None
    _, _, _, address, stack, code, kind = _HEAD.unpack_from(data)
    if not kind:
        return None
    return Crash(
        address=address,
        kind=kind & 1,
        protection=code == PROTECTION_FAULT,
        stack=stack - STACK_REACH < address < stack + STACK_REACH,
    )


def _nearest(regions: Sequence[Region], address: int, kind: int) -> Touch:
    def distance(number: int) -> int:
        region = regions[number]
        return max(region.base - address, address - region.base - region.block.contents.size + 1, 0)

    nearest = min(range(len(regions)), key=distance)
    return Touch(block=nearest, offset=address - regions[nearest].base, kind=kind)


def _reserve(size: int) -> int:
    """Reserve inaccessible addresses and return the first."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = _libc().mmap(None, size, 0, flags, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "addresses for guarded memory cannot be reserved")
    return int(address)


def _protect(address: int, size: int, protection: int) -> None:
    if _libc().mprotect(address, size, protection):
        raise OSError(ctypes.get_errno(), "the protection of memory cannot be changed")


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes, libc.mmap.restype = (pointer, size, number, number, number, ctypes.c_long), pointer
    libc.mprotect.argtypes = libc.madvise.argtypes = (pointer, size, number)
    libc.sigaction.argtypes = (number, pointer, pointer)
    libc.sigaltstack.argtypes = (ctypes.c_char_p, pointer)
    return libc


@cache
def _engine(text: str) -> Any:
    """Return machine code for LLVM IR, which is never freed."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    return engine


def _compile_handler(record: int, old: int) -> int:
    """Return the address of the handler; it only calls functions that are safe in a signal handler."""
    error, stack = _MACHINES[platform.machine()]
    libc = _libc()
    text = _HANDLER.format(
        error=error,
        stack=stack,
        record=record,
        most=MOST_FAULTS,
        head=_HEAD.size,
        page=PAGE,
        page_mask=-PAGE,
        old=old,
        signal=_SIGSEGV,
        mprotect=ctypes.cast(libc.mprotect, ctypes.c_void_p).value,
        sigaction=ctypes.cast(libc.sigaction, ctypes.c_void_p).value,
    )
    return int(_engine(text).get_function_address("on_fault"))
