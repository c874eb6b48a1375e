"""Cache of payloads in the user's cache folder, by content: equal code is generated once.

One file each. A cache that cannot be read or written, or is damaged, only costs time.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..cache.checked import read_checked, write_checked
from ..cache.paths import find_cache_folder
from ..cache.stamps import (
    LONGEST_UNUSED_S,
    FileState,
    is_older,
    is_settled,
    list_installed,
    list_tree,
    program_files,
    read_state,
)
from ..model.kernel import Kernel
from ..model.plan import Payload

VARIABLE = "IREE_SUBSTITUTE_CACHE"
"""Environment variable; `0` turns the cache of payloads off."""
MOST_FILES = 200
"""The code of a kernel with more files than this is not cached."""
MOST_BYTES = 64 << 20


def payload_folder() -> Path | None:
    """Return the folder of the cache; None if there is none, or it is turned off."""
    return None if os.environ.get(VARIABLE, "") == "0" else find_cache_folder("payloads")


def kernel_state(kernel: Kernel) -> tuple[FileState, ...]:
    """Return the state of a kernel's folder and of its code with the files beside it; empty if those are too many."""
    found = list_tree(kernel.folder, most=MOST_FILES)
    code = kernel.payload.path.resolve().parent
    if code != kernel.folder.resolve():
        found += list_tree(code, most=MOST_FILES)
    states = (read_state(kernel.payload.path), *map(read_state, found))
    return states if len(found) <= MOST_FILES else ()


@lru_cache(maxsize=1)
def program_state() -> tuple[tuple[FileState, ...], str]:
    """Return the state of this program's files, and the versions of Python and of all installed packages."""
    return tuple(map(read_state, program_files())), repr((sys.version, list_installed()))


def look_up(key: str) -> Payload | None:
    """Return the cached payload of a key, unless it is damaged or may be another user's."""
    folder = payload_folder()
    if folder is None:
        return None
    found = read_checked(folder / key)  # unpickling can run code: other users' files are not read
    if found is None:
        return None
    content, used = found
    payload = pickle.loads(content)
    if time.time() - used > LONGEST_UNUSED_S / 4:
        with contextlib.suppress(OSError):
            os.utime(folder / key)
    return payload if isinstance(payload, Payload) else None


def keep(key: str, payload: Payload, sources: Sequence[FileState]) -> None:
    """Cache a payload made from `sources`, unless one of them may have changed since this process read it."""
    folder = payload_folder()
    program = program_state()[0]
    if folder is None or not sources or not is_settled((*sources, *program)):
        return
    if not is_older((*sources, *program)):
        return
    content = pickle.dumps(payload, protocol=5)
    with contextlib.suppress(OSError):
        write_checked(folder / key, content)
    _prune_once()


@lru_cache(maxsize=1)
def _prune_once() -> None:
    prune()


def prune() -> None:
    """Remove files that were not used for long, and the oldest ones above the limit."""
    folder = payload_folder()
    found: list[tuple[float, int, Path]] = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir() if folder else ():
            with contextlib.suppress(OSError):
                state = path.stat()
                found.append((state.st_mtime, state.st_size, path))
    kept = 0
    for used, size, path in sorted(found, reverse=True):
        kept += size
        if kept > MOST_BYTES or time.time() - used > LONGEST_UNUSED_S:
            with contextlib.suppress(OSError):
                path.unlink()
