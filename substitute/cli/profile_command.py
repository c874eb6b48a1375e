"""`iree-substitute profile`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .flags import CompilerCommand
from .options import FILE, catalog_options, html_option, json_option, model_argument
from .run_command import VALUES
from .terminal import check_distinct, check_writable, progress, show, show_json, terminal_width


@click.command("profile", cls=CompilerCommand)
@model_argument
@click.option(
    "--device", default="local-task", show_default=True, metavar="NAME", help="The device to run on, as IREE names it."
)
@click.option("--function", metavar="NAME", help="What to call; may be left out where there is only one.")
@click.option(
    "--input", "inputs", multiple=True, metavar="VALUE", help=f"An argument: {VALUES}. Left out, all are drawn."
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Open sizes of arguments that are drawn.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For arguments that are drawn.")
@click.option("--calls", type=click.IntRange(min=1), default=5, show_default=True, help="Calls in each of the runs.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each module, in turns."
)
@click.option("--perfetto", type=FILE, metavar="FILE", help="Write one call of each as a trace for ui.perfetto.dev.")
@catalog_options
@html_option
@json_option
def command(
    model: Path,
    device: str,
    function: str | None,
    inputs: tuple[str, ...],
    size: int,
    seed: int,
    calls: int,
    rounds: int,
    perfetto: Path | None,
    kernels: tuple[Path, ...],
    builtin: bool,
    html: Path | None,
    as_json: bool,
    flags: tuple[str, ...],
) -> None:
    """Time each dispatch of MODEL as the model launches it: with IREE's code, and with the kernels that take it.

    Times are the medians that IREE's own profiler gives for one call, all launches of a dispatch together. Kernels are
    checked first, as `compile` does.
    """
    outputs = {"--perfetto": perfetto, "--html": html}
    check_distinct(outputs)
    for option, file in outputs.items():
        check_writable(file, option)
    from ..cache.atomic import write_whole
    from ..device import parse_inputs
    from ..profile.perfetto import trace_of
    from ..profile.profile import profile_model
    from ..report.profile import profile_table, profile_to_json

    values = parse_inputs(inputs)
    with progress(long=True) as report:
        found = profile_model(
            model,
            device=device,
            kernels=kernels,
            builtin=builtin,
            flags=flags,
            function=function,
            inputs=values,
            size=size,
            seed=seed,
            calls=calls,
            rounds=rounds,
            keep_ir=html is not None,
            isolate=True,
            progress=report,
        )
    if perfetto is not None:
        write_whole(perfetto, json.dumps(trace_of(found)).encode())
    if html is not None:
        from ..report.listing import list_code
        from ..report.page import write_page
        from ..report.page_contents import page_of_profile

        assert found.compiled is not None
        code = list_code(found.compiled.plan, found.compiled.ir, found.compiled.payloads)
        write_whole(html, write_page(page_of_profile(profile_to_json(found), listings=code)).encode())
    if as_json:
        show_json(profile_to_json(found))
    else:
        show(profile_table(found, width=terminal_width()))
        if perfetto is not None:
            click.echo(f"wrote {perfetto}: open it at https://ui.perfetto.dev")
