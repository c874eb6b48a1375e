"""Element-wise work: every store nest, one point per invocation and step.

Kernel `vulkan_elementwise` uses this generator: chains of scalar operations, copies, transpositions, broadcasts and
gathers, of any element type.

**The grid** is flat, with one invocation for each point of the largest nest, in workgroups of 64. Points are numbered
row-major over the nest's loops, so that neighbouring invocations store neighbours. Each nest is a loop with the size of
the whole grid as its step, which runs once where the nest is the largest one of known size, and is right for every
other size too:

    for (point = my number; point < points; point += invocations of the grid)
      point → l0, l1, …                  loads, the expression, stores

All loads of a point come before its first store, since a result may lie on its own operand. There is nothing to share,
so there is no shared memory and no barrier; nests do not read each other's results, and need no order.
"""

from __future__ import annotations

from substitute.codegen.glsl.generator import generate_shader, refuse_program
from substitute.codegen.glsl.shader import Shader, flat_grid, indent
from substitute.codegen.glsl.stores import emit_flat_nest
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Nest, Program
from substitute.model.index import apply, product
from substitute.model.plan import Generated, Request

THREADS = 64


def can_generate(program: Program) -> str:
    """Return why no shader can be written for a program; empty: one can."""
    return refuse_program(write_elementwise, program)


def generate(request: Request) -> Generated:
    """Return the shader for a dispatch. Raises `PayloadError`."""
    return generate_shader(write_elementwise, request)


def write_elementwise(shader: Shader, program: Program) -> Generated:
    """Write a shader whose invocations share the points of each nest. Raises `Unsupported`."""
    if program.cores:
        raise Unsupported("a reduction, where element-wise work is needed")
    if not program.stores:
        raise Unsupported("a dispatch that writes nothing")
    largest = max(program.stores, key=_known_points)
    body = [line for nest in program.stores for line in emit_flat_nest(shader, nest, THREADS)]
    count = len(program.stores)
    return Generated(
        text=shader.text(f"void main() {{\n{indent(body)}\n}}", (THREADS, 1, 1)),
        workgroup_count=flat_grid(apply("ceildiv", product(largest.sizes), THREADS)),
        workgroup_size=(THREADS, 1, 1),
        summary=f"{count} element-wise nest{'s' if count > 1 else ''}",
    )


def _known_points(nest: Nest) -> int:
    """Count a nest's points, an open size as 64: any number gives a right grid, this one a fast one."""
    total = 1
    for size in nest.sizes:
        total *= size if isinstance(size, int) else 64
    return total
