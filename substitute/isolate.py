"""Runs work in a child process, so that a crash of the compiler is an error message and nothing more."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from .errors import CompilerError, SubstituteError

T = TypeVar("T")
Progress = Callable[[str, float | None], None]


def isolated(work: Callable[[Progress], T], progress: Progress) -> T:
    """`work(progress)` in a forked child; its result, or its exception, comes back.

    The child must not need anything that a fork loses (threads): call this before the compiler is loaded. A child
    that dies raises `CompilerError` with the last step that it began and what it wrote to stderr.
    """
    with tempfile.TemporaryFile() as words:
        receive, send = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os.close(receive)
            _work(work, send, words)  # never returns
        os.close(send)
        step = "start"
        try:
            with os.fdopen(receive, "rb") as stream:
                for kind, value in _messages(stream):
                    if kind == "progress":
                        step = value[0]
                        progress(*value)
                    elif kind == "result":
                        os.waitpid(child, 0)
                        return value  # type: ignore[no-any-return]
                    else:
                        os.waitpid(child, 0)
                        raise value
        except BaseException as error:
            if not isinstance(error, SubstituteError):
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
            raise
        _, status = os.waitpid(child, 0)
        words.seek(0)
        raise _crashed(step, status, words.read().decode(errors="replace"))


def _messages(stream: BinaryIO) -> Any:
    while True:
        try:
            yield pickle.load(stream)
        except EOFError:
            return


def _work(work: Callable[[Progress], Any], send: int, words: Any) -> None:
    os.dup2(words.fileno(), 2)
    status = 1
    try:
        with os.fdopen(send, "wb") as stream:

            def tell(kind: str, value: object) -> None:
                pickle.dump((kind, value), stream)
                stream.flush()

            try:
                tell("result", work(lambda what, share: tell("progress", (what, share))))
                status = 0
            except KeyboardInterrupt:
                status = 130
            except SubstituteError as error:
                error.__cause__ = None
                tell("error", error)
            except Exception as error:
                tell("error", RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
    finally:
        # no clean-up of what the parent still owns (its atexit handlers, its terminal)
        os._exit(status)


def _crashed(step: str, status: int, words: str) -> CompilerError:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        found = f"killed by {signal.Signals(number).name}" + (" (out of memory?)" if number == signal.SIGKILL else "")
    else:
        found = f"exit status {os.waitstatus_to_exitcode(status)}"
    lines = words.strip().splitlines()
    return CompilerError(
        "the compiler crashed",
        where=step,
        expected="a result",
        found=found,
        next_step="nothing was written; try --no-builtin and without --kernels to see whether IREE crashes by itself",
        details="\n".join(lines[-24:]),
    )
