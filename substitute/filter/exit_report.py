"""Messages about a process that crashed while it worked on an executable."""

from __future__ import annotations

import os
import signal

from ..errors import CompilerCrash, SubstituteError, TimeOut
from ..isolate import Death, describe_crash, error_of


def describe_exit(status: int, words: int) -> str:
    """Return the message for a fork that crashed, with the end of its stderr."""
    os.lseek(words, 0, os.SEEK_SET)
    found, details = describe_crash(status, os.read(words, 1 << 20).decode(errors="replace"))
    return str(exit_error(Death(step="", found=found, stderr=details)))


def exit_error(death: Death) -> SubstituteError:
    """Return the error for the author of the executable."""
    if signal.SIGALRM.name in death.found:
        return TimeOut(
            "the executable took too long",
            where=death.activity,
            expected="a result within the time of --timeout",
            found="none",
            next_step="give a longer --timeout, or leave the kernel out that takes so long",
        )
    if death.activity:
        return error_of(death)
    return CompilerCrash(
        "the process that worked on the executable died",
        expected="a result",
        found=death.found,
        next_step="if this is IREE's own text and not the work of a command before this one, report it with the "
        "executable",
        details=death.stderr,
    )
