"""`iree-substitute tune`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .flags import CompilerCommand
from .options import FILE, Number, catalog_options, model_argument
from .terminal import check_writable, progress, say_target, show


@click.command("tune", cls=CompilerCommand)
@model_argument
@click.option("-o", "--output", required=True, type=FILE, metavar="FILE", help="Where the plan goes (.json).")
@catalog_options
@click.option(
    "--budget",
    "budget_s",
    type=Number(min=0.0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="No round of measurements begins after this; what was measured is kept for the next run.",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Candidates of one kernel for one dispatch; of more, a search picks (Optuna, where it is installed).",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="For searches, and for inputs that are drawn.",
)
@click.option(
    "--check/--no-check",
    "whole",
    default=True,
    help="Time the whole model with the plan beside the model without it, and keep the faster one.",
)
def command(
    model: Path,
    output: Path,
    kernels: tuple[Path, ...],
    builtin: bool,
    budget_s: float,
    most: int,
    seed: int,
    whole: bool,
    flags: tuple[str, ...],
) -> None:
    """Measure every candidate for every dispatch of MODEL and write the fastest ones as a plan.

    Candidates are all kernels that fit, with each value of the parameters that they declare, and IREE's own code.
    Each is compared with the golden before it is timed. `compile --plan` replays the plan. A run that was stopped goes
    on where it was (FILE.partial).
    """
    check_writable(output, "-o")
    from ..cache.atomic import write_whole
    from ..report.tune_table import tune_table
    from ..tune.tuner import TuneSetting
    from ..tune.whole import tune_whole

    say_target(flags)
    journal = output.with_name(f"{output.name}.partial")
    with progress(long=True) as report:
        tuned = tune_whole(
            model,
            journal=journal,
            kernels=kernels,
            builtin=builtin,
            flags=flags,
            setting=TuneSetting(budget_s=budget_s, most=most, seed=seed),
            check=whole,
            progress=report,
        )
    write_whole(output, f"{json.dumps(tuned.plan, indent=1, ensure_ascii=False)}\n".encode())
    show(tune_table(tuned))
    if all(dispatch.complete for dispatch in tuned.dispatches):
        journal.unlink(missing_ok=True)
        click.echo(f"wrote {output}")
    else:
        click.echo(f"wrote {output}; the budget is spent: the same command goes on with what is in {journal}")
