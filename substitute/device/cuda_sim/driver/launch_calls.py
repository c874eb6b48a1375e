"""Driver functions that run kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import codes
from .architectures import BLOCK_LIMITS, GRID_LIMITS, MOST_THREADS, Architecture
from .codes import DriverError
from .driver import Driver, Interrupted
from .objects import Function
from .settings import STEPS
from .stream_calls import check_stream

if TYPE_CHECKING:
    from ..faults import Report
    from ..launch import Limits

Triple = tuple[int, int, int]
_NEAR_BYTES = 4096
"""Parameters at most this far apart are read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A kernel with its launch configuration and parameters."""

    function: Function
    grid: Triple
    block: Triple
    dynamic_shared_bytes: int
    parameters: bytes
    """The packed parameter space."""


def launch_kernel(driver: Driver, handle: int, *rest: int) -> None:
    """`cuLaunchKernel`."""
    *sizes, dynamic, stream, parameters, extra = rest
    check_stream(driver, stream)
    run(driver, prepare(driver, handle, tuple(sizes), dynamic, parameters, extra))


def prepare(driver: Driver, handle: int, sizes: tuple[int, ...], dynamic: int, parameters: int, extra: int) -> Launch:
    """Return a launch with its parameters read; `sizes` are grid and block. Raises `DriverError` for invalid
    launches.
    """
    function = driver.find(handle, Function)
    gx, gy, gz, bx, by, bz = (size & 0xFFFFFFFF for size in sizes)
    grid, block = (gx, gy, gz), (bx, by, bz)
    if extra:
        raise DriverError(codes.NOT_SUPPORTED, "parameters as one buffer (`extra`) are not simulated")
    _check_sizes(function, grid, block)
    _check_shared(function, dynamic & 0xFFFFFFFF)
    return Launch(
        function=function,
        grid=grid,
        block=block,
        dynamic_shared_bytes=dynamic & 0xFFFFFFFF,
        parameters=_read_parameters(driver, function, parameters),
    )


def _check_sizes(function: Function, grid: Triple, block: Triple) -> None:
    name = function.entry.name
    for what, sizes, limits in (("grid", grid, GRID_LIMITS), ("block", block, BLOCK_LIMITS)):
        if not all(1 <= size <= limit for size, limit in zip(sizes, limits, strict=True)):
            raise DriverError(codes.INVALID_VALUE, f"{name}: a {what} of {sizes}; from 1 to {limits}")
    threads = block[0] * block[1] * block[2]
    if threads > MOST_THREADS:
        raise DriverError(codes.INVALID_VALUE, f"{name}: {threads} threads in a block; at most {MOST_THREADS}")
    required, most = function.entry.required_block, function.entry.maximum_threads
    if required is not None and tuple(required) != block:
        raise DriverError(codes.INVALID_VALUE, f"{name}: a block of {block}, but the PTX says .reqntid {required}")
    if most is not None and threads > most:
        raise DriverError(
            codes.LAUNCH_OUT_OF_RESOURCES, f"{name}: {threads} threads in a block, but the PTX says .maxntid {most}"
        )


def _check_shared(function: Function, dynamic: int) -> None:
    if dynamic > function.most_dynamic_bytes:
        raise DriverError(
            codes.INVALID_VALUE,
            f"{function.entry.name}: {dynamic} bytes of dynamic shared memory beside "
            f"{function.entry.static_shared_bytes} static ones; it may have {function.most_dynamic_bytes}, "
            "and more only after cuFuncSetAttribute",
        )


def _read_parameters(driver: Driver, function: Function, pointers: int) -> bytes:
    """Return the parameter space, gathered from the addresses of the values in the client."""
    entry = function.entry
    if not entry.parameters:
        return b""
    data = driver.client.read(pointers, 8 * len(entry.parameters))
    places = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    sizes = [parameter.size_bytes for parameter in entry.parameters]
    low, high = min(places), max(place + size for place, size in zip(places, sizes, strict=True))
    near = driver.client.read(low, high - low) if low and high - low <= _NEAR_BYTES else None
    values = (
        near[place - low :][:size] if near is not None else driver.client.read(place, size)
        for place, size in zip(places, sizes, strict=True)
    )
    return entry.pack(list(values))


def run(driver: Driver, launch: Launch) -> None:
    """Executes a launch. Raises `DriverError` if it fails; the context is then of no more use."""
    from ..coverage import watch
    from ..faults import LaunchError
    from ..launch import launch as execute

    context = launch.function.context
    if context.fault is not None:
        raise context.fault
    device = context.architecture
    coverage = watch(launch.function.entry.code) if driver.settings.coverage is not None else None
    lent = driver.lend_to_kernel()
    try:
        driver.executing = True
        report = execute(
            launch.function.module.program,
            launch.function.entry.name,
            grid=launch.grid,
            block=launch.block,
            dynamic_shared_bytes=launch.dynamic_shared_bytes,
            parameters=launch.parameters,
            memory=driver.memory,
            limits=_limits(driver, device),
        )
    except LaunchError as error:
        raise DriverError(error.code, str(error)) from error
    except Interrupted:
        context.fault = DriverError(codes.LAUNCH_FAILED, f"{launch.function.entry.name} was interrupted")
        raise context.fault from None
    finally:
        driver.executing = False
    try:
        driver.return_from_kernel(lent)
    except DriverError as error:
        context.fault = error
        raise
    if coverage is not None:
        driver.reports.note_coverage(launch.function.entry.name, coverage)
    code = report.status or (codes.LAUNCH_FAILED if report.findings and driver.settings.fail_on_findings else 0)
    where = {"entry": launch.function.entry.name, "device": device.name, "grid": launch.grid, "block": launch.block}
    driver.reports.note(report, code, where)
    if code:
        context.fault = DriverError(code, _words(report, code))
        raise context.fault


def _limits(driver: Driver, device: Architecture) -> Limits:
    from ..launch import Limits, Multiprocessors

    residency = Multiprocessors(
        multiprocessors=device.multiprocessors,
        threads=device.threads_per_multiprocessor,
        blocks=device.blocks_per_multiprocessor,
        shared_bytes=device.shared_bytes_per_multiprocessor,
    )
    limits = Limits(
        shared_bytes=device.shared_bytes_per_block, threads=MOST_THREADS, grid=GRID_LIMITS, device=residency
    )
    return replace(limits, steps=driver.settings.steps) if driver.settings.steps else limits


def _words(report: Report, code: int) -> str:
    """Return the finding that stopped the launch, or the first one, and the number of findings."""
    finding = next((f for f in report.findings if f.fatal), report.findings[0])
    more = f" (and {len(report.findings) - 1} more findings)" if len(report.findings) > 1 else ""
    advice = f"; {STEPS}=NUMBER sets another limit" if code == codes.LAUNCH_TIMEOUT else ""
    return f"{finding}{more}{advice}"


LAUNCH_CALLS: dict[str, Callable[..., None]] = {"cuLaunchKernel": launch_kernel}
