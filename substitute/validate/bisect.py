"""Search for the substitutions that make a model wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Fails = Callable[[Sequence[str]], bool]
"""Function that tests whether the model is wrong with these substitutions and no others."""


def find_culprits(
    names: Sequence[str], fails: Fails, *, suspects: Sequence[str] = (), most: int = 4
) -> tuple[str, ...]:
    """Return the substitutions that make a model wrong, at most `most`, in the order in which they are found.

    The model fails with all of `names`. `suspects` are tried first: where they alone explain it, that takes one run
    per suspect. Each further culprit is found by halving, in about log2(n) runs, as the last one of the shortest
    prefix that fails. Empty where the model fails without any substitution.
    """
    left = list(names)
    found: list[str] = []
    for name in suspects:
        if len(found) < most and name in left and fails([name]):
            found.append(name)
            left.remove(name)
    if found and (len(found) == most or not left or not fails(left)):
        return tuple(found)
    if fails([]):
        return tuple(found)
    while left and len(found) < most and fails(left):
        culprit = _last_of_shortest_prefix(left, fails)
        found.append(culprit)
        left.remove(culprit)
    return tuple(found)


def _last_of_shortest_prefix(names: Sequence[str], fails: Fails) -> str:
    """Return the last element of the shortest failing prefix; prefix `low` passes, prefix `high` fails."""
    low, high = 0, len(names)
    while high - low > 1:
        middle = (low + high) // 2
        if fails(names[:middle]):
            high = middle
        else:
            low = middle
    return names[high - 1]
