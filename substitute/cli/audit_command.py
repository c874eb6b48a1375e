"""`iree-substitute audit`."""

from __future__ import annotations

from pathlib import Path

import click

from .flags import CompilerCommand
from .options import json_option, model_argument
from .terminal import progress, show, show_json, terminal_width

NOTHING_JUDGED = 3
"""Exit status if nothing is wrong because nothing could be judged."""


@click.command("audit", cls=CompilerCommand)
@model_argument
@click.option(
    "--device", default="local-task", show_default=True, metavar="NAME", help="The device to run on, as IREE names it."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For drawn operands.")
@click.option("--dispatch", "only", default="", metavar="TEXT", help="Only dispatches whose name holds this text.")
@json_option
def command(model: Path, device: str, seed: int, only: str, as_json: bool, flags: tuple[str, ...]) -> int:
    """Run every dispatch of MODEL, as IREE alone compiles it, against a golden in float64.

    No kernel is involved: what is found wrong is IREE's or the device's. The exit status is 1 if a dispatch is wrong
    or does not compile, and 3 if no dispatch could be judged.
    """
    from ..report.audit import audit_table, audit_to_json
    from ..validate.audit import audit_model

    with progress(long=True) as report:
        audit = audit_model(model, device=device, flags=flags, seed=seed, only=only, isolate=True, progress=report)
    if as_json:
        show_json(audit_to_json(audit))
    else:
        show(audit_table(audit, width=terminal_width()))
    return NOTHING_JUDGED if audit.nothing_judged else 0 if audit.passed else 1
