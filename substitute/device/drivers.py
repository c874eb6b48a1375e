"""Available devices, and opening them."""

from __future__ import annotations

import atexit
import ctypes
import difflib
import os
import re
import sys
from functools import cache
from typing import Any

from ..errors import DeviceError, UsageError
from .cuda_sim import driver as cuda_sim

_SOFTWARE_VULKAN = (
    "for the software Vulkan device on Debian: apt-get install mesa-vulkan-drivers libvulkan1; or choose another device"
)
_NEXT_STEPS = (
    ("vulkan", _SOFTWARE_VULKAN),
    ("cuda", "CUDA needs an NVIDIA GPU and its driver (libcuda.so); --device=cuda-sim simulates one without"),
    ("hip", "HIP needs an AMD GPU and ROCm (libamdhip64.so); choose another device to run without"),
)
_CUDA_IS_SIMULATED = "in this process CUDA is simulated"
_STATUS = re.compile(r"[A-Z_]{5,}; (.*)", re.DOTALL)
IREE_ERRORS = (RuntimeError, ValueError, IndexError)
"""Exceptions that IREE's bindings raise: OUT_OF_RANGE comes as an `IndexError`, INVALID_ARGUMENT as a `ValueError`."""
_workers: int | None = None


def available_devices() -> dict[str, str]:
    """Return every driver of the runtime by IREE's name, with the reason why its devices cannot be used, or an empty
    text.

    `cuda-sim`, the simulated CUDA devices, is among them.
    """
    from iree.runtime import get_driver

    reasons: dict[str, str] = {}
    for name in _driver_names():
        if name == cuda_sim.SIMULATED:
            reasons[name] = cuda_sim.refuse_simulator()
            continue
        if name == "cuda" and cuda_sim.is_loaded():
            reasons[name] = _CUDA_IS_SIMULATED
            continue
        try:
            found = get_driver(name).query_available_devices()
        except IREE_ERRORS as error:
            reasons[name] = extract_reason(error)
        else:
            reasons[name] = "" if found else "the driver is there, but it finds no device"
    return reasons


def describe_device(device: str) -> str:
    """Return the name that the device reports, such as `llvmpipe (LLVM 15.0.6, 256 bits)`. Raises `DeviceError`."""
    open_device(device)
    from iree.runtime import get_driver

    if cuda_sim.is_simulated(device):
        device = cuda_sim.name_for_iree(device)
    path = device.partition("://")[2].partition("?")[0]
    known = get_driver(_driver_of(device)).query_available_devices()
    names = [str(entry["name"]) for entry in known if path in ("", str(entry["path"]))]
    return names[0] if names else device


def open_device(device: str, *, workers: int | None = None, fresh: bool = False) -> Any:
    """Return the device of this name, as an object of `iree.runtime`. Raises `DeviceError`.

    It is opened once in a process; a Vulkan device, and any with `fresh` (as after a launch that broke the other one),
    is opened anew and closed with its last reference.

    `workers` is the number of threads of `local-task`. The runtime creates them once in a process, so all of a
    process's sessions on `local-task` have the same number; None takes the existing ones, or IREE's default.
    """
    from iree.runtime import get_device

    driver = _driver_of(device)
    _check_driver(device, driver)
    if driver == "local-task":
        _create_workers(workers)
    elif workers not in (None, 1) or (workers == 1 and driver != "local-sync"):
        raise UsageError(
            f"the number of worker threads cannot be chosen for {device}",
            expected="device local-task (any number), or local-sync (which has exactly one)",
            found=f"{workers} for {device}",
        )
    if driver == cuda_sim.SIMULATED:
        return _open_simulated(device)
    try:
        # Mesa's software Vulkan polls while IREE's two threads wait for work: an idle device keeps a core busy until it
        # is closed, so each session opens its own (30 to 60 ms)
        return get_device(device, cache=not fresh and driver != "vulkan")
    except IREE_ERRORS as error:
        openable = _openable(driver)
        raise DeviceError(
            f"device {device!r} cannot be opened",
            expected=f"a device that the driver can open: {', '.join(openable) or 'there is none on this machine'}",
            found=extract_reason(error),
            next_step="" if openable else dict(_NEXT_STEPS).get(driver, ""),
        ) from error


def _open_simulated(device: str) -> Any:
    """Open a simulated CUDA device; a new one each time, since a fault ends its context."""
    from iree.runtime import get_device

    name = cuda_sim.name_for_iree(device)
    cuda_sim.load_library()
    # the previous device may have met a fault, and may still be referenced
    cuda_sim.recover()
    try:
        return get_device(name, cache=False)
    except IREE_ERRORS as error:
        raise DeviceError(
            f"device {device!r} cannot be opened",
            expected="a simulated CUDA device, executed by a process of its own",
            found=extract_reason(error),
            next_step="see above for what that process said",
        ) from error


def keep_open(device: Any, name: str) -> None:
    """Keep a CUDA device open until the process ends, for one on which a launch has failed.

    The workaround `KEEP_FAILED_DEVICES_OPEN`: closing the device makes a thread of the driver's work queue crash with a
    segmentation fault, which ends the process.
    """
    if _driver_of(name) in ("cuda", cuda_sim.SIMULATED):
        # an unowned reference: one in a module would be released when the interpreter ends, and close the device then
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(device))
        _end_quietly_at_exit()


@cache
def _end_quietly_at_exit() -> None:
    atexit.register(_end_quietly)


def _end_quietly() -> None:
    """Suppress the bindings' leak reports when the interpreter ends: these devices leak on purpose."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def launch_error(what: str, error: BaseException, *, device: Any, name: str, where: str = "") -> DeviceError:
    """Return the error of a launch that has failed on `device`, named `name`, and keep the device open."""
    keep_open(device, name)
    # IREE can lose the driver's message
    found = cuda_sim.last_fault() if cuda_sim.is_simulated(name) else ""
    next_step = ""
    if "exceeds backing buffer" in str(error):  # IREE makes a model compute in f32, and leaves the results' types
        next_step = "if the model has f64 results, compile it with --iree-input-demote-f64-to-f32=false"
    return DeviceError(f"{what} failed on {name}", where=where, found=found, next_step=next_step, details=str(error))


def extract_reason(error: BaseException) -> str:
    """Return the sentence inside a status message of IREE, without the source positions around it."""
    text = str(error).strip()
    match = _STATUS.search(text)
    return " ".join((match[1] if match else text).split("\n")[0].split())


def _driver_names() -> list[str]:
    from iree.runtime import query_available_drivers

    return sorted((*(str(name) for name in query_available_drivers()), cuda_sim.SIMULATED))


def _driver_of(device: str) -> str:
    return device.partition("://")[0]


def _check_driver(device: str, driver: str) -> None:
    names = _driver_names()
    if driver == "cuda" and cuda_sim.is_loaded():
        raise DeviceError(
            f"device {device!r} cannot be opened here any more",
            expected="a process that has not used cuda-sim",
            found=_CUDA_IS_SIMULATED,
            next_step="use the device in a process of its own",
        )
    if driver in names:
        return
    close = difflib.get_close_matches(driver, names, n=1)
    raise DeviceError(
        f"unknown device {device!r}",
        expected=f"one of {', '.join(names)}",
        found=driver or "an empty name",
        next_step=f"did you mean {close[0]}?" if close else "name the device as IREE names it",
    )


def _openable(driver: str) -> list[str]:
    """Return the names of a driver's devices, for a message; empty if the driver cannot start."""
    from iree.runtime import get_driver

    try:
        found = get_driver(driver).query_available_devices()
    except IREE_ERRORS:
        return []
    return [f"{driver}://{entry['path']}" if entry["path"] else driver for entry in found]


def _create_workers(workers: int | None) -> None:
    global _workers
    if _workers is None:
        from iree.runtime import get_driver
        from iree.runtime.flags import parse_flags

        if workers is not None:
            if workers < 1:
                raise UsageError("a device needs at least one worker thread", expected="1 or more", found=str(workers))
            parse_flags(f"--task_topology_group_count={workers}")
        get_driver("local-task")
        _workers = workers or 0
    elif workers not in (None, _workers):
        raise DeviceError(
            f"this process already runs local-task with {_workers or 'the default number of'} worker threads",
            expected="one number for all sessions of a process",
            found=str(workers),
            next_step="use local-sync for a single thread, or another process for another number",
        )
