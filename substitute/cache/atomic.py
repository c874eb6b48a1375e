"""Atomic writes: a file is written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SubstituteError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises `SubstituteError`."""
    with replace_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a file to write; it replaces `path` if the block ends well. Raises `SubstituteError` for a full disk, …"""
    try:
        with replacement(path) as temporary:
            yield temporary
    except OSError as error:
        raise SubstituteError(
            "the output could not be written",
            where=str(path),
            expected="room in a folder that can be written",
            found=error.strerror or str(error),
            next_step="free some room, or choose another place",
        ) from None


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a file to write; it replaces `path` if the block succeeds, and is removed otherwise.

    Raises `OSError`. Where the file system allows it, the file has no name until it is complete, so that even a killed
    process leaves no part.
    """
    with _nameless(path.parent) as nameless:
        temporary = path.parent / f".{path.name}.{os.getpid()}"
        try:
            yield nameless or temporary
            if nameless is not None:
                # (with a folder's descriptor, which an absolute path ignores, Python follows the link in /proc)
                os.link(nameless, temporary, src_dir_fd=0, follow_symlinks=True)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _nameless(folder: Path) -> Iterator[Path | None]:
    """Yield a file without a name, which is removed when this process ends; None if the file system has none."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    except (OSError, AttributeError):  # only some file systems have them, and only Linux
        yield None
        return
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
