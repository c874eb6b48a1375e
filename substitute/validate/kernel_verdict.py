"""The verdict on a kernel: frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..model.coverage import Coverage, join
from .verdict import DispatchVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelVerdict:
    """Verdict on a kernel on a device."""

    kernel: str
    folder: str
    device: str
    seed: int
    quick: bool
    dispatches: tuple[DispatchVerdict, ...]
    message: str = ""
    """Reason why nothing could be judged; empty if something was."""
    error: str = ""
    """Error in the kernel's files or the command that prevented the run; empty if there was none."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock time of each step."""

    @property
    def coverage(self) -> Coverage | None:
        """Share of the kernel's code that ran, in all dispatches; None if it was not measured."""
        return join(d.coverage for d in self.dispatches)

    @property
    def passed(self) -> bool:
        """True if some dispatch was judged, and all that were passed."""
        judged = [d for d in self.dispatches if not d.skipped]
        return not self.message and not self.error and bool(judged) and all(d.passed for d in judged)
