"""Sizes of the axes of a definition: edge cases first, then random ones."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from ..errors import UsageError
from ..model.constraints import constraint_to_index
from ..model.dispatch import Nest, View
from ..model.index import Expr, Index, evaluate, symbol
from ..model.kernel import Constraint, Form, Kernel

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17, 23, 31, 32, 33, 37, 63, 64, 65, 67, 100, 127, 128, 129)
"""Primes, powers of two, and their neighbours."""
EDGES = (
    (1,),
    (5, 7, 3, 2),
    (16, 17, 15, 3),
    (33, 31, 65, 2),
    (64,),
    (1, 67, 1, 5),
    (127, 1, 129, 1),
    (3, 130, 2, 63),
)
"""Sizes that are each repeated over the axes in order: ones, primes, near tiles, tall and flat."""
LONG = 20011
"""Size of a single axis: a prime that takes many workgroups."""
FACTORS = (1, 2, 4, 8, 16, 32, 64)
"""Factors of sizes, for constraints that require multiples."""
MOST_TRIES = 400
MOST_STEPS = 257
"""Search range for a size that a constraint allows."""
MOST_SIZE = 1 << 31
FEWEST = 2
"""Least number of sets of sizes, even if all that the constraints allow are larger than requested."""
LARGEST = 1 << 28
"""Largest product of sizes of which there is more than one set."""
INDEXED = 11
"""Size of an axis whose size is not determined otherwise."""


def draw_sizes(
    kernel: Kernel, form: Form, *, count: int, random: np.random.Generator, most: int
) -> list[dict[str, int]]:
    """Return up to `count` sets of sizes of all axes of a definition that its constraints allow, the edges first.

    `most` limits the product of the sizes, those that the definition names among them.
    """
    axes = open_axes(kernel, form)
    fixed = math.prod(max(size, 1) for size in fixed_axes(kernel, form).values())
    found: list[dict[str, int]] = []
    larger: list[tuple[int, dict[str, int]]] = []
    for candidate in _candidates(axes, random):
        sizes = repaired(kernel.constraints, candidate)
        sizes |= derived_axes(kernel, form, sizes)
        if sizes in found or not allowed(kernel.constraints, sizes):
            continue
        product = fixed * math.prod(max(sizes[a], 1) for a in axes)
        if product > most:
            larger += [] if (product, sizes) in larger else [(product, sizes)]
            continue
        found.append(sizes)
        if len(found) == count:
            break
    if len(found) < FEWEST:  # the constraints require large sizes
        larger.sort(key=lambda pair: pair[0])
        found += [sizes for product, sizes in larger[: FEWEST - len(found)] if product <= LARGEST or not found]
    return found


def check_constraints(kernel: Kernel) -> None:
    """Raise `UsageError` for constraints that no sizes satisfy, with those that contradict each other."""
    axes = sorted({axis for constraint in kernel.constraints for axis in constraint.axes})
    candidates = list(_candidates(axes, np.random.default_rng(0)))

    def possible(constraints: Sequence[Constraint]) -> bool:
        return any(allowed(constraints, repaired(constraints, candidate)) for candidate in candidates)

    if not axes or possible(kernel.constraints):
        return
    alone = [c for c in kernel.constraints if not possible([c])]
    pairs = [pair for pair in combinations(kernel.constraints, 2) if not alone and not possible(pair)]
    texts = [f"`{c.text}`" for c in alone] or [f"`{a.text}` and `{b.text}`" for a, b in pairs]
    raise UsageError(
        f"no sizes fulfil the constraints of {kernel.name}",
        where=str(kernel.folder),
        expected="constraints that hold for some sizes of the axes",
        found=", ".join(texts[:3]) or " and ".join(f"`{c.text}`" for c in kernel.constraints),
        next_step="correct `constraints` in kernel.toml",
    )


def _candidates(axes: Sequence[str], random: np.random.Generator) -> Iterator[dict[str, int]]:
    for number, edge in enumerate(EDGES):
        if number == len(EDGES) // 2 and len(axes) == 1:
            yield {axes[0]: LONG}
        yield {axis: edge[i % len(edge)] for i, axis in enumerate(axes)}
    for attempt in range(MOST_TRIES):
        factor = FACTORS[attempt % len(FACTORS)] if attempt > len(SIZES) else 1
        yield {axis: int(random.choice(SIZES)) * (factor if random.random() < 0.7 else 1) for axis in axes}


def free_axes(form: Form) -> tuple[str, ...]:
    """Return the axes that loops run over, in order."""
    found: dict[str, None] = {}
    for stage in (*form.program.cores, *form.program.stores):
        sizes: Sequence[Index] = stage.sizes if isinstance(stage, Nest) else stage.types[0].shape
        for size in sizes:
            if isinstance(size, Expr) and size.op == "symbol":
                found[str(size.args[0])] = None
    return tuple(found)


def open_axes(kernel: Kernel, form: Form) -> tuple[str, ...]:
    """Return the axes whose sizes can be chosen: those that loops run over, and those that nothing else decides, such
    as the rows of a table, or what an operation reduces that is no plain loop.
    """
    loops = free_axes(form)
    known = {*loops, *_read_axes(kernel, form, dict.fromkeys(loops, 1))}
    return (*loops, *dict.fromkeys(a for spec in kernel.operands for a in spec.axes if a not in known))


def derived_axes(kernel: Kernel, form: Form, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the axes that no loop runs over, with their sizes.

    They are fixed in the definition, or determined by the elements that are read, such as a convolution's padded input.
    """
    found = _read_axes(kernel, form, sizes)
    for spec in kernel.operands:  # what is only indexed into, such as the rows of a table
        found |= {axis: INDEXED for axis in spec.axes if axis not in sizes and axis not in found}
    return found


def _read_axes(kernel: Kernel, form: Form, sizes: Mapping[str, int]) -> dict[str, int]:
    found = fixed_axes(kernel, form)
    sizes = {**found, **sizes}
    for stage in form.program.cores:
        for read in stage.reads if isinstance(stage, Nest) else ():
            if not isinstance(read.source, View) or not isinstance(stage, Nest):
                continue
            spec = kernel.operands[read.source.operand]
            for axis, coordinate in zip(spec.axes, read.access, strict=False):
                if axis not in sizes:
                    reach = sum(
                        evaluate(c, symbols=sizes) * (evaluate(stage.sizes[loop], symbols=sizes) - 1)
                        for loop, c in coordinate.terms
                    )
                    found[axis] = max(found.get(axis, 0), reach + evaluate(coordinate.constant, symbols=sizes) + 1)
    return found


def fixed_axes(kernel: Kernel, form: Form) -> dict[str, int]:
    """Return the axes whose sizes are fixed in the definition."""
    pairs = zip(kernel.operands, form.program.operands, strict=True)
    return {
        a: size for spec, o in pairs for a, size in zip(spec.axes, o.type.shape, strict=True) if isinstance(size, int)
    }


def repaired(constraints: Sequence[Constraint], sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes, changed where the constraints require it (`N % 8 == 0`, `M >= 16`, `K == 2 * N`).

    The axes are settled in order: a constraint over several counts as soon as the others are settled or do not matter.
    """
    unknown: dict[str, Index] = {axis: symbol(axis) for constraint in constraints for axis in constraint.axes}
    settled: dict[str, Index] = {}
    for axis, size in sizes.items():
        concerned = [c for c in constraints if axis in c.axes]

        def fits(n: int, axis: str = axis, concerned: Sequence[Constraint] = concerned) -> bool:
            known = {**unknown, **settled, axis: n}
            return all(constraint_to_index(c, known) is not False for c in concerned)

        if concerned and not fits(size):
            named = _named(concerned, settled)
            tries = [*range(size, size + MOST_STEPS), *(n for n in named if n > size), *named, *range(size)]
            size = next((n for n in tries if fits(n)), size)
        settled[axis] = size
    return {axis: int(size) for axis, size in settled.items() if isinstance(size, int)}


def _named(constraints: Sequence[Constraint], settled: Mapping[str, Index]) -> list[int]:
    """Yield numbers in constraints, with their neighbours, multiples of each other, and those of settled sizes."""
    numbers = sorted({int(word) for c in constraints for word in re.findall(r"\b\d+\b", c.text)} - {0})
    axes = {axis for c in constraints for axis in c.axes}
    sizes = [size for axis, size in settled.items() if isinstance(size, int) and axis in axes]
    found = {n + d for n in (*numbers, *sizes) for d in (-1, 0, 1)}
    found |= {-(-a // b) * b for a in numbers for b in numbers}
    found |= {
        f(a, b)
        for a in sizes
        for b in (*numbers, *sizes)
        for f in (operator.mul, _quotient, operator.add, operator.sub)
    }
    return sorted(n for n in found if 0 < n <= MOST_SIZE)


def _quotient(a: int, b: int) -> int:
    return a // b if b else 0


def allowed(constraints: Sequence[Constraint], sizes: Mapping[str, int]) -> bool:
    """Return True if all constraints hold, as far as their axes are known."""
    known: dict[str, Index] = dict(sizes)
    return all(
        constraint_to_index(c, {a: known[a] for a in c.axes}) is True for c in constraints if c.axes <= known.keys()
    )
