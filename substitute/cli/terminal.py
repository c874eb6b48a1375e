"""Printing: tables and progress on a terminal, plain text elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..errors import UsageError
from ..flags import add_target
from ..progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType


PLAIN_WIDTH = 100_000
"""Width at which no line of plain text is ever wrapped."""


def terminal_width() -> int | None:
    """Return the characters per line of the terminal on standard output; None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show(renderable: RenderableType) -> None:
    """Print a table or text to standard output."""
    from rich.console import Console

    width = terminal_width()
    if width is not None:
        Console(width=width, highlight=False).print(renderable)
        return
    console = Console(width=PLAIN_WIDTH, color_system=None, force_terminal=False, highlight=False, file=sys.stdout)
    with console.capture() as captured:
        console.print(renderable)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def show_json(value: Mapping[str, Any]) -> None:
    """Print JSON to standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


EVERY_S = 10.0
"""Interval at which a long command reports its progress when no terminal shows it."""


@contextlib.contextmanager
def progress(*, long: bool = False) -> Iterator[Progress]:
    """Show phases on standard error while they last, if that is a terminal.

    Elsewhere a command that may take `long` prints its phase as a line now and then, so that a log shows that it lives.
    """
    if not sys.stderr.isatty():
        yield _as_lines(sys.stderr) if long else lambda phase, fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    # a separate file: descriptor 2 is redirected while the compiler's output is captured
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as file:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with Bars(*columns, console=Console(file=file), transient=True) as bars:
            task = bars.add_task("starting", total=None)

            def update(phase: str, fraction: float | None) -> None:
                bars.update(task, description=phase, total=None if fraction is None else 1.0, completed=fraction or 0.0)

            yield update


def say_target(flags: Sequence[str]) -> None:
    """Report on standard error the target that is added to flags that leave it open. Raises `UsageError`."""
    note = add_target(flags).note
    if note:
        click.echo(f"note: {note}", err=True)


def _as_lines(stream: TextIO) -> Progress:
    began = printed = time.monotonic()

    def update(phase: str, fraction: float | None) -> None:
        nonlocal printed
        now = time.monotonic()
        if now - printed >= EVERY_S:
            printed = now
            share = "" if fraction is None else f", {fraction:.0%}"
            print(f"[{now - began:.0f} s{share}] {phase}", file=stream, flush=True)

    return update


def check_distinct(files: Mapping[str, Path | None]) -> None:
    """Check that no two outputs, by their options, are one file. Raises `UsageError`."""
    seen: dict[Path, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        other = seen.setdefault(file.resolve(), option)
        if other != option:
            raise UsageError(
                "two outputs are one file",
                where=f"{option} {file}",
                expected=f"another file than that of {other}",
                found="the same",
                next_step="choose another name",
            )


def check_writable(file: Path | None, option: str) -> None:
    """Check before the long work that its result can be written. Raises `UsageError`."""
    if file is None:
        return
    if file.is_dir():
        raise UsageError(
            "the output is a folder",
            where=f"{option} {file}",
            expected="the path of a file",
            found="a folder",
            next_step="add a file name",
        )
    folder = file.parent
    if not folder.is_dir():
        raise UsageError(
            "the folder of the output does not exist",
            where=f"{option} {file}",
            expected=f"a folder {folder}",
            found="nothing",
            next_step=f"mkdir -p {folder}",
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(
            "the file cannot be written",
            where=f"{option} {file}",
            expected="a folder that can be written to",
            found="no permission to write in its folder",
            next_step="choose another path",
        )
