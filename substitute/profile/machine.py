"""Speed limits of this machine's CPU: arithmetic and memory, measured with NumPy in a fraction of a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

MATRIX = 768
"""Rows and columns of the matrices that are multiplied."""
COPIED_BYTES = 64 << 20
"""Size of the array that is copied: larger than caches usually are."""
TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Best measured rates. They are what other code reached here, not what the hardware promises."""

    flops_per_s: float
    """Rate of NumPy's f32 matrix product."""
    bytes_per_s: float
    """Rate of a copy on one core, reads and writes counted."""
    threads: int = 1
    """Threads of the matrix product."""

    def attainable(self, flops: int, size_bytes: int) -> float:
        """Return the least time, in seconds, that work of this size takes at these rates."""
        return max(flops / self.flops_per_s, size_bytes / self.bytes_per_s)


def measure_machine(threads: int) -> Machine:
    """Measure both rates, the best of a few tries each; the product with so many threads."""
    a = np.ones((MATRIX, MATRIX), np.float32)
    source = np.ones(COPIED_BYTES // 8)
    target = np.empty_like(source)
    with threadpool_limits(limits=threads, user_api="blas"):
        flops_per_s = 2 * MATRIX**3 / _best(lambda: a @ a)
    bytes_per_s = 2 * source.nbytes / _best(lambda: np.copyto(target, source))
    return Machine(flops_per_s=flops_per_s, bytes_per_s=bytes_per_s, threads=threads)


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return max(min(times), 1e-9)
