"""Mutants of binaries, as replacements of bytes."""

from __future__ import annotations

from .mutant import Mutant


def patched(data: bytes, mutant: Mutant) -> bytes:
    """Return the bytes with the mutant's patch."""
    return data[: mutant.place] + mutant.patch + data[mutant.place + len(mutant.patch) :]
