"""The law that drops roundings to a narrow type: a body of f16 or bf16 as the same body in f32.

A kernel that computes in f32 and rounds what it stores is closer to the real numbers than a dispatch that rounds after
every operation, so its results are within the bound of the dispatch's own roundings. The reverse does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...model.dispatch import Nest
from ...model.ops import OPERATIONS
from ...model.scalar import Scalar, ScalarGraph
from ..coefficient import round_to

NARROW = frozenset(("f16", "bf16"))
WIDE = "f32"
NARROW_CONSTANT = "narrow constant"
"""Operation of a constant rounded to a narrow type; its attribute is the number and the type."""
ROUND_LESS = "round-less"
_STEPS = frozenset(
    (
        *(f"math.{name}" for name in ("floor", "ceil", "round", "roundeven", "trunc")),
        *(f"arith.{name}" for name in ("cmpf", "fptosi", "fptoui", "remf")),
    )
)
"""Operations that may amplify a small difference to a large one."""


@dataclass(frozen=True, slots=True)
class Wide:
    """A body in f32. Its nodes have the positions of the narrow ones."""

    nodes: tuple[Scalar, ...]
    dropped: int
    """Number of roundings that are dropped."""
    steps: frozenset[int]
    """Nodes that may change much if an operand is rounded less. A body whose result needs one is not equal."""


def computes_wide(nest: Nest) -> bool:
    """Return True for a body that reads a narrow type, computes in f32, and rounds only its results."""
    narrow = any(node.type in NARROW for node in nest.expr.nodes)
    return (narrow or any(isinstance(read.source, int) for read in nest.reads)) and rounds_results_alone(nest.expr)


def rounds_results_alone(graph: ScalarGraph) -> bool:
    """Return True for a body that computes nothing in a narrow type."""
    stored = set(graph.results)
    for at, node in enumerate(graph.nodes):
        if node.type in NARROW and not (
            node.op in ("read", "gather") or (node.op == "arith.truncf" and at in stored and not _is_used(graph, at))
        ):
            return False
        if node.op != "arith.extf" and any(graph.nodes[o].type in NARROW for o in node.operands):
            return False
    return True


def _is_used(graph: ScalarGraph, at: int) -> bool:
    return any(at in node.operands for node in graph.nodes)


def widen(nodes: Sequence[Scalar]) -> Wide | None:
    """Return a body without its inner roundings; None for one that uses the bits of narrow numbers."""
    narrow = {node.type for node in nodes} & NARROW
    if len(narrow) > 1 or any(node.type == "f64" for node in nodes):
        return None
    compared = {o for node in nodes if node.op in _STEPS for o in node.operands}
    wide: list[Scalar] = []
    rounded: list[bool] = []
    steps: set[int] = set()
    dropped = 0
    for at, node in enumerate(nodes):
        below = any(rounded[o] for o in node.operands)
        is_narrow = node.type in NARROW
        if (is_narrow or any(nodes[o].type in NARROW for o in node.operands)) and not _is_arithmetic(node):
            return None
        if below and (node.op in _STEPS or node.op == "gather"):
            steps.add(at)
        rounds = is_narrow and _rounds(node)
        dropped += rounds
        rounded.append(below or rounds)
        if is_narrow and node.op == "constant":
            value = round_to(float(str(node.attribute)), node.type)
            node = replace(node, attribute=value)
            if at not in compared:
                node = Scalar(NARROW_CONSTANT, WIDE, (), (value, node.type))
        wide.append(replace(node, type=WIDE) if node.type in NARROW else node)
    return Wide(tuple(wide), dropped, frozenset(steps))


def _is_arithmetic(node: Scalar) -> bool:
    if node.op in ("read", "gather", "constant", "parameter"):
        return True
    return node.op in OPERATIONS and node.op != "arith.bitcast"


def _rounds(node: Scalar) -> bool:
    known = OPERATIONS.get(node.op)
    return known is not None and bool(node.operands) and known.rounds != "never"
