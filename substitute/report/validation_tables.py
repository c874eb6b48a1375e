"""Tables of verdicts on kernels and dispatches, followed by the failures of each case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..validate.verdict_text import all_failure_lines, dispatch_rows, kernel_rows, note_lines

if TYPE_CHECKING:
    from ..validate.kernel_verdict import KernelVerdict
    from ..validate.verdict import DispatchVerdict

GOOD, BAD, DIM, NAME = "green", "red", "dim", "bold"
RATIO = "error ÷ allowed"


def dispatch_verdicts(verdicts: Sequence[DispatchVerdict], *, command: str, width: int | None) -> RenderableType:
    """Return one line per dispatch, then notes, then failures; `command` begins the line that replays a case."""
    heads = ["dispatch", "kernel", "cases", RATIO, "verdict"]
    rows = [list(row) for row in dispatch_rows(verdicts)]
    if any(v.check for v in verdicts):
        heads.insert(-1, "checked by compile")
        for row, verdict in zip(rows, verdicts, strict=True):
            row.insert(-1, verdict.check or "–")
    table = make_table(heads, rows, numbers=(2, 3), width=width)
    notes = [Text(line, style=DIM) for line in note_lines(verdicts)]
    wrong = [Text(line) for line in all_failure_lines(verdicts, command)]
    return Group(table, *notes, *wrong)


def kernel_verdicts(
    verdicts: Sequence[KernelVerdict], *, command: Callable[[str], str], width: int | None
) -> RenderableType:
    """Return one line per kernel, then failures; `command` gives the line that validates a kernel again."""
    heads = ("kernel", "device", "dispatches", "cases", RATIO, "verdict")
    table = make_table(heads, kernel_rows(verdicts), numbers=(2, 3, 4), width=width)
    lines: list[Text] = []
    for verdict in verdicts:
        if verdict.error:
            lines.append(Text(f"{verdict.kernel}: error: {verdict.error}", style=BAD))
        if verdict.coverage is not None:
            lines.append(Text(f"{verdict.kernel}: {verdict.coverage}", style=DIM))
        if verdict.message:
            lines.append(Text(f"{verdict.kernel}: {verdict.message}", style=BAD))
        lines += [Text(f"{verdict.kernel}: {line}", style=DIM) for line in note_lines(verdict.dispatches)]
        lines += [Text(line) for line in all_failure_lines(verdict.dispatches, command(verdict.folder))]
    return Group(table, *lines)


def make_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int], width: int | None
) -> Table:
    """Return a table whose last column is a verdict; `numbers` are the columns that are aligned to the right."""
    if width is None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    else:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style=NAME, border_style=DIM)
    for at, head in enumerate(heads):
        table.add_column(head, justify="right" if at in numbers else "left", overflow="fold")
    for row in rows:
        *texts, verdict = row
        style = f"{NAME} {BAD}" if verdict.startswith("FAILED") else GOOD if verdict == "passed" else DIM
        table.add_row(*map(Text, texts), Text(verdict, style=style))
    return table
