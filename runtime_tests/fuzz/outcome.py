"""The result of judging a module of programs: settings, findings, counts."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OURS = ("wrong", "not compiled", "crashed", "differs")
"""Kinds of findings that are this project's faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that should not be."""

    kind: str
    """One of `OURS`; or `stock wrong` (only IREE's own code), `both wrong` (or the golden is)."""
    number: int
    """Number of the function in the module."""
    kernel: str = ""
    dispatch: str = ""
    message: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """The result of a module."""

    functions: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    kernels: Counter[str] = field(default_factory=Counter)
    """Substituted dispatches by kernel."""
    unread: Counter[str] = field(default_factory=Counter)
    """Dispatches that were not read, by reason."""
    left: Counter[str] = field(default_factory=Counter)
    """Dispatches that no kernel took, by what they compute."""
    unjudged: Counter[str] = field(default_factory=Counter)
    """Substituted dispatches that were not judged, by reason."""
    findings: list[Finding] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    """Functions that IREE does not compile, with its words."""
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, other: Report, numbers: Sequence[int]) -> None:
        """Adds the report of some of the functions, whose numbers are given."""
        self.functions += other.functions
        for name in ("counts", "kernels", "unread", "left", "unjudged", "seconds"):
            getattr(self, name).update(getattr(other, name))
        self.findings += [
            Finding(kind=f.kind, number=numbers[f.number], kernel=f.kernel, dispatch=f.dispatch, message=f.message)
            for f in other.findings
        ]
        self.refused |= {numbers[n]: words for n, words in other.refused.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Flags, kernels and device with which programs are judged."""

    device: str = "local-task"
    kernels: tuple[Path, ...] = ()
    builtin: bool = True
    flags: tuple[str, ...] = ()
    whole: bool = True
    """Compile IREE's own code and the host program as well; else only the kernels, launched separately."""
    substitute: bool = True
    """False: IREE alone, to see whether it crashes without kernels."""


def describe_error(error: Exception) -> str:
    """Return the message for an unexpected error."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[-3:]]
    return f"{type(error).__name__}: {error} ({' < '.join(reversed(places))})"[:600]
