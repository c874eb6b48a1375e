"""Launch geometry: the `count` region, the workgroup size, and the condition of an export."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING

from ..catalog.constraints import Comparison, Condition, Logic
from ..errors import PlanError
from ..match.workload import unknown_to_host
from ..model.dispatch import Dispatch
from ..model.index import Expr, Index
from .materialize import Materializer, create

if TYPE_CHECKING:
    from iree.compiler import ir


def set_workgroup_count(export: ir.Operation, dispatch: Dispatch, count: tuple[Index, Index, Index]) -> None:
    """Replaces what the `count` region computes; it sees the dispatch's workload and nothing else."""
    from iree.compiler import ir

    block = _region_block(export, 0, dispatch)
    for op in reversed(list(block.operations)):
        op.operation.erase()
    with ir.InsertionPoint(block), ir.Location.unknown():
        materializer = _over_workload(dispatch, block, count)
        ir.Operation.create("hal.return", operands=[materializer.value(c) for c in count])


def set_workgroup_size(export: ir.Operation, size: tuple[int, int, int], shared_memory_bytes: int) -> None:
    """Sets the block that is launched, and its dynamic shared memory."""
    from iree.compiler import ir

    index = ir.IndexType.get()
    export.attributes["workgroup_size"] = ir.ArrayAttr.get([ir.IntegerAttr.get(index, s) for s in size])
    if shared_memory_bytes:
        export.attributes["workgroup_local_memory"] = ir.IntegerAttr.get(index, shared_memory_bytes)


def add_condition(export: ir.Operation, dispatch: Dispatch, condition: Condition, fallback: str) -> None:
    """Dispatches `export` only where the condition over the workload holds, else the export named `fallback`."""
    from iree.compiler import ir

    block = _region_block(export, 1, dispatch)
    with ir.InsertionPoint(block), ir.Location.unknown():
        materializer = _over_workload(dispatch, block, tuple(sides(condition)))
        ir.Operation.create("hal.return", operands=[_emit(condition, materializer)])
    export.attributes["condition_fallback"] = ir.FlatSymbolRefAttr.get(fallback)


def sides(condition: Condition) -> Iterator[Index]:
    """All integers that a condition compares."""
    if isinstance(condition, Comparison):
        yield from (condition.left, condition.right)
    elif isinstance(condition, Logic):
        for part in condition.args:
            yield from sides(part)


def _emit(condition: Condition, materializer: Materializer) -> ir.Value:
    from iree.compiler import ir

    i1 = ir.IntegerType.get_signless(1)
    if isinstance(condition, Comparison):
        return materializer.compare(condition.predicate, condition.left, condition.right)
    if isinstance(condition, bool):
        return create("arith.constant", [], [i1], {"value": ir.IntegerAttr.get(i1, int(condition))})
    parts = [_emit(part, materializer) for part in condition.args]
    if condition.op == "not":
        return create("arith.xori", [parts[0], _emit(True, materializer)], [i1])
    return reduce(lambda a, b: create("arith.andi" if condition.op == "and" else "arith.ori", [a, b], [i1]), parts)


def _region_block(export: ir.Operation, number: int, dispatch: Dispatch) -> ir.Block:
    from iree.compiler import ir

    region = export.regions[number]
    blocks = list(region.blocks)
    if blocks:
        return blocks[0]
    device = ir.Type.parse("!hal.device")
    arguments = [device] + [ir.IndexType.get()] * len(dispatch.workload)
    return region.blocks.append(*arguments, arg_locs=[ir.Location.unknown()] * len(arguments))


def _over_workload(dispatch: Dispatch, block: ir.Block, values: tuple[Index, ...]) -> Materializer:
    """Expressions over push constants, written over the workload operands that carry the same values."""
    known: dict[Index, ir.Value] = {}
    for number, value in enumerate(dispatch.workload):
        if isinstance(value, Expr):
            known[value] = block.arguments[number + 1]
    for value in values:
        unknown = unknown_to_host(dispatch, value)
        if unknown is not None:
            raise PlanError(
                "the launch geometry depends on a value that IREE does not give to the workgroup count",
                where=dispatch.name,
                expected="sizes among the dispatch's workload: "
                + (", ".join(str(w) for w in dispatch.workload) or "none"),
                found=str(unknown),
                next_step="compute the workgroup count from sizes of the parallel loops only",
            )

    def no_leaf(push: Expr) -> ir.Value:
        raise AssertionError(f"{push} was checked above")

    return Materializer(no_leaf, known)
