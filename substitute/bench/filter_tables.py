"""The filter's costs as tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich import box
from rich.table import Table

from .filter import AGAIN, FIRST, MATCHING, NEW, WARM
from .samples import CAT, INTERPRETER, FilterSample, HookSample

GOALS = {MATCHING: 5.0}
"""Limits of an executable's cost where a kernel takes it, in starts of the bare interpreter."""
GOAL = 2.0
"""Limit where none does."""
HOOK_GOAL = 1.10
"""Limit of a compilation through the filter, as a multiple of one through `cat`."""


def ratio(sample: FilterSample, way: str, to: str) -> float:
    """Return the mean time of an executable, as a multiple of the median of another way."""
    return statistics.mean(sample.seconds[way]) / statistics.median(sample.seconds[to])


def hook_ratio(sample: HookSample, way: str) -> float:
    """Return the median time as a multiple of `cat`'s."""
    return statistics.median(sample.seconds[way]) / statistics.median(sample.seconds[CAT])


def filter_tables(samples: Sequence[FilterSample], hooks: Sequence[HookSample]) -> list[Table]:
    """Return tables per executable, and per compilation."""
    table = Table(
        title="The filter, per executable",
        box=box.SIMPLE,
        title_justify="left",
        caption="one after the other; mean times as multiples of the median start of a bare interpreter (and of cat); "
        "the first time, and where new ones are not ruled out by their text, starting the worker is included",
    )
    ways = (FIRST, NEW, AGAIN, WARM)
    for name in ("executables", "", "cat ms", "interpreter ms", *ways, "goal"):
        table.add_column(name, justify="right" if name else "left")
    for sample in samples:
        cat, bare = (1e3 * statistics.median(sample.seconds[way]) for way in (CAT, INTERPRETER))
        table.add_row(
            str(sample.executables),
            sample.case,
            f"{cat:.2f}",
            f"{bare:.2f}",
            *(f"{ratio(sample, way, INTERPRETER):.2f} ({ratio(sample, way, CAT):.1f})" for way in ways),
            f"≤ {GOALS.get(sample.case, GOAL):g}",
        )
    found = [table]
    if hooks:
        whole = Table(
            title="Compiling through the filter",
            box=box.SIMPLE,
            title_justify="left",
            caption="medians; the goal is for an empty cache",
        )
        for name in ("model", "with cat s", f"filter, {FIRST} ÷ cat", f"filter, {AGAIN} ÷ cat", "goal"):
            whole.add_column(name, justify="left" if name == "model" else "right")
        for hook in hooks:
            whole.add_row(
                hook.model,
                f"{statistics.median(hook.seconds[CAT]):.2f}",
                f"{hook_ratio(hook, FIRST):.2f}",
                f"{hook_ratio(hook, AGAIN):.2f}",
                f"≤ {HOOK_GOAL:g}",
            )
        found.append(whole)
    return found
