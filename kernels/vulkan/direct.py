"""Any reduction of one nest: an invocation computes a few neighbouring results, alone.

Kernels `vulkan_conv` and `vulkan_pool` use this generator, `tiles.py` and `rows.py` fall back to it. It is correct for
every reduction (any combiner, element type, window, stride, fused work) and tuned for none.

**The grid.** Results are numbered row-major over the parallel loops. Workgroups of 64 invocations take 64 numbers in a
row each, so that neighbours in a workgroup store neighbours in memory, which a device joins to whole cache lines. The
grid is flat (`flat_grid`): Vulkan promises 65535 workgroups along x, so more of them become rows of a second dimension,
and those beyond the last result leave at once.

**One invocation** runs all loops of the reduction over scalars in registers:

    point → p0, p1, …                  its first result
    acc0 = … = acc3 = initial
    for each reduction loop
      load what does not move along the results, once
      for each of the results          load the rest, combine
    fused work, store                  for each result

**Four results (`RESULTS`) instead of one** along one parallel loop: the reads that stay where they are along that loop
(the weights of a convolution along a row of pixels, the pixels along output channels) are loaded once for all four.
`_reuse_loop` takes the loop along which most reads stay, the innermost of equals; loops shorter than four, and
reductions in which everything moves (pooling), get one result per invocation. At the end of a row the surplus results
read the last one's inputs again (`min(p + 3, size - 1)`), which keeps all loads in bounds, and are not stored.

There is no shared memory and no barrier: invocations that read the same elements meet in the cache. So an invocation
without a result may skip the work, and workgroups need not be full.
"""

from __future__ import annotations

from substitute.codegen.glsl.generator import generate_shader, refuse_program
from substitute.codegen.glsl.lower import lower_index
from substitute.codegen.glsl.operations import GLSL_TYPE
from substitute.codegen.glsl.reduction import (
    combine,
    core_type,
    initial_value,
    only_core,
    parallel_loops,
    reduction_loops,
)
from substitute.codegen.glsl.shader import FLAT_GROUP, Shader, delinearize, flat_grid, indent
from substitute.codegen.glsl.stores import emit_independent_stores, emit_stores
from substitute.codegen.placement import place_stores, target_coordinates
from substitute.model.dispatch import Linear, Nest, Program
from substitute.model.index import Index, apply, product
from substitute.model.plan import Generated, Request

THREADS = 64
RESULTS = 4
"""Neighbouring results per invocation: what does not change along them is loaded once."""


def can_generate(program: Program) -> str:
    """Return why no shader can be written for a program; empty: one can."""
    return refuse_program(write_direct, program)


def generate(request: Request) -> Generated:
    """Return the shader for a dispatch. Raises `PayloadError`."""
    return generate_shader(write_direct, request)


def write_direct(shader: Shader, program: Program) -> Generated:
    """Write a shader whose invocations compute a few neighbours each, where that saves loads. Raises `Unsupported`."""
    along = _reuse_loop(only_core(program))
    width = RESULTS if along is not None else 1
    body, total = _main(shader, program, along, width)
    return Generated(
        text=shader.text(body, (THREADS, 1, 1)),
        workgroup_count=flat_grid(apply("ceildiv", total, THREADS)),
        workgroup_size=(THREADS, 1, 1),
        summary=f"direct, {width} result{'s' if width > 1 else ''} per invocation",
    )


def _main(shader: Shader, program: Program, along: int | None, width: int) -> tuple[str, Index]:
    """Return the text of `main`, and the number of invocations."""
    core = only_core(program)
    type_ = core_type(core)
    parallel = parallel_loops(core)
    extents = [apply("ceildiv", core.sizes[p], width) if p == along else core.sizes[p] for p in parallel]
    total = product(tuple(extents))
    names = [f"p{p}" for p in parallel]
    lines = [
        f"int point = {FLAT_GROUP} * {THREADS} + int(gl_LocalInvocationIndex);",
        f"if (point < {lower_index(total)}) {{",
        indent([*delinearize("point", extents, names), *_accumulate(shader, core, type_, along, width)]),
        indent(_finish(shader, program, core, along, width)),
        "}",
        *emit_independent_stores(shader, program, THREADS),
    ]
    return f"void main() {{\n{indent(lines)}\n}}", total


def _accumulate(shader: Shader, core: Nest, type_: str, along: int | None, width: int) -> list[str]:
    loops = [f"p{i}" if kind == "parallel" else f"r{i}" for i, kind in enumerate(core.kinds)]
    accumulators = [f"acc{w}" for w in range(width)]
    lines = [f"{GLSL_TYPE[type_]} {name} = {initial_value(core, type_)};" for name in accumulators]
    if along is not None:
        lines.append(f"p{along} = p{along} * {width};")
    reductions = reduction_loops(core)
    for loop in reductions:
        lines.append(f"for (int r{loop} = 0; r{loop} < {lower_index(core.sizes[loop])}; ++r{loop}) {{")
    lines.append(indent(_step(shader, core, type_, loops, along, accumulators)))
    return [*lines, *("}" for _ in reductions)]


def _step(
    shader: Shader, core: Nest, type_: str, loops: list[str], along: int | None, accumulators: list[str]
) -> list[str]:
    lines: list[str] = []
    known: dict[int, str] = {}
    root = core.expr.results[0]
    for number, accumulator in enumerate(accumulators):
        here = list(loops)
        if along is not None and number:
            # past the end: read the last result's inputs again, and do not store
            here[along] = f"min(p{along} + {number}, {lower_index(core.sizes[along])} - 1)"
        lowering = shader.nest(core, here, known=known)
        value = lowering.value(root)
        lines += [*lowering.statements, f"{accumulator} = {combine(core, type_, accumulator, value)};"]
        if not known:
            moving = _nodes_along(core, along)
            known = {at: text for at, text in lowering.values.items() if at not in moving}
    return lines


def _nodes_along(core: Nest, loop: int | None) -> frozenset[int]:
    """Return the nodes of the expression whose value changes with this loop."""
    moving: set[int] = set()
    for at, node in enumerate(core.expr.nodes):
        changes = any(o in moving for o in node.operands)
        if node.op == "index":
            changes = node.attribute == loop
        elif node.op == "read":
            assert isinstance(node.attribute, int)
            changes = any(n == loop for access in core.reads[node.attribute].access for n, _ in access.terms)
        if changes:
            moving.add(at)
    return frozenset(moving)


def _finish(shader: Shader, program: Program, core: Nest, along: int | None, width: int) -> list[str]:
    target = target_coordinates(core)
    placements = place_stores(program, {core.temporary: target})
    lines: list[str] = []
    for number in range(width):
        accumulator = f"acc{number}"
        coordinates = [f"p{i}" for i in range(len(core.sizes))]
        if along is not None and number:
            coordinates[along] = f"q{number}"

        def value(_access: tuple[Linear, ...], _loops: object, name: str = accumulator) -> str:
            return name

        stores = emit_stores(shader, placements, coordinates, core.sizes, {core.temporary: value})
        if along is not None and number:
            lines += [
                f"int q{number} = p{along} + {number};",
                f"if (q{number} < {lower_index(core.sizes[along])}) {{",
                indent(stores),
                "}",
            ]
        else:
            lines += stores
    return lines


def _reuse_loop(core: Nest) -> int | None:
    """Return the parallel loop that moves the fewest reads, the innermost of equals; None if every loop moves all."""
    best: tuple[int, int] | None = None
    for loop in parallel_loops(core):
        size = core.sizes[loop]
        if isinstance(size, int) and size < 4:
            continue
        moving = _nodes_along(core, loop)
        still = sum(1 for at, n in enumerate(core.expr.nodes) if n.op in ("read", "gather") and at not in moving)
        if still and (best is None or (still, loop) >= best):
            best = (still, loop)
    return best[1] if best else None
