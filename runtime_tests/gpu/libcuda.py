"""The CUDA driver through ctypes, as a C program would call it: the simulated device's, or a real one's."""

from __future__ import annotations

import ctypes
import os
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

_NO_DEVICE = 100
_CAPABILITY, _CACHE, _MULTIPROCESSORS = (75, 76), 38, 16
"""Numbers of `CUdevice_attribute`."""
_ERROR_LOG, _ERROR_LOG_BYTES, _LOG_ROOM = 5, 6, 8192
"""Options of `cuModuleLoadDataEx`: where what the PTX compiler says goes, and how much room is there."""
_NAMES = ("libcuda.so.1", "libcuda.so")


def real_driver() -> ctypes.CDLL | None:
    """This machine's libcuda; None where there is none."""
    for name in _NAMES:
        try:
            return ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
        except OSError:
            continue
    return None


def reason_against_gpu() -> str:
    """Return why no GPU can be used on this machine; empty if one can."""
    from substitute.device.cuda_sim.driver import is_loaded

    if is_loaded():
        return "in this process CUDA is simulated"
    library = real_driver()
    if library is None:
        return "there is no CUDA driver (libcuda.so.1)"
    status = library.cuInit(0)
    count = ctypes.c_int()
    if status in (0, _NO_DEVICE) and library.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value:
        return ""
    return "the CUDA driver finds no GPU" if status in (0, _NO_DEVICE) else f"the CUDA driver does not start: {status}"


class LibcudaGpu:
    """A `Gpu`, number `ordinal` of a driver's devices."""

    def __init__(self, library: ctypes.CDLL, *, ordinal: int = 0, simulated: bool = False) -> None:
        self._library = library
        self._call("cuInit", ctypes.c_uint(0))
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._context = context
        self._call("cuCtxSetCurrent", context)
        self.facts = self._facts(device, simulated)

    def _facts(self, device: ctypes.c_int, simulated: bool) -> Facts:
        name, version, total = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_size_t()
        self._call("cuDeviceGetName", name, ctypes.c_int(256), device)
        self._call("cuDriverGetVersion", ctypes.byref(version))
        self._call("cuDeviceTotalMem_v2", ctypes.byref(total), device)
        major, minor = (self._attribute(number, device) for number in _CAPABILITY)
        return Facts(
            name=name.value.decode(errors="replace"),
            capability=(major, minor),
            cuda=cuda_version(version.value),
            release="" if simulated else driver_release(),
            cache_bytes=self._attribute(_CACHE, device),
            memory_bytes=total.value,
            multiprocessors=self._attribute(_MULTIPROCESSORS, device),
            launcher="libcuda",
            simulated=simulated,
        )

    def _attribute(self, number: int, device: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), device)
        return value.value

    def allocate(self, size_bytes: int) -> int:
        """Device memory; a byte where nothing is wanted, which the driver does not give."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, size_bytes)))
        return address.value

    def free(self, address: int) -> None:
        """Gives it back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, address: int, contents: Bytes) -> None:
        """Host to device."""
        held = np.ascontiguousarray(contents)
        if held.nbytes:
            self._call(
                "cuMemcpyHtoD_v2",
                ctypes.c_uint64(address),
                ctypes.c_void_p(held.ctypes.data),
                ctypes.c_size_t(held.nbytes),
            )

    def download(self, address: int, size_bytes: int) -> Bytes:
        """Device to host."""
        held = np.empty(size_bytes, np.uint8)
        if size_bytes:
            self._call(
                "cuMemcpyDtoH_v2",
                ctypes.c_void_p(held.ctypes.data),
                ctypes.c_uint64(address),
                ctypes.c_size_t(size_bytes),
            )
        return held

    def copy(self, target: int, source: int, size_bytes: int) -> None:
        """Device to device."""
        places = (ctypes.c_uint64(target), ctypes.c_uint64(source), ctypes.c_size_t(size_bytes))
        self._call("cuMemcpyDtoDAsync_v2", *places, ctypes.c_void_p())

    def load(self, ptx: str, entry: str, shared_bytes: int) -> int:
        """An entry of PTX. Raises `DeviceError` with what the driver's PTX compiler said."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        words = ctypes.create_string_buffer(_LOG_ROOM)
        options = (ctypes.c_int * 2)(_ERROR_LOG, _ERROR_LOG_BYTES)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(words), _LOG_ROOM)
        image = ctypes.create_string_buffer(ptx.encode())
        try:
            self._call("cuModuleLoadDataEx", ctypes.byref(module), image, ctypes.c_uint(2), options, values)
        except DeviceError as error:
            said = words.value.decode(errors="replace").strip()
            raise DeviceError(
                "the driver does not load the PTX", where=entry, found=error.found, details=said
            ) from None
        self._call("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(entry.encode()))
        if shared_bytes:
            self._call("cuFuncSetAttribute", function, ctypes.c_int(MAX_DYNAMIC_SHARED), ctypes.c_int(shared_bytes))
        assert function.value is not None
        return function.value

    def launch(
        self, function: int, grid: Triple, block: Triple, shared_bytes: int, parameters: Sequence[Parameter]
    ) -> None:
        """Starts a kernel on the default stream."""
        sizes = [ctypes.c_uint(size) for size in (*grid, *block, shared_bytes)]
        packed = ParameterBlock(parameters)
        self._call(
            "cuLaunchKernel",
            ctypes.c_void_p(function),
            *sizes,
            ctypes.c_void_p(),
            ctypes.c_void_p(packed.address),
            ctypes.c_void_p(),
        )

    def synchronize(self) -> None:
        """Waits until everything is done."""
        self._call("cuCtxSynchronize")

    def record(self) -> int:
        """An event on the default stream."""
        event = ctypes.c_void_p()
        self._call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
        self._call("cuEventRecord", event, ctypes.c_void_p())
        assert event.value is not None
        return event.value

    def elapsed_us(self, start: int, stop: int) -> float:
        """Between two events."""
        passed = ctypes.c_float()
        self._call("cuEventSynchronize", ctypes.c_void_p(stop))
        self._call("cuEventElapsedTime", ctypes.byref(passed), ctypes.c_void_p(start), ctypes.c_void_p(stop))
        for event in (start, stop):
            self._call("cuEventDestroy_v2", ctypes.c_void_p(event))
        return passed.value * 1e3

    def _call(self, name: str, *arguments: Any) -> None:
        # another user of this thread, such as IREE, may have made its own context current
        if name not in ("cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent"):
            self._library.cuCtxSetCurrent(self._context)
        status = getattr(self._library, name)(*arguments)
        if status:
            raise DeviceError(f"{name} failed", where=self._library._name, found=self._words(status))

    def _words(self, status: int) -> str:
        found = ctypes.c_char_p()
        if self._library.cuGetErrorName(status, ctypes.byref(found)) == 0 and found.value:
            return found.value.decode()
        return str(status)


def simulated_gpu(device: str) -> LibcudaGpu:
    """The simulated device of this name (`cuda-sim`, `cuda-sim://sm_90`). Raises `DeviceError`, `UsageError`."""
    from substitute.device.cuda_sim.driver import load_library
    from substitute.device.cuda_sim.driver.build import library_path
    from substitute.device.cuda_sim.driver.loading import architecture_of

    load_library()
    wanted = divmod(architecture_of(device).number, 10)
    library = ctypes.CDLL(str(library_path()), mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    count = ctypes.c_int()
    library.cuInit(0)
    library.cuDeviceGetCount(ctypes.byref(count))
    for ordinal in range(count.value):
        gpu = LibcudaGpu(library, ordinal=ordinal, simulated=True)
        if gpu.facts.capability == wanted:
            return gpu
    raise DeviceError(f"the simulated driver has no {device}", expected="one of its devices", found=str(count.value))
