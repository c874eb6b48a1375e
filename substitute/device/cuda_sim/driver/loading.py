"""Puts the simulated driver where IREE's CUDA driver looks: in this process, or in the environment of another one."""

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
"""What the command line calls the simulated devices, as a driver of IREE's would be called."""
_CODEGEN = (60, 70, 80, 86, 89, 120)
"""The architectures that IREE 3.13 generates code for."""
_LONGEST_FAULT = 16384
_library: ctypes.CDLL | None = None


def is_simulated(device: str) -> bool:
    """True for `cuda-sim` and `cuda-sim://sm_90`."""
    return device.partition("://")[0] == SIMULATED


def architecture_of(device: str) -> Architecture:
    """The architecture that a device's name stands for. Raises `UsageError`."""
    name = device.partition("://")[2]
    return find_architecture(name or read_settings(os.environ).device)


def name_for_iree(device: str) -> str:
    """The same device as IREE's CUDA driver names it. Raises `UsageError`."""
    return f"cuda://GPU-{architecture_of(device).uuid}"


def target_flags(device: str) -> tuple[str, ...]:
    """What to compile for, so that IREE's own code runs on the device. Raises `UsageError`."""
    number = architecture_of(device).number
    # PTX runs on every device that is newer than its target
    usable = [known for known in _CODEGEN if known <= number]
    return ("--iree-hal-target-device=cuda", f"--iree-cuda-target=sm_{usable[-1]}")


def load_library() -> None:
    """From now on, `cuda` means the simulated devices in this process. Raises `DeviceError`."""
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
        # the loader knows it by its soname now: IREE's dlopen("libcuda.so") gets this one without looking for a file
        _library = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    except OSError as error:
        raise DeviceError(
            "the library of the simulated CUDA device cannot be loaded",
            where=str(path),
            found=str(error),
            next_step="delete the folder, so that it is built again",
        ) from error


def is_loaded() -> bool:
    """True once the simulated driver is in this process."""
    return _library is not None


def last_fault() -> str:
    """What stopped the last launch in this process, said once; empty if nothing did."""
    if _library is None:
        return ""
    words = ctypes.create_string_buffer(_LONGEST_FAULT)
    _library[MARK](words, ctypes.c_size_t(len(words)))
    return words.value.decode(errors="replace")


def recover() -> None:
    """Makes devices that met a fault usable again for those who open them anew."""
    if _library is not None:
        _library.iree_substitute_recover()


def environment(base: Mapping[str, str], *, device: str = DEFAULT_ARCHITECTURE) -> dict[str, str]:
    """`base` with what makes a program that it starts find the simulated driver, `device` first. Raises
    `DeviceError`, `UsageError`.
    """
    folder = str(library_path().parent)
    others = base.get("LD_LIBRARY_PATH", "")
    path = f"{folder}{os.pathsep}{others}" if others else folder
    return {**base, "LD_LIBRARY_PATH": path, DEVICE: find_architecture(device).name}


def reason_against() -> str:
    """Why there is no simulated device here; empty if there is one."""
    try:
        library_path()
    except DeviceError as error:
        return f"{error.what}: {error.found}" if error.found else error.what
    return ""


def _real_driver_is_loaded() -> bool:
    """True if the loader already has a `libcuda.so`, which is not ours then."""
    try:
        found = ctypes.CDLL(SONAME, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
    except OSError:
        return False
    return not hasattr(found, MARK)


def library_folder() -> Path:
    """The folder that LD_LIBRARY_PATH has to name. Raises `DeviceError`."""
    return library_path().parent
