"""An audit as a table and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..validate.audit import Audit, Audited, Outcome

COLOURS: dict[Outcome, str] = {"right": "green", "wrong": "red", "not compiled": "red", "not judged": "yellow"}


def audit_table(audit: Audit, *, width: int | None) -> RenderableType:
    """Return every dispatch with its largest error and its failures; `width` None: plain lines."""
    table = Table(
        box=box.SIMPLE_HEAD if width else None,
        pad_edge=False,
        padding=(0, 1) if width else (0, 2, 0, 0),
        header_style="bold" if width else "",
    )
    for head in ("dispatch", "kind", "verdict"):
        table.add_column(head, overflow="fold")
    for head in ("largest error", "of the bound", "ULP", "golden"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for audited in audit.dispatches:
        table.add_row(
            audited.name,
            audited.kind,
            Text(audited.outcome, style=COLOURS[audited.outcome]),
            *_figures(audited),
            Text(_why(audited)),
        )
    return Group(table, Text(format_summary(audit)))


def format_summary(audit: Audit) -> str:
    """Return one line with the number of dispatches of each outcome."""
    counts = Counter(audited.outcome for audited in audit.dispatches)
    words = ", ".join(f"{counts[outcome]} {outcome}" for outcome in COLOURS if counts[outcome])
    total = len(audit.dispatches)
    golden = sum(audited.golden_seconds for audited in audit.dispatches)
    doubt = ", so that nothing is known" if total and audit.nothing_judged else ""
    return (
        f"{total} dispatch{'es' * (total != 1)} of stock IREE on {audit.device}, seed {audit.seed}: "
        f"{words or 'nothing to run'}{doubt}; golden {golden:.1f} s, compiling {audit.compile_seconds:.1f} s"
    )


def _figures(audited: Audited) -> tuple[str, str, str, str]:
    seconds = f"{audited.golden_seconds:.2f} s" if audited.golden_seconds else ""
    if audited.outcome in ("not compiled", "not judged"):
        return "", "", "", seconds
    share = f"{audited.share:.1%}" if audited.share < 10 else f"{audited.share:.1e} times"
    if math.isinf(audited.share):
        share = "exact expected"
    return f"{audited.largest_absolute:.2g}", share, f"{audited.largest_ulp:.3g}", seconds


def _why(audited: Audited) -> str:
    text = audited.reason
    if audited.outcome == "wrong" and audited.inputs:
        text += f" (inputs: {audited.inputs})"
    place = audited.place
    if place is not None:
        at = ", ".join(map(str, place.coordinates))
        text += f"; first at [{at}] of {place.operand}: {place.candidate} instead of {place.golden}"
    return text


def audit_to_json(audit: Audit) -> dict[str, Any]:
    """Return the audit as JSON values; infinite figures are null."""
    return {
        "device": audit.device,
        "seed": audit.seed,
        "passed": audit.passed,
        "counts": {outcome: audit.count(outcome) for outcome in COLOURS},
        "seconds": audit.seconds,
        "dispatches": [
            {
                "dispatch": a.name,
                "kind": a.kind,
                "verdict": a.outcome,
                "reason": _why(a),
                "inputs": a.inputs,
                "largest_absolute_error": _finite(a.largest_absolute),
                "largest_ulp": _finite(a.largest_ulp),
                "share_of_bound": _finite(a.share),
                "golden_seconds": a.golden_seconds,
            }
            for a in audit.dispatches
        ],
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
