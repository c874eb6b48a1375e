"""Kind of work of a program, by its common name."""

from __future__ import annotations

from ..model.dispatch import Named, Nest, Program


def kind_of(program: Program) -> str:
    """Return `contraction`, `convolution`, `normalization`, `reduction`, `softmax`, `scan`, `gather`, `copy`, …."""
    cores = [c for c in program.cores if isinstance(c, Named) or c.combiner]
    for core in cores:
        if isinstance(core, Named):
            return core.op.rpartition(".")[2]
    for core in cores:
        if isinstance(core, Nest) and is_contraction(core):
            return "convolution" if is_windowed(core) else "contraction"
    if cores:
        return _reduction_kind(program, [c for c in cores if isinstance(c, Nest)])
    ops = {n.op for nest in program.stores for n in nest.expr.nodes}
    if "gather" in ops:
        return "gather"
    return "copy" if ops <= {"read", "constant"} else "elementwise"


def is_contraction(nest: Nest) -> bool:
    """Return True for a sum of products of elements that are not all indexed by the same loops."""
    if nest.combiner not in ("arith.addf", "arith.addi"):
        return False
    root = nest.expr.nodes[nest.expr.results[0]]
    if root.op not in ("arith.mulf", "arith.muli") or root.operands[0] == root.operands[1]:
        return False
    sides = [_loops_under(nest, operand) for operand in root.operands]
    reductions = {i for i, k in enumerate(nest.kinds) if k == "reduction"}
    # (x·x summed, or a weighted sum over one operand's own loops, is a reduction)
    return (
        bool(sides[0] & reductions)
        and bool(sides[1] & reductions)
        and (sides[0] != sides[1] or (sides[0] == sides[1] == reductions and not nest.target))
    )


def is_windowed(nest: Nest) -> bool:
    """Return True if some coordinate moves with two loops, or with a stride: the window of a convolution or a pool."""
    return any(len(c.terms) > 1 or any(k != 1 for _, k in c.terms) for read in nest.reads for c in read.access)


def _loops_under(nest: Nest, root: int) -> set[int]:
    loops: set[int] = set()
    for at in nest.expr.depends_on(root):
        node = nest.expr.nodes[at]
        if node.op == "read":
            assert isinstance(node.attribute, int)
            loops |= {number for c in nest.reads[node.attribute].access for number, _ in c.terms}
    return loops


def _reduction_kind(program: Program, cores: list[Nest]) -> str:
    """Return the kind of row statistics: normalization if they are broadcast to the rows that they come from."""
    temporaries = {c.temporary: len(c.target) for c in cores}
    for nest in program.stores:
        for read in nest.reads:
            if isinstance(read.source, int) and len(nest.sizes) > temporaries.get(read.source, 99):
                return "normalization"
    return "pooling" if any(is_windowed(c) for c in cores) else "reduction"
