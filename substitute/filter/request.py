"""One connection of a worker's process: reads the request, finds or computes the result, sends it, caches it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SubstituteError
from .client import (
    CHANGED,
    FAILED,
    OUTDATED,
    PROTOCOL,
    RAW,
    UNCHANGED,
    Arguments,
    cache_folder,
    entry_path,
    identity,
    read_catalog,
    read_entry,
    stamp_path,
    write_report,
)
from .executable import Knowledge, Outcome, describe_error, new_context, rewrite_executable
from .options import Options, parse_options
from .store import keep_result, keep_stamp, objects_folder

if TYPE_CHECKING:
    from iree.compiler import ir

MOST_BYTES = 64 << 20
"""Limit of parsed bytes, after which a process is replaced: a context never frees a constant."""
MOST_REQUESTS = 500


@dataclass(slots=True)
class WorkerState:
    """State of a worker's process between requests."""

    known: dict[tuple[str, ...], Knowledge] = field(default_factory=dict)
    """Kernels and plan, by working directory and arguments."""
    context: ir.Context | None = None
    told: set[bytes] = field(default_factory=set)
    """Identities of arguments for which the clients' prefilter has been written."""
    bytes_seen: int = 0
    requests: int = 0

    @property
    def worn(self) -> bool:
        """True if a new process should take over."""
        return self.bytes_seen > MOST_BYTES or self.requests >= MOST_REQUESTS

    def knowledge(self, folder: str, words: list[str]) -> Knowledge:
        """Return the kernels for these arguments. Raises `SubstituteError`."""
        key = (folder, *words)
        if key not in self.known:
            knowledge = Knowledge(parse_options(words, Path(folder)))
            knowledge.read()
            self.known[key] = knowledge
        return self.known[key]

    def work(self, data: bytes, knowledge: Knowledge) -> Outcome:
        """Plan and rewrite one executable. Raises `SubstituteError`."""
        if self.context is None:
            self.context = new_context()
        cache = _cache(knowledge.options)
        return rewrite_executable(data, knowledge, self.context, lambda: objects_folder(cache))

    def tell_clients(self, cache: bytes, ask: Request, knowledge: Knowledge) -> None:
        """Write the stamp with which clients find results, then the prefilter, which takes longer."""
        own = identity(ask.words)
        assert knowledge.stamp is not None
        if knowledge.digest != ask.catalog:
            keep_stamp(cache, own, knowledge.stamp)
        if own not in self.told and knowledge.options.plan is None:
            self.told.add(own)
            if read_catalog(stamp_path(cache, own)).prefilter is None:
                keep_stamp(cache, own, knowledge.stamp, knowledge.prefilter())


def _cache(options: Options) -> bytes:
    return cache_folder() if options.cache else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A client's request."""

    folder: str
    """Working directory of the client."""
    catalog: bytes
    """Digest of the kernels, if the client knows it."""
    words: list[str]
    data: bytes


def read_request(line: socket.socket) -> Request | None:
    """Read a request; return None if the client has ended or is of another release."""
    head = _exactly(line, 25)
    if head is None or head[:1] != PROTOCOL:
        return None
    fields = _exactly(line, int(head[1:9], 16))
    data = _exactly(line, int(head[9:25], 16))
    if fields is None or data is None:
        return None
    folder, catalog, *words = fields.split(b"\0")
    return Request(folder=folder.decode(*RAW), catalog=catalog, words=[w.decode(*RAW) for w in words], data=data)


def _exactly(line: socket.socket, size: int) -> bytes | None:
    body = bytearray(size)
    view = memoryview(body)
    while view:
        got = line.recv_into(view)
        if not got:
            return None
        view = view[got:]
    return bytes(body)


def send(line: socket.socket, kind: bytes, body: bytes = b"") -> None:
    """Send a reply; errors of a client that has ended are ignored."""
    try:
        line.sendall(b"%b%016x" % (kind, len(body)))
        line.sendall(body)
    except OSError:
        pass


def send_failure(line: socket.socket, status: int, message: str) -> None:
    """Send an error message."""
    send(line, FAILED, b"%02x" % status + message.encode("utf-8", "replace"))


def serve(line: socket.socket, state: WorkerState) -> bool:
    """Answer one client; return False if the kernels have changed, so that the whole worker is outdated."""
    ask = read_request(line)
    if ask is None:
        return True
    state.requests += 1
    keep: Callable[[], None] | None = None
    try:
        knowledge = state.knowledge(ask.folder, ask.words)
        # including exceptions that end Python code; the process ends, and the worker tells the client why
        signal.setitimer(signal.ITIMER_REAL, knowledge.options.timeout_s)
        stamp = knowledge.stamp
        if stamp is not None and stamp.digest != ask.catalog and not stamp.current():
            send(line, OUTDATED)
            return False
        keep = _answer(line, ask, state, knowledge)
    except Exception as error:
        send_failure(line, *describe_error(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        line.close()
    if keep is not None:
        keep()
    return True


def _answer(line: socket.socket, ask: Request, state: WorkerState, knowledge: Knowledge) -> Callable[[], None] | None:
    """Send the answer; return the work that remains after the client has left."""
    options, data = knowledge.options, ask.data
    cache = _cache(options)
    entry = None
    if cache and knowledge.digest and knowledge.digest != ask.catalog:  # else the client has looked in the cache itself
        entry = read_entry(entry_path(cache, knowledge.digest, data))
    if entry is not None:
        _report(ask, entry.report_name, entry.report)
        send(line, entry.kind, entry.body)
    else:
        state.bytes_seen += len(data)
        outcome = state.work(data, knowledge)
        _report(ask, outcome.report_name, outcome.report)
        output = outcome.text.encode() if outcome.text is not None else None
        send(line, UNCHANGED if output is None else CHANGED, output or b"")

    def keep() -> None:
        if not cache or not knowledge.stamp:
            return
        if entry is None:
            keep_result(cache, knowledge.digest, data, output, outcome.report_name, outcome.report, outcome.objects)
        os.chdir(ask.folder)
        state.tell_clients(cache, ask, knowledge)

    return keep


def _report(ask: Request, name: bytes, report: bytes) -> None:
    arguments = Arguments(ask.words)
    if arguments.report_dir:
        os.chdir(ask.folder)
        try:
            write_report(arguments, name, report)
        except OSError as error:
            raise SubstituteError(
                "the report cannot be written",
                where=arguments.report_dir,
                expected="a folder that can be written, with room in it",
                found=error.strerror or str(error),
                next_step="choose another --report-dir",
            ) from None
