"""The innermost loops: one register tile of sums over the depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from substitute.codegen.llvm.combine import Combiner
from substitute.codegen.llvm.elements import load, splat
from substitute.codegen.llvm.function import I64

from .panel import place, row_place
from .space import Position, Slot, Space
from .tiling import MOST_UNROLLED, count_of, runs_along
from .views import Axis

STREAMED_DEPTHS = 8
"""Depths that `stream` adds at once: the number of rows of the vector factor that are read side by side."""
Sums = list[ir.Value]
"""Vectors of a tile, row by row."""


def packed_tile(
    space: Space,
    panel: ir.Value,
    rows: Sequence[Sequence[ir.Value]],
    table: Sequence[ir.Value],
    count: ir.Value,
    sums: Sums,
) -> Sums:
    """Return the sums plus `count` depths of a panel: one load per vector of columns, one broadcast per row.

    `rows`: pointers of the broadcast factor; `table`: see `depth_offset`.
    """
    tiling, which = space.tiling, 1 - space.tiling.vector
    factor = space.contraction.factors[which]
    with space.function.loop(0, count, carried=sums) as loop:
        current = list(loop.carried)
        places = [place(space, panel, loop.index, j) for j in range(tiling.vectors)]
        columns = [space.builder.load(p, align=4 * tiling.lanes, typ=space.vector) for p in places]
        offsets = [depth_offset(space, at, table, loop.index) for at in range(len(factor.reads))]
        for row, pointers in enumerate(rows):
            moved = [
                space.move(p, o, a.view.type.element)
                for p, o, a in zip(pointers, offsets, factor.addresses, strict=True)
            ]
            one = splat(space.builder, space.factor(which, moved, None, None), tiling.lanes)
            for j, column in enumerate(columns):
                at = row * tiling.vectors + j
                current[at] = space.multiply_add(one, column, current[at])
        loop.carry(*current)
    return list(loop.results)


def words_tile(space: Space, panel: ir.Value, rows: ir.Value, count: ir.Value, sums: Sums) -> Sums:
    """Return the sums plus `count` words of a panel, with packed rows: one load and broadcast per row."""
    tiling, arithmetic = space.tiling, space.arithmetic
    with space.function.loop(0, count, carried=sums) as loop:
        current = list(loop.carried)
        places = [place(space, panel, loop.index, j) for j in range(tiling.vectors)]
        columns = [space.builder.load(p, align=4 * tiling.lanes, typ=space.vector) for p in places]
        for row in range(tiling.row_tile):
            where = row_place(space, rows, row, loop.index)
            one = splat(space.builder, space.builder.load(where, align=4, typ=arithmetic.type), tiling.lanes)
            for j, column in enumerate(columns):
                at = row * tiling.vectors + j
                current[at] = arithmetic.multiply_add_words(space.builder, one, column, current[at])
        loop.carry(*current)
    return list(loop.results)


def depth_offset(space: Space, read: int, table: Sequence[ir.Value], depth: ir.Value) -> ir.Value:
    """Return the distance of a depth within the panel for a read of the broadcast factor: by a stride, or from its
    table.
    """
    address = space.contraction.factors[1 - space.tiling.vector].addresses[read]
    if not table:
        return space.offset(address, {space.tiling.depth[0]: depth} if space.tiling.depth else {})
    return space.builder.load(space.function.element(table[read], depth, I64), align=8, typ=I64)


def direct_tile(space: Space, rows: Sequence[Position], slots: Sequence[Slot], base: Position) -> Sums:
    """Return the sums of a tile over the whole depth, with the columns read in place."""
    tiling, wide, narrow = space.tiling, space.tiling.vector, 1 - space.tiling.vector
    factors = space.contraction.factors
    spread = space.contraction.moves(tiling.vector_axis, narrow)
    columns = [space.pointers(factors[wide], {**base, **slot.position}) for slot in slots]
    if tiling.stacked:
        # constant distances, so that LLVM sees which rows' windows read the same elements
        axis = tiling.columns[-2]
        columns = [
            space.advance(factors[wide], columns[0], {axis: ir.Constant(I64, number)}) for number in range(len(slots))
        ]
    broadcast = [
        [space.pointers(factors[narrow], {**base, **row, **slot.position}) for slot in (slots if spread else slots[:1])]
        for row in rows
    ]

    def step(position: Position, sums: Sums) -> Sums:
        values = [
            space.factor(wide, space.advance(factors[wide], p, position), tiling.vector_axis, slot.valid)
            for p, slot in zip(columns, slots, strict=True)
        ]
        result = []
        for row, pointers in enumerate(broadcast):
            axis = tiling.vector_axis if spread else None
            others = [
                space.factor(narrow, space.advance(factors[narrow], p, position), axis, slot.valid)
                for p, slot in zip(pointers, slots, strict=False)
            ]
            if not spread:
                others = [splat(space.builder, others[0], tiling.lanes)] * len(slots)
            for j, (value, other) in enumerate(zip(values, others, strict=True)):
                result.append(space.multiply_add(other, value, sums[row * len(slots) + j]))
        return result

    return _over_depth(space, tiling.depth, {}, [space.initial()] * (len(rows) * len(slots)), step)


def _over_depth(
    space: Space, axes: Sequence[Axis], position: Position, sums: Sums, step: Callable[[Position, Sums], Sums]
) -> Sums:
    """Run `step` at every position of `axes`, the last fastest; short loops are unrolled."""
    if not axes:
        return step(position, sums)
    axis, rest = axes[0], axes[1:]
    total = count_of(axes)
    if isinstance(total, int) and total <= MOST_UNROLLED:
        for number in range(int(str(axis.size))):
            sums = _over_depth(space, rest, {**position, axis: ir.Constant(I64, number)}, sums, step)
        return sums
    with space.function.loop(0, space.function.index(axis.size), carried=sums) as loop:
        loop.carry(*_over_depth(space, rest, {**position, axis: loop.index}, list(loop.carried), step))
    return list(loop.results)


def stream(space: Space, row: Position, tile: ir.Value, base: Position, sums: ir.Value) -> None:
    """Store the sums of one row: the vector factor is read along its columns, a few depths at a time.

    A register tile would read narrow strips of every depth, which caches and prefetchers are bad at.
    """
    tiling, builder, function = space.tiling, space.builder, space.function
    wide, narrow = (space.contraction.factors[which] for which in (tiling.vector, 1 - tiling.vector))
    first = builder.mul(tile, ir.Constant(I64, tiling.vectors))
    end = space.least(function.index(tiling.slots), builder.add(first, ir.Constant(I64, tiling.vectors)))
    last = builder.sub(end, first)
    left = space.pointers(narrow, {**base, **row})
    inner = tiling.depth[-1]

    def add(position: Position, count: int) -> None:
        depths = [
            {**position, inner: builder.add(position[inner], ir.Constant(I64, number))} for number in range(count)
        ]
        ones = [
            splat(builder, space.factor(1 - tiling.vector, space.advance(narrow, left, d), None, None), tiling.lanes)
            for d in depths
        ]
        with function.loop(0, last) as loop:
            slot = space.slot(builder.add(first, loop.index))
            where = space.move(sums, builder.mul(loop.index, ir.Constant(I64, tiling.lanes)), space.arithmetic.element)
            columns = space.pointers(wide, {**base, **slot.position})
            value = builder.load(where, align=4 * tiling.lanes, typ=space.vector)
            for one, depth in zip(ones, depths, strict=True):
                pointers = space.advance(wide, columns, depth)
                other = space.factor(tiling.vector, pointers, tiling.vector_axis, slot.valid)
                value = space.multiply_add(one, other, value)
            builder.store(value, where, align=4 * tiling.lanes)

    def run(position: Position, nothing: Sums) -> Sums:
        size = function.index(inner.size)
        step = ir.Constant(I64, STREAMED_DEPTHS)
        whole = builder.mul(builder.udiv(size, step), step)
        with function.loop(0, whole, step) as loop:
            add({**position, inner: loop.index}, STREAMED_DEPTHS)
        with function.loop(whole, size) as loop:
            add({**position, inner: loop.index}, 1)
        return nothing

    with function.loop(0, last) as loop:
        where = space.move(sums, builder.mul(loop.index, ir.Constant(I64, tiling.lanes)), space.arithmetic.element)
        builder.store(space.initial(), where, align=4 * tiling.lanes)
    _over_depth(space, tiling.depth[:-1], {}, [], run)


def dot_tile(space: Space, rows: Sequence[Position], slot: Slot, base: Position, sums: ir.Value, at: ir.Value) -> None:
    """Store the sums of one slot's columns (vector `at` of each row), a few columns at a time."""
    tiling, builder, factors = space.tiling, space.builder, space.contraction.factors
    wide, narrow, lanes = tiling.vector, 1 - tiling.vector, tiling.lanes
    width = max(1, min(lanes, 8 // len(rows)))
    inner = _contiguous(space)
    outer = [axis for axis in tiling.depth if axis is not inner]
    broadcast = [space.pointers(factors[narrow], {**base, **row}) for row in rows]
    with space.function.loop(0, lanes, width) as group:
        columns = []
        for number in range(width):
            lane = builder.add(group.index, ir.Constant(I64, number))
            if slot.valid is not None:
                lane = space.least(lane, builder.sub(slot.valid, ir.Constant(I64, 1)))
            start = builder.add(slot.position[tiling.vector_axis], lane)
            columns.append(space.pointers(factors[wide], {**base, **slot.position, tiling.vector_axis: start}))
        count = space.function.index(inner.size)
        arithmetic, step = space.arithmetic, lanes * space.arithmetic.depths
        whole = builder.mul(builder.udiv(count, ir.Constant(I64, step)), ir.Constant(I64, step))

        def products(position: Position, axis: Axis | None, totals: Sums) -> Sums:
            def values(which: int, pointers: list[ir.Value]) -> ir.Value:
                moved = space.advance(factors[which], pointers, position)
                return space.words(which, moved, axis) if axis else space.factor(which, moved, None)

            lefts, rights = [values(narrow, p) for p in broadcast], [values(wide, p) for p in columns]
            pairs = [(a, b) for a in lefts for b in rights]
            add = arithmetic.multiply_add_words if axis else arithmetic.multiply_add
            return [add(builder, a, b, c) for (a, b), c in zip(pairs, totals, strict=True)]

        def vectors(position: Position, totals: Sums) -> Sums:
            with space.function.loop(0, whole, step, carried=totals) as loop:
                loop.carry(*products({**position, inner: loop.index}, inner, list(loop.carried)))
            return list(loop.results)

        def rest(position: Position, totals: Sums) -> Sums:
            with space.function.loop(whole, count, carried=totals) as loop:
                loop.carry(*products({**position, inner: loop.index}, None, list(loop.carried)))
            return list(loop.results)

        zeros = [arithmetic.constant(0, lanes)] * (len(rows) * width)
        totals = _over_depth(space, outer, {}, zeros, vectors)
        start = arithmetic.constant(space.contraction.init, None)
        singles = [arithmetic.add(builder, start, add_lanes(space, t)) for t in totals]
        if not isinstance(inner.size, int) or inner.size % step:
            singles = _over_depth(space, outer, {}, singles, rest)
        for number, value in enumerate(singles):
            row, column = divmod(number, width)
            offset = builder.add(group.index, ir.Constant(I64, column))
            offset = builder.add(builder.mul(at, ir.Constant(I64, lanes)), offset)
            row_sums = place(space, sums, ir.Constant(I64, row), 0)
            builder.store(value, space.move(row_sums, offset, arithmetic.element), align=4)


def _contiguous(space: Space) -> Axis:
    """Return the axis of the depth along which every read is contiguous."""
    return next(axis for axis in space.tiling.depth if runs_along(axis, space.contraction.factors))


def add_lanes(space: Space, value: ir.Value) -> ir.Value:
    """Return the sum of a vector's lanes."""
    name = "arith.addi" if space.arithmetic.is_integer else "arith.addf"
    return Combiner(space.builder, name, space.arithmetic.element, space.function.hardware).fold(value, None)


def load_sums(space: Space, sums: ir.Value, row: ir.Value) -> Sums:
    """Return a tile's vectors from the buffer of sums; `row` is its first row."""
    tiling, builder = space.tiling, space.builder
    rows = [builder.add(row, ir.Constant(I64, r)) for r in range(tiling.row_tile)]
    places = [place(space, sums, r, j) for r in rows for j in range(tiling.vectors)]
    return [load(builder, where, space.arithmetic.element, tiling.lanes) for where in places]


def store_sums(space: Space, sums: ir.Value, row: ir.Value, values: Sums) -> None:
    """Store a tile's vectors to the buffer of sums."""
    for at, value in enumerate(values):
        r, j = divmod(at, space.tiling.vectors)
        where = place(space, sums, space.builder.add(row, ir.Constant(I64, r)), j)
        space.builder.store(value, where, align=4 * space.tiling.lanes)
