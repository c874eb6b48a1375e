"""`iree-substitute inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from .flags import CompilerCommand
from .options import catalog_options, json_option, model_argument
from .terminal import progress, say_target, show, show_json, terminal_width


@click.command("inspect", cls=CompilerCommand)
@model_argument
@catalog_options
@json_option
def command(model: Path, kernels: tuple[Path, ...], builtin: bool, as_json: bool, flags: tuple[str, ...]) -> None:
    """List the dispatches of MODEL: what each computes and costs, and which kernel takes it or comes nearest."""
    from ..pipeline import inspect_model

    say_target(flags)
    with progress() as report:
        plan = inspect_model(model, kernels=kernels, builtin=builtin, flags=flags, isolate=True, progress=report)
    if as_json:
        from ..report.as_json import inspection_to_json

        show_json(inspection_to_json(plan))
    else:
        from ..report.tables import dispatch_table

        show(dispatch_table(plan, width=terminal_width()))
