"""Assignment of a dispatch's loops to a definition's axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ..model.dispatch import Nest, View
from ..model.index import Expr, Index
from ..model.kernel import OperandSpec
from ..model.plan import Axis, Rule
from .expression import LoopUse

_MOST_ASSIGNMENTS = 120
_MOST_WAYS = 5000


def axis_of_loops(nest: Nest, operands: Sequence[OperandSpec]) -> tuple[str, ...]:
    """Return the name of the axis that each loop of a definition's nest runs over.

    A loop of static size has the name of the operand's axis that it runs along, or else its size.
    """
    static: dict[int, str] = {}
    moved = [(r.source, r.access) for r in nest.reads] + [(w.view, w.access) for w in nest.writes]
    for source, access in moved:
        if isinstance(source, View):
            for coordinate, axis in zip(access, operands[source.operand].axes, strict=False):
                if coordinate.loop is not None:
                    static.setdefault(coordinate.loop, axis)
    return tuple(
        str(size.args[0]) if isinstance(size, Expr) and size.op == "symbol" else static.get(number, str(size))
        for number, size in enumerate(nest.sizes)
    )


def assign(
    pattern: Nest,
    pattern_uses: tuple[LoopUse, ...],
    nest: Nest,
    uses: tuple[LoopUse, ...],
    groups: frozenset[str],
    axes: tuple[str, ...],
    names: tuple[str, ...],
) -> Iterator[tuple[tuple[int, ...], ...]] | Rule:
    """Yield all ways to assign the nest's loops to the pattern's, or the rule that explains why there is none.

    A loop fits an axis if both are used alike. An axis that is a group takes any number of loops; any other takes
    one, or none (its size is then one). `axes` are the names of the pattern's loops, `names` those of its reads.
    """
    by_use: dict[LoopUse, list[int]] = {}
    for number, use in enumerate(pattern_uses):
        by_use.setdefault(use, []).append(number)
    loops_by_use: dict[LoopUse, list[int]] = {}
    for number, use in enumerate(uses):
        loops_by_use.setdefault(use, []).append(number)
    choices: list[list[dict[int, tuple[int, ...]]]] = []
    for use, loops in loops_by_use.items():
        takers = by_use.get(use, [])
        if not takers:
            return Rule(
                name="structure.loops",
                passed=False,
                expected="only loops like "
                + "; ".join(f"{axis} ({u.words(names)})" for axis, u in zip(axes, pattern_uses, strict=True)),
                found=f"loop d{loops[0]} of size {nest.sizes[loops[0]]}: {use.words(names)}",
            )
        options = list(itertools.islice(_share(loops, takers, axes, groups), _MOST_ASSIGNMENTS))
        if not options:
            return Rule(
                name="structure.loops",
                passed=False,
                expected=f"at most {len(takers)} loops for {', '.join(axes[t] for t in takers)}",
                found=f"{len(loops)} loops, each {use.words(names)} (only axes named in `groups` take several)",
            )
        choices.append(options)
    return _combine(choices, len(pattern.sizes))


def _share(
    loops: list[int], takers: list[int], axes: tuple[str, ...], groups: frozenset[str]
) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield all distributions of loops, each taker's in order; first those in which the fewest takers get none."""
    alone = [t for t in takers if axes[t] not in groups]
    if len(loops) > len(takers) and len(alone) == len(takers):
        return
    ways = itertools.islice(itertools.product(takers, repeat=len(loops)), _MOST_WAYS)
    fitting = [way for way in ways if all(way.count(taker) <= 1 for taker in alone)]
    for way in sorted(fitting, key=lambda way: -len(set(way))):
        yield {t: tuple(loop for loop, taker in zip(loops, way, strict=True) if taker == t) for t in set(way)}


def _combine(choices: list[list[dict[int, tuple[int, ...]]]], count: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    for combination in itertools.islice(itertools.product(*choices), _MOST_ASSIGNMENTS):
        merged: dict[int, tuple[int, ...]] = {}
        for part in combination:
            merged.update(part)
        yield tuple(merged.get(number, ()) for number in range(count))


def bind_axes(
    pattern: Nest, axes: tuple[str, ...], assignment: tuple[tuple[int, ...], ...], nest: Nest
) -> tuple[Axis, ...] | Rule:
    """Return the axes with their sizes, or the rule that a static size of the definition breaks."""
    bound: list[Axis] = []
    for size, axis, loops in zip(pattern.sizes, axes, assignment, strict=True):
        sizes: tuple[Index, ...] = tuple(nest.sizes[n] for n in loops)
        if isinstance(size, int) and sizes != (size,):
            return Rule(
                name="structure.size",
                passed=False,
                expected=f"a loop of size {size}",
                found=" × ".join(str(s) for s in sizes) or "1",
            )
        bound.append(Axis(name=axis, loops=loops, sizes=sizes))
    return tuple(bound)
