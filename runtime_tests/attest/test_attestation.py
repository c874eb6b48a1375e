"""Attestations: of a real validation, required by a real compilation; whatever is changed in one is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runtime_tests.cli.conftest import Run
from runtime_tests.cli.conftest import run as run
from substitute.attest.envelope import encode_before_signing, read_envelope, wrap
from substitute.attest.statement import decide_result, read_statement
from substitute.errors import SubstituteError, UsageError

DIGEST = {
    "type": "object",
    "required": ["sha256"],
    "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
DESCRIPTOR = {
    "type": "object",
    "anyOf": [{"required": [key]} for key in ("uri", "digest", "content")],
    "properties": {
        "name": {"type": "string"},
        "uri": {"type": "string"},
        "digest": DIGEST,
        "content": {"type": "string", "contentEncoding": "base64", "maxLength": 1368},
        "mediaType": {"type": "string"},
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
}
TESTS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
STATEMENT = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": {**DESCRIPTOR, "required": ["name", "digest"]}},
        "predicateType": {"const": "https://in-toto.io/attestation/test-result/v0.1"},
        "predicate": {
            "type": "object",
            "required": ["result", "configuration"],
            "additionalProperties": False,
            "properties": {
                "result": {"enum": ["PASSED", "WARNED", "FAILED"]},
                "configuration": {"type": "array", "items": {**DESCRIPTOR, "required": ["name", "digest"]}},
                "passedTests": TESTS,
                "warnedTests": TESTS,
                "failedTests": TESTS,
            },
        },
    },
}
"""What the specification says of a statement and of this predicate."""
ENVELOPE = {
    "type": "object",
    "required": ["payload", "payloadType", "signatures"],
    "properties": {
        "payload": {"type": "string", "contentEncoding": "base64"},
        "payloadType": {"const": "application/vnd.in-toto+json"},
        "signatures": {"type": "array", "items": {"type": "object", "required": ["sig"]}},
    },
}
FLAGS = ("--iree-llvmcpu-target-cpu=generic",)


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a kernel, whose attestation is beside it."""
    from substitute.cli.main import main

    folder = tmp_path_factory.mktemp("proven")
    assert main(["new", str(folder / "mine"), "--kind", "llvm-ir"]) == 0
    attest = ["validate", str(folder / "mine"), "--quick", "--attest", str(folder / "mine"), *FLAGS]
    assert main(attest) == 0
    return folder


def copy_of(proven: Path, place: Path) -> Path:
    shutil.copytree(proven / "mine", place / "mine")
    return place / "mine"


def change(folder: Path, edit: Callable[[Any], None]) -> None:
    file = folder / "mine.intoto.json"
    statement = json.loads(read_envelope(file).body)
    edit(statement)
    file.write_bytes(wrap(json.dumps(statement).encode()))


@pytest.mark.device
def test_what_is_attested_is_embedded(proven: Path, run: Run, tmp_path: Path) -> None:
    folder, dump = copy_of(proven, tmp_path / "elsewhere"), tmp_path / "dump"
    envelope = json.loads((folder / "mine.intoto.json").read_text())
    jsonschema.validate(envelope, ENVELOPE)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    jsonschema.validate(statement, STATEMENT)
    predicate = statement["predicate"]
    assert predicate["result"] == "PASSED" and predicate["passedTests"] and not predicate["warnedTests"]
    digests = {one["name"]: one["digest"]["sha256"] for one in predicate["configuration"]}
    assert digests["definition"] == hashlib.sha256((folder / "definition.mlir").read_bytes()).hexdigest()
    assert {"manifest", "definition", "protocol", "device", "iree", "seeds", "file:mine/kernel.ll"} <= set(digests)
    common = ("compile", folder / "example.mlir", "-o", tmp_path / "m.vmfb", "--kernels", folder, "--no-check", *FLAGS)
    done = run(*common, "--no-builtin", "--require-validated", "--require", "mine", "--dump-payloads", dump)
    assert done.status == 0 and "1 of 1 dispatches substituted" in done.out
    (embedded,) = json.loads((dump / "index.json").read_text())["payloads"]
    assert embedded["sha256"] in {subject["digest"]["sha256"] for subject in statement["subject"]}
    code = next(dump.glob("*.bc"))
    assert run("verify", folder, "--payload", code).status == 0
    assert run("verify", folder, "--payload", folder / "kernel.ll").status == 1


def fail(statement: Any) -> None:
    predicate = statement["predicate"]
    predicate["failedTests"], predicate["result"] = predicate["passedTests"][:1], "FAILED"


def warn(statement: Any) -> None:
    predicate = statement["predicate"]
    predicate["warnedTests"], predicate["result"] = predicate["passedTests"][:1], "WARNED"


def claim(statement: Any) -> None:
    statement["predicate"]["failedTests"] = statement["predicate"]["passedTests"]


def other_code(statement: Any) -> None:
    for subject in statement["subject"]:
        subject["digest"]["sha256"] = subject["annotations"]["unnamedSha256"] = "0" * 64


def other_target(statement: Any) -> None:
    for subject in statement["subject"]:
        subject["annotations"]["target"]["config"]["cpu"] = "znver9"


def other_predicate(statement: Any) -> None:
    statement["predicateType"] = "https://slsa.dev/provenance/v1"


def truncated(folder: Path) -> None:
    file = folder / "mine.intoto.json"
    file.write_bytes(file.read_bytes()[:-200])


def changed_definition(folder: Path) -> None:
    file = folder / "definition.mlir"
    file.write_text(file.read_text() + "// another line\n")


def changed_code(folder: Path) -> None:
    file = folder / "kernel.ll"
    file.write_text(file.read_text() + "; another line\n")


TWINS: dict[str, tuple[Callable[[Path], None], str]] = {
    "failed": (lambda f: change(f, fail), "its validation failed: case_0"),
    "warned": (lambda f: change(f, warn), "not judged: case_0"),
    "result": (lambda f: change(f, claim), "this is no attestation of a kernel's tests: 'PASSED'"),
    "payload": (lambda f: change(f, other_code), "validated with other code than is made for this dispatch"),
    "target": (lambda f: change(f, other_target), "for another target: cpu znver9, here "),
    "predicate": (lambda f: change(f, other_predicate), "this is no attestation of a kernel's tests: 'https://slsa"),
    "envelope": (truncated, "this is no DSSE envelope"),
    "definition": (changed_definition, "changed since it was validated: mine/definition.mlir"),
    "code": (changed_code, "changed since it was validated: mine/kernel.ll"),
    "none": (lambda f: (f / "mine.intoto.json").unlink(), "there is no attestation of it"),
}


@pytest.mark.compile
def test_whatever_differs_is_left_out(proven: Path, run: Run, tmp_path: Path) -> None:
    """All twins in one compilation: each is a kernel of another name for a dispatch of the same model."""
    folders = []
    for name, (edit, _) in TWINS.items():
        folder = copy_of(proven, tmp_path / name)
        edit(folder)
        folders.append(folder)
    from substitute.attest.proof import Proofs, Requirement
    from substitute.catalog.catalog import load_catalog
    from substitute.compiler import Compilation
    from substitute.embed import make_payloads
    from substitute.filter.executable import AtOnce
    from substitute.flags import with_default_target
    from substitute.frontend import plan_executables, run_to_dispatches
    from substitute.progress import Clock, silent

    model = folders[0] / "example.mlir"
    reasons = {}
    with Compilation(with_default_target(FLAGS), name=str(model)) as compilation:
        compilation.parse(model.read_bytes())
        run_to_dispatches(compilation, ())
        for name, folder in zip(TWINS, folders, strict=True):
            kernels = load_catalog([folder], builtin=False).kernels
            plan, sites = plan_executables(
                compilation.module, Clock(silent), lambda backends, kernels=kernels: kernels, chosen=None
            )
            del sites
            built = make_payloads(plan, Clock(silent), AtOnce())
            (reasons[name],) = Proofs(Requirement()).judge(built)
    assert {name: reason for name, reason in reasons.items() if TWINS[name][1] not in reason} == {}


@pytest.mark.compile
def test_a_compilation_without_proof(proven: Path, run: Run, tmp_path: Path) -> None:
    folder, output = copy_of(proven, tmp_path), tmp_path / "m.vmfb"
    changed_definition(folder)
    common = ("compile", folder / "example.mlir", "-o", output, "--kernels", folder, "--no-builtin", *FLAGS)
    refused = run(*common, "--require-validated", "--require", "mine")
    assert refused.status == 1 and not output.exists()
    assert "the required kernel mine takes no dispatch" in refused.err and "validate MODEL --attest DIR" in refused.err
    done = run(*common, "--require-validated", "--attestations", folder)
    assert done.status == 0 and output.exists()
    assert "left out: mine in main_dispatch_0_matmul_64x128x96_f32: changed since it was validated" in done.out
    assert "0 of 1 dispatches substituted" in done.out and "validate MODEL --attest DIR" in done.out


@pytest.mark.slow
@pytest.mark.device
def test_a_model_is_attested_as_a_whole(run: Run, tmp_path: Path) -> None:
    """A wrong kernel's attestation says so; a generator of a person's own is proven in its model."""
    wrong, right, proofs = tmp_path / "wrong", tmp_path / "right", tmp_path / "proofs"
    assert run("new", right, "--kind", "llvm-generator").status == 0
    common = ("--no-builtin", "--quick", "--attest", proofs)
    assert run("validate", right / "example.mlir", "--kernels", right, *common).status == 0
    statement = read_statement(read_envelope(proofs / "right.intoto.json").body, "")
    assert statement.result == "PASSED" and "model" in statement.configuration
    output = ("-o", tmp_path / "m.vmfb", "--no-builtin", "--no-check")
    model = ("compile", right / "example.mlir", "--kernels", right, *output)
    done = run(*model, "--require-validated", "--attestations", proofs, "--require", "right")
    assert done.status == 0, done.err
    assert run("new", wrong, "--kind", "llvm-ir").status == 0
    code = wrong / "kernel.ll"
    code.write_text(code.read_text().replace("fadd contract", "fsub contract"))
    assert run("validate", wrong, "--quick", "--attest", wrong).status == 1
    assert read_statement(read_envelope(wrong / "wrong.intoto.json").body, "").result == "FAILED"
    assert run("verify", wrong).status == 1


@pytest.mark.unit
def test_the_encoding_before_signing() -> None:
    """The example of the protocol."""
    encoded = encode_before_signing("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    dsse = pytest.importorskip("sigstore.dsse")
    body = "ä€".encode()
    assert dsse._pae("application/vnd.in-toto+json", body) == encode_before_signing(
        "application/vnd.in-toto+json", body
    )


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        "{}",
        '{"payloadType": "application/vnd.in-toto+json", "payload": 3, "signatures": []}',
        '{"payloadType": "application/vnd.in-toto+json", "payload": "a", "signatures": []}',
        '{"payloadType": "application/vnd.in-toto+json", "payload": "ä", "signatures": []}',
        '{"payloadType": "application/vnd.in-toto+json", "payload": ""}',
        '{"payloadType": "application/vnd.in-toto+json", "payload": "", "signatures": [{"keyid": "a"}]}',
        '{"payloadType": "text/plain", "payload": "", "signatures": []}',
        '{"dsseEnvelope": []}',
    ],
)
def test_what_is_no_envelope(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.intoto.json").write_text(text)
    with pytest.raises(UsageError, match="this is no DSSE envelope"):
        read_envelope(tmp_path / "a.intoto.json")


@pytest.mark.unit
@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
def test_both_alphabets_are_read(tmp_path: Path, alphabet: Callable[[bytes], bytes]) -> None:
    body = bytes(range(256))
    value = {"payloadType": "application/vnd.in-toto+json", "payload": alphabet(body).decode(), "signatures": []}
    (tmp_path / "a.intoto.json").write_text(json.dumps(value))
    assert read_envelope(tmp_path / "a.intoto.json").body == body


@pytest.mark.unit
def test_no_part_of_a_statement_is_read_on_trust() -> None:
    """Each value replaced by one of another type, and each field left out, is refused in words or is of no matter."""
    subject = {
        "name": "k-0",
        "digest": {"sha256": "0" * 64},
        "annotations": {"kernel": "k", "unnamedSha256": "0" * 64, "target": {"backend": "x"}, "dispatches": ["d"]},
    }
    configuration = [{"name": "manifest", "digest": {"sha256": "0" * 64}, "annotations": {"file": "k/kernel.toml"}}]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [subject],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {"result": "PASSED", "configuration": configuration, "passedTests": ["d | case"]},
        "more": "a field that is ignored",
    }
    assert read_statement(json.dumps(statement).encode(), "").result == "PASSED"
    tried = 0
    for path in paths_in(statement):
        for value in (None, 3, "text", [], {}, [[]], ABSENT):
            changed = json.loads(json.dumps(statement))
            put(changed, path, value)
            tried += 1
            try:
                read_statement(json.dumps(changed).encode(), "")
            except SubstituteError as error:
                assert "this is no attestation" in str(error)
    assert tried > 100


ABSENT = object()


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in ((*path, key), *paths_in(inner, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    if new is ABSENT:
        del value[path[-1]]
    else:
        value[path[-1]] = new


@pytest.mark.unit
def test_verdicts_become_tests(run: Run, tmp_path: Path) -> None:
    """What passed, what was not judged, what failed, and what another kernel may have computed."""
    from substitute.attest.statement import Circumstances, make_statement
    from substitute.catalog.catalog import load_manifests
    from substitute.catalog.files import digest_files
    from substitute.model.dispatch import Target
    from substitute.model.emitted import Emitted
    from substitute.validate.verdict import CaseVerdict, DispatchVerdict

    assert run("new", tmp_path / "mine", "--kind", "llvm-ir").status == 0
    (manifest,) = load_manifests([tmp_path / "mine"], builtin=False)

    def case(label: str, **changes: Any) -> CaseVerdict:
        return CaseVerdict(**{"label": label, "inputs": "exact", "seed": 0, "judged": 4, **changes})

    def result(case: CaseVerdict, *, unsure: str = "", **changes: Any) -> tuple[str, list[str]]:
        target = Target(backend="llvm-cpu", format="", config=())
        emitted = Emitted(
            dispatch="d",
            kernel="mine",
            sha256="0" * 64,
            unnamed_sha256="0" * 64,
            format="",
            target=target,
            unsure=unsure,
        )
        verdict = DispatchVerdict(**{"name": "d", "kernel": "mine", "cases": (case,), "emitted": (emitted,), **changes})
        circumstances = Circumstances(device="local-task", seed=0, quick=True)
        files = digest_files(manifest.kernel)
        predicate = make_statement(manifest.kernel, [verdict], circumstances, files)["predicate"]
        return predicate["result"], predicate["warnedTests"] + predicate["failedTests"]

    assert result(case("a")) == ("PASSED", [])
    assert result(case("a", judged=0, empty=True)) == ("PASSED", [])
    assert result(case("a", stage="error")) == ("FAILED", ["d | a [exact], seed 0"])
    assert result(case("a", judged=0)) == ("WARNED", ["d", "d | a [exact], seed 0"])
    assert result(case("a", entered=False)) == ("WARNED", ["d"])
    assert result(case("a"), skipped="no golden") == ("WARNED", ["d"])
    assert result(case("a"), stage="baseline") == ("FAILED", ["d"])
    assert result(case("a"), unsure="two kernels")[0] == "WARNED"
    with pytest.raises(UsageError, match="there is nothing to attest of mine"):
        result(case("a"), emitted=())
    with pytest.raises(UsageError, match="the files of mine changed while it was validated"):
        make_statement(manifest.kernel, [], Circumstances(device="", seed=0, quick=True), {})


@pytest.mark.unit
def test_results() -> None:
    assert decide_result(["a"], [], []) == "PASSED"
    assert decide_result(["a"], ["b"], []) == "WARNED"
    assert decide_result([], [], []) == "WARNED"
    assert decide_result(["a"], ["b"], ["c"]) == "FAILED"


@pytest.mark.unit
def test_a_signature_that_is_none(proven: Path, run: Run, tmp_path: Path) -> None:
    pytest.importorskip("sigstore")
    folder = copy_of(proven, tmp_path)
    unsigned = run("verify", folder, "--signed-by", "somebody@example.com")
    assert unsigned.status == 1 and "the signature is not accepted" in unsigned.err and "no signature" in unsigned.err
    envelope = json.loads((folder / "mine.intoto.json").read_text())
    envelope["signatures"] = [{"sig": "AAAA"}]
    bundle = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": envelope}
    (folder / "mine.intoto.json").unlink()
    (folder / "mine.sigstore.json").write_text(json.dumps(bundle))
    forged = run("verify", folder, "--signed-by", "somebody@example.com")
    assert forged.status == 1 and "the signature is not accepted" in forged.err and "Traceback" not in forged.err
    assert run("verify", folder).status == 0  # no signature was asked for


@pytest.mark.unit
def test_mistakes_end_in_words(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from substitute.attest import signing

    (tmp_path / "file").write_text("")
    for args, words in (
        (("validate", "matmul", "--sign"), "nothing is signed without --attest"),
        (("validate", "matmul", "--attest", tmp_path, "--case", "x"), "an attestation speaks of all cases"),
        (("validate", "matmul", "--attest", tmp_path / "a.json"), f"--attest {tmp_path / 'a'}.intoto.json"),
        (("validate", "matmul", "--attest", tmp_path / "file" / "b"), "the attestations cannot be written"),
        (("validate", "m.mlir", "--attest", tmp_path / "a.intoto.json"), "a model may have several kernels"),
        (("validate", "matmul", "--mutate", "--attest", tmp_path), "--attest has no effect with --mutate"),
        (("validate", "matmul", "--attest", tmp_path, "--sign"), "there is no identity to sign with"),
        (("compile", "m.mlir", "-o", tmp_path / "o", "--attestations", tmp_path), "without --require-validated"),
        (("compile", "m.mlir", "-o", tmp_path / "o", "--signed-by", "a"), "without --require-validated"),
        (
            ("compile", "m.mlir", "-o", tmp_path / "o", "--require-validated", "--attestations", "/nowhere"),
            "there are no attestations there",
        ),
        (("verify",), "there is no attestation"),
        (("verify", tmp_path), "there is no attestation there"),
        (("verify", tmp_path / "file", "--issuer", "x"), "--issuer has no effect without --signed-by"),
        (("verify", tmp_path / "file"), "this is no DSSE envelope"),
    ):
        finished = run(*args)
        assert finished.status == 2 and words in finished.err, (args, finished.err)
    monkeypatch.setattr(signing, "PACKAGE", "a_package_that_is_not_there")
    missing = run("validate", "matmul", "--attest", tmp_path, "--sign")
    assert missing.status == 2 and "pip install 'iree-substitute[sigstore]'" in missing.err
