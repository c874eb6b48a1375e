"""Tensor values of a dispatch: evaluated whole, or only at chosen coordinates where the whole would cost too much."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .numbers import Array, Element, Num

WHOLE_LIMIT = 1 << 27
"""Tensors with more elements are never evaluated whole (1 GiB in float64)."""


class Tensor:
    """A lazily evaluated tensor, which caches what it computed."""

    def __init__(self, shape: Sequence[int], element: Element) -> None:
        self.shape = tuple(shape)
        self.element = element
        self._whole: Num | None = None

    @property
    def count(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    def whole(self) -> Num:
        """Return all elements, in `shape`; the caller must not write into the result."""
        if self._whole is None:
            self._whole = self._compute()
        return self._whole

    def at(self, indices: Sequence[Array]) -> Num:
        """Return the elements at these coordinates, which broadcast against each other."""
        if self._whole is None:
            points = math.prod(np.broadcast_shapes(*(np.shape(i) for i in indices)))
            if self.count > WHOLE_LIMIT or points * self.point_work() < self.whole_work():
                return self._compute_at(indices)
        whole = self.whole()
        return whole.map(lambda array: array[tuple(indices)])

    def whole_work(self) -> float:
        """Estimate the scalar operations of `whole`; 0 if the result is cached."""
        return 0.0 if self._whole is not None else self._whole_work()

    def point_work(self) -> float:
        """Estimate the scalar operations of one element."""
        return 1.0 if self._whole is not None else self._point_work()

    def _compute(self) -> Num:
        raise AssertionError(f"{type(self).__name__} knows its elements, or computes them")

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        raise AssertionError(f"{type(self).__name__} does not compute single elements")

    def _whole_work(self) -> float:
        return float(self.count)

    def _point_work(self) -> float:
        return 1.0


class Known(Tensor):
    """A tensor whose elements are computed already."""

    def __init__(self, num: Num, element: Element) -> None:
        super().__init__(num.value.shape, element)
        self._whole = num


class Loaded(Tensor):
    """A view of memory, converted when it is needed."""

    def __init__(self, raw: Array, element: Element, convert: Callable[[Array], Array]) -> None:
        super().__init__(raw.shape, element)
        self._raw, self._convert = raw, convert

    def _compute(self) -> Num:
        return Num(self._convert(self._raw))

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        return Num(self._convert(self._raw[tuple(indices)]))

    def _whole_work(self) -> float:
        return 0.5 * self.count


class Filled(Tensor):
    """A tensor of one repeated scalar."""

    def __init__(self, shape: Sequence[int], element: Element, scalar: Num) -> None:
        super().__init__(shape, element)
        self.scalar = scalar

    def _compute(self) -> Num:
        value = np.broadcast_to(self.scalar.value, self.shape)
        error = None if self.scalar.error is None else np.broadcast_to(self.scalar.error, self.shape)
        return Num(value, error, self.scalar.depth)

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        shape = np.broadcast_shapes(*(np.shape(i) for i in indices))
        return self.scalar.map(lambda array: np.broadcast_to(array.reshape(()), shape))

    def _whole_work(self) -> float:
        return 0.0


class Empty(Filled):
    """A tensor of undefined elements, which may not be read."""

    def __init__(self, shape: Sequence[int], element: Element) -> None:
        nothing = np.zeros((), element.compute)
        super().__init__(shape, element, Num(nothing, np.full((), np.inf)))


class Moved(Tensor):
    """A tensor with the elements of another one at other places (slice, reshape, transpose, cast)."""

    def __init__(
        self,
        source: Tensor,
        shape: Sequence[int],
        *,
        change: Callable[[Array], Array],
        trace: Callable[[Sequence[Array]], Sequence[Array]],
    ) -> None:
        """`change` maps the source's array to ours, `trace` our coordinates to the source's."""
        super().__init__(shape, source.element)
        self.source, self._change, self._trace = source, change, trace

    def _compute(self) -> Num:
        if self.count < self.source.count // 2 and self.source.whole_work() > self.count * self.source.point_work():
            grid = np.ogrid[tuple(slice(size) for size in self.shape)] if self.shape else []
            shaped = self.source.at(self._trace(list(grid)))
            return shaped.map(lambda array: np.broadcast_to(array, self.shape))
        return self.source.whole().map(self._change)

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        return self.source.at(self._trace(indices))

    def _whole_work(self) -> float:
        return min(self.source.whole_work(), self.count * self.source.point_work())

    def _point_work(self) -> float:
        return self.source.point_work()


class Joined(Tensor):
    """Parts placed over a background: pad, insert_slice and concat. Later parts cover earlier ones."""

    def __init__(
        self, background: Tensor, parts: Sequence[tuple[Tensor, Sequence[int], Sequence[int]]], element: Element
    ) -> None:
        """Each part with its offsets and strides; its rank is that of the background."""
        super().__init__(background.shape, element)
        self.background, self.parts = background, tuple(parts)

    def _compute(self) -> Num:
        under = self.background.whole()
        value = under.value.astype(self.element.compute, copy=True)
        error: Array | None = None
        depth = under.depth
        tops = [part.whole() for part, _, _ in self.parts]
        if under.error is not None or any(top.error is not None for top in tops):
            error = np.broadcast_to(under.errors(), self.shape).copy()
        for top, (part, offsets, strides) in zip(tops, self.parts, strict=True):
            place = tuple(
                slice(o, o + (n - 1) * s + 1, s) if n else slice(0, 0)
                for o, s, n in zip(offsets, strides, part.shape, strict=True)
            )
            value[place] = top.value
            if error is not None:
                error[place] = np.broadcast_to(top.errors(), part.shape) if top.error is not None else 0.0
            depth = max(depth, top.depth)
        return Num(value, error, depth)

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        found = self.background.at(indices)
        shape = np.broadcast_shapes(*(np.shape(i) for i in indices))
        value, error = np.broadcast_to(found.value, shape), np.broadcast_to(found.errors(), shape)
        depth = found.depth
        for part, offsets, strides in self.parts:
            inside = np.ones(shape, bool)
            local = []
            for index, o, s, n in zip(indices, offsets, strides, part.shape, strict=True):
                step = (index - o) // s
                inside &= (step >= 0) & (step < n) & ((index - o) % s == 0)
                local.append(np.clip(step, 0, max(n - 1, 0)))
            if not inside.any():
                continue
            top = part.at(local)
            value = np.where(inside, top.value, value)
            error = np.where(inside, top.errors(), error)
            depth = max(depth, top.depth)
        return Num(value, error, depth)

    def _whole_work(self) -> float:
        return self.count + self.background.whole_work() + sum(part.whole_work() for part, _, _ in self.parts)

    def _point_work(self) -> float:
        return self.background.point_work() + sum(part.point_work() + 4 for part, _, _ in self.parts)


class Eager(Tensor):
    """A result of an operation that can only be computed whole."""

    def __init__(self, shape: Sequence[int], element: Element, compute: Callable[[], Num], work: float) -> None:
        super().__init__(shape, element)
        self._function, self._work = compute, work

    def _compute(self) -> Num:
        return self._function()

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        return self.whole().map(lambda array: array[tuple(indices)])

    def _whole_work(self) -> float:
        return self._work

    def _point_work(self) -> float:
        return np.inf


def sliced(
    source: Tensor, offsets: Sequence[int], sizes: Sequence[int], strides: Sequence[int], kept: Sequence[int]
) -> Tensor:
    """Return a slice with only the dimensions `kept`; the others have size 1. Raises `IndexError`."""
    for o, n, s, whole in zip(offsets, sizes, strides, source.shape, strict=True):
        if n and (o < 0 or o + (n - 1) * s >= whole):
            raise IndexError(f"a slice {o}, {n}, {s} of an axis of {whole}")
    place = tuple(
        slice(o, o + (n - 1) * s + 1, s) if n else slice(0, 0) for o, n, s in zip(offsets, sizes, strides, strict=True)
    )
    shape = tuple(sizes[d] for d in kept)

    def trace(indices: Sequence[Array]) -> Sequence[Array]:
        full: list[Array] = [np.zeros((), np.int64)] * len(sizes)
        for at, index in zip(kept, indices, strict=True):
            full[at] = index
        return [index * s + o for index, s, o in zip(full, strides, offsets, strict=True)]

    return Moved(source, shape, change=lambda array: array[place].reshape(shape), trace=trace)


def kept_dimensions(sizes: Sequence[int], shape: Sequence[int]) -> list[int]:
    """Return the dimensions of a slice that its result keeps; those left out have size 1."""
    kept: list[int] = []
    for d, size in enumerate(sizes):
        wanted = list(shape[len(kept) :])
        # a size of 1 may be kept or left out where the next is 1 too: both give the same result
        if wanted and size == wanted[0] and (size != 1 or _can_keep(sizes[d + 1 :], wanted[1:])):
            kept.append(d)
    return kept


def _can_keep(sizes: Sequence[int], shape: Sequence[int]) -> bool:
    """Return whether the shape is these sizes with some 1s left out."""
    return [n for n in sizes if n != 1] == [n for n in shape if n != 1] and len(sizes) >= len(shape)


def reshaped(source: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the same elements in row-major order in another shape."""
    shape = tuple(shape)

    def trace(indices: Sequence[Array]) -> Sequence[Array]:
        flat = np.zeros((), np.int64)
        for index, size in zip(indices, shape, strict=True):
            flat = flat * size + index
        found: list[Array] = []
        for size in reversed(source.shape):
            found.append(flat % max(size, 1))
            flat = flat // max(size, 1)
        return found[::-1]

    return Moved(source, shape, change=lambda array: np.ascontiguousarray(array).reshape(shape), trace=trace)
