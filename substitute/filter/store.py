"""What the filter keeps: results by content, stamps of catalogs, and object files that IREE reads later."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .client import CHANGED, UNCHANGED, digest_of, entry_path, make_folders, private_folder, replace_file, stamp_path
from .options import Options

if TYPE_CHECKING:
    from ..catalog.entry import Manifest

MOST_FILES = 5_000
"""Folders of kernels with more files than this are not stamped, and what they lead to is not kept."""
RACY_NS = 50_000_000
"""A file changed so lately could change once more without a new time stamp."""
LONGEST_UNUSED_S = 14 * 86_400.0
MOST_BYTES = 512 << 20


State = tuple[bytes, int, int, int]
"""Path, time of the last change in ns, size, inode."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """All that a result depends on besides its text and the arguments."""

    digest: bytes
    """Of the contents."""
    kernels: tuple[State, ...]
    """Files and folders of kernels, and the plan."""
    program: tuple[State, ...]
    """The program's own: a process that has loaded it is not touched by a change."""

    def current(self) -> bool:
        """True if no kernel has changed."""
        return all(_state(state[0]) == state for state in self.kernels)


def make_stamp(manifests: Sequence[Manifest], folders: Iterable[Path], options: Options) -> Stamp | None:
    """The stamp of these kernels and of the program itself; None if there are too many files.

    A generator may import what lies outside of its folder and of the installed packages: nobody can know that, and a
    change there needs `--no-cache`.
    """
    paths = set(_below(folders))
    for manifest in manifests:
        paths |= {manifest.file, manifest.kernel.payload.path}
        paths |= {manifest.definition} if manifest.definition else set()
    if options.plan:
        paths.add(options.plan)
    if len(paths) > MOST_FILES:
        return None
    installed = {path for path in sys.path if path.endswith("-packages") and os.path.isdir(path)}
    kernels = [_state(os.fsencode(path)) for path in sorted(paths)]
    program = [_state(os.fsencode(path)) for path in sorted(_program())]
    parts = [repr((options.builtin, options.plan, options.kernels, sys.version, program)).encode()]
    for path in sorted(paths):
        if path.is_file():
            parts.append(b"%b %b" % (os.fsencode(path), digest_of(path.read_bytes())))
    parts += sorted(os.fsencode(n) for place in installed for n in os.listdir(place) if n.endswith(".dist-info"))
    program += [_state(os.fsencode(place)) for place in sorted(installed)]
    known = [state for state in (*kernels, *program) if state is not None and b"\n" not in state[0]]
    if len(known) < len(kernels) + len(program):
        return None
    return Stamp(digest_of(b"\n".join(parts)), tuple(known[: len(kernels)]), tuple(known[len(kernels) :]))


def _program() -> list[str]:
    """The files of this package: any may change in a checkout, and an installation is replaced as a whole."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isfile(os.path.join(os.path.dirname(package), "pyproject.toml")):
        return [os.path.join(package, "__init__.py")]
    found: list[str] = []
    for place, names, files in os.walk(package):
        names[:] = [name for name in names if name != "__pycache__"]
        found += [os.path.join(place, file) for file in files if not file.startswith(".")]
    return found


def _state(path: bytes) -> State | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_mtime_ns, found.st_size, found.st_ino


def _below(folders: Iterable[Path]) -> Iterator[Path]:
    """All files and folders below, but what Python itself keeps there; no more than can be used."""
    count = 0
    for folder in folders:
        for place, names, files in os.walk(folder):
            names[:] = [n for n in names if n != "__pycache__" and not n.startswith(".")]
            yield Path(place)
            for file in files:
                yield Path(place, file)
            count += 1 + len(files)
            if count > MOST_FILES:
                return


Needs = Sequence[tuple[str, Sequence[str]]]
"""Kernels' names, each with words that an executable's text must have for it; see `needs.py`."""


def keep_stamp(cache: bytes, identity: bytes, stamp: Stamp, needs: Needs | None = None) -> None:
    """Lets clients find results by themselves, and with `needs` see that nothing can match.

    A cache that cannot be written only costs speed.
    """
    files = stamp.kernels + stamp.program
    if not cache or any(_state(state[0]) != state or state[1] > time.time_ns() - RACY_NS for state in files):
        return
    rest = b"".join(b"%d %d %d %b\n" % (modified, size, inode, path) for path, modified, size, inode in files)
    if needs is not None:
        rest += b"?\n" + b"".join(b"?%b\n" % "\t".join((kernel, *words)).encode() for kernel, words in needs)
    with contextlib.suppress(OSError):
        path = stamp_path(cache, identity)
        make_folders(path.rpartition(b"/")[0])
        replace_file(path, b"%b\n%b\n%b" % (digest_of(stamp.digest, rest), stamp.digest, rest))


def keep_result(
    cache: bytes, catalog: bytes, data: bytes, output: bytes | None, report_name: bytes, report: bytes,
    objects: Sequence[Path],
) -> None:  # fmt: skip
    """Keeps a result, `output` being None for an unchanged executable."""
    lines = b"".join(b"%b %b\n" % (digest_of(path.read_bytes()), os.fsencode(path)) for path in objects)
    kind = UNCHANGED if output is None else CHANGED
    rest = b"%b %d %d %b\n%b%b%b" % (kind, len(objects), len(report), report_name, lines, report, output or b"")
    path = entry_path(cache, catalog, data)
    with contextlib.suppress(OSError):
        make_folders(path.rpartition(b"/")[0])
        replace_file(path, digest_of(rest) + b"\n" + rest)


def objects_folder(cache: bytes) -> Path:
    """Where object files go, which IREE links after the filter has ended.

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
    """Removes what has not been used for long, the oldest of what is too much, and what killed workers left."""
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
