"""Scalar graphs as MLIR text."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..model.parameter import encode
from ..model.scalar import Scalar, ScalarGraph
from .draft import NotExpressible

_CASTS = frozenset(
    f"arith.{name}"
    for name in (
        "extf",
        "truncf",
        "sitofp",
        "uitofp",
        "fptosi",
        "fptoui",
        "extsi",
        "extui",
        "trunci",
        "index_cast",
        "index_castui",
        "bitcast",
        "convertf",
    )
)
Leaf = Callable[[Scalar, tuple[str, ...]], str | tuple[str, str]]
"""The value of a leaf: a name, or the text of the operation that makes it and its type."""


def literal(value: float | int, type_: str) -> str:
    """Return a number as an MLIR literal of a type."""
    if not type_.startswith(("f", "bf")):
        return ("true" if value else "false") if type_ == "i1" else str(int(value))
    if not math.isfinite(value):
        bits = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}.get(type_)
        if bits is None:
            raise NotExpressible(f"the constant {value} of type {type_}")
        return f"0x{encode(value, type_):0{bits // 4}X}"
    text = repr(float(value))
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}{e}{exponent}"


def constant(value: float | int, type_: str) -> str:
    """Return the operation that makes a constant."""
    return f"arith.constant {literal(value, type_)}" + ("" if type_ == "i1" else f" : {type_}")


def write_graph(graph: ScalarGraph, leaf: Leaf, *, indent: str = "    ") -> tuple[list[str], list[str]]:
    """Return the lines of a region's body, and the names of the results.

    `leaf` gives the names of leaves other than constants. Raises `NotExpressible`.
    """
    lines: list[str] = []
    names: list[str] = []
    for number, node in enumerate(graph.nodes):
        name = f"%v{number}"
        operands = tuple(names[o] for o in node.operands)
        types = tuple(graph.nodes[o].type for o in node.operands)
        if node.op == "constant":
            assert isinstance(node.attribute, (int, float))
            lines.append(f"{indent}{name} = {constant(node.attribute, node.type)}")
        elif node.op in ("read", "index", "size", "gather", "parameter"):
            found = leaf(node, operands)
            if isinstance(found, tuple):
                lines.append(f"{indent}{name} = {found[0]}")
            else:
                name = found
        else:
            lines.append(f"{indent}{name} = {_operation(node, operands, types)}")
        names.append(name)
    return lines, [names[r] for r in graph.results]


def _operation(node: Scalar, operands: tuple[str, ...], types: tuple[str, ...]) -> str:
    joined = ", ".join(operands)
    if node.op in _CASTS:
        return f"{node.op} {joined} : {types[0]} to {node.type}"
    if node.op in ("arith.cmpf", "arith.cmpi"):
        return f"{node.op} {node.attribute}, {joined} : {types[0]}"
    if node.op == "arith.select":
        return f"arith.select {joined} : {node.type}"
    if node.op == "math.fpowi":
        return f"math.fpowi {joined} : {types[0]}, {types[1]}"
    if node.op == "math.clampf":
        return f"math.clampf {operands[0]} to [{operands[1]}, {operands[2]}] : {node.type}"
    if node.op.startswith(("arith.", "math.")) and node.attribute is None:
        return f"{node.op} {joined} : {types[0]}"
    raise NotExpressible(f"the scalar operation {node.op}")
