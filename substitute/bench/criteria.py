"""Criteria for the figures, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .figures import GOAL_KINDS, goal_share, ratios_to
from .samples import STOCK, SUBSTITUTED, CompileSample, CoverageSample, OutputSample, ResultSample

COVERAGE_GOAL = 0.80
"""Part of the dispatches of `GOAL_KINDS` that has to be substituted on the CPU."""
GOAL_BACKEND = "llvm-cpu"
ERROR_FACTOR = 2.0
"""Largest allowed ratio of a model's error to stock IREE's."""
FLOOR_ULPS = 4.0
"""Units in the last place of the largest magnitude that are allowed where stock IREE is nearly exact."""
COMPILE_GOAL = 1.10
"""Compile time with kernels ÷ without."""
COMPILE_GOAL_MODEL = "minilm_s128"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One criterion, applied to one model."""

    criterion: str
    model: str
    passed: bool
    found: str
    allowed: str


def allowed_error(output: OutputSample) -> float:
    """Return twice stock IREE's own error, but at least a few units in the last place of the largest magnitude."""
    return max(ERROR_FACTOR * output.stock_error, FLOOR_ULPS * output.epsilon * output.magnitude)


def worst_output(outputs: Sequence[OutputSample]) -> OutputSample:
    """Return the result whose error is the largest multiple of the allowed one."""
    return max(outputs, key=_use)


def _use(output: OutputSample) -> float:
    """Error as a multiple of the allowed one."""
    allowed = allowed_error(output)
    if output.substituted_error == 0:
        return 0.0
    return output.substituted_error / allowed if allowed else float("inf")


def judge_coverage(samples: Sequence[CoverageSample]) -> list[Verdict]:
    """Return the goal for each model on the CPU that has dispatches of the goal's kinds."""
    return [
        Verdict(
            criterion="coverage",
            model=sample.model,
            passed=share.by_count >= COVERAGE_GOAL,
            found=f"{share.taken} of {share.total} {', '.join(GOAL_KINDS)} dispatches",
            allowed=f"at least {COVERAGE_GOAL:.0%}",
        )
        for sample in samples
        if sample.backend == GOAL_BACKEND and (share := goal_share(sample)).total
    ]


def judge_results(samples: Sequence[ResultSample]) -> list[Verdict]:
    """Return the verdict on every model's worst result."""
    verdicts = []
    for sample in samples:
        worst = worst_output(sample.outputs)
        allowed = allowed_error(worst)
        verdicts.append(
            Verdict(
                criterion="results",
                model=sample.model,
                # not `<`: infinite errors on both sides do not pass
                passed=worst.substituted_error <= allowed < float("inf"),
                found=f"{worst.substituted_error:.2e} from {sample.expected_from} in result {worst.number}",
                allowed=f"at most {allowed:.2e} (stock {worst.stock_error:.2e})",
            )
        )
    return verdicts


def judge_compile(samples: Sequence[CompileSample]) -> list[Verdict]:
    """Return the verdict on the compile time of the model that the goal is set for."""
    verdicts = []
    for sample in samples:
        if sample.model.rpartition("/")[2] == COMPILE_GOAL_MODEL:
            ratio = ratios_to(sample.commands, STOCK).ratios[SUBSTITUTED]
            verdicts.append(
                Verdict(
                    criterion="compile time",
                    model=sample.model,
                    passed=ratio <= COMPILE_GOAL,
                    found=f"{ratio:.2f} times plain iree-compile",
                    allowed=f"at most {COMPILE_GOAL:.2f}",
                )
            )
    return verdicts
