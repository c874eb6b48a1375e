"""Cache files that are read only if they are complete and only this user could have written them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from .atomic import replacement

OTHERS_MAY_WRITE = 0o022
DIGEST_BYTES = 32


def digest_parts(parts: Iterable[bytes]) -> bytes:
    """Return the digest of a sequence, which differs for `ab`, `c` and `a`, `bc`."""
    state = blake2b(digest_size=20)
    for part in parts:
        state.update(b"%d:" % len(part))
        state.update(part)
    return state.digest()


def write_checked(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, in a folder that is created if needed. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacement(path) as temporary:
        temporary.write_bytes(_digest(content) + content)


def read_checked(path: Path) -> tuple[bytes, float] | None:
    """Return a file's content and the time of its last use; None if it is missing, damaged or could be another's."""
    try:
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
            if state.st_uid != os.getuid() or state.st_mode & OTHERS_MAY_WRITE:
                return None
            digest, content = stream.read(DIGEST_BYTES), stream.read()
    except OSError:
        return None
    return (content, state.st_mtime) if _digest(content) == digest else None


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=DIGEST_BYTES).digest()
