"""Loop nests (`linalg.generic` and every named operation that has a region): elementwise, reductions, contractions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .affine import Map, strided
from .body import Body
from .contraction import contract
from .exact import started
from .numbers import Arithmetic, Array, Element, Num
from .reduction import COMBINERS, Combined, combine, find_product, fold
from .tensors import Tensor
from .unsupported import Unsupported

BLOCK = 1 << 17
"""Points of the iteration space that are evaluated at once: temporaries stay in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A block of the iteration space: some outer axes, then one axis per reduction dimension."""

    outer: int
    arguments: tuple[Num, ...]
    """The operands on the block, broadcastable."""
    dimensions: tuple[Array, ...]
    """The loop indices, broadcastable."""
    shape: tuple[int, ...]

    def point(self, index: tuple[int, ...]) -> Frame:
        """Return the frame at one point of the reduction dimensions."""

        def pick(array: Array) -> Array:
            array = np.asarray(array)
            if array.ndim == 0:
                return array
            at = tuple(i if array.shape[self.outer + n] > 1 else 0 for n, i in enumerate(index))
            return np.asarray(array[(slice(None),) * self.outer + at])

        arguments = tuple(
            Num(pick(n.value), None if n.error is None else pick(np.broadcast_to(n.error, n.value.shape)), n.depth)
            for n in self.arguments
        )
        dimensions = tuple(pick(d) for d in self.dimensions)
        return Frame(outer=self.outer, arguments=arguments, dimensions=dimensions, shape=self.shape[: self.outer])


class Nest:
    """One operation over an iteration space. Its results are computed together and cached."""

    def __init__(
        self, how: Arithmetic, body: Body, operands: Sequence[Tensor], maps: Sequence[Map], outputs: int
    ) -> None:
        """`operands` are the inputs, then the `outputs` initial values. Raises `Unsupported`."""
        self.how, self.body, self.operands, self.maps, self.outputs = how, body, tuple(operands), tuple(maps), outputs
        self.sizes = _sizes(self.operands, self.maps)
        targets = self.maps[len(self.maps) - outputs :]
        self.targets = tuple(_target(map_) for map_ in targets)
        used = {frozenset(d for d in target if d is not None) for target in self.targets}
        if len(used) != 1:
            raise Unsupported("an operation whose results have different loops")
        (parallel,) = used
        self.parallel = tuple(d for d in range(len(self.sizes)) if d in parallel)
        self.reduced = tuple(d for d in range(len(self.sizes)) if d not in parallel)
        self._values: list[Num] | None = None
        self._combined = self._find_combined()

    def element(self, result: int) -> Element:
        """Return the element type of a result."""
        return self.operands[len(self.operands) - self.outputs + result].element

    def shape(self, result: int) -> tuple[int, ...]:
        """Return the shape of a result."""
        return self.operands[len(self.operands) - self.outputs + result].shape

    def work(self) -> float:
        """Estimate the scalar operations of the whole nest, without those of its operands."""
        points = float(math.prod(self.sizes))
        if self._product() is not None:
            return points * 0.3  # a contraction runs through BLAS
        return points * self.point_cost()

    def point_cost(self) -> float:
        """Estimate the scalar operations of one point of the iteration space."""
        return 1.0 + len(self.body.names) + sum(1 for n in self.body.names if n.startswith("math.")) * 8

    def reduction_size(self) -> int:
        """Return the number of points per result element."""
        return math.prod(self.sizes[d] for d in self.reduced)

    def _read_operands(self) -> list[int]:
        """Return the positions of the operands whose elements the region reads."""
        return sorted(at for r in self.body.results for at in self.body.needs(r) if at < len(self.operands))

    def _find_combined(self) -> Combined | None:
        if self.outputs != 1 or not self.reduced:
            return None
        return combine(self.body, len(self.operands) - 1)

    def _product(self) -> tuple[Body, Body] | None:
        if self._combined is None or not self.reduced:
            return None
        return find_product(self.body, self._combined)

    def whole(self) -> list[Num]:
        """Return all results."""
        if self._values is None:
            self._values = self._contraction() or self._blocks()
        return self._values

    def _contraction(self) -> list[Num] | None:
        product, combined = self._product(), self._combined
        if product is None or combined is None:
            return None
        sides = []
        for side in product:
            used = sorted(at for at in side.needs(side.results[0]) if at < len(self.operands))
            if "linalg.index" in side.names or "tensor.extract" in side.names or not used:
                return None
            sides.append((side, used, {d for at in used for d in self.maps[at].used}))
        left, right = sides[0][2], sides[1][2]
        rows = math.prod(self.sizes[d] for d in left - right if d in self.parallel)
        columns = math.prod(self.sizes[d] for d in right - left if d in self.parallel)
        if rows < 2 or columns < 2:
            return None  # no element is used twice: the contraction is no faster than the general evaluation
        factors = [self._side(side, used) for side, used, _ in sides]
        if any(f is None for f in factors):
            return None
        initial = self._view(len(self.operands) - 1)
        found = contract(
            started(self.how, initial, self.element(0)),
            self.element(0),
            combined,
            factors[0],
            factors[1],
            sizes=self.sizes,
            parallel=self.parallel,
            reduced=self.reduced,
            left=left,
            right=right,
        )
        if found is None:
            return None
        return [self._shaped(fold(self.how, self.element(0), combined.name, initial, found), 0)]

    def _side(self, side: Body, used: Sequence[int]) -> Num | None:
        arguments = [Num(np.zeros((1,) * len(self.sizes)))] * len(self.operands)
        for at in used:
            view = self._strided(at)
            if view is None:
                return None
            arguments[at] = view
        if not side.names:
            return arguments[side.results[0]]
        (found,) = side.run(arguments, ())
        return found

    def _strided(self, at: int) -> Num | None:
        """Return an operand seen from the loops, in the order of dimensions; None if its map is not linear."""
        whole = self.operands[at].whole()
        value = strided(whole.value, self.maps[at], self.sizes)
        if value is None:
            return None
        error = None
        if whole.error is not None:
            error = strided(np.broadcast_to(whole.error, whole.value.shape), self.maps[at], self.sizes)
        return Num(value, error, whole.depth)

    def _view(self, at: int) -> Num:
        """Return an initial value over the parallel dimensions, in their order."""
        view = self._strided(at)
        assert view is not None, "an output's map is linear"
        return view.map(lambda a: a.reshape([a.shape[d] for d in self.parallel]))

    def _shaped(self, num: Num, result: int) -> Num:
        """Return a result, given in the order of the parallel dimensions, in its own order of dimensions."""
        target = [d for d in self.targets[result] if d is not None]
        order = [self.parallel.index(d) for d in target]
        sizes = tuple(self.sizes[d] for d in self.parallel)
        shape = self.shape(result)

        def change(array: Array) -> Array:
            return np.broadcast_to(array, sizes).transpose(order).reshape(shape)

        return Num(change(num.value), None if num.error is None else change(num.error), num.depth)

    def _blocks(self) -> list[Num]:
        order = (*self.parallel, *self.reduced)
        sizes = tuple(self.sizes[d] for d in self.parallel)
        views = {at: self._ordered(at, order) for at in self._read_operands()}
        values = [np.empty(sizes, self.element(r).compute) for r in range(self.outputs)]
        errors: list[Array | None] = [None] * self.outputs
        depth = 1
        for block in blocks(sizes, max(1, BLOCK // max(1, self.reduction_size()))):
            frame = self._frame(views, order, block)
            for r, num in enumerate(self._evaluate(frame)):
                values[r][block] = num.value
                if num.error is not None:
                    kept = errors[r]
                    if kept is None:
                        kept = errors[r] = np.zeros(sizes)
                    same = num.error.size == num.value.size  # (else it varies along fewer axes than the value)
                    shape = num.value.shape
                    kept[block] = num.error.reshape(shape) if same else np.broadcast_to(num.error, shape)
                depth = max(depth, num.depth)
        return [self._shaped(Num(values[r], errors[r], depth), r) for r in range(self.outputs)]

    def _ordered(self, at: int, order: tuple[int, ...]) -> Num | None:
        view = self._strided(at)
        return None if view is None else view.map(lambda a: a.transpose(order))

    def _frame(self, views: dict[int, Num | None], order: tuple[int, ...], block: tuple[slice, ...]) -> Frame:
        outer = len(self.parallel)
        starts = [s.start for s in block] + [0] * len(self.reduced)
        stops = [s.stop for s in block] + [self.sizes[d] for d in self.reduced]
        shape = tuple(b - a for a, b in zip(starts, stops, strict=True))
        grid: list[Array] = [np.zeros(())] * len(order)
        for axis, d in enumerate(order):
            places = [1] * len(order)
            places[axis] = shape[axis]
            grid[d] = np.arange(starts[axis], stops[axis], dtype=np.int64).reshape(places)
        arguments = [_UNREAD] * len(self.operands)
        for at, view in views.items():
            if view is None:
                arguments[at] = self.operands[at].at([np.asarray(r(grid, ())) for r in self.maps[at].results])
            else:
                arguments[at] = view.map(lambda a: a[_cut(a, block)])
        return Frame(outer=outer, arguments=tuple(arguments), dimensions=tuple(grid), shape=shape)

    def at(self, result: int, indices: Sequence[Array]) -> Num:
        """Return a result at some coordinates only."""
        arrays = np.broadcast_arrays(*[np.asarray(i, np.int64) for i in indices]) if indices else []
        shape = arrays[0].shape if arrays else ()
        flat = [a.ravel() for a in arrays]
        count = math.prod(shape)
        step = max(1, BLOCK // max(1, self.reduction_size()))
        parts = [self._points(result, [a[i : i + step] for a in flat]) for i in range(0, count, step)]
        if not parts:
            return Num(np.zeros(shape, self.element(result).compute))
        value = np.concatenate([p.value for p in parts]).reshape(shape)
        if all(p.error is None for p in parts):
            return Num(value, None, parts[0].depth)
        error = np.concatenate([p.full_errors() for p in parts]).reshape(shape)
        return Num(value, error, parts[0].depth)

    def _points(self, result: int, indices: Sequence[Array]) -> Num:
        count = len(indices[0]) if indices else 1
        axes = 1 + len(self.reduced)
        grid: list[Array] = [np.zeros((1,) * axes, np.int64)] * len(self.sizes)
        for d, index in zip(self.targets[result], indices, strict=True):
            if d is not None:
                grid[d] = index.reshape((-1,) + (1,) * len(self.reduced))
        for axis, d in enumerate(self.reduced):
            places = [1] * axes
            places[1 + axis] = self.sizes[d]
            grid[d] = np.arange(self.sizes[d], dtype=np.int64).reshape(places)
        arguments = [_UNREAD] * len(self.operands)
        for at in self._read_operands():
            where = [np.asarray(r(grid, ()), np.int64) for r in self.maps[at].results]
            found = self.operands[at].at(where)
            arguments[at] = (
                found.map(lambda a: a.reshape((1,) * (axes - a.ndim) + a.shape)) if found.value.ndim < axes else found
            )
        shape = (count, *(self.sizes[d] for d in self.reduced))
        frame = Frame(outer=1, arguments=tuple(arguments), dimensions=tuple(grid), shape=shape)
        num = self._evaluate(frame)[result]
        return Num(
            np.broadcast_to(num.value, (count,)),
            None if num.error is None else np.broadcast_to(num.error, (count,)),
            num.depth,
        )

    def _evaluate(self, frame: Frame) -> list[Num]:
        """Return the results on a block, over its outer axes."""
        if not self.reduced:
            return self.body.run(frame.arguments, frame.dimensions)
        if self._combined is not None:
            return [self._combine(frame, self._combined)]
        outer = frame.shape[: frame.outer]
        initial = frame.arguments[len(self.operands) - self.outputs :]
        first = Frame(outer=frame.outer, arguments=initial, dimensions=(), shape=frame.shape)
        running = list(first.point((0,) * len(self.reduced)).arguments)
        running = [Num(np.broadcast_to(n.value, outer), n.error, n.depth) for n in running]
        for index in np.ndindex(*frame.shape[frame.outer :]):
            here = frame.point(index)
            arguments = [*here.arguments[: len(self.operands) - self.outputs], *running]
            running = self.body.run(arguments, here.dimensions)
        return running

    def _combine(self, frame: Frame, combined: Combined) -> Num:
        (terms,) = combined.term.run(frame.arguments, frame.dimensions)
        axes = tuple(range(frame.outer, len(frame.shape)))
        terms = self.how.taken(terms, self.element(0))
        initial = frame.arguments[len(self.operands) - 1].map(
            lambda a: a.reshape(a.shape[: frame.outer]) if a.ndim else a
        )
        how = started(self.how, initial, self.element(0))
        total = COMBINERS[combined.name](how, self.element(0), terms, frame.shape, axes)
        return fold(self.how, self.element(0), combined.name, initial, total)


_UNREAD = Num(np.zeros(()))


class NestResult(Tensor):
    """One result of a nest."""

    def __init__(self, nest: Nest, result: int) -> None:
        super().__init__(nest.shape(result), nest.element(result))
        self.nest, self.result = nest, result

    def _compute(self) -> Num:
        return self.nest.whole()[self.result]

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        return self.nest.at(self.result, indices)

    def _whole_work(self) -> float:
        nest = self.nest
        return nest.work() + sum(nest.operands[at].whole_work() for at in nest._read_operands())

    def _point_work(self) -> float:
        nest = self.nest
        inner = sum(nest.operands[at].point_work() for at in nest._read_operands())
        return nest.reduction_size() * (nest.point_cost() + inner)


def _sizes(operands: Sequence[Tensor], maps: Sequence[Map]) -> tuple[int, ...]:
    sizes: list[int | None] = [None] * maps[0].dimensions
    for operand, map_ in zip(operands, maps, strict=True):
        for size, d in zip(operand.shape, map_.single(), strict=True):
            if d is not None:
                sizes[d] = size
    if None in sizes:
        raise Unsupported("a loop whose size no operand gives")
    return tuple(size for size in sizes if size is not None)


def _target(map_: Map) -> tuple[int | None, ...]:
    """Return the dimension that each axis of a result is; None for the constant 0."""
    found = map_.single()
    for d, line in zip(found, map_.linear, strict=True):
        if d is None and (line is None or any(line.coefficients) or line.constant):
            raise Unsupported("an output with computed coordinates")
    return found


def _cut(array: Array, block: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(s if array.shape[axis] > 1 else slice(None) for axis, s in enumerate(block))


def blocks(sizes: Sequence[int], limit: int) -> Iterator[tuple[slice, ...]]:
    """Cut an index space into boxes of at most `limit` points (at least one)."""
    inner, split = 1, len(sizes)
    while split > 0 and inner * sizes[split - 1] <= limit:
        split -= 1
        inner *= sizes[split]
    if 0 in sizes:
        return
    full = tuple(slice(0, size) for size in sizes[split:])
    if split == 0:
        yield full
        return
    step = max(1, limit // inner)
    for index in np.ndindex(*sizes[: split - 1]):
        for start in range(0, sizes[split - 1], step):
            cut = slice(start, min(start + step, sizes[split - 1]))
            yield (*(slice(i, i + 1) for i in index), cut, *full)
