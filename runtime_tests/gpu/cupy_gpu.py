"""CuPy as the second launcher on a GPU: its own way to load PTX, to launch and to time, in the primary context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from runtime_tests.gpu.device import (
    MAX_DYNAMIC_SHARED,
    Bytes,
    Facts,
    Parameter,
    ParameterBlock,
    cuda_version,
    driver_release,
)
from runtime_tests.gpu.package import Triple
from substitute.errors import DeviceError

_DEFAULT_STREAM = 0


def reason_against_cupy() -> str:
    """Return why CuPy cannot be used; empty if it can be imported."""
    try:
        import cupy  # noqa: F401
        from cupy_backends.cuda.api import driver, runtime  # noqa: F401
    except ImportError as error:
        return str(error)
    return ""


class CupyGpu:
    """A `Gpu` through CuPy's bindings of the driver and the runtime, device 0."""

    def __init__(self) -> None:
        import cupy
        from cupy_backends.cuda.api import driver, runtime

        self._driver: Any = driver
        self._runtime: Any = runtime
        self._errors = (runtime.CUDARuntimeError, driver.CUDADriverError)
        self._call(runtime.setDevice, 0)
        self._call(runtime.free, 0)  # makes the primary context, and makes it current
        self.facts = self._facts(cupy.__version__)

    def _facts(self, version: str) -> Facts:
        properties = self._call(self._runtime.getDeviceProperties, 0)
        name = properties["name"]
        return Facts(
            name=name.decode(errors="replace") if isinstance(name, bytes) else str(name),
            capability=(int(properties["major"]), int(properties["minor"])),
            cuda=cuda_version(self._call(self._runtime.driverGetVersion)),
            release=driver_release(),
            cache_bytes=int(properties["l2CacheSize"]),
            memory_bytes=int(properties["totalGlobalMem"]),
            multiprocessors=int(properties["multiProcessorCount"]),
            launcher=f"cupy {version}",
            simulated=False,
        )

    def allocate(self, size_bytes: int) -> int:
        """Device memory, not out of CuPy's pool: neighbours would hide what is written out of bounds."""
        return int(self._call(self._runtime.malloc, max(1, size_bytes)))

    def free(self, address: int) -> None:
        """Gives it back."""
        self._call(self._runtime.free, address)

    def upload(self, address: int, contents: Bytes) -> None:
        """Host to device."""
        held = np.ascontiguousarray(contents)
        kind = self._runtime.memcpyHostToDevice
        self._call(self._runtime.memcpy, address, held.ctypes.data, held.nbytes, kind)

    def download(self, address: int, size_bytes: int) -> Bytes:
        """Device to host."""
        held = np.empty(size_bytes, np.uint8)
        kind = self._runtime.memcpyDeviceToHost
        self._call(self._runtime.memcpy, held.ctypes.data, address, size_bytes, kind)
        return held

    def copy(self, target: int, source: int, size_bytes: int) -> None:
        """Device to device."""
        kind = self._runtime.memcpyDeviceToDevice
        self._call(self._runtime.memcpyAsync, target, source, size_bytes, kind, _DEFAULT_STREAM)

    def load(self, ptx: str, entry: str, shared_bytes: int) -> int:
        """An entry of PTX. Raises `DeviceError`."""
        module = self._call(self._driver.moduleLoadData, ptx.encode() + b"\0")
        function = int(self._call(self._driver.moduleGetFunction, module, entry))
        if shared_bytes:
            self._call(self._driver.funcSetAttribute, function, MAX_DYNAMIC_SHARED, shared_bytes)
        return function

    def launch(
        self, function: int, grid: Triple, block: Triple, shared_bytes: int, parameters: Sequence[Parameter]
    ) -> None:
        """Starts a kernel on the default stream."""
        packed = ParameterBlock(parameters)
        self._call(self._driver.launchKernel, function, *grid, *block, shared_bytes, _DEFAULT_STREAM, packed.address, 0)

    def synchronize(self) -> None:
        """Waits until everything is done."""
        self._call(self._runtime.deviceSynchronize)

    def record(self) -> int:
        """An event on the default stream."""
        event = int(self._call(self._runtime.eventCreate))
        self._call(self._runtime.eventRecord, event, _DEFAULT_STREAM)
        return event

    def elapsed_us(self, start: int, stop: int) -> float:
        """Between two events."""
        self._call(self._runtime.eventSynchronize, stop)
        passed = float(self._call(self._runtime.eventElapsedTime, start, stop))
        for event in (start, stop):
            self._call(self._runtime.eventDestroy, event)
        return passed * 1e3

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._errors as error:
            raise DeviceError(f"CuPy's {function.__name__} failed", found=str(error)) from None
