"""Check that a later loop nest reads an earlier one's result in the same way as in the definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.dispatch import Linear, Read
from ..model.plan import Rule

Coordinates = tuple[Linear, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """A result of a definition's core, and the dispatch's corresponding result."""

    number: int
    """Number of the dispatch's temporary."""
    wanted: Coordinates
    """The definition's result, over its own loops."""
    found: Coordinates
    """The dispatch's result, over its own loops."""
    loops: tuple[tuple[int, ...], ...]
    """Loops of the dispatch's core for each loop of the definition's."""


def check_temporary(
    produced: Mapping[int, Produced], wanted: Read, found: Read, loops: tuple[tuple[int, ...], ...]
) -> Rule | None:
    """Return None if `found` reads the result that `wanted` names, each coordinate along the same axis.

    `loops` are, for each loop of the definition's nest that reads, the loops of the dispatch's.
    """
    if isinstance(wanted.source, int) and isinstance(found.source, int):
        known = produced.get(wanted.source)
        if known is not None and known.number == found.source and _same_axes(known, wanted, found, loops):
            return None
    return Rule(
        name="structure.temporaries",
        passed=False,
        expected="results of the core, read as the definition reads them",
        found="another result, or its axes in another order",
    )


def _same_axes(known: Produced, wanted: Read, found: Read, loops: tuple[tuple[int, ...], ...]) -> bool:
    dimension_of = {c.loop: d for d, c in enumerate(known.found) if c.loop is not None}
    for target, coordinate in zip(known.wanted, wanted.access, strict=True):
        if target.loop is None or coordinate.loop is None:
            if target.terms or coordinate.terms:
                return False
            continue
        ours, theirs = known.loops[target.loop], loops[coordinate.loop]
        if len(ours) != len(theirs):
            return False
        for produced_along, read_along in zip(ours, theirs, strict=True):
            dimension = dimension_of.get(produced_along)
            if dimension is None or found.access[dimension].loop != read_along:
                return False
    return True
