"""`iree-substitute bench`."""

from __future__ import annotations

from pathlib import Path

import click

from .flags import CompilerCommand
from .options import FILE, Number, catalog_options, html_option, json_option, model_argument
from .run_command import VALUES
from .terminal import check_distinct, check_writable, progress, say_target, show, show_json


@click.command("bench", cls=CompilerCommand)
@model_argument
@catalog_options
@click.option("--plan", type=FILE, metavar="FILE", help="Substitute what this plan says, and nothing else.")
@click.option(
    "--device", default="local-task", show_default=True, metavar="NAME", help="The device to run on, as IREE names it."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of local-task. With one, processor time is measured, else wall time.",
)
@click.option("--function", metavar="NAME", help="The function to call; may be left out where there is only one.")
@click.option("--input", "inputs", multiple=True, metavar="VALUE", help=f"An argument: {VALUES}. Default: drawn.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For inputs that are drawn.")
@click.option("--best-flags", is_flag=True, help="Also time IREE's own code with -O3, data tiling and microkernels.")
@click.option(
    "--budget",
    "budget_s",
    type=Number(min=0.0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="The rounds end after this, or as soon as every ratio is clear.",
)
@click.option("--save", type=FILE, metavar="FILE", help="Write the times as JSON, for --compare.")
@click.option(
    "--compare",
    type=FILE,
    metavar="FILE",
    help="Compare with saved times; the exit status is 1 if the ratio to IREE's code became worse beyond noise.",
)
@html_option
@json_option
def command(
    model: Path,
    kernels: tuple[Path, ...],
    builtin: bool,
    plan: Path | None,
    device: str,
    threads: int,
    function: str | None,
    inputs: tuple[str, ...],
    seed: int,
    best_flags: bool,
    budget_s: float,
    save: Path | None,
    compare: Path | None,
    html: Path | None,
    as_json: bool,
    flags: tuple[str, ...],
) -> int:
    """Time MODEL with kernels beside IREE's own code.

    The calls are made in turns, on several sets of inputs, until it is clear which is faster. Each kernel is checked
    first, and results are compared before and after: what is wrong has no time.
    """
    outputs = {"--save": save, "--html": html}
    check_distinct(outputs)
    for option, file in outputs.items():
        check_writable(file, option)
    from .. import device as devices
    from ..bench.bench_report import (
        compare_reports,
        digest_of,
        load_report,
        refuse_other,
        report_to_json,
        save_report,
    )
    from ..bench.candidates import BenchSetting, bench_model
    from ..report.bench_table import bench_table, describe_change

    before = load_report(compare) if compare else None
    if before and model.is_file():  # before the long work
        refuse_other(before, {"digest": digest_of(model), "device": device, "threads": threads})
    say_target(flags)
    setting = BenchSetting(device=device, threads=threads, function=function, seed=seed, budget_s=budget_s)
    with progress(long=True) as report:
        found = bench_model(
            model,
            kernels=kernels,
            builtin=builtin,
            flags=flags,
            plan=plan,
            best_flags=best_flags,
            inputs=devices.parse_inputs(inputs),
            setting=setting,
            progress=report,
        )
    if save is not None:
        save_report(found, save)
    if html is not None:
        from ..cache.atomic import write_whole
        from ..report.page import write_page
        from ..report.page_contents import page_of_bench

        write_whole(html, write_page(page_of_bench(report_to_json(found))).encode())
    change = compare_reports(found, before) if before else None
    if as_json:
        show_json(report_to_json(found) | ({"change": change.kind} if change else {}))
    else:
        show(bench_table(found))
        if change:
            click.echo(describe_change(change))
    return 1 if change and change.kind == "regression" else 0
