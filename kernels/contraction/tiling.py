"""Choice of the vectorised loop and of the sizes of tiles, panels and workgroups, from sizes and strides alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from substitute.codegen.llvm.function import Hardware
from substitute.errors import PayloadError
from substitute.model.dispatch import Target
from substitute.model.index import Index, apply, mul, product

from .arithmetic import Arithmetic, multiplies_pairs
from .views import Address, Axis, Contraction, Factor

Mode = Literal["packed", "direct", "dot", "stream"]
Partial = Literal["nowhere", "result", "buffer"]
UNKNOWN_SIZE = 256
"""Estimate of a size that is only known at launch."""
PANEL_BYTES = 16 * 1024
"""A packed panel: half of a 32 KB first-level cache."""
WIDE_PANEL_BYTES = 32 * 1024
"""A panel without a buffer of sums beside it, of vectors of 64 bytes, whose tiles are four times as wide as with AVX2:
it is read as one stream, which may come from the second-level cache."""
INTEGER_PANEL_BYTES = 12 * 1024
"""A panel of integers, next to which a tile's packed rows are stored."""
SUMS_BYTES = 8 * 1024
"""Sums of one block of rows under one tile of columns. All buffers together stay below 36 KB: IREE's workers have a
stack of 128 KB."""
WORKGROUP_MACS = 4_000_000
"""Work of a workgroup: about 100 µs at 40 multiply-adds per ns."""
FEWEST_MACS = 200_000
"""Work that is not worth dividing further."""
WORKGROUP_ELEMENTS = 400_000
"""Elements that a workgroup streams from memory in about as long."""
MOST_ROWS = 8
"""Rows of a tile: each is a stream of its own, and first-level caches have eight ways."""
MOST_BLOCK = 512
"""Rows of a workgroup: what they read of one panel's depth stays in a second-level cache."""
FEWEST_GROUPS = 8
"""Workgroups that rows are divided for: each packs the same columns again."""
MASKED_LANES = 8
"""Lanes of the narrowest vectors of which some lanes are loaded and stored in one instruction."""
MOST_WORK = 8
"""Operations and constants fused after a sum, with which a tile is stored as soon as it is finished: LLVM moves loads
of constants to before the loop over rows, where more of them drive sums out of their registers."""
FEWEST_DEPTHS = 32
"""Depth from which the stores of a tile are hidden by the next one's arithmetic."""
FEW_ROWS = 8
"""Up to this many rows, a panel costs more than it saves."""
USUAL_BLOCK = 128
"""Rows of a workgroup while their number is unknown."""
STREAMED_BYTES = 8 * 1024
"""Sums of a long row in mode `stream`."""
STREAM_BYTES = 256 * 1024
"""Half of a second-level cache."""
MOST_UNROLLED = 32
"""Depths up to this are unrolled where tiles read their operands in place."""
MOST_MULTIPLIES = 72
"""Vector multiply-adds in one unrolled body: what LLVM compiles in good time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Role of each loop."""

    mode: Mode
    """`packed`: columns are copied to a panel on the stack, which all rows use. `direct`: columns are read in place.
    `dot`: vectors run along the depth and are summed at the end. `stream`: like `direct`, but the sums of a long row
    stay in memory, and the columns are read row by row."""
    vector: int
    """The factor that is read as vectors; the other one is broadcast."""
    batch: tuple[Axis, ...]
    """Outer axes of the output that move both factors."""
    rows: tuple[Axis, ...]
    """Outer axes of the output that move only the broadcast factor."""
    columns: tuple[Axis, ...]
    """Axes of the output that move the vector factor; vectors run along the last one."""
    depth: tuple[Axis, ...]
    """The axes that are summed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling(Roles):
    """The shape of the generated loops."""

    lanes: int
    row_tile: int
    vectors: int
    """Vectors per row of a tile."""
    row_block: int
    """Rows of a workgroup, a multiple of `row_tile`."""
    depth_panel: int
    """Depth of a panel."""
    tiles: int
    """Tiles along the columns per workgroup."""
    batch_block: int
    """Positions of the batch per workgroup."""
    arithmetic: Arithmetic
    partial: Partial
    """Where sums wait between panels. `nowhere`: a panel holds the whole depth. `result`: in the memory of a result,
    which nothing else reads. `buffer`: on the stack, which limits `row_block`; also in modes without panels."""
    stacked: bool
    """True if the vectors of a tile are side by side along `columns[-2]`, not along the vector axis."""

    @property
    def vector_axis(self) -> Axis:
        """The axis along which vectors run."""
        return self.columns[-1]

    @property
    def slots(self) -> Index:
        """Vectors per row of the output: each row of the vector axis takes whole vectors."""
        return product((count_of(self.columns[:-1]), apply("ceildiv", self.vector_axis.size, self.lanes)))

    def one_by_one(self) -> Tiling:
        """Return the same tiles without pairs, in buffers of the same size."""
        single = Arithmetic(element=self.arithmetic.element)
        return dataclasses.replace(self, arithmetic=single, depth_panel=self.panel_words)

    @property
    def panel_words(self) -> int:
        """Words along the depth of a panel."""
        return -(-self.depth_panel // self.arithmetic.depths)

    def __str__(self) -> str:
        width = self.vectors * self.lanes
        what = {
            "packed": "packed columns",
            "direct": "columns in place",
            "dot": "vectors along the depth",
            "stream": "columns in long rows",
        }[self.mode]
        panel = f", panels of {self.depth_panel}" if self.mode == "packed" else ""
        pairs = " in pairs of i16" if self.arithmetic.depths > 1 and self.mode in ("packed", "dot") else ""
        element = self.arithmetic.element + pairs
        return f"{self.row_tile}×{width} tiles of {self.lanes}-lane {element}, {what}{panel}"


def guess(size: Index) -> int:
    """Return a size, or an estimate of an unknown one."""
    return size if isinstance(size, int) else UNKNOWN_SIZE


def registers(target: Target) -> int:
    """Return the number of vector registers of the target."""
    architecture = target.get("target_triple").split("-")[0]
    return 16 if architecture.startswith(("x86", "i")) and "avx512f" not in target.features else 32


def choose(contraction: Contraction, target: Target, tuning: Mapping[str, int] = MappingProxyType({})) -> Tiling:
    """Return the tiling for this target: that of the candidate vector axis with the least estimated cost.

    `tuning` overrules estimates: `order` takes the candidate with that place in the order of costs, `row_tile` and
    `vectors` give the register tile. Raises `PayloadError` for a tile that does not fit the registers.
    """
    candidates = []
    lanes = Hardware.of(target).lanes(32)
    for axis in (a for a in contraction.axes if contraction.is_parallel(a)):
        for vector in (0, 1):
            if contraction.moves(axis, vector):
                roles = _roles(contraction, axis, vector)
                candidates.append((_cost(contraction, roles, lanes, registers(target)), roles))
    place = tuning.get("order", 0)
    if not 0 <= place < len(candidates):
        raise _unfit(f"order = {place}", f"{len(candidates)} ways to vectorise")
    roles = sorted(candidates, key=lambda pair: pair[0])[place][1]
    return _shape(contraction, roles, lanes, registers(target), _arithmetic(contraction, roles, target), tuning)


def _unfit(found: str, expected: str) -> PayloadError:
    return PayloadError("the contraction has no such tiling", expected=expected, found=found)


def _arithmetic(c: Contraction, roles: Roles, target: Target) -> Arithmetic:
    """Return how products are added; only panels can be guarded."""
    if c.element == "i32" and multiplies_pairs(target) and (c.fits_pairs or roles.mode == "packed"):
        return Arithmetic(element="i32", depths=2, guarded=not c.fits_pairs)
    return Arithmetic(element=c.element)


def count_of(axes: Iterable[Axis]) -> Index:
    """Return the number of positions of these axes together."""
    return product(tuple(axis.size for axis in axes))


def _roles(c: Contraction, axis: Axis, vector: int) -> Roles:
    """Return the roles of all loops if vectors of this factor run along this axis."""
    parallel = [a for a in c.axes if c.is_parallel(a) and a is not axis]
    rows = [a for a in parallel if not c.moves(a, vector) and c.moves(a, 1 - vector)]
    batch = [a for a in parallel if c.moves(a, vector) and c.moves(a, 1 - vector)]
    columns = [a for a in parallel if a not in rows and a not in batch]
    depth = [a for a in c.axes if not c.is_parallel(a)]
    written = c.results[0].writes[0]
    mode = _mode(c, axis, vector, rows, depth)
    followed = c.factors[1 - vector if mode == "packed" else vector].addresses[0]
    return Roles(
        mode=mode,
        vector=vector,
        batch=_outermost_first(batch, written),
        rows=_outermost_first(rows, written),
        columns=(*_outermost_first(columns, written), axis),
        depth=_outermost_first(depth, followed),
    )


def _cost(c: Contraction, roles: Roles, lanes: int, count: int) -> float:
    """Return the time per multiply-add relative to peak speed: loads are shared by rows, stores by the depth."""
    if roles.mode == "dot":
        return 1.2
    axis, vector = roles.columns[-1], roles.vector
    loads = max(_load_cost(roles, a) for a in c.factors[vector].addresses)
    stores = max(_element_cost(axis.stride(a)) for r in c.results for a in r.writes)
    cost = 1 + loads / max(guess(count_of(roles.rows)), 1) + stores / max(guess(count_of(roles.depth)), 1)
    if c.moves(axis, 1 - vector):
        cost += max(_element_cost(axis.stride(a)) for a in c.factors[1 - vector].addresses)
    if _streamed_bytes(c, roles) > STREAM_BYTES:
        cost += 0.1
    rows, depth = guess(count_of(roles.rows)), guess(count_of(roles.depth))
    slots = guess(count_of(roles.columns[:-1])) * -(-guess(axis.size) // lanes)
    cycles = (
        _register_tile(roles.mode, rows, slots, count, 0, depth, lanes)[2]
        if roles.mode == "packed"
        else rows * slots / 2
    )
    return cost * cycles * 2 * lanes / max(1, rows * guess(count_of(roles.columns)))


def _element_cost(stride: Index) -> float:
    """Return the cost of a load or store of one element of a vector whose lanes are `stride` apart.

    In units of a multiply-add at peak speed, of which there are some sixteen in a cycle.
    """
    return {0: 1.0, 1: 2.0, 2: 6.0}.get(stride, 24.0) if isinstance(stride, int) else 24.0


def _load_cost(roles: Roles, address: Address) -> float:
    """Return the cost of loading one element of the vector factor, and of packing it where it is packed."""
    axis = roles.columns[-1]
    if axis.stride(address) in (0, 1) and roles.mode != "packed":
        return 0.0
    return min(_element_cost(axis.stride(address)), 8.0 if is_contiguous(roles.depth, address) else 24.0)


def is_contiguous(axes: tuple[Axis, ...], address: Address) -> bool:
    """Return whether the axes, the last running fastest, move the address by one element at a time."""
    distance: Index = 1
    for axis in reversed(axes):
        if axis.stride(address) != distance:
            return False
        distance = mul(distance, axis.size)
    return bool(axes)


def _streamed_bytes(c: Contraction, roles: Roles) -> float:
    """Estimate the bytes that a workgroup reads of the broadcast factor, again for each tile of columns; windows
    overlap.
    """
    rows, depth = guess(count_of(roles.rows)), guess(count_of(roles.depth))
    type_ = c.factors[1 - roles.vector].addresses[0].view.type
    overlap = max(1.0, rows * depth / max(1, guess(type_.count)))
    return min(rows, USUAL_BLOCK) * depth * type_.element_bytes / overlap


def _outermost_first(axes: list[Axis], address: Address) -> tuple[Axis, ...]:
    """Return axes by decreasing stride; those of unknown stride first, in their given order."""
    return tuple(sorted(axes, key=lambda a: -_distance(a.stride(address))))


def _distance(stride: Index) -> int:
    return abs(stride) if isinstance(stride, int) else 1 << 40


def _mode(c: Contraction, axis: Axis, vector: int, rows: list[Axis], depth: list[Axis]) -> Mode:
    """Return the mode in which tiles read their operands."""
    if c.moves(axis, 1 - vector):
        return "direct"
    row_count = count_of(rows)
    if not isinstance(row_count, int) or row_count > FEW_ROWS:
        return "packed"
    strides = [axis.stride(a) for a in c.factors[vector].addresses]
    if row_count <= 4 and any(s not in (0, 1, 2) for s in strides) and _both_along_depth(c, depth):
        return "dot"
    deep = guess(count_of(depth)) > MOST_UNROLLED
    return "stream" if deep and row_count <= 2 and all(s in (0, 1) for s in strides) else "direct"


def _both_along_depth(c: Contraction, depth: list[Axis]) -> bool:
    """Return whether both factors are contiguous along one loop of the depth that is long enough for vectors."""
    return any(runs_along(axis, c.factors) and guess(axis.size) >= 32 for axis in depth)


def runs_along(axis: Axis, factors: Iterable[Factor]) -> bool:
    """Return True if each of these factors is contiguous along the axis, except for reads that it does not move."""
    strides = [[axis.stride(address) for address in factor.addresses] for factor in factors]
    return all(1 in along and all(s in (0, 1) for s in along) for along in strides)


def _shape(
    c: Contraction, roles: Roles, lanes: int, count: int, arithmetic: Arithmetic, tuning: Mapping[str, int]
) -> Tiling:
    """Return tile, block and panel sizes for `count` vector registers."""
    row_count, depth, batch = count_of(roles.rows), count_of(roles.depth), max(1, guess(count_of(roles.batch)))
    slots = guess(count_of(roles.columns[:-1])) * -(-guess(roles.columns[-1].size) // lanes)
    unrolled = depth if isinstance(depth, int) and depth <= MOST_UNROLLED and roles.mode == "direct" else 0
    # a product of integers needs its own register before it is added
    free = count - 1 if arithmetic.is_integer else count
    row_tile, vectors, _ = _register_tile(roles.mode, guess(row_count), slots, free, unrolled, guess(depth), lanes)
    if roles.mode in ("packed", "direct") and ("row_tile" in tuning or "vectors" in tuning):
        row_tile, vectors = tuning.get("row_tile", row_tile), tuning.get("vectors", vectors)
        _check_tile(roles.mode, row_tile, vectors, guess(row_count), free, unrolled)
    height = 0 if "vectors" in tuning else _stack(roles.columns, row_tile, unrolled)
    vectors = height or vectors
    if roles.mode == "stream":
        known = isinstance(count_of(roles.columns), int)
        vectors = max(1, min(STREAMED_BYTES // (4 * lanes), -(-slots // 4))) if known else 64
    tile_count = -(-slots // vectors)
    partial: Partial = "buffer"
    if _ends_in_place(c, roles, arithmetic):
        panel = _panel_depth(roles.mode, depth, vectors, lanes, arithmetic, _room(lanes))
        partial = _partial(c, roles, lanes, depth == panel)
    if partial == "buffer":
        room = INTEGER_PANEL_BYTES if arithmetic.is_integer else PANEL_BYTES
        panel = _panel_depth(roles.mode, depth, vectors, lanes, arithmetic, room)
    most = SUMS_BYTES // (4 * vectors * lanes)
    if partial != "buffer":
        most = _most_rows(guess(row_count), guess(depth) * vectors * lanes, tile_count * batch)
    row_block = _row_block(row_count, row_tile, most)
    tiles = _tiles_per_group(guess(row_count), row_block, guess(depth), vectors * lanes, tile_count, batch)
    work = max(1, min(guess(row_count), row_block) * guess(depth) * tiles * vectors * lanes)
    return Tiling(
        mode=roles.mode,
        vector=roles.vector,
        batch=roles.batch,
        rows=roles.rows,
        columns=roles.columns,
        depth=roles.depth,
        lanes=lanes,
        row_tile=row_tile,
        vectors=vectors,
        row_block=row_block,
        depth_panel=panel,
        tiles=tiles,
        batch_block=max(1, min(FEWEST_MACS // work, batch // 4)),
        arithmetic=arithmetic,
        stacked=height > 0,
        partial=partial,
    )


def _room(lanes: int) -> int:
    return WIDE_PANEL_BYTES if lanes >= 16 else PANEL_BYTES


def _panel_depth(mode: Mode, depth: Index, vectors: int, lanes: int, arithmetic: Arithmetic, room: int) -> int:
    """Return the depth of a panel of at most `room` bytes, of panels of nearly equal depth."""
    if mode != "packed":
        return 1
    # panels of integers begin where a vector of words does, so that rows are packed by vectors
    grain = arithmetic.depths * lanes if arithmetic.is_integer else 4
    panel = room * arithmetic.depths // (4 * vectors * lanes) // grain * grain
    if not isinstance(depth, int):
        return panel
    panels = -(-depth // panel)
    return min(depth, -(-depth // (panels * grain)) * grain) if panels > 1 else depth


def _ends_in_place(c: Contraction, roles: Roles, arithmetic: Arithmetic) -> bool:
    """Return True if it pays to store each tile when it is finished, instead of a block of rows."""
    work = sum(node.op not in ("read", "index", "size") for r in c.results for node in r.nest.expr.nodes)
    deep = guess(count_of(roles.depth)) >= FEWEST_DEPTHS
    light = work <= MOST_WORK and not arithmetic.is_integer
    return roles.mode == "packed" and light and deep and c.spreads(roles.columns[-1])


def _partial(c: Contraction, roles: Roles, lanes: int, is_one_panel: bool) -> Partial:
    """Return where sums wait between panels."""
    if is_one_panel:
        return "nowhere"
    axis = roles.columns[-1]
    whole = lanes >= MASKED_LANES or (isinstance(axis.size, int) and axis.size % lanes == 0)
    return "result" if whole and c.spare_result(axis) is not None else "buffer"


def _most_rows(rows: int, macs_per_row: int, groups: int) -> int:
    """Return the rows of a workgroup that needs no room for them; `groups`: workgroups for each block of rows."""
    blocks = -(-FEWEST_GROUPS // groups)
    return min(MOST_BLOCK, max(-(-rows // blocks), FEWEST_MACS * 4 // macs_per_row))


def _stack(columns: tuple[Axis, ...], row_tile: int, unrolled: int) -> int:
    """Return the number of neighbours along `columns[-2]` that share a tile, so that common elements are loaded once;
    or 0.
    """
    if not unrolled or len(columns) < 2:
        return 0
    size = columns[-2].size
    heights = [h for h in range(2, 9) if h * row_tile * unrolled <= MOST_MULTIPLIES and h * row_tile <= 12]
    return max((h for h in heights if isinstance(size, int) and size % h == 0), default=0)


def _tiles_per_group(rows: int, row_block: int, depth: int, width: int, tiles: int, batch: int) -> int:
    """Return the tiles along the columns per workgroup: enough work for each, and several workgroups where possible."""
    macs = max(1, min(rows, row_block) * width * depth)
    blocks = -(-rows // row_block) * batch
    most = min(WORKGROUP_MACS // macs, WORKGROUP_ELEMENTS // max(1, width * depth), -(-tiles * blocks // 4))
    per_group = min(tiles, max(1, most, FEWEST_MACS // macs))
    return -(-tiles // -(-tiles // per_group))


def _register_tile(
    mode: Mode, rows: int, slots: int, count: int, unrolled: int, depth: int, lanes: int
) -> tuple[int, int, float]:
    """Return (rows, vectors) of the tile that covers `rows × slots` in the fewest cycles per depth, and these
    cycles.
    """
    if mode in ("dot", "stream"):
        return (rows if mode == "dot" else 1), 1, rows * slots / 2
    best, best_cost = (1, 1), float("inf")
    for vectors in range(1, 13):
        for row_tile in range(1, MOST_ROWS + 1):
            if _registers_of(mode, row_tile, vectors) > count or (mode == "direct" and row_tile > rows):
                continue
            if row_tile * vectors * unrolled > MOST_MULTIPLIES and row_tile * vectors > 1:
                continue
            # two FMAs and two loads per cycle; an FMA takes four cycles
            cycles = max(row_tile * vectors / 2, (row_tile + vectors) / 2, 4.0)
            # a tile begins and ends in some 30, and loads and stores its sums between panels
            panels = -(-depth * vectors * 4 * lanes // _room(lanes)) if mode == "packed" else 1
            between = (panels - 1) * (30 + 1.5 * row_tile * vectors) / max(depth, 1)
            cost = -(-rows // row_tile) * -(-slots // vectors) * (cycles + 0.25 + between)
            if cost < best_cost * 0.999:
                best, best_cost = (row_tile, vectors), cost
    return *best, best_cost


def _registers_of(mode: Mode, row_tile: int, vectors: int) -> int:
    """Return the registers that a tile keeps in use."""
    return row_tile * vectors + (vectors + 1 if mode == "packed" else 2)


def _check_tile(mode: Mode, row_tile: int, vectors: int, rows: int, count: int, unrolled: int) -> None:
    """Raise `PayloadError` for a tile that `_register_tile` would not consider."""
    if row_tile < 1 or vectors < 1:
        raise _unfit(f"a tile of {row_tile} × {vectors} vectors", "at least 1 of each")
    taken = _registers_of(mode, row_tile, vectors)
    if taken > count:
        raise _unfit(f"a tile of {row_tile} × {vectors} vectors in {taken} registers", f"at most {count} registers")
    if mode == "direct" and (row_tile > rows or row_tile * vectors * unrolled > MOST_MULTIPLIES):
        raise _unfit(f"a tile of {row_tile} × {vectors} vectors", f"up to {rows} rows, and little unrolled code")


def _row_block(rows: Index, row_tile: int, most: int) -> int:
    """Return the rows per workgroup: about `most`, in blocks of nearly equal size."""
    most = max(row_tile, most // row_tile * row_tile)
    if not isinstance(rows, int):
        return most
    if -(-rows // row_tile) * row_tile <= most:
        return -(-rows // row_tile) * row_tile
    blocks = -(-rows // most)
    return -(-rows // (blocks * row_tile)) * row_tile
