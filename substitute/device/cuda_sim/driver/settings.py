"""Environment variables of the simulated device, for stock IREE tools and for ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ....errors import UsageError
from .architectures import DEFAULT_ARCHITECTURE, find_architecture

DEVICE = "IREE_SUBSTITUTE_SIM_DEVICE"
"""Device number 0, such as `sm_90`."""
FINDINGS = "IREE_SUBSTITUTE_SIM_FINDINGS"
"""`fail` or `report`: the effect of findings that a real device would not notice."""
LOG = "IREE_SUBSTITUTE_SIM_LOG"
"""A file to which each launch is appended, as a line of JSON."""
STEPS = "IREE_SUBSTITUTE_SIM_STEPS"
"""Limit of warp instructions, above which a launch counts as endless."""
APPROXIMATIONS = "IREE_SUBSTITUTE_SIM_APPROXIMATIONS"
"""`nearest` or `worst`: results of approximate instructions, see `cuda_sim.approximations`."""

COVERAGE = "IREE_SUBSTITUTE_SIM_COVERAGE"
"""A file to which is appended which ways the branches of kernels went, see `cuda_sim.coverage`."""

SETTINGS = {
    "device": DEVICE,
    "findings": FINDINGS,
    "log": LOG,
    "steps": STEPS,
    "approximations": APPROXIMATIONS,
    "coverage": COVERAGE,
}
"""The variable of each setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings in effect."""

    device: str = DEFAULT_ARCHITECTURE
    fail_on_findings: bool = True
    log: Path | None = None
    steps: int | None = None
    """None: the executor's own limit."""
    approximations: str = "nearest"
    coverage: Path | None = None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings of an environment. Raises `UsageError` for an invalid value."""
    findings = environment.get(FINDINGS) or "fail"
    if findings not in ("fail", "report"):
        raise UsageError("not a way to treat findings", where=FINDINGS, expected="fail or report", found=findings)
    steps = environment.get(STEPS, "")
    if steps and not (steps.isdigit() and int(steps)):
        raise UsageError("not a number of steps", where=STEPS, expected="1 or more", found=steps)
    approximations = environment.get(APPROXIMATIONS) or "nearest"
    if approximations not in ("nearest", "worst"):
        raise UsageError(
            "not a way to approximate", where=APPROXIMATIONS, expected="nearest or worst", found=approximations
        )
    device = environment.get(DEVICE) or DEFAULT_ARCHITECTURE
    find_architecture(device)
    log, coverage = environment.get(LOG), environment.get(COVERAGE)
    return Settings(
        device=device,
        fail_on_findings=findings == "fail",
        log=Path(log) if log else None,
        steps=int(steps) if steps else None,
        approximations=approximations,
        coverage=Path(coverage) if coverage else None,
    )
