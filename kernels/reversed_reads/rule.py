"""Replace backward reads of a `linalg.generic` by `tensor.extract`.

IREE's code generation infers the shape of every input from its indexing map, takes a map such as `(d0) -> (-d0 + 127)`
for one that reads beyond its input once the loops are tiled, and stops with "inferred input/output operand #0 has
shape's dimension #0 to be greater than or equal to …". Reflect padding consists of such copies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iree.compiler import ir

    from substitute.read.module import Site

_MINUS = re.compile(r"-(?!>)")
"""A minus that is not part of an arrow."""


def applies(site: Site) -> str:
    """Return an empty text if some operation reads an input backwards, else why the rule does not apply."""
    return "" if any(backward_inputs(op) for op in generics(site)) else "no read runs backwards"


def rewrite(site: Site) -> None:
    """Change every such operation of the body."""
    for op in generics(site):
        inputs = backward_inputs(op)
        if inputs:
            gather(op, inputs)


def generics(site: Site) -> list[ir.Operation]:
    """Return the body's `linalg.generic` operations, at any depth."""
    found: list[ir.Operation] = []

    def look(op: ir.Operation) -> None:
        for region in op.regions:
            for block in region.blocks:
                for inner in block.operations:
                    if inner.operation.name == "linalg.generic":
                        found.append(inner.operation)
                    else:
                        look(inner.operation)

    if site.function is not None:
        look(site.function)
    return found


def backward_inputs(op: ir.Operation) -> list[int]:
    """Return the inputs that a generic reads with a negative step along some loop."""
    from iree.compiler import ir

    if not _MINUS.search(str(op.attributes["indexing_maps"])):
        return []  # a quick test that most generics fail
    maps = [ir.AffineMapAttr(a).value for a in ir.ArrayAttr(op.attributes["indexing_maps"])]
    inputs = ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])[0]
    return [at for at, map_ in enumerate(maps[:inputs]) if any(steps_back(e, map_.n_dims) for e in map_.results)]


def steps_back(expression: ir.AffineExpr, loops: int) -> bool:
    """Return whether a coordinate decreases when some loop advances."""
    start = evaluate(expression, [0] * loops)
    return any(evaluate(expression, [int(at == loop) for at in range(loops)]) < start for loop in range(loops))


def evaluate(expression: ir.AffineExpr, loops: list[int]) -> int:
    """Return the coordinate for these values of the loops."""
    from iree.compiler import ir

    if isinstance(expression, ir.AffineDimExpr):
        return loops[int(expression.position)]
    if isinstance(expression, ir.AffineConstantExpr):
        return int(expression.value)
    assert isinstance(expression, ir.AffineBinaryExpr)
    left, right = evaluate(expression.lhs, loops), evaluate(expression.rhs, loops)
    if isinstance(expression, ir.AffineAddExpr):
        return left + right
    if isinstance(expression, ir.AffineMulExpr):
        return left * right
    if isinstance(expression, ir.AffineModExpr):
        return left % right
    return -(-left // right) if isinstance(expression, ir.AffineCeilDivExpr) else left // right


def gather(op: ir.Operation, inputs: list[int]) -> None:
    """Replace a generic by one that computes these inputs' coordinates from its loops and extracts the elements."""
    from iree.compiler import ir

    maps = list(ir.ArrayAttr(op.attributes["indexing_maps"]))
    kept = [at for at in range(len(maps)) if at not in inputs]
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    attributes = {name: op.attributes[name] for name in op.attributes}
    attributes["indexing_maps"] = ir.ArrayAttr.get([maps[at] for at in kept])
    attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([segments[0] - len(inputs), segments[1]])
    with op.location, ir.InsertionPoint(op):
        new = ir.Operation.create(
            "linalg.generic",
            results=[result.type for result in op.results],
            operands=[op.operands[at] for at in kept],
            attributes=attributes,
            regions=1,
        )
    block = op.regions[0].blocks[0]
    block.append_to(new.regions[0])
    with op.location, ir.InsertionPoint.at_block_begin(block):
        for at in inputs:
            element = extract(op.operands[at], ir.AffineMapAttr(maps[at]).value)
            block.arguments[at].replace_all_uses_with(element)
    for at in reversed(inputs):
        block.erase_argument(at)
    for old, result in zip(op.results, new.results, strict=True):
        old.replace_all_uses_with(result)
    op.erase()


def extract(tensor: ir.Value, map_: ir.AffineMap) -> ir.Value:
    """Create the element of `tensor` at the current point of the loops, by this map."""
    from iree.compiler import ir

    index, i64 = ir.IndexType.get(), ir.IntegerType.get_signless(64)
    loops = [
        ir.Operation.create("linalg.index", results=[index], attributes={"dim": ir.IntegerAttr.get(i64, dim)}).result
        for dim in range(map_.n_dims)
    ]
    coordinates = [
        ir.Operation.create(
            "affine.apply",
            results=[index],
            operands=loops,
            attributes={"map": ir.AffineMapAttr.get(ir.AffineMap.get(map_.n_dims, 0, [result]))},
        ).result
        for result in map_.results
    ]
    element = ir.RankedTensorType(tensor.type).element_type
    return ir.Operation.create("tensor.extract", results=[element], operands=[tensor, *coordinates]).result
