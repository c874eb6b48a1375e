"""Packing of a tile's columns into a panel on the stack: `panel[depth][column]`, rows of whole vectors.

Rows of integers are packed too, for each tile of rows: `rows[row][depth]`. Both hold words (see `arithmetic.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from substitute.codegen.llvm.function import I32, I64

from .space import Position, Slot, Space
from .tiling import is_contiguous
from .views import Address, Axis


def pack(
    space: Space, panel: ir.Value, slots: Sequence[Slot], batch: Position, start: ir.Value, count: ir.Value
) -> None:
    """Fill the panel with `count` depths from `start` of the vector factor."""
    done = ir.Constant(I64, 0)
    if _lies_along_depth(space):
        done = _whole_blocks(space, count)
        _pack_transposed(space, panel, slots, batch, start, done)
    tiling, factor = space.tiling, space.contraction.factors[space.tiling.vector]
    bases = [space.pointers(factor, {**batch, **slot.position}) for slot in slots]

    def store(word: ir.Value, depths: Sequence[Position]) -> None:
        for at, (slot, base) in enumerate(zip(slots, bases, strict=True)):
            values = [
                space.factor(tiling.vector, space.advance(factor, base, depth), tiling.vector_axis, slot.valid)
                for depth in depths
            ]
            packed = space.word(values)
            space.builder.store(packed, place(space, panel, word, at), align=4 * tiling.lanes)

    _each_word(space, start, done, count, store)


def pack_rows(
    space: Space, rows: ir.Value, pointers: Sequence[Sequence[ir.Value]], start: ir.Value, count: ir.Value
) -> None:
    """Fill the buffer with `count` depths from `start` of the broadcast factor; one list of pointers per row."""
    tiling, which, builder = space.tiling, 1 - space.tiling.vector, space.builder
    factor, depths = space.contraction.factors[which], space.arithmetic.depths
    done = ir.Constant(I64, 0)
    axis = _vectors_of_rows(space)
    if axis:
        done = _whole_blocks(space, count)
        with space.function.loop(0, done, tiling.lanes * depths) as loop:
            position = space.split(builder.add(start, loop.index), tiling.depth)
            word = _word_of(space, loop.index)
            for row, base in enumerate(pointers):
                value = space.words(which, space.advance(factor, base, position), axis)
                builder.store(value, row_place(space, rows, row, word), align=4)

    def store(word: ir.Value, positions: Sequence[Position]) -> None:
        for row, base in enumerate(pointers):
            values = [space.factor(which, space.advance(factor, base, depth), None) for depth in positions]
            packed = space.word(values)
            builder.store(packed, row_place(space, rows, row, word), align=4)

    _each_word(space, start, done, count, store)


def place(space: Space, panel: ir.Value, word: ir.Value, slot: int) -> ir.Value:
    """Return the address of vector `slot` in row `word` of the panel, or of the sums."""
    tiling, element = space.tiling, space.arithmetic.element
    row = space.builder.mul(word, ir.Constant(I64, tiling.vectors * tiling.lanes), flags=("nsw",))
    return space.move(panel, space.builder.add(row, ir.Constant(I64, slot * tiling.lanes), flags=("nsw",)), element)


def row_place(space: Space, rows: ir.Value, row: int, word: ir.Value) -> ir.Value:
    """Return the address of a word of a packed row."""
    first = ir.Constant(I64, row * space.tiling.panel_words)
    return space.move(rows, space.builder.add(first, word, flags=("nsw",)), space.arithmetic.element)


def words_in(space: Space, count: ir.Value) -> ir.Value:
    """Return the number of words that hold `count` depths."""
    return _word_of(space, space.builder.add(count, ir.Constant(I64, space.arithmetic.depths - 1)))


def _word_of(space: Space, depth: ir.Value) -> ir.Value:
    if space.arithmetic.depths == 1:
        return depth
    return space.builder.udiv(depth, ir.Constant(I64, space.arithmetic.depths))


def _whole_blocks(space: Space, count: ir.Value) -> ir.Value:
    """Return the number of depths that make whole vectors of words."""
    block = ir.Constant(I64, space.tiling.lanes * space.arithmetic.depths)
    return space.builder.mul(space.builder.udiv(count, block), block)


def _each_word(
    space: Space,
    start: ir.Value,
    done: ir.Value,
    count: ir.Value,
    store: Callable[[ir.Value, Sequence[Position]], None],
) -> None:
    """Call `store` in a loop over the words from depth `done` on, with a word's number and its depths' positions."""
    builder, depths = space.builder, space.arithmetic.depths

    def positions(first: ir.Value, number: int) -> list[Position]:
        at = builder.add(start, first)
        return [space.split(builder.add(at, ir.Constant(I64, n)), space.tiling.depth) for n in range(number)]

    if depths == 1:
        with space.function.loop(done, count) as loop:
            store(loop.index, positions(loop.index, 1))
        return
    odd = builder.and_(count, ir.Constant(I64, 1))
    even = builder.sub(count, odd)
    with space.function.loop(done, even, depths) as loop:
        store(_word_of(space, loop.index), positions(loop.index, depths))
    with space.function.when(builder.icmp_signed("!=", odd, ir.Constant(I64, 0))):
        store(_word_of(space, even), positions(even, 1))


def _lies_along_depth(space: Space) -> bool:
    """Return True if the vector factor has its depth contiguous and its columns far apart."""
    tiling, which = space.tiling, space.tiling.vector
    moved = [a for a in space.contraction.factors[which].addresses if _moves(tiling.depth, a)]
    columns = [tiling.vector_axis.stride(a) for a in moved]
    return bool(moved) and all(is_contiguous(tiling.depth, a) for a in moved) and not {0, 1, 2} & set(columns)


def _vectors_of_rows(space: Space) -> Axis | None:
    """Return the axis of the depth along which rows are packed by vectors, none of which crosses its end."""
    tiling, block = space.tiling, space.tiling.lanes * space.arithmetic.depths
    if not tiling.depth:
        return None
    inner = tiling.depth[-1]
    moved = [a for a in space.contraction.factors[1 - tiling.vector].addresses if _moves(tiling.depth, a)]
    if all(is_contiguous(tiling.depth, a) for a in moved):
        return inner
    whole = isinstance(inner.size, int) and inner.size % block == 0
    return inner if whole and all(inner.stride(a) in (0, 1) for a in moved) else None


def _moves(axes: Sequence[Axis], address: Address) -> bool:
    return any(axis.stride(address) != 0 for axis in axes)


def _pack_transposed(
    space: Space, panel: ir.Value, slots: Sequence[Slot], batch: Position, start: ir.Value, count: ir.Value
) -> None:
    """Square blocks: one vector of words along the depth per column, transposed in registers."""
    tiling, builder, which = space.tiling, space.builder, space.tiling.vector
    factor, axis, lanes, inner = space.contraction.factors[which], tiling.vector_axis, tiling.lanes, tiling.depth[-1]
    for at, slot in enumerate(slots):
        base = space.advance(factor, space.pointers(factor, {**batch, **slot.position}), {inner: start})
        columns = [space.advance(factor, base, {axis: space.lane(n, slot.valid)}) for n in range(lanes)]
        with space.function.loop(0, count, lanes * space.arithmetic.depths) as loop:
            block = [space.words(which, space.advance(factor, c, {inner: loop.index}), inner) for c in columns]
            first = _word_of(space, loop.index)
            for number, row in enumerate(transpose(builder, block)):
                word = builder.add(first, ir.Constant(I64, number))
                builder.store(row, place(space, panel, word, at), align=4 * lanes)


def transpose(builder: ir.IRBuilder, block: Sequence[ir.Value]) -> list[ir.Value]:
    """Return a square block of vectors with rows and columns exchanged, in log2(lanes) rounds of shuffles."""
    rows, lanes = list(block), len(block)
    assert rows[0].type.count == lanes
    distance = 1
    while distance < lanes:
        for at in (n for n in range(lanes) if not n & distance):
            low, high = rows[at], rows[at + distance]
            first = [n if not n & distance else n - distance + lanes for n in range(lanes)]
            second = [n + distance if not n & distance else n + lanes for n in range(lanes)]
            rows[at], rows[at + distance] = (
                builder.shuffle_vector(low, high, _mask(first)),
                builder.shuffle_vector(low, high, _mask(second)),
            )
        distance *= 2
    return rows


def _mask(picks: Sequence[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, len(picks)), [ir.Constant(I32, p) for p in picks])
