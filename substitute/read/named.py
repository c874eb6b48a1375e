"""Parameters of a named operation besides its tensors, as text that is equal for equal operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..model.scalar import Scalar

if TYPE_CHECKING:
    from iree.compiler import ir

UNKNOWN = "<unknown>"
"""Placeholder for a value that cannot be named: it compares unequal to everything."""

Capture = Callable[["ir.Value"], str]
"""Function that returns the text of a value computed outside of a region."""


def region_text(op: ir.Operation, capture: Capture) -> str:
    """Return the operation's regions, with values numbered in their order; empty if it has none.

    MLIR's own text numbers values by what stands before them in the function.
    """
    names: dict[ir.Value, str] = {}
    return "\n".join(_regions(op, names, capture))


def _regions(op: ir.Operation, names: dict[ir.Value, str], capture: Capture) -> list[str]:
    lines: list[str] = []
    for region in op.regions:
        for block in region.blocks:
            arguments = [f"{_new(argument, names)}: {argument.type}" for argument in block.arguments]
            lines.append(f"({', '.join(arguments)}):")
            for inner in block.operations:
                lines += _operation(inner.operation, names, capture)
    return lines


def _operation(op: ir.Operation, names: dict[ir.Value, str], capture: Capture) -> list[str]:
    operands = ", ".join(names[o] if o in names else capture(o) for o in op.operands)
    results = ", ".join(f"{_new(r, names)}: {r.type}" for r in op.results)
    attributes = ", ".join(f"{key} = {op.attributes[key]}" for key in op.attributes)
    line = f"  {results + ' = ' if results else ''}{op.name}({operands}){f' {{{attributes}}}' if attributes else ''}"
    return [line, *(f"  {inner}" for inner in _regions(op, names, capture))]


def _new(value: ir.Value, names: dict[ir.Value, str]) -> str:
    names[value] = f"%{len(names)}"
    return names[value]


def scalar_text(nodes: list[Scalar], at: int) -> str:
    """Return the text of a scalar that needs no element of a tensor, such as `arith.divf(1.0, 8.0)`."""
    node = nodes[at]
    if node.op in ("read", "gather", "index", "parameter"):
        return UNKNOWN
    if not node.operands:
        return f"{node.attribute} : {node.type}"
    extra = f" {node.attribute}" if node.attribute is not None else ""
    return f"{node.op}{extra}({', '.join(scalar_text(nodes, o) for o in node.operands)})"
