"""A function of the host program that returns the kernel that a launch would select."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..model.dispatch import Dispatch
from .choice import Choice
from .geometry import emit_gate, known_workload
from .materialize import create

if TYPE_CHECKING:
    from iree.compiler import ir

FALLBACK = -1
"""Result of the function if IREE's own code is selected."""


def add_selection(module: ir.Operation, name: str, dispatch: Dispatch, choices: Sequence[Choice]) -> None:
    """Add `name`, a function of the workload (i64 each) to the number of the selected choice, or `FALLBACK`."""
    from iree.compiler import ir

    arguments = ", ".join(f"%w{n}: i64" for n in range(len(dispatch.workload)))
    casts = "\n".join(f"%i{n} = arith.index_cast %w{n} : i64 to index" for n in range(len(dispatch.workload)))
    text = (
        f"util.func public @{name}({arguments}) -> i64 {{\n{casts}\n%c0 = arith.constant 0 : index\n"
        f"%device = hal.devices.get %c0 : !hal.device\n%none = arith.constant {FALLBACK} : i64\n"
        "util.return %none : i64\n}"
    )
    with module.context, ir.Location.unknown():
        function = ir.Operation.parse(text).operation
        module.regions[0].blocks[0].append(function)
        block = function.regions[0].blocks[0]
        operations = [op.operation for op in block.operations]
        sizes = [op.result for op in operations if op.name == "arith.index_cast"]
        device = next(op.result for op in operations if op.name == "hal.devices.get")
        selected = operations[-1].operands[0]
        i64 = ir.IntegerType.get_signless(64)
        with ir.InsertionPoint(operations[-1]):
            for number, choice in reversed(list(enumerate(choices))):
                gate = emit_gate(choice.gate, known_workload(dispatch, sizes), device)
                value = create("arith.constant", [], [i64], {"value": ir.IntegerAttr.get(i64, number)})
                selected = create("arith.select", [gate, value, selected], [i64])
        operations[-1].operands[0] = selected
