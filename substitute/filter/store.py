"""Files of the filter: results by content, stamps of catalogs, and object files that IREE reads later."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.stamps import (
    LONGEST_UNUSED_S,
    FileState,
    exists,
    is_current,
    is_settled,
    list_installed,
    list_tree,
    program_files,
    read_state,
)
from ..guard.store import refused_folder
from .client import CHANGED, UNCHANGED, digest_of, entry_path, make_folders, private_folder, replace_file, stamp_path
from .options import Options

if TYPE_CHECKING:
    from ..catalog.entry import Manifest

MOST_FILES = 5_000
"""Limit of files: larger folders of kernels are not stamped, and their results are not cached."""
MOST_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """Digest of all that a result depends on besides its text, and the states of the files among it."""

    digest: bytes
    """Digest of the files' contents, the options that choose kernels, and the compiler's flags."""
    kernels: tuple[FileState, ...]
    """Files and folders of kernels, and the plan."""
    program: tuple[FileState, ...]
    """Files of this program; a change does not affect a process that has loaded it."""

    def current(self) -> bool:
        """Return True if no kernel has changed."""
        return is_current(self.kernels)


def make_stamp(manifests: Sequence[Manifest], folders: Iterable[Path], options: Options) -> Stamp | None:
    """Return the stamp of these kernels and of the program itself; None if there are too many files.

    A generator may import modules outside of its folder and of the installed packages: these are unknown, and a change
    of them needs `--no-cache`.
    """
    paths: set[str] = set()
    for folder in folders:
        paths.update(list_tree(folder, most=MOST_FILES - len(paths)))
        if len(paths) > MOST_FILES:
            return None
    # code may be in a folder beside the kernel's, with the modules that it imports
    code = {manifest.kernel.payload.path.resolve().parent for manifest in manifests}
    for folder in code - {manifest.file.parent.resolve() for manifest in manifests}:
        paths.update(list_tree(folder, most=MOST_FILES))
    for manifest in manifests:
        paths |= {os.fspath(manifest.file), os.fspath(manifest.kernel.payload.path)}
        paths |= {os.fspath(manifest.definition)} if manifest.definition else set()
    if options.plan:
        paths.add(os.fspath(options.plan))
    refused = refused_folder()
    if refused is not None:  # later verdicts of a compilation may leave a kernel out
        with contextlib.suppress(OSError):
            refused.mkdir(mode=0o700, parents=True, exist_ok=True)
            paths.update(list_tree(refused, most=MOST_FILES))
    if len(paths) > MOST_FILES:
        return None
    kernels = [read_state(path) for path in sorted(paths)]
    program = [read_state(path) for path in program_files()]
    asked = (options.builtin, options.plan, options.kernels, options.flags)
    parts = [repr((*asked, sys.version, program)).encode()]
    for path in sorted(paths):
        if os.path.isfile(path):
            parts.append(b"%b %b" % (os.fsencode(path), digest_of(Path(path).read_bytes())))
    parts += map(os.fsencode, list_installed())
    places = {path for path in sys.path if path.endswith("-packages") and os.path.isdir(path)}
    program += [read_state(place) for place in sorted(places)]
    if any(not exists(state) or "\n" in state[0] for state in (*kernels, *program)):
        return None
    return Stamp(digest_of(b"\n".join(parts)), tuple(kernels), tuple(program))


Prefilter = Sequence[tuple[str, Sequence[str]]]
"""Kernels' names, each with words that an executable's text must contain; see `prefilter.py`."""


def keep_stamp(cache: bytes, identity: bytes, stamp: Stamp, prefilter: Prefilter | None = None) -> None:
    """Store a stamp, so that clients find results themselves, and with `prefilter` know that nothing can match.

    A cache that cannot be written only costs speed.
    """
    files = stamp.kernels + stamp.program
    if not cache or not is_current(files) or not is_settled(files):
        return
    rest = b"".join(
        b"%d %d %d %b\n" % (modified, size, inode, os.fsencode(path)) for path, modified, size, inode in files
    )
    if prefilter is not None:
        rest += b"?\n" + b"".join(b"?%b\n" % "\t".join((kernel, *words)).encode() for kernel, words in prefilter)
    with contextlib.suppress(OSError):
        path = stamp_path(cache, identity)
        make_folders(path.rpartition(b"/")[0])
        replace_file(path, b"%b\n%b\n%b" % (digest_of(stamp.digest, rest), stamp.digest, rest))


def keep_result(
    cache: bytes,
    catalog: bytes,
    data: bytes,
    output: bytes | None,
    report_name: bytes,
    report: bytes,
    objects: Sequence[Path],
) -> None:
    """Cache a result, `output` being None for an unchanged executable."""
    lines = b"".join(b"%b %b\n" % (digest_of(path.read_bytes()), os.fsencode(path)) for path in objects)
    kind = UNCHANGED if output is None else CHANGED
    rest = b"%b %d %d %b\n%b%b%b" % (kind, len(objects), len(report), report_name, lines, report, output or b"")
    path = entry_path(cache, catalog, data)
    with contextlib.suppress(OSError):
        make_folders(path.rpartition(b"/")[0])
        replace_file(path, digest_of(rest) + b"\n" + rest)


def objects_folder(cache: bytes) -> Path:
    """Return the folder for object files, which IREE links after the filter has ended.

    They are named by their contents and removed when no run has used them for two weeks.
    """
    for base in (cache, private_folder()):
        if base:
            with contextlib.suppress(OSError):
                make_folders(base + b"/objects")
                if os.access(base + b"/objects", os.W_OK):
                    return Path(os.fsdecode(base)) / "objects"
    raise OSError("no folder for object files")


def prune(cache: bytes) -> None:
    """Remove files that were not used for long, the oldest above the limit, and leftovers of killed workers."""
    found: list[tuple[float, int, str]] = []
    now = time.time()
    with contextlib.suppress(OSError):
        for base in filter(None, (cache, private_folder())):
            for place in ("results", "catalogs", "objects"):
                for folder, _, names in os.walk(Path(os.fsdecode(base)) / place):
                    for name in names:
                        path = os.path.join(folder, name)
                        with contextlib.suppress(OSError):
                            state = os.stat(path)
                            found.append((state.st_mtime, state.st_size, path))
    kept = 0
    for used, size, path in sorted(found, reverse=True):
        kept += size
        if now - used > LONGEST_UNUSED_S or (kept > MOST_BYTES and not path.endswith(".o")):
            with contextlib.suppress(OSError):
                os.unlink(path)
    with contextlib.suppress(OSError), os.scandir(private_folder()) as entries:
        for entry in entries:
            process = entry.name.partition(b"-")[0]
            if process.isdigit() and not os.path.exists(b"/proc/" + process):
                os.unlink(entry.path)
