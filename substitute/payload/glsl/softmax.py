"""Softmax along one dimension, one workgroup per row."""

from __future__ import annotations

from ...codegen.unsupported import Unsupported
from ...model.dispatch import Linear, Named, Program, View
from ...model.index import product
from ...model.plan import Generated
from .groups import reduce_function
from .lower import lower_index
from .operations import round_to
from .shader import FLAT_GROUP, Shader, delinearize, flat_grid, indent
from .stores import emit_independent_stores, emit_stores, place_stores

THREADS = 64


def write_softmax(shader: Shader, program: Program) -> Generated:
    """A shader of three passes over a row: maximum, sum of exponentials, results. Raises `Unsupported`."""
    core = program.cores[0] if len(program.cores) == 1 else None
    if not isinstance(core, Named) or core.op != "linalg.softmax":
        raise Unsupported("a dispatch that is no softmax")
    source, type_ = core.reads[0], core.types[0]
    if not isinstance(source.source, View) or type_.element not in ("f32", "f16", "bf16"):
        raise Unsupported(
            f"softmax of {type_.element} from {'memory' if isinstance(source.source, View) else 'a result'}"
        )
    along = dimension(core)
    sizes = type_.shape
    row_dimensions = [d for d in range(len(sizes)) if d != along]
    rows = product(tuple(sizes[d] for d in row_dimensions))
    names = [f"d{d}" for d in range(len(sizes))]
    identity = tuple(Linear(terms=((d, 1),)) for d in range(len(sizes)))
    load = shader.load_view(source.source, identity, names)
    length = lower_index(sizes[along])
    walk = f"for (int d{along} = int(gl_LocalInvocationIndex); d{along} < {length}; d{along} += {THREADS})"

    def value(_access: tuple[Linear, ...], _loops: object) -> str:
        return "y"

    placements = place_stores(program, {core.temporaries[0]: tuple(range(len(sizes)))})
    stores = emit_stores(shader, placements, names, sizes, {core.temporaries[0]: value})
    main = [
        f"int row = {FLAT_GROUP};",
        f"if (row < {lower_index(rows)}) {{",
        indent(delinearize("row", [sizes[d] for d in row_dimensions], [f"d{d}" for d in row_dimensions])),
        "  float largest = -f32_infinity;",
        f"  {walk} largest = f32_maximum(largest, {load});",
        "  largest = group_maximum(largest);",
        "  float sum = 0.0;",
        f"  {walk} sum += f32_exp({load} - largest);",
        "  sum = group_sum(sum);",
        f"  {walk} {{",
        f"    float y = {round_to(f'f32_exp({load} - largest) / sum', type_.element)};",
        indent(stores, 2),
        "  }",
        "}",
        *emit_independent_stores(shader, program, THREADS),
    ]
    functions = [
        *reduce_function("group_maximum", "float", THREADS, lambda a, b: f"f32_maximum({a}, {b})"),
        *reduce_function("group_sum", "float", THREADS, lambda a, b: f"{a} + {b}"),
    ]
    body = [*functions, "", "void main() {", indent(main), "}"]
    return Generated(
        text=shader.text("\n".join(body), (THREADS, 1, 1)),
        workgroup_count=flat_grid(rows),
        workgroup_size=(THREADS, 1, 1),
        summary=f"one workgroup of {THREADS} per row",
    )


def dimension(core: Named) -> int:
    """The dimension that softmax normalises. Raises `Unsupported` where the operation does not say."""
    word = dict(core.attributes).get("dimension", "").partition(":")[0].strip()
    if not word.isdigit() or int(word) >= len(core.types[0].shape):
        raise Unsupported(f"softmax along dimension {word!r}")
    return int(word)
