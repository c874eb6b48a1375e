"""Time stamps of files, to detect sources that changed since something was derived from them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable

FileState = tuple[str, int, int, int]
"""Path, time of the last change in ns, size, inode; zeros for a missing file."""

RACY_NS = 50_000_000
"""Age below which a file could change again without a new time stamp."""
LONGEST_UNUSED_S = 14 * 86_400.0
"""Time without use after which files are removed from caches."""

STARTED_NS = time.time_ns()
"""Time at which this process loaded the module."""


def read_state(path: str | os.PathLike[str]) -> FileState:
    """Return the state of a file or folder now."""
    text = os.fspath(path)
    try:
        found = os.stat(text)
    except OSError:
        return text, 0, 0, 0
    return text, found.st_mtime_ns, found.st_size, found.st_ino


def exists(state: FileState) -> bool:
    return state[3] != 0


def is_current(states: Iterable[FileState]) -> bool:
    """Return True if nothing has changed since."""
    return all(read_state(state[0]) == state for state in states)


def is_settled(states: Iterable[FileState]) -> bool:
    """Return True if every file exists and its last change is old enough for a further one to be detected."""
    latest = time.time_ns() - RACY_NS
    return all(exists(state) and state[1] < latest for state in states)


def is_older(states: Iterable[FileState]) -> bool:
    """Return True if nothing has changed since this process started: what it has read is what lies there."""
    return all(state[1] < STARTED_NS for state in states)


def list_tree(folder: str | os.PathLike[str], *, most: int) -> list[str]:
    """Return the folder with its files and folders, except Python's caches; little more than `most` of them."""
    found: list[str] = []
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name != "__pycache__" and not name.startswith("."))
        found.append(place)
        found += [os.path.join(place, file) for file in sorted(files)]
        if len(found) > most:
            break
    return found


def program_files() -> list[str]:
    """Return the files of this package: all in a checkout; one of an installation, which is replaced as a whole."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isfile(os.path.join(os.path.dirname(package), "pyproject.toml")):
        return [os.path.join(package, "__init__.py")]
    found: list[str] = []
    for place, names, files in os.walk(package):
        names[:] = [name for name in names if name != "__pycache__"]
        found += [os.path.join(place, file) for file in files if not file.startswith(".")]
    return sorted(found)


def list_installed() -> list[str]:
    """Return the names of the installed packages' metadata folders, which hold their versions."""
    places = (path for path in sys.path if path.endswith("-packages") and os.path.isdir(path))
    return sorted(name for place in places for name in os.listdir(place) if name.endswith(".dist-info"))
