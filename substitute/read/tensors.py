"""Tensor values of a body: objects that yield the scalar at given coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..model.dispatch import Linear, TensorType, View
from ..model.index import Index, add, mul
from ..model.nest import NestBuilder, constant, plus, times
from .unread import Unread


class Tensor(Protocol):
    """A tensor value."""

    @property
    def type(self) -> TensorType:
        """Sizes and element type."""
        ...

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Return the scalar node of the element at these coordinates. Raises `Unread` if it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A window of an operand."""

    view: View

    @property
    def type(self) -> TensorType:
        """The window's type."""
        return self.view.type

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Return a read."""
        return nest.read(self.view, at, self.view.type)


@dataclass(frozen=True, slots=True)
class Splat:
    """One repeated scalar: `linalg.fill` and splat constants."""

    type: TensorType
    scalar: Callable[[NestBuilder], int]
    """Function that creates the scalar's node."""
    constant: int | float | None
    """Its value, if it is known now."""

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Return the scalar."""
        return self.scalar(nest)


@dataclass(frozen=True, slots=True)
class Empty:
    """`tensor.empty`: only its type is used."""

    type: TensorType

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Raise an error: the program reads an undefined element."""
        raise Unread("a read of tensor.empty")


@dataclass(frozen=True, slots=True)
class Computed:
    """An element-wise result, inlined where it is read."""

    type: TensorType
    body: Callable[[tuple[Linear, ...], NestBuilder], int]
    """Function that creates the scalar for the loops' coordinates."""
    loop_of_dim: tuple[int | None, ...]
    """Loop that runs along each dimension (None: the dimension has size one)."""
    loops: int

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Return the body, at the loops that reach this element."""
        coordinates = [constant(0)] * self.loops
        for dim, number in enumerate(self.loop_of_dim):
            if number is not None:
                coordinates[number] = at[dim]
        return self.body(tuple(coordinates), nest)


@dataclass(frozen=True, slots=True)
class Temporary:
    """The result of a core."""

    type: TensorType
    number: int
    kept: tuple[int, ...]
    """The dimensions of the temporary: those whose size is not one."""
    combine: Callable[[int, tuple[Linear, ...], NestBuilder], int] | None = None
    """Combines the reduction's initial value, if that is not a constant."""

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Return a read of the temporary."""
        type_ = TensorType(shape=tuple(self.type.shape[d] for d in self.kept), element=self.type.element)
        node = nest.read(self.number, tuple(at[d] for d in self.kept), type_)
        return self.combine(node, at, nest) if self.combine else node


@dataclass(frozen=True, slots=True)
class Sliced:
    """`tensor.extract_slice`."""

    source: Tensor
    type: TensorType
    offsets: tuple[Index, ...]
    strides: tuple[Index, ...]
    kept: tuple[int, ...]
    """Source dimension of each dimension."""

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Return the source's element."""
        source_at = [constant(o) for o in self.offsets]
        for dim, source_dim in enumerate(self.kept):
            source_at[source_dim] = plus(source_at[source_dim], times(at[dim], self.strides[source_dim]))
        return self.source.element(tuple(source_at), nest)


@dataclass(frozen=True, slots=True)
class Flattened:
    """`tensor.expand_shape`: several dimensions that are one of the source's."""

    source: Tensor
    type: TensorType
    groups: tuple[tuple[int, ...], ...]
    """Dimensions that each dimension of the source was split into."""

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Return the source's element."""
        source_at = []
        for group in self.groups:
            value = constant(0)
            for dim in group:
                value = plus(times(value, self.type.shape[dim]), at[dim])
            source_at.append(value)
        return self.source.element(tuple(source_at), nest)


@dataclass(frozen=True, slots=True)
class Collapsed:
    """`tensor.collapse_shape` of a computed tensor, which can be stored dimension by dimension of its source."""

    source: Tensor
    type: TensorType
    groups: tuple[tuple[int, ...], ...]

    def element(self, at: tuple[Linear, ...], nest: NestBuilder) -> int:
        """Raise an error: the coordinates in the source would be quotients."""
        raise Unread("tensor.collapse_shape of a computed tensor")

    def expanded(self, view: View) -> View:
        """Return a window of this tensor's shape as one of its source's shape."""
        strides: list[Index] = [0] * len(self.source.type.shape)
        for group, stride in zip(self.groups, view.strides, strict=True):
            step = stride
            for dim in reversed(group):
                strides[dim] = step
                step = mul(step, self.source.type.shape[dim])
        return View(operand=view.operand, type=self.source.type, offset=view.offset, strides=tuple(strides))


def collapse(source: Tensor, type_: TensorType, groups: tuple[tuple[int, ...], ...]) -> Tensor:
    """Return a `tensor.collapse_shape`. Raises `Unread` for a window with gaps."""
    if isinstance(source, Splat):
        return Splat(type_, source.scalar, source.constant)
    if isinstance(source, Empty):
        return Empty(type_)
    if all(sum(source.type.shape[d] != 1 for d in group) <= 1 for group in groups):
        moving = [next((d for d in group if source.type.shape[d] != 1), None) for group in groups]

        def pick(at: tuple[Linear, ...], nest: NestBuilder) -> int:
            source_at = [constant(0)] * len(source.type.shape)
            for coordinate, dim in zip(at, moving, strict=True):
                if dim is not None:
                    source_at[dim] = coordinate
            return source.element(tuple(source_at), nest)

        return Computed(type_, pick, tuple(range(len(groups))), len(groups))
    if isinstance(source, Loaded):
        return Loaded(_collapse_view(source.view, type_, groups))
    return Collapsed(source, type_, groups)


def _collapse_view(view: View, type_: TensorType, groups: tuple[tuple[int, ...], ...]) -> View:
    strides: list[Index] = []
    for group in groups:
        moving = [d for d in group if view.type.shape[d] != 1]
        for outer, inner in itertools.pairwise(moving):
            if view.strides[outer] != mul(view.strides[inner], view.type.shape[inner]):
                raise Unread("tensor.collapse_shape of a window that is not contiguous")
        strides.append(view.strides[moving[-1]] if moving else 1)
    return View(operand=view.operand, type=type_, offset=view.offset, strides=tuple(strides))


def slice_view(
    view: View, type_: TensorType, offsets: tuple[Index, ...], strides: tuple[Index, ...], kept: tuple[int, ...]
) -> View:
    """Return the window of a (rank-reducing) slice of a window."""
    start = view.offset
    for offset, stride in zip(offsets, view.strides, strict=True):
        start = add(start, mul(offset, stride))
    return View(
        operand=view.operand,
        type=type_,
        offset=start,
        strides=tuple(mul(view.strides[d], strides[d]) for d in kept),
    )


def row_major(shape: tuple[Index, ...]) -> tuple[Index, ...]:
    """Return the strides of a contiguous tensor, in elements."""
    strides: list[Index] = []
    step: Index = 1
    for size in reversed(shape):
        strides.append(step)
        step = mul(size, step)
    return tuple(reversed(strides))


def identity(shape: tuple[Index, ...]) -> tuple[Linear, ...]:
    """Return one loop per dimension, none for those of size one."""
    coordinates: list[Linear] = []
    for size in shape:
        coordinates.append(constant(0) if size == 1 else Linear(terms=((_moving(coordinates), 1),)))
    return tuple(coordinates)


def _moving(coordinates: list[Linear]) -> int:
    return sum(1 for c in coordinates if c.terms)
