"""Measurement of one model: substituted dispatches, errors of its results, speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..inspection import inspect_model
from ..model.plan import Plan
from ..pipeline import CompileResult, compile_model
from ..progress import Progress
from .samples import (
    ONNXRUNTIME,
    STOCK,
    SUBSTITUTED,
    CoverageSample,
    DispatchSample,
    OutputSample,
    ResultSample,
    TimeSample,
)
from .subject import Array, Subject, onnxruntime_session

DEVICE = "local-sync"
"""One thread, the caller's own."""
VULKAN_FLAGS = ("--iree-hal-target-device=vulkan",)
PROFILE_SECONDS = 2.0
"""Time for which the runtime's profiler may run."""
MIN_ROUNDS, MAX_ROUNDS = 5, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A model, compiled without and with kernels for this machine's CPU."""

    subject: Subject
    stock: bytes
    substituted: CompileResult


def build(subject: Subject, kernels: Sequence[Path], progress: Progress) -> Build:
    """Compile a model twice. Raises `SubstituteError`."""
    stock = compile_model(subject.path, substitute=False, isolate=True, progress=progress)
    substituted = compile_model(subject.path, kernels=kernels, isolate=True, progress=progress)
    return Build(subject=subject, stock=stock.vmfb, substituted=substituted)


def measure_coverage(made: Build, call_s: float) -> CoverageSample:
    """Return every dispatch with its time, without and with kernels. `call_s`: estimate of one call's time."""
    from ..device import dispatch_times

    calls = max(2, min(50, round(PROFILE_SECONDS / max(call_s, 1e-3))))
    stock, substituted = (
        dispatch_times(vmfb, device=DEVICE, inputs=made.subject.inputs, calls=calls)
        for vmfb in (made.stock, made.substituted.vmfb)
    )
    taken = _kernels(made.substituted.plan)
    dispatches = []
    for dispatch in made.substituted.plan.dispatches:
        before, after = stock.get(dispatch.name), substituted.get(dispatch.name)
        dispatches.append(
            DispatchSample(
                name=dispatch.name,
                kind=dispatch.kind,
                kernel=taken.get(dispatch.name, ""),
                calls=before.count if before else 0,
                stock_ns=before.total_ns if before else 0.0,
                substituted_ns=after.total_ns if after else 0.0,
            )
        )
    return CoverageSample(model=made.subject.name, backend="llvm-cpu", timed=True, dispatches=tuple(dispatches))


def count_coverage(subject: Subject, kernels: Sequence[Path], progress: Progress) -> CoverageSample:
    """Return every dispatch of the model on Vulkan, without times."""
    plan = inspect_model(subject.path, kernels=kernels, flags=VULKAN_FLAGS, isolate=True, progress=progress)
    taken = _kernels(plan)
    dispatches = tuple(DispatchSample(name=d.name, kind=d.kind, kernel=taken.get(d.name, "")) for d in plan.dispatches)
    return CoverageSample(model=subject.name, backend="vulkan-spirv", timed=False, dispatches=dispatches)


def measure_results(made: Build) -> tuple[ResultSample, float]:
    """Compare both builds' results with the expected ones; return also the time of one call of the stock build (s)."""
    from ..device import Session

    found: dict[str, list[Array]] = {}
    call_s = 0.0
    for case, vmfb in ((SUBSTITUTED, made.substituted.vmfb), (STOCK, made.stock)):
        with Session(vmfb, device=DEVICE) as session:
            start = time.perf_counter()
            found[case] = session.call(None, made.subject.inputs)
            call_s = time.perf_counter() - start
    return _beside(made.subject, found[STOCK], found[SUBSTITUTED]), call_s


def measure_runtime(made: Build, *, seconds: float) -> tuple[TimeSample, ResultSample]:
    """Time interleaved calls for about `seconds`; return also the results of the sessions that were timed."""
    from ..device import Session, measure_interleaved

    inputs = made.subject.inputs
    with ExitStack() as stack:
        cases: dict[str, Callable[[], object]] = {}
        sessions = {}
        for case, vmfb in ((STOCK, made.stock), (SUBSTITUTED, made.substituted.vmfb)):
            sessions[case] = stack.enter_context(Session(vmfb, device=DEVICE))
            cases[case] = sessions[case].bind(None, inputs)
        if made.subject.path.suffix == ".onnx":
            cases[ONNXRUNTIME] = _onnxruntime_call(made.subject)
        once = measure_interleaved(cases, rounds=1, warmup=1)
        round_s = sum(max(t.median_us * 1e-6, 1e-3) for t in once.values())
        rounds = max(MIN_ROUNDS, min(MAX_ROUNDS, round(seconds / round_s)))
        timings = measure_interleaved(cases, rounds=rounds, warmup=1)
        after = {case: session.call(None, inputs) for case, session in sessions.items()}
        cases.clear()
    times = {name: tuple(us * 1e-6 for us in timing.samples_us) for name, timing in timings.items()}
    sample = TimeSample(model=made.subject.name, seconds=times)
    return sample, _beside(made.subject, after[STOCK], after[SUBSTITUTED])


def _onnxruntime_call(subject: Subject) -> Callable[[], object]:
    session = onnxruntime_session(subject.path)
    names = [value.name for value in session.get_inputs()]
    feeds = dict(zip(names, subject.inputs, strict=True))
    return lambda: session.run(None, feeds)


def _kernels(plan: Plan) -> dict[str, str]:
    return {s.dispatch.name: s.kernel.name for s in plan.substitutions}


def _beside(subject: Subject, stock: Sequence[Array], substituted: Sequence[Array]) -> ResultSample:
    outputs = tuple(
        output_sample(number, expected, a, b)
        for number, (expected, a, b) in enumerate(zip(subject.expected, stock, substituted, strict=True))
    )
    return ResultSample(model=subject.name, expected_from=subject.expected_from, outputs=outputs)


def output_sample(number: int, expected: Array, stock: Array, substituted: Array) -> OutputSample:
    """Return the errors of one result of both builds."""
    floating = expected.dtype.kind == "f"
    finite = expected[np.isfinite(expected)].astype(np.float64) if floating else expected.astype(np.float64)
    return OutputSample(
        number=number,
        type="x".join([*map(str, expected.shape), str(expected.dtype)]),
        magnitude=float(np.abs(finite).max(initial=0.0)),
        epsilon=float(np.finfo(expected.dtype).eps) if floating else 0.0,
        stock_error=largest_error(expected, stock),
        substituted_error=largest_error(expected, substituted),
    )


def largest_error(expected: Array, found: Array) -> float:
    """Return the largest |found - expected|; infinite for other shapes, and for NaN or infinity at other positions."""
    if found.shape != expected.shape:
        return float("inf")
    a, b = expected.astype(np.float64), found.astype(np.float64)
    strange = ~np.isfinite(a)
    if not np.array_equal(strange, ~np.isfinite(b)) or not np.array_equal(a[strange], b[strange], equal_nan=True):
        return float("inf")
    return float(np.abs(a[~strange] - b[~strange]).max(initial=0.0))
