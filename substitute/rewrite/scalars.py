"""Values of a definition's parameters, as operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.parameter import ParameterValue
from .materialize import Materializer, create

if TYPE_CHECKING:
    from iree.compiler import ir


def scalar_type(name: str) -> ir.Type:
    """Return the type of this name."""
    from iree.compiler import ir

    return ir.Type.parse(name)


def parameter_from_bits(value: ParameterValue, values: Materializer) -> ir.Value:
    """Return the value of a parameter known now or at launch, in its own type."""
    from iree.compiler import ir

    type_ = scalar_type(value.type)
    constant = value.constant
    if constant is not None:
        is_float = isinstance(type_, ir.FloatType)
        attribute = ir.FloatAttr.get(type_, constant) if is_float else ir.IntegerAttr.get(type_, int(constant))
        return create("arith.constant", [], [type_], {"value": attribute})
    number = values.value(value.bits)
    if value.type == "index":
        return number
    width = 64 if value.type == "i64" else ir.FloatType(type_).width if isinstance(type_, ir.FloatType) else None
    bits = scalar_type(f"i{width}") if width else type_
    number = create("arith.index_cast", [number], [bits])
    return create("arith.bitcast", [number], [type_]) if bits != type_ else number


def passed_value(value: ir.Value, type_: str, passed: ir.Type) -> ir.Value:
    """Return a value of the named type, in the type in which it is passed."""
    from iree.compiler import ir

    if value.type == passed:
        return value
    if type_ == "index":
        return create("arith.index_cast", [value], [passed])
    if isinstance(passed, ir.FloatType):
        return create("arith.extf", [value], [passed])
    if type_ != "i1":
        return create("arith.extsi", [value], [passed])
    if str(value.type) == "i8":  # in its type in memory
        value = create("arith.trunci", [value], [scalar_type("i1")])
    return create("arith.extui", [value], [passed])
