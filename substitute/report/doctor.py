"""What this machine has, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from ..doctor import Finding
from .tables import BAD, DIM, GOOD, NAME, make_table, stack_texts

_STYLES = {"there": GOOD, "missing": "yellow", "wrong": BAD}


def findings_table(findings: Sequence[Finding], *, width: int | None) -> RenderableType:
    """Return a row for each thing that was looked for; below what is missing stands how to get it."""
    table = make_table(width)
    for head in ("", "what", "found", "for"):
        table.add_column(head, overflow="fold")
    for one in findings:
        found = [Text(one.found)]
        if one.next_step:
            found.append(Text(f"get it: {one.next_step}", style=DIM))
        state = Text(one.state, style=_STYLES[one.state])
        table.add_row(state, Text(one.name, style=NAME), stack_texts(found, width), Text(one.purpose))
    missing = [one.name for one in findings if one.state == "missing"]
    wrong = [one.name for one in findings if one.state == "wrong"]
    words = f"nothing works without {', '.join(wrong)}" if wrong else "everything that is always needed is there"
    return Group(table, Text(f"{words}; {len(missing)} of {len(findings)} are missing"))
