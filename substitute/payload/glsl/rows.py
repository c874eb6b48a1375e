"""Reductions over rows, one after the other, and what is broadcast back over each row: layer norm, RMS norm, sums."""

from __future__ import annotations

from dataclasses import dataclass

from ...codegen.unsupported import Unsupported
from ...model.dispatch import Named, Nest, Program
from ...model.index import Index, product
from ...model.ops import COMBINERS, neutral
from ...model.plan import Generated
from .direct import combine, core_type, initial, reduction_loops, target_coordinates, write_direct
from .groups import reduce_function, shared_stores
from .lower import lower_index
from .operations import GLSL_TYPE, INT_BITS, lower_constant
from .shader import FLAT_GROUP, Element, Shader, Temporaries, delinearize, flat_grid, indent
from .stores import emit_independent_stores, place_stores

THREADS = 64
SHORT_ROW = 16
"""Rows of up to this many elements are summed by one invocation each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCore:
    """One reduction of the chain."""

    core: Nest
    type: str
    places: tuple[int | None, ...]
    """For each dimension of its temporary: the number of the row's coordinate; None where it has one place."""
    loops: tuple[str, ...]
    """The text of each loop's index."""


def write_rows(shader: Shader, program: Program) -> Generated:
    """A shader with one workgroup per row; a single reduction of short rows goes without. Raises `Unsupported`."""
    if not program.cores:
        raise Unsupported("a dispatch without a reduction")
    chain, sizes = row_chain(program)
    length = product(tuple(chain[0].core.sizes[r] for r in reduction_loops(chain[0].core)))
    if len(chain) == 1 and isinstance(length, int) and length <= SHORT_ROW:
        return write_direct(shader, program)
    rows = product(sizes)
    coordinates = [f"c{i}" for i in range(len(sizes))]

    def element_of(number: int) -> Element:
        return lambda _access, _loops: f"result{number}"

    temporaries = {c.core.temporary: element_of(c.core.temporary) for c in chain}
    placements = place_stores(program, {c.core.temporary: c.places for c in chain})
    steps = [line for c in chain for line in _reduce(shader, c, temporaries)]
    stores = shared_stores(shader, placements, coordinates, sizes, temporaries, THREADS)
    main = [
        f"int row = {FLAT_GROUP};",
        f"if (row < {lower_index(rows)}) {{",
        indent([*delinearize("row", sizes, coordinates), *steps, *stores]),
        "}",
        *emit_independent_stores(shader, program, THREADS),
    ]
    functions = [line for c in chain for line in _function(c)]
    body = [*functions, "", "void main() {", indent(main), "}"]
    count = len(chain)
    return Generated(
        text=shader.text("\n".join(body), (THREADS, 1, 1)),
        workgroup_count=flat_grid(rows),
        workgroup_size=(THREADS, 1, 1),
        summary=f"one workgroup of {THREADS} per row, {count} reduction{'s' if count > 1 else ''}",
    )


def row_chain(program: Program) -> tuple[list[RowCore], tuple[Index, ...]]:
    """All cores over one space of rows, and its sizes. Raises `Unsupported` where they differ."""
    chain: list[RowCore] = []
    sizes: tuple[Index, ...] | None = None
    for core in program.cores:
        if isinstance(core, Named):
            raise Unsupported(f"the operation {core.op} among reductions")
        target = target_coordinates(core)
        order = [loop for loop in target if loop is not None]
        here = tuple(core.sizes[loop] for loop in order)
        if sizes is not None and here != sizes:
            raise Unsupported("reductions over different rows")
        sizes = here
        places = tuple(order.index(loop) if loop is not None else None for loop in target)
        loops = tuple(f"c{order.index(n)}" if n in order else f"r{n}" for n in range(len(core.sizes)))
        if len(order) + len(reduction_loops(core)) != len(core.sizes):
            raise Unsupported("a reduction with a parallel loop that its result does not have")
        _check_reads(core, order, {c.core.temporary: c for c in chain})
        chain.append(RowCore(core=core, type=core_type(core), places=places, loops=loops))
    return chain, sizes or ()


def _check_reads(core: Nest, order: list[int], before: dict[int, RowCore]) -> None:
    """A reduction may use an earlier one's result, but only that of its own row."""
    for read in core.reads:
        if not isinstance(read.source, int):
            continue
        if read.source not in before:
            raise Unsupported(f"a read of temporary {read.source} by a reduction")
        for place, access in zip(before[read.source].places, read.access, strict=True):
            if place is not None and access.loop != order[place]:
                raise Unsupported("a reduction that reads another row's result")


def _reduce(shader: Shader, row: RowCore, temporaries: Temporaries) -> list[str]:
    core = row.core
    reductions = reduction_loops(core)
    sizes = [core.sizes[r] for r in reductions]
    lowering = shader.nest(core, row.loops, temporaries)
    value = lowering.value(core.expr.results[0])
    name = f"result{core.temporary}"
    step = combine(core, row.type, name, value)
    start = _neutral(core, row.type)
    count = lower_index(product(tuple(sizes)))
    inner = [
        *delinearize("at", sizes, [f"r{r}" for r in reductions]),
        *lowering.statements,
        f"{name} = {step};",
    ]
    return [
        f"{GLSL_TYPE[row.type]} {name} = {start};",
        f"for (int at = int(gl_LocalInvocationIndex), count = {count}; at < count; at += {THREADS}) {{",
        indent(inner),
        "}",
        f"{name} = reduce{core.temporary}({name});",
        f"{name} = {combine(core, row.type, initial(core, row.type), name)};",
    ]


def _neutral(core: Nest, type_: str) -> str:
    """What each invocation starts from; the reduction's own start is combined once, at the end."""
    if core.combiner not in COMBINERS:
        raise Unsupported(f"a reduction by {core.combiner} of {type_}")
    held = f"i{INT_BITS[type_]}" if type_ in INT_BITS else type_  # an index has 32 bits here
    return lower_constant(neutral(core.combiner, held), type_)


def _function(row: RowCore) -> list[str]:
    def both(a: str, b: str) -> str:
        return combine(row.core, row.type, a, b)

    return reduce_function(f"reduce{row.core.temporary}", GLSL_TYPE[row.type], THREADS, both)
