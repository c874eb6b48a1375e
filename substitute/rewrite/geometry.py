"""Launch geometry: the `count` region, the workgroup size, and the conditions of exports and variants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from ..errors import PlanError
from ..match.workload import unknown_to_host
from ..model.constraints import Comparison, Logic
from ..model.dispatch import Dispatch
from ..model.index import Expr, Index
from ..model.kernel import DeviceTest
from .choice import Every, Gate, Neither, list_compared_values
from .materialize import Materializer, compare, create

if TYPE_CHECKING:
    from iree.compiler import ir


CUDA = "cuda"
"""IREE's name of the PTX backend."""
ANSWERED_LATE = frozenset({"hal.cpu"})
"""Categories that local devices answer with zeros until the first executable of the process is loaded.

IREE asks a device when it initialises a module, before it loads any executable; where it cannot see which device is
asked, the question stays where it stands.
Source: `iree_cpu_initialize` is called by `runtime/src/iree/hal/local/executable_environment.c` alone.
"""


def set_workgroup_count(export: ir.Operation, dispatch: Dispatch, count: tuple[Index, Index, Index]) -> None:
    """Replace the computation of the `count` region, whose only inputs are the dispatch's workload."""
    from iree.compiler import ir

    block = _region_block(export, 0, dispatch)
    for op in reversed(list(block.operations)):
        op.operation.erase()
    with ir.InsertionPoint(block), ir.Location.unknown():
        materializer = _over_workload(dispatch, block, count)
        counts = [materializer.value(c) for c in count]
        if dispatch.target.backend == CUDA:
            counts = _none_or_all(counts, count, materializer)
        ir.Operation.create("hal.return", operands=counts)


def _none_or_all(counts: list[ir.Value], of: tuple[Index, Index, Index], materializer: Materializer) -> list[ir.Value]:
    """Zero all counts if one is zero: the runtime skips a dispatch without workgroups only if all are zero.

    `cuLaunchKernel` refuses a grid of no blocks with CUDA_ERROR_INVALID_VALUE, and IREE's CUDA driver passes it on
    (`stream_command_buffer.c`; its HIP driver does not).
    """
    from iree.compiler import ir

    i1, index = ir.IntegerType.get_signless(1), ir.IndexType.get()
    unknown = [c for c in of if not isinstance(c, int)]
    if not unknown or (len(unknown) == 1 and all(c == unknown[0] for c in of)):
        return counts
    empty = reduce(lambda a, b: create("arith.ori", [a, b], [i1]), [materializer.compare("eq", c, 0) for c in unknown])
    none = materializer.value(0)
    return [create("arith.select", [empty, none, c], [index]) for c in counts]


def counts_by_code_generation(export: ir.Operation) -> bool:
    """Return True if code generation decides the workgroup count when it tiles the body; the region only names
    operands.
    """
    blocks = list(export.regions[0].blocks)
    names = [op.operation.name for block in blocks for op in block.operations]
    return not blocks or any(name.startswith("iree_tensor_ext.dispatch.workgroup_count") for name in names)


def set_workgroup_size(export: ir.Operation, size: tuple[int, int, int], shared_memory_bytes: int) -> None:
    """Set the launched block, and its dynamic shared memory."""
    from iree.compiler import ir

    index = ir.IndexType.get()
    export.attributes["workgroup_size"] = ir.ArrayAttr.get([ir.IntegerAttr.get(index, s) for s in size])
    if shared_memory_bytes:
        export.attributes["workgroup_local_memory"] = ir.IntegerAttr.get(index, shared_memory_bytes)


def gate_workgroup_count(export: ir.Operation, dispatch: Dispatch, gate: Gate) -> None:
    """Launch no workgroups where the gate is false; the runtime then drops the dispatch.

    The region's own computation is kept, even if only IREE's code generation resolves it.
    """
    from iree.compiler import ir

    if gate is True:
        return
    block = _region_block(export, 0, dispatch)
    ret = list(block.operations)[-1].operation
    index = ir.IndexType.get()
    with ir.InsertionPoint(ret), ir.Location.unknown():
        materializer = _over_workload(dispatch, block, tuple(list_compared_values(gate)))
        open_ = emit_gate(gate, materializer, block.arguments[0])
        none = materializer.value(0)
        counts = [create("arith.select", [open_, count, none], [index]) for count in ret.operands]
        ir.Operation.create("hal.return", operands=counts)
    ret.erase()


def add_condition(export: ir.Operation, dispatch: Dispatch, gate: Gate, fallback: str) -> None:
    """Dispatch `export` only where the gate is true for device and workload, else the export named `fallback`."""
    from iree.compiler import ir

    block = _region_block(export, 1, dispatch)
    with ir.InsertionPoint(block), ir.Location.unknown():
        materializer = _over_workload(dispatch, block, tuple(list_compared_values(gate)))
        ir.Operation.create("hal.return", operands=[emit_gate(gate, materializer, block.arguments[0])])
    export.attributes["condition_fallback"] = ir.FlatSymbolRefAttr.get(fallback)


def add_variant_condition(variant: ir.Operation, tests: tuple[DeviceTest, ...]) -> None:
    """Select the variant only on devices that pass the tests, which see the device and not the workload."""
    from iree.compiler import ir

    device, i1 = ir.Type.parse("!hal.device"), ir.IntegerType.get_signless(1)
    with ir.InsertionPoint.at_block_begin(variant.regions[0].blocks[0]), ir.Location.unknown():
        type_ = ir.TypeAttr.get(ir.FunctionType.get([device], [i1]))
        condition = ir.Operation.create("hal.executable.condition", attributes={"function_type": type_}, regions=1)
        block = condition.regions[0].blocks.append(device, arg_locs=[ir.Location.unknown()])
        with ir.InsertionPoint(block):
            gate = emit_gate(Every(parts=tests), Materializer(_no_leaf), block.arguments[0])
            ir.Operation.create("hal.return", operands=[gate])


def emit_gate(gate: Gate, materializer: Materializer, device: ir.Value) -> ir.Value:
    """Return an i1 at the current insertion point."""
    from iree.compiler import ir

    i1 = ir.IntegerType.get_signless(1)
    if isinstance(gate, bool):
        return create("arith.constant", [], [i1], {"value": ir.IntegerAttr.get(i1, int(gate))})
    if isinstance(gate, Comparison):
        return materializer.compare(gate.predicate, gate.left, gate.right)
    if isinstance(gate, DeviceTest):
        return _ask(gate, device)
    parts = gate.args if isinstance(gate, Logic) else gate.parts
    values = [emit_gate(part, materializer, device) for part in parts]
    any_of = isinstance(gate, Neither) or (isinstance(gate, Logic) and gate.op == "or")
    joined = reduce(lambda a, b: create("arith.ori" if any_of else "arith.andi", [a, b], [i1]), values)
    if isinstance(gate, Neither) or (isinstance(gate, Logic) and gate.op == "not"):
        return create("arith.xori", [joined, emit_gate(True, materializer, device)], [i1])
    return joined


def _ask(test: DeviceTest, device: ir.Value) -> ir.Value:
    """Query the device; false if it does not know the key."""
    from iree.compiler import ir

    i1, i64 = ir.IntegerType.get_signless(1), ir.IntegerType.get_signless(64)
    if test.category in ANSWERED_LATE:
        device = _out_of_sight(device)
    query = ir.Operation.create(
        "hal.device.query",
        results=[i1, i64],
        operands=[device],
        attributes={"category": ir.StringAttr.get(test.category), "key": ir.StringAttr.get(test.key)},
    )
    number = create("arith.constant", [], [i64], {"value": ir.IntegerAttr.get(i64, test.value)})
    passed = compare(test.relation, query.results[1], number)
    return create("arith.andi", [query.results[0], passed], [i1])


def _out_of_sight(device: ir.Value) -> ir.Value:
    """Return the same device through a list, which IREE's analysis of devices does not follow."""
    from iree.compiler import ir

    index, type_ = ir.IndexType.get(), ir.Type.parse("!util.list<?>")
    zero, one = (create("arith.constant", [], [index], {"value": ir.IntegerAttr.get(index, n)}) for n in (0, 1))
    held = create("util.list.create", [one], [type_])
    ir.Operation.create("util.list.resize", operands=[held, one])
    ir.Operation.create("util.list.set", operands=[held, zero, device])
    return create("util.list.get", [held, zero], [device.type])


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
    """Translate expressions over push constants to the workload operands that carry the same values."""
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
    return known_workload(dispatch, list(block.arguments)[1:])


def known_workload(dispatch: Dispatch, operands: Sequence[ir.Value]) -> Materializer:
    """Return expressions over the workload's operands for push constants that carry the same values."""
    pairs = zip(dispatch.workload, operands, strict=True)
    return Materializer(_no_leaf, {value: operand for value, operand in pairs if isinstance(value, Expr)})


def _no_leaf(push: Expr) -> ir.Value:
    raise AssertionError(f"{push} is not known to the host")
