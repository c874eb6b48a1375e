"""Speed of the simulated CUDA device: six kernels, each checked before its time counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ValidationError
from ..progress import Progress
from .samples import LoadSample, SimulatorSample

ARCHITECTURE = "sm_80"
LARGE_PTX_BYTES = 500_000
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A kernel with its arguments and expected result."""

    name: str
    file: str
    entry: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[Any, ...]
    """Arrays, NumPy scalars, and the `OUTPUT` mark where the result goes."""
    expected: NDArray[Any]
    tolerance: float


OUTPUT = "output"
SHRINK = {True: 4, False: 1}
"""Factor by which edges are shorter, in quick runs and in others."""


def workloads(*, quick: bool) -> list[Workload]:
    """Return the six kernels: memory, reductions, shared memory, tensor cores, atomics' neighbours, divergence."""
    random = np.random.default_rng(_SEED)
    n = 512 // SHRINK[quick]
    rows = 4096 // SHRINK[quick] ** 2
    x, y = random.standard_normal((2, rows * 256)).astype("f4")
    table = random.standard_normal((rows // 4, 1024)).astype("f4")
    a, b = random.integers(-4, 5, (2, n, n)).astype("f4")
    wide = random.standard_normal((n, n))
    starts = random.integers(1, 10_000, rows * 4).astype("i4")
    exponentials = np.exp(table.astype("f8") - table.max(axis=1, keepdims=True))
    halves, product = (a.astype("f2"), b.astype("f2")), a.astype("f8") @ b
    size = np.int32(n)
    return [
        Workload(
            name=f"saxpy {len(x)}",
            file="plain",
            entry="saxpy",
            grid=(rows, 1, 1),
            block=(256, 1, 1),
            arguments=(x, y, OUTPUT, np.float32(2), np.int32(len(x))),
            expected=2 * x.astype("f8") + y,
            tolerance=1e-6,
        ),
        Workload(
            name=f"softmax {table.shape[0]}×{table.shape[1]}",
            file="plain",
            entry="softmax",
            grid=(len(table), 1, 1),
            block=(256, 1, 1),
            arguments=(table, OUTPUT, np.int32(1024)),
            expected=exponentials / exponentials.sum(axis=1, keepdims=True),
            tolerance=1e-6,
        ),
        Workload(
            name=f"matmul f32 {n}³",
            file="plain",
            entry="matmul",
            grid=(n // 16, n // 16, 1),
            block=(16, 16, 1),
            arguments=(a, b, OUTPUT, size),
            expected=product,
            tolerance=0,
        ),
        Workload(
            name=f"matmul f16 mma {n}³",
            file="tensor",
            entry="matmul_f16",
            grid=(n // 64, n // 64, 1),
            block=(128, 1, 1),
            arguments=(*halves, OUTPUT, size, size),
            expected=product,
            tolerance=0,
        ),
        Workload(
            name=f"transpose f64 {n}²",
            file="plain",
            entry="transpose",
            grid=(n // 32, n // 32, 1),
            block=(32, 32, 1),
            arguments=(wide, OUTPUT, size),
            expected=wide.T,
            tolerance=0,
        ),
        Workload(
            name=f"collatz {len(starts)}",
            file="plain",
            entry="collatz",
            grid=(len(starts) // 128, 1, 1),
            block=(128, 1, 1),
            arguments=(starts, OUTPUT),
            expected=np.array([_steps(int(v)) for v in starts]),
            tolerance=0,
        ),
    ]


def _steps(value: int) -> int:
    count = 0
    while value > 1:
        value, count = (3 * value + 1 if value & 1 else value // 2), count + 1
    return count


def read_ptx(name: str) -> str:
    """Return one of the shipped PTX files."""
    return files(__package__).joinpath("ptx", f"{name}.ptx").read_text(encoding="utf-8")


def measure_simulator(
    *, quick: bool, repeat: int, progress: Progress
) -> tuple[list[SimulatorSample], list[LoadSample]]:
    """Measure each kernel with and without the race check. Raises `ValidationError` for a wrong result."""
    found = []
    for workload in workloads(quick=quick):
        progress(f"simulate {workload.name}", None)
        samples: dict[bool, list[float]] = {True: [], False: []}
        lanes = 0
        for _ in range(repeat):
            for races, seconds in samples.items():
                lanes, took = run_once(workload, races=races)
                seconds.append(took)
        found.append(
            SimulatorSample(
                kernel=workload.name,
                lane_instructions=lanes,
                checked_s=tuple(samples[True]),
                unraced_s=tuple(samples[False]),
            )
        )
    progress("load large PTX", None)
    return found, [_measure_load(repeat)]


def run_once(workload: Workload, *, races: bool) -> tuple[int, float]:
    """Return lane instructions and seconds of one launch. Raises `ValidationError` for a wrong result."""
    from ..device.cuda_sim.launch import Limits, launch
    from ..device.cuda_sim.memory import Memory
    from ..device.cuda_sim.program import load

    program = load(read_ptx(workload.file), ARCHITECTURE)
    memory = Memory(1 << 28)
    dtype = np.dtype({"f": "f4", "i": "i4"}["i" if workload.entry == "collatz" else "f"])
    dtype = np.dtype("f8") if workload.entry == "transpose" else dtype
    output_bytes = workload.expected.size * dtype.itemsize
    output = memory.allocate(output_bytes)
    packed = []
    for argument in workload.arguments:
        if isinstance(argument, np.ndarray):
            address = memory.allocate(argument.nbytes)
            memory.write(address, np.ascontiguousarray(argument))
            packed.append(address.to_bytes(8, "little"))
        else:
            packed.append(output.to_bytes(8, "little") if isinstance(argument, str) else argument.tobytes())
    shared = 32 * 33 * 8 if workload.entry == "transpose" else 0
    report = launch(
        program,
        workload.entry,
        grid=workload.grid,
        block=workload.block,
        memory=memory,
        dynamic_shared_bytes=shared,
        parameters=program.entries[workload.entry].pack(packed),
        limits=Limits(races=races, steps=1 << 40),
    )
    result = np.frombuffer(memory.read(output, output_bytes), dtype).reshape(workload.expected.shape)
    _check(workload, result, [str(finding) for finding in report.findings])
    return report.lane_instructions, report.seconds


def _check(workload: Workload, result: NDArray[Any], findings: Sequence[str]) -> None:
    error = float(np.abs(result.astype("f8") - workload.expected).max())
    if findings or not error <= workload.tolerance * max(1.0, float(np.abs(workload.expected).max())):
        raise ValidationError(
            "a kernel on the simulated device is wrong",
            where=workload.name,
            expected=f"an error of at most {workload.tolerance:g} and no finding",
            found=findings[0] if findings else f"an error of {error:g}",
        )


def _measure_load(repeat: int) -> LoadSample:
    """Measure the loading of a large file: copies of a kernel under new names."""
    from ..device.cuda_sim.program import load
    from ..payload.ptx.parse import parse

    text = read_ptx("tensor")
    start = text.index(".visible .entry")
    body, parts = text[start:], [text[:start]]
    while sum(map(len, parts)) < LARGE_PTX_BYTES:
        parts.append(body.replace("matmul_", f"copy{len(parts)}_"))
    large = "".join(parts)
    parse_s = tuple(_timed(lambda: parse(large)) for _ in range(repeat))
    # a comment that differs avoids the cache
    load_s = tuple(_timed(lambda n=n: load(f"{large}\n// {n}\n", ARCHITECTURE)) for n in range(repeat))  # type: ignore[misc]
    return LoadSample(ptx_bytes=len(large), parse_s=parse_s, load_s=load_s)


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
