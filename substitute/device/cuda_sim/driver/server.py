"""The process that a client's driver runs in: started by the client's first driver call, ended with the client.

File 3 is the socket to the client, file 4 the device memory, which the client has mapped too (`agent.ll`).
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from ....errors import SubstituteError
from .. import approximations
from . import codes
from .client import Client, Disconnected, Hello, Request
from .codes import DriverError
from .device_calls import DEVICE_CALLS, WITHOUT_INIT
from .driver import Driver, Interrupted
from .entry_points import ENTRY_POINTS
from .graph_calls import GRAPH_CALLS
from .launch_calls import LAUNCH_CALLS
from .memory_calls import MEMORY_CALLS
from .module_calls import MODULE_CALLS
from .reports import say
from .settings import read_settings
from .stream_calls import STREAM_CALLS

_SOCKET, _MEMORY = 3, 4
HOST_FUNCTION = "cuLaunchHostFunc"
CALLS: dict[str, Callable[..., None]] = {
    **DEVICE_CALLS,
    **STREAM_CALLS,
    **MEMORY_CALLS,
    **MODULE_CALLS,
    **LAUNCH_CALLS,
    **GRAPH_CALLS,
}
"""Implementation of each driver function except `HOST_FUNCTION`, which the client executes."""
_MAP_NORESERVE = 0x4000  # (Linux; not every Python names it)
_LOOK_SECONDS = 0.5
"""Interval at which the server checks that the client's process exists."""


def main() -> None:
    """Serve the client until it ends."""
    # the client decides about Ctrl-C, and its end ends this process; only a running kernel is interrupted here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _close_others()
    connection = socket.socket(fileno=_SOCKET)
    threading.Thread(target=_watch, args=(connection, os.getppid()), daemon=True).start()
    client = Client(connection)
    try:
        hello = client.receive_hello()
        driver = _driver(client, hello)
        signal.signal(signal.SIGINT, lambda *_: _interrupt(driver))
        while True:
            _serve(driver, client.receive_request())
    except (Disconnected, ConnectionError):
        pass
    except SubstituteError as error:
        say(str(error))
        raise SystemExit(error.exit_status) from error


def _interrupt(driver: Driver) -> None:
    if driver.executing:
        raise Interrupted


def _close_others() -> None:
    """Close the client's inherited files: a reader of a pipe would otherwise wait for this process."""
    # (not `os.closerange` up to the limit of open files, which can be a thousand million)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > _MEMORY:
            with suppress(OSError):
                os.close(int(name))


def _driver(client: Client, hello: Hello) -> Driver:
    """Return the driver with the shared memory mapped, and its shadow in private memory; pages cost when touched."""
    flags = mmap.MAP_SHARED | _MAP_NORESERVE
    shared = mmap.mmap(_MEMORY, hello.size_bytes, flags=flags)
    os.close(_MEMORY)
    settings = read_settings(os.environ)
    approximations.choose(settings.approximations)
    own = mmap.mmap(-1, hello.size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    return Driver(
        client,
        hello,
        data=np.frombuffer(shared, np.uint8),
        shadow=np.frombuffer(own, np.uint8),
        settings=settings,
    )


def _serve(driver: Driver, request: Request) -> None:
    """Answer one call. Whatever happens, the client gets a code."""
    entry = ENTRY_POINTS[request.number]
    arguments = [_value(word, kind) for word, kind in zip(request.arguments, entry.arguments, strict=False)]
    driver.thread = request.thread
    callback = (0, 0)
    try:
        if not driver.initialised and entry.name not in WITHOUT_INIT:
            raise DriverError(codes.NOT_INITIALIZED, "cuInit comes first")
        if entry.name == HOST_FUNCTION:
            CALLS["cuStreamQuery"](driver, arguments[0])
            callback = (arguments[1], arguments[2])
        else:
            CALLS[entry.name](driver, *arguments)
        code = 0
    except DriverError as error:
        driver.note(error)
        code = error.code
    except Disconnected:
        raise
    except Exception as error:
        # an internal error must not look like a hanging device: the client waits for a code
        say(f"{entry.name} failed in a way that is our fault:\n{traceback.format_exc()}")
        driver.note(DriverError(codes.UNKNOWN, f"{type(error).__name__}: {error}"))
        code = codes.UNKNOWN
    driver.client.return_(code, *callback)


def _value(word: int, kind: str) -> int:
    """Return an argument; C's `int` is signed, all others are returned unchanged."""
    if kind == "i":
        low = word & 0xFFFFFFFF
        return low - (1 << 32) if low >> 31 else low
    return word & {"h": 0xFFFF, "b": 0xFF}.get(kind, (1 << 64) - 1)


def _watch(connection: socket.socket, parent: int) -> None:
    """End this process with the client, even while a kernel runs or a fork of the client holds the socket."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    while os.getppid() == parent:
        for _, event in poll.poll(1000 * _LOOK_SECONDS):
            if event & (select.POLLHUP | select.POLLRDHUP | select.POLLERR):
                os._exit(0)
    time.sleep(_LOOK_SECONDS)
    os._exit(0)
