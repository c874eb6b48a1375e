"""Check that a kernel meets the demands of the compiler's flags on numerics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..model.dispatch import Dispatch, Named, Nest, Program
from ..model.elements import ELEMENTS
from ..model.kernel import Kernel
from ..model.numerics import MEANINGS, Demand, NumericDemand
from ..model.plan import Rule
from ..model.scalar import Scalar

ORDER_MATTERS = frozenset(("arith.addf", "arith.mulf"))
"""Combiners of floats whose result depends on the order."""
NARROW = frozenset(element.name for element in ELEMENTS if element.is_narrow_float)
DIVIDES = frozenset(("arith.divf",))
TAKES_ROOTS = frozenset(("math.sqrt", "math.rsqrt"))
MULTIPLIES = frozenset(("arith.mulf",))
ADDS = frozenset(("arith.addf", "arith.subf", "arith.negf"))


def check_numerics(kernel: Kernel, dispatch: Dispatch, demands: Sequence[NumericDemand]) -> Rule | None:
    """Return the rule that fails for the first demand that concerns the dispatch and that the kernel does not meet.

    None if there is no such demand. IREE applies its flags itself to bodies that it compiles.
    """
    if kernel.payload.kind.launch == "iree":  # IREE compiles the body
        return None
    for demand in demands:
        if dispatch.target.backend not in demand.backends or demand.kind in kernel.keeps:
            continue
        if dispatch.program is None or _concerns(demand.kind, dispatch.program):
            return Rule(
                name="numerics",
                passed=False,
                expected=f'a kernel with keeps = ["{demand.kind}"]: {MEANINGS[demand.kind]}, as {demand.flag} demands',
                found=f"keeps = [{', '.join(sorted(kernel.keeps))}]",
            )
    return None


def _concerns(kind: Demand, program: Program) -> bool:
    """Return True if the demand can change a result of the program. A named operation may compute anything."""
    if any(isinstance(core, Named) for core in program.cores):
        return True
    nests = [core for core in program.cores if isinstance(core, Nest)]
    sums = [nest for nest in nests if nest.combiner in ORDER_MATTERS]
    operations = {node.op for node in _nodes(program)} | {nest.combiner for nest in nests}
    match kind:
        case "order":
            return bool(sums)
        case "roundings":
            return any(nest.type is None or nest.type.element in NARROW for nest in sums)
        case "flushed-denormals":
            return any(node.type == "f32" for node in _nodes(program))
        case "ieee-division":
            return bool(operations & DIVIDES)
        case "ieee-sqrt":
            return bool(operations & TAKES_ROOTS)
        case "separate-multiply-add":
            return bool(operations & MULTIPLIES and operations & ADDS)


def _nodes(program: Program) -> Iterator[Scalar]:
    for nest in (*program.cores, *program.stores):
        if isinstance(nest, Nest):
            yield from nest.expr.nodes
