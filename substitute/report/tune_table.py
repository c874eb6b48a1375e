"""Table of `tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ..bench.bench_report import DEFAULT, UNTUNED
from ..bench.tables import NOTHING, new_table
from .bench_table import format_interval

if TYPE_CHECKING:
    from ..tune.contest import Choice, Measured
    from ..tune.tuner import Tuned, TunedDispatch

OWN = "IREE's own code"


def tune_table(tuned: Tuned) -> Table:
    """Return a row for each dispatch: the winner beside IREE's own code and beside what is substituted untuned."""
    table = new_table(
        "Tuned",
        ["dispatch", "winner"],
        ["IREE ÷ winner", "interval", "untuned ÷ winner", "measured", "not timed"],
        caption="\n".join(_captions(tuned)),
    )
    for dispatch in tuned.dispatches:
        winner, usual = _find(dispatch, dispatch.winner), _find(dispatch, dispatch.default)
        ratio = winner.ratio if winner else None
        beside = usual.ratio.median if usual and usual.ratio else None
        own = ratio.median if ratio else 1.0
        table.add_row(
            dispatch.dispatch,
            ", ".join(dispatch.winner) or OWN,
            f"{1 / ratio.median:.2f}" if ratio else NOTHING,
            format_interval(ratio) if ratio else NOTHING,
            f"{beside / own:.2f}" if beside else NOTHING,
            str(sum(m.ratio is not None for m in dispatch.measured)),
            str(sum(m.ratio is None for m in dispatch.measured)),
        )
    return table


def _find(dispatch: TunedDispatch, choice: Choice) -> Measured | None:
    return next((m for m in dispatch.measured if m.choice == choice and choice), None)


def _captions(tuned: Tuned) -> list[str]:
    lines = ["one thread, processor time, measured in turns with IREE's own code; each candidate is right first"]
    if tuned.report is not None:
        parts = []
        for name, text in ((UNTUNED, "untuned"), (DEFAULT, "IREE")):
            ratio = tuned.report.ratio_to(name)
            parts.append(f"{text} ÷ tuned {1 / ratio.median:.2f} ({format_interval(ratio)})")
        lines.append(f"the whole model: {', '.join(parts)}")
    if not tuned.kept:
        lines.append("the whole model is slower with this plan: what is written is the choice without tuning")
    return lines
