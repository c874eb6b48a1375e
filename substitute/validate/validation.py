"""A whole validation, from which every report is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .verdict import DispatchVerdict

PACKAGES = ("iree-substitute", "iree-base-compiler", "iree-base-runtime", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """One result of a whole model, with the comparison as text."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Subject, circumstances and results of a validation."""

    title: str
    """The model, the bundle, or the kernels."""
    device: str
    seed: int
    command: str
    """Command line that repeats it."""
    started: str
    """ISO 8601, UTC."""
    versions: Mapping[str, str]
    """Package → version."""
    dispatches: tuple[DispatchVerdict, ...]
    results: tuple[ResultLine, ...] = ()
    """Results of the whole model; empty if single kernels were validated."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock time of each step."""
    unproven: str = ""
    """Reason why nothing is known of the kernels; empty if something is."""

    @property
    def passed(self) -> bool:
        """True if something was judged, and all of it passed."""
        judged = [d for d in self.dispatches if not d.skipped]
        found = bool(judged or self.results) and not self.unproven
        return found and all(d.passed for d in judged) and all(r.passed for r in self.results)


def installed_versions() -> dict[str, str]:
    """Return package → version, of installed packages that matter to a verdict."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return the time as ISO 8601, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
