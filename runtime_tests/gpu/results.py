"""Results as data and as JSON. Field names are fixed: programs rely on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime_tests.gpu.bits import Compared
from runtime_tests.gpu.device import Facts
from runtime_tests.gpu.measure import Measured
from runtime_tests.gpu.sanitizer import Sanitized
from runtime_tests.gpu.timing import relative_spread

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One dispatch through IREE's driver, compared with the golden."""

    name: str
    kernel: str
    cases: int
    passed: bool
    worst: float
    """Largest |error| ÷ allowed."""
    message: str = ""
    skipped: str = ""
    """Reason why it was not judged; empty if it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """One bundle."""

    name: str
    kernels: tuple[str, ...]
    dispatches: tuple[Dispatch, ...] = ()
    bits: tuple[Compared, ...] = ()
    skipped: str = ""
    """Reason why it is not for this device; empty if it is."""
    error: str = ""
    """Error that ended it; empty if there was none."""

    @property
    def status(self) -> str:
        """`left out`, `failed`, `not judged` where no case could tell a wrong result, or `passed`."""
        judged = [d for d in self.dispatches if not d.skipped]
        if self.skipped:
            return "left out"
        if self.error or not all(d.passed for d in judged) or not all(c.passed for c in self.bits):
            return "failed"
        return "passed" if judged and self.bits else "not judged"

    @property
    def worst(self) -> float:
        """Largest |error| ÷ allowed."""
        return max((d.worst for d in self.dispatches), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """A whole model, called once."""

    name: str
    kernels: tuple[str, ...]
    worst: float = 0.0
    """Largest |error| ÷ allowed."""
    error: str = ""

    @property
    def passed(self) -> bool:
        """True if all results are as expected."""
        return not self.error and self.worst <= 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingResult:
    """One problem."""

    problem: str
    measured: Measured | None = None
    error: str = ""
    """Reason why there is no time; empty if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run."""

    command: str
    date: str
    """ISO 8601, UTC."""
    built: str
    """Time at which the folder was built."""
    device: Facts
    versions: Mapping[str, str]
    items: tuple[ItemResult, ...]
    models: tuple[ModelResult, ...]
    sanitized: tuple[Sanitized, ...]
    timings: tuple[TimingResult, ...]
    no_timings: str = ""
    """Reason why nothing was timed; empty if it was."""

    @property
    def passed(self) -> bool:
        """True if nothing is wrong, and something was right. What was left out or is absent is not wrong."""
        found = [item.status for item in self.items]
        return (
            ("passed" in found or any(m.passed for m in self.models) or any(t.measured for t in self.timings))
            and "failed" not in found
            and all(m.passed for m in self.models)
            and all(s.status != "found" for s in self.sanitized)
            and all(not t.error for t in self.timings)
        )


def results_to_json(results: Results) -> dict[str, Any]:
    """The whole run; numbers that JSON lacks are the strings `inf` and `nan`."""
    data: dict[str, Any] = _plain(dataclasses.asdict(results))
    for made, found in zip(data["items"], results.items, strict=True):
        made["status"] = found.status
        made["bits"] = bits_to_json(found.bits)
    for made, model in zip(data["models"], results.models, strict=True):
        made["passed"] = model.passed
    data["timings"] = [timing_to_json(t) for t in results.timings]
    return {"schema": SCHEMA, "passed": results.passed, **data}


def bits_to_json(bits: tuple[Compared, ...]) -> dict[str, Any]:
    """Return the number of compared launches, and those that differ."""
    return {
        "launches": len(bits),
        "targets": sorted({c.target for c in bits}),
        "different": [_plain(dataclasses.asdict(c)) for c in bits if not c.passed],
    }


def timing_to_json(timing: TimingResult) -> dict[str, Any]:
    """Medians, spreads, rates; and all samples, so that others can be worked out of them."""
    if timing.measured is None:
        return {"problem": timing.problem, "error": timing.error}
    found = timing.measured
    return {
        "problem": found.problem,
        "error": timing.error,
        "target": found.target,
        "sets": found.sets,
        "reference": found.reference,
        "share": found.share,
        "moved_bytes": found.moved_bytes,
        "operations": found.operations,
        "absent": {a.name: a.reason for a in found.absent},
        "contenders": {
            row.name: {
                "what": row.what,
                "median_us": row.timing.median_us,
                "fastest_us": min(row.timing.samples_us),
                "spread": relative_spread(row.timing),
                "worst": _plain(row.worst),
                "samples_us": list(row.timing.samples_us),
            }
            for row in found.rows
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
