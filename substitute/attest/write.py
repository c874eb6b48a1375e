"""Writes the attestations of a validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cache.atomic import write_whole
from ..catalog.files import ATTESTATION_SUFFIXES, digest_files
from ..errors import UsageError
from ..model.kernel import Kernel
from ..validate.verdict import DispatchVerdict
from .envelope import wrap
from .statement import Circumstances, make_statement, serialize

UNSIGNED, SIGNED = ATTESTATION_SUFFIXES


@dataclass(slots=True)
class Attestation:
    """Where attestations go, and the kernels that they are of."""

    place: Path
    is_file: bool
    identity: Any = None
    """Identity to sign with; None: they are not signed."""
    _kernels: dict[str, Kernel] = field(default_factory=dict)
    _files: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def expect_several(self) -> None:
        """Refuse a file where there may be several kernels. Raises `UsageError`."""
        if self.is_file:
            raise UsageError(
                "a model may have several kernels, each with an attestation",
                where=f"--attest {self.place}",
                expected="a folder",
                found="a file",
                next_step=f"--attest {self.place.parent}",
            )

    def begin(self, kernels: Sequence[Kernel]) -> None:
        """Remember the kernels' files as they are before the validation. Raises `UsageError`."""
        if len(kernels) > 1:
            self.expect_several()
        for kernel in kernels:
            if self._kernels.setdefault(kernel.name, kernel) is kernel:
                self._files[kernel.name] = digest_files(kernel)

    def write(
        self, verdicts: Mapping[str, Sequence[DispatchVerdict]], circumstances: Circumstances
    ) -> Iterator[tuple[Path, str, str]]:
        """Write the attestation of each kernel; yield its file, the kernel and the result. Raises `SubstituteError`."""
        for name, dispatches in verdicts.items():
            kernel = self._kernels[name]
            statement = make_statement(kernel, dispatches, circumstances, self._files[name])
            body = serialize(statement)
            suffix, data = UNSIGNED, wrap(body)
            if self.identity is not None:
                from .signing import sign

                suffix, data = SIGNED, sign(body, self.identity)
            file = self.place if self.is_file else self.place / f"{name}{suffix}"
            write_whole(file, data)
            yield file, name, statement["predicate"]["result"]


def open_attestation(place: Path, *, sign: bool) -> Attestation:
    """Check before the validation that attestations can be written, and signed. Raises `UsageError`."""
    identity = None
    if sign:
        from .signing import find_identity

        identity = find_identity()
    suffix = SIGNED if sign else UNSIGNED
    is_file = not place.is_dir() and place.suffix == ".json"
    if is_file and not place.name.endswith(suffix):
        raise UsageError(
            "an attestation is found by the end of its name",
            where=f"--attest {place}",
            expected=f"a file *{suffix}, or a folder",
            found=place.name,
            next_step=f"--attest {place.with_suffix('')}{suffix}",
        )
    folder = place.parent if is_file else place
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            "the attestations cannot be written",
            where=f"--attest {place}",
            expected="a folder that can be written to, or a place for a new one",
            found=error.strerror or str(error),
            next_step="choose another place",
        ) from None
    return Attestation(place=place, is_file=is_file, identity=identity)
