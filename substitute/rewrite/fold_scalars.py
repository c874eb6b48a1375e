"""Scalars of StableHLO that constants give, folded before IREE makes globals of them.

JAX computes the divisor of a variance from a number of elements and a correction that a function is called with. IREE
hoists such a computation into a global, whose value nobody knows where dispatches are formed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..model.parameter import is_exact, round_to
from ..read.module import children

if TYPE_CHECKING:
    from iree.compiler import ir

_FLOATS = frozenset(("f16", "bf16", "f32", "f64"))
_INTEGERS = frozenset(("i1", "i8", "i16", "i32", "i64"))
_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    # the exact result of doubles, rounded once more, is that of every narrower type
    "stablehlo.add": operator.add,
    "stablehlo.subtract": operator.sub,
    "stablehlo.multiply": operator.mul,
}
_RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    "EQ": operator.eq,
    "NE": operator.ne,
    "GT": operator.gt,
    "GE": operator.ge,
    "LT": operator.lt,
    "LE": operator.le,
}


def fold_scalars(module: ir.Operation) -> None:
    """Replace scalar operations on constants by their results, also in private functions that are called with these."""
    functions = [op for op in children(module) if op.name == "func.func"]
    while any([_fold_in(function) for function in functions]) | _pass_constants(functions):
        pass


def _fold_in(function: ir.Operation) -> bool:
    changed = False
    for region in function.regions:
        for block in region:
            for op in [op.operation for op in block.operations]:
                changed |= _fold(op)
    return changed


def _fold(op: ir.Operation) -> bool:
    """Replace one operation; return False where it stays."""
    from iree.compiler import ir

    if not op.name.startswith("stablehlo.") or len(op.results) != 1 or not len(op.operands):
        return False
    if op.name == "stablehlo.select":
        chosen = _number(op.operands[0])
        if chosen is None:
            return False
        value = ir.Value(op.operands[1 if chosen else 2])
        if value.type != op.results[0].type:
            return False
    else:
        numbers = [_number(operand) for operand in op.operands]
        known = [number for number in numbers if number is not None]
        result = _evaluate(op, known) if len(known) == len(numbers) else None
        if result is None:
            return False
        with op.context, op.location, ir.InsertionPoint(op):
            value = _create_constant(op.results[0].type, result)
    op.results[0].replace_all_uses_with(value)
    op.erase()
    return True


def _element(type_: ir.Type) -> str:
    """Return the element type of a tensor of rank 0; empty for any other type."""
    from iree.compiler import ir

    if not isinstance(type_, ir.RankedTensorType) or ir.RankedTensorType(type_).rank:
        return ""
    return str(ir.RankedTensorType(type_).element_type)


def _number(value: ir.Value) -> float | int | None:
    """Return the number that a scalar constant is; None for any other value."""
    from iree.compiler import ir

    element = _element(value.type)
    owner = value.owner
    if element not in _FLOATS | _INTEGERS or isinstance(owner, ir.Block):
        return None
    if owner.operation.name != "stablehlo.constant":
        return None
    number = ir.DenseElementsAttr(owner.operation.attributes["value"]).get_splat_value()
    if isinstance(number, ir.FloatAttr):
        return float(ir.FloatAttr(number).value)
    found = int(ir.IntegerAttr(number).value)
    return abs(found) if element == "i1" else found  # MLIR reads `true` as -1


def _evaluate(op: ir.Operation, numbers: Sequence[float | int]) -> float | int | None:
    element, given = _element(op.results[0].type), _element(op.operands[0].type)
    if op.name == "stablehlo.convert" and "i1" not in (element, given):
        (number,) = numbers
        if element in _FLOATS:
            return round_to(float(number), element)
        return number if given in _INTEGERS and is_exact(number, element) else None
    if op.name == "stablehlo.compare":
        words = str(op.attributes["comparison_direction"]).rstrip(">").split()
        total = "TOTALORDER" in str(op.attributes["compare_type"]) if "compare_type" in op.attributes else False
        return None if total else int(_RELATIONS[words[-1]](*numbers))
    if op.name in _ARITHMETIC and element in _FLOATS:
        return round_to(_ARITHMETIC[op.name](*numbers), element)
    if op.name in _ARITHMETIC and element in _INTEGERS - {"i1"}:
        result = _ARITHMETIC[op.name](*numbers)
        return result if is_exact(result, element) else None
    return None


def _create_constant(type_: ir.Type, number: float | int) -> ir.Value:
    from iree.compiler import ir

    element = ir.RankedTensorType(type_).element_type
    own = ir.FloatAttr.get(element, number) if str(element) in _FLOATS else ir.IntegerAttr.get(element, int(number))
    value = ir.DenseElementsAttr.get_splat(type_, own)
    return ir.Operation.create("stablehlo.constant", results=[type_], attributes={"value": value}).results[0]


def _walk(operation: ir.Operation) -> Iterator[ir.Operation]:
    for region in operation.regions:
        for block in region:
            for op in block.operations:
                yield op.operation
                yield from _walk(op.operation)


def _symbols_in(op: ir.Operation) -> Iterator[str]:
    """Yield the text of each attribute that may name a function."""
    from iree.compiler import ir

    kinds = (ir.FlatSymbolRefAttr, ir.SymbolRefAttr, ir.ArrayAttr, ir.DictAttr)
    values = (op.attributes[name] for name in op.attributes)
    yield from (str(value) for value in values if isinstance(value, kinds))


def _pass_constants(functions: Sequence[ir.Operation]) -> bool:
    """Put a constant that every call of a private function gives into the function."""
    from iree.compiler import ir

    calls: dict[str, list[ir.Operation]] = {}
    others: list[str] = []
    for function in functions:
        for op in _walk(function):
            if op.name == "func.call":
                calls.setdefault(ir.FlatSymbolRefAttr(op.attributes["callee"]).value, []).append(op)
            else:
                others += _symbols_in(op)
    changed = False
    for function in functions:
        name = ir.StringAttr(function.attributes["sym_name"]).value
        own, visibility = calls.get(name, []), function.attributes.get("sym_visibility", "")
        if not own or "private" not in str(visibility) or any(name in text for text in others):
            continue
        entry = function.regions[0].blocks[0]
        for at, argument in enumerate(entry.arguments):
            numbers = [_number(call.operands[at]) for call in own]
            if None in numbers or len({repr(n) for n in numbers}) != 1 or not any(True for _ in argument.uses):
                continue
            (number, *_) = numbers
            assert number is not None
            with function.context, function.location, ir.InsertionPoint.at_block_begin(entry):
                argument.replace_all_uses_with(_create_constant(argument.type, number))
            changed = True
    return changed
