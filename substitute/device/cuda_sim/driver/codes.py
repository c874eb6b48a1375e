"""The driver's result codes: numbers, names, and the texts of `cuGetErrorString` (CUDA driver API, `CUresult`)."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """Name and text of a result code."""

    name: str
    words: str


CODES: dict[int, Code] = {
    0: Code("CUDA_SUCCESS", "no error"),
    1: Code("CUDA_ERROR_INVALID_VALUE", "invalid argument"),
    2: Code("CUDA_ERROR_OUT_OF_MEMORY", "out of memory"),
    3: Code("CUDA_ERROR_NOT_INITIALIZED", "initialization error"),
    4: Code("CUDA_ERROR_DEINITIALIZED", "driver shutting down"),
    34: Code("CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"),
    46: Code("CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"),
    100: Code("CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"),
    101: Code("CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"),
    200: Code("CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"),
    201: Code("CUDA_ERROR_INVALID_CONTEXT", "invalid device context"),
    209: Code("CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"),
    214: Code("CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"),
    215: Code("CUDA_ERROR_UNSUPPORTED_LIMIT", "limit is not supported on this architecture"),
    218: Code("CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"),
    221: Code("CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "PTX JIT compiler library not found"),
    222: Code("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."),
    300: Code("CUDA_ERROR_INVALID_SOURCE", "device kernel image is invalid"),
    301: Code("CUDA_ERROR_FILE_NOT_FOUND", "file not found"),
    304: Code("CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"),
    400: Code("CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"),
    401: Code("CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"),
    500: Code("CUDA_ERROR_NOT_FOUND", "named symbol not found"),
    600: Code("CUDA_ERROR_NOT_READY", "device not ready"),
    700: Code("CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    701: Code("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"),
    702: Code("CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"),
    708: Code("CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", "cannot set while device is active in this process"),
    709: Code("CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"),
    710: Code("CUDA_ERROR_ASSERT", "device-side assert triggered"),
    712: Code(
        "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "part or all of the requested memory range is already mapped"
    ),
    713: Code("CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"),
    714: Code("CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"),
    715: Code("CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"),
    716: Code("CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"),
    717: Code("CUDA_ERROR_INVALID_ADDRESS_SPACE", "operation not supported on global/shared address space"),
    718: Code("CUDA_ERROR_INVALID_PC", "invalid program counter"),
    719: Code("CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"),
    800: Code("CUDA_ERROR_NOT_PERMITTED", "operation not permitted"),
    801: Code("CUDA_ERROR_NOT_SUPPORTED", "operation not supported"),
    999: Code("CUDA_ERROR_UNKNOWN", "unknown error"),
}
"""Codes that this driver returns or that programs query."""

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
NOT_INITIALIZED = 3
INVALID_DEVICE = 101
INVALID_IMAGE = 200
INVALID_CONTEXT = 201
NO_BINARY_FOR_GPU = 209
INVALID_HANDLE = 400
NOT_FOUND = 500
ILLEGAL_ADDRESS = 700
LAUNCH_OUT_OF_RESOURCES = 701
LAUNCH_TIMEOUT = 702
HOST_MEMORY_ALREADY_REGISTERED = 712
HOST_MEMORY_NOT_REGISTERED = 713
LAUNCH_FAILED = 719
NOT_SUPPORTED = 801
UNKNOWN = 999
FAULTS = frozenset((ILLEGAL_ADDRESS, 701, 702, 714, 715, 716, 717, 718, LAUNCH_FAILED, UNKNOWN))
"""Codes of a launch that faulted."""


class DriverError(Exception):
    """Error that ends a driver call with a code; `words` are more specific than the code's own text."""

    def __init__(self, code: int, words: str = "") -> None:
        super().__init__(f"{CODES[code].name}: {words or CODES[code].words}")
        self.code, self.words = code, words
