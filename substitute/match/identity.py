"""A cache key for data that is expensive to hash."""

from __future__ import annotations


class ByIdentity:
    """A key that compares by identity."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __hash__(self) -> int:
        return id(self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and other.held is self.held
