"""`iree-substitute simulate`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from ..errors import UsageError
from .options import FILE


@click.command("simulate", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--device", metavar="ARCH", help="Which simulated device comes first: sm_70 to sm_120 (default sm_80).")
@click.option(
    "--findings",
    type=click.Choice(["fail", "report"]),
    help="What comes of findings that a GPU would not notice: a failed launch, or words.",
)
@click.option(
    "--log", type=FILE, metavar="FILE", help="Append each launch and its findings to FILE, as a line of JSON."
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
def command(device: str | None, findings: str | None, log: Path | None, program: tuple[str, ...]) -> int:
    """Run PROGRAM with the simulated CUDA devices: `simulate iree-run-module --device=cuda …`.

    Without PROGRAM, print the environment that does it: `eval "$(iree-substitute simulate --device sm_90)"`.
    """
    from ..device.cuda_sim.driver import SETTINGS, environment, read_settings
    from ..payload.programs import find_program

    given = {"device": device, "findings": findings, "log": str(log.resolve()) if log else None}
    chosen = {SETTINGS[name]: value for name, value in given.items() if value}
    settings = read_settings({**os.environ, **chosen})
    wanted = {**environment(os.environ, device=settings.device), **chosen}
    if not program:
        for name in sorted(wanted):
            if wanted[name] != os.environ.get(name):
                click.echo(f"export {name}={shlex.quote(wanted[name])}")
        return 0
    path = find_program(program[0])
    if path is None:
        raise UsageError(f"there is no program {program[0]!r}", expected="one of this environment, or on PATH")
    os.execve(path, program, wanted)
