"""Values of a definition's parameters in a dispatch: constants, push constants, and operands of one element."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

from ..model.dispatch import Nest, Program, View
from ..model.index import Expr, Index, add, mul
from ..model.kernel import Kernel
from ..model.parameter import BoundParameter, ParameterValue, encode, is_exact
from ..model.plan import Rule
from ..model.scalar import GraphBuilder, ScalarGraph

_WORDS = frozenset(("push", "u64", "sext32", "trunc32"))
"""Functions of an `Index` that preserve bits; the reader treats all others as sizes, which are unsigned."""


_MOST_CHOICES = 24
"""Limit of choices of parameters that are compared by laws."""
LOADED = "loaded"
"""Operation of a parameter in memory, with the number of the dispatch's read."""
_CONVERSIONS = frozenset(
    ("arith.extf", "arith.extsi", "arith.extui", "arith.sitofp", "arith.uitofp", "arith.index_cast", "arith.truncf")
)
"""Conversions that IREE folds if their operand is a constant: the same number is used in the result's type."""


def find_parameter(pattern: ScalarGraph, p: int, graph: ScalarGraph, g: int) -> int | None:
    """Return the number of the parameter that node `p` of a definition is, if node `g` may be its value.

    Where `g` is a constant, `p` may be a conversion of a parameter as well. Of a read, `find_value` says whether it is
    one value for all elements.
    """
    wanted, found = pattern.nodes[p], graph.nodes[g]
    while found.op == "constant" and wanted.op in _CONVERSIONS:
        wanted = pattern.nodes[wanted.operands[0]]
    if wanted.op != "parameter" or (found.op not in ("constant", "read") and _bits(graph, g) is None):
        return None
    assert isinstance(wanted.attribute, int)
    return wanted.attribute


def is_same_value(graph: ScalarGraph, one: int, other: int) -> bool:
    """Return True for one node, and for constants of one number in different types."""
    nodes = (graph.nodes[one], graph.nodes[other])
    return one == other or (all(node.op == "constant" for node in nodes) and nodes[0].attribute == nodes[1].attribute)


def find_value(nest: Nest, at: int, type_: str) -> ParameterValue | None:
    """Return the value, of this type, of a node of a dispatch that is the same for all elements; None for any other.

    A constant of another type must be a number of this one.
    """
    node = nest.expr.nodes[at]
    if node.op == "constant":
        assert isinstance(node.attribute, int | float)
        if node.type != type_ and (not math.isfinite(node.attribute) or not is_exact(node.attribute, type_)):
            return None
        return ParameterValue(type=type_, bits=encode(node.attribute, type_))
    if node.op == "read":
        read = nest.reads[int(str(node.attribute))]
        view = read.source
        if not isinstance(view, View) or any(coordinate.terms for coordinate in read.access):
            return None
        element: Index = 0
        for coordinate, stride in zip(read.access, view.strides, strict=True):
            element = add(element, mul(coordinate.constant, stride))
        return ParameterValue(type=node.type, view=view, element=element)
    bits = _bits(nest.expr, at)
    return None if bits is None else ParameterValue(type=node.type, bits=bits)


def _bits(graph: ScalarGraph, at: int) -> Index | None:
    """Return the bits of a value that is constant or known at launch; None for computed or loaded values."""
    node = graph.nodes[at]
    if node.op == "constant":
        assert isinstance(node.attribute, int | float)
        return encode(node.attribute, node.type)
    if node.op == "size":
        value = node.attribute
        assert isinstance(value, Expr)
        return value if _moves_bits(value) else None
    if node.op in ("arith.bitcast", "arith.trunci"):  # (for a shorter type the upper bits are ignored)
        return _bits(graph, node.operands[0])
    return None


def _moves_bits(value: Index | str) -> bool:
    if not isinstance(value, Expr):
        return True
    return value.op in _WORDS and all(_moves_bits(arg) for arg in value.args)


@dataclass(frozen=True, slots=True)
class Choice:
    """Values of a definition's parameters, and both bodies with the parameters replaced by them."""

    nodes: Mapping[int, int]
    """Node of the dispatch for each parameter."""
    pattern: Nest
    nest: Nest
    """Its nodes keep their positions."""


def choose_parameters(pattern: Nest, nest: Nest) -> Iterator[Choice]:
    """Yield every assignment of the dispatch's values to a definition's parameters.

    A value that lies in memory is `LOADED` in both bodies.
    """
    types = {int(str(n.attribute)): n.type for n in pattern.expr.nodes if n.op == "parameter"}
    if not types:
        yield Choice({}, pattern, nest)
        return
    nodes = [at for at, n in enumerate(nest.expr.nodes) if n.op == "constant" or find_value(nest, at, n.type)]
    ways = [[at for at in nodes if _may_be(nest.expr, at, type_)] for type_ in types.values()]
    for choice in itertools.islice(itertools.product(*ways), _MOST_CHOICES):
        chosen = dict(zip(types, choice, strict=True))
        instance = replace(pattern, expr=_with_values(pattern.expr, nest.expr, chosen))
        yield Choice(chosen, instance, replace(nest, expr=_with_loads(nest.expr, set(choice))))


def _may_be(graph: ScalarGraph, at: int, type_: str) -> bool:
    node = graph.nodes[at]
    if node.op != "constant":
        return node.type == type_
    assert isinstance(node.attribute, int | float)
    is_float = type_[0] in "fb"
    return node.type == type_ or (is_float and math.isfinite(node.attribute) and is_exact(node.attribute, type_))


def _with_values(pattern: ScalarGraph, graph: ScalarGraph, chosen: Mapping[int, int]) -> ScalarGraph:
    """Return a definition's body with its parameters replaced by nodes of the dispatch."""
    builder = GraphBuilder()

    def copied(at: int) -> int:
        node = graph.nodes[at]
        op = LOADED if node.op == "read" else node.op
        return builder.add(op, node.type, tuple(copied(o) for o in node.operands), node.attribute)

    moved: list[int] = []
    for node in pattern.nodes:
        at = chosen[int(str(node.attribute))] if node.op == "parameter" else -1
        if at >= 0 and graph.nodes[at].op == "constant":
            moved.append(builder.add("constant", node.type, (), graph.nodes[at].attribute))
        elif at >= 0:
            moved.append(copied(at))
        else:
            moved.append(builder.add(node.op, node.type, tuple(moved[o] for o in node.operands), node.attribute))
    return ScalarGraph(tuple(builder.nodes), tuple(moved[r] for r in pattern.results))


def _with_loads(graph: ScalarGraph, chosen: Set[int]) -> ScalarGraph:
    """Return a dispatch's body with the reads of parameters marked."""
    if all(graph.nodes[at].op != "read" for at in chosen):
        return graph
    nodes = (
        replace(node, op=LOADED) if at in chosen and node.op == "read" else node for at, node in enumerate(graph.nodes)
    )
    return ScalarGraph(tuple(nodes), graph.results)


def find_values(kernel: Kernel, nest: Nest, nodes: Mapping[int, int]) -> dict[int, ParameterValue] | int:
    """Return the values of parameters by their numbers, or the number of the first that has none."""
    found: dict[int, ParameterValue] = {}
    for number, at in nodes.items():
        value = find_value(nest, at, kernel.parameters[number].type)
        if value is None:
            return number
        found[number] = value
    return found


def reject_value(kernel: Kernel, number: int) -> Rule:
    """Return the failed rule for a parameter that differs from element to element."""
    return Rule(
        name="structure.parameters",
        passed=False,
        expected=f"one value of {kernel.parameters[number].name} for all elements",
        found="a tensor that is read at several elements, a result of the dispatch, or no number of its type",
    )


def find_conflict(
    kernel: Kernel, known: Mapping[int, ParameterValue], found: Mapping[int, ParameterValue]
) -> Rule | None:
    """Return the failed rule for a parameter that has two values, or None."""
    for number, value in found.items():
        if known.get(number, value) != value:
            return Rule(
                name="structure.parameters",
                passed=False,
                expected=f"{kernel.parameters[number].name} = {known[number]} everywhere",
                found=str(value),
            )
    return None


def bind_parameters(
    kernel: Kernel, program: Program, values: Mapping[int, ParameterValue]
) -> tuple[BoundParameter, ...] | Rule:
    """Return the parameters with their values, or the rule that says which one cannot be passed to the code."""
    bound: list[BoundParameter] = []
    kind = kernel.payload.kind
    for number, parameter in enumerate(kernel.parameters):
        if number not in values:
            return Rule(
                name="structure.parameters",
                passed=False,
                expected=f"a place that says {parameter.name}",
                found="none: IREE computes it inside of the dispatch, or the definition's own work replaces it",
            )
        value = _splat(values[number], program)
        refused = ""
        if kind.parameters == "none":
            refused = f"{parameter.name} = {value}, and code of kind `{kind}` is given no parameters"
        elif value.constant is None and kind.parameters == "constants":
            refused = f"{parameter.name} is {value}, and code of kind `{kind}` takes constants alone"
        elif value.view is not None and program.operands[value.view.operand].access != "readonly":
            refused = f"{parameter.name} lies in a tensor that the dispatch writes"
        elif value.view is not None and program.operands[value.view.operand].kind == "constant":
            refused = f"{parameter.name} is read from a constant tensor at an element that only a launch says"
        if refused:
            return Rule(
                name="payload.parameters", passed=False, expected="parameters that the code can be given", found=refused
            )
        bound.append(BoundParameter(name=parameter.name, value=value))
    return tuple(bound)


def _splat(value: ParameterValue, program: Program) -> ParameterValue:
    """Return a constant for one element of constant data."""
    if value.view is None:
        return value
    operand = program.operands[value.view.operand]
    at = add(value.view.offset, value.element)
    size = operand.type.element_bytes
    if operand.kind != "constant" or not isinstance(at, int):
        return value
    data = operand.data if len(operand.data) == size else operand.data[at * size : (at + 1) * size]
    return replace(value, bits=int.from_bytes(data, "little"), view=None, element=0)
