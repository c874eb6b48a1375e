"""Push constants for which the host program passes the same value wherever it dispatches an export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..model.equalities import Equalities
from ..model.index import Index, push

if TYPE_CHECKING:
    from iree.compiler import ir

_COMMUTATIVE = frozenset(
    {"arith.addi", "arith.muli", "arith.maxui", "arith.minui", "arith.maxsi", "arith.minsi", "arith.andi", "arith.ori"}
)
Exported = tuple[str, str]
"""Executable, export."""


def equal_constants(module: ir.Operation) -> dict[Exported, Equalities]:
    """Return, for each export that the host dispatches with constants, which of these are equal at every call site.

    Two values are equal if they are one SSA value, or computed by the same pure operations from such values.
    """
    numbers = ValueNumbers()
    sites: dict[Exported, list[list[int]]] = {}
    for op in _dispatches(module):
        passed = [numbers.of(value) for value in _constants(op)]
        for exported in _entry_points(op):
            sites.setdefault(exported, []).append(passed)
    return {exported: Equalities(_equal_everywhere(rows)) for exported, rows in sites.items() if rows[0]}


def _equal_everywhere(rows: list[list[int]]) -> Iterator[tuple[Index, Index]]:
    first: dict[tuple[int, ...], int] = {}
    for ordinal, column in enumerate(zip(*rows, strict=True)):
        if (known := first.setdefault(column, ordinal)) != ordinal:
            yield push(known), push(ordinal)


def _dispatches(op: ir.Operation) -> Iterator[ir.Operation]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                found = inner.operation
                if found.name == "stream.cmd.dispatch":
                    yield found
                elif found.name not in ("hal.executable", "hal.executable.source"):
                    yield from _dispatches(found)


def _constants(op: ir.Operation) -> list[ir.Value]:
    """Return the push constants of a `stream.cmd.dispatch`: its second group of operands, after the workload."""
    from iree.compiler import ir

    workload, constants, *_ = ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])
    return list(op.operands)[workload : workload + constants]


def _entry_points(op: ir.Operation) -> Iterator[Exported]:
    from iree.compiler import ir

    for attribute in ir.ArrayAttr(op.attributes["entry_points"]):
        path = ir.SymbolRefAttr(attribute).value
        if len(path) == 3:
            yield str(path[0]), str(path[2])


class ValueNumbers:
    """Value numbering of the host program: values that are computed alike have equal numbers."""

    def __init__(self) -> None:
        self._of: dict[ir.Value, int] = {}
        self._computed: dict[tuple[object, ...], int] = {}

    def of(self, value: ir.Value) -> int:
        """Return the value's number."""
        if value not in self._of:
            key = self._key(value)
            self._of[value] = self._computed.setdefault(key, len(self._computed))
        return self._of[value]

    def _key(self, value: ir.Value) -> tuple[object, ...]:
        from iree.compiler import ir

        if isinstance(value, ir.BlockArgument):
            return ("value", value)
        op = value.owner.operation
        if op.regions or not (op.name.startswith("arith.") or op.name in ("hal.buffer_view.dim", "affine.apply")):
            return ("value", value)
        attributes = tuple((name, str(op.attributes[name])) for name in op.attributes if name != "overflowFlags")
        operands = [self.of(operand) for operand in op.operands]
        if op.name in _COMMUTATIVE:
            operands.sort()
        return (op.name, attributes, str(value.type), *operands)
