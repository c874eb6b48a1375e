"""Input of judging without a compiler: modules, and the cases of every dispatch in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..model.coverage import Code
from ..model.emitted import Emitted
from .case import Case
from .own_code import OwnSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A dispatch with the kernel that took it, and its cases."""

    name: str
    """The export's symbol."""
    kernel: str
    kind: str
    cases: tuple[Case, ...]
    skipped: str = ""
    """Why it has no golden; empty if it has."""
    notes: tuple[str, ...] = ()
    check: str = ""
    """Finding of an earlier `compile`; empty if there is none."""
    declared: str = ""
    """The bound of errors that the kernel declares; empty where it is held to that of its definition."""
    text: str = ""
    """The stock executable as MLIR, for people and for reproducers."""
    code: str = ""
    """The code that is counted, of the bundle's `codes`; empty where nothing is."""
    uncounted: str = ""
    """Why nothing is."""
    turned: bool = False
    """True if it is in the bundle's module of other orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Modules of single dispatches and all that is needed to judge them on a device."""

    device: str
    """Device that it was compiled for, by the runtime's name."""
    candidate: bytes
    """The module with the kernels."""
    baseline: bytes | None
    """The module with IREE's own code."""
    beside: frozenset[str]
    """The entries that it has."""
    subjects: tuple[Subject, ...]
    turned: bytes = b""
    """The module in which workgroups of kernels run in reverse order, with counters of branches where there can be;
    empty where there is none."""
    codes: Mapping[str, Code] = field(default_factory=dict)
    """Counters of the code; not kept in files."""
    traced: Mapping[str, str] = field(default_factory=dict)
    """Code (see `Subject.code`) of each entry point of which a simulated device records the branches."""
    missing_baseline: str = ""
    """Why there is none."""
    emitted: tuple[Emitted, ...] = ()
    """The kernels' code, where the caller wants it attested; not kept in files."""
    own_source: OwnSource | None = None
    """Source of IREE's own code, where it is compiled once a verdict depends on it; not kept in files."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock time of each step of building it."""
    title: str = ""
    """The kernel or the model, for people."""
    seed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that built it."""

    def only(self, case: str) -> Bundle:
        """Return the bundle with only the cases whose key contains this text, and their dispatches."""
        subjects = [replace(s, cases=tuple(c for c in s.cases if case in c.key)) for s in self.subjects]
        return replace(self, subjects=tuple(s for s in subjects if s.cases)) if case else self
