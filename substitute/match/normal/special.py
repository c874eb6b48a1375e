"""Special functions that a frontend writes as rational approximations, found by evaluation.

JAX computes `erf` and `erfc` by polynomials and choices between ranges, with coefficients that change from one version
to the next. A value that depends on one other value alone, and is the function of it at every point of a dense set to
the last places, is the function, whatever its formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, cast

from ...model.scalar import Scalar, ScalarGraph
from ..identity import ByIdentity

APPROXIMATED: Mapping[str, str] = {"math.erf": "error-function", "math.erfc": "complement-of-error-function"}
"""Functions that are found, and their laws."""
_ROOTS = frozenset(("arith.minimumf", "arith.select", "math.clampf"))
"""Last operation of an approximation: a cut to its range, or a choice between ranges."""
_FEWEST_CONSTANTS = 8
_COARSE = 37
_TOLERANCE = 2.0**-21
"""Largest relative difference: the coefficients and the degree are those of f32."""
_UNUSED = Scalar("constant", "f32", (), 0.0)
_SMALLEST = 2.0**-126
"""Numbers below are as good as zero."""


@dataclass(frozen=True, slots=True)
class Named:
    """A graph in which approximations are the functions that they approximate, node by node."""

    nodes: tuple[Scalar, ...]
    laws: tuple[str, ...]
    """The law of each one that was found."""


def name_functions(graph: ScalarGraph, wanted: frozenset[str]) -> Named:
    """Return the graph with approximations of the `wanted` functions as these functions; no other number changes.

    What no result needs any more, the formulas of the approximations, is zero.
    """
    return _name_functions(ByIdentity(graph.nodes), tuple(graph.results), wanted)


@lru_cache(maxsize=1024)
def _name_functions(key: ByIdentity, results: tuple[int, ...], wanted: frozenset[str]) -> Named:
    nodes = cast(tuple[Scalar, ...], key.held)
    made, laws = list(nodes), list[str]()
    left = _list_candidates(nodes)
    for argument in sorted({cut for cuts in left.values() for cut in cuts if nodes[cut].type == "f32"}):
        for name in sorted(wanted & APPROXIMATED.keys()):
            roots = [root for root, cuts in left.items() if argument in cuts]
            for step in (_COARSE, 1):  # a few points first: most values are no such function
                roots = _select_equal(nodes, roots, argument, name, step) if roots else []
            for root in roots:
                del left[root]
                made[root] = replace(nodes[root], op=name, operands=(argument,), attribute=None)
                laws.append(APPROXIMATED[name])
    return Named(_without_unused(made, results) if laws else nodes, tuple(laws))


def _without_unused(nodes: Sequence[Scalar], results: Sequence[int]) -> tuple[Scalar, ...]:
    """Return the nodes with zero in place of those that no result needs."""
    needed = set(results)
    for at in range(len(nodes) - 1, -1, -1):
        if at in needed:
            needed |= set(nodes[at].operands)
    return tuple(node if at in needed else _UNUSED for at, node in enumerate(nodes))


def _list_candidates(nodes: Sequence[Scalar]) -> dict[int, list[int]]:
    """Return what may be an approximation, and for each the values of which it may be a function."""
    found: dict[int, list[int]] = {}
    if sum(node.op == "constant" for node in nodes) >= _FEWEST_CONSTANTS:
        for root, node in enumerate(nodes):
            if node.op in _ROOTS and node.type == "f32":
                inside, cuts = _list_cuts(nodes, root)
                if sum(nodes[at].op == "constant" for at in inside) >= _FEWEST_CONSTANTS:
                    found[root] = cuts
    return found


def _select_equal(nodes: Sequence[Scalar], roots: Sequence[int], argument: int, name: str, step: int) -> list[int]:
    """Return the roots that are this function of the argument at every `step`-th point."""
    values = _evaluate(nodes, max(roots), argument, _points()["argument"][::step])
    wanted = _points()[name][::step]
    return [root for root in roots if root in values and _are_equal(values[root], wanted)]


def _list_cuts(nodes: Sequence[Scalar], root: int) -> tuple[list[int], list[int]]:
    """Return all values that a root needs, and those through which all that is no constant goes, the nearest first."""
    front, seen, cuts = {root}, {root}, list[int]()
    while front:
        at = max(front)
        if len(front) == 1 and at != root:
            cuts.append(at)
        front.remove(at)
        seen |= set(nodes[at].operands)
        front |= {o for o in nodes[at].operands if nodes[o].op != "constant"}
    return sorted(seen), cuts


def _evaluate(nodes: Sequence[Scalar], last: int, argument: int, points: Any) -> dict[int, Any]:
    """Return the values of nodes that are functions of the argument alone, up to the last one."""
    import numpy as np

    operations = _operations()
    values: dict[int, Any] = {argument: points}
    with np.errstate(all="ignore"):
        for at, node in enumerate(nodes[: last + 1]):
            if node.op == "constant" and isinstance(node.attribute, float):
                values[at] = node.attribute
            elif at > argument and all(operand in values for operand in node.operands):
                operation = operations.get(str(node.attribute) if node.op == "arith.cmpf" else node.op)
                if operation is not None:
                    values[at] = operation(*(values[operand] for operand in node.operands))
    return values


def _are_equal(values: Any, wanted: Any) -> bool:
    import numpy as np

    with np.errstate(all="ignore"):
        near = np.abs(values - wanted) <= np.maximum(_TOLERANCE * np.abs(wanted), _SMALLEST)
    return bool(np.all(near | (np.isnan(values) & np.isnan(wanted))))


@cache
def _points() -> Mapping[str, Any]:
    """Return the points, and the functions' values there."""
    import numpy as np

    dense = np.linspace(-9.0, 9.0, 193)
    small = np.geomspace(1e-12, 0.1, 24)
    argument = np.concatenate([dense, dense + 0.0413, small, -small, [-1e9, -40.0, 40.0, 1e9, np.inf, -np.inf, np.nan]])
    functions: Mapping[str, Callable[[float], float]] = {"math.erf": math.erf, "math.erfc": math.erfc}
    return {"argument": argument} | {n: np.array([f(float(x)) for x in argument]) for n, f in functions.items()}


@cache
def _operations() -> Mapping[str, Callable[..., Any]]:
    import numpy as np

    return {
        "arith.addf": np.add,
        "arith.subf": np.subtract,
        "arith.mulf": np.multiply,
        "arith.divf": np.divide,
        "arith.negf": np.negative,
        "arith.maximumf": np.maximum,
        "arith.minimumf": np.minimum,
        "math.clampf": lambda a, low, high: np.minimum(np.maximum(a, low), high),
        "math.fma": lambda a, b, c: a * b + c,
        "math.absf": np.abs,
        "math.exp": np.exp,
        "math.powf": np.power,
        "arith.select": np.where,
        "olt": np.less,
        "ole": np.less_equal,
        "ogt": np.greater,
        "oge": np.greater_equal,
    }
