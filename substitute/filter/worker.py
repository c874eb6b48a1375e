"""The worker of one compiler process: loads everything once, passes each client to a fork of itself, ends with it.

A fork serves one client at a time. If an executable crashes it, the client gets a message, and the next client gets
another fork. The worker itself never processes an executable.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .client import WAIT, started_at
from .options import Options, parse_options
from .preload import preload

if TYPE_CHECKING:
    from .request import WorkerState

IDLE_S = 10.0
"""Time after which an idle worker ends while the compiler does other work."""
BREATH_S = 5.0
"""Interval at which waiting clients get a `WAIT`."""
SLOT_S = 0.004
"""Interval at which to check whether another compilation has released a slot."""


@dataclass(slots=True)
class Child:
    """A fork, and its client."""

    process: int
    channel: socket.socket
    words: int
    """File that receives its stderr."""
    client: socket.socket | None = None
    slot: int = -1


@dataclass(slots=True)
class Worker:
    """The state of the main loop."""

    path: str
    """Path of the socket."""
    listener: socket.socket
    options: Options
    state: WorkerState
    """Initial state of each fork."""
    children: list[Child] = field(default_factory=list)
    waiting: deque[socket.socket] = field(default_factory=deque)
    slots: list[int] = field(default_factory=list)
    """Files that can each be locked once, by all of this user's workers."""
    outdated: bool = False

    @property
    def busy(self) -> bool:
        """True if a client is waiting or being served."""
        return bool(self.waiting) or any(child.client for child in self.children)

    def run(self, parent: int) -> None:
        """Serve until the compiler (whose pidfd is `parent`) ends, or there is no work for `IDLE_S`."""
        self.listener.setblocking(False)
        last_work = last_breath = time.monotonic()
        pruned = False
        while True:
            now = time.monotonic()
            if self.busy:
                last_work = now
            elif self.outdated or now - last_work > IDLE_S:
                return
            elif now - last_work > 1.0 and not pruned:
                pruned = True
                self._prune()
            if not self._wait(parent, SLOT_S if self.waiting and self._idle_child() else 0.5):
                return
            self._hand_over()
            if now - last_breath > BREATH_S:
                last_breath = now
                self._reassure()

    def _wait(self, parent: int, timeout_s: float) -> bool:
        """Handle events; return False if the compiler has ended."""
        with selectors.PollSelector() as selector:
            selector.register(parent, selectors.EVENT_READ, "parent")
            selector.register(self.listener, selectors.EVENT_READ, "listener")
            for child in self.children:
                selector.register(child.channel, selectors.EVENT_READ, child)
            for key, _ in selector.select(timeout_s):
                if key.data == "parent":
                    return False
                if key.data == "listener":
                    with contextlib.suppress(BlockingIOError):
                        client, _address = self.listener.accept()
                        client.setblocking(True)
                        self.waiting.append(client)
                elif isinstance(key.data, Child):
                    self._hear(key.data)
        return True

    def _hear(self, child: Child) -> None:
        """Handle a fork that has finished, or crashed."""
        try:
            word = child.channel.recv(1)
        except OSError:
            word = b""
        if word == b"o":
            self.leave()
        if word in (b"d", b"o"):
            self._release(child)
            return
        self.children.remove(child)
        _, status = os.waitpid(child.process, 0)
        if child.client is not None and word != b"w":
            from .exit_report import describe_exit
            from .request import send_failure

            send_failure(child.client, 1, describe_exit(status, child.words))
        self._release(child)
        child.channel.close()
        os.close(child.words)

    def _release(self, child: Child) -> None:
        if child.client is not None:
            child.client.close()
            child.client = None
        if child.slot >= 0:
            fcntl.flock(child.slot, fcntl.LOCK_UN)
            self.slots.append(child.slot)
            child.slot = -1

    def _idle_child(self) -> bool:
        return len(self.children) < self.options.jobs or any(c.client is None for c in self.children)

    def _hand_over(self) -> None:
        """Pass waiting clients to forks, as far as there are slots."""
        while self.waiting:
            child = next((c for c in self.children if c.client is None), None)
            if child is None and len(self.children) >= self.options.jobs:
                return
            slot = self._take_slot()
            if slot < 0:
                return
            child = child or self._fork()
            child.client, child.slot = self.waiting.popleft(), slot
            with contextlib.suppress(OSError):  # dead: the main loop will be notified
                socket.send_fds(child.channel, [b"c"], [child.client.fileno()])

    def _take_slot(self) -> int:
        for slot in self.slots:
            with contextlib.suppress(OSError):
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.slots.remove(slot)
                return slot
        return -1

    def _fork(self) -> Child:
        ours, theirs = socket.socketpair()
        words = os.memfd_create("words")
        process = os.fork()
        if process == 0:
            status = 1
            try:
                ours.close()
                self._become_child(theirs, words)
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        child = Child(process, ours, words)
        self.children.append(child)
        return child

    def _become_child(self, channel: socket.socket, words: int) -> None:
        """Serve clients in a fork until the worker ends or the fork is worn."""
        from ..isolate import die_with_parent
        from .request import serve

        os.setpgid(0, 0)
        die_with_parent()
        if os.getppid() == 1:
            return
        os.dup2(words, 2)
        self.listener.close()
        for other in (*self.waiting, *(c.client for c in self.children if c.client)):
            other.close()
        for sibling in self.children:
            sibling.channel.close()
        for slot in self.slots:
            os.close(slot)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        state = self.state
        while True:
            word, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
            if not word:
                return
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)
            current = serve(socket.socket(fileno=descriptors[0]), state)
            channel.sendall((b"w" if state.worn else b"d") if current else b"o")
            if state.worn:
                return

    def _reassure(self) -> None:
        for client in list(self.waiting):
            try:
                client.send(WAIT, socket.MSG_DONTWAIT)
            except OSError:
                client.close()
                self.waiting.remove(client)

    def _prune(self) -> None:
        from .client import cache_folder
        from .store import prune

        prune(cache_folder() if self.options.cache else b"")

    def leave(self) -> None:
        """Stop listening, so that another worker can start; connected clients are still served."""
        if not self.outdated:
            self.outdated = True
            for name in (self.path, f"{self.path}.lock"):
                with contextlib.suppress(OSError):
                    os.unlink(name)

    def end(self) -> None:
        """End all forks and the processes that they started."""
        for child in self.children:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(child.process, signal.SIGKILL)


def main(argv: Sequence[str]) -> int:
    """Serve at the socket PATH while the process PARENT lives; arguments: `PATH PARENT START BACKEND ARGUMENTS…`."""
    path, parent, start, backend, *words = argv
    os.closerange(3, 1 << 16)
    with contextlib.suppress(OSError):
        watched = os.pidfd_open(int(parent))
        if started_at(int(parent)).decode() == start and _only_one(path):
            return _serve(path, watched, words, backend)
    return 0


def _only_one(path: str) -> bool:
    """Return True for the one worker at this path; the lock is held until this process ends."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # the previous worker may have removed the file after this process opened it
        return os.stat(f"{path}.lock").st_ino == os.fstat(descriptor).st_ino
    except OSError:
        return False


def _serve(path: str, watched: int, words: Sequence[str], backend: str) -> int:
    with contextlib.suppress(OSError):
        os.unlink(f"{path}.new")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{path}.new")
    listener.listen(4096)
    os.rename(f"{path}.new", path)
    worker: Worker | None = None
    try:
        options = _options(words)
        worker = Worker(path, listener, options, preload(words, backend))
        worker.slots = [
            os.open(f"{os.path.dirname(path)}/slot-{n}", os.O_RDWR | os.O_CREAT, 0o600) for n in range(options.jobs)
        ]
        worker.run(watched)
    finally:
        if worker is None:
            for name in (path, f"{path}.lock"):
                with contextlib.suppress(OSError):
                    os.unlink(name)
        else:
            worker.leave()
            worker.end()
    return 0


def _options(words: Sequence[str]) -> Options:
    from ..errors import UsageError

    try:
        return parse_options(words, Path.cwd())
    except UsageError:
        return parse_options([], Path.cwd())  # each client gets the error


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(main(sys.argv[1:]))
