"""`iree-substitute validate`."""

from __future__ import annotations

from pathlib import Path

import click

from .flags import CompilerCommand
from .options import FILE, catalog_options, json_option, model_argument
from .run_command import VALUES
from .terminal import progress, show, show_json, terminal_width


@click.command("validate", cls=CompilerCommand)
@model_argument
@click.option("--device", default="local-task", show_default=True, metavar="NAME",
              help="The device to run on, as IREE names it.")  # fmt: skip
@click.option("--function", metavar="NAME", help="The function to call; may be left out where there is only one.")
@click.option("--input", "inputs", multiple=True, metavar="VALUE",
              help=f"An argument: {VALUES}. Left out, all are drawn from --seed.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="For drawn inputs.")
@click.option("--plan", type=FILE, metavar="FILE", help="Substitute what this plan says, and nothing else.")
@catalog_options
@json_option
def command(
    model: Path,
    device: str,
    function: str | None,
    inputs: tuple[str, ...],
    seed: int,
    plan: Path | None,
    kernels: tuple[Path, ...],
    builtin: bool,
    as_json: bool,
    flags: tuple[str, ...],
) -> int:
    """Run MODEL with kernels and without, on the same device and inputs, and compare the results.

    The exit status is 1 if a result is wrong.
    """
    from ..device import parse_inputs
    from ..report.as_json import verdict_to_json
    from ..report.tables import verdict_table
    from ..validate import validate_model

    values = parse_inputs(inputs)
    with progress() as report:
        verdict = validate_model(
            model, device=device, kernels=kernels, builtin=builtin, flags=flags, plan=plan, function=function,
            seed=seed, inputs=values, isolate=True, progress=report,
        )  # fmt: skip
    if as_json:
        show_json(verdict_to_json(verdict, drawn=not values))
    else:
        show(verdict_table(verdict, drawn=not values, width=terminal_width()))
    return 0 if verdict.passed else 1
