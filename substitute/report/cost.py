"""Cost model: arithmetic operations of a program and bytes that it has to move."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.dispatch import Named, Nest, Program, View
from ..model.index import Index, add, apply, mul, product
from ..model.ops import flops
from ..model.scalar import ScalarGraph

SOFTMAX_OPERATIONS = 5
"""Operations per element: maximum, difference, exponential, sum, quotient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of one run of a dispatch. Sizes that are only known at launch make it an expression."""

    flops: Index | None
    """Arithmetic operations on data, integers included, without address arithmetic; None if they cannot be counted."""
    bytes: Index
    """Bytes read and written, each element of each window once."""


def cost_of(program: Program) -> Cost:
    """Return the cost of a program."""
    total: Index | None = 0
    for stage in (*program.cores, *program.stores):
        count = _nest_flops(stage) if isinstance(stage, Nest) else _named_flops(stage)
        total = None if total is None or count is None else add(total, count)
    return Cost(flops=total, bytes=_bytes(program))


def _nest_flops(nest: Nest) -> Index:
    per_iteration = _graph_operations(nest.expr) + bool(nest.combiner)
    return mul(product(nest.sizes), per_iteration)


def _graph_operations(graph: ScalarGraph) -> int:
    """Return the operations on values read from memory: computations on loop indices do not count."""
    data = [False] * len(graph.nodes)
    count = 0
    for at, node in enumerate(graph.nodes):
        data[at] = node.op in ("read", "gather") or any(data[o] for o in node.operands)
        if data[at] and node.type != "index":
            count += flops(node.op)
    return count


def _named_flops(stage: Named) -> Index | None:
    name = stage.op.rpartition(".")[2]
    if name == "softmax":
        return mul(stage.types[0].count, SOFTMAX_OPERATIONS)
    if name == "attention" and len(stage.reads) >= 3:
        return _attention_flops(stage)
    if name == "scan":
        return stage.types[0].count
    return None


def _attention_flops(stage: Named) -> Index | None:
    """Count two matrix products and a softmax. q: [batch…, M, D], k: [batch…, N, D], result: [batch…, M, …]."""
    query, key, result = stage.reads[0].type.shape, stage.reads[1].type.shape, stage.types[0].count
    if len(query) < 2 or len(query) != len(key) or query[:-2] != key[:-2] or query[-1] != key[-1]:
        return None
    depth, keys = query[-1], key[-2]
    scores = mul(product(query[:-1]), keys)
    products = mul(add(mul(scores, depth), mul(result, keys)), 2)
    return add(products, mul(scores, SOFTMAX_OPERATIONS))


def _bytes(program: Program) -> Index:
    windows: set[View] = set()
    total: Index = 0
    for stage in (*program.cores, *program.stores):
        for at, read in enumerate(stage.reads):
            if not isinstance(read.source, View) or read.source in windows:
                continue  # a temporary need not go through memory; a window is counted once
            if isinstance(stage, Nest) and at in stage.gathered:
                picked = mul(product(stage.sizes), read.type.element_bytes)
                total = add(total, apply("min", picked, _view_bytes(read.source)))
            else:
                windows.add(read.source)
                total = add(total, _view_bytes(read.source))
    for nest in program.stores:
        for write in nest.writes:
            total = add(total, _view_bytes(write.view))
    return total


def _view_bytes(view: View) -> Index:
    return mul(view.type.count, view.type.element_bytes)
