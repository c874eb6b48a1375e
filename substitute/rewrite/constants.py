"""`hal.executable.constant.block`: values that the host computes when it loads a module on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import PayloadError
from ..model.kernel import ExecutableConstant
from .materialize import create

if TYPE_CHECKING:
    from iree.compiler import ir


def add_constants(variant: ir.Operation, constants: Sequence[ExecutableConstant]) -> None:
    """Add one block with all constants, in order: on Vulkan they are SpecId 0, 1, …. Raises `PayloadError` for a
    second.
    """
    from iree.compiler import ir

    if not constants:
        return
    first = variant.regions[0].blocks[0]
    if any(op.operation.name == "hal.executable.constant.block" for op in first.operations):
        raise PayloadError(
            "two kernels give one executable constants",
            expected="constants of one kernel, numbered from 0",
            found=", ".join(c.name for c in constants),
            next_step="take the constants of one of them as spec_constants",
        )
    device, i32 = ir.Type.parse("!hal.device"), ir.IntegerType.get_signless(32)
    export = next(op for op in first.operations if op.operation.name == "hal.executable.export")
    with ir.InsertionPoint(export), ir.Location.unknown():
        block_op = ir.Operation.create(
            "hal.executable.constant.block",
            regions=1,
            attributes={
                "function_type": ir.TypeAttr.get(ir.FunctionType.get([device], [i32] * len(constants))),
                "keys": ir.ArrayAttr.get([ir.StringAttr.get(c.name) for c in constants]),
            },
        )
        block = block_op.regions[0].blocks.append(device, arg_locs=[ir.Location.unknown()])
        with ir.InsertionPoint(block):
            values = [_value(constant, block.arguments[0]) for constant in constants]
            ir.Operation.create("hal.return", operands=values)


def _value(constant: ExecutableConstant, device: ir.Value) -> ir.Value:
    from iree.compiler import ir

    i32 = ir.IntegerType.get_signless(32)
    if not constant.key:
        return create("arith.constant", [], [i32], {"value": ir.IntegerAttr.get(i32, int(constant.value))})
    query = ir.Operation.create(
        "hal.device.query",
        operands=[device],
        results=[ir.IntegerType.get_signless(1), i32],
        attributes={
            "category": ir.StringAttr.get(constant.category),
            "key": ir.StringAttr.get(constant.key),
            "default_value": ir.IntegerAttr.get(i32, constant.default),
        },
    )
    return query.results[1]
