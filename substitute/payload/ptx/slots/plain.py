"""Dispatches that only store a kernel's result: the text's own stores are kept, vectors included."""

from __future__ import annotations

from dataclasses import replace

from ....match.layout import joint_stride
from ....match.nests import place_operand
from ....model.dispatch import Linear, Nest, View, Write
from ....model.index import Index
from ....model.plan import Parameter, Placement, Request
from .writer import result_of


def with_plain_result(request: Request) -> Request | None:
    """Return the request with the result's own pointer and strides; None if the slots have to be filled."""
    kernel, program = request.substitution.kernel, request.program
    if "prologue" in kernel.slots or len(program.stores) != 1 or len(program.stores[0].writes) != 1:
        return None
    form = next(f for f in kernel.forms if f.name == request.match.form)
    (wanted,) = form.program.stores[0].writes
    placed = _placed(request, program.stores[0], wanted)
    if placed is None:
        return None
    number = wanted.view.operand
    spec = kernel.operands[number]
    strides = tuple(joint_stride(d) or 0 for d in placed.dimensions)
    view = View(operand=placed.view.operand, type=placed.view.type, offset=placed.start, strides=strides)
    parameters = list(request.parameters)
    parameters[number] = Parameter(
        name=spec.name, operand=program.operands[view.operand], view=view, written=True, read=False
    )
    named: dict[str, Index] = {f"stride_{spec.name}_{a}": s for a, s in zip(spec.axes, strides, strict=True)}
    scalars = tuple(named.get(n, s) for n, s in zip(request.scalar_names, request.scalars, strict=True))
    return replace(request, parameters=tuple(parameters), scalars=scalars)


def _placed(request: Request, nest: Nest, wanted: Write) -> Placement | None:
    """Return the result's placement, in the definition's coordinates."""
    kernel, result = request.substitution.kernel, result_of(request.program)
    root = nest.expr.nodes[nest.expr.results[0]]
    if root.op != "read" or not isinstance(root.attribute, int):
        return None
    read = nest.reads[root.attribute]
    loops: dict[int, int] = {}
    for loop, size, access in zip(result.coordinates, result.sizes, read.access, strict=True):
        if loop is None and not access.terms:
            continue
        if loop is None or access.loop is None or nest.sizes[access.loop] != size:
            return None
        loops[access.loop] = loop
    if len(loops) != len(nest.sizes) or read.source != result.temporary:
        return None
    (write,) = nest.writes
    moved = tuple(
        Linear(terms=tuple(sorted((loops[loop], c) for loop, c in coordinate.terms)), constant=coordinate.constant)
        for coordinate in write.access
    )
    spec = kernel.operands[wanted.view.operand]
    identity = tuple(Linear(terms=((d, 1),)) for d in range(len(spec.axes)))
    axes = tuple(request.match.axis(name) for name in spec.axes)
    found = place_operand(kernel, wanted.view, identity, write.view, moved, axes)
    return found if isinstance(found, Placement) else None
