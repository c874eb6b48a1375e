"""Conditions under which a kernel runs: answers of the device, and sizes of a launch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model.constraints import Comparison, Condition, Logic
from ..model.index import Index
from ..model.kernel import DeviceTest
from ..model.plan import Payload, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Conjunction: true if all parts are."""

    parts: tuple[Gate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neither:
    """Joint denial: true if no part is."""

    parts: tuple[Gate, ...]


Gate = Condition | DeviceTest | Every | Neither
"""A truth value that the host computes when it launches a dispatch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the kernels for a dispatch."""

    request: Request
    payload: Payload
    device: tuple[DeviceTest, ...] = ()
    run_time: Condition = True
    """Condition over the push constants of the dispatch."""
    variant: str = ""
    """Architecture that the payload is for, if it is not the module's."""

    @property
    def gate(self) -> Gate:
        """Condition under which it takes the dispatch if no earlier choice does."""
        return all_of((*self.device, self.run_time))

    @property
    def total(self) -> bool:
        """True if it takes every device and every size."""
        return self.gate is True


def all_of(parts: Sequence[Gate]) -> Gate:
    """Return all of them, folded."""
    unknown = tuple(part for part in parts if part is not True)
    if any(part is False for part in unknown):
        return False
    if not unknown:
        return True
    return unknown[0] if len(unknown) == 1 else Every(parts=unknown)


def none_of(parts: Sequence[Gate]) -> Gate:
    """Return the joint denial of the gates, folded."""
    unknown = tuple(part for part in parts if part is not False)
    if any(part is True for part in unknown):
        return False
    return Neither(parts=unknown) if unknown else True


def list_compared_values(gate: Gate) -> Iterator[Index]:
    """Yield all integers that a gate compares."""
    if isinstance(gate, Comparison):
        yield from (gate.left, gate.right)
    elif isinstance(gate, Logic):
        for argument in gate.args:
            yield from list_compared_values(argument)
    elif isinstance(gate, Every | Neither):
        for part in gate.parts:
            yield from list_compared_values(part)
