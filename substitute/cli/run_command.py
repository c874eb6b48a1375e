"""`iree-substitute run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .options import FILE
from .terminal import progress

if TYPE_CHECKING:
    import numpy as np

VALUES = "4x2xf32=1,2,…, 4x2xf32=@file.bin, or @file.npy"


@click.command("run")
@click.argument("module", type=FILE)
@click.option(
    "--device",
    default="local-task",
    show_default=True,
    metavar="NAME",
    help="A device as IREE names it: local-task, vulkan, cuda; or cuda-sim[://sm_90].",
)
@click.option("--function", metavar="NAME", help="The function to call; may be left out where there is only one.")
@click.option("--input", "inputs", multiple=True, metavar="VALUE", help=f"An argument: {VALUES}.")
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="TARGET",
    help="Where a result goes: @file.npy, @file.bin, +file (appended), or - (printed).",
)
@click.option(
    "--expected_output",
    "expected",
    multiple=True,
    metavar="VALUE",
    help="What a result should be; the exit status is 1 if one is not.",
)
def command(
    module: Path,
    device: str,
    function: str | None,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    expected: tuple[str, ...],
) -> int:
    """Run MODULE (.vmfb) on a device and print, write or check its results."""
    from .. import device as devices

    with progress() as report:
        report(f"running on {device}", None)
        values = devices.parse_inputs(inputs)
        results = devices.run_module(module, device=device, function=function, inputs=values)
    if outputs:
        _write(results, outputs)
    elif not expected:
        for at, result in enumerate(results):
            click.echo(f"result[{at}]: {devices.format_value(result)}")
    if not expected:
        return 0
    comparisons = devices.compare_expected(results, expected)
    for comparison in comparisons:
        click.echo(str(comparison))
    return 0 if all(comparison.equal for comparison in comparisons) else 1


def _write(results: Sequence[np.ndarray[Any, Any]], targets: Sequence[str]) -> None:
    from ..device import write_output

    if len(targets) > len(results):
        raise UsageError(
            "more outputs than results",
            where="--output",
            expected=f"at most {len(results)}",
            found=str(len(targets)),
            next_step="leave out the last ones",
        )
    for result, target in zip(results, targets, strict=False):
        text = write_output(result, target)
        if text is not None:
            click.echo(text)
