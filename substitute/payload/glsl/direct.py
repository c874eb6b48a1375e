"""One invocation per few results of a reduction: correct for every reduction, tuned for none."""

from __future__ import annotations

from ...codegen.unsupported import Unsupported
from ...model.dispatch import Linear, Nest, Program
from ...model.index import Index, apply, product
from ...model.plan import Generated
from ...model.scalar import Scalar
from .lower import lower_index
from .operations import GLSL_TYPE, lower_constant, lower_operation
from .shader import FLAT_GROUP, Shader, delinearize, flat_grid, indent
from .stores import emit_independent_stores, emit_stores, place_stores

THREADS = 64
RESULTS = 4
"""Neighbouring results per invocation: what does not change along them is loaded once."""


def only_core(program: Program) -> Nest:
    """The single reduction of a program. Raises `Unsupported`."""
    if len(program.cores) != 1 or not isinstance(program.cores[0], Nest):
        raise Unsupported(f"a dispatch with {len(program.cores)} cores where one reduction is needed")
    return program.cores[0]


def parallel_loops(core: Nest) -> tuple[int, ...]:
    """The loops of a reduction that number its results."""
    return tuple(i for i, kind in enumerate(core.kinds) if kind == "parallel")


def reduction_loops(core: Nest) -> tuple[int, ...]:
    """The loops that are summed over."""
    return tuple(i for i, kind in enumerate(core.kinds) if kind == "reduction")


def target_coordinates(core: Nest) -> tuple[int | None, ...]:
    """For each dimension of the core's temporary, the parallel loop that is its index; None where it has one place."""
    result: list[int | None] = []
    for coordinate in core.target:
        if coordinate.terms and coordinate.loop is None:
            raise Unsupported("a reduction whose result is addressed by more than a loop")
        result.append(coordinate.loop)
    return tuple(result)


def combine(core: Nest, type_: str, a: str, b: str) -> str:
    """`combiner(a, b)`."""
    return lower_operation(Scalar(core.combiner, type_), (type_, type_), (a, b))


def initial(core: Nest, type_: str) -> str:
    """What a reduction starts from. Raises `Unsupported` where that is no constant."""
    if core.init is None:
        raise Unsupported("a reduction that starts from a value in memory")
    return lower_constant(core.init, type_)


def core_type(core: Nest) -> str:
    """The element type of a reduction's result."""
    type_ = core.expr.nodes[core.expr.results[0]].type
    if core.type is not None and core.type.element != type_:
        raise Unsupported(f"a reduction of {type_} into {core.type.element}")
    if type_ not in GLSL_TYPE:
        raise Unsupported(f"a reduction of {type_}")
    return type_


def write_direct(shader: Shader, program: Program) -> Generated:
    """A shader whose invocations compute a few neighbours each, where that saves loads. Raises `Unsupported`."""
    along = _reuse_loop(only_core(program))
    width = RESULTS if along is not None else 1
    body, total = direct_body(shader, program, along, width)
    return Generated(
        text=shader.text(body, (THREADS, 1, 1)),
        workgroup_count=flat_grid(apply("ceildiv", total, THREADS)),
        workgroup_size=(THREADS, 1, 1),
        summary=f"direct, {width} result{'s' if width > 1 else ''} per invocation",
    )


def direct_body(shader: Shader, program: Program, along: int | None, width: int) -> tuple[str, Index]:
    """The text of `main`, and how many invocations it takes."""
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
    lines = [f"{GLSL_TYPE[type_]} {name} = {initial(core, type_)};" for name in accumulators]
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
            moving = nodes_along(core, along)
            known = {at: text for at, text in lowering.values.items() if at not in moving}
    return lines


def nodes_along(core: Nest, loop: int | None) -> frozenset[int]:
    """Nodes of the expression whose value changes with this loop."""
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
    """The parallel loop along which most reads stay where they are, the innermost of equals; None if there is none."""
    best: tuple[int, int] | None = None
    for loop in parallel_loops(core):
        size = core.sizes[loop]
        if isinstance(size, int) and size < 4:
            continue
        moving = nodes_along(core, loop)
        still = sum(1 for at, n in enumerate(core.expr.nodes) if n.op in ("read", "gather") and at not in moving)
        if still and (best is None or (still, loop) >= best):
            best = (still, loop)
    return best[1] if best else None
