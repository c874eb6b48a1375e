"""Runs work in a child process, so that a crash of the compiler is an error message and nothing more."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, Self, TypeVar

from .errors import CompilerCrash, CompilerError, SubstituteError, TimeOut

T = TypeVar("T")
Progress = Callable[[str, float | None], None]

stderr_is_kept = False
"""True in a child process: what it writes to stderr lies in a file that both can read."""

LOOK_S = 0.2
"""How often to look whether a step takes too long."""
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
    with Child(work, fork=fork) as child:
        return child.result(progress)  # type: ignore[no-any-return]


def threads_are_loaded() -> bool:
    """True once a library is in this process whose threads a fork would lose."""
    return COMPILER in sys.modules or RUNTIME in sys.modules


class Child:
    """Work in a child process that has begun; see `isolated`. It ends with the `with` block at the latest."""

    def __init__(self, work: Callable[[Progress], Any], *, fork: bool = True) -> None:
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            # whatever the child and the compiler in it put into temporary files goes with this folder, however they end
            self._words = stack.enter_context(tempfile.TemporaryFile())
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="iree-substitute-"))
            receive, send = os.pipe()
            sys.stdout.flush()
            sys.stderr.flush()
            if (not fork or threads_are_loaded()) and isinstance(work, Call):
                child = _spawn(work, send, self._words, scratch)
            else:
                child = os.fork()
                if child == 0:
                    os.close(receive)
                    _work(work, send, self._words.fileno(), scratch)  # never returns
            os.close(send)
            self._running: int | None = child
            self._stream = stack.enter_context(os.fdopen(receive, "rb"))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._running, signal.SIGKILL)
                self._wait()
        self._stack.close()

    def result(self, progress: Progress, *, limits: Mapping[str, float] = MappingProxyType({})) -> Any:
        """What the work gives, once it does. Raises what it raises, or `CompilerCrash`.

        `limits`: in a step whose name begins so, the child is ended after so many seconds without a message, and that
        is a `TimeOut`.
        """
        with _Watch(self._running, limits) as watch:
            return self._listen(progress, watch)

    def _listen(self, progress: Progress, watch: _Watch) -> Any:
        step = "start"
        for kind, value in _messages(self._stream):
            if kind == "progress":
                step = value[0]
                watch.begin(step)
                progress(*value)
                continue
            self._wait()
            if kind == "result":
                return value
            raise value
        status = self._wait()
        self._words.seek(0)
        if watch.ended:
            raise TimeOut(
                "a process did not end", where=step, expected="a sign of life",
                found=f"none for {watch.limit_s:g} s", details=self._words.read().decode(errors="replace"),
            )  # fmt: skip
        raise _crashed(step, status, self._words.read().decode(errors="replace"))

    def _wait(self) -> int:
        assert self._running is not None
        child, self._running = self._running, None
        return os.waitpid(child, 0)[1]


class _Watch:
    """Ends a process that stays in a step for longer than the limit of such steps."""

    def __init__(self, process: int | None, limits: Mapping[str, float]) -> None:
        self.limit_s = math.inf
        self.ended = False
        self._process, self._limits = process, limits
        self._since = time.monotonic()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        if self._limits:
            threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def begin(self, step: str) -> None:
        """Another step, or the same once more."""
        self._since = time.monotonic()
        self.limit_s = next((s for name, s in self._limits.items() if step.startswith(name)), math.inf)

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            if time.monotonic() - self._since > self.limit_s and self._process is not None:
                self.ended = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process, signal.SIGKILL)
                return


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
