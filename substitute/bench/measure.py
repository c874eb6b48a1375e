"""Measurements of each section; a failure is recorded, and the rest goes on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SubstituteError
from ..machine import read_cpu_name
from ..progress import Progress
from .compile_time import measure_compile
from .criteria import COMPILE_GOAL_MODEL, judge_results
from .filter import COUNTS as FILTER_COUNTS
from .filter import measure_filter, measure_hook
from .growth import CATALOG_SIZES, MODULE_SIZES, measure_catalogs, measure_module
from .run import build, count_coverage, measure_coverage, measure_results, measure_runtime
from .samples import (
    CompileSample,
    CoverageSample,
    FilterSample,
    GoldenSample,
    HookSample,
    ModuleGrowth,
    ResultSample,
    Samples,
    TimeSample,
    ValidationSample,
)
from .subject import LeftOut, Subject

SECTIONS = ("coverage", "results", "runtime", "compile", "growth", "filter", "simulator", "validation")
Failures = list[LeftOut]
GOLDEN_MODELS = ("magika", "gpt2")
"""Models whose golden is timed."""
SMALL_MODULE = 10
"""Executables of a synthetic module that is quick enough to be compiled several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Numbers of repetitions."""

    runtime_s: float
    """Approximate duration of the interleaved calls of one model."""
    goal_rounds: int
    """Rounds of compilations of the model that a goal is set for."""
    rounds: int
    """Rounds of compilations of the others."""
    modules: tuple[int, ...]
    catalogs: tuple[int, ...]
    repeat: int
    """Repetitions of what is small."""
    filtered: tuple[int, ...] = FILTER_COUNTS
    """Numbers of executables that go through the filter one after the other."""


THOROUGH = Effort(runtime_s=15.0, goal_rounds=5, rounds=2, modules=MODULE_SIZES, catalogs=CATALOG_SIZES, repeat=3)
QUICK = Effort(runtime_s=1.0, goal_rounds=2, rounds=1, modules=(3, 10), catalogs=(1, 10), repeat=1, filtered=(1, 10))


def measure_models(
    subjects: Sequence[Subject], sections: frozenset[str], kernels: Sequence[Path], effort: Effort, progress: Progress
) -> Samples:
    """Measure coverage, results and run time; all share one build of each model."""
    coverage: list[CoverageSample] = []
    results: dict[str, ResultSample] = {}
    runtimes: list[TimeSample] = []
    failures: Failures = []
    for subject in subjects:
        tell = _prefixed(progress, subject.name)
        with _noted(failures, subject.name):
            made = build(subject, kernels, tell)
            tell("run", None)
            results[subject.name], call_s = measure_results(made)
            if "coverage" in sections:
                tell("time each dispatch", None)
                coverage.append(measure_coverage(made, call_s))
            if "runtime" in sections:
                tell("time calls", None)
                sample, after = measure_runtime(made, seconds=effort.runtime_s)
                runtimes.append(sample)
                # a kernel that is wrong only in some runs is wrong
                results[subject.name] = choose_worse(results[subject.name], after)
            del made
        if "coverage" in sections:
            with _noted(failures, f"{subject.name} for Vulkan"):
                coverage.append(count_coverage(subject, kernels, tell))
    coverage.sort(key=lambda sample: sample.backend)
    return Samples(
        coverage=tuple(coverage), results=tuple(results.values()), runtimes=tuple(runtimes), failures=tuple(failures)
    )


def choose_worse(before: ResultSample, after: ResultSample) -> ResultSample:
    """Return that of a model's two results that fails, or that has the larger error."""
    if not judge_results([before])[0].passed:
        return before
    if not judge_results([after])[0].passed:
        return after
    return max(before, after, key=lambda sample: max(o.substituted_error for o in sample.outputs))


def measure_compiles(
    subjects: Sequence[Subject], kernels: Sequence[Path], effort: Effort, folder: Path, progress: Progress
) -> Samples:
    """Measure compile times of each model."""
    found: list[CompileSample] = []
    failures: Failures = []
    for subject in subjects:
        rounds = effort.goal_rounds if subject.name.rpartition("/")[2] == COMPILE_GOAL_MODEL else effort.rounds
        with _noted(failures, f"{subject.name}, compile time"):
            tell = _prefixed(progress, subject.name)
            found.append(measure_compile(subject, kernels, folder, rounds=rounds, progress=tell))
    return Samples(compiles=tuple(found), failures=tuple(failures))


def measure_growth(kernels: Sequence[Path], effort: Effort, folder: Path, progress: Progress) -> Samples:
    """Measure compile times by executables and by kernels in the catalog."""
    modules: list[ModuleGrowth] = []
    failures: Failures = []
    for size in effort.modules:
        with _noted(failures, f"a module of {size} executables"):
            repeat = effort.repeat if size <= SMALL_MODULE else 1
            modules.append(measure_module(size, kernels, folder, repeat=repeat, progress=progress))
    catalogs: Samples = Samples()
    with _noted(failures, "catalogs"):
        made = measure_catalogs(effort.catalogs, folder, repeat=max(effort.repeat, 2), progress=progress)
        catalogs = Samples(catalogs=tuple(made))
    return replace(catalogs, modules=tuple(modules), failures=tuple(failures))


def measure_filters(subjects: Sequence[Subject], effort: Effort, folder: Path, progress: Progress) -> Samples:
    """Measure the filter per executable, and in a compilation of the model that a goal is set for."""
    filters: list[FilterSample] = []
    hooks: list[HookSample] = []
    failures: Failures = []
    with _noted(failures, "the filter"):
        filters = measure_filter(effort.filtered, folder, progress)
    for subject in subjects:
        if subject.name.rpartition("/")[2] == COMPILE_GOAL_MODEL:
            with _noted(failures, f"{subject.name} through the filter"):
                tell = _prefixed(progress, subject.name)
                hooks.append(measure_hook(subject, folder, rounds=effort.goal_rounds, progress=tell))
    return Samples(filters=tuple(filters), hooks=tuple(hooks), failures=tuple(failures))


def measure_device(effort: Effort, progress: Progress) -> Samples:
    """Measure the simulated CUDA device."""
    from .simulated_model import measure_magika
    from .simulator import measure_simulator

    failures: Failures = []
    samples = Samples()
    quick = effort is QUICK
    with _noted(failures, "the simulated CUDA device"):
        kernels, loads = measure_simulator(quick=quick, repeat=effort.repeat, progress=progress)
        samples = Samples(simulator=tuple(kernels), loads=tuple(loads))
    with _noted(failures, "magika on the simulated CUDA device"):
        models = measure_magika(quick=quick, repeat=effort.repeat, progress=progress)
        samples = replace(samples, simulated_models=tuple(models))
    return replace(samples, failures=tuple(failures))


def measure_validating(subjects: Sequence[Subject], effort: Effort, progress: Progress) -> Samples:
    """Measure the validation of each built-in kernel, and the golden of some models."""
    from .validation import measure_golden, measure_validations

    failures: Failures = []
    validations: list[ValidationSample] = []
    goldens: list[GoldenSample] = []
    with _noted(failures, "validating the built-in kernels"):
        validations = measure_validations(thorough=effort is not QUICK, progress=progress)
    for subject in subjects:
        if subject.name.rpartition("/")[2] in GOLDEN_MODELS:
            with _noted(failures, f"the golden of {subject.name}"):
                goldens.append(measure_golden(subject.name, subject.path, (), _prefixed(progress, subject.name)))
    return Samples(validations=tuple(validations), goldens=tuple(goldens), failures=tuple(failures))


def describe_machine() -> Mapping[str, str]:
    """Describe the machine on which the figures are measured."""
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, str] = {}
    for package in ("iree-substitute", "iree-base-compiler", "iree-base-runtime", "onnxruntime"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": read_cpu_name(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **versions,
    }


@contextmanager
def _noted(failures: Failures, name: str) -> Iterator[None]:
    try:
        yield
    except SubstituteError as error:
        words = "; ".join(filter(None, (error.what, error.found, error.details.strip().partition("\n")[0])))
        failures.append(LeftOut(name=name, reason=words))
    except RuntimeError as error:  # a bug in the child process; the other models are still worth measuring
        failures.append(LeftOut(name=name, reason=f"a bug: {str(error).partition(chr(10))[0]}"))


def _prefixed(progress: Progress, name: str) -> Callable[[str, float | None], None]:
    return lambda what, share: progress(f"{name}: {what}", share)
