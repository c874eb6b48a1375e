"""Matrix multiplication in shared-memory tiles: 64 invocations compute a block of results together.

Kernel `vulkan_matmul` uses this generator. What it needs is any sum of products of two factors, not a matrix: batched
and transposed products, and convolutions seen as such, differ only in which loops move which factor (`split_core`):

    result[batch, row, column] = initial + Σ over depth of left(batch, row, depth) · right(batch, column, depth)

A row is a point of the parallel loops that only the left factor depends on, a column one of the right factor's; loops
that move both are the batch. The factor whose loops come last in the result gives the columns, so that neighbouring
invocations store neighbours. Where a factor has no loop of its own (a vector, a depthwise convolution) nothing can be
shared: `direct.py` does it.

**The tiling.** Every multiply-add needs two elements: one result at a time, `2 · depth` loads. A workgroup that
computes `R × C` results together needs `(R + C) · depth` elements for all of them, which is 64 · depth instead of
2048 · depth for 32 × 32: each element is loaded from memory once and used 32 times.

    result        32 × 32 per workgroup    `SIDE · per_invocation` rows and columns; 8 or 16 where the result has fewer
    shared memory 2 tiles of 32 × 16       `DEPTH` = 16 of the summed axis at a time: 4 KB; Vulkan promises 16 KB
    registers     4 × 4 per invocation     16 sums; a step loads 4 + 4 from shared memory for 16 multiply-adds

**The workgroup** is 8 × 8 = 64 invocations; Vulkan promises 128. Invocation (tx, ty) has rows `ty, ty + 8, …` and
columns `tx, tx + 8, …`, not blocks of neighbours: in each step the eight invocations with one `ty` read eight
neighbouring words of the right tile, and all of them the same word of the left one.

**The loop of a workgroup**

    for k0 in depth, by 16
      each invocation loads its share of both tiles      _fill(): bounds, conversions, fused work, once per element
      barrier()                                          no one multiplies before all is there
      for kk in 16                                       _multiply(): 8 loads from shared memory, 16 multiply-adds
      barrier()                                          no one overwrites what another still reads
    finish(row, column, sum) for each of the 16          fused work and the store: a function, so its code stands once

Elements beyond the edges are filled with zeros, so that the inner loop has no conditions; only `_results` looks at the
bounds. Both barriers are reached by all 64 invocations: `tile` is the same for all of a workgroup, and so is the loop.

**Filling.** Tiles lie depth by depth in shared memory, whatever the operand's layout; it is the order of loading that
follows memory. Invocations that are neighbours load neighbours: along the depth where that is the operand's last
dimension, else along the rows or columns (`_adjacent`).

Sums are named scalars, `acc00` … `acc33`, not an array: drivers keep arrays that are indexed in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from substitute.codegen.glsl.generator import generate_shader, refuse_program
from substitute.codegen.glsl.lower import lower_index
from substitute.codegen.glsl.operations import GLSL_TYPE, lower_operation
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
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Linear, Nest, Program
from substitute.model.index import Index, apply, mul, product
from substitute.model.plan import Generated, Request
from substitute.model.scalar import Scalar

from .direct import write_direct

SIDE = 8
"""Invocations of a workgroup along rows and along columns."""
DEPTH = 16
"""Elements of the summed axis in one tile."""
THREADS = SIDE * SIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One side of the product."""

    node: int
    """Root of the factor in the core's expression."""
    loops: tuple[int, ...]
    """Parallel loops that only this factor depends on: rows of the left one, columns of the right one."""
    name: str
    per_invocation: int
    """Results along these loops that one invocation computes."""

    @property
    def extent(self) -> int:
        """Return the rows or columns of one tile."""
        return SIDE * self.per_invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The parts of a core: `sum over k of left(batch, row, k) · right(batch, column, k)`."""

    core: Nest
    type: str
    left: Factor
    right: Factor
    batch: tuple[int, ...]

    def size(self, loops: tuple[int, ...]) -> Index:
        """Return the number of points of these loops."""
        return product(tuple(self.core.sizes[loop] for loop in loops))


def can_generate(program: Program) -> str:
    """Return why no shader can be written for a program; empty: one can."""
    return refuse_program(write_contraction, program)


def generate(request: Request) -> Generated:
    """Return the shader for a dispatch. Raises `PayloadError`."""
    return generate_shader(write_contraction, request)


def write_contraction(shader: Shader, program: Program) -> Generated:
    """Return tiles where both factors have loops of their own, else a few results per invocation."""
    try:
        return write_tiles(Shader(shader.operands, shader.layout, shader.features), program)
    except Unsupported:
        return write_direct(shader, program)


def write_tiles(shader: Shader, program: Program) -> Generated:
    """Write a shader in which 64 invocations share tiles of both factors. Raises `Unsupported`."""
    split = split_core(only_core(program))
    left, right = split.left, split.right
    row_tiles = apply("ceildiv", split.size(left.loops), left.extent)
    column_tiles = apply("ceildiv", split.size(right.loops), right.extent)
    tiles = mul(mul(row_tiles, column_tiles), split.size(split.batch))
    shared = [
        f"shared {GLSL_TYPE[split.core.expr.nodes[f.node].type]} tile_{f.name}[{DEPTH * f.extent}];"
        for f in (left, right)
    ]
    main = [
        f"int tile = {FLAT_GROUP};",
        f"if (tile < {lower_index(tiles)}) {{",
        indent(_tile(shader, split, row_tiles, column_tiles)),
        "}",
        *emit_independent_stores(shader, program, THREADS),
    ]
    body = [*shared, "", *_finish(shader, program, split), "", "void main() {", indent(main), "}"]
    return Generated(
        text=shader.text("\n".join(body), (THREADS, 1, 1)),
        workgroup_count=flat_grid(tiles),
        workgroup_size=(THREADS, 1, 1),
        summary=f"{left.extent}×{right.extent}×{DEPTH} shared-memory tiles",
    )


def split_core(core: Nest) -> Split:
    """Return the two factors and the loops of each. Raises `Unsupported` for other expressions."""
    type_ = core_type(core)
    root = core.expr.nodes[core.expr.results[0]]
    if (core.combiner, root.op) not in (("arith.addf", "arith.mulf"), ("arith.addi", "arith.muli")):
        raise Unsupported(f"{core.combiner} of {root.op} is no sum of products")
    if type_ not in ("f32", "i32", "f16", "bf16"):
        raise Unsupported(f"tiles of {type_}")
    uses = [_parallel_uses(core, node) for node in root.operands]
    parallel = parallel_loops(core)
    own = [tuple(p for p in parallel if p in uses[i] and p not in uses[1 - i]) for i in (0, 1)]
    # the side whose loops come last in the result gives the columns: neighbours store neighbours
    first, second = (0, 1) if max(own[0], default=-1) <= max(own[1], default=-1) else (1, 0)
    factors = []
    for which, name in ((first, "a"), (second, "b")):
        size = product(tuple(core.sizes[loop] for loop in own[which]))
        if size == 1:
            raise Unsupported("a factor without a loop of its own: nothing to share")
        per = next((n for n in (1, 2) if isinstance(size, int) and size <= SIDE * n), 4)
        factors.append(Factor(node=root.operands[which], loops=own[which], name=name, per_invocation=per))
    taken = {*own[0], *own[1]}
    batch = tuple(p for p in parallel if p not in taken)
    return Split(core=core, type=type_, left=factors[0], right=factors[1], batch=batch)


def _parallel_uses(core: Nest, root: int) -> frozenset[int]:
    loops: set[int] = set()
    for at in core.expr.depends_on(root):
        node = core.expr.nodes[at]
        if node.op == "index" and isinstance(node.attribute, int):
            loops.add(node.attribute)
        elif node.op == "read" and isinstance(node.attribute, int):
            loops |= {loop for c in core.reads[node.attribute].access for loop, _ in c.terms}
    return frozenset(loops) & frozenset(parallel_loops(core))


def _tile(shader: Shader, split: Split, row_tiles: Index, column_tiles: Index) -> list[str]:
    left, right = split.left, split.right
    columns, rows = lower_index(column_tiles), lower_index(row_tiles)
    sizes = [split.core.sizes[b] for b in split.batch]
    loops = reduction_loops(split.core)
    fill = [*_fill(shader, split, left, "row"), *_fill(shader, split, right, "column")]
    return [
        *delinearize(f"tile / {columns} / {rows}", sizes, [f"p{b}" for b in split.batch]),
        f"int row = (tile / {columns}) % {rows} * {left.extent};",
        f"int column = tile % {columns} * {right.extent};",
        f"int rows = {lower_index(split.size(left.loops))};",
        f"int columns = {lower_index(split.size(right.loops))};",
        f"int depth = {lower_index(split.size(loops))};",
        "int local = int(gl_LocalInvocationIndex);",
        f"int tx = local % {SIDE};",
        f"int ty = local / {SIDE};",
        *(
            f"{GLSL_TYPE[split.type]} {name} = {initial_value(split.core, split.type)};"
            for _, _, name in _accumulators(split)
        ),
        f"for (int k0 = 0; k0 < depth; k0 += {DEPTH}) {{",
        indent(fill),
        "  barrier();",
        f"  for (int kk = 0; kk < {DEPTH}; ++kk) {{",
        indent(_multiply(split), 2),
        "  }",
        "  barrier();",
        "}",
        *_results(split),
    ]


def _accumulators(split: Split) -> list[tuple[int, int, str]]:
    """Return (row, column, name) of the results of one invocation: scalars, since drivers keep indexed arrays in
    memory.
    """
    rows, columns = range(split.left.per_invocation), range(split.right.per_invocation)
    return [(i, j, f"acc{i}{j}") for i in rows for j in columns]


def _multiply(split: Split) -> list[str]:
    lines: list[str] = []
    for factor, lane in ((split.left, "ty"), (split.right, "tx")):
        value = GLSL_TYPE[split.core.expr.nodes[factor.node].type]
        for i in range(factor.per_invocation):
            at = f"kk * {factor.extent} + {i * SIDE} + {lane}"
            lines.append(f"{value} {factor.name}{i} = tile_{factor.name}[{at}];")
    for i, j, name in _accumulators(split):
        lines.append(f"{name} = {combine(split.core, split.type, name, _product(split, f'a{i}', f'b{j}'))};")
    return lines


def _product(split: Split, a: str, b: str) -> str:
    root = split.core.expr.nodes[split.core.expr.results[0]]
    types = tuple(split.core.expr.nodes[o].type for o in root.operands)
    return lower_operation(Scalar(root.op, root.type), types, (a, b), exact=False)


def _fill(shader: Shader, split: Split, factor: Factor, side: str) -> list[str]:
    """Return the loads of a tile: neighbouring invocations read neighbours, along the sum, or along rows or columns."""
    core, name, extent = split.core, factor.name, factor.extent
    loops = [f"p{i}" if kind == "parallel" else f"r{i}" for i, kind in enumerate(core.kinds)]
    reductions = reduction_loops(core)
    lowering = shader.nest(core, loops)
    value = lowering.value(factor.node)
    type_ = core.expr.nodes[factor.node].type
    if _adjacent(core, factor.node, reductions) or not factor.loops:
        where = [f"int kk = e % {DEPTH};", f"int at = e / {DEPTH};"]
    else:
        where = [f"int at = e % {extent};", f"int kk = e / {extent};"]
    inner = [
        *delinearize(f"{side} + at", [core.sizes[p] for p in factor.loops], [f"p{p}" for p in factor.loops]),
        *delinearize("k0 + kk", [core.sizes[r] for r in reductions], [f"r{r}" for r in reductions]),
        *lowering.statements,
        f"value = {value};",
    ]
    zero = "0" if GLSL_TYPE[type_] == "int" else "0.0"
    return [
        f"for (int e = local; e < {DEPTH * extent}; e += {THREADS}) {{",
        indent(where),
        f"  {GLSL_TYPE[type_]} value = {zero};",
        f"  if ({side} + at < {side}s && k0 + kk < depth) {{",
        indent(inner, 2),
        "  }",
        f"  tile_{name}[kk * {extent} + at] = value;",
        "}",
    ]


def _adjacent(core: Nest, root: int, loops: tuple[int, ...]) -> bool:
    """Return True if the innermost of these loops moves a read of `root` along its last dimension."""
    for at in core.expr.depends_on(root):
        node = core.expr.nodes[at]
        if node.op == "read" and isinstance(node.attribute, int) and loops:
            access = core.reads[node.attribute].access
            if access and any(loop == loops[-1] for loop, _ in access[-1].terms):
                return True
    return False


def _results(split: Split) -> list[str]:
    left, right = split.left, split.right
    rows = delinearize("m", [split.core.sizes[p] for p in left.loops], [f"p{p}" for p in left.loops])
    columns = delinearize("n", [split.core.sizes[p] for p in right.loops], [f"p{p}" for p in right.loops])
    coordinates = [f"p{p}" for p in parallel_loops(split.core)]
    lines: list[str] = []
    for i, j, name in _accumulators(split):
        lines += [
            "{",
            f"  int m = row + {i * SIDE} + ty;",
            f"  int n = column + {j * SIDE} + tx;",
            "  if (m < rows && n < columns) {",
            indent([*rows, *columns, f"finish({', '.join([*coordinates, name])});"], 2),
            "  }",
            "}",
        ]
    return lines


def _finish(shader: Shader, program: Program, split: Split) -> list[str]:
    """Return the function that applies all fused work to one result."""
    core = split.core
    placements = place_stores(program, {core.temporary: target_coordinates(core)})

    def value(_access: tuple[Linear, ...], _loops: object) -> str:
        return "total"

    names = [f"p{i}" for i in range(len(core.sizes))]
    stores = emit_stores(shader, placements, names, core.sizes, {core.temporary: value})
    parameters = ", ".join([*(f"int p{p}" for p in parallel_loops(core)), f"{GLSL_TYPE[split.type]} total"])
    return [f"void finish({parameters}) {{", indent(stores), "}"]
