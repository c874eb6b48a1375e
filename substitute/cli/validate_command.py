"""`iree-substitute validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .flags import MODEL_SUFFIXES, CompilerCommand
from .options import FILE, catalog_options, json_option
from .run_command import VALUES
from .terminal import progress, show, show_json, terminal_width

if TYPE_CHECKING:
    from ..validate.kernel_verdict import KernelVerdict

REPRODUCERS = Path("reproducers")
"""Where the culprits of a wrong model are kept."""


@click.command("validate", cls=CompilerCommand)
@click.argument("what", nargs=-1, metavar="MODEL | KERNEL…")
@click.option("--device", metavar="NAME",
              help="The device to run on, as IREE names it (default local-task), or cuda-sim[://sm_90].")  # fmt: skip
@click.option("--quick", is_flag=True, help="A few cases of each dispatch: seconds instead of minutes.")
@click.option("--seed", type=int, default=0, show_default=True, help="For everything that is drawn.")
@click.option("--case", default="", metavar="TEXT", help="Only the cases whose name holds this text.")
@click.option("--plan", type=FILE, metavar="FILE", help="MODEL: substitute what this plan says, and nothing else.")
@click.option("--function", metavar="NAME", help="MODEL: what to call; may be left out where there is only one.")
@click.option("--input", "inputs", multiple=True, metavar="VALUE",
              help=f"MODEL: an argument: {VALUES}. Left out, all are drawn from --seed.")  # fmt: skip
@click.option("--expected", multiple=True, metavar="VALUE",
              help="MODEL: what a result should be, as the model's own framework gives it; one for each.")  # fmt: skip
@click.option("--reproducer", type=FILE, default=REPRODUCERS, show_default=True, metavar="DIR",
              help="MODEL: where the dispatches that make it wrong are kept.")  # fmt: skip
@click.option("--replay", type=FILE, metavar="DIR", help="Judge a kept dispatch again, without compiling anything.")
@catalog_options
@json_option
def command(
    what: tuple[str, ...],
    device: str | None,
    quick: bool,
    seed: int,
    case: str,
    plan: Path | None,
    function: str | None,
    inputs: tuple[str, ...],
    expected: tuple[str, ...],
    reproducer: Path,
    replay: Path | None,
    kernels: tuple[Path, ...],
    builtin: bool,
    as_json: bool,
    flags: tuple[str, ...],
) -> int:
    """Compare kernels with a golden in float64, on a device.

    KERNEL is the name of a kernel or its folder: it is tried at sizes drawn from its definition and constraints. MODEL
    (.onnx, .mlir, .mlirbc): each dispatch that a kernel takes is tried where the model launches it, and then the whole
    model beside stock IREE. The exit status is 0 if all is right, 1 if something is wrong.
    """
    if replay is not None:
        return _replay(replay, device)
    if not what:
        raise UsageError(
            "there is nothing to validate", expected="a model, or kernels by name or folder", found="neither",
            next_step="`iree-substitute kernels` lists the kernels",
        )  # fmt: skip
    if not any(word.endswith(MODEL_SUFFIXES) for word in what):
        return _kernels(what, device or "local-task", quick=quick, seed=seed, case=case, folders=kernels,
                        builtin=builtin, flags=flags, as_json=as_json)  # fmt: skip
    if len(what) > 1:
        raise UsageError(
            "one model at a time", expected="one model, or kernels", found=" ".join(what),
            next_step="validate them one after the other",
        )  # fmt: skip
    from ..device import parse_inputs
    from ..report.as_json import verdict_to_json
    from ..report.tables import verdict_table
    from ..validate import validate_model

    values = parse_inputs(inputs)
    with progress() as report:
        verdict = validate_model(
            Path(what[0]), device=device or "local-task", kernels=kernels, builtin=builtin, flags=flags, plan=plan,
            function=function, seed=seed, inputs=values, expected=parse_inputs(expected), quick=quick, case=case,
            reproducer=reproducer, isolate=True, progress=report,
        )  # fmt: skip
    if as_json:
        show_json(verdict_to_json(verdict, drawn=not values))
        return 0 if verdict.passed else 1
    from ..report.validation_tables import dispatch_verdicts

    if verdict.dispatches:
        show(dispatch_verdicts(verdict.dispatches, command=_repeat(what[0]), width=terminal_width()))
    if verdict.results or not case:
        show(verdict_table(verdict, drawn=not values, width=terminal_width()))
    for name in verdict.culprits:
        click.echo(f"what makes it wrong: {name}")
    for folder in verdict.reproducers:
        click.echo(f"kept in {folder}: iree-substitute validate --replay {folder}")
    return 0 if verdict.passed else 1


def _kernels(
    what: tuple[str, ...],
    device: str,
    *,
    quick: bool,
    seed: int,
    case: str,
    folders: tuple[Path, ...],
    builtin: bool,
    flags: tuple[str, ...],
    as_json: bool,
) -> int:
    """Kernels by name or folder, each on the device."""
    from ..report.validation_json import kernel_verdict_to_json
    from ..report.validation_tables import kernel_verdicts
    from ..validate.kernel import find_kernels, validate_kernel
    from ..validate.model import prefixed

    chosen = find_kernels(what, folders=folders, builtin=builtin)
    verdicts: list[KernelVerdict] = []
    with progress() as report:
        for kernel in chosen:
            verdicts.append(
                validate_kernel(kernel, device=device, quick=quick, seed=seed, case=case, flags=flags, isolate=True,
                                progress=prefixed(report, f"{kernel.name}: "))
            )  # fmt: skip
    if as_json:
        show_json({"kernels": [kernel_verdict_to_json(v) for v in verdicts]})
    else:
        show(kernel_verdicts(verdicts, command=_repeat, width=terminal_width()))
    return 0 if all(v.passed for v in verdicts) else 1


def _repeat(what: str) -> str:
    """The command line for `what` alone, without what chooses cases."""
    import shlex
    import sys

    words = sys.argv[1:] if sys.argv[1:2] == ["validate"] else ["validate"]
    kept, skip = [], False
    options = click.get_current_context().params
    named = options.get("what", ())
    for word in words:
        if skip or word in named:
            skip = False
        elif word in ("--case", "--seed"):
            skip = True
        elif not word.startswith(("--case=", "--seed=")):
            kept.append(word)
    return shlex.join(["iree-substitute", *kept, what])


def _replay(folder: Path, device: str | None) -> int:
    from ..report.validation_tables import dispatch_verdicts
    from ..validate.reproducer import replay

    with progress() as report:
        verdicts = replay(folder, device=device, isolate=True, progress=report)
    command = f"iree-substitute validate --replay {folder}"
    show(dispatch_verdicts(verdicts, command=command, width=terminal_width()))
    return 0 if all(v.passed for v in verdicts if not v.skipped) else 1
