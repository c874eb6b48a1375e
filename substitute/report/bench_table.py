"""Tables of `bench`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

from ..bench.bench_report import CANDIDATE, BenchReport, Change
from ..bench.tables import NOTHING, new_table

if TYPE_CHECKING:
    from ..device.ratio import Ratio

WORDS = {
    "faster": "faster with kernels",
    "slower": "slower with kernels",
    "equal": "equally fast",
    "unclear": "not clear: more rounds are needed (--budget)",
}


def bench_table(report: BenchReport) -> Table:
    """Return the table of one model: time of each code, and its ratio to the time with kernels."""
    threads = "1 thread" if report.threads == 1 else f"{report.threads} threads"
    place = f"{report.device}, {threads}" if report.device.startswith("local") else report.device
    rounds = len(report.timings[0].samples_us)
    caption = [
        f"{place}; {report.clock}; {rounds} rounds in turns, medians; kernels take {report.taken} of "
        f"{report.dispatches} dispatches; ratio: other ÷ with kernels, with its 99.8 % interval",
        *(f"left out: {one.name}: {one.reason}" for one in report.left_out),
        *(f"not checked by itself: {text}" for text in report.unchecked),
    ]
    table = new_table(
        f"{report.model}: {report.function}",
        ["code"],
        ["ms", "spread", "ratio", "interval", ""],
        caption="\n".join(caption),
    )
    for timing in report.timings:
        cells = [f"{timing.median_us / 1e3:.3f}", f"{timing.spread_us / 1e3:.3f}"]
        if timing.name == CANDIDATE:
            table.add_row(timing.name, *cells, "", "", "")
            continue
        ratio = report.ratio_to(timing.name)
        table.add_row(timing.name, *cells, f"{1 / ratio.median:.2f}", format_interval(ratio), WORDS[ratio.relation])
    return table


def format_interval(ratio: Ratio) -> str:
    """Return the interval of the inverse ratio: how many times as fast the code with kernels is."""
    if math.isinf(ratio.high) or ratio.low <= 0:
        return NOTHING
    return f"{1 / ratio.high:.2f} to {1 / ratio.low:.2f}"


def describe_change(change: Change) -> str:
    """Return a sentence about a comparison with saved times."""
    times = f"IREE ÷ with kernels was {1 / change.before.median:.2f} ({format_interval(change.before)})"
    found = f"{change.kind}: {times} and is {1 / change.now.median:.2f} ({format_interval(change.now)})"
    return "; ".join([found, *change.notes])
