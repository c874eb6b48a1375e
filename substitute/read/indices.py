"""Translation of a body's integer arithmetic (push constants, sizes, offsets) into `Index` expressions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model.equalities import Equalities
from ..model.index import Expr, Index, add, apply, mul, push
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir

DYNAMIC = -(2**63)
"""Placeholder in a static list of MLIR whose value is an operand (`ShapedType::kDynamic`)."""

# fmt: off
_BINARY = {
    "arith.addi": "add", "arith.subi": "sub", "arith.muli": "mul", "arith.divui": "floordiv",
    "arith.floordivsi": "floordiv", "arith.ceildivui": "ceildiv", "arith.ceildivsi": "ceildiv",
    "arith.remui": "rem", "arith.shli": "shl", "arith.shrui": "shr", "arith.andi": "and",
    "arith.xori": "xor", "arith.minui": "min", "arith.minsi": "min", "arith.maxui": "max", "arith.maxsi": "max",
    # sizes and offsets are never negative, so that signed and unsigned divisions agree
    "arith.divsi": "floordiv", "arith.remsi": "rem", "arith.shrsi": "shr",
}
# fmt: on
_BOUND = re.compile(r"(umin|umax|udiv) = (\d+)")
# fmt: off
_PASS = {
    "arith.index_castui", "arith.index_cast", "arith.extui", "arith.extsi", "arith.trunci",
    "iree_tensor_ext.dispatch.workload.ordinal",
}
# fmt: on


class IndexReader:
    """Reader of integer SSA values of one body. `know` defines values from outside (a definition's axes)."""

    def __init__(self, equal: Equalities | None = None) -> None:
        self._known: dict[ir.Value, Index] = {}
        self._equal = equal or Equalities()
        self.workload: dict[int, Index] = {}
        """Workload operand of each `workload.ordinal` of the body."""

    def know(self, value: ir.Value, index: Index) -> None:
        """Define the index of a value."""
        self._known[value] = index

    def read(self, value: ir.Value) -> Index:
        """Return the index of a value. Raises `Unread` for anything but integer arithmetic over constants."""
        if value not in self._known:
            self._known[value] = self._equal.settle(self._compute(value))
        return self._known[value]

    def static_or_dynamic(self, static: list[int], dynamic: list[ir.Value]) -> tuple[Index, ...]:
        """Return a mixed list such as `offsets = [0, %x]`, from its static part and its operands."""
        values = iter(dynamic)
        return tuple(self.read(next(values)) if s == DYNAMIC else s for s in static)

    def _compute(self, value: ir.Value) -> Index:
        from iree.compiler import ir

        if isinstance(value, ir.BlockArgument):
            raise Unread("an integer that is a block argument")
        op, number = value.owner.operation, ir.OpResult(value).result_number
        name = op.name
        if name == "arith.constant":
            return int(ir.IntegerAttr(op.attributes["value"]).value)
        if name == "hal.interface.constant.load":
            return push(int(ir.IntegerAttr(op.attributes["ordinal"]).value))
        if name == "util.assume.int":
            values = set(assumed_values(op, number))
            return values.pop() if len(values) == 1 else self.read(op.operands[number])
        if name in _PASS:
            return self._pass(op)
        if name == "arith.ori":
            return self._or(self.read(op.operands[0]), self.read(op.operands[1]))
        if name in _BINARY:
            return apply(_BINARY[name], self.read(op.operands[0]), self.read(op.operands[1]))
        if name == "affine.apply":
            operands = [self.read(o) for o in op.operands]
            map_ = ir.AffineMapAttr(op.attributes["map"]).value
            return affine(map_.results[0], operands[: map_.n_dims], operands[map_.n_dims :])
        if name == "affine.linearize_index":
            return self._linearized(op)
        if name == "affine.delinearize_index":
            return self._delinearized(op, number)
        raise Unread(f"an integer computed by {name}")

    def _linearized(self, op: ir.Operation) -> Index:
        """Return the row-major position of coordinates; the size of the outermost dimension may be left out."""
        from iree.compiler import ir

        static = [int(n) for n in ir.DenseI64ArrayAttr(op.attributes["static_basis"])]
        operands = list(op.operands)
        count = len(operands) - static.count(DYNAMIC)
        basis = self.static_or_dynamic(static, operands[count:])
        position, *others = (self.read(o) for o in operands[:count])
        for size, coordinate in zip(basis[len(basis) - len(others) :], others, strict=True):
            position = add(mul(position, size), coordinate)
        return position

    def _delinearized(self, op: ir.Operation, number: int) -> Index:
        """Return one coordinate of a row-major position."""
        position, basis = self.read(op.operands[0]), self.inner_basis(op)
        found: list[Index] = []
        for size in reversed(basis):
            found.append(apply("rem", position, size))
            position = apply("floordiv", position, size)
        return (position, *reversed(found))[number]

    def inner_basis(self, op: ir.Operation) -> tuple[Index, ...]:
        """Return the sizes of all dimensions but the outermost of an `affine.delinearize_index`."""
        from iree.compiler import ir

        static = [int(n) for n in ir.DenseI64ArrayAttr(op.attributes["static_basis"])]
        basis = self.static_or_dynamic(static, list(op.operands)[1:])
        return basis[len(basis) - len(op.results) + 1 :]

    def _pass(self, op: ir.Operation) -> Index:
        from iree.compiler import ir

        widths = {str(op.operands[0].type), str(op.results[0].type)}
        if not widths <= {"i32", "i64", "index"}:
            raise Unread(f"an integer of type {', '.join(sorted(widths - {'i32', 'i64', 'index'}))}")
        inner = self.read(op.operands[0])
        if op.name.endswith("workload.ordinal"):
            self.workload[int(ir.IntegerAttr(op.attributes["ordinal"]).value)] = inner
        if op.name == "arith.trunci" and str(op.result.type) == "i32" and not isinstance(inner, int):
            return inner if inner.op == "push" else apply("trunc32", inner)
        source = str(op.operands[0].type)
        if source == "i32" and op.name in ("arith.extsi", "arith.index_cast") and not isinstance(inner, int):
            return apply("sext32", inner)
        return inner

    def _or(self, a: Index, b: Index) -> Index:
        """Join `low | high << 32`, the form of a 64-bit value in two push constants."""
        for low, high in ((a, b), (b, a)):
            if isinstance(high, Expr) and high.op == "shl" and high.args[1] == 32 and isinstance(low, Expr):
                shifted = high.args[0]
                assert not isinstance(shifted, str)
                return apply("u64", low, shifted)
        return apply("or", a, b)


def assumed_values(op: ir.Operation, number: int) -> tuple[int, ...]:
    """Return the value that a `util.assume.int` allows for an operand at each call site.

    Empty if it allows several at one of them.
    """
    from iree.compiler import ir

    found = []
    for site in ir.ArrayAttr(ir.ArrayAttr(op.attributes["assumptions"])[number]):
        bounds = dict(_BOUND.findall(str(site)))
        if bounds.get("umin") is None or bounds.get("umin") != bounds.get("umax"):
            return ()
        found.append(int(bounds["umin"]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class IntegerRange:
    """Values that a `util.assume.int` allows: the multiples of `step` from `low` to `high`."""

    low: int = 0
    high: int = (1 << 63) - 1
    step: int = 1

    def meet(self, other: IntegerRange) -> IntegerRange:
        """Return the values that both allow."""
        return IntegerRange(max(self.low, other.low), min(self.high, other.high), math.lcm(self.step, other.step))

    def nearest(self, value: int) -> int:
        """Return the smallest allowed value from this one on, else the largest; the value itself if none is allowed."""
        above = -(-max(value, self.low) // self.step) * self.step
        below = self.high // self.step * self.step
        found = min(above, below)
        return found if found >= self.low else value


def assumed_range(op: ir.Operation, number: int) -> IntegerRange:
    """Return the values that a `util.assume.int` allows for an operand at some call site."""
    from iree.compiler import ir

    sites = [
        {key: int(bound) for key, bound in _BOUND.findall(str(site))}
        for site in ir.ArrayAttr(ir.ArrayAttr(op.attributes["assumptions"])[number])
    ]
    return IntegerRange(
        min((s.get("umin", 0) for s in sites), default=0),
        max((s.get("umax", IntegerRange().high) for s in sites), default=IntegerRange().high),
        math.gcd(*(s.get("udiv", 1) for s in sites)) or 1,
    )


def affine(expr: ir.AffineExpr, dims: list[Index], symbols: list[Index]) -> Index:
    """Return the value of an affine expression over integers known at launch."""
    from iree.compiler import ir

    if isinstance(expr, ir.AffineConstantExpr):
        return int(ir.AffineConstantExpr(expr).value)
    if isinstance(expr, ir.AffineDimExpr):
        return dims[int(expr.position)]
    if isinstance(expr, ir.AffineSymbolExpr):
        return symbols[int(expr.position)]
    binary = expr
    a, b = affine(binary.lhs, dims, symbols), affine(binary.rhs, dims, symbols)
    if isinstance(expr, ir.AffineAddExpr):
        return add(a, b)
    if isinstance(expr, ir.AffineMulExpr):
        return mul(a, b)
    if isinstance(expr, ir.AffineModExpr):
        return apply("rem", a, b)
    return apply("ceildiv" if isinstance(expr, ir.AffineCeilDivExpr) else "floordiv", a, b)
