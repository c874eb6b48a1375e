"""Softmax along one dimension: a workgroup per row, three passes over it.

Kernel `vulkan_softmax` uses this generator.

    largest = max over the row of x                        each invocation every 64th element, then group_maximum()
    sum     = Σ exp(x - largest)                           the same, then group_sum()
    y       = exp(x - largest) / sum, fused work, store    each invocation every 64th element

**Why the maximum first.** `exp` overflows f32 above 88. Shifted by the largest element no exponent is positive, and the
sum is at least 1. A row that begins with a maximum of -∞ (all elements masked) gives NaN, as the definition does.

**Why three passes.** A row is read three times, and its exponentials are computed twice, so that nothing of a row's
length is held anywhere: rows may be of any length, known or not. The second and third reading find the row in the cache
as long as it fits there. Work that IREE fused in front of the softmax (a scale, a mask) is done again in each pass, in
a function `source_element`.

**The workgroup** is 64 invocations that stride over the row: in each step they read 64 neighbours, if the row is
contiguous. `groups.reduce_function` combines their partial results in shared memory (256 bytes for each of the two)
and gives every invocation the result. It holds barriers, so all invocations of a workgroup have to reach it: the loops
differ in how often an invocation runs, the calls stand after them, and the workgroups beyond the last row leave whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from substitute.codegen.glsl.generator import generate_shader, refuse_program
from substitute.codegen.glsl.lower import lower_index
from substitute.codegen.glsl.operations import round_to
from substitute.codegen.glsl.shader import FLAT_GROUP, Shader, delinearize, flat_grid, indent
from substitute.codegen.glsl.stores import emit_independent_stores, emit_stores
from substitute.codegen.placement import place_stores
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Linear, Named, Nest, Program, View
from substitute.model.index import product
from substitute.model.plan import Generated, Request

from .groups import reduce_function

THREADS = 64


def can_generate(program: Program) -> str:
    """Return why no shader can be written for a program; empty: one can."""
    return refuse_program(write_softmax, program)


def generate(request: Request) -> Generated:
    """Return the shader for a dispatch. Raises `PayloadError`."""
    return generate_shader(write_softmax, request)


def write_softmax(shader: Shader, program: Program) -> Generated:
    """Write a shader of three passes over a row: maximum, sum of exponentials, results. Raises `Unsupported`."""
    core = program.cores[-1] if program.cores else None
    if not isinstance(core, Named) or core.op != "linalg.softmax" or len(program.cores) > 2:
        raise Unsupported("a dispatch that is no softmax")
    type_ = core.types[0]
    if type_.element not in ("f32", "f16", "bf16"):
        raise Unsupported(f"softmax of {type_.element}")
    along = _dimension(core)
    sizes = type_.shape
    row_dimensions = [d for d in range(len(sizes)) if d != along]
    rows = product(tuple(sizes[d] for d in row_dimensions))
    names = [f"d{d}" for d in range(len(sizes))]
    source, load = _source(shader, program, core, names)
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
    body = [*source, *functions, "", "void main() {", indent(main), "}"]
    return Generated(
        text=shader.text("\n".join(body), (THREADS, 1, 1)),
        workgroup_count=flat_grid(rows),
        workgroup_size=(THREADS, 1, 1),
        summary=f"one workgroup of {THREADS} per row",
    )


def _source(shader: Shader, program: Program, core: Named, names: Sequence[str]) -> tuple[list[str], str]:
    """Return the expression for an element of a row, and the function that it calls: the work fused in front."""
    source = core.reads[0].source
    if isinstance(source, View):
        return [], shader.load_view(source, tuple(Linear(terms=((d, 1),)) for d in range(len(names))), names)
    producer = program.cores[0]
    if not isinstance(producer, Nest) or producer.combiner or producer.temporary != source:
        raise Unsupported("softmax of another operation's result")
    dimension_of = {coordinate.loop: d for d, coordinate in enumerate(producer.target)}
    lowering = shader.nest(producer, [names[dimension_of[loop]] for loop in range(len(producer.sizes))])
    (value,) = lowering.results()
    parameters = ", ".join(f"int {name}" for name in names)
    lines = [f"float source_element({parameters}) {{", indent([*lowering.statements, f"return {value};"]), "}"]
    return lines, f"source_element({', '.join(names)})"


def _dimension(core: Named) -> int:
    """Return the dimension that softmax normalises. Raises `Unsupported` if the operation does not name one."""
    word = dict(core.attributes).get("dimension", "").partition(":")[0].strip()
    if not word.isdigit() or int(word) >= len(core.types[0].shape):
        raise Unsupported(f"softmax along dimension {word!r}")
    return int(word)
