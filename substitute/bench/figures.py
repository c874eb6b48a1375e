"""Figures derived from samples: sums, shares, medians, ratios. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .samples import (
    STOCK,
    SUBSTITUTED,
    CatalogGrowth,
    CoverageSample,
    DispatchSample,
    ModuleGrowth,
    TimeSample,
)

GOAL_KINDS = ("contraction", "convolution", "softmax", "normalization")
"""The kinds of dispatch that a goal is set for."""
SLOWER_SHARE = 0.01
"""Smallest loss, as a share of the model's time, that is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Share of some dispatches that is substituted, by number and by stock IREE's time."""

    kind: str
    total: int
    taken: int
    total_ns: float
    """Time of stock IREE in all of them."""
    taken_ns: float
    """Time of stock IREE in the substituted ones."""
    substituted_ns: float
    """Time with kernels in the substituted ones."""

    @property
    def by_count(self) -> float:
        """Substituted part by number, 0 to 1; 1 if there are no dispatches."""
        return self.taken / self.total if self.total else 1.0

    @property
    def by_time(self) -> float:
        """Substituted part of stock IREE's time; NaN if that is zero."""
        return self.taken_ns / self.total_ns if self.total_ns else math.nan


def share_of(kind: str, dispatches: Iterable[DispatchSample]) -> Share:
    """Return the share of substituted ones in dispatches."""
    every = list(dispatches)
    taken = [d for d in every if d.kernel]
    return Share(
        kind=kind,
        total=len(every),
        taken=len(taken),
        total_ns=sum(d.stock_ns for d in every),
        taken_ns=sum(d.stock_ns for d in taken),
        substituted_ns=sum(d.substituted_ns for d in taken),
    )


def shares_by_kind(sample: CoverageSample) -> list[Share]:
    """Return one share per kind, the goal's kinds first, then by stock IREE's time."""
    kinds = {d.kind for d in sample.dispatches}
    shares = [share_of(kind, (d for d in sample.dispatches if d.kind == kind)) for kind in kinds]

    def order(share: Share) -> tuple[int, float, str]:
        goal = GOAL_KINDS.index(share.kind) if share.kind in GOAL_KINDS else len(GOAL_KINDS)
        return goal, -share.total_ns, share.kind

    return sorted(shares, key=order)


def goal_share(sample: CoverageSample) -> Share:
    """Return the dispatches that the goal is about."""
    return share_of("goal", (d for d in sample.dispatches if d.kind in GOAL_KINDS))


def whole_share(sample: CoverageSample) -> Share:
    """Return all dispatches."""
    return share_of("all", sample.dispatches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """A dispatch that a kernel made slower."""

    model: str
    dispatch: str
    kind: str
    kernel: str
    stock_us: float
    substituted_us: float
    lost: float
    """Time lost, as a share of the whole model's stock time."""


def slower_dispatches(samples: Sequence[CoverageSample]) -> list[Slower]:
    """Return substituted dispatches that are slower than stock IREE's by 1 % of their model's time or more, worst
    first.
    """
    found = []
    for sample in samples:
        total = whole_share(sample).total_ns
        for d in sample.dispatches:
            lost = (d.substituted_ns - d.stock_ns) / total if total else 0.0
            if d.kernel and lost >= SLOWER_SHARE:
                found.append(
                    Slower(
                        model=sample.model,
                        dispatch=d.name,
                        kind=d.kind,
                        kernel=d.kernel,
                        lost=lost,
                        stock_us=d.stock_ns / 1e3,
                        substituted_us=d.substituted_ns / 1e3,
                    )
                )
    return sorted(found, key=lambda s: -s.lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Medians of interleaved times, and their ratios."""

    model: str
    median_s: Mapping[str, float]
    ratios: Mapping[str, float]
    """Ratio of each case's median to that of the base case."""


def ratios_to(sample: TimeSample, base: str) -> Ratio:
    """Return the ratio of each case's median to that of `base`."""
    medians = {case: statistics.median(times) for case, times in sample.seconds.items()}
    ratios = {case: value / medians[base] for case, value in medians.items()} if base in medians else {}
    return Ratio(model=sample.model, median_s=medians, ratios=ratios)


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of ratios; NaN if there are none."""
    every = list(values)
    return math.exp(sum(map(math.log, every)) / len(every)) if every else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthFigure:
    """Cost of a module with this number of executables."""

    executables: int
    substituted: int
    stock_s: float
    substituted_s: float
    ratio: float
    phases_ms: Mapping[str, float]
    """Phase of the compilation with kernels → milliseconds per executable."""


def growth_of(sample: ModuleGrowth) -> GrowthFigure:
    """Medians over the repetitions."""
    stock, substituted = (statistics.median(sample.seconds[case]) for case in (STOCK, SUBSTITUTED))
    return GrowthFigure(
        executables=sample.executables,
        substituted=sample.substituted,
        stock_s=stock,
        substituted_s=substituted,
        ratio=substituted / stock,
        phases_ms={p: statistics.median(s) * 1e3 / sample.executables for p, s in sample.phases.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFigure:
    """Cost of a catalog with this number of kernels."""

    kernels: int
    dispatches: int
    load_ms: float
    match_ms: float
    """Time for all dispatches."""

    @property
    def total_ms(self) -> float:
        """Sum of loading and matching."""
        return self.load_ms + self.match_ms


def catalog_of(sample: CatalogGrowth) -> CatalogFigure:
    """Return the medians over the repetitions."""
    return CatalogFigure(
        kernels=sample.kernels,
        dispatches=sample.dispatches,
        load_ms=statistics.median(sample.load_s) * 1e3,
        match_ms=statistics.median(sample.match_s) * 1e3,
    )


def median_phases(phases: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
    """Return phase → median seconds."""
    return {phase: statistics.median(times) for phase, times in phases.items()}
