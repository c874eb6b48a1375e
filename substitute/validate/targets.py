"""Backends and compiler flags for devices."""

from __future__ import annotations

from collections.abc import Sequence

from ..device.cuda_sim.driver import is_simulated, target_flags
from ..flags import add_target, names_target, read_flags

TARGETS = {"local-task": "local", "local-sync": "local", "vulkan": "vulkan", "cuda": "cuda", "hip": "hip"}
"""Compiler's name of the device for each driver."""
BACKENDS = {
    "local-task": "llvm-cpu",
    "local-sync": "llvm-cpu",
    "vulkan": "vulkan-spirv",
    "cuda": "cuda",
    "hip": "rocm",
}
"""Backends by IREE's name of the driver."""
ALSO_RUN = {"llvm-cpu": frozenset({"vmvx"})}
"""Other backends whose code the devices of a backend run."""


def flags_for(device: str, flags: Sequence[str]) -> tuple[str, ...]:
    """Return the flags, with the target of the device if they name none."""
    read = read_flags(flags)
    if names_target(read.flags):
        return add_target(read.flags).flags
    if is_simulated(device):
        own = (flag for flag in target_flags(device) if flag[2:].partition("=")[0] not in read.values)
        return (*read.flags, *own)
    return add_target(read.flags, device=TARGETS.get(driver_of(device), "")).flags


def names_several(flags: Sequence[str]) -> bool:
    """True if the flags compile for more than one device."""
    return len(read_flags(flags).listed("iree-hal-target-device")) > 1


def foreign(backend: str, device: str) -> str:
    """Return why code of a backend is not judged on a device; empty if that backend compiles for it."""
    own = backend_of(device)
    runs_here = own in (None, backend) or backend in ALSO_RUN.get(own or "", ())
    return "" if runs_here else f"it is compiled by {backend} for another device than {device}"


def backend_of(device: str) -> str | None:
    """Return the backend that compiles for a device; None for an unknown driver."""
    return "cuda" if is_simulated(device) else BACKENDS.get(driver_of(device))


def driver_of(device: str) -> str:
    """Return the driver's name in `driver://path`."""
    return device.partition("://")[0]
