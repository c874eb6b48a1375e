"""Filter without a worker: everything runs in this process, the compiler in a child process."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..isolate import Child, Death
from ..progress import Progress, silent
from .client import RAW, Arguments, cache_folder, fail, finish, identity, private_folder, read_all, write_report
from .exit_report import exit_error
from .options import Options, parse_options

if TYPE_CHECKING:
    from .executable import Outcome

SLOT_S = 0.01
"""Interval at which to check whether another process has released a slot."""


def run(arguments: Arguments, options: Options, data: bytes) -> Outcome:
    """Return the result for one executable and cache it. Raises `SubstituteError`."""
    folder = os.getcwd()

    def work(_report: Progress) -> Outcome:
        from . import request
        from .store import keep_result, keep_stamp

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, options.timeout_s)
        state = request.WorkerState()
        knowledge = state.knowledge(folder, arguments.words)
        outcome = state.work(data, knowledge)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if options.cache and knowledge.stamp is not None:
            cache = cache_folder()
            output = outcome.text.encode() if outcome.text is not None else None
            keep_result(cache, knowledge.digest, data, output, outcome.report_name, outcome.report, outcome.objects)
            keep_stamp(cache, identity(arguments.words), knowledge.stamp, knowledge.prefilter())
        return outcome

    with acquire_slot(options.jobs), Child(work) as child:
        outcome = child.outcome(silent)
    if isinstance(outcome, Death):
        raise exit_error(outcome)
    return cast("Outcome", outcome)


@contextmanager
def acquire_slot(jobs: int) -> Iterator[None]:
    """Wait until fewer than `jobs` processes of this user are working; the slot is released when this process ends."""
    try:
        folder = os.fsdecode(private_folder())
    except OSError:
        yield  # no folder to coordinate with the others
        return
    files = [os.open(f"{folder}/slot-{n}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for n in range(jobs)]
    try:
        while not any(_locked(file) for file in files):
            time.sleep(SLOT_S)
        yield
    finally:
        for file in files:
            fcntl.flock(file, fcntl.LOCK_UN)
            os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def main() -> int:
    """Read standard input and write standard output; return the exit status."""
    words = [os.fsencode(word).decode(*RAW) for word in sys.argv[1:]]
    arguments = Arguments(words)
    data = b"" if arguments.help else read_all(0)
    try:
        options = parse_options(words, Path.cwd())
        outcome = run(arguments, options, data)
        if arguments.report_dir:
            write_report(arguments, outcome.report_name, outcome.report)
    except OSError as error:
        return fail(arguments, f"{error.filename or arguments.report_dir}: {error.strerror or error}", data)
    except Exception as error:
        from .executable import describe_error

        status, message = describe_error(error)
        return fail(arguments, message, data, status)
    return finish(arguments, data, data if outcome.text is None else outcome.text.encode())


if __name__ == "__main__":
    sys.exit(main())
