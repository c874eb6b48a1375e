"""Messages about a process that crashed while it worked on an executable."""

from __future__ import annotations

import os
import signal

from ..errors import CompilerCrash
from ..isolate import describe_crash


def describe_exit(status: int, words: int) -> str:
    """Return the message for a fork that crashed, with the end of its stderr."""
    os.lseek(words, 0, os.SEEK_SET)
    found, details = describe_crash(status, os.read(words, 1 << 20).decode(errors="replace"))
    return exit_message(status, found, details)


def exit_message(status: int, found: str, details: str) -> str:
    """Return the message for the author of the executable."""
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return str(
            CompilerCrash(
                "the executable took too long",
                expected="a result within the time of --timeout",
                found="none",
                next_step="give a longer --timeout, or leave the kernel out that takes so long",
            )
        )
    return str(
        CompilerCrash(
            "the process that worked on the executable died",
            expected="a result",
            found=found,
            next_step="if this is IREE's own text and not the work of a command before this one, report it with the "
            "executable",
            details=details,
        )
    )
