"""The files that a kernel's code is made from, and their digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..model.kernel import Kernel

ATTESTATION_SUFFIXES = (".intoto.json", ".sigstore.json")
"""Endings of attestations, which lie beside a kernel and are no part of it."""


def list_files(kernel: Kernel) -> dict[str, Path]:
    """Return every file in the folders of a kernel and of its code, and what is linked with it, by `FOLDER/FILE`."""
    folders = dict.fromkeys((kernel.folder, kernel.payload.path.parent))
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    named: dict[str, Path] = {}
    for path in dict.fromkeys((*files, *kernel.payload.objects)):
        base = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
        if "__pycache__" not in path.parts and not path.name.endswith(ATTESTATION_SUFFIXES):
            named[f"{base.name}/{path.relative_to(base).as_posix()}"] = path
    return named


def digest_files(kernel: Kernel) -> dict[str, str]:
    """Return the SHA-256 of each of these files. Raises `OSError`."""
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in list_files(kernel).items()}
