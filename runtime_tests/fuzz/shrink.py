"""Smaller functions that still fail: what a function was drawn from is cut and lowered, many variants in one module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from runtime_tests.fuzz.function import Function

Draw = Callable[[str, Sequence[int]], Function]
Failing = Callable[[Sequence[Function]], Sequence[bool]]
AT_ONCE = 24
"""Variants in one module."""


def shrink(function: Function, draw: Draw, failing: Failing, *, modules: int = 40) -> Function:
    """The smallest variant of a failing function that was found and fails as well, after at most so many modules."""
    best, tried = function, {function.parts}
    while modules > 0:
        found = None
        for group in _groups(_variants(best, draw, tried)):
            modules -= 1
            wrong = [f for f, fails in zip(group, failing(group), strict=True) if fails]
            if wrong:
                found = min(wrong, key=_size)
            if wrong or modules <= 0:
                break
        if found is None:
            return best
        best = found
    return best


def _size(function: Function) -> tuple[int, int, tuple[int, ...]]:
    return len("".join(function.parts)), len(function.choices), function.choices


def _variants(best: Function, draw: Draw, tried: set[tuple[str, ...]]) -> Iterator[Function]:
    """Simpler functions than the best one, the simplest first within each kind of change."""
    for change in (_cut, _zeroed, _lowered):
        made = []
        for record in change(best.choices):
            function = draw(best.seed, record)
            if function.parts not in tried and _size(function) < _size(best):
                tried.add(function.parts)
                made.append(function)
        yield from sorted(made, key=_size)


def _cut(record: Sequence[int]) -> Iterator[list[int]]:
    length = len(record) // 2
    while length:
        for at in range(0, len(record), max(1, length // 2)):
            yield [*record[:at], *record[at + length :]]
        length //= 2


def _zeroed(record: Sequence[int]) -> Iterator[list[int]]:
    length = len(record) // 2
    while length:
        for at in range(0, len(record), length):
            yield [*record[:at], *[0] * min(length, len(record) - at), *record[at + length :]]
        length //= 2


def _lowered(record: Sequence[int]) -> Iterator[list[int]]:
    for at, value in enumerate(record):
        for smaller in {value // 2, value - 1} - {value} if value > 0 else ():
            yield [*record[:at], smaller, *record[at + 1 :]]


def _groups(functions: Iterator[Function]) -> Iterator[list[Function]]:
    group: list[Function] = []
    for function in functions:
        group.append(function)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group
