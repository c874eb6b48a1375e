"""`iree-substitute validate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SubstituteError, UsageError
from ..validate.judge import Options
from .flags import MODEL_SUFFIXES, CompilerCommand
from .options import FILE, Number, catalog_options, json_option, report_options, require_option
from .run_command import VALUES
from .terminal import progress, show, show_json, terminal_width

if TYPE_CHECKING:
    from ..attest.write import Attestation
    from ..validate.kernel_verdict import KernelVerdict
    from ..validate.verdict import DispatchVerdict

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Options that kernels and models share."""

    device: str
    quick: bool
    seed: int
    case: str
    kernels: tuple[Path, ...]
    builtin: bool
    flags: tuple[str, ...]
    as_json: bool
    bundle: Path | None
    reports: Mapping[str, Any]
    """Path of each report; None: it is not written."""
    options: Options
    attestation: Attestation | None = None


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
        return _replay(replay, device, case, options)
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
        return _mutants(what, request, count=count)
    if not is_model:
        return _kernels(what, request, jobs=jobs, cluster=cluster, min_coverage=min_coverage)
    if len(what) > 1:
        raise UsageError(
            "one model at a time",
            expected="one model, or kernels",
            found=" ".join(what),
            next_step="validate them one after the other",
        )
    return _model(
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


def _kernels(what: tuple[str, ...], request: Request, *, jobs: int, cluster: str, min_coverage: float | None) -> int:
    """Validate kernels by name or folder on the device."""
    from ..report.validation_json import kernel_verdict_to_json
    from ..report.validation_tables import kernel_verdicts
    from ..validate.batch import bundle_kernels, summarize_kernels, validate_kernels
    from ..validate.kernel import find_kernels
    from ..validate.run_bundle import write_reports
    from ..validate.validation import now

    chosen = find_kernels(what, folders=request.kernels, builtin=request.builtin)
    common = _case_choice(request)
    started = now()
    writer = request.attestation
    if writer is not None:
        writer.begin(chosen)
    with progress(long=True) as report:
        if request.bundle is not None:
            places = bundle_kernels(chosen, request.bundle, progress=report, **common)
            return _bundled(places)
        verdicts = validate_kernels(
            chosen,
            jobs=jobs,
            cluster=cluster,
            options=request.options,
            emitted=writer is not None,
            progress=report,
            **common,
        )
    command = _repeat(" ".join(what))
    write_reports(
        summarize_kernels(verdicts, device=request.device, seed=request.seed, command=command, started=started),
        **request.reports,
    )
    if request.as_json:
        show_json({"kernels": [kernel_verdict_to_json(v) for v in verdicts]})
    else:
        show(kernel_verdicts(verdicts, command=_repeat, width=terminal_width()))
    if writer is not None:
        _attest(writer, {v.kernel: v.dispatches for v in verdicts if not v.error}, request)
    if any(v.error for v in verdicts):
        return UsageError.exit_status
    uncovered = [v for v in verdicts if min_coverage is not None and not _is_covered(v, min_coverage)]
    for verdict in uncovered if not request.as_json else ():
        click.echo(
            f"{verdict.kernel}: fewer than {min_coverage:g} % of its branches went both ways, or none is measured"
        )
    return 0 if all(v.passed for v in verdicts) and not uncovered else 1


def _attest(
    writer: Attestation,
    verdicts: Mapping[str, Sequence[DispatchVerdict]],
    request: Request,
    model: Path | None = None,
) -> None:
    """Write the attestation of each kernel, and say where."""
    from ..attest.statement import Circumstances

    circumstances = Circumstances(
        device=request.device, seed=request.seed, quick=request.quick, flags=request.flags, model=model
    )
    for file, kernel, result in writer.write(verdicts, circumstances):
        click.echo(f"attested: {kernel} {result} in {file}", err=request.as_json)


def _is_covered(verdict: KernelVerdict, percent: float) -> bool:
    share = verdict.coverage.share if verdict.coverage is not None else None
    return share is not None and 100 * share >= percent


def _case_choice(request: Request) -> dict[str, Any]:
    """Return the options that select a kernel's cases and its device."""
    return {
        "device": request.device,
        "quick": request.quick,
        "seed": request.seed,
        "case": request.case,
        "flags": request.flags,
    }


def _mutants(what: tuple[str, ...], request: Request, *, count: int) -> int:
    """Return 0 if the chosen cases detect every fault that was made in the kernels' code, else 1."""
    from ..report.mutation import mutation_tables, mutation_to_json
    from ..validate.kernel import find_kernels
    from ..validate.mutation.mutate import mutate_kernels

    if any(word.endswith(MODEL_SUFFIXES) for word in what):
        raise UsageError(
            "faults are planted in kernels, not in models",
            where="--mutate",
            expected="kernels by name or folder",
            found=" ".join(what),
            next_step="name the kernels: `iree-substitute inspect MODEL` lists those that it uses",
        )
    with progress(long=True) as report:
        reports = mutate_kernels(
            find_kernels(what, folders=request.kernels, builtin=request.builtin),
            count=count,
            options=request.options,
            progress=report,
            **_case_choice(request),
        )
    if request.as_json:
        show_json({"kernels": [mutation_to_json(r) for r in reports]})
    else:
        show(mutation_tables(reports, width=terminal_width()))
    if any(r.error for r in reports):
        return UsageError.exit_status
    return 0 if reports and all(r.passed for r in reports) else 1


def _model(
    model: Path,
    request: Request,
    *,
    plan: Path | None,
    require: tuple[str, ...],
    function: str | None,
    inputs: tuple[str, ...],
    expected: tuple[str, ...],
    reproducer: Path,
) -> int:
    """Validate a model's substituted dispatches, and then the whole of it."""
    from ..device import parse_inputs
    from ..report.as_json import verdict_to_json
    from ..report.tables import verdict_table
    from ..report.validation_tables import dispatch_verdicts
    from ..validate import validate_model
    from ..validate.batch import summarize_model
    from ..validate.run_bundle import write_reports
    from ..validate.validation import now

    values, started = parse_inputs(inputs), now()
    writer = request.attestation
    if writer is not None:
        from ..catalog.catalog import load_manifests

        writer.expect_several()
        writer.begin([m.kernel for m in load_manifests(request.kernels, builtin=False, kept=True)])
    if request.bundle is not None:
        return _bundle_model(model, request, plan=plan, inputs=values)
    with progress(long=True) as report:
        verdict = validate_model(
            model,
            device=request.device,
            kernels=request.kernels,
            builtin=request.builtin,
            flags=request.flags,
            plan=plan,
            require=require,
            function=function,
            seed=request.seed,
            inputs=values,
            expected=parse_inputs(expected),
            quick=request.quick,
            case=request.case,
            reproducer=reproducer,
            emitted=writer is not None,
            isolate=True,
            options=request.options,
            progress=report,
        )
    found = verdict_to_json(verdict, drawn=not values)
    write_reports(
        summarize_model(verdict, title=str(model), command=_repeat(str(model)), started=started),
        plan=found,
        **request.reports,
    )
    if writer is not None:
        kernels = {s.kernel.name: s.kernel for s in verdict.plan.substitutions}
        writer.begin(list(kernels.values()))
        _attest(writer, dict.fromkeys(kernels, verdict.dispatches), request, model)
    if request.as_json:
        show_json(found)
        return 0 if verdict.passed else 1
    if verdict.dispatches:
        show(dispatch_verdicts(verdict.dispatches, command=_repeat(str(model)), width=terminal_width()))
    if verdict.results or not request.case:
        show(verdict_table(verdict, drawn=not values, width=terminal_width()))
    if verdict.unproven:
        click.echo(f"not judged: {verdict.unproven}")
    for name in verdict.culprits:
        click.echo(f"what makes it wrong: {name}")
    for folder in verdict.reproducers:
        click.echo(f"kept in {folder}: iree-substitute validate --replay {folder}")
    return 0 if verdict.passed else 1


def _bundle_model(model: Path, request: Request, *, plan: Path | None, inputs: Sequence[Any]) -> int:
    """Pack every substituted dispatch of a model, with the launches that it has there."""
    from ..isolate import Call, isolated
    from ..validate.batch import write_bundle
    from ..validate.build import only_bundle
    from ..validate.subjects import Wanted
    from ..validate.targets import flags_for

    shapes = [tuple(value.shape) for value in inputs]
    wanted = Wanted(quick=request.quick, seed=request.seed, case=request.case, shapes=({"": shapes} if shapes else {},))
    arguments = {
        "model": model,
        "device": request.device,
        "kernels": request.kernels,
        "builtin": request.builtin,
        "flags": flags_for(request.device, request.flags),
        "plan": plan,
        "wanted": wanted,
    }
    assert request.bundle is not None
    with progress(long=True) as report:
        bundle = isolated(Call(only_bundle, arguments), report)
        write_bundle(bundle, request.bundle, title=str(model), seed=request.seed)
    return _bundled([request.bundle])


def _bundled(places: Sequence[Path]) -> int:
    for place in places:
        size = place.stat().st_size
        click.echo(f"wrote {place} ({size:,} bytes): iree-substitute run-bundle {place} --device NAME,")
        click.echo(f"  or, with iree-base-runtime and NumPy alone, python {place} --device NAME")
    return 0


def _repeat(what: str) -> str:
    """Return the command line for `what` alone, with its seed and without options that select cases."""
    import shlex
    import sys

    words = sys.argv[1:] if sys.argv[1:2] == ["validate"] else ["validate"]
    kept, skip = [], False
    options = click.get_current_context().params
    named = options.get("what", ())
    for word in words:
        if skip or word in named:
            skip = False
        elif word == "--case":
            skip = True
        elif not word.startswith("--case="):
            kept.append(word)
    return shlex.join(["iree-substitute", *kept, what])


def _replay(folder: Path, device: str | None, case: str, options: Options) -> int:
    from ..report.validation_tables import dispatch_verdicts
    from ..validate.reproducer import replay

    with progress(long=True) as report:
        verdicts = replay(folder, device=device, case=case, isolate=True, options=options, progress=report)
    command = f"iree-substitute validate --replay {folder}"
    show(dispatch_verdicts(verdicts, command=command, width=terminal_width()))
    judged = [v for v in verdicts if not v.skipped]
    return 0 if judged and all(v.passed for v in judged) else 1
