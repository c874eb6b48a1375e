"""Cache of parsed manifests and definitions: reading 20 kernels takes longer than starting Python.

One file per set of folders and state of this program, in the user's cache; each kernel in it is valid for the time
stamps of its files. Without a place to write, or with one that others can write to, nothing is cached.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..cache.checked import digest_parts, read_checked, write_checked
from ..cache.paths import find_cache_folder
from ..cache.stamps import (
    LONGEST_UNUSED_S,
    FileState,
    is_current,
    is_older,
    is_settled,
    list_installed,
    list_tree,
    program_files,
    read_state,
)
from ..model.kernel import Form
from .entry import Manifest

MOST_FILES = 200
"""A kernel's folder with more files than this is not cached."""


@dataclass(frozen=True, slots=True)
class CachedManifest:
    """One `kernel.toml`."""

    files: tuple[FileState, ...]
    manifests: tuple[Manifest, ...]
    """One for each choice of the kernel's element types."""
    forms: Mapping[str, tuple[Form, ...]] = field(default_factory=dict)
    """Forms of the definition by the kernel's name, as far as they were needed."""


@dataclass(slots=True)
class ManifestCache:
    """Cached kernels of some folders."""

    path: Path | None
    """File of this cache; None if it is not stored."""
    entries: dict[Path, CachedManifest] = field(default_factory=dict)
    """Kernels by their manifest's file."""
    changed: bool = False

    def manifests(self, file: Path, read: Callable[[Path], tuple[Manifest, ...]]) -> tuple[Manifest, ...]:
        """Return the manifests of this file, read if they are not here or have changed. Raises what `read` raises."""
        entry = self.entries.get(file)
        if entry is None or not is_current(entry.files):
            # stamped before it is read: a change in between is noticed the next time
            below = _states(file.parent) if self.path else ()
            manifests = read(file)
            entry = CachedManifest(_with_others(below, manifests), manifests)
            self.entries[file] = entry
            self.changed = True
        return entry.manifests

    def forms(self, manifest: Manifest, read: Callable[[], tuple[Form, ...]]) -> tuple[Form, ...]:
        """Return the forms of a kernel whose manifest this cache returned. Raises what `read` raises."""
        entry, name = self.entries[manifest.file], manifest.kernel.name
        if name not in entry.forms:
            entry = replace(entry, forms={**entry.forms, name: read()})
            self.entries[manifest.file] = entry
            self.changed = True
        return entry.forms[name]

    def save(self) -> None:
        """Write new entries. A cache that cannot be written only costs speed."""
        if not self.changed or self.path is None:
            return
        self.changed = False
        kept = {
            file: entry
            for file, entry in self.entries.items()
            if 0 < len(entry.files) <= MOST_FILES and is_settled(entry.files)
        }
        content = pickle.dumps(kept, protocol=5)
        with contextlib.suppress(OSError):
            write_checked(self.path, content)
            _prune(self.path.parent)


def open_manifest_cache(files: Iterable[Path]) -> ManifestCache:
    """Read the cache for the kernels with these manifests; empty if there is none."""
    folder = find_cache_folder("kernels")
    if folder is None:
        return ManifestCache(None)
    own = [read_state(path) for path in program_files()]
    if not is_older(own):
        return ManifestCache(None)  # the program was replaced while this process runs: its objects are of the old one
    path = folder / digest_parts([*_program(own), *(os.fsencode(file) for file in files)]).hex()
    found = read_checked(path)  # unpickling can run any code: a file that another user could have written is not read
    return ManifestCache(path, pickle.loads(found[0])) if found else ManifestCache(path)


def _program(own: Sequence[FileState]) -> list[bytes]:
    """Return the state that results depend on besides their inputs: this program's files (`own`), Python, and all
    installed packages.
    """
    compiler = [os.path.join(path, "iree", "compiler", "version.py") for path in sys.path if path]
    states = [*own, *(read_state(path) for path in compiler)]
    return [repr((sys.version, states)).encode(), *map(os.fsencode, list_installed())]


def _states(folder: Path) -> tuple[FileState, ...]:
    """Return the states of a kernel's folder and all files in it; empty if there are more than `MOST_FILES`."""
    found = list_tree(folder, most=MOST_FILES)
    return tuple(read_state(path) for path in found) if len(found) <= MOST_FILES else ()


def _with_others(below: tuple[FileState, ...], manifests: tuple[Manifest, ...]) -> tuple[FileState, ...]:
    """Add the files that manifests name outside of their folder, and those beside their code."""
    folder = manifests[0].file.parent.resolve()
    for place in dict.fromkeys(manifest.kernel.payload.path.resolve().parent for manifest in manifests):
        if place != folder:
            beside = _states(place)
            below = (*below, *beside) if beside else ()
    if not below:
        return ()
    named: list[Path] = []
    for manifest in manifests:
        payload = manifest.kernel.payload
        named += [
            manifest.file,
            payload.path,
            *payload.objects,
            *([manifest.definition] if manifest.definition else []),
        ]
    known = {state[0] for state in below}
    return below + tuple(read_state(path) for path in dict.fromkeys(map(os.fspath, named)) if path not in known)


def _prune(folder: Path) -> None:
    """Remove files unused for long: of another state of the program, or for folders no longer in use."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LONGEST_UNUSED_S:
                path.unlink()
