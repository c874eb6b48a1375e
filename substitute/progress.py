"""Progress of a long operation, as reported to a callback."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float | None], None]
"""Called with the current phase and the finished share of it (0 to 1; None if unknown)."""


def silent(_what: str, _share: float | None) -> None:
    """Ignore all progress."""
