"""Index expressions, coordinates and scalar graphs as GLSL text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...model.dispatch import Linear
from ...model.index import Expr, Index
from ...model.scalar import Scalar, ScalarGraph
from ..unsupported import Unsupported
from .operations import GLSL_TYPE, INT64, int_literal, lower_constant, lower_operation

Leaf = Callable[[Scalar, tuple[str, ...]], str]
"""Function that returns the text of a `read`, `gather` or `index` leaf; a gather gets its coordinates as int texts."""

_INDEX_32 = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "floordiv": "int_floordivs({0}, {1})",
    "ceildiv": "int_ceildivs({0}, {1})",
    "rem": "int_rems({0}, {1})",
    "min": "min({0}, {1})",
    "max": "max({0}, {1})",
    "shl": "({0} << {1})",
    "shr": "int(uint({0}) >> {1})",
    "and": "({0} & {1})",
    "or": "({0} | {1})",
    "xor": "({0} ^ {1})",
    "trunc32": "{0}",
    "sext32": "{0}",
    "u64": "{0}",
}
_INDEX_64 = {
    "add": "addi",
    "sub": "subi",
    "mul": "muli",
    "floordiv": "floordivsi",
    "ceildiv": "ceildivsi",
    "rem": "remsi",
    "min": "minsi",
    "max": "maxsi",
    "shl": "shli",
    "shr": "shrui",
    "and": "andi",
    "or": "ori",
    "xor": "xori",
}


def lower_index(value: Index) -> str:
    """Return an int expression. 64-bit values are taken modulo 2^32: sizes and coordinates must stay below 2^31."""
    if isinstance(value, int):
        return int_literal(((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000)
    if value.op == "push":
        return f"int(constants.word[{value.args[0]}])"
    if value.op not in _INDEX_32:
        raise Unsupported(f"the launch value {value}")
    args = [lower_index(a) for a in value.args]  # type: ignore[arg-type]
    if value.op in ("shl", "shr") and isinstance(value.args[1], int) and value.args[1] >= 32:
        return "0"
    return _INDEX_32[value.op].format(*args)


def lower_index_64(value: Index) -> str:
    """Return an `i64` expression."""
    if isinstance(value, int):
        return lower_constant(value, "i64")
    if value.op == "push":
        return f"i64_from_uint(constants.word[{value.args[0]}])"
    if value.op == "u64":
        low, high = (lower_index(a) for a in value.args)  # type: ignore[arg-type]
        return f"i64_words(uint({low}), uint({high}))"
    args = [lower_index_64(a) for a in value.args if not isinstance(a, str)]
    if value.op == "trunc32":
        return f"i64_from_uint(i64_low({args[0]}))"
    if value.op == "sext32":
        return f"i64_from_int(i64_to_int({args[0]}))"
    if value.op not in _INDEX_64:
        raise Unsupported(f"the launch value {value}")
    return INT64[_INDEX_64[value.op]].format(*args)


def lower_linear(value: Linear, loops: Sequence[str]) -> str:
    """Return an int expression of a coordinate or an address, given the text of each loop's index."""
    words = [
        loops[loop] if coefficient == 1 else f"{loops[loop]} * {lower_index(coefficient)}"
        for loop, coefficient in value.terms
    ]
    if value.constant != 0 or not words:
        words.append(lower_index(value.constant))
    return " + ".join(words)


@dataclass(slots=True)
class Names:
    """Source of local names that are new in the whole shader."""

    count: int = 0

    def new(self, prefix: str) -> str:
        """Return `prefix` and a number."""
        self.count += 1
        return f"{prefix}{self.count}"


class GraphLowering:
    """Lowering of a graph, node by node, each at most once; `statements` collects the statements."""

    def __init__(self, graph: ScalarGraph, leaf: Leaf, names: Names) -> None:
        self._graph, self._leaf, self._names = graph, leaf, names
        self.statements: list[str] = []
        self.values: dict[int, str] = {}

    def value(self, root: int) -> str:
        """Return the text of one node's value: a local name or a literal. Raises `Unsupported`."""
        for at in sorted(self._graph.depends_on(root)):  # operands precede their uses
            if at not in self.values:
                self.values[at] = self._node(self._graph.nodes[at])
        return self.values[root]

    def results(self) -> list[str]:
        """Return the texts of all results."""
        return [self.value(r) for r in self._graph.results]

    def _node(self, node: Scalar) -> str:
        args = tuple(self.values[o] for o in node.operands)
        if node.op == "constant":
            return lower_constant(node.attribute, node.type)
        if node.op == "index":
            return self._leaf(node, args)
        if node.type not in GLSL_TYPE:
            raise Unsupported(f"{node.op} of type {node.type}")
        if node.op == "size":
            text = _size(node)
        elif node.op in ("read", "gather"):
            text = self._leaf(node, args)
        else:
            types = tuple(self._graph.nodes[o].type for o in node.operands)
            text = lower_operation(node, types, args)
        name = self._names.new("t")
        self.statements.append(f"{GLSL_TYPE[node.type]} {name} = {text};")
        return name


def _size(node: Scalar) -> str:
    value = node.attribute
    if not isinstance(value, (int, Expr)):
        raise Unsupported(f"the launch value {value}")
    if node.type == "i64":
        return lower_index_64(value)
    if node.type == "i1":
        return f"(({lower_index(value)} & 1) != 0)"
    text = lower_index(value)
    if node.type in ("i8", "i16"):
        return f"int_wrap{node.type[1:]}({text})"
    if node.type in ("i32", "index"):
        return text
    raise Unsupported(f"a launch value of type {node.type}")
