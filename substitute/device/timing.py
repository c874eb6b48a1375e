"""Times of functions, interleaved with others in the same run, and of each of their dispatches."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DeviceError
from .cuda_sim.driver import is_simulated
from .session import Session, Value
from .value_type import Array, type_of

_SAMPLE_SECONDS = 3e-4
"""Shorter calls are repeated until a sample takes about this long; the shortest of them counts."""
_MAX_CALLS_PER_SAMPLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Samples of one of several interleaved cases."""

    name: str
    samples_us: tuple[float, ...]
    """Microseconds per call, one sample for each round."""

    @property
    def median_us(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.samples_us)

    @property
    def spread_us(self) -> float:
        """Interquartile range, a measure of the machine's noise."""
        return spread_of(self.samples_us)

    def ratio_to(self, other: Timing) -> float:
        """Return the median of the ratios to another case."""
        return statistics.median(self.ratios_to(other))

    def ratios_to(self, other: Timing) -> list[float]:
        """Return (this ÷ other) round by round, which a temporary slowdown of the machine does not shift."""
        pairs = zip(self.samples_us, other.samples_us, strict=True)
        return [mine / max(theirs, 1e-9) for mine, theirs in pairs]


def spread_of(samples: Sequence[float]) -> float:
    """Return the interquartile range; 0 for a single sample."""
    if len(samples) < 2:
        return 0.0
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return high - low


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchTime:
    """Time of the dispatches of one export, in one call of the function."""

    total_ns: float
    """Nanoseconds, summed over the dispatches of a call, averaged over the calls."""
    count: int
    """Number of dispatches in a call."""

    @property
    def mean_ns(self) -> float:
        """Nanoseconds of one dispatch."""
        return self.total_ns / self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchEvent:
    """One dispatch that ran while it was profiled."""

    name: str
    """Export, by the name that the device knows."""
    start_ns: int
    """On the device's own clock."""
    duration_ns: int
    workgroup_count: tuple[int, int, int]


def measure_interleaved(
    cases: Mapping[str, Callable[[], object]], *, rounds: int = 20, warmup: int = 2
) -> dict[str, Timing]:
    """Time every case once per round, each round starting with another one; `warmup` calls are not counted."""
    return measure_turns(
        {name: (case,) for name, case in cases.items()},
        lambda timings: len(next(iter(timings.values())).samples_us) < rounds,
        warmup=warmup,
    )


def measure_turns(
    cases: Mapping[str, Sequence[Callable[[], object]]],
    proceed: Callable[[Mapping[str, Timing]], bool],
    *,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    limit_s: Callable[[int], float] = lambda rounds: math.inf,
) -> dict[str, Timing]:
    """Time every case once per round until `proceed`, which is asked after each round, returns False.

    Each round starts with another case. A case is one call or several, such as calls with other inputs, which the
    rounds take in turns. A sample is the shortest of several calls: what another process takes from one of them does
    not count. `limit_s` gives the seconds after which a sample of the next round has no more calls.
    """
    names = list(cases)
    calls = {}
    for name in names:
        once = min(_shortest(case, max(warmup, 1), limit_s(0), clock) for case in cases[name])
        calls[name] = min(max(1, round(_SAMPLE_SECONDS / max(once, 1e-9))), _MAX_CALLS_PER_SAMPLE)
    samples: dict[str, list[float]] = {name: [] for name in names}
    turn = 0
    while True:
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            case = cases[name][turn % len(cases[name])]
            samples[name].append(_shortest(case, calls[name], limit_s(turn), clock) * 1e6)
        turn += 1
        timings = {name: Timing(name=name, samples_us=tuple(samples[name])) for name in names}
        if not proceed(timings):
            return timings


def _shortest(case: Callable[[], object], calls: int, limit_s: float, clock: Callable[[], float]) -> float:
    """Return the seconds of the shortest of some calls, of at least one."""
    shortest, begin = math.inf, time.perf_counter()
    for _ in range(calls):
        start = clock()
        case()
        shortest = min(shortest, clock() - start)
        if time.perf_counter() - begin > limit_s:
            break
    return shortest


def benchmark_modules(
    modules: Mapping[str, bytes | Path],
    *,
    device: str,
    function: str | None = None,
    inputs: Sequence[Value] = (),
    rounds: int = 20,
    warmup: int = 2,
    workers: int | None = None,
) -> dict[str, Timing]:
    """Time one function of several modules, interleaved in this process. Raises `DeviceError`."""
    with ExitStack() as stack:
        cases = {}
        for name, vmfb in modules.items():
            session = stack.enter_context(Session(vmfb, device=device, workers=workers))
            cases[name] = session.bind(function, inputs)
        timings = measure_interleaved(cases, rounds=rounds, warmup=warmup)
        cases.clear()
        return timings


def dispatch_times(
    vmfb: bytes | Path,
    *,
    device: str,
    function: str | None = None,
    inputs: Sequence[Value] = (),
    calls: int = 5,
    timeout_s: float = 300.0,
) -> dict[str, DispatchTime]:
    """Return time and number of each export's dispatches in one call, from the runtime's profiler in its own process.

    The keys are the device's names of the exports. Raises `DeviceError`, also after `timeout_s`.
    """
    query = ("executable", "--format=jsonl")
    return _read_profile(_profile(vmfb, query, device, function, inputs, calls, timeout_s), calls)


def record_dispatches(
    vmfb: bytes | Path,
    *,
    device: str,
    function: str | None = None,
    inputs: Sequence[Value] = (),
    calls: int = 5,
    timeout_s: float = 300.0,
) -> list[DispatchEvent]:
    """Return every dispatch of some calls of a function, in the order of time. See `dispatch_times`."""
    query = ("dispatch", "--format=jsonl", "--dispatch_events")
    rows = map(json.loads, _profile(vmfb, query, device, function, inputs, calls, timeout_s).splitlines())
    events = [
        DispatchEvent(
            name=row["key"],
            start_ns=row.get("start_host_time_ns", row.get("start_tick", 0)),
            duration_ns=row["duration_ns"],
            workgroup_count=tuple(row["workgroup_count"]),
        )
        for row in rows
        if row["type"] in ("host_dispatch_event", "dispatch_event") and row["valid"]
    ]
    return sorted(events, key=lambda event: event.start_ns)


def _profile(
    vmfb: bytes | Path,
    query: Sequence[str],
    device: str,
    function: str | None,
    inputs: Sequence[Value],
    calls: int,
    timeout_s: float,
) -> str:
    """Call a function under the runtime's profiler, and return what `iree-profile` says to a query."""
    if is_simulated(device):
        raise DeviceError(
            f"{device} has no speed to speak of",
            expected="a real device, or local-task",
            found="a simulated one",
            next_step="the simulated device says whether a kernel is right, not how fast it is",
        )
    with Session(vmfb, device=device) as session:
        name = session.function(function).name
        session.bind(name, inputs)  # wrong inputs get a better message here
    local = device.startswith("local-")
    # local devices time on the host, others by device timestamps; each rejects the other's mode
    mode = "host-execution,executable-metadata" if local else "dispatch-events,executable-metadata"
    _tool_path("iree-profile")
    with tempfile.TemporaryDirectory(prefix="iree-substitute-") as folder:
        module = vmfb if isinstance(vmfb, Path) else Path(folder, "module.vmfb")
        if isinstance(vmfb, bytes):
            module.write_bytes(vmfb)
        bundle = Path(folder, "profile.ireeprof")
        report = _run_tool(
            "iree-benchmark-module",
            f"--module={module}",
            f"--device={device}",
            f"--function={name}",
            *(
                f"--input={_as_argument(np.asarray(value), Path(folder, f'input{at}'))}"
                for at, value in enumerate(inputs)
            ),
            f"--benchmark_min_time={calls}x",
            "--benchmark_format=json",
            f"--device_profiling_mode={mode}",
            f"--device_profiling_output={bundle}",
            timeout_s=timeout_s,
        )
        _check_report(report)
        if not bundle.is_file():
            raise DeviceError(
                "no profile was written", expected=f"a function that runs something on {device}", found=name
            )
        return _run_tool("iree-profile", *query, str(bundle), timeout_s=timeout_s)


def _check_report(report: str) -> None:
    """Raise if the report contains an error: the tool exits with 0 even if the function failed."""
    errors = [run["error_message"] for run in json.loads(report)["benchmarks"] if run.get("error_occurred")]
    if errors:
        raise DeviceError("the function failed while it was timed", details="\n".join(errors))


def _read_profile(lines: str, calls: int) -> dict[str, DispatchTime]:
    totals: dict[str, tuple[float, int]] = {}
    for line in lines.splitlines():
        row = json.loads(line)
        if row["type"] in ("executable_function_host_dispatch_group", "executable_function_dispatch_group"):
            time_ns, count = totals.get(row["key"], (0.0, 0))
            totals[row["key"]] = (time_ns + row["total_ns"], count + row["valid"])
    return {
        key: DispatchTime(total_ns=time_ns / calls, count=max(1, round(count / calls)))
        for key, (time_ns, count) in totals.items()
        if count
    }


def _as_argument(value: Array, path: Path) -> str:
    """Return `--input` for the runtime's tools: the bytes in a file, since `.npy` has no bf16."""
    if value.ndim == 0:
        return str(value.item())
    path.write_bytes(np.ascontiguousarray(value).tobytes())
    return f"{type_of(value)}=@{path}"


def _run_tool(name: str, *arguments: str, timeout_s: float) -> str:
    """Return the standard output of one of the runtime's programs. No process of it remains afterwards."""
    argv = [str(_tool_path(name)), *arguments]
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{name} did not finish", expected=f"an end within {timeout_s:g} s", details=" ".join(argv)
        ) from error
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        raise DeviceError(
            f"{name} failed", found=f"exit status {process.returncode}", details=f"{' '.join(argv)}\n{errors.strip()}"
        )
    return output


def _tool_path(name: str) -> Path:
    """Return the program itself: the command of that name on PATH is a wrapper, whose child survives when it is
    killed.
    """
    spec = importlib.util.find_spec("iree._runtime_libs")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, name)
        if path.is_file():
            return path
    raise DeviceError(
        f"the runtime's program {name} is missing",
        expected=f"{name} in the package iree-base-runtime",
        next_step="reinstall the package: pip install --force-reinstall iree-base-runtime"
        + ("; IREE 3.11 does not have it yet" if name == "iree-profile" else ""),
    )
