"""Decides for each payload of a compilation whether an attestation proves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..catalog.files import ATTESTATION_SUFFIXES, digest_files
from ..embed import Built
from ..errors import PlanError, SubstituteError, UsageError
from ..model.emitted import Emitted
from ..model.kernel import Kernel
from ..model.plan import Key, Plan, dispatch_key
from .emitted import describe_code
from .envelope import read_envelope
from .statement import SEPARATOR, Statement, Subject, describe_target, read_statement

HOW = (
    "`iree-substitute validate MODEL --attest DIR` writes what is missing, and `compile --attestations DIR` reads it; "
    "`validate KERNEL --attest FOLDER` writes it beside a kernel"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """An identity whose signature an attestation has to have."""

    identity: str
    """An e-mail address or the URI of a workflow, as the certificate names it."""
    issuer: str = ""
    """URL of the OpenID provider; empty: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """The proof that `compile` demands of each payload."""

    places: tuple[Path, ...] = ()
    """Attestations, and folders of them, beside those in the kernels' folders."""
    signer: Signer | None = None
    """None: attestations need no signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """A kernel that was left out of a dispatch."""

    key: Key
    kernel: str
    reason: str

    @property
    def dispatch(self) -> str:
        """The export's name."""
        return self.key[2]


@dataclass(slots=True)
class Proofs:
    """The attestations that are known, each read once."""

    requirement: Requirement
    _read: dict[Path, Statement | str] = field(default_factory=dict)
    _files: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def judge(self, built: Sequence[Built]) -> list[str]:
        """Return for each payload why it is not proven; empty: it is."""
        reasons = []
        for one in built:
            emitted = describe_code(one)
            kernel = one.substitution.kernel
            reasons.append(self._judge(kernel, emitted) if emitted else "it has no code of its own to attest")
        return reasons

    def _judge(self, kernel: Kernel, emitted: Emitted) -> str:
        files = [*list_attestations(kernel.folder), *(f for p in self.requirement.places for f in list_attestations(p))]
        nearest, distance = "there is no attestation of it", 0
        for file in dict.fromkeys(files):
            statement = self._statement(file)
            if isinstance(statement, str):
                reason, far = statement, 1
            elif statement.kernel != kernel.name:
                continue
            else:
                far, reason = explain_unproven(statement, emitted, self._digests(kernel))
            if not reason:
                return ""
            if far >= distance:
                nearest, distance = f"{reason} ({file})", far
        return nearest

    def _statement(self, file: Path) -> Statement | str:
        if file not in self._read:
            try:
                self._read[file] = read_attestation(file, self.requirement.signer)
            except SubstituteError as error:
                self._read[file] = f"an attestation is not accepted: {error.what}: {error.found}".rstrip(": ")
        return self._read[file]

    def _digests(self, kernel: Kernel) -> Mapping[str, str]:
        return self._files.setdefault(kernel.name, digest_files(kernel))


def list_unproven(
    plan: Plan, built: Sequence[Built], proofs: Proofs, require: Sequence[str] = ()
) -> tuple[Unproven, ...]:
    """Return the kernels of a plan whose code is not proven.

    A dispatch with one of them is left to IREE's own code. Raises `PlanError` if a required kernel has no dispatch
    left.
    """
    rules = [s for s in plan.substitutions if s.kernel.payload.kind.rewrites_body]
    pairs = [(s, "it has no code of its own to attest") for s in rules]
    pairs += [(b.substitution, reason) for b, reason in zip(built, proofs.judge(built), strict=True)]
    found = tuple(
        Unproven(key=dispatch_key(s.dispatch), kernel=s.kernel.name, reason=reason) for s, reason in pairs if reason
    )
    out = {one.key for one in found}
    used = {s.kernel.name for s in plan.substitutions if dispatch_key(s.dispatch) not in out}
    for one in found:
        if one.kernel in require and one.kernel not in used:
            raise PlanError(
                f"the required kernel {one.kernel} takes no dispatch",
                where=one.dispatch,
                expected="an attestation of its code",
                found=one.reason,
                next_step=HOW,
            )
    return found


def explain_unproven(statement: Statement, emitted: Emitted, files: Mapping[str, str]) -> tuple[int, str]:
    """Return how near a statement comes to proving a payload, and what is in the way; an empty text: nothing.

    In this order: the kernel's files are those of the validation, the code is a subject, for this target, and all its
    tests passed.
    """
    changed = sorted(f for f in {*files, *statement.files} if files.get(f) != statement.files.get(f))
    if changed:
        return 2, f"changed since it was validated: {', '.join(changed)}"
    same = [s for s in statement.subjects if _is_same_code(s, emitted)]
    if not same:
        return 3, "it was validated with other code than is made for this dispatch"
    here = [s for s in same if s.target == describe_target(emitted.target)]
    if not here:
        return 4, f"it was validated for another target: {_differences(same[0], emitted)}"
    if statement.failed:
        return 5, f"its validation failed: {statement.failed[0]}"
    for subject in here:
        warned = [name for name in statement.warned if _is_of(name, subject)]
        if not warned and any(_is_of(name, subject) for name in statement.passed):
            return 6, ""
        reason = f"not judged: {warned[0]}" if warned else "none of its tests is of this code"
    return 5, reason


def _is_same_code(subject: Subject, emitted: Emitted) -> bool:
    return emitted.sha256 == subject.sha256 or emitted.unnamed_sha256 == subject.unnamed_sha256


def _is_of(test: str, subject: Subject) -> bool:
    return test.partition(SEPARATOR)[0] in subject.dispatches


def _differences(subject: Subject, emitted: Emitted) -> str:
    here, there = describe_target(emitted.target), subject.target
    pairs = {key: (there.get(key), here[key]) for key in ("backend", "format")}
    config = there.get("config")
    theirs = config if isinstance(config, dict) else {}
    pairs |= {key: (theirs.get(key), here["config"].get(key)) for key in sorted({*theirs, *here["config"]})}
    return next((f"{key} {a}, here {b}" for key, (a, b) in pairs.items() if a != b), "another configuration")


def list_attestations(place: Path) -> list[Path]:
    """Return the attestations in a folder and the folders in it; a file is one itself."""
    if place.is_file():
        return [place]
    found = [p for suffix in ATTESTATION_SUFFIXES for p in (*place.glob(f"*{suffix}"), *place.glob(f"*/*{suffix}"))]
    return sorted(found)


def check_places(places: Sequence[Path]) -> None:
    """Check that each place is there. Raises `UsageError`."""
    for place in places:
        if not place.exists():
            raise UsageError(
                "there are no attestations there",
                where=f"--attestations {place}",
                expected="a file or a folder that `validate --attest` wrote",
                found="nothing",
                next_step="correct the path",
            )


def read_attestation(file: Path, signer: Signer | None = None) -> Statement:
    """Read an attestation; with `signer` its signature is verified first. Raises `SubstituteError`."""
    envelope = read_envelope(file)
    body = envelope.body
    if signer is not None:
        from .signing import verify_bundle

        body = verify_bundle(file, envelope, signer)  # what was verified, not what was read before
    return read_statement(body, str(file))
