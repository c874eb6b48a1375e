"""Execution of a kernel author's Python code: its output goes to stderr, errors name its lines, its time is limited."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ..errors import PayloadError, SubstituteError
from ..isolate import give_up, notify, running

T = TypeVar("T")
LIMIT = "IREE_SUBSTITUTE_GENERATOR_SECONDS"
"""Environment variable with the limit of processor time, in seconds, of one call."""
LIMIT_S = 60.0
WALL_PER_PROCESSOR_SECOND = 30.0
"""Ratio of the limits of wall time and processor time: a call may wait, and the machine may be busy."""
GRACE_S = 5.0
"""Time for a call to end after it was interrupted."""
LOOK_S = 0.2
one_at_a_time = threading.RLock()
"""Lock held while untrusted code runs, and while any is loaded."""


class OutOfTime(BaseException):
    """Raised inside of code that takes too long; no `except Exception` catches it."""


def call_author(what: str, path: Path, function: Callable[[], T], *, owner: str, trusted: bool = False) -> T:
    """Return the result of `function`, which is code of the file `path`; messages call the file's purpose `owner`.

    Raises `PayloadError` with `what` and the line for any exception, `SystemExit` included, and if the call does not
    end. `trusted` code is neither timed nor its output captured, which would take longer than many a call.
    """
    if trusted:
        return _named(what, path, function, owner=owner)
    with one_at_a_time, running(f"{owner} {path}"), _captured(f"{owner} {path.parent.name}/{path.name}"):
        return _named(what, path, lambda: _in_time(function, lambda: _late(what, str(path), owner)), owner=owner)


def _named(what: str, path: Path, function: Callable[[], T], *, owner: str) -> T:
    try:
        return function()
    except SubstituteError:
        raise
    except OutOfTime as error:
        raise _late(what, _place(path, error), owner) from None
    except (Exception, SystemExit) as error:
        raise PayloadError(
            what,
            where=_place(path, error),
            expected="code that runs",
            found=f"{type(error).__name__}: {error}",
            next_step=f"mend {owner}; its own traceback is shown with --debug",
        ) from error


def limit_s() -> float:
    """Return the limit of one call's processor time."""
    text = os.environ.get(LIMIT, "")
    try:
        return float(text) if text else LIMIT_S
    except ValueError:
        return LIMIT_S


def _late(what: str, where: str, owner: str) -> PayloadError:
    return PayloadError(
        what,
        where=where,
        expected=f"code that ends within {limit_s():g} s of processor time",
        found="code that was still running",
        next_step=f"mend {owner}, or give it more time with {LIMIT}=SECONDS in the environment",
    )


def _place(path: Path, error: BaseException) -> str:
    """Return file and line of the innermost code in the folder of `path`."""
    folder = path.parent
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(folder):
        return f"{error.filename}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(folder)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(path)


def _in_time(function: Callable[[], T], late: Callable[[], PayloadError]) -> T:
    """Call it in this thread, as MLIR's contexts belong to threads, while another one watches the time."""
    thread = threading.get_ident()
    done, guard = threading.Event(), threading.Lock()
    watcher = threading.Thread(target=_watch, args=(thread, done, guard, late), daemon=True)
    watcher.start()
    try:
        return function()
    finally:
        with guard:
            done.set()


def _watch(thread: int, done: threading.Event, guard: threading.Lock, late: Callable[[], PayloadError]) -> None:
    limit, began = limit_s(), time.monotonic()
    clock = time.pthread_getcpuclockid(thread)
    used = time.clock_gettime(clock)
    while not done.wait(LOOK_S):
        spent, waited = time.clock_gettime(clock) - used, time.monotonic() - began
        if spent > limit or waited > limit * WALL_PER_PROCESSOR_SECOND:
            break
    with guard:
        if done.is_set():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(OutOfTime))
    if not done.wait(GRACE_S):
        give_up(late())  # it waits outside of Python, or catches every exception


@contextlib.contextmanager
def _captured(name: str) -> Iterator[None]:
    """Redirect stdout within the block, at the level of the file descriptor, to stderr."""
    sys.stdout.flush()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        kept = None
        with contextlib.suppress(OSError):  # a process without stdout
            kept = os.dup(1)
            os.dup2(file.fileno(), 1)
        try:
            with contextlib.redirect_stdout(file):
                yield
        finally:
            file.flush()
            if kept is not None:
                os.dup2(kept, 1)
                os.close(kept)
            file.seek(0)
            for line in file.read().splitlines():
                notify(f"{name} printed: {line}")
