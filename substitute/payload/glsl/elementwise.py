"""Any element-wise work: every store nest, one point per invocation and step."""

from __future__ import annotations

from ...codegen.unsupported import Unsupported
from ...model.dispatch import Nest, Program
from ...model.index import apply, product
from ...model.plan import Generated
from .shader import Shader, flat_grid, indent
from .stores import emit_flat_nest

THREADS = 64


def write_elementwise(shader: Shader, program: Program) -> Generated:
    """A shader whose invocations share the points of each nest. Raises `Unsupported`."""
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
    """How many points a nest has as far as is known; the grid is right for any nest, this is for speed."""
    total = 1
    for size in nest.sizes:
        total *= size if isinstance(size, int) else 64
    return total
