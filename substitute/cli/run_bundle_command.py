"""`iree-substitute run-bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import FILE, report_options
from .terminal import progress, show, terminal_width


@click.command("run-bundle")
@click.argument("file", type=FILE)
@click.option(
    "--device", metavar="NAME", help="The device to run on, as IREE names it; left out: what the bundle was made for."
)
@click.option("--case", default="", metavar="TEXT", help="Only the cases whose name holds this text.")
@report_options
def command(
    file: Path, device: str | None, case: str, json_file: Path | None, junit: Path | None, html: Path | None
) -> int:
    """Run and judge FILE, which `iree-substitute validate --bundle FILE` wrote, without a compiler.

    Where not even this program is installed, but iree-base-runtime and NumPy are, `python FILE --device NAME` does the
    same. The exit status is 0 if all is right, 1 if something is wrong.
    """
    from ..report.validation_tables import dispatch_verdicts
    from ..validate.run_bundle import run_bundle, write_reports

    with progress(long=True) as report:
        validation = run_bundle(file, device=device, case=case, progress=report)
    write_reports(validation, json_file=json_file, junit=junit, html=html)
    show(dispatch_verdicts(validation.dispatches, command=validation.command, width=terminal_width()))
    click.echo(f"{'passed' if validation.passed else 'FAILED'} on {validation.device}")
    return 0 if validation.passed else 1
