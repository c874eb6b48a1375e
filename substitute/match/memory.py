"""Check for dispatches that read memory that they also write, for kernels that do not support it."""

from __future__ import annotations

from ..model.dispatch import Program, View
from ..model.kernel import Kernel
from ..model.plan import Rule


def check_in_place(kernel: Kernel, program: Program) -> Rule | None:
    """Return the rule that fails if a result overwrites data that the kernel still has to read; else None.

    A generator with slots sees the whole dispatch and has to check it itself. Any other kernel may store before it has
    read everything, unless it is element-wise: then an element may replace the one that it was computed from. The same
    holds for the element-wise work in a shader's store function.
    """
    if kernel.slots and kernel.payload.kind.sees_dispatch:
        return None
    stores_alone = not program.cores or "epilogue" in kernel.slots
    written = {w.view.operand: (w.view, w.access) for nest in program.stores for w in nest.writes}
    for stage in (*program.cores, *program.stores):
        for read in stage.reads:
            if not isinstance(read.source, View) or read.source.operand not in written:
                continue
            binding = program.operands[read.source.operand].binding
            pointwise = stores_alone and stage in program.stores
            if not pointwise or written[read.source.operand] != (read.source, read.access):
                return Rule(
                    name="structure.memory",
                    passed=False,
                    expected="results in memory that the dispatch does not read",
                    found=f"a result that overwrites an input in binding {binding}",
                )
    return None
