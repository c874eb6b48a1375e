"""Emits the nests of a group for the rows of one task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from llvmlite import ir

from substitute.codegen.llvm.combine import Combiner
from substitute.codegen.llvm.elements import memory_type, store
from substitute.codegen.llvm.function import I64, KernelFunction
from substitute.model.index import Index, apply

from .nests import FlatNest, Group
from .points import Point, RowMemory
from .schedule import Schedule, best_lane, is_light, stages, vector_lanes


class RowEmitter:
    """Emitter of a group's tasks: decodes the task's number, loops over its rows, and runs each row's nests."""

    def __init__(self, kernel: KernelFunction, group: Group, schedule: Schedule) -> None:
        self.kernel, self.group, self.schedule = kernel, group, schedule
        self.builder = kernel.builder
        self.wide = vector_lanes(group.nests, kernel.hardware)
        self.light = all(is_light(nest) for nest in group.nests)
        # several rows side by side amortise the distance between the elements of a column
        simple = all(len(nest.expr.nodes) <= 3 for nest in group.nests)
        columns = bool(group.cores) and schedule.lane_row is not None and simple
        self.unroll = 8 if columns else 4 if self.light else 1
        self.memory = RowMemory(kernel, across=schedule.lane_row is not None)

    def task(self, number: ir.Value) -> None:
        """Emit one task."""
        builder, group, schedule = self.builder, self.group, self.schedule
        rows: dict[int, ir.Value] = {}
        start = stop = ir.Constant(I64, 0)
        if schedule.lane_row is not None:
            size = group.sizes[schedule.lane_row]
            blocks = apply("ceildiv", size, schedule.block)
            number, which = self._split(number, blocks)
            start = builder.mul(which, self.kernel.index(schedule.block))
            end, all_lanes = builder.add(start, self.kernel.index(schedule.block)), self.kernel.index(size)
            stop = builder.select(builder.icmp_signed("<", end, all_lanes), end, all_lanes)
            stop = all_lanes if blocks == 1 else stop
        for at in reversed(schedule.tasks[1:]):
            number, rows[group.rows[at]] = self._split(number, group.sizes[at])
        if schedule.tasks:
            rows[group.rows[schedule.tasks[0]]] = number
        self._inner_rows(schedule.inner, rows, start, stop)

    def _split(self, number: ir.Value, size: Index) -> tuple[ir.Value, ir.Value]:
        """Return quotient and remainder, unsigned; sizes are positive wherever a task runs."""
        if size == 1:
            return number, ir.Constant(I64, 0)
        by = self.kernel.index(size)
        return self.builder.udiv(number, by), self.builder.urem(number, by)

    def _inner_rows(self, left: Sequence[int], rows: dict[int, ir.Value], start: ir.Value, stop: ir.Value) -> None:
        if left:
            with self.kernel.loop(0, self.kernel.index(self.group.sizes[left[0]])) as loop:
                self._inner_rows(left[1:], {**rows, self.group.rows[left[0]]: loop.index}, start, stop)
            return
        if self.schedule.lane_row is None:
            self._row(rows, None)
            return
        axis = self.group.rows[self.schedule.lane_row]

        def one(lanes: int, index: ir.Value, _: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
            self._row({**rows, axis: index}, lanes)
            return ()

        self._staged(start, stop, self._lane_widths(), one, {})

    def _lane_widths(self) -> tuple[int, ...]:
        """Return the lane counts that the blocks of the lane axis need: for whole blocks and for the last one."""
        lane = self.schedule.lane_row
        assert lane is not None
        size, block = self.group.sizes[lane], self.schedule.block
        if not (isinstance(size, int) and isinstance(block, int)) or size == block:
            return stages(size, self.wide, light=self.light, unroll=self.unroll)
        several = [stages(n, self.wide, light=self.light, unroll=self.unroll) for n in (block, size % block)]
        return tuple(sorted(set(several[0]) | set(several[1]), reverse=True))

    def _staged(
        self,
        start: ir.Value,
        stop: ir.Value,
        widths: Sequence[int],
        body: Callable[[int, ir.Value, tuple[ir.Value, ...]], tuple[ir.Value, ...]],
        carried: dict[int, tuple[ir.Value, ...]],
    ) -> dict[int, tuple[ir.Value, ...]]:
        """Emit a loop by the widest lane count, its remainder by the next, and so on; return the values per width."""
        builder, results, current = self.builder, dict(carried), start
        for position, width in enumerate(widths):
            end = stop
            if width > 1 and position + 1 < len(widths):
                left = builder.and_(builder.sub(stop, current), ir.Constant(I64, -width))
                end = builder.add(current, left)
            with self.kernel.loop(current, end, width, results.get(width, ())) as loop:
                loop.carry(*body(width, loop.index, loop.carried))
            results[width] = loop.results
            current = end
        return results

    def _row(self, rows: Mapping[int, ir.Value], lanes: int | None) -> None:
        """Emit all nests of one row, or of `lanes` rows side by side."""
        lanes = None if lanes == 1 else lanes
        for core in self.group.cores:
            self._reduce(self._point(core, rows, lanes))
        for nest in self.group.stores:
            self._store(self._point(nest, rows, lanes))

    def _point(self, nest: FlatNest, rows: Mapping[int, ir.Value], lanes: int | None) -> Point:
        at = {loop: rows[axis] for loop, axis in enumerate(nest.axes) if axis in rows}
        lane_row = self.schedule.lane_row
        lane = None if lane_row is None or lanes is None else nest.loop_of(self.group.rows[lane_row])
        return Point(nest, at, lane, lanes)

    def _open(self, point: Point, loops: Sequence[int], body: Callable[[Point], None]) -> None:
        """Emit plain loops around `body`."""
        if not loops:
            body(point)
            return
        with self.kernel.loop(0, self.kernel.index(point.nest.sizes[loops[0]])) as loop:
            self._open(replace(point, at={**point.at, loops[0]: loop.index}), loops[1:], body)

    def _reduce(self, point: Point) -> None:
        nest = point.nest
        lane = best_lane(nest, nest.local) if self.schedule.lane_row is None and not any(nest.reduced) else None
        if lane is not None:
            self._fill(point, lane)
            return

        def one(here: Point) -> None:
            value = self._total(here)
            if nest.local:
                self._keep(here, value)
            else:
                self.memory.registers[nest.temporary] = value

        self._open(point, nest.local, one)

    def _fill(self, point: Point, lane: int) -> None:
        """Emit a temporary that is not a reduction but a row of values with several uses."""
        nest = point.nest
        widths = stages(nest.sizes[lane], self.wide, light=self.light, unroll=self.unroll)

        def in_lanes(here: Point) -> None:
            def step(width: int, index: ir.Value, _: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
                place = Point(nest, {**here.at, lane: index}, lane, None if width == 1 else width)
                self._keep(place, self._total(place))
                return ()

            self._staged(ir.Constant(I64, 0), self.kernel.index(nest.sizes[lane]), widths, step, {})

        self._open(point, [k for k in nest.local if k != lane], in_lanes)

    def _keep(self, point: Point, value: ir.Value) -> None:
        """Store a value, or lanes of rows or of the last local dimension, in the buffer of a temporary."""
        nest, builder = point.nest, self.builder
        count, offset = 1, ir.Constant(I64, 0)
        for loop in reversed(nest.local):
            size = nest.sizes[loop]
            assert isinstance(size, int)
            offset = builder.add(offset, builder.mul(point.at[loop], ir.Constant(I64, count)))
            count *= size
        if nest.temporary not in self.memory.buffers:
            most = max(self._lane_widths()) if self.schedule.lane_row is not None else 1
            self.memory.buffers[nest.temporary] = self.kernel.stack(memory_type(nest.element), count * most)
        if self.schedule.lane_row is not None:
            offset = builder.mul(offset, ir.Constant(I64, point.lanes or 1))
        address = self.kernel.element(self.memory.buffers[nest.temporary], offset, memory_type(nest.element))
        store(builder, value, address, nest.element)

    def _total(self, point: Point) -> ir.Value:
        """Return the reduction's value at one point of its parallel loops."""
        nest = point.nest
        combiner = Combiner(self.builder, nest.combiner, nest.element, self.kernel.hardware)
        assert nest.init is not None
        loops = [k for k, reduced in enumerate(nest.reduced) if reduced]
        first = combiner.start(nest.init, point.lanes)
        lane = best_lane(nest, tuple(loops)) if point.lane is None and self.schedule.lane_row is None else None
        if lane is None:
            (total,) = self._reduce_plainly(point, loops, combiner, (first,))
            return combiner.deliver(total)
        widths = stages(nest.sizes[lane], self.wide, light=self.light, unroll=self.unroll)
        start = tuple(combiner.neutral(None if w == 1 else w) for w in widths)
        others = [k for k in loops if k != lane]
        totals = self._reduce_in_lanes(point, others, lane, widths, combiner, start)
        result = totals[0]
        for width, total in zip(widths[1:], totals[1:], strict=True):
            lanes = None if width == 1 else width
            result = combiner.step(combiner.fold(result, lanes), total)
        return combiner.deliver(combiner.step(combiner.fold(result, None), first))

    def _reduce_plainly(
        self, point: Point, loops: Sequence[int], combiner: Combiner, carried: tuple[ir.Value, ...]
    ) -> tuple[ir.Value, ...]:
        if not loops:
            (value,) = self.memory.evaluate(point)
            return (combiner.step(carried[0], combiner.accept(value)),)
        with self.kernel.loop(0, self.kernel.index(point.nest.sizes[loops[0]]), 1, carried) as loop:
            inside = replace(point, at={**point.at, loops[0]: loop.index})
            loop.carry(*self._reduce_plainly(inside, loops[1:], combiner, loop.carried))
        return loop.results

    def _reduce_in_lanes(
        self,
        point: Point,
        loops: Sequence[int],
        lane: int,
        widths: Sequence[int],
        combiner: Combiner,
        carried: tuple[ir.Value, ...],
    ) -> tuple[ir.Value, ...]:
        if loops:
            with self.kernel.loop(0, self.kernel.index(point.nest.sizes[loops[0]]), 1, carried) as loop:
                inside = replace(point, at={**point.at, loops[0]: loop.index})
                loop.carry(*self._reduce_in_lanes(inside, loops[1:], lane, widths, combiner, loop.carried))
            return loop.results

        def step(width: int, index: ir.Value, totals: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
            lanes = None if width == 1 else width
            here = Point(point.nest, {**point.at, lane: index}, lane, lanes)
            (value,) = self.memory.evaluate(here)
            return (combiner.step(totals[0], combiner.accept(value)),)

        size = self.kernel.index(point.nest.sizes[lane])
        each = {width: (value,) for width, value in zip(widths, carried, strict=True)}
        results = self._staged(ir.Constant(I64, 0), size, widths, step, each)
        return tuple(results[width][0] for width in widths)

    def _store(self, point: Point) -> None:
        nest = point.nest
        loops = [k for k in range(len(nest.sizes)) if k not in point.at]
        lane = best_lane(nest, tuple(loops)) if self.schedule.lane_row is None else None

        def write(here: Point) -> None:
            for access, value in zip(nest.writes, self.memory.evaluate(here), strict=True):
                self.memory.write(here, access, value)

        if lane is None:
            self._open(point, loops, write)
            return
        widths = stages(nest.sizes[lane], self.wide, light=self.light, unroll=self.unroll)

        def in_lanes(here: Point) -> None:
            def step(width: int, index: ir.Value, _: tuple[ir.Value, ...]) -> tuple[ir.Value, ...]:
                write(Point(nest, {**here.at, lane: index}, lane, None if width == 1 else width))
                return ()

            self._staged(ir.Constant(I64, 0), self.kernel.index(nest.sizes[lane]), widths, step, {})

        self._open(point, [k for k in loops if k != lane], in_lanes)
