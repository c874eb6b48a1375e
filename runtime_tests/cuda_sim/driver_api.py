"""The simulated driver, called as a C program would call it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from substitute.device.cuda_sim.driver import load_library
from substitute.device.cuda_sim.driver.build import library_path
from substitute.device.cuda_sim.driver.codes import CODES
from substitute.device.cuda_sim.driver.entry_points import ENTRY_POINTS

_TYPES = {
    "p": ctypes.c_void_p,
    "l": ctypes.c_uint64,
    "i": ctypes.c_int,
    "h": ctypes.c_uint16,
    "b": ctypes.c_uint8,
}

HEADER = ".version 7.0\n.target sm_70\n.address_size 64\n"
SCALE = (
    HEADER
    + """
.visible .entry scale(.param .u64 source, .param .u64 target, .param .u32 factor)
{
  .reg .b32 %r<5>;
  .reg .b64 %rd<6>;
  ld.param.u64 %rd1, [source];
  ld.param.u64 %rd2, [target];
  ld.param.u32 %r1, [factor];
  mov.u32 %r2, %tid.x;
  mul.wide.u32 %rd3, %r2, 4;
  add.u64 %rd4, %rd1, %rd3;
  add.u64 %rd5, %rd2, %rd3;
  ld.global.u32 %r3, [%rd4];
  mul.lo.u32 %r4, %r3, %r1;
  st.global.u32 [%rd5], %r4;
  ret;
}
"""
)
"""target[i] = factor * source[i], for one block."""


def kernel(body: str, *, parameters: str = ".param .u64 target", declarations: str = "", name: str = "k") -> str:
    """An entry with a few registers; `%rd1` is its first parameter."""
    return f"""{HEADER}
.visible .entry {name}({parameters}) {declarations}
{{
  .reg .pred %p<4>;
  .reg .b32 %r<8>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [target];
{body}
  ret;
}}
"""


def _address(argument: Any) -> Any:
    """C objects are passed by address, numbers as they are."""
    return argument if argument is None or isinstance(argument, int) else ctypes.addressof(argument)


class Driver:
    """Every driver function by its name: `driver.cuMemAlloc(pointer, 16)` gives the name of the code."""

    def __init__(self) -> None:
        load_library()
        self._library = ctypes.CDLL(str(library_path()), mode=os.RTLD_NOW | os.RTLD_GLOBAL)
        self._signatures = {entry.name: entry.arguments for entry in ENTRY_POINTS}

    def __getattr__(self, name: str) -> Callable[..., str]:
        function = getattr(self._library, name)
        function.argtypes = [_TYPES[letter] for letter in self._signatures[name]]

        def call(*arguments: Any) -> str:
            return CODES[function(*map(_address, arguments))].name

        return call

    def words(self, name: str) -> str:
        """Return `cuGetErrorString`'s text for a code."""
        code = next(number for number, code in CODES.items() if code.name == name)
        text = ctypes.c_char_p()
        assert self.cuGetErrorString(code, text) == "CUDA_SUCCESS"
        assert text.value is not None
        return text.value.decode()

    def allocate(self, size_bytes: int) -> int:
        """Device memory."""
        place = ctypes.c_uint64()
        assert self.cuMemAlloc(place, size_bytes) == "CUDA_SUCCESS"
        return place.value

    def upload(self, values: NDArray[Any]) -> int:
        """Device memory with these values."""
        place = self.allocate(values.nbytes)
        assert self.cuMemcpyHtoD(place, values.ctypes.data, values.nbytes) == "CUDA_SUCCESS"
        return place

    def download(self, place: int, count: int, dtype: Any = np.uint32) -> NDArray[Any]:
        """Values from device memory."""
        values = np.zeros(count, dtype)
        assert self.cuMemcpyDtoH(values.ctypes.data, place, values.nbytes) == "CUDA_SUCCESS"
        return values

    def function(self, ptx: str, name: str) -> int:
        """An entry of PTX that loads."""
        module, function = ctypes.c_uint64(), ctypes.c_uint64()
        text = ctypes.create_string_buffer(ptx.encode())
        assert self.cuModuleLoadData(module, text) == "CUDA_SUCCESS", self.words("CUDA_ERROR_INVALID_PTX")
        assert self.cuModuleGetFunction(function, module.value, ctypes.create_string_buffer(name.encode())) == (
            "CUDA_SUCCESS"
        )
        return function.value

    def launch(
        self, function: int, block: int, arguments: Sequence[Any], *, grid: int = 1, shared_bytes: int = 0
    ) -> str:
        """Launches with ctypes values as parameters; the name of the code."""
        places = (ctypes.c_void_p * max(1, len(arguments)))(*[ctypes.addressof(a) for a in arguments])
        return self.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared_bytes, None, places, None)

    @contextmanager
    def context(self, device: int = 0) -> Iterator[int]:
        """Create a context on a device, current until the end of the block; a fault in it ends with it."""
        handle = ctypes.c_uint64()
        assert self.cuInit(0) == "CUDA_SUCCESS"
        assert self.cuCtxCreate(handle, 0, device) == "CUDA_SUCCESS"
        try:
            yield handle.value
        finally:
            assert self.cuCtxDestroy(handle.value) == "CUDA_SUCCESS"
