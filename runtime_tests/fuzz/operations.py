"""The parts of functions: one generator for each kind of operation on tensors, and how often it is drawn."""

from __future__ import annotations

from collections.abc import Callable

from runtime_tests.fuzz.function import SETS, Builder, Size
from runtime_tests.fuzz.movements import gather, movement
from runtime_tests.fuzz.nests import Read, any_read, dims, extents, nest
from runtime_tests.fuzz.products import contraction, convolution
from runtime_tests.fuzz.reductions import argument_of, norm, pooling, reduction, softmax
from runtime_tests.fuzz.scalars import Body, Scalar


def elementwise(b: Builder) -> None:
    """A nest of parallel loops with up to four operands and two results."""
    c = b.choices
    b.kinds.append("elementwise")
    if b.values and c.chance(75):
        first = b.values[-1] if c.chance(70) else c.pick(b.values)
        order = c.permuted(list(range(first.rank)))
        loops = [Size((1,) * SETS)] * first.rank
        for at, d in enumerate(order):
            loops[d] = first.shape[at]
        reads = [Read(first, dims(order))]
    else:
        loops = b.sizes(c.pick((2, 1, 3, 2, 0, 4, 5)))
        reads = [Read(b.operand(loops, b.element()), dims(range(len(loops))))]
    for _ in range(c.pick((0, 1, 1, 2, 3))):
        reads.append(any_read(b, loops, b.element()))
    if c.chance(8):
        reads.append(reads[0])
    body = Body(c, b.name("x")[1:])
    inside = [f"%in{i}" for i in range(len(reads))]
    inputs: list[Scalar] = [(n, r.tensor.element) for n, r in zip(inside, reads, strict=True)]
    if c.chance(8):
        inputs.append((b.scalar(e := c.pick(("f32", "i32", "i64"))), e))
    if loops and c.chance(6):
        inputs.append(body.converted(body.emit(f"linalg.index {c.below(len(loops))} : index", "index"), "i32"))
    outs, yielded = [], []
    for number in range(c.pick((1, 1, 1, 1, 1, 1, 2))):
        element = b.element() if c.chance(30) else reads[0].tensor.element
        order = c.permuted(list(range(len(loops)))) if c.chance(15) else list(range(len(loops)))
        shape = [loops[d] for d in order]
        inside.append(f"%out{number}")
        if c.chance(10):  # what is there already is read as well
            target = b.operand(shape, element)
            inputs.append((inside[-1], element))
        else:
            known = extents(b, loops, reads)
            target = b.empty(shape, element, [known[d] for d in order])
        outs.append(Read(target, dims(order)))
        yielded.append(body.expression(inputs, element))
    nest(b, loops, ["parallel"] * len(loops), reads, outs, body, yielded, inside)


OPERATIONS: tuple[tuple[int, Callable[[Builder], None]], ...] = (
    (24, elementwise),
    (22, contraction),
    (12, convolution),
    (6, pooling),
    (14, reduction),
    (4, argument_of),
    (5, softmax),
    (6, norm),
    (4, gather),
    (10, movement),
)
FOLLOWING: tuple[tuple[int, Callable[[Builder], None]], ...] = (
    (40, elementwise),
    (8, contraction),
    (4, convolution),
    (10, reduction),
    (3, softmax),
    (3, norm),
    (10, movement),
)
