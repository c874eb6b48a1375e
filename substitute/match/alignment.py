"""Check of the alignment of operands, for kernels that require one."""

from __future__ import annotations

import math

from ..model.dispatch import Program, View
from ..model.index import Expr, Index, add, mul
from ..model.kernel import Kernel
from ..model.plan import Match, Rule

OF_BINDINGS = 64
"""Alignment of every binding's address in IREE, in bytes, on every device."""


def alignment_of(kernel: Kernel) -> int:
    """Return the alignment in bytes that a kernel may rely on: that of bindings for IREE's own layout and code."""
    of_iree = kernel.abi == "raw" or kernel.payload.kind.launch == "iree" or kernel.payload.kind.rewrites_body
    return OF_BINDINGS if of_iree else kernel.alignment


def check_alignment(kernel: Kernel, match: Match) -> Rule | None:
    """Return the rule on the operands' alignment; None for a kernel without a requirement."""
    if kernel.alignment == 1 or match.program is None:
        return None
    expected = f"operands at multiples of {kernel.alignment} bytes"
    for operand, start in _starts(match, match.program):
        place = match.program.operands[operand]
        if place.kind != "binding":
            continue
        offset = add(place.byte_offset, mul(start, place.type.element_bytes))
        known = math.gcd(divisor(offset), OF_BINDINGS)
        if known % kernel.alignment:
            found = f"binding {place.binding} from byte {offset}, a multiple of {known} for certain"
            return Rule(name="layout.alignment", passed=False, expected=expected, found=found)
    return Rule(name="layout.alignment", passed=True, expected=expected, found="they are")


def divisor(value: Index) -> int:
    """Return a number of which the value is certainly a multiple; 0 for 0."""
    if isinstance(value, int):
        return value
    parts = [divisor(a) for a in value.args if isinstance(a, int | Expr)]
    match value.op:
        case "mul":
            return math.prod(parts)
        case "add" | "sub" | "min" | "max":
            return math.gcd(*parts)
        case _:
            return 1


def _starts(match: Match, program: Program) -> list[tuple[int, Index]]:
    """Return operand and first element of every pointer that a kernel may get."""
    views = [read.source for core in program.cores for read in core.reads]
    views += [read.source for nest in program.stores for read in nest.reads]
    views += [write.view for nest in program.stores for write in nest.writes]
    placed = {(place.view.operand, place.start) for place in match.placements}
    taken = {operand for operand, _ in placed}
    found = {(v.operand, v.offset) for v in views if isinstance(v, View) and v.operand not in taken}
    return sorted(placed | found, key=str)
