"""Intervals of the integers that a scalar graph can yield, from the widths of the inputs and the operations."""

from __future__ import annotations

from collections.abc import Callable

from substitute.model.scalar import Scalar, ScalarGraph

Range = tuple[int, int]
"""Least and greatest value of an integer, read as signed."""
I16 = (-(1 << 15), (1 << 15) - 1)


def value_range(graph: ScalarGraph, root: int) -> Range | None:
    """Return the interval of an integer node; None for a node that is no integer."""
    found: list[Range | None] = []
    for at, node in enumerate(graph.nodes):
        found.append(_range_of(graph, node, [found[o] for o in node.operands]))
        if at == root:
            break
    return found[root]


def fits_i16(graph: ScalarGraph, root: int) -> bool:
    """Return True if the node's value is at least -32768 and at most 32767, whatever is read."""
    bounds = value_range(graph, root)
    return bounds is not None and _is_within(bounds, I16)


def full_range(element: str) -> Range | None:
    """Return all values of an integer type."""
    if element == "index":
        return -(1 << 63), (1 << 63) - 1
    if not (element[:1] == "i" and element[1:].isdigit()):
        return None
    return -(1 << (int(element[1:]) - 1)), (1 << (int(element[1:]) - 1)) - 1


def _is_within(inner: Range, outer: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _range_of(graph: ScalarGraph, node: Scalar, operands: list[Range | None]) -> Range | None:
    every = full_range(node.type)
    if every is None:
        return None
    if node.op == "constant":
        span = every[1] - every[0] + 1
        assert isinstance(node.attribute, (int, float)), node.attribute
        value = (int(node.attribute) - every[0]) % span + every[0]
        return value, value
    known = [bounds for bounds in operands if bounds is not None]
    if len(known) != len(operands) or not known:
        return every
    if node.op == "arith.extui":
        source = full_range(graph.nodes[node.operands[0]].type)
        assert source is not None
        return known[0] if known[0][0] >= 0 else (0, source[1] - source[0])
    rule = _RULES.get(node.op)
    # a result that leaves the type wraps around, and may then have any value
    bounds = rule(known) if rule else every
    return bounds if _is_within(bounds, every) else every


def _product(known: list[Range]) -> Range:
    corners = [a * b for a in known[0] for b in known[1]]
    return min(corners), max(corners)


_RULES: dict[str, Callable[[list[Range]], Range]] = {
    "arith.addi": lambda k: (k[0][0] + k[1][0], k[0][1] + k[1][1]),
    "arith.subi": lambda k: (k[0][0] - k[1][1], k[0][1] - k[1][0]),
    "arith.muli": _product,
    "arith.extsi": lambda k: k[0],
    "arith.trunci": lambda k: k[0],
    "arith.maxsi": lambda k: (max(k[0][0], k[1][0]), max(k[0][1], k[1][1])),
    "arith.minsi": lambda k: (min(k[0][0], k[1][0]), min(k[0][1], k[1][1])),
    "arith.select": lambda k: (min(k[1][0], k[2][0]), max(k[1][1], k[2][1])),
}
