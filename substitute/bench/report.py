"""The measured tables as a Markdown page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

_WIDTH = 150
"""Characters per line: what a page of documentation shows without wrapping."""


def render_report(tables: Sequence[Table], machine: Mapping[str, str], *, effort: str) -> str:
    """Return the page: date, machine, and each table as text."""
    day = datetime.now(tz=UTC).date().isoformat()
    facts = "\n".join(f"- {key}: {value}" for key, value in machine.items())
    head = (
        "# Benchmarks\n\n"
        f"Written by `make bench` on {day} ({effort} run). Ratios of one run on one machine; other machines differ.\n\n"
        f"{facts}\n"
    )
    return head + "".join(f"\n```text\n{_render_text(table)}\n```\n" for table in tables)


def _render_text(table: Table) -> str:
    console = Console(width=_WIDTH, color_system=None, force_terminal=False, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())
