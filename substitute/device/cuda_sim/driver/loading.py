"""Installation of the simulated driver where IREE's CUDA driver finds it: in this process, or in an environment."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

from ....errors import DeviceError
from .architectures import DEFAULT_ARCHITECTURE, Architecture, find_architecture
from .build import MARK, SONAME, library_path
from .settings import DEVICE, read_settings

SIMULATED = "cuda-sim"
"""Driver name of the simulated devices on the command line."""
_CODEGEN = (60, 70, 80, 86, 89, 120)
"""Architectures that IREE 3.13 generates code for."""
_LONGEST_FAULT = 16384
_library: ctypes.CDLL | None = None


def is_simulated(device: str) -> bool:
    """Return True for `cuda-sim` and `cuda-sim://sm_90`."""
    return device.partition("://")[0] == SIMULATED


def architecture_of(device: str) -> Architecture:
    """Return the architecture of a device's name. Raises `UsageError`."""
    name = device.partition("://")[2]
    return find_architecture(name or read_settings(os.environ).device)


def name_for_iree(device: str) -> str:
    """Return the device's name for IREE's CUDA driver. Raises `UsageError`."""
    return f"cuda://GPU-{architecture_of(device).uuid}"


def target_flags(device: str) -> tuple[str, ...]:
    """Return compiler flags for code that runs on the device. Raises `UsageError`."""
    number = architecture_of(device).number
    # PTX runs on every device that is newer than its target
    usable = [known for known in _CODEGEN if known <= number]
    return ("--iree-hal-target-device=cuda", f"--iree-cuda-target=sm_{usable[-1]}")


def load_library() -> None:
    """Load the simulated driver; `cuda` means the simulated devices in this process from now on. Raises
    `DeviceError`.
    """
    global _library
    if _library is not None:
        return
    if _real_driver_is_loaded():
        raise DeviceError(
            "the simulated CUDA device cannot be used here any more",
            expected="a process that has not used the CUDA driver of this machine",
            found="one that has",
            next_step="use cuda-sim in a process of its own",
        )
    path = library_path()
    try:
        # the loader now knows it by its soname: IREE's dlopen("libcuda.so") returns it without searching for a file
        _library = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    except OSError as error:
        raise DeviceError(
            "the library of the simulated CUDA device cannot be loaded",
            where=str(path),
            found=str(error),
            next_step="delete the folder, so that it is built again",
        ) from error


def is_loaded() -> bool:
    """Return True if the simulated driver is loaded in this process."""
    return _library is not None


def last_fault() -> str:
    """Return and clear the fault that stopped the last launch in this process; empty if there was none."""
    if _library is None:
        return ""
    words = ctypes.create_string_buffer(_LONGEST_FAULT)
    _library[MARK](words, ctypes.c_size_t(len(words)))
    return words.value.decode(errors="replace")


def recover() -> None:
    """Make devices usable again that had a fault, for programs that open them anew."""
    if _library is not None:
        _library.iree_substitute_recover()


def environment(base: Mapping[str, str], *, device: str = DEFAULT_ARCHITECTURE) -> dict[str, str]:
    """Return `base` with variables that make a started program load the simulated driver, `device` first.

    Raises `DeviceError` and `UsageError`.
    """
    folder = str(library_path().parent)
    others = base.get("LD_LIBRARY_PATH", "")
    path = f"{folder}{os.pathsep}{others}" if others else folder
    return {**base, "LD_LIBRARY_PATH": path, DEVICE: find_architecture(device).name}


def refuse_simulator() -> str:
    """Return why no simulated device is available; empty if one is."""
    try:
        library_path()
    except DeviceError as error:
        return f"{error.what}: {error.found}" if error.found else error.what
    return ""


def _real_driver_is_loaded() -> bool:
    """Return True if the process has loaded another `libcuda.so`."""
    try:
        found = ctypes.CDLL(SONAME, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
    except OSError:
        return False
    return not hasattr(found, MARK)


def library_folder() -> Path:
    """Return the folder for LD_LIBRARY_PATH. Raises `DeviceError`."""
    return library_path().parent
