"""Copying a tile's columns to a panel on the stack: `panel[depth][column]`, rows of whole vectors."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from substitute.codegen.llvm.elements import load, vector
from substitute.codegen.llvm.function import I32, I64

from .space import F32, Position, Slot, Space
from .tiling import is_contiguous


def pack(
    space: Space, panel: ir.Value, slots: Sequence[Slot], batch: Position, start: ir.Value, count: ir.Value
) -> None:
    """Fills the panel with `count` depths from `start` of the vector factor."""
    done = ir.Constant(I64, 0)
    if _lies_along_depth(space):
        lanes = space.tiling.lanes
        done = space.builder.mul(space.builder.udiv(count, ir.Constant(I64, lanes)), ir.Constant(I64, lanes))
        _pack_transposed(space, panel, slots, batch, start, done)
    tiling, factor = space.tiling, space.contraction.factors[space.tiling.vector]
    bases = [space.pointers(factor, {**batch, **slot.position}) for slot in slots]
    with space.function.loop(done, count) as loop:
        depth = space.split(space.builder.add(start, loop.index), tiling.depth)
        for at, (slot, base) in enumerate(zip(slots, bases, strict=True)):
            value = space.factor(tiling.vector, space.advance(factor, base, depth), tiling.vector_axis, slot.valid)
            space.builder.store(value, place(space, panel, loop.index, at), align=4 * tiling.lanes)


def place(space: Space, panel: ir.Value, depth: ir.Value, slot: int) -> ir.Value:
    """Where a vector of the panel, or of the sums, is: row `depth`, vector `slot`."""
    tiling = space.tiling
    row = space.builder.mul(depth, ir.Constant(I64, tiling.vectors * tiling.lanes), flags=("nsw",))
    return space.move(panel, space.builder.add(row, ir.Constant(I64, slot * tiling.lanes), flags=("nsw",)), "f32")


def _lies_along_depth(space: Space) -> bool:
    """Whether the vector factor is one plain f32 operand with its depth contiguous and its columns far apart."""
    tiling, which = space.tiling, space.tiling.vector
    addresses, nodes = space.contraction.factors[which].addresses, space.graphs[which].nodes
    return (
        is_contiguous(tiling.depth, addresses[0]) and len(nodes) == 1 and nodes[0].op == "read"
        and nodes[0].type == "f32" and tiling.vector_axis.stride(addresses[0]) not in (0, 1, 2)
    )  # fmt: skip


def _pack_transposed(
    space: Space, panel: ir.Value, slots: Sequence[Slot], batch: Position, start: ir.Value, count: ir.Value
) -> None:
    """Square blocks: one vector along the depth per column, transposed in registers."""
    tiling, builder = space.tiling, space.builder
    factor, axis, lanes = space.contraction.factors[tiling.vector], tiling.vector_axis, tiling.lanes
    stride = axis.stride(factor.addresses[0])
    for at, slot in enumerate(slots):
        base = space.move(space.pointers(factor, {**batch, **slot.position})[0], start, "f32")
        columns = [space.move(base, space.scaled(space.lane(n, slot.valid), stride), "f32") for n in range(lanes)]
        with space.function.loop(0, count, lanes) as loop:
            block = [load(builder, space.move(c, loop.index, "f32"), "f32", lanes) for c in columns]
            for number, row in enumerate(transpose(builder, block)):
                depth = builder.add(loop.index, ir.Constant(I64, number))
                builder.store(row, place(space, panel, depth, at), align=4 * lanes)


def transpose(builder: ir.IRBuilder, block: Sequence[ir.Value]) -> list[ir.Value]:
    """A square block of vectors with rows and columns exchanged, in log2(lanes) rounds of shuffles."""
    rows, lanes = list(block), len(block)
    assert rows[0].type == vector(F32, lanes)
    distance = 1
    while distance < lanes:
        for at in (n for n in range(lanes) if not n & distance):
            low, high = rows[at], rows[at + distance]
            first = [n if not n & distance else n - distance + lanes for n in range(lanes)]
            second = [n + distance if not n & distance else n + lanes for n in range(lanes)]
            rows[at], rows[at + distance] = (
                builder.shuffle_vector(low, high, _mask(first)), builder.shuffle_vector(low, high, _mask(second))
            )  # fmt: skip
        distance *= 2
    return rows


def _mask(picks: Sequence[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, len(picks)), [ir.Constant(I32, p) for p in picks])
