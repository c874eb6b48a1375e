"""Binding of a kernel's canonical ABI to a dispatch: its pointers and integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..errors import PayloadError
from ..match.layout import joint_stride
from ..model.dispatch import Linear, Named, Nest, Operand, Program, Read, TensorType, View
from ..model.index import Expr, Index, leaves
from ..model.kernel import OperandSpec
from ..model.plan import Parameter, Request, Substitution


def bind(substitution: Substitution, *, entry: str) -> Request:
    """Return the arguments of this substitution's payload.

    A generator gets one pointer per view of the program, the integers that are only known at launch, and the
    parameters that are. A payload that is not generated gets one pointer per operand of its definition, then every axis
    in the order in which the operands name them, then the strides of strided operands, then every parameter.
    """
    if substitution.kernel.abi == "raw":
        return _raw(substitution, entry)
    if substitution.kernel.payload.kind.arguments == "none":
        return Request(entry=entry, substitution=substitution, parameters=(), scalars=())
    if substitution.kernel.payload.kind.arguments_for(substitution.kernel) == "operands" and substitution.kernel.forms:
        return bind_operands(substitution, entry=entry)
    program = substitution.match.program
    assert program is not None
    return Request(
        entry=entry,
        substitution=substitution,
        parameters=tuple(_parameters(substitution, program)),
        scalars=tuple(dict.fromkeys(_dynamic(program))),
        values=tuple(p for p in substitution.match.parameters if p.value.constant is None),
    )


def _raw(substitution: Substitution, entry: str) -> Request:
    """Return IREE's own layout: the start of every binding, then every push constant."""
    layout = substitution.dispatch.layout
    parameters = []
    for number, flags in enumerate(layout.bindings):
        type_ = TensorType(shape=(), element="i8")
        access = "readonly" if "ReadOnly" in flags else "readwrite"
        operand = Operand(kind="binding", type=type_, access=access, binding=number)  # type: ignore[arg-type]
        view = View(operand=number, type=type_, offset=0, strides=())
        written = access != "readonly"
        parameters.append(Parameter(name=f"binding{number}", operand=operand, view=view, written=written, read=True))
    return Request(
        entry=entry,
        substitution=substitution,
        parameters=tuple(parameters),
        scalars=tuple(Expr("push", (i,)) for i in range(layout.constants)),
        scalar_names=tuple(f"constant{i}" for i in range(layout.constants)),
    )


def bind_operands(substitution: Substitution, *, entry: str) -> Request:
    """Return a pointer for each operand of the definition, then its axes, strides and parameters.

    The pointer of an operand with a slot is a placeholder.
    """
    kernel, match = substitution.kernel, substitution.match
    program = match.program
    assert program is not None
    if len(match.placements) != len(kernel.operands) and not kernel.payload.kind.slots:
        raise PayloadError(
            f"{kernel.name} cannot be bound to {substitution.dispatch.name}",
            where=str(kernel.folder / "kernel.toml"),
            expected="a payload that sees fused work, for slots",
            found=f"kind = {kernel.payload.kind}",
            next_step="remove `slots`, or write a generator",
        )
    axes = {axis.name: axis for axis in match.axes}
    form = next(f for f in kernel.forms if f.name == match.form)
    parameters: list[Parameter] = []
    names = [a for a in dict.fromkeys(a for s in kernel.operands for a in s.axes) if a in axes]
    scalars: list[Index] = [axes[name].size for name in names]
    places = {placed.name: placed for placed in match.placements}
    for spec, operand in zip(kernel.operands, form.program.operands, strict=False):
        placed = places.get(spec.name)
        if placed is None:
            parameters.append(_stand_in(spec, program))
            strides: tuple[Index, ...] = (0,) * len(spec.axes)
        else:
            strides = tuple(joint_stride(d) or 0 for d in placed.dimensions)
            start = View(operand=placed.view.operand, type=placed.view.type, offset=placed.start, strides=strides)
            written = operand.kind == "result"
            parameters.append(
                Parameter(
                    name=spec.name,
                    operand=program.operands[start.operand],
                    view=start,
                    written=written,
                    read=not written,
                )
            )
        if spec.strided:
            scalars += strides
            names += [f"stride_{spec.name}_{name}" for name in spec.axes]
    return Request(
        entry=entry,
        substitution=substitution,
        parameters=tuple(parameters),
        scalars=tuple(scalars),
        scalar_names=tuple(names),
        values=match.parameters,
    )


def _stand_in(spec: OperandSpec, program: Program) -> Parameter:
    """Return a placeholder for an operand that only slots access: the start of some binding, never dereferenced."""
    view = program.stores[0].writes[0].view
    operand = replace(program.operands[view.operand], byte_offset=0)
    return Parameter(name=spec.name, operand=operand, view=replace(view, offset=0), written=False, read=False)


def _reads(program: Program) -> Iterator[Read]:
    for core in program.cores:
        yield from core.reads
    for nest in program.stores:
        yield from nest.reads


def _parameters(substitution: Substitution, program: Program) -> Iterator[Parameter]:
    """Order parameters: views in the definition's order first, then the others in the program's order."""
    read = {r.source for r in _reads(program) if isinstance(r.source, View)}
    written = {w.view for nest in program.stores for w in nest.writes}
    ordered = [r.source for r in _reads(program) if isinstance(r.source, View)]
    ordered += [w.view for nest in program.stores for w in nest.writes]
    names = {v: s.name for v, s in zip(substitution.match.arguments, substitution.kernel.operands, strict=False)}
    extra = 0
    for view in dict.fromkeys((*substitution.match.arguments, *ordered)):
        name = names.get(view)
        if name is None:
            name, extra = f"extra{extra}", extra + 1
        yield Parameter(
            name=name,
            operand=program.operands[view.operand],
            view=view,
            written=view in written,
            read=view in read,
        )


def _dynamic(program: Program) -> Iterator[Expr]:
    """Yield every integer of the program that is only known at launch.

    Offsets are left out, as they are added to the pointers.
    """
    for value in _integers(program):
        if isinstance(value, Expr) and leaves(value):
            yield value


def _integers(program: Program) -> Iterator[Index]:
    for stage in (*program.cores, *program.stores):
        for read in stage.reads:
            yield from _of_view(read.source, read.access)
        if isinstance(stage, Named):
            for type_ in stage.types:
                yield from type_.shape
            continue
        yield from _of_nest(stage)


def _of_nest(nest: Nest) -> Iterator[Index]:
    yield from nest.sizes
    for write in nest.writes:
        yield from _of_view(write.view, write.access)
    for node in nest.expr.nodes:
        if node.op == "size" and isinstance(node.attribute, Expr):
            yield node.attribute


def _of_view(source: View | int, access: tuple[Linear, ...]) -> Iterator[Index]:
    if isinstance(source, View):
        yield from source.strides
        yield from source.type.shape
    for coordinate in access:
        yield coordinate.constant
        for _, coefficient in coordinate.terms:
            yield coefficient
