"""Which backend compiles for a device, and with which flags."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..device.cuda_sim.driver import is_simulated, target_flags

DEVICE_FLAGS = {
    "vulkan": ("--iree-hal-target-device=vulkan",),
    "cuda": ("--iree-hal-target-device=cuda",),
    "hip": ("--iree-hal-target-device=hip",),
}
"""The target of a device, where the flags name none; local devices get this machine's CPU."""
BACKENDS = {
    "local-task": "llvm-cpu", "local-sync": "llvm-cpu", "vulkan": "vulkan-spirv", "cuda": "cuda", "hip": "rocm",
}  # fmt: skip
"""By IREE's name of the driver."""


def flags_for(device: str, flags: Sequence[str]) -> tuple[str, ...]:
    """The flags, with the target of the device where they name none."""
    if any(re.match(r"--iree-hal-(local-)?target-", flag) for flag in flags):
        return tuple(flags)
    if is_simulated(device):
        return (*flags, *target_flags(device))
    return (*flags, *DEVICE_FLAGS.get(driver_of(device), ()))


def backend_of(device: str) -> str | None:
    """The backend that compiles for a device; None for a driver that is not known here."""
    return "cuda" if is_simulated(device) else BACKENDS.get(driver_of(device))


def driver_of(device: str) -> str:
    """The driver's name in `driver://path`."""
    return device.partition("://")[0]
