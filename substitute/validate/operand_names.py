"""Names of a dispatch's operands in verdicts: those of the kernel's definition, else `operand 0` and `result 0`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..model.dispatch import View
from ..model.plan import Substitution
from .case import Area

Names = tuple[tuple[int, int | None, str], ...]
"""Binding, byte offset in it (None if it is only known at launch), and name."""


def names_of(substitution: Substitution) -> Names:
    """Return the names that a kernel's definition has for the inputs of a dispatch."""
    match = substitution.match
    if match.program is None:
        return ()
    found: dict[tuple[int, int | None], str] = {}
    for name, view in _named_views(substitution):
        operand = match.program.operands[view.operand]
        if operand.kind == "binding" and operand.access == "readonly":
            offset = operand.byte_offset if isinstance(operand.byte_offset, int) else None
            found.setdefault((operand.binding, offset), name)
    return tuple((binding, offset, name) for (binding, offset), name in found.items())


def _named_views(substitution: Substitution) -> Iterator[tuple[str, View]]:
    match = substitution.match
    yield from ((placement.name, placement.view) for placement in match.placements)
    names = (operand.name for operand in substitution.kernel.operands)
    yield from zip(names, match.arguments, strict=False)


def name_areas(areas: Sequence[Area], names: Names) -> tuple[Area, ...]:
    """Return the tensors of a launch with their names."""
    known = {(binding, offset): name for binding, offset, name in names}
    places: dict[tuple[bool, int, int], str] = {}
    counts = [0, 0]
    for area in areas:
        is_read = area.access == "readonly"
        place = (is_read, area.binding, area.offset)
        if place in places:
            continue
        name = known.get((area.binding, area.offset)) or known.pop((area.binding, None), "") if is_read else ""
        places[place] = name or f"{'operand' if is_read else 'result'} {counts[is_read]}"
        counts[is_read] += 1
    return tuple(replace(a, name=places[(a.access == "readonly", a.binding, a.offset)]) for a in areas)
