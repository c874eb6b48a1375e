"""Element-wise nests that store: which of their loops follow from the coordinates of what a kernel computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...codegen.unsupported import Unsupported
from ...model.dispatch import Linear, Nest, Program
from ...model.index import Index
from ...model.scalar import GraphBuilder
from .lower import lower_index
from .shader import FLAT_GROUP, Shader, Temporaries, delinearize, indent


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a store nest's loops follow from coordinates that a kernel holds."""

    nest: Nest
    pinned: tuple[tuple[int, int, Index], ...]
    """(loop, coordinate, shift): loop = coordinate - shift."""
    guards: tuple[tuple[int, Index], ...]
    """(coordinate, value): only where the coordinate has this value."""
    free: tuple[int, ...]
    """Loops that no coordinate determines."""


def reads_temporary(nest: Nest) -> bool:
    """True if the nest uses what a core computed."""
    return any(isinstance(read.source, int) for read in nest.reads)


def place_stores(program: Program, coordinates: Mapping[int, Sequence[int | None]]) -> list[Placement]:
    """Places every store nest that reads temporaries.

    `coordinates` says for each temporary which of the kernel's coordinates each of its dimensions is; None for a
    dimension that the kernel iterates itself, whose loop stays free. Raises `Unsupported`.
    """
    placements: list[Placement] = []
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
    """One nest per result. Nests over equal loops may read a temporary in different ways."""
    parts: list[Nest] = []
    for result, write in zip(nest.expr.results, nest.writes, strict=True):
        builder = GraphBuilder(nodes=list(nest.expr.nodes))
        parts.append(
            Nest(sizes=nest.sizes, kinds=nest.kinds, reads=nest.reads, expr=builder.graph((result,)), writes=(write,))
        )
    return parts


def _place(nest: Nest, coordinates: Mapping[int, Sequence[int | None]]) -> Placement:
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
    return Placement(nest=nest, pinned=triples, guards=tuple(sorted(guards.items())), free=free)


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


def emit_stores(
    shader: Shader,
    placements: Sequence[Placement],
    coordinates: Sequence[str],
    sizes: Sequence[Index],
    temporaries: Temporaries,
) -> list[str]:
    """The statements that run placed nests at one point; `sizes` are the extents of the coordinates."""
    lines: list[str] = []
    for placement in placements:
        loops, conditions = pin_loops(placement, coordinates, sizes)
        opened = [_for(loops[loop], placement.nest.sizes[loop]) for loop in placement.free]
        inner = shader.store_results(placement.nest, loops, temporaries)
        block = [*opened, indent(inner), *("}" for _ in opened)]
        test = f"if ({' && '.join(conditions)}) " if conditions else ""
        lines += [f"{test}{{", indent(block), "}"]
    return lines


def pin_loops(placement: Placement, coordinates: Sequence[str], sizes: Sequence[Index]) -> tuple[list[str], list[str]]:
    """The text of each loop's index (a free loop gets a name), and the conditions under which the nest runs."""
    loops = [f"l{loop}" for loop in range(len(placement.nest.sizes))]
    conditions = [f"{coordinates[c]} == {lower_index(value)}" for c, value in placement.guards]
    for loop, coordinate, shift in placement.pinned:
        text = coordinates[coordinate]
        loops[loop] = text if shift == 0 else f"({text} - {lower_index(shift)})"
        size = placement.nest.sizes[loop]
        if shift != 0:
            conditions.append(f"{loops[loop]} >= 0")
        if shift != 0 or size != sizes[coordinate]:
            conditions.append(f"{loops[loop]} < {lower_index(size)}")
    return loops, conditions


def _for(name: str, size: Index) -> str:
    return f"for (int {name} = 0; {name} < {lower_index(size)}; ++{name}) {{"


def emit_independent_stores(shader: Shader, program: Program, threads: int) -> list[str]:
    """Statements that run, over the whole grid, the nests that read no temporary."""
    lines: list[str] = []
    for nest in program.stores:
        if not reads_temporary(nest):
            lines += emit_flat_nest(shader, nest, threads)
    return lines


def emit_flat_nest(shader: Shader, nest: Nest, threads: int) -> list[str]:
    """A loop over all points of an element-wise nest, shared by all invocations of a `flat_grid`."""
    names = [f"l{loop}" for loop in range(len(nest.sizes))]
    total = " * ".join(lower_index(s) for s in nest.sizes) or "1"
    first = f"{FLAT_GROUP} * {threads} + int(gl_LocalInvocationIndex)"
    step = f"int(gl_NumWorkGroups.x * gl_NumWorkGroups.y) * {threads}"
    body = [*delinearize("point", nest.sizes, names), *shader.store_results(nest, names)]
    return [
        f"for (int point = {first}, total = {total}, step = {step}; point < total; point += step) {{",
        indent(body),
        "}",
    ]
