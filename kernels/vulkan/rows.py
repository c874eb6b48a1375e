"""Reductions over rows, one after the other, and what is broadcast back: layer norm, RMS norm, sums.

Kernel `vulkan_row_reduce` uses this generator.

**A row** is one point of the parallel loops that all reductions of the dispatch share. Layer norm has two (the mean,
and the variance, which uses the mean) and a store nest over the same rows (`row_chain` checks that it is so). A
workgroup of 64 invocations does all of it for one row: a result passes from one reduction to the next in a register,
and the row's second and third reading can find it in the cache.

    for each reduction
      every invocation combines every 64th element      starts from the neutral element
      reduceN()                                         all 64 in shared memory: groups.reduce_function, with barriers
      combine with the reduction's own start            once, not once per invocation
    store nests                                         shared by the workgroup along the row: groups.shared_stores

**Why the neutral element.** A reduction's start (`init`) may be anything. If each invocation began with it, it would
be in the result 64 times. So partial results begin with what changes nothing (`neutral_value`).

**The order of a sum** differs from IREE's: 64 partial sums, combined in a tree of 6 levels. Its error bound grows with
`length / 64 + 6` instead of `length`, so it is as a rule the more accurate one.

**Barriers** stand in `reduceN`, which all invocations of a workgroup have to call: the condition `row < rows` is the
same for all of them.

**Short rows** (`SHORT_ROW`, 16) of a single reduction would leave most of the 64 without an element: there `direct.py`
gives each invocation rows of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from substitute.codegen.glsl.generator import generate_shader, refuse_program
from substitute.codegen.glsl.lower import lower_index
from substitute.codegen.glsl.operations import GLSL_TYPE
from substitute.codegen.glsl.reduction import combine, core_type, initial_value, neutral_value, reduction_loops
from substitute.codegen.glsl.shader import FLAT_GROUP, Element, Shader, Temporaries, delinearize, flat_grid, indent
from substitute.codegen.glsl.stores import emit_independent_stores
from substitute.codegen.placement import place_stores, target_coordinates
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Named, Nest, Program
from substitute.model.index import Index, product
from substitute.model.plan import Generated, Request

from .direct import write_direct
from .groups import reduce_function, shared_stores

THREADS = 64
SHORT_ROW = 16
"""Rows of up to this many elements are summed by one invocation each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCore:
    """One reduction of the chain."""

    core: Nest
    type: str
    places: tuple[int | None, ...]
    """For each dimension of its temporary: the number of the row's coordinate; None if it has a single place."""
    loops: tuple[str, ...]
    """The text of each loop's index."""


def can_generate(program: Program) -> str:
    """Return why no shader can be written for a program; empty: one can."""
    return refuse_program(write_rows, program)


def generate(request: Request) -> Generated:
    """Return the shader for a dispatch. Raises `PayloadError`."""
    return generate_shader(write_rows, request)


def write_rows(shader: Shader, program: Program) -> Generated:
    """Write a shader with one workgroup per row; `direct.py` handles single reductions of short rows. Raises
    `Unsupported`.
    """
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
    """Return all cores over one space of rows, and its sizes. Raises `Unsupported` if their rows differ."""
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
    """Check that a reduction uses an earlier one's result only of its own row."""
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
    start = neutral_value(core, row.type)
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
        f"{name} = {combine(core, row.type, initial_value(core, row.type), name)};",
    ]


def _function(row: RowCore) -> list[str]:
    def both(a: str, b: str) -> str:
        return combine(row.core, row.type, a, b)

    return reduce_function(f"reduce{row.core.temporary}", GLSL_TYPE[row.type], THREADS, both)
