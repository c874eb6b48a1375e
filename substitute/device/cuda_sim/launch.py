"""Launches a kernel: geometry checks, batches of blocks, the report."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from . import faults
from .batch import Batch, Geometry
from .code import Code
from .faults import Finding, LaunchError, Log, Report, Stop
from .global_hazards import GlobalHazards, Trace
from .hazards import Hazards
from .memory import Allocation, Memory
from .program import Entry, Program
from .schedule import start

_USUAL_LANES = 8192
_MOST_SHARED_BYTES = 16 << 20
"""Limit of the shared memory of blocks that run as one vector: the state kept of each byte takes several times as
much."""
_SHARED_BYTES_OF_SYSTEM = 1024
"""Shared memory of each block that the system reserves, from sm_80 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiprocessors:
    """Hardware limits that determine how many blocks run at once."""

    multiprocessors: int = 108
    threads: int = 2048
    blocks: int = 32
    shared_bytes: int = 164 << 10
    registers: int = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a launch, and the checks that are made."""

    steps: int = 50_000_000
    """Warp instructions of the blocks that run as one vector, for each `_USUAL_LANES` of their lanes: a large grid is
    no endless loop."""
    lanes: int = 32_768
    """Lanes that run as one vector; memory use grows with it."""
    races: bool = True
    initialised: bool = True
    findings: int = 64
    """Largest number of places in the PTX that are reported."""
    shared_bytes: int = 49152
    """Static and dynamic shared memory of one block."""
    threads: int = 1024
    grid: tuple[int, int, int] = (2**31 - 1, 65535, 65535)
    block: tuple[int, int, int] = (1024, 1024, 64)
    device: Multiprocessors = Multiprocessors()


def launch(
    program: Program,
    entry: str,
    *,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    parameters: bytes,
    memory: Memory,
    dynamic_shared_bytes: int = 0,
    limits: Limits = Limits(),
) -> Report:
    """Run a kernel to its end.

    Faults of the kernel are in the report. Raises `LaunchError` for a launch that no device would start.

    What the kernel does wrong is in the report. Raises `LaunchError` for a launch that no device would start.
    """
    if entry not in program.entries:
        raise LaunchError(
            "the module has no such kernel", code=500, expected=", ".join(program.entries) or "none", found=entry
        )
    kernel = program.entries[entry]
    geometry = Geometry(grid=grid, block=block)
    shared_bytes = kernel.static_shared_bytes + dynamic_shared_bytes
    _check(kernel, geometry, shared_bytes, parameters, limits)
    addresses = {name: address for name, (address, _) in program.globals(memory).items()}
    log = Log(entry=entry, limit=limits.findings)
    began = time.perf_counter()
    lane_instructions = steps = 0
    whole: dict[int, bool] = {}
    batch: Batch | None = None
    traces = _trace_globals(kernel.code, geometry, memory, parameters, addresses, limits)
    per_batch = max(1, min(limits.lanes // geometry.threads, _MOST_SHARED_BYTES // max(shared_bytes, 1)))
    if geometry.blocks > per_batch and kernel.code.waits_for_others():
        # blocks that wait for each other must all run, as they would on the device
        per_batch = max(per_batch, _resident_blocks(kernel, geometry, shared_bytes, limits))
    for first in range(0, geometry.blocks, per_batch):
        blocks = range(first, min(first + per_batch, geometry.blocks))
        batch = _batch(kernel.code, geometry, blocks, memory, log, parameters, shared_bytes, limits, batch)

        batch.whole = whole
        if traces is not None and batch.hazards is not None:
            batch.globals = traces
            traces.begin(batch.hazards, blocks, batch.block_of, batch.thread_of)
        run = start(kernel.code, batch, addresses, limits.steps * max(1, batch.total // _USUAL_LANES))
        stopped = False
        with np.errstate(all="ignore"):
            try:
                run.execute()
                _finish(batch)
            except Stop:
                stopped = True
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MemoryError) as error:
                raise LaunchError(
                    "the simulated device failed: this is a bug in it, not in the kernel",
                    code=faults.LAUNCH_FAILED,
                    where=entry,
                    details=f"{type(error).__name__}: {error}",
                ) from error
        steps += batch.steps
        lane_instructions += run.lane_instructions
        if stopped:
            break
    return Report(
        findings=tuple(log.found.values()),
        lane_instructions=lane_instructions,
        warp_instructions=steps,
        seconds=time.perf_counter() - began,
        printed="".join(log.printed),
    )


def _batch(
    code: Code,
    geometry: Geometry,
    blocks: range,
    memory: Memory,
    log: Log,
    parameters: bytes,
    shared_bytes: int,
    limits: Limits,
    before: Batch | None,
) -> Batch:
    stride = -(-shared_bytes // 128) * 128
    hazards = None
    clocks = None if before is None else before.hazards
    if clocks is not None and not shared_bytes and clocks.blocks == len(blocks):
        # without shared memory there are only the clocks, and the previous batch had as many
        hazards = clocks
        hazards.restart()
    elif limits.races:
        grain = code.grain
        hazards = Hazards(
            blocks=len(blocks), warps=-(-geometry.threads // 32), grain=grain, words=len(blocks) * stride // grain
        )
        if code.reads_asynchronously:
            hazards.watch_proxies()
    return Batch(
        geometry=geometry,
        blocks=blocks,
        memory=memory,
        log=log,
        parameters=np.frombuffer(parameters, np.uint8),
        shared_bytes=shared_bytes,
        static_shared_bytes=code.layout.static_shared_bytes,
        local_bytes=code.layout.local_bytes,
        hazards=hazards,
        check_written=limits.initialised,
        before=before,
    )


def _trace_globals(
    code: Code, geometry: Geometry, memory: Memory, parameters: bytes, addresses: dict[str, int], limits: Limits
) -> GlobalHazards | None:
    """Add the allocations in which races are detected: those that the kernel may write."""
    if not limits.races:
        return None
    written = code.written_pointers()
    found: dict[int, Allocation] = {}
    if written.anywhere:
        found = {one.start: one for one in memory.allocations()}
    places = [addresses[name] for name in written.variables]
    for offset, size in written.parameters:
        # a parameter may be a struct with several pointers
        for at in range(offset, min(offset + size, len(parameters)) - 7, 8):
            places.append(int.from_bytes(parameters[at : at + 8], "little"))
    for place in places:
        one = memory.find(place)
        if one is not None:
            found[one.start] = one
    grain = code.smallest_global_access
    traces = [
        Trace(
            allocation=one,
            first=(one.start - memory.base) // grain,
            last=(one.start - memory.base + max(one.size_bytes, 1) - 1) // grain,
        )
        for one in found.values()
        if one.writable
    ]
    return GlobalHazards(grain=grain, traces=traces, blocks=geometry.blocks, warps=-(-geometry.threads // 32))


def _resident_blocks(kernel: Entry, geometry: Geometry, shared_bytes: int, limits: Limits) -> int:
    """Return the number of blocks that the device runs at once (CUDA C++ Programming Guide, "Multiprocessor Level")."""
    device = limits.device
    warps = -(-geometry.threads // 32)
    # registers are given out to warps in units of 256
    registers = -(-max(kernel.registers, 16) * 32 // 256) * 256 * warps
    fits = min(
        device.blocks,
        device.threads // (32 * warps),
        device.registers // registers,
        device.shared_bytes // max(shared_bytes + _SHARED_BYTES_OF_SYSTEM, 1),
    )
    return device.multiprocessors * max(1, fits)


def _finish(batch: Batch) -> None:
    """Complete or report copies that are in flight when a block ends."""
    end = batch.units.get("end")
    if end is not None:
        end(batch)


def _check(kernel: Entry, geometry: Geometry, shared_bytes: int, parameters: bytes, limits: Limits) -> None:
    problem = _geometry_problem(kernel, geometry, limits)
    if problem is None and shared_bytes > limits.shared_bytes:
        problem = (f"at most {limits.shared_bytes:,} bytes of shared memory", f"{shared_bytes:,} bytes")
    if problem is None and len(parameters) != kernel.parameter_bytes:
        problem = (f"{kernel.parameter_bytes} bytes of parameters", f"{len(parameters)} bytes")
    if problem is not None:
        raise LaunchError("the kernel cannot be launched so", where=kernel.name, expected=problem[0], found=problem[1])


def _geometry_problem(kernel: Entry, geometry: Geometry, limits: Limits) -> tuple[str, str] | None:
    """Return (expected, found) of an invalid geometry, or None."""
    for name, sizes, most in (("grid", geometry.grid, limits.grid), ("block", geometry.block, limits.block)):
        if any(not 1 <= size <= limit for size, limit in zip(sizes, most, strict=True)):
            return f"a {name} from (1, 1, 1) to {most}", f"a {name} of {sizes}"
    threads = min(limits.threads, kernel.maximum_threads or limits.threads)
    if geometry.threads > threads:
        return f"at most {threads} threads in a block", f"{geometry.threads} threads, {geometry.block}"
    if kernel.required_block is not None and geometry.block != kernel.required_block:
        return f"a block of {kernel.required_block} (.reqntid)", f"a block of {geometry.block}"
    return None


__all__ = ["Finding", "Limits", "Report", "faults", "launch"]
