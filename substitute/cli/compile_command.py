"""`iree-substitute compile`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .flags import CompilerCommand
from .options import FILE, catalog_options, html_option, model_argument, require_option
from .terminal import check_distinct, check_writable, progress, say_target, show, terminal_width

if TYPE_CHECKING:
    from ..attest.proof import Requirement
    from ..pipeline import CompileResult


@click.command("compile", cls=CompilerCommand)
@model_argument
@click.option("-o", "--output", required=True, type=FILE, metavar="FILE", help="Where the module goes (.vmfb).")
@catalog_options
@click.option("--plan-out", type=FILE, metavar="FILE", help="Write what was substituted by what, as JSON.")
@click.option(
    "--dump-payloads",
    type=FILE,
    metavar="DIR",
    help="Write all code that was generated, as it is embedded and as text, by the dispatch's name.",
)
@click.option("--lock", type=FILE, metavar="FILE", help="Write the SHA-256 of every payload and kernel.")
@click.option(
    "--locked", type=FILE, metavar="FILE", help="Embed only what this lock names as it is; anything else is an error."
)
@click.option(
    "--require-validated",
    is_flag=True,
    help="Embed only code that a passing attestation names for its target; what has none is left to IREE's own code.",
)
@click.option(
    "--attestations",
    multiple=True,
    type=FILE,
    metavar="PATH",
    help="With --require-validated: attestations beside those in kernels' folders; may be given several times.",
)
@click.option(
    "--signed-by",
    default="",
    metavar="IDENTITY",
    help="With --require-validated: only attestations that this identity signed (needs the extra `sigstore`).",
)
@click.option("--issuer", default="", metavar="URL", help="With --signed-by: the identity's OpenID provider.")
@click.option("--plan", type=FILE, metavar="FILE", help="Substitute what this plan says, and nothing else.")
@require_option
@click.option(
    "--no-substitute",
    "substitute",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave IREE's own code everywhere, to compare with.",
)
@click.option(
    "--no-check",
    "check",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Embed kernels without judging them and timing them beside IREE's own code.",
)
@click.option(
    "--faster-only", is_flag=True, help="Also leave out a kernel of your own where the check finds it slower."
)
@html_option
def command(
    model: Path,
    output: Path,
    kernels: tuple[Path, ...],
    builtin: bool,
    plan_out: Path | None,
    dump_payloads: Path | None,
    lock: Path | None,
    locked: Path | None,
    require_validated: bool,
    attestations: tuple[Path, ...],
    signed_by: str,
    issuer: str,
    plan: Path | None,
    require: tuple[str, ...],
    substitute: bool,
    check: bool,
    faster_only: bool,
    html: Path | None,
    flags: tuple[str, ...],
) -> None:
    """Compile MODEL (.mlir, .mlirbc or .onnx), replacing dispatches by the kernels that match them."""
    outputs = {"-o": output, "--plan-out": plan_out, "--lock": lock, "--html": html}
    check_distinct(outputs)
    for option, file in outputs.items():
        check_writable(file, option)
    from ..cache.atomic import write_whole
    from ..guard.guard import default_check
    from ..lock import check_lock, read_lock, write_lock
    from ..payload import dump
    from ..pipeline import compile_model
    from ..report.as_json import plan_to_json
    from ..report.tables import substitution_table

    if dump_payloads is not None:
        dump.check_folder(dump_payloads)
    say_target(flags)
    checking = default_check() if check else None
    if checking is not None and faster_only:
        checking = replace(checking, faster_only=True)
    named = read_lock(locked) if locked is not None else None
    requirement = _requirement(require_validated, attestations, signed_by, issuer)
    with progress() as report:
        result = compile_model(
            model,
            output=output if named is None else None,
            kernels=kernels,
            builtin=builtin,
            flags=flags,
            plan=plan,
            require=require,
            substitute=substitute,
            check=checking or False,
            **({"keep_ir": True} if html is not None else {}),
            require_validated=requirement,
            isolate=True,
            progress=report,
        )
    for note in result.notes:
        click.echo(f"note: {plan}: {note}; `iree-substitute tune` measures again", err=True)
    if locked is not None and named is not None:
        check_lock(locked, named, result.plan, result.payloads)
        write_whole(output, result.vmfb)
    if lock is not None:
        write_lock(lock, result.plan, result.payloads)
    if plan_out is not None:
        text = json.dumps(plan_to_json(result.plan, result.payloads, result.checked), indent=2, ensure_ascii=False)
        write_whole(plan_out, f"{text}\n".encode())
    if html is not None:
        write_whole(html, _page(result, model, flags).encode())
    if dump_payloads is not None:
        written = dump.dump_payloads(result.plan, result.payloads, dump_payloads)
        click.echo(f"wrote {len(written)} files to {dump_payloads}, listed in {written[-1]}")
    show(substitution_table(result.plan, result.payloads, result.checked, width=terminal_width()))
    for one in result.unproven:
        click.echo(f"left out: {one.kernel} in {one.dispatch}: {one.reason}; IREE's own code stays")
    if result.unproven:
        from ..attest.proof import HOW

        click.echo(HOW)
    phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in result.seconds.items())
    total = sum(result.seconds.values())
    click.echo(f"wrote {output} ({output.stat().st_size:,} bytes) in {total:.2f} s" + (f": {phases}" if phases else ""))


def _page(result: CompileResult, model: Path, flags: tuple[str, ...]) -> str:
    from ..report.as_json import inspection_to_json, plan_to_json
    from ..report.listing import list_code
    from ..report.page import write_page
    from ..report.page_contents import page_of_compilation

    facts = [("flags", " ".join(flags))]
    facts += [("time", ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in result.seconds.items()))]
    page = page_of_compilation(
        plan_to_json(result.plan, result.payloads, result.checked),
        inspection_to_json(result.plan),
        model=str(model),
        facts=facts,
        listings=list_code(result.plan, result.ir, result.payloads),
    )
    return write_page(page)


def _requirement(wanted: bool, places: tuple[Path, ...], signed_by: str, issuer: str) -> Requirement | None:
    """Return the proof that is demanded of each payload. Raises `UsageError`."""
    given = {"--attestations": places, "--signed-by": signed_by, "--issuer": issuer}
    useless = [option for option, value in given.items() if value] if not wanted else []
    if issuer and not signed_by:
        useless = ["--issuer"]
    if useless:
        needed = "--signed-by" if wanted else "--require-validated"
        raise UsageError(
            f"{useless[0]} has no effect without {needed}",
            expected=needed,
            found=", ".join(useless),
            next_step=f"add {needed}, or leave it out",
        )
    if not wanted:
        return None
    from ..attest.proof import Requirement, Signer, check_places

    check_places(places)
    if signed_by:
        from ..attest.signing import check_installed

        check_installed("--signed-by")
    signer = Signer(identity=signed_by, issuer=issuer) if signed_by else None
    return Requirement(places=places, signer=signer)
