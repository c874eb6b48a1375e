"""A payload as it is emitted: which bytes, for which dispatch and target."""

from __future__ import annotations

from dataclasses import dataclass

from .dispatch import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """A payload's digests, and what it was made for."""

    dispatch: str
    kernel: str
    sha256: str
    """Of the bytes that are embedded."""
    unnamed_sha256: str
    """Of the same without the entry point's name, which may be that of a dispatch."""
    format: str
    target: Target
    unsure: str = ""
    """Reason why the dispatch's verdict may be that of other code; empty: it is this payload's."""
