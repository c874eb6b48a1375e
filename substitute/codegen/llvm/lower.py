"""Scalar graphs as LLVM instructions, for one element or for a vector of neighbouring ones."""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from substitute.errors import PayloadError
from substitute.model.scalar import Scalar, ScalarGraph

from . import integers
from .arithmetic import FloatMath
from .elements import (
    REGISTER_TYPES,
    computed_in,
    constant,
    convert_float,
    from_f32,
    is_float,
    lanes_of,
    splat,
    to_f32,
    vector,
)
from .function import Hardware
from .math import FUNCTIONS

Leaf = Callable[[Scalar, tuple[ir.Value, ...]], ir.Value]

_LEAVES = frozenset(("read", "index", "size", "gather", "constant"))
_TESTS: dict[str, Callable[[FloatMath, ir.Value], ir.Value]] = {
    "math.isnan": lambda m, x: m.is_nan(x),
    "math.isinf": lambda m, x: m.compare("==", m.abs(x), m.const(math.inf)),
    "math.isfinite": lambda m, x: m.compare("<", m.abs(x), m.const(math.inf)),
    "math.isnormal": lambda m, x: m.builder.and_(
        m.compare("<", m.abs(x), m.const(math.inf)), m.compare(">=", m.abs(x), m.const(2.0 ** (1 - m.bias)))
    ),
}
_FLOAT_PREDICATES = {
    "eq": "==",
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "ne": "!=",
}


def supported(graph: ScalarGraph) -> str:
    """Return the first operation or type of `graph` that cannot be emitted; empty if all can."""
    for node in graph.nodes:
        if node.type not in REGISTER_TYPES:
            return f"{node.op} on {node.type}"
        if not (node.op in _LEAVES or node.op in _OPERATIONS):
            return node.op
    return ""


class ScalarEmitter:
    """Emitter of graphs for one element (`lanes` None), or for `lanes` elements at once."""

    def __init__(
        self, module: ir.Module, builder: ir.IRBuilder, lanes: int | None, *, hardware: Hardware | None = None
    ) -> None:
        self.module, self.builder, self.lanes = module, builder, lanes
        self.hardware = hardware or Hardware()

    def emit(self, graph: ScalarGraph, leaf: Leaf) -> tuple[ir.Value, ...]:
        """Return the register values of the results.

        `leaf` yields `read`, `index`, `size` and `gather` nodes (a gather with its coordinates, as i64); a scalar that
        it returns where lanes are needed is used in every lane. Raises `PayloadError` for an unsupported operation.
        """
        problem = supported(graph)
        if problem:
            raise PayloadError(f"cannot generate code for {problem}", where=self.module.name)
        values: list[ir.Value] = []
        for node in graph.nodes:
            operands = tuple(values[o] for o in node.operands)
            if node.op == "constant":
                values.append(self.constant(node))
            elif node.op in _LEAVES:
                values.append(self.widen(leaf(node, operands)))
            else:
                types = tuple(graph.nodes[o].type for o in node.operands)
                values.append(_OPERATIONS[node.op](self, node, types, operands))
        return tuple(values[r] for r in graph.results)

    def widen(self, value: ir.Value) -> ir.Value:
        """Return a scalar in every lane, where lanes are needed."""
        if self.lanes is not None and lanes_of(value) is None:
            return splat(self.builder, value, self.lanes)
        return value

    def type(self, element: str) -> ir.Type:
        """Return the register type of an element, with lanes."""
        return vector(REGISTER_TYPES[element], self.lanes)

    def constant(self, node: Scalar) -> ir.Value:
        """Return a `constant` leaf."""
        number = node.attribute
        assert isinstance(number, (int, float)), number
        if not is_float(node.type):
            width = REGISTER_TYPES[node.type].width
            pattern = int(number) & ((1 << width) - 1)
            signed = pattern - (1 << width) if pattern >> (width - 1) and width > 1 else pattern
            return constant(self.type(node.type), signed)
        if node.type in ("f32", "f64"):
            return constant(self.type(node.type), float(number))
        return self.round(constant(self.type("f64"), float(number)), node.type, "f64")

    def float_math(self, element: str) -> FloatMath:
        """Return arithmetic in the type that `element` is computed in."""
        return FloatMath(self.builder, computed_in(element), self.lanes, self.hardware)

    def compute(self, value: ir.Value, element: str) -> ir.Value:
        """Convert a register value to the type that it is computed in."""
        return value if element == "f64" else to_f32(self.builder, value, element, self.hardware)

    def round(self, value: ir.Value, element: str, source: str = "") -> ir.Value:
        """Convert a computed value to a register value of `element`."""
        source = source or computed_in(element)
        if source == "f32":
            return from_f32(self.builder, value, element, self.hardware)
        return convert_float(self.builder, value, source, element, self.hardware)


Operation = Callable[[ScalarEmitter, Scalar, tuple[str, ...], tuple[ir.Value, ...]], ir.Value]


def _float_operation(function: Callable[..., ir.Value]) -> Operation:
    def emit(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
        args = [e.compute(v, t) for v, t in zip(operands, types, strict=True)]
        return e.round(function(e.float_math(node.type), *args), node.type)

    return emit


def _float_test(function: Callable[[FloatMath, ir.Value], ir.Value]) -> Operation:
    def emit(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
        return function(e.float_math(types[0]), e.compute(operands[0], types[0]))

    return emit


def _integer_operation(function: integers.IntegerFunction) -> Operation:
    def emit(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
        return function(e.builder, *operands)

    return emit


def _compare_floats(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    predicate = str(node.attribute)
    a, b = (e.compute(v, types[0]) for v in operands)
    if predicate in ("true", "false"):
        return constant(e.type("i1"), int(predicate == "true"))
    if predicate in ("ord", "uno"):
        compare = e.builder.fcmp_ordered if predicate == "ord" else e.builder.fcmp_unordered
        return compare(predicate, a, b)
    compare = e.builder.fcmp_ordered if predicate[0] == "o" else e.builder.fcmp_unordered
    return compare(_FLOAT_PREDICATES[predicate[1:]], a, b)


def _compare_integers(
    e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]
) -> ir.Value:
    predicate = str(node.attribute)
    signed = predicate[0] == "s" or predicate in ("eq", "ne")
    symbol = _FLOAT_PREDICATES[predicate if predicate in ("eq", "ne") else predicate[1:]]
    return (e.builder.icmp_signed if signed else e.builder.icmp_unsigned)(symbol, *operands)


def _select(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    return e.builder.select(*operands)


def _resize(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    unsigned = node.op in ("arith.extui", "arith.index_castui")
    return integers.resize(e.builder, operands[0], e.type(node.type), unsigned=unsigned)


def _convert_float(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    return convert_float(e.builder, operands[0], types[0], node.type, e.hardware)


def _int_to_float(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    convert = e.builder.sitofp if node.op == "arith.sitofp" else e.builder.uitofp
    # an integer of up to 53 bits is exact in f64; only f32 and f64 results are rounded by the instruction itself
    direct = node.type if node.type in ("f32", "f64") else "f64"
    return e.round(convert(operands[0], e.type(direct)), node.type, direct)


def _float_to_int(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    convert = e.builder.fptosi if node.op == "arith.fptosi" else e.builder.fptoui
    return convert(e.compute(operands[0], types[0]), e.type(node.type))


def _bitcast(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    target = e.type(node.type)
    return operands[0] if operands[0].type == target else e.builder.bitcast(operands[0], target)


def _constant_of(value: ir.Value) -> float | int | None:
    """Return the number that a constant, or a vector of equal constants, holds."""
    number = value.constant if isinstance(value, ir.Constant) else None
    if isinstance(number, (list, tuple)):
        number = number[0].constant
    return number if isinstance(number, (int, float)) else None


def _fpowi(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    m = e.float_math(node.type)
    base = e.compute(operands[0], types[0])
    power = _constant_of(operands[1])
    if isinstance(power, int):
        return e.round(integers.constant_power(m, base, power), node.type)
    return e.round(integers.float_power(m, base, operands[1]), node.type)


def _powf(e: ScalarEmitter, node: Scalar, types: tuple[str, ...], operands: tuple[ir.Value, ...]) -> ir.Value:
    power = _constant_of(operands[1])
    if node.type in ("f32", "f64") and power is not None and power == int(power if abs(power) <= 4 else 0):
        return integers.constant_power(e.float_math(node.type), operands[0], int(power))
    return _float_operation(FUNCTIONS["math.powf"])(e, node, types, operands)


_OPERATIONS: dict[str, Operation] = {
    "arith.addf": _float_operation(lambda m, a, b: m.add(a, b)),
    "arith.subf": _float_operation(lambda m, a, b: m.sub(a, b)),
    "arith.mulf": _float_operation(lambda m, a, b: m.mul(a, b)),
    "arith.divf": _float_operation(lambda m, a, b: m.div(a, b)),
    "arith.remf": _float_operation(lambda m, a, b: m.builder.frem(a, b)),
    "arith.negf": _float_operation(lambda m, a: m.neg(a)),
    "arith.maximumf": _float_operation(lambda m, a, b: m.maximum(a, b)),
    "arith.minimumf": _float_operation(lambda m, a, b: m.minimum(a, b)),
    "arith.maxnumf": _float_operation(lambda m, a, b: m.maxnum(a, b)),
    "arith.minnumf": _float_operation(lambda m, a, b: m.minnum(a, b)),
    "arith.cmpf": _compare_floats,
    "arith.cmpi": _compare_integers,
    "arith.select": _select,
    "arith.extf": _convert_float,
    "arith.truncf": _convert_float,
    "arith.sitofp": _int_to_float,
    "arith.uitofp": _int_to_float,
    "arith.fptosi": _float_to_int,
    "arith.fptoui": _float_to_int,
    "arith.bitcast": _bitcast,
    **dict.fromkeys(("arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "arith.index_castui"), _resize),
    **{name: _integer_operation(function) for name, function in integers.FUNCTIONS.items()},
    **{name: _float_operation(function) for name, function in FUNCTIONS.items()},
    **{name: _float_test(function) for name, function in _TESTS.items()},
    "math.fpowi": _fpowi,
    "math.powf": _powf,
}
"""Every operation that can be emitted, by MLIR's name."""
