"""The driver functions that the library exports, with the C types of their arguments (CUDA driver API, 13.0).

The last ones are extensions: the fault of the last launch, for programs that see no code, and new contexts after it.

`cuGetProcAddress` returns the first name of each; programs that look functions up themselves ask for the name with the
suffix of the version, `cuMemAlloc_v2`.
"""

from __future__ import annotations

from dataclasses import dataclass

ARGUMENT_TYPES = {
    "p": "ptr",
    "l": "i64",  # size_t, CUdeviceptr, cuuint64_t
    "i": "i32",  # int, unsigned int, CUdevice, enumerations
    "h": "i16",
    "b": "i8",
}
"""LLVM type of each letter of a signature."""
MOST_ARGUMENTS = 13
"""Number of arguments that fit into a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """One exported function."""

    name: str
    arguments: str
    """One letter of `ARGUMENT_TYPES` for each argument."""
    suffix: str
    """Suffix of the versioned name, exported besides the plain one; may be empty."""


_TABLE = """
cuInit                              i
cuDriverGetVersion                  p
cuGetErrorName                      ip
cuGetErrorString                    ip
cuGetProcAddress                    ppil
cuGetProcAddress_v2                 ppilp
cuDeviceGet                         pi
cuDeviceGetCount                    p
cuDeviceGetName                     pii
cuDeviceGetUuid                     pi          _v2
cuDeviceGetAttribute                pii
cuDeviceTotalMem                    pi          _v2
cuDeviceGetPCIBusId                 pii
cuDeviceGetDefaultMemPool           pi
cuDeviceGetMemPool                  pi
cuDevicePrimaryCtxRetain            pi
cuDevicePrimaryCtxRelease           i           _v2
cuDevicePrimaryCtxReset             i           _v2
cuDevicePrimaryCtxGetState          ipp
cuCtxCreate                         pii         _v2
cuCtxDestroy                        p           _v2
cuCtxSetCurrent                     p
cuCtxGetCurrent                     p
cuCtxPushCurrent                    p           _v2
cuCtxPopCurrent                     p           _v2
cuCtxGetDevice                      p
cuCtxSynchronize
cuStreamCreate                      pi
cuStreamCreateWithPriority          pii
cuStreamDestroy                     p           _v2
cuStreamQuery                       p
cuStreamSynchronize                 p
cuStreamWaitEvent                   ppi
cuEventCreate                       pi
cuEventDestroy                      p           _v2
cuEventQuery                        p
cuEventRecord                       pp
cuEventSynchronize                  p
cuEventElapsedTime                  ppp
cuMemAlloc                          pl          _v2
cuMemAllocAsync                     plp
cuMemAllocFromPoolAsync             plpp
cuMemAllocManaged                   pli
cuMemAllocHost                      pl          _v2
cuMemHostAlloc                      pli
cuMemFree                           l           _v2
cuMemFreeAsync                      lp
cuMemFreeHost                       p
cuMemHostGetDevicePointer           ppi         _v2
cuMemHostRegister                   pli         _v2
cuMemHostUnregister                 p
cuMemGetInfo                        pp          _v2
cuMemGetAddressRange                ppl         _v2
cuMemPrefetchAsync                  llip
cuMemPoolCreate                     pp
cuMemPoolDestroy                    p
cuMemPoolSetAccess                  ppl
cuMemPoolGetAttribute               pip
cuMemPoolSetAttribute               pip
cuMemPoolTrimTo                     pl
cuMemcpy                            lll
cuMemcpyAsync                       lllp
cuMemcpyHtoD                        lpl         _v2
cuMemcpyHtoDAsync                   lplp        _v2
cuMemcpyDtoH                        pll         _v2
cuMemcpyDtoHAsync                   pllp        _v2
cuMemcpyDtoD                        lll         _v2
cuMemcpyDtoDAsync                   lllp        _v2
cuMemsetD8                          lbl         _v2
cuMemsetD16                         lhl         _v2
cuMemsetD32                         lil         _v2
cuMemsetD8Async                     lblp
cuMemsetD16Async                    lhlp
cuMemsetD32Async                    lilp
cuModuleLoadData                    pp
cuModuleLoadDataEx                  ppipp
cuModuleUnload                      p
cuModuleGetFunction                 ppp
cuModuleGetGlobal                   pppp        _v2
cuFuncGetAttribute                  pip
cuFuncSetAttribute                  pii
cuLaunchKernel                      piiiiiiippp
cuLaunchHostFunc                    ppp
cuGraphCreate                       pi
cuGraphDestroy                      p
cuGraphAddEmptyNode                 pppl
cuGraphAddEventRecordNode           ppplp
cuGraphAddKernelNode                ppplp       _v2
cuGraphAddMemcpyNode                ppplpp
cuGraphAddMemsetNode                ppplpp
cuGraphGetNodes                     ppp
cuGraphInstantiate                  ppppl       _v2
cuGraphInstantiateWithFlags         ppl
cuGraphLaunch                       pp
cuGraphExecDestroy                  p
iree_substitute_last_fault          pl
iree_substitute_recover
"""


def _read(line: str) -> EntryPoint:
    name, *rest = line.split()
    suffix = rest.pop() if rest and rest[-1].startswith("_") else ""
    return EntryPoint(name=name, arguments="".join(rest), suffix=suffix)


ENTRY_POINTS = tuple(_read(line) for line in _TABLE.split("\n") if line)
"""All entry points; the position of a function is its number in a request."""
NUMBERS = {entry.name: number for number, entry in enumerate(ENTRY_POINTS)}
"""The number of each function."""
