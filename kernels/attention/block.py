"""The steps of one block of keys for the rows of a workgroup: scores, weights, sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llvmlite import ir

from substitute.codegen.llvm.arithmetic import FloatMath
from substitute.codegen.llvm.combine import Combiner
from substitute.codegen.llvm.elements import (
    REGISTER_TYPES,
    convert_float,
    from_f32,
    is_float,
    load,
    memory_type,
    splat,
    store,
    to_f32,
    vector,
)
from substitute.codegen.llvm.function import I32, I64, KernelFunction
from substitute.codegen.llvm.lower import ScalarEmitter
from substitute.codegen.mathematics.exponential import exp_of_negative
from substitute.model.plan import Request
from substitute.model.scalar import Scalar

from .shape import Address, Attention

F32 = ir.FloatType()
KEYS = 32
"""Keys of a block."""
GROUP = 4
"""Keys whose scores are computed at a time."""
CHUNK = 4
"""Vectors of columns whose sums are in registers."""
Position = Mapping[int, ir.Value]


class Block:
    """The function under construction, and its buffers on the stack."""

    def __init__(self, request: Request, attention: Attention, *, rows: int) -> None:
        self.request, self.attention = request, attention
        self.function = KernelFunction(request)
        self.builder = self.function.builder
        self.lanes = self.function.hardware.lanes(32)
        self._largest_of = Combiner(self.builder, "arith.maximumf", "f32", self.function.hardware)
        self._sum_of = Combiner(self.builder, "arith.addf", "f32", self.function.hardware)
        self.tile = 1 if rows == 1 else 2
        self.rows = -(-rows // self.tile) * self.tile
        self.keys = KEYS
        width = attention.sizes[attention.columns]
        assert isinstance(width, int)
        self.width = -(-width // self.lanes) * self.lanes
        self.pieces = list(_pieces(width, self.lanes))
        self._scores = self.function.stack(F32, self.tile * KEYS)
        self._sums = self.function.stack(F32, self.rows * self.width)
        self._largest = self.function.stack(F32, self.rows)
        self._totals = self.function.stack(F32, self.rows)
        self._scales = self.function.stack(F32, self.tile)
        self.scale = self._evaluate_scale()
        self._start: ir.Value = ir.Constant(I64, 0)
        self._count: ir.Value = ir.Constant(I64, KEYS)

    def __str__(self) -> str:
        return f"{self.rows} rows × {KEYS} keys, scores in {self.tile} × {GROUP} sums of {self.lanes}-lane f32"

    def _math(self, lanes: int | None) -> FloatMath:
        return FloatMath(self.builder, "f32", lanes, self.function.hardware)

    def _evaluate_scale(self) -> ir.Value:
        nest = self.attention.scale
        emitter = ScalarEmitter(self.function.module, self.builder, None, hardware=self.function.hardware)

        def leaf(node: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
            view = nest.reads[int(str(node.attribute))].source
            pointer = self.function.pointers[self.request.parameter_of(view)]  # type: ignore[arg-type]
            return load(self.builder, pointer, node.type)

        (value,) = emitter.emit(nest.expr, leaf)
        element = nest.expr.nodes[nest.expr.results[0]].type
        return convert_float(self.builder, value, element, "f32", self.function.hardware)

    # places

    def split(self, flat: ir.Value, loops: Sequence[int]) -> dict[int, ir.Value]:
        """Return the indices of loops at a position of all; the last runs fastest."""
        position: dict[int, ir.Value] = {}
        for loop in reversed(loops[1:]):
            size = self.function.index(self.attention.sizes[loop])
            position[loop] = self.builder.urem(flat, size)
            flat = self.builder.udiv(flat, size)
        if loops:
            position[loops[0]] = flat
        return position

    def _pointer(self, address: Address, *positions: Position) -> ir.Value:
        total: ir.Value = self.function.index(address.constant)
        for position in positions:
            for loop, index in position.items():
                stride = address.stride(loop)
                if stride != 0:
                    scaled = index if stride == 1 else self.builder.mul(index, self.function.index(stride))
                    total = self.builder.add(total, scaled, flags=("nsw",))
        pointer = self.function.pointers[self.request.parameter_of(address.view)]
        return self.function.element(pointer, total, memory_type(address.view.type.element))

    def _load(self, address: Address, pointer: ir.Value, at: ir.Value, lanes: int | None) -> ir.Value:
        """Return an operand's elements from position `at` of a row, in f32."""
        element = address.view.type.element
        value = load(self.builder, self.function.element(pointer, at, memory_type(element)), element, lanes)
        return to_f32(self.builder, value, element, self.function.hardware)

    def _row(self, first: ir.Value, slot: ir.Value) -> dict[int, ir.Value]:
        """Return a row's indices; slots beyond the last row stand for the last row."""
        last = self.builder.sub(self.function.index(self.attention.count(self.attention.rows)), ir.Constant(I64, 1))
        return self.split(self._least(self.builder.add(first, slot), last), self.attention.rows)

    def _least(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def _slot(self, buffer: ir.Value, *indices: tuple[ir.Value, int]) -> ir.Value:
        """Return the address `Σ index · stride` in a buffer."""
        total: ir.Value = ir.Constant(I64, 0)
        for index, stride in indices:
            scaled = index if stride == 1 else self.builder.mul(index, ir.Constant(I64, stride), flags=("nsw",))
            total = self.builder.add(total, scaled, flags=("nsw",))
        return self.function.element(buffer, total, F32)

    # steps

    def begin(self) -> None:
        """Start every row with no key."""
        builder = self.builder
        with self.function.loop(0, self.rows) as loop:
            builder.store(ir.Constant(F32, float("-inf")), self._slot(self._largest, (loop.index, 1)))
            builder.store(ir.Constant(F32, 0.0), self._slot(self._totals, (loop.index, 1)))
        zero = ir.Constant(vector(F32, self.lanes), [ir.Constant(F32, 0.0)] * self.lanes)
        with self.function.loop(0, self.rows * self.width, self.lanes) as loop:
            builder.store(zero, self._slot(self._sums, (loop.index, 1)), align=4 * self.lanes)

    def set_keys(self, start: ir.Value) -> None:
        """Begin a block of keys."""
        self._start = start
        total = self.function.index(self.attention.sizes[self.attention.keys])
        self._count = self._least(self.builder.sub(total, start), ir.Constant(I64, KEYS))

    def scores(self, base: Position, first: ir.Value, tile: ir.Value) -> None:
        """Fill a tile's rows of scores, unscaled; those beyond the last key are those of the last key again."""
        builder, function, a = self.builder, self.function, self.attention
        queries = [
            self._pointer(a.query, base, self._row(first, builder.add(tile, ir.Constant(I64, r))))
            for r in range(self.tile)
        ]
        size = a.sizes[a.inner]
        whole = function.index(size)
        full = builder.sub(whole, builder.urem(whole, ir.Constant(I64, self.lanes)))
        last = builder.sub(self._count, ir.Constant(I64, 1))
        zero = ir.Constant(vector(F32, self.lanes), [ir.Constant(F32, 0.0)] * self.lanes)
        with function.loop(0, self._count, GROUP) as group:
            keys = []
            for c in range(GROUP):
                at = self._least(builder.add(group.index, ir.Constant(I64, c)), last)
                keys.append(self._pointer(a.key, base, {a.keys: builder.add(self._start, at)}))
            with function.loop(0, full, self.lanes, [zero] * (self.tile * GROUP)) as loop:
                added = self._products(queries, keys, loop.index, loop.carried, self.lanes)
                loop.carry(*added)
            four = [self._add_lanes(loop.results[GROUP * r : GROUP * (r + 1)]) for r in range(self.tile)]
            if not (isinstance(size, int) and size % self.lanes == 0):
                ones = [builder.extract_element(v, ir.Constant(I32, c)) for v in four for c in range(GROUP)]
                with function.loop(full, whole, 1, ones) as rest:
                    rest.carry(*self._products(queries, keys, rest.index, rest.carried, None))
                four = [_gather(builder, rest.results[GROUP * r : GROUP * (r + 1)]) for r in range(self.tile)]
            for r, scores in enumerate(four):
                place = self._slot(self._scores, (ir.Constant(I64, r), KEYS), (group.index, 1))
                builder.store(scores, place, align=4 * GROUP)

    def _products(
        self,
        queries: Sequence[ir.Value],
        keys: Sequence[ir.Value],
        at: ir.Value,
        sums: Sequence[ir.Value],
        lanes: int | None,
    ) -> list[ir.Value]:
        math = self._math(lanes)
        left = [self._load(self.attention.query, p, at, lanes) for p in queries]
        right = [self._load(self.attention.key, p, at, lanes) for p in keys]
        return [math.fma(q, k, sums[GROUP * r + c]) for r, q in enumerate(left) for c, k in enumerate(right)]

    def _add_lanes(self, sums: Sequence[ir.Value]) -> ir.Value:
        """Return four scores in one vector: the lanes of each of four vectors, added."""
        values = list(sums)
        while len(values) > 1:
            values = [self._fold(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        (value,) = values
        while value.type.count > GROUP:
            value = self._fold(value, None)
        return value

    def _fold(self, a: ir.Value, b: ir.Value | None) -> ir.Value:
        """Add neighbouring lanes: those of `a`, then those of `b`."""
        count = a.type.count * (1 if b is None else 2)
        other = ir.Constant(a.type, ir.Undefined) if b is None else b
        even, odd = (
            self.builder.shuffle_vector(
                a, other, ir.Constant(vector(I32, count // 2), [ir.Constant(I32, k) for k in range(start, count, 2)])
            )
            for start in (0, 1)
        )
        return self.builder.fadd(even, odd)

    def weights(self, base: Position, first: ir.Value, tile: ir.Value) -> None:
        """Turn a tile's scores into weights, and bring the rows' largest scores and totals up to date."""
        for r in range(self.tile):
            self._weights_of(base, first, tile, r)

    def _weights_of(self, base: Position, first: ir.Value, tile: ir.Value, r: int) -> None:
        builder, function, lanes = self.builder, self.function, self.lanes
        slot = builder.add(tile, ir.Constant(I64, r))
        row = ir.Constant(I64, r)
        if self.attention.mask is not None:
            self._apply_mask(base, self._row(first, slot), row)
        math, single = self._math(lanes), self._math(None)
        nothing = math.const(float("-inf"))
        ramp = ir.Constant(vector(I64, lanes), [ir.Constant(I64, k) for k in range(lanes)])
        limit = splat(builder, self._count, lanes)
        with function.loop(0, self._count, lanes, [nothing]) as loop:
            place = self._slot(self._scores, (row, KEYS), (loop.index, 1))
            value = load(builder, place, "f32", lanes)
            if self.attention.mask is None:
                value = math.mul(value, splat(builder, self.scale, lanes))
            at = builder.add(splat(builder, loop.index, lanes), ramp)
            value = builder.select(builder.icmp_signed("<", at, limit), value, nothing)
            builder.store(value, place, align=4)
            loop.carry(self._largest_of.step(loop.carried[0], value))
        before = load(builder, self._slot(self._largest, (slot, 1)), "f32")
        largest = self._largest_of.step(before, self._largest_of.fold(loop.results[0], None))
        # a row that has seen no key yet is not shifted, since -inf - -inf is no number
        shift = builder.select(single.compare("==", largest, single.const(float("-inf"))), single.const(0.0), largest)
        scale = exp_of_negative(single, single.sub(before, shift))
        with function.loop(0, self._count, lanes, [math.const(0.0)]) as loop:
            place = self._slot(self._scores, (row, KEYS), (loop.index, 1))
            value = load(builder, place, "f32", lanes)
            weight = exp_of_negative(math, math.sub(value, splat(builder, shift, lanes)))
            builder.store(weight, place, align=4)
            loop.carry(self._sum_of.step(loop.carried[0], weight))
        added = self._sum_of.fold(loop.results[0], None)
        total = self._slot(self._totals, (slot, 1))
        builder.store(single.fma(load(builder, total, "f32"), scale, added), total)
        builder.store(largest, self._slot(self._largest, (slot, 1)))
        builder.store(scale, self._slot(self._scales, (row, 1)))

    def _apply_mask(self, base: Position, row_position: Position, row: ir.Value) -> None:
        """Scale a row's scores and add the mask: by vectors where the mask lies along the keys, then one by one."""
        builder, function, mask = self.builder, self.function, self.attention.mask
        assert mask is not None
        start: ir.Value = ir.Constant(I64, 0)
        if all(address.stride(self.attention.keys) in (0, 1) for address in mask.addresses):
            rest = builder.urem(self._count, ir.Constant(I64, self.lanes))
            full = builder.sub(self._count, rest)
            with function.loop(0, full, self.lanes) as loop:
                self._mask_at(base, row_position, row, loop.index, self.lanes)
            start = full
        with function.loop(start, self._count) as loop:
            self._mask_at(base, row_position, row, loop.index, None)

    def _mask_at(self, base: Position, row_position: Position, row: ir.Value, at: ir.Value, lanes: int | None) -> None:
        builder, mask, keys = self.builder, self.attention.mask, self.attention.keys
        assert mask is not None
        position = {keys: builder.add(self._start, at)}
        emitter = ScalarEmitter(self.function.module, builder, lanes, hardware=self.function.hardware)

        def leaf(node: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
            address = mask.addresses[int(str(node.attribute))]
            pointer = self._pointer(address, base, row_position, position)
            wide = lanes if address.stride(keys) == 1 else None
            return load(builder, pointer, address.view.type.element, wide)

        (value,) = emitter.emit(mask.nest.expr, leaf)
        math = self._math(lanes)
        if is_float(mask.element):
            value = to_f32(builder, value, mask.element, self.function.hardware)
        else:
            bit = builder.trunc(value, vector(REGISTER_TYPES["i1"], lanes))
            value = builder.select(bit, math.const(0.0), math.const(float("-inf")))
        place = self._slot(self._scores, (row, KEYS), (at, 1))
        scale = self.scale if lanes is None else splat(builder, self.scale, lanes)
        score = math.mul(load(builder, place, "f32", lanes), scale)
        builder.store(math.add(score, value), place, align=4)

    def sums(self, base: Position, tile: ir.Value) -> None:
        """Scale a tile's sums of values and add those of the block."""
        builder, function, a = self.builder, self.function, self.attention
        scales = [load(builder, self._slot(self._scales, (ir.Constant(I64, r), 1)), "f32") for r in range(self.tile)]
        values = self._pointer(a.value, base, {a.keys: self._start})
        step = function.index(a.value.stride(a.keys))
        for at in range(0, len(self.pieces), CHUNK):
            pieces = self.pieces[at : at + CHUNK]
            places = [
                self._slot(self._sums, (builder.add(tile, ir.Constant(I64, r)), self.width), (ir.Constant(I64, c), 1))
                for r in range(self.tile)
                for c, _ in pieces
            ]
            scaled = []
            for number, place in enumerate(places):
                lanes = pieces[number % len(pieces)][1]
                factor = splat(builder, scales[number // len(pieces)], lanes)
                scaled.append(self._math(lanes).mul(load(builder, place, "f32", lanes), factor))
            with function.loop(0, self._count, 1, scaled) as loop:
                row = function.element(values, builder.mul(loop.index, step), memory_type(a.value.view.type.element))
                columns = [self._load(a.value, row, ir.Constant(I64, c), n) for c, n in pieces]
                after: list[ir.Value] = []
                for r in range(self.tile):
                    place = self._slot(self._scores, (ir.Constant(I64, r), KEYS), (loop.index, 1))
                    weight = load(builder, place, "f32")
                    for (_, lanes), column in zip(pieces, columns, strict=True):
                        carried = loop.carried[len(after)]
                        after.append(self._math(lanes).fma(splat(builder, weight, lanes), column, carried))
                loop.carry(*after)
            for place, value in zip(places, loop.results, strict=True):
                builder.store(value, place, align=4)

    def store(self, base: Position, first: ir.Value) -> None:
        """Divide the rows' sums by their totals, and store the rows that exist."""
        builder, function, a = self.builder, self.function, self.attention
        element = a.out.view.type.element
        left = builder.sub(function.index(a.count(a.rows)), first)
        with function.loop(0, self._least(left, ir.Constant(I64, self.rows))) as loop:
            target = self._pointer(a.out, base, self._row(first, loop.index))
            total = load(builder, self._slot(self._totals, (loop.index, 1)), "f32")
            for column, lanes in self.pieces:
                place = self._slot(self._sums, (loop.index, self.width), (ir.Constant(I64, column), 1))
                value = self._math(lanes).div(load(builder, place, "f32", lanes), splat(builder, total, lanes))
                where = function.element(target, ir.Constant(I64, column), memory_type(element))
                store(builder, from_f32(builder, value, element, function.hardware), where, element)


def _pieces(width: int, lanes: int) -> list[tuple[int, int]]:
    """Return whole vectors, then smaller ones, that cover a row: (first column, lanes)."""
    found, at = [], 0
    while at < width:
        while lanes > width - at:
            lanes //= 2
        found.append((at, lanes))
        at += lanes
    return found


def _gather(builder: ir.IRBuilder, values: Sequence[ir.Value]) -> ir.Value:
    """Return scalars as one vector."""
    whole: ir.Value = ir.Constant(vector(F32, len(values)), ir.Undefined)
    for at, value in enumerate(values):
        whole = builder.insert_element(whole, value, ir.Constant(I32, at))
    return whole
