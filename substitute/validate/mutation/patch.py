"""Mutants of binaries, put in place of the bytes that they change."""

from __future__ import annotations

from .mutant import Mutant


def patched(data: bytes, mutant: Mutant) -> bytes:
    """The bytes with the mutant's patch."""
    return data[: mutant.place] + mutant.patch + data[mutant.place + len(mutant.patch) :]
