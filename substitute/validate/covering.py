"""Sets of sizes that cover the cases of a kernel's code: near each number in it, zero, one, equal, and large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from ..errors import SubstituteError
from ..model.constraints import parse_size
from ..model.index import Index, evaluate
from ..model.kernel import Form, Kernel
from ..read.kind import kind_of
from .elements import storage_type
from .shapes import allowed, derived_axes, fixed_axes, free_axes, open_axes, repaired
from .thresholds import Thresholds

Sizes = dict[str, int]
SMALL = (3, 2, 5, 1, 4, 7)
"""Sizes of the other axes while one is varied, in turn."""
LONG = (70_000, (1 << 16) + 1)
"""Beyond 16 bits, and beyond the number of workgroups that every device can launch."""
MOST_WORKGROUPS = 65_535
"""Along one axis of a grid, in Vulkan for every axis and in CUDA for the second and the third."""
MOST_PRODUCT = 8192
"""Limit of products of two numbers of the code that are tried as well, for limits on a number of blocks."""
SHARE, DRAWN_SHARE = 0.25, 0.02
"""Parts of the budget that one set of sizes may take, and one of those that combine numbers at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Cost of a case on a device, in seconds of processor time."""

    overhead_s: float
    operation_s: float
    """Time of each step of the innermost loop: for all launches of a case, and its golden."""
    workgroup_s: float
    byte_s: float = 2.5e-7
    """Time of each byte of its operands."""
    grid: tuple[int, ...] = ()
    """Limits of workgroups along x, y and z, above which a launch is refused; empty: no limits."""


LOCAL = Speed(overhead_s=0.02, operation_s=2e-8, workgroup_s=2e-6)
SOFTWARE = Speed(overhead_s=0.05, operation_s=2e-7, workgroup_s=2e-6, grid=(MOST_WORKGROUPS,) * 3)
SIMULATED = Speed(overhead_s=0.1, operation_s=1e-5, workgroup_s=1e-5, grid=(2**31 - 1, *[MOST_WORKGROUPS] * 2))


def speed_of(device: str) -> Speed:
    """Return an estimate of the cost of a case on a device."""
    driver = device.partition("://")[0]
    return LOCAL if driver.startswith("local") else SIMULATED if driver == "cuda-sim" else SOFTWARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limit of the cost of one form's sizes."""

    seconds: float
    sets: int
    """Largest number of them."""
    bytes: int
    """Limit of all operands together, in one set."""

    def share(self, forms: int) -> Budget:
        """Return the part of one of several forms, each of which gets at least a few sets."""
        return replace(self, seconds=self.seconds / forms, sets=max(self.sets // forms, min(self.sets, 12)))


QUICK = Budget(seconds=0.8, sets=24, bytes=1 << 22)
DEFAULT = Budget(seconds=10.0, sets=160, bytes=1 << 25)
THOROUGH = Budget(seconds=200.0, sets=1500, bytes=1 << 28)


def cover_sizes(
    kernel: Kernel,
    form: Form,
    thresholds: Thresholds,
    *,
    budget: Budget,
    speed: Speed,
    random: np.random.Generator,
    without: Sequence[Mapping[str, int]] = (),
    empty: bool = True,
) -> list[Sizes]:
    """Return sets of sizes of all axes of a definition that its constraints allow, the most effective first.

    `without`: sets that are tried already; `empty`: also sizes of zero.
    """
    axes = open_axes(kernel, form)
    # of a table without rows nothing can be read
    tables = set() if kind_of(form.program) == "reduction" else {*axes} - {*free_axes(form)}
    found: list[Sizes] = []
    left = budget.seconds
    for candidate, share in _shared(kernel, axes, thresholds, random):
        if not all(size for axis, size in candidate.items() if not empty or axis in tables):
            continue
        sizes = repaired(kernel.constraints, candidate)
        sizes |= derived_axes(kernel, form, sizes)
        if sizes in found or sizes in without or not allowed(kernel.constraints, sizes):
            continue
        cost = _cost(kernel, form, axes, sizes, speed)
        if cost > min(left, max(share * budget.seconds, 2 * speed.overhead_s)):
            continue
        if _bytes(kernel, form, sizes) > budget.bytes:
            continue
        found.append(sizes)
        left -= cost
        if len(found) == budget.sets:
            break
    return found


def _shared(
    kernel: Kernel, axes: Sequence[str], thresholds: Thresholds, random: np.random.Generator
) -> Iterator[tuple[Sizes, float]]:
    """Yield candidates with the part of the budget that they may take."""
    yield from ((sizes, SHARE) for sizes in _chosen(kernel, axes, thresholds))
    yield from ((sizes, DRAWN_SHARE) for sizes in _combined(axes, thresholds, random))


def _chosen(kernel: Kernel, axes: Sequence[str], thresholds: Thresholds) -> Iterator[Sizes]:
    turn = 0

    def around(given: Sizes) -> Sizes:
        """Return these sizes, with small ones for all other axes."""
        nonlocal turn
        turn += 1
        others = [axis for axis in axes if axis not in given]
        return {**{axis: SMALL[(turn + i) % len(SMALL)] for i, axis in enumerate(others)}, **given}

    def long(axis: str, size: int) -> Sizes:
        return {**{other: 1 + (i + turn) % 2 for i, other in enumerate(axes)}, axis: size}

    numbers = thresholds.ordered
    compared = thresholds.compared
    # around each number, one axis at a time
    yield from (around({axis: 0}) for axis in axes)
    yield from (around({axis: n + 1}) for n in (thresholds.first or compared) for axis in axes)
    yield from (long(axis, LONG[0]) for axis in axes)
    yield from (around({a: 6, b: 6}) for a, b in combinations(axes, 2))
    # the code of one row, one column: the others beyond every number that they can be beyond of
    for n in (thresholds.first or compared)[:2] or [130]:
        yield from ({**{other: n + 1 for other in axes}, axis: 1} for axis in axes if len(axes) > 1)
    yield from (around({axis: n + 1}) for n in compared for axis in axes)
    yield from (around({axis: n + 1}) for n in numbers for axis in axes)
    yield {axis: 8 for axis in axes}
    yield from (around({axis: count}) for axis, count in _many_workgroups(kernel, axes))
    yield from (around({axis: 2 * n}) for n in numbers for axis in axes)
    yield from (long(axis, LONG[1]) for axis in axes)
    yield from (around({axis: n}) for n in numbers for axis in axes)
    yield from (around({axis: n - 1}) for n in numbers for axis in axes)
    yield from ({axis: n + d for axis in axes} for n in numbers for d in (1, 0))
    products = {n * m for n in numbers for m in numbers if n * m <= MOST_PRODUCT} - {*numbers}
    yield from (around({axis: n + 1}) for n in sorted(products, reverse=True)[:8] for axis in axes)


def _combined(axes: Sequence[str], thresholds: Thresholds, random: np.random.Generator) -> Iterator[Sizes]:
    """Yield sets in which each axis is near another number."""
    numbers = thresholds.ordered
    pool = sorted({1, 2, 3, 5, 17, 64, *(n + d for n in numbers for d in (-1, 0, 1, n, n + 1))})
    for _ in range(200):
        yield {axis: int(random.choice(pool)) for axis in axes}


def _many_workgroups(kernel: Kernel, axes: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield sizes of an axis at which the manifest's numbers of workgroups pass 1, 256 and 65,535."""
    for axis in axes:
        for limit in (1, 256, MOST_WORKGROUPS):
            for text in kernel.launch.workgroup_count or ():
                low, high = 1, limit * 4096 + 1
                if not _counts(text, axis, axes, high) > limit >= _counts(text, axis, axes, 1):
                    continue
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (low, middle) if _counts(text, axis, axes, middle) > limit else (middle, high)
                yield axis, high


def _counts(text: str, axis: str, axes: Sequence[str], size: int) -> int:
    """Return the number of workgroups with one axis of this size, and 1 for the others; 0 if it is not known."""
    return _count(text, {**dict.fromkeys(axes, 1), axis: size})


def _count(text: str, sizes: Mapping[str, int]) -> int:
    try:
        return evaluate(_read_count(text, tuple(sizes)), symbols=sizes)
    except (SubstituteError, KeyError, ZeroDivisionError):
        return 0


@lru_cache(maxsize=256)
def _read_count(text: str, axes: tuple[str, ...]) -> Index:
    return parse_size(text, axes, where=text)


def _cost(kernel: Kernel, form: Form, axes: Sequence[str], sizes: Sizes, speed: Speed) -> float:
    counts = [max(_count(text, sizes), 1) for text in kernel.launch.workgroup_count or ("1",)]
    if any(count > limit for count, limit in zip(counts, speed.grid, strict=False)):
        return speed.overhead_s  # nothing would run
    threads = math.prod(counts) * math.prod(kernel.launch.workgroup_size or (1,))
    fixed = math.prod(max(size, 1) for axis, size in fixed_axes(kernel, form).items() if axis not in axes)
    steps = fixed * math.prod(max(sizes[axis], 1) for axis in axes) * max(len(form.program.cores), 1)
    if kernel.launch.workgroup_size:
        steps = max(steps, threads)
    return (
        speed.overhead_s
        + speed.workgroup_s * math.prod(counts)
        + speed.operation_s * steps
        + speed.byte_s * _bytes(kernel, form, sizes)
    )


def _bytes(kernel: Kernel, form: Form, sizes: Mapping[str, int]) -> int:
    """Return how much memory the operands take."""
    pairs = zip(kernel.operands, form.program.operands, strict=True)
    return sum(
        math.prod(sizes[axis] for axis in spec.axes) * storage_type(operand.type.element).itemsize
        for spec, operand in pairs
    )
