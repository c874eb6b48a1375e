"""Affine maps: evaluated on arrays, and as strides where they are linear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import Array

if TYPE_CHECKING:
    from iree.compiler import ir

Expression = Callable[[Sequence[Any], Sequence[Any]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Σ coefficient · dimension + constant."""

    coefficients: tuple[int, ...]
    """One per dimension."""
    constant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """An affine map."""

    dimensions: int
    results: tuple[Expression, ...]
    """Each from (dimensions, symbols), which may be arrays."""
    linear: tuple[Linear | None, ...]
    """The results that are linear in the dimensions and use no symbols."""

    @property
    def used(self) -> tuple[int, ...]:
        """Return the dimensions that a result depends on; a result that is not linear counts as depending on all."""
        return tuple(
            d for d in range(self.dimensions) if any(line is None or line.coefficients[d] for line in self.linear)
        )

    def single(self) -> tuple[int | None, ...]:
        """Return the dimension that each result is; None for a result that is not a plain dimension."""
        return tuple(_plain(line) for line in self.linear)


def _plain(line: Linear | None) -> int | None:
    if (
        line is None
        or line.constant != 0
        or sum(line.coefficients) != 1
        or sorted(line.coefficients)[:-1] != [0] * (len(line.coefficients) - 1)
    ):
        return None
    return line.coefficients.index(1)


def read_map(map_: ir.AffineMap) -> Map:
    """Return an affine map of the bindings as a `Map`."""
    results = [expression.maybe_downcast() for expression in map_.results]
    return Map(
        dimensions=map_.n_dims,
        results=tuple(_expression(result) for result in results),
        linear=tuple(_linear(result, map_.n_dims) for result in results),
    )


def _expression(expr: Any) -> Expression:
    from iree.compiler import ir

    expr = expr.maybe_downcast()
    if isinstance(expr, ir.AffineConstantExpr):
        constant = int(expr.value)
        return lambda dims, symbols: constant
    if isinstance(expr, ir.AffineDimExpr):
        at = int(expr.position)
        return lambda dims, symbols: dims[at]
    if isinstance(expr, ir.AffineSymbolExpr):
        at = int(expr.position)
        return lambda dims, symbols: symbols[at]
    left, right = _expression(expr.lhs), _expression(expr.rhs)
    operator = _operators()[type(expr)]
    return lambda dims, symbols: operator(left(dims, symbols), right(dims, symbols))


def _operators() -> dict[type, Callable[[Any, Any], Any]]:
    from iree.compiler import ir

    # MLIR: "floordiv, ceildiv and mod round towards negative infinity, positive infinity, and are never negative"
    return {
        ir.AffineAddExpr: lambda a, b: a + b,
        ir.AffineMulExpr: lambda a, b: a * b,
        ir.AffineFloorDivExpr: lambda a, b: a // b,
        ir.AffineCeilDivExpr: lambda a, b: -((-a) // b),
        ir.AffineModExpr: lambda a, b: a % b,
    }


def _linear(expr: Any, count: int) -> Linear | None:
    from iree.compiler import ir

    expr = expr.maybe_downcast()
    if isinstance(expr, ir.AffineConstantExpr):
        return Linear(coefficients=(0,) * count, constant=int(expr.value))
    if isinstance(expr, ir.AffineDimExpr):
        return Linear(coefficients=tuple(int(d == expr.position) for d in range(count)), constant=0)
    if not isinstance(expr, ir.AffineAddExpr | ir.AffineMulExpr):
        return None
    left, right = _linear(expr.lhs, count), _linear(expr.rhs, count)
    if left is None or right is None:
        return None
    if isinstance(expr, ir.AffineAddExpr):
        pairs = zip(left.coefficients, right.coefficients, strict=True)
        return Linear(coefficients=tuple(a + b for a, b in pairs), constant=left.constant + right.constant)
    if any(left.coefficients):
        left, right = right, left
    if any(left.coefficients):
        return None
    scale = left.constant
    return Linear(coefficients=tuple(c * scale for c in right.coefficients), constant=right.constant * scale)


def strided(array: Array, map_: Map, sizes: Sequence[int]) -> Array | None:
    """Return the array as a view over the loops, one axis per dimension (of size 1 where unused); None if not linear.

    `sizes` are the sizes of all dimensions. No element is copied. Raises `IndexError` for a map that leaves the array.
    """
    strides = [0] * map_.dimensions
    for axis, line in enumerate(map_.linear):
        if line is None:
            return None
        reach = [c * (size - 1) for c, size in zip(line.coefficients, sizes, strict=True)]
        low = line.constant + sum(r for r in reach if r < 0)
        high = line.constant + sum(r for r in reach if r > 0)
        if 0 not in sizes and (low < 0 or high >= array.shape[axis]):
            raise IndexError(f"an access to {low}…{high} of an axis of {array.shape[axis]}")
        for d, coefficient in enumerate(line.coefficients):
            strides[d] += coefficient * array.strides[axis]
    used = set(map_.used)
    shape = tuple(size if d in used else 1 for d, size in enumerate(sizes))
    if 0 in shape:
        return np.empty(shape, array.dtype)
    # numpy's own indexing moves to the first element; as_strided then only sets shape and strides
    first = array[tuple(slice(line.constant, None) for line in map_.linear if line is not None)]
    return np.lib.stride_tricks.as_strided(first, shape, strides)


def projection(count: int, picked: Sequence[int]) -> Map:
    """Return the map from `count` dimensions to the `picked` ones."""

    def pick(at: int) -> Expression:
        return lambda dims, symbols: dims[at]

    return Map(
        dimensions=count,
        results=tuple(pick(d) for d in picked),
        linear=tuple(Linear(coefficients=tuple(int(i == d) for i in range(count)), constant=0) for d in picked),
    )


def linearize(coordinates: Sequence[Any], basis: Sequence[Any]) -> Any:
    """Return the row-major position of coordinates; the basis may leave out the size of the outermost dimension."""
    inner = list(basis)[len(basis) - len(coordinates) + 1 :]
    position = coordinates[0]
    for coordinate, size in zip(coordinates[1:], inner, strict=True):
        position = position * size + coordinate
    return position


def delinearize(position: Any, basis: Sequence[Any], count: int) -> list[Any]:
    """Return the coordinates of a row-major position in `count` dimensions, the inverse of `linearize`."""
    found: list[Any] = []
    for size in list(basis)[len(basis) - count + 1 :][::-1]:
        whole = np.maximum(size, 1)  # an empty dimension has no elements to read
        found.append(position % whole)
        position = position // whole
    return [position, *reversed(found)]


def index_function(op: ir.Operation) -> Callable[[Sequence[Any]], list[Any]]:
    """Return a function that evaluates `affine.linearize_index` or `affine.delinearize_index` on its operands."""
    from iree.compiler import ir

    static, marker = [int(n) for n in op.attributes["static_basis"]], ir.ShapedType.get_dynamic_size()
    joins, results = op.name == "affine.linearize_index", len(op.results)
    count = len(op.operands) - static.count(marker) if joins else 1

    def apply(operands: Sequence[Any]) -> list[Any]:
        dynamic = iter(operands[count:])
        basis = [next(dynamic) if n == marker else n for n in static]
        return [linearize(operands[:count], basis)] if joins else delinearize(operands[0], basis, results)

    return apply
