"""`iree-substitute validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SubstituteError, UsageError
from ..validate.judge import Options
from .flags import MODEL_SUFFIXES, CompilerCommand
from .options import FILE, Number, catalog_options, json_option, report_options, require_option
from .run_command import VALUES
from .validate_runs import Request, replay_bundle, validate_chosen, validate_mutants, validate_one_model

if TYPE_CHECKING:
    from ..attest.write import Attestation

REPRODUCERS = Path("reproducers")
"""Folder for the dispatches that make a model wrong."""


_CASES = frozenset({"what", "device", "quick", "seed", "case", "kernels", "builtin", "flags"})
_ATTESTATION = frozenset({"attest", "sign"})
_REPORTS = frozenset({"as_json", "html", "junit", "json_file"})
USED = {
    "--replay": frozenset({"replay", "device", "case", "time_limit"}),
    "--mutate": _CASES | {"mutate", "count", "time_limit", "as_json"},
    "--bundle of kernels": _CASES | {"bundle"},
    "--bundle of a model": _CASES | {"bundle", "plan", "inputs"},
    "kernels": _CASES | _REPORTS | _ATTESTATION | {"time_limit", "jobs", "cluster", "min_coverage"},
    "a model": _CASES
    | _REPORTS
    | _ATTESTATION
    | {"time_limit", "plan", "require", "function", "inputs", "expected", "reproducer"},
}
"""Parameters that have an effect, for each way of using the command."""


class ValidateCommand(CompilerCommand):
    """A command with the verdict as exit status 1; other errors have status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SubstituteError as error:
            error.exit_status = UsageError.exit_status
            raise


@click.command("validate", cls=ValidateCommand)
@click.argument("what", nargs=-1, metavar="MODEL | KERNEL…")
@click.option(
    "--device",
    metavar="NAME",
    help="The device to run on, as IREE names it (default local-task), or cuda-sim[://sm_90].",
)
@click.option("--quick", is_flag=True, help="A few cases of each dispatch: seconds instead of minutes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For everything that is drawn.")
@click.option("--case", default="", metavar="TEXT", help="Only the cases whose name holds this text.")
@click.option("--plan", type=FILE, metavar="FILE", help="MODEL: substitute what this plan says, and nothing else.")
@click.option("--function", metavar="NAME", help="MODEL: what to call; may be left out where there is only one.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="VALUE",
    help=f"MODEL: an argument: {VALUES}. Left out, all are drawn from --seed.",
)
@click.option(
    "--expected",
    multiple=True,
    metavar="VALUE",
    help="MODEL: what a result should be, as the model's own framework gives it; one for each.",
)
@click.option(
    "--reproducer",
    type=FILE,
    default=REPRODUCERS,
    show_default=True,
    metavar="DIR",
    help="MODEL: where the dispatches that make it wrong are kept.",
)
@click.option("--replay", type=FILE, metavar="DIR", help="Judge a kept dispatch again, without compiling anything.")
@click.option(
    "--jobs",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="KERNEL: how many at a time; -1: one for each core.",
)
@click.option("--cluster", default="", metavar="ADDRESS", help="KERNEL: on the Dask cluster of this scheduler.")
@click.option(
    "--time-limit",
    type=Number(min=0.1),
    metavar="SECONDS",
    help="Processor time that a case may take; left out, what its size suggests.",
)
@click.option(
    "--min-coverage",
    type=Number(min=0, max=100),
    metavar="PERCENT",
    help="KERNEL: the exit status is 1 where fewer of its branches went both ways, or nothing is known of them.",
)
@click.option(
    "--bundle",
    type=FILE,
    metavar="FILE",
    help="Judge nothing here: pack modules, inputs and goldens for another machine. For several kernels "
    "this is a folder.",
)
@click.option(
    "--mutate",
    is_flag=True,
    help="KERNEL: plant small faults in its code, and report those that the chosen cases do not see.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="With --mutate: how many faults at most; they are drawn from --seed.",
)
@click.option(
    "--attest",
    type=FILE,
    metavar="PATH",
    help="Write the verdict on each kernel as an in-toto attestation: a file (.intoto.json), or a folder for several.",
)
@click.option("--sign", is_flag=True, help="With --attest: sign through Sigstore (needs the extra `sigstore`).")
@require_option
@report_options
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
    jobs: int,
    cluster: str,
    time_limit: float | None,
    min_coverage: float | None,
    bundle: Path | None,
    mutate: bool,
    count: int,
    attest: Path | None,
    sign: bool,
    require: tuple[str, ...],
    kernels: tuple[Path, ...],
    builtin: bool,
    as_json: bool,
    flags: tuple[str, ...],
    **reports: Path | None,
) -> int:
    """Compare kernels with a golden in float64, on a device.

    KERNEL is the name of a kernel or its folder: it is tried at sizes drawn from its definition and constraints. MODEL
    (.onnx, .mlir, .mlirbc): each dispatch that a kernel takes is tried where the model launches it, and then the whole
    model beside stock IREE. The exit status is 0 if all is right, 1 if something is wrong or could not be judged, 2 if
    the command or a kernel's files are.
    """
    is_model = any(word.endswith(MODEL_SUFFIXES) for word in what)
    of = "a model" if is_model else "kernels"
    use = "--replay" if replay is not None else "--mutate" if mutate else f"--bundle of {of}" if bundle else of
    _check_use(use)
    options = Options(limit_s=time_limit or 0.0)
    if replay is not None:
        return replay_bundle(replay, device, case, options)
    if not what:
        raise UsageError(
            "there is nothing to validate",
            expected="a model, or kernels by name or folder",
            found="neither",
            next_step="`iree-substitute kernels` lists the kernels",
        )
    request = Request(
        device=device or "local-task",
        quick=quick,
        seed=seed,
        case=case,
        kernels=kernels,
        builtin=builtin,
        flags=flags,
        as_json=as_json,
        bundle=bundle,
        reports=reports,
        options=options,
        attestation=_attestation(attest, sign=sign, case=case),
    )
    if mutate:
        return validate_mutants(what, request, count=count)
    if not is_model:
        return validate_chosen(what, request, jobs=jobs, cluster=cluster, min_coverage=min_coverage)
    if len(what) > 1:
        raise UsageError(
            "one model at a time",
            expected="one model, or kernels",
            found=" ".join(what),
            next_step="validate them one after the other",
        )
    return validate_one_model(
        Path(what[0]),
        request,
        plan=plan,
        require=require,
        function=function,
        inputs=inputs,
        expected=expected,
        reproducer=reproducer,
    )


def _check_use(use: str) -> None:
    """Raise `UsageError` for options on the command line that would be ignored."""
    context = click.get_current_context()
    used = [p for p in context.command.get_params(context) if p.name in USED[use]]
    given = {
        parameter.name: parameter.opts[0] if isinstance(parameter, click.Option) else "MODEL or KERNEL"
        for parameter in context.command.get_params(context)
        if parameter.name and context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
    }
    if context.params["flags"]:
        given["flags"] = context.params["flags"][0]
    useless = [label for name, label in given.items() if name not in USED[use]]
    if useless:
        raise UsageError(
            f"{useless[0]} has no effect with {use}",
            expected="one of " + ", ".join(p.opts[0] for p in used if isinstance(p, click.Option)),
            found=", ".join(useless),
            next_step="leave it out; `iree-substitute validate --help` says what each option is for",
        )


def _attestation(place: Path | None, *, sign: bool, case: str) -> Attestation | None:
    """Return where verdicts are attested, checked before the long work. Raises `UsageError`."""
    if place is None and not sign:
        return None
    from ..attest.write import open_attestation

    if place is None or case:
        raise UsageError(
            "nothing is signed without --attest" if place is None else "an attestation speaks of all cases",
            where="--sign" if place is None else f"--case {case}",
            expected="--attest PATH" if place is None else "--attest without --case",
            found="none" if place is None else "both",
            next_step="say where the attestation goes" if place is None else "leave one of them out",
        )
    return open_attestation(place, sign=sign)
