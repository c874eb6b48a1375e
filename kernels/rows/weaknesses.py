"""Programs for which plain loops are correct but, as measured, several times slower than IREE's own code."""

from __future__ import annotations

from substitute.model.dispatch import Nest, Program, View
from substitute.model.ops import is_heavy
from substitute.model.scalar import Scalar

from .nests import FlatNest, Group

SLOW_FUNCTIONS = frozenset(
    f"math.{name}" for name in ("sin", "cos", "tan", "sinh", "cbrt", "log2", "log1p", "atan", "atan2", "asin", "powf")
)
"""Functions that take two to eleven times IREE's time: they are accurate for every argument, in float64."""


def weakness_of(program: Program, groups: tuple[Group, ...]) -> str:
    """Return why IREE's own code is much faster; empty if no reason is known."""
    for group in groups:
        for core in group.cores:
            if _reuses_operands(core):
                return "every element is used again for many results, and plain loops keep no tiles of them"
            if _is_short_window(core):
                return "a maximum or minimum over a window of a few elements whose neighbours do not lie side by side"
    if not program.cores:
        slow = next((n.op for s in program.stores for n in s.expr.nodes if _is_slow(s, n)), "")
        if slow:
            return f"{slow} takes several times as long as IREE's, for the last digit"
    return ""


def _is_slow(nest: Nest, node: Scalar) -> bool:
    if node.op != "math.powf":
        return node.op in SLOW_FUNCTIONS
    return nest.expr.nodes[node.operands[1]].op != "constant"


def _reuses_operands(core: FlatNest) -> bool:
    """Return True for rows times columns, in any semiring, unless both run along the reduction and cost little."""
    parallel = [k for k, reduced in enumerate(core.reduced) if not reduced]
    reduced = [k for k, is_reduced in enumerate(core.reduced) if is_reduced]
    in_memory = [r for r in core.reads if isinstance(r.view, View) and not r.gathered]
    reads = [r for r in in_memory if any(r.strides[k] != 0 for k in reduced)]
    used = [{k for k in parallel if r.strides[k] != 0} for r in reads]
    if not any(a - b and b - a for a in used for b in used):
        return False
    along = [k for k in reduced if all(r.strides[k] in (0, 1) for r in reads)]
    return not along or any(is_heavy(n.op) for n in core.expr.nodes)


def _is_short_window(core: FlatNest) -> bool:
    """Return True if no loop is suitable for lanes: no loop of the result is contiguous, and the window's is short."""
    if core.combiner not in ("arith.maximumf", "arith.minimumf"):
        return False
    reads = [r for r in core.reads if isinstance(r.view, View) and not r.gathered]
    parallel = [k for k, reduced in enumerate(core.reduced) if not reduced]
    if len(reads) != 1 or sum(core.reduced) < 2 or any(reads[0].strides[k] == 1 for k in parallel):
        return False
    sizes = [s for s, reduced in zip(core.sizes, core.reduced, strict=True) if reduced]
    return all(isinstance(s, int) and s in (2, 3, 5) for s in sizes)
