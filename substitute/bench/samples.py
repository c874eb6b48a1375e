"""Samples as measured, without sums, ratios or judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .subject import LeftOut

STOCK, SUBSTITUTED, ONNXRUNTIME = "stock", "substituted", "onnxruntime"
"""Names of the compared cases, as in tables."""
CAT, INTERPRETER = "cat", "bare interpreter"
"""Commands that the filter is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSample:
    """One dispatch of a model."""

    name: str
    kind: str
    kernel: str
    """Kernel that took it; empty if none did."""
    calls: int = 0
    """Number of runs per call of the model; 0 if it runs only when the model is loaded, or was not timed."""
    stock_ns: float = 0.0
    """Time that stock IREE spends in it per call of the model, in nanoseconds."""
    substituted_ns: float = 0.0
    """Time with the kernel, in nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageSample:
    """All dispatches of a model for one backend."""

    model: str
    backend: str
    timed: bool
    """False if only the number of dispatches is known."""
    dispatches: tuple[DispatchSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSample:
    """One result of a model, compared with that of its framework."""

    number: int
    type: str
    magnitude: float
    """Largest magnitude of the expected values."""
    epsilon: float
    """Distance of 1 from the next number of this type; 0 for integers."""
    stock_error: float
    """Largest |stock - expected|; infinite where shapes or positions of NaN differ."""
    substituted_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSample:
    """All results of a model, before anything was timed, or after."""

    model: str
    expected_from: str
    outputs: tuple[OutputSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSample:
    """Interleaved times of one piece of work in several ways."""

    model: str
    seconds: Mapping[str, tuple[float, ...]]
    """Case → one time per round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileSample:
    """Compile times of one model."""

    model: str
    commands: TimeSample
    """Whole processes, started as by a user."""
    in_process: TimeSample
    """Calls in one process that has compiled before."""
    phases: Mapping[str, Mapping[str, tuple[float, ...]]]
    """Case → phase of an in-process call → seconds, one per round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleGrowth:
    """Compile times of a synthetic module."""

    executables: int
    substituted: int
    seconds: Mapping[str, tuple[float, ...]]
    """Case → wall-clock time of each repetition."""
    phases: Mapping[str, tuple[float, ...]]
    """Phase of the compilation with kernels → seconds of each repetition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogGrowth:
    """Times of a catalog of kernels that do not match."""

    kernels: int
    dispatches: int
    load_s: tuple[float, ...]
    match_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSample:
    """Times of a number of different executables, through the filter and through the commands that it is compared
    with.
    """

    case: str
    """`matching` or `not matching`."""
    executables: int
    seconds: Mapping[str, tuple[float, ...]]
    """Way → wall-clock time of each executable, in order; the first one includes the server's start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSample:
    """A whole compilation with a tool that is run for every executable."""

    model: str
    seconds: Mapping[str, tuple[float, ...]]
    """Tool → one time per round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSample:
    """One kernel on the simulated CUDA device."""

    kernel: str
    lane_instructions: int
    checked_s: tuple[float, ...]
    """Time with every check."""
    unraced_s: tuple[float, ...]
    """Without the check for races."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSample:
    """A large PTX file."""

    ptx_bytes: int
    parse_s: tuple[float, ...]
    load_s: tuple[float, ...]
    """Parsed and decoded for the simulated device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedModelSample:
    """A whole model, from its file to the verdict on the simulated CUDA device."""

    model: str
    build: str
    """`STOCK` or `SUBSTITUTED`."""
    substituted: int
    """Number of dispatches that a PTX kernel took."""
    compile_s: tuple[float, ...]
    verdict_s: tuple[float, ...]
    """Time of loading, running with all checks, and comparing."""
    largest_error: float
    """Largest |error| relative to the expected results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSample:
    """The validation of a kernel."""

    kernel: str
    device: str
    quick_s: float
    thorough_s: float | None
    """Time of the thorough validation; None if only the quick one was run."""
    quick_cases: int
    thorough_cases: int
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSample:
    """Times of all dispatches of a model: of their golden, and of IREE's compilation."""

    model: str
    dispatches: int
    golden_s: float
    """Drawing inputs and evaluating, for all classes of inputs together."""
    compile_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """All samples of one run of the benchmark."""

    coverage: tuple[CoverageSample, ...] = ()
    results: tuple[ResultSample, ...] = ()
    runtimes: tuple[TimeSample, ...] = ()
    compiles: tuple[CompileSample, ...] = ()
    modules: tuple[ModuleGrowth, ...] = ()
    catalogs: tuple[CatalogGrowth, ...] = ()
    simulator: tuple[SimulatorSample, ...] = ()
    loads: tuple[LoadSample, ...] = ()
    simulated_models: tuple[SimulatedModelSample, ...] = ()
    filters: tuple[FilterSample, ...] = ()
    hooks: tuple[HookSample, ...] = ()
    validations: tuple[ValidationSample, ...] = ()
    goldens: tuple[GoldenSample, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    """Model → source of its weights."""
    left_out: tuple[LeftOut, ...] = ()
    failures: tuple[LeftOut, ...] = ()
    """Measurements that failed."""


def merge(first: Samples, second: Samples) -> Samples:
    """Merge the samples of both, in this order."""
    return Samples(
        coverage=first.coverage + second.coverage,
        results=first.results + second.results,
        runtimes=first.runtimes + second.runtimes,
        compiles=first.compiles + second.compiles,
        modules=first.modules + second.modules,
        catalogs=first.catalogs + second.catalogs,
        simulator=first.simulator + second.simulator,
        loads=first.loads + second.loads,
        simulated_models=first.simulated_models + second.simulated_models,
        filters=first.filters + second.filters,
        hooks=first.hooks + second.hooks,
        validations=first.validations + second.validations,
        goldens=first.goldens + second.goldens,
        notes={**first.notes, **second.notes},
        left_out=first.left_out + second.left_out,
        failures=first.failures + second.failures,
    )
