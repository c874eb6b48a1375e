"""The server's end of the connection: receives requests, reads and writes the client's memory.

`agent.ll` describes the protocol and is the other end.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from . import codes
from .codes import DriverError

_REQUEST = struct.Struct("<15Q")
_COMMAND = struct.Struct("<4Q")
_WORD = struct.Struct("<Q")
_HELLO = struct.Struct("<4Q")
_RETURN, _SEND, _RECEIVE, _COPY = range(4)
_PAGE_BYTES = 4096


class Disconnected(Exception):
    """The client has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First message of the client."""

    base: int
    """Address of the device memory in the client."""
    size_bytes: int
    functions: int
    """Address of the table of the client's driver functions."""
    process: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One driver call."""

    number: int
    thread: int
    arguments: tuple[int, ...]
    """Unsigned 64-bit words; more of them than the function has arguments."""


class Client:
    """The client process, accessed through its socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def receive_hello(self) -> Hello:
        """Return the first message. Raises `Disconnected`."""
        base, size_bytes, functions, process = _HELLO.unpack(self._receive(_HELLO.size))
        return Hello(base=base, size_bytes=size_bytes, functions=functions, process=process)

    def receive_request(self) -> Request:
        """Return the next call. Raises `Disconnected`."""
        number, thread, *arguments = _REQUEST.unpack(self._receive(_REQUEST.size))
        return Request(number=number, thread=thread, arguments=tuple(arguments))

    def return_(self, code: int, callback: int = 0, argument: int = 0) -> None:
        """Answer a call; `callback` is a `void (*)(void *)` of the client that is called before it returns."""
        self._connection.sendall(_COMMAND.pack(_RETURN, code, callback, argument))

    def read(self, address: int, size_bytes: int) -> bytes:
        """Return bytes of the client. Raises `DriverError` for unmapped memory."""
        self._command(_SEND, address, size_bytes)
        return self._receive(size_bytes)

    def write(self, address: int, data: bytes) -> None:
        """Write bytes to the client. Raises `DriverError` for unmapped memory."""
        self._command(_RECEIVE, address, len(data))
        self._connection.sendall(data)

    def copy(self, destination: int, source: int, size_bytes: int) -> None:
        """Copy inside the client, to or from the shared device memory. Raises `DriverError`."""
        if size_bytes:
            self._command(_COPY, destination, source, size_bytes)

    def read_word(self, address: int) -> int:
        """Return a pointer or another 64-bit number of the client."""
        return int(_WORD.unpack(self.read(address, 8))[0])

    def write_word(self, address: int, value: int) -> None:
        """Write a pointer or another 64-bit number to the client."""
        self.write(address, _WORD.pack(value))

    def write_int(self, address: int, value: int) -> None:
        """Write a C `int`."""
        self.write(address, struct.pack("<I", value & 0xFFFFFFFF))

    def write_float(self, address: int, value: float) -> None:
        """Write a C `float`."""
        self.write(address, struct.pack("<f", value))

    def read_int(self, address: int) -> int:
        """Return a C `int`."""
        return int(struct.unpack("<i", self.read(address, 4))[0])

    def read_string(self, address: int, *, most_bytes: int) -> bytes:
        """Return a C string without its terminator, cut at `most_bytes`. Raises `DriverError` where memory ends before
        it.
        """
        parts: list[bytes] = []
        size = 0
        while size < most_bytes:
            # read to the end of a page only: the next one may not be mapped
            part = self.read(address + size, _PAGE_BYTES - (address + size) % _PAGE_BYTES)
            end = part.find(b"\0")
            if end >= 0:
                return b"".join((*parts, part[:end]))
            parts.append(part)
            size += len(part)
        raise DriverError(codes.INVALID_VALUE, f"a text of more than {most_bytes} bytes")

    def _command(self, kind: int, a: int, b: int, c: int = 0) -> None:
        if a == 0 or (kind == _COPY and b == 0):
            raise DriverError(codes.INVALID_VALUE, "a null pointer")
        self._connection.sendall(_COMMAND.pack(kind, a, b, c))
        if not _WORD.unpack(self._receive(_WORD.size))[0]:
            where = f"{a:#x}" if kind != _COPY else f"{a:#x} or {b:#x}"
            raise DriverError(codes.INVALID_VALUE, f"there is no memory at {where}")

    def _receive(self, size_bytes: int) -> bytes:
        parts: list[bytes] = []
        while size_bytes:
            part = self._connection.recv(min(size_bytes, 1 << 20))
            if not part:
                raise Disconnected
            parts.append(part)
            size_bytes -= len(part)
        return b"".join(parts)
