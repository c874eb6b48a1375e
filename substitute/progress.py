"""Progress of a long operation, as reported to a callback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Progress = Callable[[str, float | None], None]
"""Function that is called with the current phase and its completed share (0 to 1; None if unknown)."""


def silent(_what: str, _share: float | None) -> None:
    """Ignore all progress."""


@dataclass(slots=True)
class Clock:
    """Times the steps and reports them."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time one step and report its start."""
        self.progress(what, None)
        start = time.perf_counter()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start
