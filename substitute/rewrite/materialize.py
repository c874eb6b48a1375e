"""Translation of `Index` expressions into operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from ..model.index import Expr, Index

if TYPE_CHECKING:
    from iree.compiler import ir

# fmt: off
_ARITH = {
    "add": "arith.addi", "sub": "arith.subi", "mul": "arith.muli", "floordiv": "arith.divui",
    "ceildiv": "arith.ceildivui", "rem": "arith.remui", "min": "arith.minui", "max": "arith.maxui",
    "shl": "arith.shli", "shr": "arith.shrui", "and": "arith.andi", "or": "arith.ori", "xor": "arith.xori",
}
# fmt: on
_SIGNED = {
    "floordiv": "arith.floordivsi",
    "ceildiv": "arith.ceildivsi",
    "min": "arith.minsi",
    "max": "arith.maxsi",
}
"""Operations to use instead of those above where a difference may be negative."""
_COMPARE = {"eq": 0, "ne": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5, "==": 0, "!=": 1, "<": 2, "<=": 3, ">": 4, ">=": 5}
"""`arith.cmpi`'s signed predicates."""

Leaf = Callable[[Expr], "ir.Value"]


class Materializer:
    """Emitter of expressions at the current insertion point, each once; `leaf` creates push constants."""

    def __init__(self, leaf: Leaf, known: Mapping[Index, ir.Value] | None = None) -> None:
        self._leaf = leaf
        self._values: dict[Index, ir.Value] = {**(known or {})}

    def value(self, index: Index) -> ir.Value:
        """Return an SSA value of type `index`."""
        if index not in self._values:
            self._values[index] = self._emit(index)
        return self._values[index]

    def compare(self, op: str, a: Index, b: Index) -> ir.Value:
        """Return an SSA value of type `i1`."""
        return compare(op, self.value(a), self.value(b))

    def _emit(self, index: Index) -> ir.Value:
        from iree.compiler import ir

        index_type = ir.IndexType.get()
        if isinstance(index, int):
            return create("arith.constant", [], [index_type], {"value": ir.IntegerAttr.get(index_type, index)})
        if index.op == "push":
            return self._leaf(index)
        args = [self.value(a) for a in cast("tuple[Index, ...]", index.args)]
        if index.op == "u64":
            high = create("arith.shli", [args[1], self.value(32)], [index_type])
            return create("arith.ori", [args[0], high], [index_type])
        if index.op == "trunc32":
            return create("arith.andi", [args[0], self.value(0xFFFFFFFF)], [index_type])
        if index.op == "sext32":
            narrow = create("arith.index_cast", args, [ir.IntegerType.get_signless(32)])
            return create("arith.index_cast", [narrow], [index_type])
        if all(never_negative(a) for a in index.args if not isinstance(a, str)):
            return create(_ARITH[index.op], args, [index_type])
        if index.op == "rem":  # to negative infinity, like the division; MLIR's remainder has the dividend's sign
            whole = create("arith.floordivsi", args, [index_type])
            return create("arith.subi", [args[0], create("arith.muli", [whole, args[1]], [index_type])], [index_type])
        return create(_SIGNED.get(index.op, _ARITH[index.op]), args, [index_type])


def never_negative(index: Index) -> bool:
    """Return True for an index that is certainly 0 or more: sizes, push constants, arithmetic on them without `sub`."""
    if isinstance(index, int):
        return index >= 0
    if index.op in ("sub", "sext32"):
        return False
    return all(never_negative(a) for a in index.args if not isinstance(a, str))


def create(
    name: str,
    operands: list[ir.Value],
    results: list[ir.Type],
    attributes: dict[str, ir.Attribute] | None = None,
) -> ir.Value:
    """Create an operation with one result at the current insertion point; return its result."""
    from iree.compiler import ir

    return ir.Operation.create(name, results=results, operands=operands, attributes=attributes or {}).result


def compare(relation: str, a: ir.Value, b: ir.Value) -> ir.Value:
    """Compare two signed integers (`ge` or `>=`) and return an SSA value of type `i1`."""
    from iree.compiler import ir

    predicate = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), _COMPARE[relation])
    return create("arith.cmpi", [a, b], [ir.IntegerType.get_signless(1)], {"predicate": predicate})


def push_constant(layout: ir.Attribute) -> Leaf:
    """Make `hal.interface.constant.load` operations of a body with this layout."""
    from iree.compiler import ir

    def load(push: Expr) -> ir.Value:
        index_type = ir.IndexType.get()
        ordinal = ir.IntegerAttr.get(index_type, cast(int, push.args[0]))
        word = create(
            "hal.interface.constant.load",
            [],
            [ir.IntegerType.get_signless(32)],
            {"layout": layout, "ordinal": ordinal},
        )
        return create("arith.index_castui", [word], [index_type])

    return load
