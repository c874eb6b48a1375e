"""Verdicts as in-toto statements, written and read.

Sources: https://github.com/in-toto/attestation, spec/v1/statement.md, spec/v1/resource_descriptor.md and
spec/predicates/test-result.md (version 0.1.0).
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..catalog.files import digest_files
from ..errors import UsageError
from ..model.dispatch import Target
from ..model.emitted import Emitted
from ..model.kernel import Kernel
from ..validate.verdict import CaseVerdict, DispatchVerdict

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
Result = Literal["PASSED", "WARNED", "FAILED"]
SEPARATOR = " | "
"""Between a dispatch and its case in the name of a test."""
FILE = "file:"
"""Prefix of the names of a kernel's files in `configuration`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a verdict was reached with, beside the kernel's files."""

    device: str
    seed: int
    quick: bool
    flags: tuple[str, ...] = ()
    model: Path | None = None
    """The model whose dispatches were judged; None: programs that were drawn for the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A payload, and the dispatches for which it was emitted."""

    name: str
    sha256: str
    unnamed_sha256: str
    kernel: str
    dispatches: tuple[str, ...]
    target: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement as it was read."""

    subjects: tuple[Subject, ...]
    result: Result
    configuration: Mapping[str, str]
    """SHA-256 by the descriptor's name."""
    files: Mapping[str, str]
    """SHA-256 of the kernel's files, by `FOLDER/FILE`."""
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Contents of small descriptors (`device`, `iree`, …) by their name."""

    @property
    def kernel(self) -> str:
        """Return the kernel that it is about."""
        return self.subjects[0].kernel


def describe_target(target: Target) -> dict[str, Any]:
    """Return a target as JSON."""
    return {"backend": target.backend, "format": target.format, "config": dict(target.config)}


def make_statement(
    kernel: Kernel, verdicts: Sequence[DispatchVerdict], circumstances: Circumstances, files: Mapping[str, str]
) -> dict[str, Any]:
    """Return the statement on a kernel's emitted payloads. `files`: their digests before the validation.

    Raises `UsageError` where no code was emitted, or the files changed meanwhile.
    """
    if digest_files(kernel) != files:
        raise UsageError(
            f"the files of {kernel.name} changed while it was validated",
            where=str(kernel.folder),
            expected="the files that were read at the start",
            found="others",
            next_step="validate it again",
        )
    tests = [_tests_of(verdict, kernel.name) for verdict in verdicts if kernel.name in _kernels_of(verdict)]
    subjects = _subjects(kernel.name, [e for v in verdicts for e in v.emitted if e.kernel == kernel.name])
    if not subjects:
        raise UsageError(
            f"there is nothing to attest of {kernel.name}",
            where=str(kernel.folder),
            expected="code that was embedded in a dispatch, and judged there",
            found="none",
            next_step="`iree-substitute explain MODEL` says why it takes no dispatch; a rule has no code of its own",
        )
    passed, warned, failed = (sorted({name for one in tests for name in one[at]}) for at in range(3))
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "result": decide_result(passed, warned, failed),
            "configuration": _configuration(kernel, files, circumstances),
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": failed,
        },
    }


def decide_result(passed: Sequence[str], warned: Sequence[str], failed: Sequence[str]) -> Result:
    """Return the result of all tests together: without a test that passed nothing is proven."""
    return "FAILED" if failed else "WARNED" if warned or not passed else "PASSED"


def _kernels_of(verdict: DispatchVerdict) -> tuple[str, ...]:
    return tuple(verdict.kernel.split(", "))


def _tests_of(verdict: DispatchVerdict, kernel: str) -> tuple[list[str], list[str], list[str]]:
    """Return the names of tests of a dispatch: passed, with something that was not judged, failed."""
    ran = [c for c in verdict.cases if c.passed and c.entered]  # in others IREE's own code was selected
    passed = [_test_name(verdict, c) for c in ran if c.judged or c.empty]
    warned = [_test_name(verdict, c) for c in ran if not c.judged and not c.empty]
    failed = [_test_name(verdict, c) for c in verdict.cases if not c.passed]
    if verdict.stage:
        failed.append(verdict.name)
    elif not failed and (verdict.skipped or not passed):
        warned.append(verdict.name)
    own = [e for e in verdict.emitted if e.kernel == kernel]
    if not own or any(e.unsure for e in own):
        warned.append(f"{verdict.name}{SEPARATOR}which code ran")
    return passed, warned, failed


def _test_name(verdict: DispatchVerdict, case: CaseVerdict) -> str:
    return f"{verdict.name}{SEPARATOR}{case.key}"


def _subjects(kernel: str, emitted: Iterable[Emitted]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in emitted:
        target = describe_target(one.target)
        key = one.sha256, json.dumps(target, sort_keys=True)
        if key not in found:
            name = f"{kernel}-{one.sha256[:12]}"
            names = {subject["name"] for subject in found.values()}
            found[key] = {
                "name": name if name not in names else f"{name}-{len(found)}",
                "digest": {"sha256": one.sha256},
                "annotations": {
                    "kernel": kernel,
                    "format": one.format,
                    "unnamedSha256": one.unnamed_sha256,
                    "target": target,
                    "dispatches": [],
                },
            }
        dispatches = found[key]["annotations"]["dispatches"]
        if one.dispatch not in dispatches:
            dispatches.append(one.dispatch)
    return list(found.values())


def _configuration(kernel: Kernel, files: Mapping[str, str], circumstances: Circumstances) -> list[dict[str, Any]]:
    from ..machine import PACKAGES, read_cpu_name, read_machine

    found: list[dict[str, Any]] = []
    for name, digest in sorted(files.items()):
        role = _role(name, kernel)
        found.append({"name": role or f"{FILE}{name}", "digest": {"sha256": digest}, "annotations": {"file": name}})
    machine = read_machine()
    versions = {package: machine[package] for package in PACKAGES[1:]}
    found.append(
        {
            "name": "protocol",
            "uri": f"pkg:pypi/{PACKAGES[0]}@{machine[PACKAGES[0]]}",
            "digest": {"sha256": digest_program()},
        }
    )
    device = {"device": circumstances.device, "cpu": read_cpu_name(), "architecture": platform.machine()}
    found.append(_described("device", device))
    found.append(_described("iree", {**versions, "flags": list(circumstances.flags)}))
    found.append(_described("seeds", {"seed": circumstances.seed, "quick": circumstances.quick}))
    if circumstances.model is not None:
        data = circumstances.model.read_bytes()
        found.append({"name": "model", "digest": {"sha256": hashlib.sha256(data).hexdigest()}})
    return found


def _role(name: str, kernel: Kernel) -> str:
    base, _, rest = name.partition("/")
    roles = {"kernel.toml": "manifest", "definition.mlir": "definition"}
    return roles.get(rest, "") if base == kernel.folder.name else ""


def _described(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    content = json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return {
        "name": name,
        "digest": {"sha256": hashlib.sha256(content).hexdigest()},
        "content": base64.b64encode(content).decode(),
        "mediaType": "application/json",
    }


def digest_program() -> str:
    """Return the SHA-256 of this package's code, which judges."""
    package = Path(__file__).resolve().parent.parent
    state = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        data = path.read_bytes()
        state.update(f"{path.relative_to(package).as_posix()}\0{len(data)}\0".encode() + data)
    return state.hexdigest()


def serialize(statement: Mapping[str, Any]) -> bytes:
    """Return the bytes of a statement that are signed."""
    return json.dumps(statement, indent=1, ensure_ascii=False).encode()


def read_statement(body: bytes, where: str) -> Statement:
    """Read a statement on a kernel's payloads. Unknown fields are ignored. Raises `UsageError`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _refuse(where, "JSON", str(error)) from None
    try:
        return _read(value, where)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        found = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
        raise _refuse(where, "the fields that `validate --attest` writes", found) from None


def _read(value: Any, where: str) -> Statement:
    for name, expected in (("_type", STATEMENT), ("predicateType", PREDICATE)):
        if value[name] != expected:
            raise _refuse(where, f"{name} {expected}", repr(value[name]))
    predicate = value["predicate"]
    passed, warned, failed = (
        tuple(_text(name) for name in _list(predicate.get(key, [])))
        for key in ("passedTests", "warnedTests", "failedTests")
    )
    result = decide_result(passed, warned, failed)
    if predicate["result"] != result:
        raise _refuse(where, f"the result {result}, as its tests say", repr(predicate["result"]))
    subjects = tuple(_read_subject(subject) for subject in _list(value["subject"]))
    if len({subject.kernel for subject in subjects}) != 1:
        raise _refuse(where, "subjects of one kernel", ", ".join(sorted({s.kernel for s in subjects})) or "none")
    configuration: dict[str, str] = {}
    files: dict[str, str] = {}
    facts: dict[str, Any] = {}
    for descriptor in _list(predicate["configuration"]):
        name = _text(descriptor["name"])
        configuration[name] = _text(descriptor["digest"]["sha256"])
        if "content" in descriptor:
            content = base64.b64decode(_text(descriptor["content"]), validate=True)
            if hashlib.sha256(content).hexdigest() != configuration[name]:
                raise _refuse(where, f"the content of `{name}` that its digest names", "other content")
            facts[name] = json.loads(content)
        if name in ("manifest", "definition") or name.startswith(FILE):
            files[_text(descriptor["annotations"]["file"])] = configuration[name]
    return Statement(
        subjects=subjects,
        result=result,
        configuration=configuration,
        files=files,
        passed=passed,
        warned=warned,
        failed=failed,
        facts=facts,
    )


def _read_subject(value: Any) -> Subject:
    more = value["annotations"]
    target = more["target"]
    if not isinstance(target, dict):
        raise ValueError("a target that is no object")
    return Subject(
        name=_text(value["name"]),
        sha256=_text(value["digest"]["sha256"]),
        unnamed_sha256=_text(more["unnamedSha256"]),
        kernel=_text(more["kernel"]),
        dispatches=tuple(_text(name) for name in _list(more["dispatches"])),
        target=target,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} in place of text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} in place of a list")
    return value


def _refuse(where: str, expected: str, found: str) -> UsageError:
    return UsageError(
        "this is no attestation of a kernel's tests",
        where=where,
        expected=expected,
        found=found[:400],
        next_step="write it again with `iree-substitute validate … --attest`",
    )
