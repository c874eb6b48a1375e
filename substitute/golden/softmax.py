"""`linalg.softmax`: normalised rows of another tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .nests import BLOCK, blocks
from .numbers import Arithmetic, Array, Element, Num
from .reduction import COMBINERS
from .rules import RULES, Scalar
from .tensors import Tensor


class Softmax(Tensor):
    """exp(x − max x) ÷ Σ exp(x − max x) along one axis."""

    def __init__(self, how: Arithmetic, source: Tensor, axis: int, element: Element, *, masked: bool = False) -> None:
        """With `masked`, rows that are −∞ throughout have an infinite error: implementations treat them differently."""
        super().__init__(source.shape, element)
        self._how, self.source, self.axis, self._masked = how, source, axis, masked

    def _compute(self) -> Num:
        x = self.source.whole()
        value = np.empty(self.shape)
        error = np.empty(self.shape) if self._how.bounds else None
        others = [size for d, size in enumerate(self.shape) if d != self.axis]
        for block in blocks(others, max(1, BLOCK // max(1, self.shape[self.axis]))):
            place = (*block[: self.axis], slice(None), *block[self.axis :])
            part = self._rows(x.map(lambda a, place=place: a[place]), self.axis)
            value[place] = part.value
            if error is not None:
                error[place] = part.errors()
        return Num(value, error, max(x.depth, self.shape[self.axis]))

    def _compute_at(self, indices: Sequence[Array]) -> Num:
        flat = [a.ravel() for a in np.broadcast_arrays(*indices)]
        shape = np.broadcast_shapes(*(np.shape(i) for i in indices))
        length = self.shape[self.axis]
        step = max(1, BLOCK // max(1, length))
        values, errors = [], []
        for start in range(0, math.prod(shape), step):
            rows = [a[start : start + step, None] for a in flat]
            picked = rows[self.axis]
            rows[self.axis] = np.arange(length)[None, :]
            part = self._rows(self.source.at(rows), 1)
            values.append(np.take_along_axis(part.value, picked, 1)[:, 0])
            errors.append(np.take_along_axis(part.full_errors(), picked, 1)[:, 0])
        value = np.concatenate(values).reshape(shape)
        return Num(value, np.concatenate(errors).reshape(shape) if self._how.bounds else None, length)

    def _rows(self, x: Num, axis: int) -> Num:
        found = normalised(self._how, self.element, x, axis)
        if not self._masked or not self._how.bounds:
            return found
        hidden = np.all(np.isneginf(x.value), axis=axis, keepdims=True)
        return Num(found.value, np.where(hidden, np.inf, found.errors()), found.depth)

    def _whole_work(self) -> float:
        return 16.0 * self.count + self.source.whole_work()

    def _point_work(self) -> float:
        return self.shape[self.axis] * (16.0 + self.source.point_work())


def normalised(how: Arithmetic, element: Element, x: Num, axis: int) -> Num:
    """Return the softmax of an array along an axis."""
    binary = Scalar(operands=(element, element), result=element)
    unary = Scalar(operands=(element,), result=element)
    shape = x.value.shape
    if 0 in shape:
        return x

    def wide(num: Num) -> Num:
        return num.map(lambda a: np.expand_dims(a, axis))

    with np.errstate(all="ignore"):
        # the same number is subtracted from all elements: its error cancels
        top = Num(np.max(x.value, axis=axis, keepdims=True))
        powers = RULES["math.exp"](how, unary, [RULES["arith.subf"](how, binary, [x, top])])
        total = COMBINERS["arith.addf"](how, element, powers, shape, (axis,))
        return RULES["arith.divf"](how, binary, [powers, wide(total)])
