"""Times a model with kernels beside the same model in IREE's own code, and only what gives the right results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..device.ratio import Relation, ratio_of
from ..device.session import Session
from ..device.timing import Timing, measure_turns
from ..errors import CompilerError, UsageError, ValidationError
from ..frontend import scratch_folder
from ..isolate import Call, isolated
from ..machine import read_machine
from ..pipeline import CompileResult, compile_model
from ..progress import Progress, silent
from ..validate.model import prefixed
from ..validate.model_inputs import draw_inputs, input_types
from ..validate.results import compare
from ..validate.targets import flags_for
from .bench_report import CANDIDATE, DEFAULT, TUNED_FLAGS, UNTUNED, BenchReport, digest_of
from .subject import LeftOut

BEST_FLAGS = ("--iree-opt-level=O3", "--iree-opt-data-tiling", "--iree-llvmcpu-enable-ukernels=all")
"""IREE's own best on a CPU, as far as flags go."""
INPUT_SETS = 3
"""Sets of inputs that are drawn."""
BUFFERS = 7
"""Sets of buffers for the inputs, which rounds take in turns: where operands lie shifts the time of a small kernel.
The number has no factor in common with the number of codes, so that each begins with each set."""
MOST_INPUT_BYTES = 64 << 20
"""Larger inputs have one set of buffers for each set of inputs."""
FEWEST_ROUNDS, MOST_ROUNDS = 12, 2000
LOCAL_TASK, LOCAL_SYNC = "local-task", "local-sync"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSetting:
    """Settings for compiling, calling and timing a model."""

    device: str = LOCAL_TASK
    threads: int = 1
    function: str | None = None
    seed: int = 0
    budget_s: float = 30.0
    """Seconds after which the rounds end, whatever they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Result of the process that runs the modules."""

    function: str
    timings: tuple[Timing, ...]
    clear: bool


def bench_model(
    model: Path,
    *,
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    plan: Path | None = None,
    best_flags: bool = False,
    untuned: bool = False,
    inputs: Sequence[Any] = (),
    setting: BenchSetting | None = None,
    progress: Progress = silent,
) -> BenchReport:
    """Compile a model with kernels and without, compare the results, time both in turns, and compare them again.

    Each kernel is checked by the compilation (`guard`). `untuned`: also time the kernels that are substituted without
    `plan`. Raises `ValidationError` if results differ: there is no time
    of what is wrong.
    """
    setting = setting or BenchSetting()
    device = _check_device(setting)
    targeted = flags_for(setting.device, flags)
    left_out: list[LeftOut] = []
    with scratch_folder() as folder:
        modules: dict[str, Path] = {}

        def build(name: str, flags: Sequence[str], **options: Any) -> CompileResult:
            path = folder / f"{len(modules)}.vmfb"
            tell = prefixed(progress, f"{name}: ")
            result = compile_model(model, output=path, flags=flags, isolate=True, progress=tell, **options)
            modules[name] = path
            return result

        ours = build(CANDIDATE, targeted, kernels=kernels, builtin=builtin, plan=plan)
        stock = build(DEFAULT, targeted, substitute=False)
        if untuned:
            build(UNTUNED, targeted, kernels=kernels, builtin=builtin)
        if best_flags:
            own = {flag.lstrip("-").partition("=")[0] for flag in targeted}
            added = [f for f in BEST_FLAGS if f.lstrip("-").partition("=")[0] not in own]
            try:
                build(TUNED_FLAGS, (*targeted, *added), substitute=False)
            except CompilerError as error:
                left_out.append(LeftOut(name=TUNED_FLAGS, reason=str(error).partition("\n")[0]))
        arguments = {
            "modules": modules,
            "device": device,
            "setting": setting,
            "inputs": list(inputs),
            "signatures": stock.signatures,
        }
        timed: Timed = isolated(Call(time_modules, arguments), progress)
    return BenchReport(
        model=model.name,
        digest=digest_of(model),
        function=timed.function,
        device=setting.device,
        threads=setting.threads,
        clock=_clock_name(setting),
        flags=tuple(targeted),
        machine=read_machine(),
        taken=len({s.dispatch for s in ours.plan.substitutions}),
        dispatches=len(ours.plan.dispatches),
        unchecked=tuple(f"{c.dispatch}: {c.verdict.text}" for c in ours.checked if c.verdict.outcome == "unjudged"),
        timings=timed.timings,
        left_out=tuple(left_out),
        clear=timed.clear,
    )


def _check_device(setting: BenchSetting) -> str:
    """Return the device to open. Raises `UsageError` for threads that it does not have."""
    if setting.device == LOCAL_TASK and setting.threads == 1:
        return LOCAL_SYNC  # the same code in the caller's own thread
    if setting.device != LOCAL_TASK and setting.threads != 1:
        raise UsageError(
            f"the number of threads cannot be chosen for {setting.device}",
            where="--threads",
            expected=f"--device={LOCAL_TASK}",
            found=f"{setting.threads} for {setting.device}",
        )
    cores = len(os.sched_getaffinity(0))
    if setting.threads > cores:
        raise UsageError(
            "there are fewer cores than threads",
            where="--threads",
            expected=f"1 to {cores}",
            found=str(setting.threads),
            next_step="the times of threads that wait for each other say nothing",
        )
    return setting.device


def _clock_name(setting: BenchSetting) -> str:
    return "processor time" if _in_one_thread(setting) else "wall time"


def _in_one_thread(setting: BenchSetting) -> bool:
    return setting.threads == 1 and setting.device in (LOCAL_TASK, LOCAL_SYNC)


def time_modules(
    *,
    modules: Mapping[str, Path],
    device: str,
    setting: BenchSetting,
    inputs: Sequence[Any],
    signatures: Mapping[str, tuple[str, ...]],
    progress: Progress,
) -> Timed:
    """Compare the modules' results with those of IREE's own code, time them in turns, and compare again.

    On one thread the clock is the processor time of this process, on which other processes have little influence.
    """
    with ExitStack() as stack:
        workers = setting.threads if device == LOCAL_TASK else None
        sessions = {
            name: stack.enter_context(Session(path, device=device, workers=workers)) for name, path in modules.items()
        }
        function = sessions[DEFAULT].function(setting.function)
        sets = [list(inputs)] if inputs else _draw(function, signatures, setting.seed)
        progress("compare the results", None)
        _check_results(sessions, function.name, sets, "before they are timed")
        cases = _bind(sessions, function.name, sets)
        start = time.perf_counter()
        clear = False

        def proceed(timings: Mapping[str, Timing]) -> bool:
            nonlocal clear
            relations = _relations(timings)
            clear = "unclear" not in relations
            rounds, spent_s = len(timings[CANDIDATE].samples_us), time.perf_counter() - start
            progress(f"time calls in turns, round {rounds}", min(1.0, spent_s / setting.budget_s))
            return spent_s < setting.budget_s and rounds < MOST_ROUNDS and not (clear and rounds >= FEWEST_ROUNDS)

        clock: Callable[[], float] = time.process_time if _in_one_thread(setting) else time.perf_counter
        timings = measure_turns(cases, proceed, clock=clock)
        cases.clear()
        progress("compare the results again", None)
        _check_results(sessions, function.name, sets, "after they were timed")
    return Timed(function=function.name, timings=tuple(timings.values()), clear=clear)


def _bind(
    sessions: Mapping[str, Session], function: str, sets: Sequence[list[Any]]
) -> dict[str, list[Callable[[], None]]]:
    """Return the calls of each module, on buffers that were allocated in turns with those of the other modules."""
    large = sum(np.asarray(value).nbytes for value in sets[0]) > MOST_INPUT_BYTES
    cases: dict[str, list[Callable[[], None]]] = {name: [] for name in sessions}
    for number in range(len(sets) if large else BUFFERS):
        for name, session in sessions.items():
            cases[name].append(session.bind(function, sets[number % len(sets)]))
    return cases


def _relations(timings: Mapping[str, Timing]) -> list[Relation]:
    ours = timings[CANDIDATE]
    return [ratio_of(ours.ratios_to(t)).relation for name, t in timings.items() if name != CANDIDATE]


def _draw(function: Any, signatures: Mapping[str, tuple[str, ...]], seed: int) -> list[list[Any]]:
    types = input_types(function, signatures)
    return [draw_inputs(function.name, types, seed + number) for number in range(INPUT_SETS)]


def _check_results(sessions: Mapping[str, Session], function: str, sets: Sequence[list[Any]], when: str) -> None:
    """Raise `ValidationError` if a module's results are not those of IREE's own code."""
    for number, values in enumerate(sets):
        expected = sessions[DEFAULT].call(function, values)
        for name, session in sessions.items():
            if name == DEFAULT:
                continue
            found = session.call(function, values)
            pairs = zip(found, expected, strict=True)
            wrong = next((v for v in (compare(i, a, b) for i, (a, b) in enumerate(pairs)) if not v.passed), None)
            if wrong is not None:
                raise ValidationError(
                    f"the results differ {when}, so there is no time to report",
                    where=f"result {wrong.number} ({wrong.type}) of {function}, inputs {number}, {name}",
                    expected=f"the results of {DEFAULT}, within {wrong.tolerance:g} of the largest magnitude",
                    found=wrong.reason,
                    next_step="`iree-substitute validate` finds the dispatch",
                )
