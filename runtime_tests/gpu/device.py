"""Interface of a device that launches PTX: CuPy on a GPU, or libcuda itself, real or simulated."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime_tests.gpu.package import Capability, Triple

Bytes = NDArray[np.uint8]
Parameter = np.uint64 | np.uint32
"""An address, or a word."""
MAX_DYNAMIC_SHARED = 8
"""`CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`: more than 48 KB has to be asked for."""
_RELEASE_FILE = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Properties that a device reports."""

    name: str
    capability: Capability
    cuda: str
    """The newest CUDA that its driver knows, such as `13.0`."""
    release: str
    """The driver's own number, such as `580.65.06`; empty where there is none."""
    cache_bytes: int
    """Second-level cache."""
    memory_bytes: int
    multiprocessors: int
    launcher: str
    """Launching library: `cupy 14.2.0`, `libcuda`."""
    simulated: bool


class Gpu(Protocol):
    """One device, in its primary context, which it shares with IREE's driver; work goes to one stream, in order.

    Addresses and handles are plain integers. Everything may raise `DeviceError`.
    """

    facts: Facts

    def allocate(self, size_bytes: int) -> int:
        """Device memory."""

    def free(self, address: int) -> None:
        """Gives it back."""

    def upload(self, address: int, contents: Bytes) -> None:
        """Host to device; has happened when this returns."""

    def download(self, address: int, size_bytes: int) -> Bytes:
        """Device to host, after all that was asked for before."""

    def copy(self, target: int, source: int, size_bytes: int) -> None:
        """Device to device, in the stream's order."""

    def load(self, ptx: str, entry: str, shared_bytes: int) -> int:
        """An entry of PTX, allowed as much dynamic shared memory."""

    def launch(
        self, function: int, grid: Triple, block: Triple, shared_bytes: int, parameters: Sequence[Parameter]
    ) -> None:
        """Starts a kernel."""

    def synchronize(self) -> None:
        """Waits until everything is done."""

    def record(self) -> int:
        """An event, at this place of the stream."""

    def elapsed_us(self, start: int, stop: int) -> float:
        """Microseconds between two events, which are given back."""


class ParameterBlock:
    """Kernel parameters as the driver wants them: addresses of values. Has to live until the launch is queued."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        kinds: dict[type[Any], type[Any]] = {np.uint64: ctypes.c_uint64, np.uint32: ctypes.c_uint32}
        self._values = [kinds[type(p)](int(p)) for p in parameters]
        self._places = (ctypes.c_void_p * max(1, len(parameters)))(*[ctypes.addressof(v) for v in self._values])

    @property
    def address(self) -> int:
        """Address of the array of addresses."""
        return ctypes.addressof(self._places)


def cuda_version(number: int) -> str:
    """`13.0` for 13000."""
    return f"{number // 1000}.{number % 1000 // 10}"


def driver_release(path: Path = _RELEASE_FILE) -> str:
    """The number of NVIDIA's kernel module, such as `580.65.06`; empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", text)
    return found[1] if found else ""
