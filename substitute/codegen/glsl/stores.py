"""Element-wise nests that store, as GLSL statements: at one point, or shared by all invocations."""

from __future__ import annotations

from collections.abc import Sequence

from ...model.dispatch import Nest, Program
from ...model.index import Index
from ..placement import PlacedNest, reads_temporary
from .lower import lower_index
from .shader import FLAT_GROUP, Shader, Temporaries, delinearize, indent


def emit_stores(
    shader: Shader,
    placements: Sequence[PlacedNest],
    coordinates: Sequence[str],
    sizes: Sequence[Index],
    temporaries: Temporaries,
) -> list[str]:
    """Return the statements that run placed nests at one point; `sizes` are the extents of the coordinates."""
    lines: list[str] = []
    for placement in placements:
        loops, conditions = pin_loops(placement, coordinates, sizes)
        opened = [_for(loops[loop], placement.nest.sizes[loop]) for loop in placement.free]
        inner = shader.store_results(placement.nest, loops, temporaries)
        block = [*opened, indent(inner), *("}" for _ in opened)]
        test = f"if ({' && '.join(conditions)}) " if conditions else ""
        lines += [f"{test}{{", indent(block), "}"]
    return lines


def pin_loops(placement: PlacedNest, coordinates: Sequence[str], sizes: Sequence[Index]) -> tuple[list[str], list[str]]:
    """Return the text of each loop's index (a free loop gets a name), and the conditions under which the nest runs."""
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
    """Return statements that run, over the whole grid, the nests that read no temporary."""
    lines: list[str] = []
    for nest in program.stores:
        if not reads_temporary(nest):
            lines += emit_flat_nest(shader, nest, threads)
    return lines


def emit_flat_nest(shader: Shader, nest: Nest, threads: int) -> list[str]:
    """Return a loop over all points of an element-wise nest, shared by all invocations of a `flat_grid`."""
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
