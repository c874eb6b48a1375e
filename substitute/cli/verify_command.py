"""`iree-substitute verify`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .options import FILE, json_option
from .terminal import show_json

if TYPE_CHECKING:
    from ..attest.proof import Signer
    from ..attest.statement import Statement


@click.command("verify")
@click.argument("attestations", nargs=-1, type=FILE, metavar="ATTESTATION…")
@click.option("--payload", type=FILE, metavar="FILE", help="Also: this file is code that each attestation names.")
@click.option(
    "--signed-by",
    default="",
    metavar="IDENTITY",
    help="Also: this identity (an e-mail address or the URI of a workflow) signed each (needs the extra `sigstore`).",
)
@click.option("--issuer", default="", metavar="URL", help="With --signed-by: the identity's OpenID provider.")
@json_option
def command(attestations: tuple[Path, ...], payload: Path | None, signed_by: str, issuer: str, as_json: bool) -> int:
    """Read what `validate --attest` wrote, check its form, its digests and its signature, and say what it proves.

    ATTESTATION is a file, or a folder of them. The exit status is 1 if one has not passed, or is not signed as asked.
    """
    from ..attest.proof import Signer, list_attestations, read_attestation

    files = [file for place in attestations for file in list_attestations(place)]
    missing = [place for place in attestations if not list_attestations(place)]
    if missing or not files:
        raise UsageError(
            "there is no attestation" + (" there" if missing else ""),
            where=str(missing[0]) if missing else "",
            expected="a file that `validate --attest` wrote, or a folder of them",
            found="none",
            next_step="iree-substitute validate KERNEL --attest FILE.intoto.json",
        )
    if issuer and not signed_by:
        raise UsageError(
            "--issuer has no effect without --signed-by",
            expected="--signed-by IDENTITY",
            found=f"--issuer {issuer}",
            next_step="say whose signature it is",
        )
    signer = Signer(identity=signed_by, issuer=issuer) if signed_by else None
    digest = _digest(payload) if payload is not None else ""
    found = [(file, read_attestation(file, signer)) for file in files]
    named = [not digest or any(digest == s.sha256 for s in statement.subjects) for _, statement in found]
    if as_json:
        show_json({"attestations": [_to_json(f, s, signer, digest, n) for (f, s), n in zip(found, named, strict=True)]})
    else:
        for (file, statement), is_named in zip(found, named, strict=True):
            for line in _describe(file, statement, signer):
                click.echo(line)
            if not is_named:
                click.echo(f"  {payload} (sha256 {digest}) is none of them")
    return 0 if all(s.result == "PASSED" for _, s in found) and all(named) else 1


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(
            "the payload cannot be read",
            where=f"--payload {file}",
            expected="a file, such as `compile --dump-payloads DIR` writes",
            found=error.strerror or str(error),
            next_step="correct the path",
        ) from None


def _describe(file: Path, statement: Statement, signer: Signer | None) -> list[str]:
    device, iree, seeds = (statement.facts.get(name, {}) for name in ("device", "iree", "seeds"))
    signed = f"signed by {signer.identity}" if signer else "its signature was not asked for"
    lines = [f"{file}: {statement.kernel} {statement.result}, {signed}"]
    tests = (("passed", statement.passed), ("not judged", statement.warned), ("failed", statement.failed))
    lines.append("  tests: " + ", ".join(f"{len(names)} {word}" for word, names in tests))
    lines += [f"  {word}: {name}" for word, names in tests[1:] for name in names[:3]]
    lines.append(
        f"  on {device.get('device')} ({device.get('cpu')}), IREE {iree.get('iree-base-compiler')}, "
        f"seed {seeds.get('seed')}{', quick' if seeds.get('quick') else ''}"
    )
    for subject in statement.subjects:
        target = subject.target
        lines.append(
            f"  code {subject.name}: sha256 {subject.sha256}, for {target.get('backend')} {target.get('format')}"
        )
    return lines


def _to_json(file: Path, statement: Statement, signer: Signer | None, digest: str, named: bool) -> dict[str, Any]:
    return {
        "file": str(file),
        "kernel": statement.kernel,
        "result": statement.result,
        "signed_by": signer.identity if signer else None,
        "passed": list(statement.passed),
        "warned": list(statement.warned),
        "failed": list(statement.failed),
        "configuration": dict(statement.configuration),
        "facts": dict(statement.facts),
        "payloads": [{"name": s.name, "sha256": s.sha256, "target": dict(s.target)} for s in statement.subjects],
        "names_payload": named if digest else None,
    }
