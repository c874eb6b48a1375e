"""Placement of results for any target: store nests over the coordinates that a kernel holds, and addresses in views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..model.dispatch import Linear, Nest, Program, View
from ..model.index import Index, add, mul
from ..model.plan import Request
from .unsupported import Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedNest:
    """A store nest whose loops are determined by coordinates that a kernel holds."""

    nest: Nest
    pinned: tuple[tuple[int, int, Index], ...]
    """(loop, coordinate, shift): loop = coordinate - shift."""
    guards: tuple[tuple[int, Index], ...]
    """(coordinate, value): the nest runs only where the coordinate has this value."""
    free: tuple[int, ...]
    """Loops that no coordinate determines."""


def reads_temporary(nest: Nest) -> bool:
    """True if the nest uses what a core computed."""
    return any(isinstance(read.source, int) for read in nest.reads)


def place_stores(program: Program, coordinates: Mapping[int, Sequence[int | None]]) -> list[PlacedNest]:
    """Place every store nest that reads temporaries.

    `coordinates` says for each temporary which of the kernel's coordinates each of its dimensions is; None for a
    dimension that the kernel iterates itself, whose loop stays free. Raises `Unsupported`.
    """
    placements: list[PlacedNest] = []
    for nest in program.stores:
        if reads_temporary(nest):
            try:
                placements.append(_place(nest, coordinates))
            except Unsupported:
                if len(nest.writes) < 2:
                    raise
                placements += [_place(part, coordinates) for part in split_results(nest)]
    return placements


def split_results(nest: Nest) -> list[Nest]:
    """Return one nest per result. Nests over equal loops may read a temporary in different ways."""
    parts: list[Nest] = []
    for result, write in zip(nest.expr.results, nest.writes, strict=True):
        expr = nest.expr.part((result,))
        parts.append(Nest(sizes=nest.sizes, kinds=nest.kinds, reads=nest.reads, expr=expr, writes=(write,)))
    return parts


def _place(nest: Nest, coordinates: Mapping[int, Sequence[int | None]]) -> PlacedNest:
    pinned: dict[int, tuple[int, Index]] = {}
    guards: dict[int, Index] = {}
    used = {n.attribute for n in nest.expr.nodes if n.op in ("read", "gather")}
    for number, read in enumerate(nest.reads):
        if not isinstance(read.source, int) or number not in used:
            continue
        if read.source not in coordinates or len(read.access) != len(coordinates[read.source]):
            raise Unsupported(f"a read of temporary {read.source} by a fused operation")
        for coordinate, access in zip(coordinates[read.source], read.access, strict=True):
            if coordinate is None:
                continue
            _pin(coordinate, access, pinned, guards)
    free = tuple(loop for loop in range(len(nest.sizes)) if loop not in pinned)
    triples = tuple((loop, coordinate, shift) for loop, (coordinate, shift) in sorted(pinned.items()))
    return PlacedNest(nest=nest, pinned=triples, guards=tuple(sorted(guards.items())), free=free)


def _pin(coordinate: int, access: Linear, pinned: dict[int, tuple[int, Index]], guards: dict[int, Index]) -> None:
    if not access.terms:
        if guards.setdefault(coordinate, access.constant) != access.constant:
            raise Unsupported("a fused operation that reads two places of one result")
        return
    if len(access.terms) != 1 or access.terms[0][1] != 1:
        raise Unsupported("a fused operation that reads a result with a stride")
    loop = access.terms[0][0]
    if pinned.setdefault(loop, (coordinate, access.constant)) != (coordinate, access.constant):
        raise Unsupported("a fused operation that reads one result in two orders")


def target_coordinates(core: Nest) -> tuple[int | None, ...]:
    """Return, for each dimension of the core's temporary, the parallel loop that indexes it; None for a size of one."""
    result: list[int | None] = []
    for coordinate in core.target:
        if coordinate.terms and coordinate.loop is None:
            raise Unsupported("a reduction whose result is addressed by more than a loop")
        result.append(coordinate.loop)
    return tuple(result)


def refuse_inputs(program: Program) -> str:
    """Return why no kernel can load its operands through the work that IREE fused in front of it; empty: it can."""
    core = program.cores[0] if len(program.cores) == 1 else None
    if not isinstance(core, Nest):
        return "the dispatch is not one reduction"
    if any(not isinstance(read.source, View) for read in core.reads):
        return "an operand is computed in another loop nest"
    return ""


def find_input(request: Request, name: str) -> Nest:
    """Return the only reduction, with an operand behind a prologue slot as its expression. Raises `Unsupported`."""
    reason, node = refuse_inputs(request.program), request.match.input_of(name)
    if reason or node is None:
        raise Unsupported(reason or f"{name}, which is read through a window, or in two ways")
    core = request.program.cores[0]
    assert isinstance(core, Nest)
    return replace(core, expr=core.expr.part((node,)))


def view_address(view: View, access: tuple[Linear, ...]) -> Linear:
    """Return the element that `access` of a view addresses, in elements from the operand's start, over the loops."""
    if len(access) != len(view.strides):
        raise Unsupported(f"an access of {len(access)} coordinates to a view of {len(view.strides)} dimensions")
    constant: Index = view.offset
    terms: dict[int, Index] = {}
    for coordinate, stride in zip(access, view.strides, strict=True):
        constant = add(constant, mul(coordinate.constant, stride))
        for loop, coefficient in coordinate.terms:
            terms[loop] = add(terms.get(loop, 0), mul(coefficient, stride))
    return Linear(terms=tuple(sorted((n, c) for n, c in terms.items() if c != 0)), constant=constant)
