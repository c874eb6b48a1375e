"""Matrix multiplications and convolutions, sums in f32 and i32: register tiles, packed panels, fused element-wise work.

Kernels `matmul` and `conv`, and these with `half_` and `integer_`, use this generator. Read the files in this order:

    views.py      the dispatch as  sums[batch, rows, columns] = init + Σ over depth of left · right
    narrow.py     sums that the model adds in f16 or bf16, as sums in f32
    tiling.py     which loop gets the vectors, and how large tiles, panels and workgroups are
    arithmetic.py sums in f32 and in i32, where two depths are multiplied at once; `ranges.py` proves where
    generator.py  this file: the workgroup's loops around the tiles, and the launch geometry
    panel.py      copies a tile's columns to a panel on the stack
    tile.py       the inner tile: one block of sums in registers, over the depth
    result.py     applies what IREE fused after the sums, and stores
    space.py      what all of these share: the function under construction, indices, addresses

The idea is that of GotoBLAS and BLIS (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"; Van
Zee and van de Geijn, "BLIS"): a small tile of results stays in registers while it walks over the depth, and what it
reads lies in the first-level cache in the order in which it is read. An operand is not a matrix here but strides over
loops. So one algorithm serves transposed and batched products and convolutions, whose windows are strides that
overlap.

**The loops of one workgroup**, in mode `packed`:

    for batch                        blocks of `batch_block`            grid z
      for tile of columns            `vectors · lanes` wide             grid x, `tiles` per workgroup
        for panel of the depth       `depth_panel` deep                 pack(): columns → panel[depth][column]
          for tile of rows           `row_tile` of `row_block` rows     grid y
            for depth                packed_tile(): the inner tile
        for row, vector              store_results(): the fused work, applied to finished sums

**The inner tile** holds `R · V` vectors of sums (`R = row_tile`, `V = vectors`). Each step of the depth loads V
vectors of the panel and broadcasts R elements of the other factor for R · V multiply-adds. Two things bound R and V:

- Registers: R · V sums, V columns and one broadcast are alive at a time, so `R · V + V + 1` is at most the number of
  vector registers: 16 with AVX2, 32 with AVX-512 or NEON. R is at most 8: each row is a stream of its own.
- Throughput: a core starts two multiply-adds and two loads per cycle, and a multiply-add takes four cycles. A step
  takes `max(R · V / 2, (R + V) / 2, 4)` cycles. It is bound by arithmetic, as it should be, if `R · V ≥ R + V` and `R
  · V ≥ 8`. With 16 registers 6 × 2 vectors fit: 12 multiply-adds, 8 loads, 15 registers, 6 cycles.

`tiling._register_tile` tries all (R, V) and takes the one that covers the dispatch's rows and columns in the fewest
cycles: for 7 rows, 7 × 1 wastes nothing where 6 × 2 would compute 12 rows.

**What is packed, and why.** The columns of a tile are read again by every tile of rows. In memory their rows lie far
apart: each depth is another cache line and often another page. Packed, they are one stream of whole vectors in 16 KB,
half of a 32 KB first-level cache (`PANEL_BYTES`; 32 KB with AVX-512), the last part of a vector is handled once, and a
conversion (f16, bf16) or other work that was fused into the factor is done once per element instead of once per tile
of rows. Where the
columns lie along the depth (a transposed operand), packing transposes blocks in registers. The other factor is not
packed, unlike in BLIS: each of its elements is read once per tile of columns, as a scalar, by up to 8 streams that
hardware prefetchers follow. Where its depth is several loops (a convolution's), a table holds each depth's distance.

Integers differ in one thing: their rows are packed as well, for each tile of rows, because pairs of i16 are not what
lies in memory. Where a row's depth is contiguous, that takes an instruction for sixteen elements.

A depth that fits one panel needs no more: sums start and end in registers, each tile of rows is stored when it is
finished, and a panel serves all rows of a workgroup. Otherwise sums wait between panels (`tiling.Partial`): in the
memory of a result that nothing else reads, or else in a buffer for `row_block` rows (`SUMS_BYTES`). A result whose rows
are a multiple of 4 KB apart is not used: all its rows fall into the same few lines of the cache. Nor is either way used
where much work follows the sums, or the depth is short. All buffers together stay below 36 KB, because the stack of
IREE's workers has 128 KB.

**Other modes** (`tiling.Roles.mode`): packing costs a pass over the columns, which too few rows do not pay back.

- `direct`: the columns are read in place; few rows, or both factors move along the vectors (depthwise convolutions).
- `dot`: vectors run along the depth and are summed at the end; both factors are contiguous there, with few rows.
- `stream`: one or two rows over long columns (a vector times a matrix): the sums stay in memory, the matrix is read
  row by row.

`tiling.choose` estimates the cost of each candidate and takes the least, unless a tuned plan says otherwise (`[tune]`
in `matmul/kernel.toml`: the register tile, and the place in the order of costs); sizes that are only known at launch
count as 256.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llvmlite import ir

from substitute.codegen.hazards import refuse_hazards
from substitute.codegen.llvm.function import I64
from substitute.codegen.llvm.lower import supported
from substitute.codegen.unsupported import Unsupported
from substitute.errors import PayloadError
from substitute.model.dispatch import Program
from substitute.model.index import Index, apply
from substitute.model.plan import Generated, Request

from .panel import pack, pack_rows, place, words_in
from .result import store_results
from .space import Position, Slot, Space
from .tile import Sums, direct_tile, dot_tile, load_sums, packed_tile, store_sums, stream, words_tile
from .tiling import Tiling, choose, count_of
from .views import read


def can_generate(program: Program) -> str:
    """Return why `generate` cannot make code for a program as a contraction; empty if it can."""
    contraction = read(program)
    if isinstance(contraction, str):
        return contraction
    try:
        refuse_hazards(program)
    except Unsupported as hazard:
        return str(hazard)
    if any(isinstance(r.nest.reads[at].source, int) for r in contraction.results for at in r.nest.gathered):
        return "a result gathers from the sum"
    graphs = (contraction.core.expr, *(r.nest.expr for r in contraction.results))
    problems = [problem for graph in graphs if (problem := supported(graph))]
    return f"no code for {problems[0]}" if problems else ""


def generate(request: Request) -> Generated:
    """Return the contraction's code. Raises `PayloadError` where `can_generate` gives a reason."""
    reason = can_generate(request.program)
    contraction = read(request.program)
    if reason or isinstance(contraction, str):
        raise PayloadError(
            "the contraction generator cannot do this dispatch",
            where=request.substitution.dispatch.name,
            expected="a sum of products of f16, bf16, f32 or integers",
            found=reason,
        )
    tiling = choose(contraction, request.substitution.dispatch.target, request.tuning)
    space = Space(request, contraction, tiling)
    _workgroup(space)
    # overlapping windows of a direct tile, and the packing of words, are still simplified by LLVM
    finished = tiling.mode != "direct" and not tiling.arithmetic.is_integer
    text = space.function.finish()
    return Generated(text=text, workgroup_count=_count(tiling), finished=finished, summary=str(tiling))


def _count(tiling: Tiling) -> tuple[Index, Index, Index]:
    """Return the number of workgroups along columns, rows and batch."""
    tiles = apply("ceildiv", apply("ceildiv", tiling.slots, tiling.vectors), tiling.tiles)
    rows = apply("ceildiv", count_of(tiling.rows), tiling.row_block)
    return tiles, rows, apply("ceildiv", count_of(tiling.batch), tiling.batch_block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffers:
    """Stack buffers for one tile of columns."""

    panel: ir.Value
    sums: ir.Value
    rows: ir.Value | None
    """The packed rows of a tile; None if rows are read in place."""


def _workgroup(space: Space) -> None:
    """Emit all tiles of one workgroup."""
    tiling, builder, function = space.tiling, space.builder, space.function
    x, y, z = function.workgroup
    block = ir.Constant(I64, tiling.row_block)
    first = builder.mul(y, block, flags=("nsw",))
    rows = space.least(block, builder.sub(space.size(tiling.rows), first))
    if isinstance(size := count_of(tiling.rows), int) and size % tiling.row_block == 0:
        rows = block
    start = builder.mul(x, ir.Constant(I64, tiling.tiles), flags=("nsw",))
    total = function.index(apply("ceildiv", tiling.slots, tiling.vectors))
    end = space.least(total, builder.add(start, ir.Constant(I64, tiling.tiles)))
    group = builder.mul(z, ir.Constant(I64, tiling.batch_block), flags=("nsw",))
    batches = space.least(space.size(tiling.batch), builder.add(group, ir.Constant(I64, tiling.batch_block)))
    body = _packed if tiling.mode == "packed" else _in_place
    with function.loop(group, batches) as batch:
        base = space.split(batch.index, tiling.batch)
        with function.loop(start, end) as loop:
            body(space, base, loop.index, first, rows)


def _slots(space: Space, tile: ir.Value) -> list[Slot]:
    """Return a tile's vectors of columns; those beyond the last one are the last one again."""
    tiling, builder = space.tiling, space.builder
    last = builder.sub(space.function.index(tiling.slots), ir.Constant(I64, 1))
    spare = not isinstance(tiling.slots, int) or tiling.slots % tiling.vectors != 0
    slots = []
    for number in range(tiling.vectors):
        at = builder.add(builder.mul(tile, ir.Constant(I64, tiling.vectors)), ir.Constant(I64, number))
        slots.append(space.slot(space.least(at, last) if spare else at))
    return slots


def _row(space: Space, first: ir.Value, number: int) -> Position:
    """Return a row's indices; rows beyond the last one are the last one again."""
    size = count_of(space.tiling.rows)
    row = space.builder.add(first, ir.Constant(I64, number))
    if not isinstance(size, int) or size % space.tiling.row_tile:
        row = space.least(row, space.builder.sub(space.size(space.tiling.rows), ir.Constant(I64, 1)))
    return space.split(row, space.tiling.rows)


def _packed(space: Space, base: Position, tile: ir.Value, first: ir.Value, rows: ir.Value) -> None:
    """Emit one tile of columns for all rows of the workgroup, panel by panel."""
    tiling, arithmetic = space.tiling, space.arithmetic
    width = tiling.vectors * tiling.lanes
    panel = _buffer(space, "panel", width * tiling.panel_words)
    sums = _buffer(space, "sums", width * (tiling.row_block if tiling.partial == "buffer" else tiling.row_tile))
    packed = _buffer(space, "rows", tiling.row_tile * tiling.panel_words) if arithmetic.is_integer else None
    buffers = Buffers(panel=panel, sums=sums, rows=packed)
    slots = _slots(space, tile)
    if tiling.partial != "buffer":

        def finish(at: ir.Value, finished: Sums) -> None:
            store_sums(space, sums, ir.Constant(I64, 0), finished)
            left = space.least(ir.Constant(I64, tiling.row_tile), space.builder.sub(rows, at))
            store_results(space, sums, base, tile, space.builder.add(first, at), left)

        _panels(space, base, slots, buffers, first, rows, finish)
        return
    if arithmetic.guarded:
        space.begin_to_look()
    _panels(space, base, slots, buffers, first, rows)
    if arithmetic.guarded:
        with space.function.when(space.has_outside()):
            _panels(space.one_by_one(), base, slots, buffers, first, rows)
    store_results(space, sums, base, tile, first, rows)


def _panels(
    space: Space,
    base: Position,
    slots: Sequence[Slot],
    buffers: Buffers,
    first: ir.Value,
    rows: ir.Value,
    finish: Callable[[ir.Value, Sums], None] | None = None,
) -> None:
    """Emit the loop over panels. Sums go to `finish`, with their tile's first row, or else to the buffer of sums."""
    tiling, function, builder = space.tiling, space.function, space.builder
    depth, step = space.size(tiling.depth), ir.Constant(I64, tiling.depth_panel)

    def load(at: ir.Value) -> Sums:
        return load_sums(space, buffers.sums, at)

    def keep(at: ir.Value, sums: Sums) -> None:
        store_sums(space, buffers.sums, at, sums)

    if count_of(tiling.depth) == tiling.depth_panel:
        zeros = [space.initial()] * (tiling.row_tile * tiling.vectors)
        _panel(space, base, slots, buffers, ir.Constant(I64, 0), step, first, rows, lambda at: zeros, finish or keep)
        return
    if finish is not None:
        _panels_in_result(space, base, slots, buffers, first, rows, finish)
        return
    with function.loop(0, rows) as loop:
        for j in range(tiling.vectors):
            where = place(space, buffers.sums, loop.index, j)
            builder.store(space.initial(), where, align=4 * tiling.lanes)
    with function.loop(0, depth, step) as loop:
        count = space.least(step, builder.sub(depth, loop.index))
        _panel(space, base, slots, buffers, loop.index, count, first, rows, load, keep)


def _panels_in_result(
    space: Space,
    base: Position,
    slots: Sequence[Slot],
    buffers: Buffers,
    first: ir.Value,
    rows: ir.Value,
    finish: Callable[[ir.Value, Sums], None],
) -> None:
    """Emit the loop over panels between which sums wait in the memory of a result."""
    tiling, function, builder = space.tiling, space.function, space.builder
    address = space.contraction.spare_result(tiling.vector_axis)
    assert address is not None
    depth, step = space.size(tiling.depth), ir.Constant(I64, tiling.depth_panel)

    def places(at: ir.Value) -> Iterator[tuple[ir.Value, ir.Value | None]]:
        for number in range(tiling.row_tile):
            row = _row(space, builder.add(first, at), number)
            for slot in slots:
                yield space.pointer(address, {**base, **row, **slot.position}), slot.valid

    with function.loop(0, depth, step) as loop:
        count = space.least(step, builder.sub(depth, loop.index))
        is_first = builder.icmp_signed("==", loop.index, ir.Constant(I64, 0))
        is_last = builder.icmp_signed("<=", builder.sub(depth, loop.index), step)

        def begin(at: ir.Value) -> Sums:
            zero = space.initial()
            return [builder.select(is_first, zero, space.load(p, "f32", 1, valid)) for p, valid in places(at)]

        def end(at: ir.Value, sums: Sums) -> None:
            with function.when(is_last):
                finish(at, sums)
            with function.when(builder.not_(is_last)):
                for (pointer, valid), value in zip(places(at), sums, strict=True):
                    if valid is None:
                        space.store(value, pointer, "f32", 1)
                    else:
                        space.store_masked(value, pointer, "f32", valid)

        _panel(space, base, slots, buffers, loop.index, count, first, rows, begin, end)


def _panel(
    space: Space,
    base: Position,
    slots: Sequence[Slot],
    buffers: Buffers,
    start: ir.Value,
    count: ir.Value,
    first: ir.Value,
    rows: ir.Value,
    begin: Callable[[ir.Value], Sums],
    end: Callable[[ir.Value, Sums], None],
) -> None:
    """Emit the addition of one panel's products to the sums of all rows.

    `begin` gives the sums of the tile with this first row so far, `end` takes them with the panel's products.
    """
    tiling, function, builder = space.tiling, space.function, space.builder
    panel = buffers.panel
    pack(space, panel, slots, base, start, count)
    factor = space.contraction.factors[1 - tiling.vector]
    table = _depth_table(space, start, count) if len(tiling.depth) > 1 and buffers.rows is None else []
    origin = {} if table or buffers.rows is not None else space.split(start, tiling.depth)
    with function.loop(0, rows, tiling.row_tile) as loop:
        pointers = []
        for number in range(tiling.row_tile):
            row = _row(space, builder.add(first, loop.index), number)
            pointers.append(space.pointers(factor, {**base, **origin, **row}))
        before = begin(loop.index)
        if buffers.rows is None:
            after = packed_tile(space, panel, pointers, table, count, before)
        else:
            pack_rows(space, buffers.rows, pointers, start, count)
            after = words_tile(space, panel, buffers.rows, words_in(space, count), before)
        end(loop.index, after)


def _depth_table(space: Space, start: ir.Value, count: ir.Value) -> list[ir.Value]:
    """Return, for each read of the broadcast factor, the address distance of each depth of the panel."""
    tiling, builder = space.tiling, space.builder
    factor = space.contraction.factors[1 - tiling.vector]
    tables = [_buffer(space, f"table{at}", tiling.depth_panel, I64) for at in range(len(factor.reads))]
    with space.function.loop(0, count) as loop:
        position = space.split(builder.add(start, loop.index), tiling.depth)
        for table, address in zip(tables, factor.addresses, strict=True):
            builder.store(space.offset(address, position), space.function.element(table, loop.index, I64), align=8)
    return tables


def _in_place(space: Space, base: Position, tile: ir.Value, first: ir.Value, rows: ir.Value) -> None:
    """Emit one tile of columns for all rows of the workgroup, without a panel."""
    tiling, function, builder = space.tiling, space.function, space.builder
    sums = _buffer(space, "sums", tiling.row_tile * tiling.vectors * tiling.lanes)
    zero = ir.Constant(I64, 0)
    with function.loop(0, rows, tiling.row_tile) as loop:
        at = builder.add(first, loop.index)
        members = [_row(space, at, number) for number in range(tiling.row_tile)]
        slots = _slots(space, tile) if tiling.mode != "stream" else []
        if tiling.mode == "stream":
            stream(space, members[0], tile, base, sums)
        elif tiling.mode == "dot":
            for number, slot in enumerate(slots):
                dot_tile(space, members, slot, base, sums, ir.Constant(I64, number))
        elif slots[0].valid is None:
            store_sums(space, sums, zero, direct_tile(space, members, slots, base))
        else:
            lanes = ir.Constant(I64, tiling.lanes)
            full = ir.Constant(ir.IntType(1), 1)
            for slot in slots:
                full = builder.and_(full, builder.icmp_signed("==", slot.valid, lanes))
            whole = [Slot(position=slot.position, valid=None) for slot in slots]
            with function.when(full):
                store_sums(space, sums, zero, direct_tile(space, members, whole, base))
            with function.when(builder.not_(full)):
                store_sums(space, sums, zero, direct_tile(space, members, slots, base))
        left = space.least(ir.Constant(I64, tiling.row_tile), builder.sub(rows, loop.index))
        store_results(space, sums, base, tile, at, left)


def _buffer(space: Space, name: str, count: int, element: ir.Type | None = None) -> ir.Value:
    """Return a buffer on the stack for the whole function, with elements of the sums' type by default."""
    room = space.function.stack(element or space.arithmetic.type, count)
    room.name = name
    return room
