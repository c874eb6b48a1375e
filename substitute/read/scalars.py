"""Translation of the scalar body of a linalg operation into a nest's graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..model.dispatch import Linear, Read
from ..model.index import Index
from ..model.nest import NestBuilder
from .indices import IndexReader
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir

    from .tensors import Tensor

CMPI = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
# fmt: off
CMPF = (
    "false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord",
    "ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true",
)
# fmt: on

NEAREST_EVEN = 0
"""`to_nearest_even` of MLIR's `arith.roundingmode`."""

_TRAPPING = frozenset(
    f"arith.{name}" for name in ("divsi", "divui", "remsi", "remui", "floordivsi", "ceildivsi", "ceildivui")
) | {"math.ipowi"}

ScalarMaker = Callable[[NestBuilder, tuple[Linear, ...]], int]


class ScalarReader:
    """Reader of scalars: in a region, with its arguments given, or captured from outside of it."""

    def __init__(
        self, indices: IndexReader, tensor_of: Callable[[ir.Value], Tensor], whole: Callable[[Tensor], Read]
    ) -> None:
        self._indices = indices
        self._tensor_of = tensor_of
        self._whole = whole
        self._parameters: dict[ir.Value, int] = {}

    def know_parameter(self, value: ir.Value, number: int) -> None:
        """Define a value as a parameter of the definition."""
        self._parameters[value] = number

    def body(
        self, block: ir.Block, arguments: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> tuple[int, ...]:
        """Return the nodes that the block yields, with its block arguments already emitted."""
        known = dict(arguments)
        for op in block.operations:
            operation = op.operation
            if operation.name in ("linalg.yield", "iree_linalg_ext.yield"):
                return tuple(self._value(v, known, loops, nest) for v in operation.operands)
            known.update(zip(operation.results, self._results(operation, known, loops, nest), strict=True))
        raise Unread("a region without yield")

    def captured(self, value: ir.Value, nest: NestBuilder) -> int:
        """Return a scalar computed outside of any region."""
        return self._value(value, {}, (), nest)

    def _value(self, value: ir.Value, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder) -> int:
        from iree.compiler import ir

        if value in known:
            return known[value]
        type_ = str(value.type)
        if value in self._parameters:
            return nest.graph.add("parameter", type_, (), self._parameters[value])
        if isinstance(value, ir.BlockArgument):
            raise Unread(f"a captured block argument of type {type_}")
        op = value.owner.operation
        index = None if op.name == "arith.constant" else self._launch_integer(value, type_)
        if index is not None:
            known[value] = nest.integer(index, type_)
        else:
            known.update(zip(op.results, self._results(op, known, loops, nest), strict=True))
        return known[value]

    def _launch_integer(self, value: ir.Value, type_: str) -> Index | None:
        """Return an integer known at launch; None for other values (a comparison, a number with a fraction)."""
        if type_ != "index" and not type_.startswith("i"):
            return None
        try:
            return self._indices.read(value)
        except Unread:
            return None

    def _constant(self, op: ir.Operation, nest: NestBuilder) -> int:
        from iree.compiler import ir

        attribute, type_ = op.attributes["value"], str(op.results[0].type)
        if isinstance(attribute, ir.FloatAttr):
            return nest.graph.add("constant", type_, (), float(attribute.value))
        if type_ == "i1":  # the bindings read true as -1
            return nest.graph.add("constant", "i1", (), int("true" in str(attribute)))
        return nest.graph.add("constant", type_, (), int(ir.IntegerAttr(attribute).value))

    def _results(
        self, op: ir.Operation, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> tuple[int, ...]:
        """Return the nodes of an operation's results."""
        if op.name == "scf.if":
            return self._conditional(op, known, loops, nest)
        if op.name == "affine.delinearize_index":
            return self._delinearized(op, known, loops, nest)
        return (self._operation(op, known, loops, nest),) if len(op.results) else ()

    def _conditional(
        self, op: ir.Operation, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> tuple[int, ...]:
        """Return both arms' results, selected by the condition. Raises `Unread` where an arm must not be evaluated."""
        condition = self._value(op.operands[0], known, loops, nest)
        before = len(nest.graph.nodes)
        arms = [self._arm(region, dict(known), loops, nest) for region in op.regions if len(op.results)]
        for node in nest.graph.nodes[before:]:
            if node.op in _TRAPPING:  # a processor traps at some divisors, which the condition may exclude
                divisor = nest.graph.nodes[node.operands[1]]
                if divisor.op != "constant" or divisor.attribute in (0, -1):
                    raise Unread(f"{node.op} in an arm of scf.if, with a divisor that may be 0 or -1")
        return tuple(
            nest.graph.add("arith.select", str(result.type), (condition, *nodes))
            for result, *nodes in zip(op.results, *arms, strict=True)
        )

    def _arm(
        self, region: ir.Region, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> tuple[int, ...]:
        for op in region.blocks[0].operations:
            operation = op.operation
            if operation.name == "scf.yield":
                return tuple(self._value(v, known, loops, nest) for v in operation.operands)
            if operation.name == "tensor.extract":  # the condition is often what keeps it in bounds
                raise Unread("tensor.extract in an arm of scf.if")
            nodes = self._results(operation, known, loops, nest)
            known.update(zip(operation.results, nodes, strict=True))
        raise Unread("an arm of scf.if without yield")

    def _delinearized(
        self, op: ir.Operation, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> tuple[int, ...]:
        """Return the coordinates of a row-major position; the size of the outermost dimension may be left out."""
        position = self._value(op.operands[0], known, loops, nest)
        found: list[int] = []
        for size in reversed(self._indices.inner_basis(op)):
            divisor = nest.integer(size, "index")
            found.append(_modulus(position, divisor, nest))
            position = nest.graph.add("arith.floordivsi", "index", (position, divisor))
        return (position, *reversed(found))

    def _operation(
        self, op: ir.Operation, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> int:
        name = op.name
        if name == "arith.constant":
            return self._constant(op, nest)
        if name == "linalg.index":
            return nest.coordinate(loops[_integer(op, "dim")])
        if name == "tensor.extract":
            return self._extract(op, known, loops, nest)
        if name == "tensor.dim":
            return nest.integer(self._indices.read(op.results[0]), "index")
        if name == "affine.apply":
            return self._affine_apply(op, known, loops, nest)
        dialect = name.partition(".")[0]
        if dialect not in ("arith", "math") or len(op.results) != 1 or len(op.regions) != 0:
            raise Unread(f"{name} inside a linalg body")
        check_rounding(op)
        operands = tuple(self._value(v, known, loops, nest) for v in op.operands)
        return nest.graph.add(name, str(op.results[0].type), operands, predicate(op))

    def _extract(
        self, op: ir.Operation, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> int:
        from .tensors import Splat

        source = self._tensor_of(op.operands[0])
        if isinstance(source, Splat):
            return source.scalar(nest)
        places = [self._coordinate(v, loops) for v in list(op.operands)[1:]]
        if all(place is not None for place in places):
            return source.element(tuple(place for place in places if place is not None), nest)
        whole = self._whole(source)
        coordinates = tuple(self._value(v, known, loops, nest) for v in list(op.operands)[1:])
        return nest.gather(whole.source, whole.type, coordinates)

    def _coordinate(self, value: ir.Value, loops: tuple[Linear, ...]) -> Linear | None:
        """Return a coordinate that is known at launch or runs with a loop; None for one that is computed."""
        from iree.compiler import ir

        if not isinstance(value, ir.BlockArgument) and value.owner.operation.name == "linalg.index":
            return loops[_integer(value.owner.operation, "dim")]
        index = self._launch_integer(value, str(value.type))
        return None if index is None else Linear(terms=(), constant=index)

    def _affine_apply(
        self, op: ir.Operation, known: dict[ir.Value, int], loops: tuple[Linear, ...], nest: NestBuilder
    ) -> int:
        from iree.compiler import ir

        map_ = ir.AffineMapAttr(op.attributes["map"]).value
        operands = [self._value(v, known, loops, nest) for v in op.operands]
        return affine_scalar(map_.results[0], operands[: map_.n_dims], operands[map_.n_dims :], nest)


def affine_scalar(expr: ir.AffineExpr, dims: list[int], symbols: list[int], nest: NestBuilder) -> int:
    """Return the scalar node of an affine expression over `index` nodes."""
    from iree.compiler import ir

    if isinstance(expr, ir.AffineConstantExpr):
        return nest.integer(int(ir.AffineConstantExpr(expr).value), "index")
    if isinstance(expr, ir.AffineDimExpr):
        return dims[int(expr.position)]
    if isinstance(expr, ir.AffineSymbolExpr):
        return symbols[int(expr.position)]
    binary = expr
    a = affine_scalar(binary.lhs, dims, symbols, nest)
    b = affine_scalar(binary.rhs, dims, symbols, nest)
    if isinstance(expr, ir.AffineAddExpr):
        name = "arith.addi"
    elif isinstance(expr, ir.AffineMulExpr):
        name = "arith.muli"
    elif isinstance(expr, ir.AffineModExpr):
        return _modulus(a, b, nest)
    else:
        name = "arith.ceildivsi" if isinstance(expr, ir.AffineCeilDivExpr) else "arith.floordivsi"
    return nest.graph.add(name, "index", (a, b))


def _modulus(a: int, b: int, nest: NestBuilder) -> int:
    """Return the node of an affine `mod`: never negative, while a remainder has the sign of the dividend."""
    if not _never_negative(a, nest):
        below = nest.graph.add("arith.remsi", "index", (a, b))
        a = nest.graph.add("arith.addi", "index", (below, b))
    return nest.graph.add("arith.remui", "index", (a, b))


def _never_negative(node: int, nest: NestBuilder) -> bool:
    """Return True for an `index` that is made of loops, sizes and positive constants."""
    scalar = nest.graph.nodes[node]
    if scalar.op == "constant":
        return isinstance(scalar.attribute, int) and scalar.attribute >= 0
    if scalar.op in ("arith.addi", "arith.muli", "arith.floordivsi", "arith.ceildivsi", "arith.remui"):
        return all(_never_negative(operand, nest) for operand in scalar.operands)
    return scalar.op in ("index", "size") and scalar.type == "index"


def _integer(op: ir.Operation, key: str) -> int:
    from iree.compiler import ir

    return int(ir.IntegerAttr(op.attributes[key]).value)


def check_rounding(op: ir.Operation) -> None:
    """Raise `Unread` for an operation that rounds in another mode than to nearest even."""
    if "roundingmode" in op.attributes and _integer(op, "roundingmode") != NEAREST_EVEN:
        raise Unread(f"{op.name} with a rounding mode of its own")


def predicate(op: ir.Operation) -> str | None:
    """Return a comparison's predicate in MLIR's spelling; None for other operations."""
    if op.name == "arith.cmpi":
        return CMPI[_integer(op, "predicate")]
    if op.name == "arith.cmpf":
        return CMPF[_integer(op, "predicate")]
    return None
