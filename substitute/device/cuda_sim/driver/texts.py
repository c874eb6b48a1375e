"""Texts that the client keeps pointers to, such as `cuGetErrorString`'s, in the shared memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AREA_BYTES = 1 << 16
"""Part of the shared memory that holds texts."""
SLOT_BYTES = 4096
"""Longest text; longer ones are cut."""


class Texts:
    """Slots for texts, reused in turn: a pointer stays valid until fifteen other texts were requested."""

    def __init__(self, area: NDArray[np.uint8], base: int) -> None:
        self._area, self._base = area, base
        self._slots: list[str | None] = [None] * (AREA_BYTES // SLOT_BYTES)
        self._next = 0

    def address(self, text: str) -> int:
        """Return the text's address in the client."""
        if text not in self._slots:
            data = _cut(text.encode())
            low = self._next * SLOT_BYTES
            self._area[low : low + len(data)] = np.frombuffer(data, np.uint8)
            self._slots[self._next] = text
            self._next = (self._next + 1) % len(self._slots)
        return self._base + self._slots.index(text) * SLOT_BYTES


def _cut(data: bytes) -> bytes:
    return data[: SLOT_BYTES - 1].decode(errors="ignore").encode() + b"\0"
