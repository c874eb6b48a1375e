"""Payloads of `kind = "mlir"`: a function on tensors replaces the computation of a dispatch, and IREE compiles it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..abi.bind import bind
from ..errors import PayloadError
from ..model.index import Index, add, mul
from ..model.index import substitute as with_sizes
from ..model.parameter import BoundParameter
from ..model.plan import Parameter, Request, Substitution
from ..payload.dialect import parse_mlir
from ..rewrite.materialize import Materializer, create, push_constant
from ..rewrite.scalars import parameter_from_bits, scalar_type
from .tensors import constant_tensor, load_tensor, store_tensor, subspan, tensor_text

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site

_CLEAN_UP = "builtin.module(inline,canonicalize,cse,symbol-dce)"
"""Passes that inline the function and replace `?` in it by the dispatch's own sizes."""


def replace_computation(site: Site, substitution: Substitution) -> None:
    """Load the definition's operands, call the payload's function, store its results, and inline the call.

    Raises `PayloadError` for text that does not parse, and for a function with other operands than the definition.
    """
    from iree.compiler import ir
    from iree.compiler.passmanager import PassManager

    request = bind(substitution, entry=substitution.kernel.payload.entry)
    inner = site.function.parent if site.function is not None else None
    assert inner is not None
    types = _tensor_types(request)
    entry = _insert_functions(site, request, types)
    block = site.function.regions[0].blocks[0]  # type: ignore[union-attr]
    for op in reversed(list(block.operations)):
        if op.operation.name != "func.return":
            op.operation.erase()
    with ir.InsertionPoint(next(iter(block.operations)).operation), ir.Location.unknown():
        _call(site, request, types, entry)
    PassManager.parse(_CLEAN_UP).run(inner.operation)


def _tensor_types(request: Request) -> list[tuple[Index, ...]]:
    """Return the type of each operand of the definition, in the dispatch's sizes."""
    kernel, match = request.substitution.kernel, request.match
    form = next(f for f in kernel.forms if f.name == match.form)
    sizes: dict[str, Index] = {axis.name: axis.size for axis in match.axes}
    return [tuple(with_sizes(s, sizes) for s in operand.type.shape) for operand in form.program.operands]


def _insert_functions(site: Site, request: Request, shapes: list[tuple[Index, ...]]) -> ir.Operation:
    """Copy the payload's functions beside the dispatch's function; return the one to call."""
    from iree.compiler import ir

    from ..read.module import children, symbol_name

    kernel = request.substitution.kernel
    module = parse_mlir(kernel.payload.path.read_text(encoding="utf-8"), str(kernel.payload.path))
    functions = {symbol_name(f): f for f in children(module.operation) if f.name == "func.func"}
    others = [op.name for op in children(module.operation) if op.name != "func.func"]
    if kernel.payload.entry not in functions or others:
        raise PayloadError(
            f"the payload of {kernel.name} does not define @{kernel.payload.entry}"
            if not others
            else f"the payload of {kernel.name} holds more than functions",
            where=str(kernel.payload.path),
            expected=f"func.func @{kernel.payload.entry} on tensors",
            found=", ".join(others or [f"@{name}" for name in functions]) or "nothing",
            next_step="correct `entry` in [payload], or the file",
        )
    _check_type(request, functions[kernel.payload.entry], shapes)
    copies: dict[str, ir.Operation] = {}
    assert site.function is not None
    for name, function in functions.items():
        copy = function.clone(ip=ir.InsertionPoint(site.function)).operation
        copy.attributes["sym_visibility"] = ir.StringAttr.get("private")
        copies[name] = copy
    return copies[kernel.payload.entry]


def _check_type(request: Request, function: ir.Operation, shapes: list[tuple[Index, ...]]) -> None:
    """Check that the function's type equals the definition's; `?` fits every size."""
    from iree.compiler import ir

    kernel = request.substitution.kernel
    type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    found = [*type_.inputs, *type_.results]
    wanted = [tensor_text(shape, p.operand.type.element) for shape, p in zip(shapes, request.parameters, strict=True)]
    scalars = _scalar_positions(request)
    for position, bound in sorted(scalars.items()):
        wanted.insert(position, bound.value.type)
    inputs = sum(not p.written for p in request.parameters) + len(scalars)
    fits = len(type_.inputs) == inputs and len(found) == len(wanted)
    fits = fits and all(str(found[position]) == bound.value.type for position, bound in scalars.items())
    tensors = [value for position, value in enumerate(found) if position not in scalars]
    for value, shape, parameter in zip(tensors, shapes, request.parameters, strict=False):
        fits = fits and isinstance(value, ir.RankedTensorType) and value.rank == len(shape)
        fits = fits and str(ir.RankedTensorType(value).element_type) == parameter.operand.type.element
        fits = fits and all(
            ir.RankedTensorType(value).is_dynamic_dim(d) or ir.RankedTensorType(value).get_dim_size(d) == size
            for d, size in enumerate(shape)
        )
    if not fits:
        raise PayloadError(
            f"@{kernel.payload.entry} does not fit {request.substitution.dispatch.name}",
            where=str(kernel.payload.path),
            expected=f"({', '.join(wanted[:inputs])}) -> ({', '.join(wanted[inputs:])}), or `?` for sizes",
            found=f"({', '.join(map(str, type_.inputs))}) -> ({', '.join(map(str, type_.results))})",
            next_step="give the function the definition's operands (an i1 is an i8 in memory)",
        )


def _call(site: Site, request: Request, shapes: list[tuple[Index, ...]], entry: ir.Operation) -> None:
    from iree.compiler import ir

    values = _values(site)
    type_ = ir.FunctionType(ir.TypeAttr(entry.attributes["function_type"]).value)
    placed = list(zip(request.parameters, shapes, strict=True))
    scalars = _scalar_positions(request)
    inputs = len(type_.inputs) - len(scalars)
    arguments = [_load(site, p, shape, values) for p, shape in placed[:inputs]]
    for position, bound in sorted(scalars.items()):
        arguments.insert(position, _scalar(site, bound, values))
    results = _moved_here(entry, [_cast(a, t) for a, t in zip(arguments, type_.inputs, strict=True)])
    for (parameter, shape), result in zip(placed[inputs:], results, strict=True):
        tensor = ir.Type.parse(tensor_text(shape, parameter.operand.type.element))
        target = subspan(site, parameter.operand, _offset(parameter), "writeonly", shape, values)
        store_tensor(_cast(result, tensor), target, shape, values)


def _moved_here(entry: ir.Operation, arguments: list[ir.Value]) -> list[ir.Value]:
    """Move the function's operations to the place of its call; return its results.

    MLIR's inliner does not inline functions that hold certain operations, such as `iree_codegen.ukernel.generic`.
    """
    from iree.compiler import ir

    blocks = list(entry.regions[0].blocks)
    if len(blocks) > 1:
        name = ir.FlatSymbolRefAttr.get(str(ir.StringAttr(entry.attributes["sym_name"]).value))
        results = list(ir.FunctionType(ir.TypeAttr(entry.attributes["function_type"]).value).results)
        return list(
            ir.Operation.create("func.call", operands=arguments, results=results, attributes={"callee": name}).results
        )
    here = ir.InsertionPoint.current.ref_operation
    assert here is not None
    for argument, value in zip(blocks[0].arguments, arguments, strict=True):
        ir.Value(argument).replace_all_uses_with(value)
    *operations, end = [op.operation for op in blocks[0].operations]
    returned = list(end.operands)
    for op in operations:
        op.move_before(here)
    entry.erase()
    return returned


def _values(site: Site) -> Materializer:
    """Return sizes in terms of the workload's operands where possible: the workgroup count is computed from these."""
    from iree.compiler import ir

    leaf = push_constant(site.export.attributes["layout"])
    plain = Materializer(leaf)
    known: dict[Index, ir.Value] = {}
    index = ir.IndexType.get()
    for number, value in enumerate(site.dispatch.workload):
        if value is not None and not isinstance(value, int):
            ordinal = {"ordinal": ir.IntegerAttr.get(index, number)}
            operand = plain.value(value)
            known[value] = create("iree_tensor_ext.dispatch.workload.ordinal", [operand], [index], ordinal)
    return Materializer(leaf, known)


def _offset(parameter: Parameter) -> Index:
    return add(parameter.operand.byte_offset, mul(parameter.view.offset, parameter.operand.type.element_bytes))


def _load(site: Site, parameter: Parameter, shape: tuple[Index, ...], values: Materializer) -> ir.Value:
    if parameter.operand.kind == "constant":
        return constant_tensor(parameter, shape)
    source = subspan(site, parameter.operand, _offset(parameter), "readonly", shape, values)
    return load_tensor(source, parameter.operand.type.element, shape, values)


def _scalar_positions(request: Request) -> dict[int, BoundParameter]:
    """Return the definition's parameters by their positions among the function's arguments."""
    kernel, match = request.substitution.kernel, request.match
    form = next(f for f in kernel.forms if f.name == match.form)
    return {parameter.position: match.parameter(parameter.name) for parameter in form.parameters}


def _scalar(site: Site, bound: BoundParameter, values: Materializer) -> ir.Value:
    value, program = bound.value, site.dispatch.program
    if value.view is None:
        return parameter_from_bits(value, values)
    assert program is not None
    operand = program.operands[value.view.operand]
    offset = mul(add(value.view.offset, value.element), operand.type.element_bytes)
    source = subspan(site, operand, add(operand.byte_offset, offset), "readonly", (), values)
    loaded = load_tensor(source, operand.type.element, (), values)
    element = create("tensor.extract", [loaded], [scalar_type(operand.type.element)])
    return create("arith.trunci", [element], [scalar_type("i1")]) if value.type == "i1" else element


def _cast(value: ir.Value, type_: ir.Type) -> ir.Value:
    return value if value.type == type_ else create("tensor.cast", [value], [type_])
