"""The outcome of one save of a kernel, as a screen and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ..develop import Turn
from .tables import BAD, DIM, GOOD, NAME

MOST_LINES = 24
"""Lines of the inner loop that are shown."""


def turn_text(turn: Turn, *, dispatch: str, number: int) -> RenderableType:
    """Return the status, the first wrong element or the times, and the assembly of the inner loop."""
    parts: list[RenderableType] = [Text.assemble((turn.kernel or "no kernel", NAME), f" in {dispatch}")]
    if turn.summary:
        parts.append(Text(turn.summary, style=DIM))
    verdict = turn.verdict
    if verdict is None:
        parts.append(Text(turn.error, style=BAD))
    else:
        style = {"right": GOOD, "slower": "yellow", "unjudged": "yellow"}.get(verdict.outcome, f"{NAME} {BAD}")
        parts.append(Text(verdict.text, style=style))
        if verdict.sizes:
            parts.append(Text("tried with " + "; ".join(verdict.sizes), style=DIM))
        if verdict.ratio is not None:
            parts.append(Text(_times(turn)))
    if turn.loop:
        parts.append(Text(f"inner loop, {len(turn.loop)} lines:", style=DIM))
        parts.append(Text("\n".join(turn.loop[:MOST_LINES])))
        if len(turn.loop) > MOST_LINES:
            parts.append(Text(f"… {len(turn.loop) - MOST_LINES} more", style=DIM))
    parts.append(Text(f"save {number}, judged in {turn.seconds:.1f} s", style=DIM))
    return Group(*parts)


def _times(turn: Turn) -> str:
    verdict = turn.verdict
    assert verdict is not None and verdict.ratio is not None
    interval = f", interval {verdict.interval[0]:.3f} to {verdict.interval[1]:.3f}" if verdict.interval else ""
    times = f"{verdict.ours_us:.1f} µs, IREE's own code {verdict.stock_us:.1f} µs" if verdict.ours_us else ""
    return f"its time ÷ IREE's own code's: {verdict.ratio:.3f}{interval} ({times} on {verdict.device})"


def turn_to_json(turn: Turn, dispatch: str) -> dict[str, Any]:
    """Return one save as JSON."""
    return {
        "dispatch": dispatch,
        "kernel": turn.kernel or None,
        "summary": turn.summary,
        "error": turn.error or None,
        "verdict": turn.verdict.to_json() if turn.verdict is not None else None,
        "inner_loop": list(turn.loop),
        "seconds": round(turn.seconds, 3),
    }
