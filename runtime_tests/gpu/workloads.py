"""Timed problems, each with its inputs and expected results: only NumPy, no compiler.

They are large, so that results are compared in some rows only, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ROWS = 16
"""Number of rows that are compared."""
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A computation at one size. Operands are `inputs` in order and then one result, each [rows, columns]."""

    name: str
    kind: str
    """`matmul`, `softmax` or `rms_norm`."""
    rows: int
    columns: int
    """Columns of the result."""
    kernels: tuple[str, ...]
    """Folders of `ptx_blobs`, the first that the device takes before the next."""
    depth: int = 0
    """Length of a matrix multiply's sums."""

    @property
    def element(self) -> np.dtype[Any]:
        """Type of all operands: bf16 for products, f32 for memory-bound problems."""
        if self.kind != "matmul":
            return np.dtype(np.float32)
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the inputs."""
        whole = (self.rows, self.columns)
        return {
            "matmul": ((self.rows, self.depth), (self.depth, self.columns)),
            "softmax": (whole,),
            "rms_norm": (whole, (self.columns,)),
        }[self.kind]

    @property
    def result_bytes(self) -> int:
        """Size of the result."""
        return self.rows * self.columns * self.element.itemsize

    @property
    def moved_bytes(self) -> int:
        """Least number of bytes that have to be read and written."""
        inputs = sum(int(np.prod(shape)) for shape in self.shapes) * self.element.itemsize
        return inputs + self.result_bytes

    @property
    def operations(self) -> int:
        """Multiplications and additions; 0 for what memory bounds."""
        return 2 * self.rows * self.columns * self.depth


_BF16 = ("matmul_bf16_sm90a", "matmul_bf16")
PROBLEMS = (
    Problem(name="matmul_bf16_4096", kind="matmul", rows=4096, columns=4096, depth=4096, kernels=_BF16),
    Problem(name="matmul_bf16_8192", kind="matmul", rows=8192, columns=8192, depth=8192, kernels=_BF16),
    Problem(name="softmax_f32", kind="softmax", rows=16384, columns=4096, kernels=("softmax",)),
    Problem(name="rms_norm_f32", kind="rms_norm", rows=16384, columns=4096, kernels=("rms_norm",)),
)
"""Problems of the goals: 90 % of cuBLAS, and 90 % of the bandwidth of a copy."""


def draw(problem: Problem) -> tuple[Array, ...]:
    """Normal numbers, always the same; infinities nowhere."""
    random = np.random.default_rng(_SEED)
    return tuple(random.standard_normal(s, dtype=np.float32).astype(problem.element) for s in problem.shapes)


def checked_rows(problem: Problem) -> NDArray[np.int64]:
    """The rows that are compared: the first, the last, and others, always the same."""
    random = np.random.default_rng(_SEED + 1)
    others = random.choice(problem.rows, size=min(ROWS, problem.rows), replace=False)
    return np.unique(np.concatenate([others, [0, problem.rows - 1]]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Expected values of some rows of the result, [len(rows), columns] in float64."""

    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    allowed: NDArray[np.float64]
    """Allowed error of each element."""

    def worst(self, found: Array) -> float:
        """Largest |error| ÷ allowed of the same rows of a result; infinite where one is not a number."""
        with np.errstate(invalid="ignore", over="ignore"):
            share = np.abs(found.astype(np.float64) - self.values) / self.allowed
        return float(np.where(np.isfinite(share), share, np.inf).max(initial=0.0))


def golden(problem: Problem, inputs: Sequence[Array]) -> Golden:
    """Worked out in float64, with what rounding in f32 and to the type of the result may add."""
    rows = checked_rows(problem)
    values, allowed = _GOLDENS[problem.kind](problem, [np.asarray(i) for i in inputs], rows)
    return Golden(rows=rows, values=values, allowed=allowed)


_ROUNDING, _BF16_ROUNDING = 2.0**-24, 2.0**-8
_Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def _matmul(problem: Problem, inputs: Sequence[Array], rows: NDArray[np.int64]) -> _Pair:
    """Sums in f32: 8 · √K · 2⁻²⁴ · Σ|a||b| (roundings that do not all go one way), then a rounding to bf16.

    The bound that always holds, with K for 8 · √K, would let a product be lost at these depths.
    """
    a, b = inputs[0][rows].astype(np.float64), inputs[1].astype(np.float64)
    values = a @ b
    sums = 8 * problem.depth**0.5 * _ROUNDING * (np.abs(a) @ np.abs(b))
    return values, sums + (np.abs(values) + sums) * _BF16_ROUNDING


def _softmax(problem: Problem, inputs: Sequence[Array], rows: NDArray[np.int64]) -> _Pair:
    """Relative: of x − max, which the exponential makes a share; of the sum by its length; of `ex2.approx`."""
    x = inputs[0][rows].astype(np.float64)
    low = x - x.max(axis=1, keepdims=True)
    powers = np.exp(low)
    values = powers / powers.sum(axis=1, keepdims=True)
    return values, values * _ROUNDING * (8 + 4 * np.abs(low) + problem.columns) + np.finfo(np.float32).tiny


def _rms_norm(problem: Problem, inputs: Sequence[Array], rows: NDArray[np.int64]) -> _Pair:
    """Relative: the sum of squares by its length, halved by the root, and some operations."""
    x, w = inputs[0][rows].astype(np.float64), inputs[1].astype(np.float64)
    values = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6) * w
    return values, np.abs(values) * _ROUNDING * (8 + problem.columns / 2) + np.finfo(np.float32).tiny


_GOLDENS: Mapping[str, Callable[[Problem, Sequence[Array], NDArray[np.int64]], _Pair]] = {
    "matmul": _matmul,
    "softmax": _softmax,
    "rms_norm": _rms_norm,
}
