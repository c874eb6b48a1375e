"""`iree-substitute dev`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .flags import CompilerCommand
from .options import FILE, json_option
from .terminal import progress, say_target, show, show_json

if TYPE_CHECKING:
    from ..develop import Workbench


@click.command("dev", cls=CompilerCommand)
@click.argument("folder", type=FILE, metavar="DIR")
@click.option("--model", required=True, type=FILE, metavar="MODEL", help="A model (.mlir, .mlirbc or .onnx).")
@click.option(
    "--dispatch", required=True, metavar="NAME", help="The dispatch: its name, number, or a part of its name."
)
@click.option("--once", is_flag=True, help="Judge it as it is now and end; the exit status is 1 unless it is right.")
@json_option
def command(folder: Path, model: Path, dispatch: str, once: bool, as_json: bool, flags: tuple[str, ...]) -> int:
    """Judge the kernel in DIR in one dispatch of MODEL at each save, and time it beside IREE's own code.

    The model is compiled to dispatches once, at the start, and only this dispatch after that. Ctrl-C ends it.
    """
    from ..catalog.catalog import find_manifests
    from ..develop import Workbench
    from ..report.development import turn_text, turn_to_json

    if as_json and not once:
        raise UsageError(
            "--json has no effect without --once",
            expected="--once",
            found="--json",
            next_step="add --once, or leave --json out",
        )
    find_manifests(folder)  # it is a folder of kernels
    say_target(flags)
    with Workbench(model, dispatch, folder, flags) as bench:
        with progress(long=True) as report:
            bench.begin(report)
        if not once:
            return _loop(bench)
        with progress(long=True) as report:
            turn = bench.judge(report)
    if as_json:
        show_json(turn_to_json(turn, bench.dispatch))
    else:
        show(turn_text(turn, dispatch=bench.dispatch, number=1))
    return 0 if turn.right else 1


def _loop(bench: Workbench) -> int:
    """Judge at each save until a person ends it; one screen on a terminal, one report after the other elsewhere."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from ..develop import watch
    from ..report.development import turn_text

    terminal = sys.stdout.isatty()
    try:
        if not terminal:
            for number, _ in enumerate(watch(bench.folder), start=1):
                show(turn_text(bench.judge(lambda *_: None), dispatch=bench.dispatch, number=number))
                sys.stdout.flush()
        with Live(console=Console(highlight=False), screen=False, auto_refresh=False) as live:
            for number, _ in enumerate(watch(bench.folder), start=1):

                def tell(what: str, share: float | None, number: int = number) -> None:
                    live.update(Text(f"save {number}: {what} …"), refresh=True)

                turn = bench.judge(tell)
                live.update(turn_text(turn, dispatch=bench.dispatch, number=number), refresh=True)
    except KeyboardInterrupt:
        pass
    return 0
