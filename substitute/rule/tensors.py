"""Loads and stores of whole tensors at the level of IREE's dispatches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PayloadError
from ..model.dispatch import Operand
from ..model.index import Index, product
from ..model.plan import Parameter
from ..rewrite.callout import descriptor_flags
from ..rewrite.materialize import Materializer, create

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site

_DYNAMIC = -(2**63)
"""Placeholder in a static list of MLIR whose value is an operand (`ShapedType::kDynamic`)."""


def subspan(
    site: Site, operand: Operand, byte_offset: Index, access: str, shape: tuple[Index, ...], values: Materializer
) -> ir.Value:
    """Create a row-major tensor in a binding, from this byte on."""
    from iree.compiler import ir

    index = ir.IndexType.get()
    dynamic = _dynamic(shape, values)
    attributes: dict[str, ir.Attribute] = {
        "layout": site.export.attributes["layout"],
        "binding": ir.IntegerAttr.get(index, operand.binding),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, len(dynamic)]),
    }
    flags = descriptor_flags(site.dispatch.layout.bindings[operand.binding])
    if flags:
        attributes["descriptor_flags"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), flags)
    type_ = ir.Type.parse(f"!iree_tensor_ext.dispatch.tensor<{access}:{tensor_text(shape, operand.type.element)}>")
    return create("hal.interface.binding.subspan", [values.value(byte_offset), *dynamic], [type_], attributes)


def load_tensor(source: ir.Value, element: str, shape: tuple[Index, ...], values: Materializer) -> ir.Value:
    """Load the whole tensor as a value."""
    from iree.compiler import ir

    dynamic = _dynamic(shape, values)
    count = len(dynamic)
    attributes = _slice(shape) | {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, count, 0, count, 0])}
    type_ = ir.Type.parse(tensor_text(shape, element))
    return create("iree_tensor_ext.dispatch.tensor.load", [source, *dynamic, *dynamic], [type_], attributes)


def store_tensor(value: ir.Value, target: ir.Value, shape: tuple[Index, ...], values: Materializer) -> None:
    """Store a value as the whole tensor."""
    from iree.compiler import ir

    dynamic = _dynamic(shape, values)
    count = len(dynamic)
    ir.Operation.create(
        "iree_tensor_ext.dispatch.tensor.store",
        operands=[value, target, *dynamic, *dynamic],
        attributes=_slice(shape) | {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, count, 0, count, 0])},
    )


def constant_tensor(parameter: Parameter, shape: tuple[Index, ...]) -> ir.Value:
    """Create a constant in the dispatch's body."""
    from iree.compiler import ir

    operand = parameter.operand
    whole = parameter.view.offset == 0 and product(shape) == operand.type.count
    if not whole or len(operand.data) <= operand.type.element_bytes:
        raise PayloadError(
            "a part of a constant, or a splat, cannot be given to an MLIR payload",
            where=parameter.name,
            expected="a tensor in memory, or a whole constant",
            found=str(operand.type),
            next_step="write a rule, which can use the body's own value",
        )
    type_ = ir.Type.parse(tensor_text(shape, operand.type.element))
    value = ir.Attribute.parse(f'dense<"0x{operand.data.hex()}"> : {type_}')
    return create("arith.constant", [], [type_], {"value": value})


def tensor_text(shape: tuple[Index, ...], element: str) -> str:
    return f"tensor<{'x'.join([*(str(s) if isinstance(s, int) else '?' for s in shape), element])}>"


def _dynamic(shape: tuple[Index, ...], values: Materializer) -> list[ir.Value]:
    return [values.value(size) for size in shape if not isinstance(size, int)]


def _slice(shape: tuple[Index, ...]) -> dict[str, ir.Attribute]:
    from iree.compiler import ir

    sizes = [size if isinstance(size, int) else _DYNAMIC for size in shape]
    return {
        "static_offsets": ir.DenseI64ArrayAttr.get([0] * len(shape)),
        "static_sizes": ir.DenseI64ArrayAttr.get(sizes),
        "static_strides": ir.DenseI64ArrayAttr.get([1] * len(shape)),
    }
