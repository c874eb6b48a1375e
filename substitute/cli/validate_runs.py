"""What `iree-substitute validate` does with kernels, models, mutants and bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..validate.judge import Options
from .flags import MODEL_SUFFIXES
from .terminal import progress, show, show_json, terminal_width

if TYPE_CHECKING:
    from ..attest.write import Attestation
    from ..validate.kernel_verdict import KernelVerdict
    from ..validate.verdict import DispatchVerdict


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


def validate_chosen(
    what: tuple[str, ...], request: Request, *, jobs: int, cluster: str, min_coverage: float | None
) -> int:
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


def validate_mutants(what: tuple[str, ...], request: Request, *, count: int) -> int:
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


def validate_one_model(
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


def replay_bundle(folder: Path, device: str | None, case: str, options: Options) -> int:
    from ..report.validation_tables import dispatch_verdicts
    from ..validate.reproducer import replay

    with progress(long=True) as report:
        verdicts = replay(folder, device=device, case=case, isolate=True, options=options, progress=report)
    command = f"iree-substitute validate --replay {folder}"
    show(dispatch_verdicts(verdicts, command=command, width=terminal_width()))
    judged = [v for v in verdicts if not v.skipped]
    return 0 if judged and all(v.passed for v in judged) else 1
