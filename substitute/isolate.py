"""Work in child processes, so that a crash of the compiler or of a kernel becomes an error message."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import pickle
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

from .errors import CompilerCrash, CompilerError, PayloadError, SubstituteError, TimeOut
from .progress import Progress

T = TypeVar("T")
stderr_is_kept = False
"""True in a child process whose stderr goes to a file that the parent can read too."""
_tell: Callable[[str, object], None] | None = None
"""Sends a message to the parent; None in a process that is no child."""
IDLE_PER_PROCESSOR_SECOND = 8.0
"""Wall time, per second of its processor-time limit, for which a child may be idle continuously."""
LOOK_S = 0.1
"""Interval at which the parent checks a child with a time limit."""

COMPILER = "iree.compiler._mlir_libs._mlir"
"""Module that loads the compiler's library."""
RUNTIME = "iree._runtime_libs._runtime"
"""Module that loads the runtime's library, whose worker threads a fork loses as well."""


@dataclass(frozen=True, slots=True)
class Call:
    """A picklable call: a function that has a name, and arguments that can be pickled."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]

    def __call__(self, report: Progress) -> Any:
        """Call it, with `report` as its `progress`."""
        return self.function(**self.arguments, progress=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The end of a child process that gave no result."""

    step: str
    """Last step that it began."""
    found: str
    """Description of the exit: a signal or a status."""
    stderr: str
    """Last lines of its stderr."""
    stopped: bool = False
    """True if it was killed at its time limit."""
    activity: str = ""
    """User code that it was running, see `running`."""


def isolated(work: Callable[[Progress], T], progress: Progress, *, fork: bool = True) -> T:
    """Run `work(progress)` in a child process and return its result, or raise its exception.

    The child is a fork, which is cheap, unless the compiler or the runtime is loaded already: a fork loses their
    threads and waits for them forever. Then, and without `fork`, it is a new interpreter, and `work` has to be a
    `Call`. A child that crashes raises `CompilerCrash` with the last step that it began and its output to stderr.
    """
    with Child(work, fork=fork) as child:
        return child.result(progress)  # type: ignore[no-any-return]


def threads_are_loaded() -> bool:
    """Return True once this process has loaded a library whose threads a fork would lose."""
    return COMPILER in sys.modules or RUNTIME in sys.modules


def send_part(value: object) -> None:
    """Send a part of the result to the parent of this process, which receives it while the work goes on."""
    assert _tell is not None
    _tell("part", value)


def notify(text: str) -> None:
    """Print a line to the user's stderr, also from a child process."""
    if _tell is not None:
        _tell("notice", text)
    else:
        print(text, file=sys.stderr, flush=True)


def give_up(error: SubstituteError) -> None:
    """End a child process at once with this error; does nothing in other processes."""
    if _tell is not None:
        _tell("error", error)
        os._exit(1)


@contextlib.contextmanager
def running(activity: str) -> Iterator[None]:
    """Name the user code that runs within the block, so that the compiler is not blamed if it ends a child."""
    if _tell is None:
        yield
        return
    _tell("activity", activity)
    try:
        yield
    finally:
        _tell("activity", "")


class Child:
    """Work in a started child process; see `isolated`. It ends with the `with` block at the latest."""

    def __init__(self, work: Callable[[Progress], Any], *, fork: bool = True) -> None:
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            # temporary files of the child and of the compiler in it are removed with this folder, however they end
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
                    _work(work, send, self._words.fileno(), scratch)  # not reached
            os.close(send)
            self._running: int | None = child
            self._pipe = receive
            stack.callback(os.close, receive)
            self._unread = bytearray()
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
        """Wait for the work and return its result. Raises the work's exception, or `CompilerCrash`.

        `limits`: in a step whose name has this prefix, the child is ended after so many seconds of processor time
        without a message, with a `TimeOut`.
        """
        step = ""

        def begin(what: str, share: float | None) -> None:
            nonlocal step
            step = what
            progress(what, share)

        def limit_s() -> float:
            return next((s for name, s in limits.items() if step.startswith(name)), math.inf)

        outcome = self.outcome(begin, limit_s=limit_s if limits else None)
        if not isinstance(outcome, Death):
            return outcome
        if outcome.stopped:
            raise TimeOut(
                "a process did not end",
                where=outcome.step,
                expected="a sign of life",
                found=outcome.found,
                details=outcome.stderr,
            )
        raise error_of(outcome)

    def outcome(
        self,
        progress: Progress,
        *,
        take: Callable[[Any], None] = lambda _part: None,
        limit_s: Callable[[], float] | None = None,
    ) -> Any:
        """Wait for the work and return its result, or a `Death`. Raises the work's exception.

        `take` receives the values that the child sends with `send_part`. `limit_s` is the limit of its processor time
        from one message to the next: a process that waits for others, on a busy machine, uses none.
        """
        step = activity = ""
        while (message := self._next(limit_s)) is not None:
            kind, value = message
            match kind:
                case "progress":
                    step = value[0]
                    progress(*value)
                case "part":
                    take(value)
                case "notice":
                    notify(value)
                case "activity":
                    activity = value
                case "stopped":
                    os.kill(self._running or 0, signal.SIGKILL)
                    self._wait()
                    return self._death(step or "start", value, stopped=True, activity=activity)
                case "result":
                    self._wait()
                    return value
                case _:
                    self._wait()
                    raise value
        return self._death(step or "start", _end_of(self._wait()), stopped=False, activity=activity)

    def _death(self, step: str, found: str, *, stopped: bool, activity: str) -> Death:
        self._words.seek(0)
        said = last_lines(self._words.read().decode(errors="replace"))
        return Death(step=step, found=found, stderr=said, stopped=stopped, activity=activity)

    def _next(self, limit_s: Callable[[], float] | None) -> tuple[str, Any] | None:
        """Return the next message; None at the end of the pipe; `stopped` at the time limit."""
        assert self._running is not None
        idle_s, looked = 0.0, time.monotonic()
        used = None if limit_s is None else processor_seconds(self._running)
        while True:
            length = int.from_bytes(self._unread[:8], "little")
            if len(self._unread) >= 8 and len(self._unread) - 8 >= length:
                message = pickle.loads(memoryview(self._unread)[8 : 8 + length])
                self._unread = self._unread[8 + length :]
                return message  # type: ignore[no-any-return]
            if limit_s is not None and not select.select([self._pipe], [], [], LOOK_S)[0]:
                assert used is not None
                spent, now = processor_seconds(self._running) - used, time.monotonic()
                idle_s, looked = (idle_s + now - looked if is_idle(self._running) else 0.0), now
                limit = limit_s()
                if spent > limit:
                    how = f"{spent:.0f} s of processor time ({limit:.0f} s is its limit)"
                    return "stopped", f"it was stopped after {how}"
                if idle_s > limit * IDLE_PER_PROCESSOR_SECOND:
                    return "stopped", f"it was stopped after {idle_s:.0f} s in which it only waited"
                continue
            data = os.read(self._pipe, 1 << 20)
            if not data:
                return None
            self._unread += data

    def _wait(self) -> int:
        assert self._running is not None
        child, self._running = self._running, None
        return os.waitpid(child, 0)[1]


def is_idle(process: int) -> bool:
    """Return True if no thread of a process and its descendants computes, is runnable, or waits for a disk."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks]
        children = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except (OSError, ValueError, IndexError):
        return False
    return not {"R", "D"} & set(states) and all(map(is_idle, children))


def processor_seconds(process: int) -> float:
    """Return the processor time of a process and its running descendants; 0.0 if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except (OSError, ValueError):
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(processor_seconds, children))


def _spawn(work: Call, send: int, words: Any, scratch: str) -> int:
    """Start a new interpreter that does the work; return its process id."""
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
    """Serve as the new interpreter: read the work from one descriptor, send messages to another. Never returns."""
    with os.fdopen(order, "rb") as stream:
        work = pickle.load(stream)
    _work(work, send, words, scratch)


def _work(work: Callable[[Progress], Any], send: int, words: int, scratch: str) -> None:
    global stderr_is_kept, _tell
    os.dup2(words, 2)
    stderr_is_kept = True
    die_with_parent()
    faulthandler.disable()  # the compiler's error messages are worth more than Python's
    os.environ["TMPDIR"] = scratch  # (also LLVM's)
    tempfile.tempdir = None
    status = 1
    try:
        with os.fdopen(send, "wb") as stream:
            one_at_a_time = threading.Lock()

            def tell(kind: str, value: object) -> None:
                data = pickle.dumps((kind, value), pickle.HIGHEST_PROTOCOL)
                with one_at_a_time:
                    stream.write(len(data).to_bytes(8, "little"))
                    stream.write(data)
                    stream.flush()

            _tell = tell
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
        # without the clean-up of objects that the parent still owns (its atexit handlers, its terminal)
        os._exit(status)


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent dies, so that no compiler goes on and writes its output."""
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def error_of(death: Death) -> SubstituteError:
    """Return the error to raise for a child process that gave no result."""
    if death.activity:
        return PayloadError(
            f"{death.activity} ended the process that ran it",
            where=death.step,
            expected="code that returns or raises",
            found=death.found,
            next_step="fix it: it must not end its process",
            details=death.stderr,
        )
    if "IO failure on output stream" in death.stderr:
        return CompilerError(
            "the compiler could not write a file",
            where=death.step,
            expected=f"room in the folder of temporary files ({tempfile.gettempdir()})",
            found=death.stderr.splitlines()[-1],
            next_step="free some room there, or name another folder in TMPDIR",
        )
    return CompilerCrash(
        "the compiler crashed",
        where=death.step,
        expected="a result",
        found=death.found,
        next_step="nothing was written; try --no-builtin and without --kernels to see whether IREE alone crashes",
        details=death.stderr,
    )


def describe_crash(status: int, words: str) -> tuple[str, str]:
    """Return how a process with this wait status ended, and the end of its stderr."""
    return _end_of(status), last_lines(words)


def _end_of(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"killed by {signal.Signals(number).name}" + (" (out of memory?)" if number == signal.SIGKILL else "")
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def last_lines(text: str) -> str:
    """Return the last lines of a process's output, without control sequences of a terminal."""
    lines = text.strip().splitlines()[-24:]
    return "\n".join("".join(c if c.isprintable() else "." for c in line[:300]) for line in lines)
