"""Runs work in a child process, so that a crash of the compiler is an error message and nothing more."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

from .errors import CompilerCrash, CompilerError, SubstituteError

T = TypeVar("T")
Progress = Callable[[str, float | None], None]

stderr_is_kept = False
"""True in a child process: what it writes to stderr lies in a file that both can read."""

COMPILER = "iree.compiler._mlir_libs._mlir"
"""The module that loads the compiler's library."""
RUNTIME = "iree._runtime_libs._runtime"
"""The module that loads the runtime's library, whose worker threads a fork loses as well."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that can travel to another process: a function that has a name, and arguments that can be pickled."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]

    def __call__(self, report: Progress) -> Any:
        """Calls it, with `report` as its `progress`."""
        return self.function(**self.arguments, progress=report)


def isolated(work: Callable[[Progress], T], progress: Progress, *, fork: bool = True) -> T:
    """`work(progress)` in a child process; its result, or its exception, comes back.

    The child is a fork, which costs nothing, unless the compiler or the runtime is loaded already: a fork loses their
    threads and waits for them forever. Then, and without `fork`, it is a new interpreter, and `work` has to be a
    `Call`. A child that dies raises `CompilerCrash` with the last step that it began and what it wrote to stderr.
    """
    # whatever the child and the compiler in it put into temporary files goes with this folder, however they end
    with tempfile.TemporaryFile() as words, tempfile.TemporaryDirectory(prefix="iree-substitute-") as scratch:
        receive, send = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        if (not fork or COMPILER in sys.modules or RUNTIME in sys.modules) and isinstance(work, Call):
            child = _spawn(work, send, words, scratch)
        else:
            child = os.fork()
            if child == 0:
                os.close(receive)
                _work(work, send, words.fileno(), scratch)  # never returns
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


def _spawn(work: Call, send: int, words: Any, scratch: str) -> int:
    """Starts a new interpreter that does the work; its process id."""
    with tempfile.TemporaryFile() as order:
        pickle.dump(work, order)
        order.seek(0)
        for descriptor in (order.fileno(), send, words.fileno()):
            os.set_inheritable(descriptor, True)
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from substitute.isolate import serve; serve({order.fileno()}, {send}, {words.fileno()}, {scratch!r})"
        )
        return os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)


def serve(order: int, send: int, words: int, scratch: str) -> None:
    """What the new interpreter does: reads its work from one descriptor, sends messages to another. Never returns."""
    with os.fdopen(order, "rb") as stream:
        work = pickle.load(stream)
    _work(work, send, words, scratch)


def _messages(stream: BinaryIO) -> Any:
    while True:
        try:
            yield pickle.load(stream)
        except EOFError:
            return


def _work(work: Callable[[Progress], Any], send: int, words: int, scratch: str) -> None:
    global stderr_is_kept
    os.dup2(words, 2)
    stderr_is_kept = True
    die_with_parent()
    faulthandler.disable()  # the compiler's last words are worth more than Python's
    os.environ["TMPDIR"] = scratch  # (also LLVM's)
    tempfile.tempdir = None
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


def die_with_parent() -> None:
    """A compiler that nobody waits for must not go on and write its output."""
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def _crashed(step: str, status: int, words: str) -> CompilerError:
    found, details = words_of_a_crash(status, words)
    if "IO failure on output stream" in details:
        return CompilerError(
            "the compiler could not write a file",
            where=step,
            expected=f"room in the folder of temporary files ({tempfile.gettempdir()})",
            found=details.splitlines()[-1],
            next_step="free some room there, or name another folder in TMPDIR",
        )
    return CompilerCrash(
        "the compiler crashed",
        where=step,
        expected="a result",
        found=found,
        next_step="nothing was written; try --no-builtin and without --kernels to see whether IREE crashes by itself",
        details=details,
    )


def words_of_a_crash(status: int, words: str) -> tuple[str, str]:
    """How a process with this wait status ended, and the last of what it wrote to stderr."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        found = f"killed by {signal.Signals(number).name}" + (" (out of memory?)" if number == signal.SIGKILL else "")
    else:
        found = f"exit status {os.waitstatus_to_exitcode(status)}"
    lines = words.strip().splitlines()[-24:]
    return found, "\n".join("".join(c if c.isprintable() else "." for c in line[:300]) for line in lines)
