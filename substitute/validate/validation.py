"""One validation as a whole: what every report of it is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .verdict import DispatchVerdict

PACKAGES = ("iree-substitute", "iree-base-compiler", "iree-base-runtime", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """One result of a whole model, in the words of the comparison that was made."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was validated, where, and what came out."""

    title: str
    """The model, the bundle, or the kernels."""
    device: str
    seed: int
    command: str
    """What replays it."""
    started: str
    """ISO 8601, UTC."""
    versions: Mapping[str, str]
    """Package → version."""
    dispatches: tuple[DispatchVerdict, ...]
    results: tuple[ResultLine, ...] = ()
    """The whole model's results; empty where single kernels were validated."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock time of each step."""
    unproven: str = ""
    """Why nothing is known of the kernels; empty if something is."""

    @property
    def passed(self) -> bool:
        """True if everything that was judged passed, and something was."""
        judged = [d for d in self.dispatches if not d.skipped]
        found = bool(judged or self.results) and not self.unproven
        return found and all(d.passed for d in judged) and all(r.passed for r in self.results)


def installed_versions() -> dict[str, str]:
    """Package → version, of what matters to a verdict and is installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
