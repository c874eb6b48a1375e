"""The call-out: the dispatch's body becomes a shim that calls a linked object with decoded operands (llvm-cpu)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..model.dispatch import PipelineLayout
from ..model.index import Index, add, mul
from ..model.parameter import BoundParameter
from ..model.plan import Parameter, Payload, Request
from ..read.module import children, symbol_name
from .materialize import Materializer, create, push_constant
from .scalars import parameter_from_bits, passed_value, scalar_type

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site


def replace_body(site: Site, request: Request, payload: Payload) -> None:
    """Replace the export's body in place by a call of the payload.

    Every operand is passed as a rank-0 memref, which the bare-pointer convention makes a pointer with the byte offset
    already added; integers are passed as i64; the three workgroup ids come last.
    """
    from iree.compiler import ir

    function, terminator = _cleared(site)
    byte, index = ir.MemRefType.get([], ir.IntegerType.get_signless(8)), ir.IndexType.get()
    with ir.Location.unknown():
        with ir.InsertionPoint(terminator):
            pointers, integers, values, identifiers = _arguments(site, request)
            ir.Operation.create(
                "func.call",
                operands=[*pointers, *integers, *values, *identifiers],
                attributes={"callee": ir.FlatSymbolRefAttr.get(payload.entry)},
            )
        types = [byte] * len(pointers) + [index] * len(integers) + [value.type for value in values] + [index] * 3
        _declare(function, payload.entry, types)


def call_with_pointers(site: Site, request: Request, name: str) -> None:
    """Replace the body by a call of `name`, a function of the LLVM dialect in the same module that takes bare
    pointers.
    """
    from iree.compiler import ir

    _, terminator = _cleared(site)
    i64, index, pointer = ir.IntegerType.get_signless(64), ir.IndexType.get(), ir.Type.parse("!llvm.ptr")
    with ir.Location.unknown(), ir.InsertionPoint(terminator):
        memory, integers, values, identifiers = _arguments(site, request)
        addresses = [create("memref.extract_aligned_pointer_as_index", [m], [index]) for m in memory]
        pointers = [create("llvm.inttoptr", [cast_index(a, i64)], [pointer]) for a in addresses]
        operands = [*pointers, *(cast_index(i, i64) for i in integers), *values]
        operands += [cast_index(i, i64) for i in identifiers]
        ir.Operation.create(
            "llvm.call",
            operands=operands,
            attributes={
                "callee": ir.FlatSymbolRefAttr.get(name),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(operands), 0]),
                "op_bundle_sizes": ir.DenseI32ArrayAttr.get([]),
            },
        )


def _cleared(site: Site) -> tuple[ir.Operation, ir.Operation]:
    """Return the function without its body, and its terminator."""
    function = site.function
    assert function is not None
    block = function.regions[0].blocks[0]
    for op in reversed(list(block.operations)):
        if op.operation.name != "func.return":
            op.operation.erase()
    return function, next(iter(block.operations)).operation


def cast_index(value: ir.Value, type_: ir.Type) -> ir.Value:
    """Return an integer of type `index` in another type."""
    return create("arith.index_cast", [value], [type_])


def _arguments(site: Site, request: Request) -> tuple[list[ir.Value], list[ir.Value], list[ir.Value], list[ir.Value]]:
    """Return the operands as rank-0 memrefs, the integers, the parameters' values, and the workgroup's ids."""
    from iree.compiler import ir

    index = ir.IndexType.get()
    layout = site.export.attributes["layout"]
    values = Materializer(push_constant(layout))
    pointers = [_pointer(site, p, number, layout, values) for number, p in enumerate(request.parameters)]
    integers = [values.value(s) for s in request.scalars]
    parameters = [_parameter(site, value, layout, values) for value in request.values]
    identifiers = []
    for dimension in range(3):
        attributes = {"dimension": ir.IntegerAttr.get(index, dimension)}
        identifiers.append(create("hal.interface.workgroup.id", [], [index], attributes))
    return pointers, integers, parameters, identifiers


def _parameter(site: Site, bound: BoundParameter, layout: ir.Attribute, values: Materializer) -> ir.Value:
    """Return a parameter of the definition in the type in which it is passed."""
    value = bound.value
    passed = scalar_type(bound.passed_type)
    if value.view is None:
        return passed_value(parameter_from_bits(value, values), value.type, passed)
    program = site.dispatch.program
    assert program is not None
    operand = program.operands[value.view.operand]
    view = replace(value.view, offset=add(value.view.offset, value.element))
    # i1 is stored as i8
    element = scalar_type("i8" if value.type == "i1" else value.type)
    place = Parameter(name=bound.name, operand=operand, view=view, written=False, read=True)
    start = _subspan(site.dispatch.layout, place, layout, values, element)
    return passed_value(create("memref.load", [start], [element]), value.type, passed)


def _declare(function: ir.Operation, name: str, types: list[ir.Type]) -> None:
    """Declare the payload: `hal.import.static` makes it a call that the linker resolves, `llvm.bareptr` passes
    pointers.
    """
    from iree.compiler import ir

    module = function.parent
    assert module is not None
    if name in {symbol_name(op) for op in children(module) if op.name == "func.func"}:
        return  # two exports of one variant share an object
    with ir.InsertionPoint(function):
        ir.Operation.create(
            "func.func",
            regions=1,
            attributes={
                "sym_name": ir.StringAttr.get(name),
                "sym_visibility": ir.StringAttr.get("private"),
                "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
                "hal.import.static": ir.UnitAttr.get(),
                "llvm.bareptr": ir.BoolAttr.get(True),
            },
        )


def _pointer(site: Site, parameter: Parameter, number: int, layout: ir.Attribute, values: Materializer) -> ir.Value:
    if parameter.operand.kind == "constant":
        return _constant_pointer(site, parameter, number, values)
    return _subspan(site.dispatch.layout, parameter, layout, values)


def _subspan(
    known: PipelineLayout,
    parameter: Parameter,
    layout: ir.Attribute,
    values: Materializer,
    element: ir.Type | None = None,
) -> ir.Value:
    """Return the operand's first byte, or element, as a view of its binding (the workaround `VIEW_WHOLE_BINDINGS`)."""
    from iree.compiler import ir

    operand = parameter.operand
    offset: Index = add(operand.byte_offset, mul(parameter.view.offset, operand.type.element_bytes))
    index = ir.IndexType.get()
    attributes: dict[str, ir.Attribute] = {
        "layout": layout,
        "binding": ir.IntegerAttr.get(index, operand.binding),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1]),
    }
    flags = descriptor_flags(known.bindings[operand.binding])
    if flags:
        attributes["descriptor_flags"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), flags)
    byte = ir.IntegerType.get_signless(8)
    whole_type = ir.MemRefType.get([ir.ShapedType.get_dynamic_size()], byte)
    size = 1 if element is None else operand.type.element_bytes
    start, end = values.value(offset), values.value(add(offset, size))
    whole = create("hal.interface.binding.subspan", [values.value(0), end], [whole_type], attributes)
    return create("memref.view", [whole, start], [ir.MemRefType.get([], element or byte)])


def descriptor_flags(names: str) -> int:
    """Return the bits of `#hal.descriptor_flags`: ReadOnly 1, Indirect 2."""
    return ("ReadOnly" in names) | (("Indirect" in names) << 1)


def _constant_pointer(site: Site, parameter: Parameter, number: int, values: Materializer) -> ir.Value:
    """Make a dense constant of the body a global of the inner module and return its address."""
    from iree.compiler import ir

    function = site.function
    assert function is not None
    operand = parameter.operand
    data = operand.data
    byte_type = ir.IntegerType.get_signless(8)
    name = f"{symbol_name(function)}_{parameter.name}_{number}_data"
    type_ = ir.MemRefType.get([len(data)], byte_type)
    initial = ir.Attribute.parse(f'dense<"0x{data.hex()}"> : tensor<{len(data)}xi8>')
    if len(set(data)) == 1:  # the textual form reads one byte as a splat
        initial = ir.Attribute.parse(f"dense<{data[0] - 256 * (data[0] > 127)}> : tensor<{len(data)}xi8>")
    with ir.InsertionPoint(function):
        ir.Operation.create(
            "memref.global",
            attributes={
                "sym_name": ir.StringAttr.get(name),
                "sym_visibility": ir.StringAttr.get("private"),
                "type": ir.TypeAttr.get(type_),
                "initial_value": initial,
                "constant": ir.UnitAttr.get(),
                "alignment": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 64),
            },
        )
    whole = create("memref.get_global", [], [type_], {"name": ir.FlatSymbolRefAttr.get(name)})
    start = values.value(mul(parameter.view.offset, operand.type.element_bytes))
    # (a `memref.reinterpret_cast` would put the offset into its type, unlike the callee's declaration)
    return create("memref.view", [whole, start], [ir.MemRefType.get([], byte_type)])
