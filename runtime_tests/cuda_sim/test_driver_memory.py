"""Devices, contexts, memory, streams and events of the simulated driver."""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime_tests.cuda_sim.driver_api import SCALE, Driver, kernel
from substitute.device.cuda_sim.driver.architectures import ARCHITECTURES
from substitute.device.cuda_sim.driver.entry_points import ENTRY_POINTS

pytestmark = pytest.mark.device

OK = "CUDA_SUCCESS"
MAJOR, MINOR, SHARED_OPT_IN = 75, 76, 97


def test_version_and_names(driver: Driver) -> None:
    version = ctypes.c_int()
    assert driver.cuDriverGetVersion(version) == OK
    assert version.value == 13000
    name = ctypes.c_char_p()
    assert driver.cuGetErrorName(222, name) == OK
    assert name.value == b"CUDA_ERROR_UNSUPPORTED_PTX_VERSION"
    assert driver.cuGetErrorName(12345, name) == "CUDA_ERROR_INVALID_VALUE"
    assert name.value is None


def test_every_function_can_be_asked_for(driver: Driver) -> None:
    for entry in ENTRY_POINTS:
        place = ctypes.c_uint64()
        name = ctypes.create_string_buffer(entry.name.encode())
        assert driver.cuGetProcAddress(name, place, 11030, 0) == OK, entry.name
        assert place.value == ctypes.cast(getattr(driver._library, entry.name), ctypes.c_void_p).value
        assert hasattr(driver._library, entry.name + entry.suffix)
    place = ctypes.c_uint64(1)
    assert driver.cuGetProcAddress(ctypes.create_string_buffer(b"cuTexture"), place, 11030, 0) == "CUDA_ERROR_NOT_FOUND"
    assert place.value == 0


def test_the_meaning_of_a_name_depends_on_the_version(driver: Driver) -> None:
    place, name = ctypes.c_uint64(), ctypes.create_string_buffer(b"cuGraphInstantiate")
    for version, expected in ((11030, "cuGraphInstantiate"), (12000, "cuGraphInstantiateWithFlags")):
        assert driver.cuGetProcAddress_v2(name, place, version, 0, None) == OK
        assert place.value == ctypes.cast(getattr(driver._library, expected), ctypes.c_void_p).value


def test_devices(driver: Driver) -> None:
    count, value = ctypes.c_int(), ctypes.c_int()
    assert driver.cuInit(0) == OK
    assert driver.cuDeviceGetCount(count) == OK
    assert count.value == len(ARCHITECTURES)
    capabilities, opt_in = [], []
    for device in range(count.value):
        text = []
        for attribute in (MAJOR, MINOR):
            assert driver.cuDeviceGetAttribute(value, attribute, device) == OK
            text.append(str(value.value))
        capabilities.append("sm_" + "".join(text))
        assert driver.cuDeviceGetAttribute(value, SHARED_OPT_IN, device) == OK
        opt_in.append(value.value)
        name = ctypes.create_string_buffer(100)
        assert driver.cuDeviceGetName(name, 100, device) == OK
        assert name.value.decode() == f"Simulated CUDA device ({capabilities[-1]})"
    assert capabilities == ["sm_80", "sm_70", "sm_75", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
    # CUDA C++ Programming Guide, "Maximum amount of shared memory per thread block"
    assert opt_in == [163 << 10, 96 << 10, 64 << 10, 99 << 10, 99 << 10, 227 << 10, 227 << 10, 99 << 10]


def test_what_is_no_device_or_attribute(driver: Driver) -> None:
    value = ctypes.c_int()
    assert driver.cuInit(1) == "CUDA_ERROR_INVALID_VALUE"
    assert driver.cuDeviceGet(value, 8) == "CUDA_ERROR_INVALID_DEVICE"
    assert driver.words("CUDA_ERROR_INVALID_DEVICE") == "invalid device ordinal: device 8 of 8"
    assert driver.cuDeviceGetAttribute(value, 0, 0) == "CUDA_ERROR_INVALID_VALUE"
    assert driver.cuDeviceGetAttribute(value, 9999, 0) == "CUDA_ERROR_INVALID_VALUE"
    assert driver.cuDeviceGetCount(None) == "CUDA_ERROR_INVALID_VALUE"


def test_contexts(driver: Driver) -> None:
    found = ctypes.c_uint64()
    while driver.cuCtxPopCurrent(found) == OK:
        pass  # what other devices of this process have left in this thread
    with driver.context(device=5) as outer:
        with driver.context() as inner:
            assert driver.cuCtxGetCurrent(found) == OK
            assert found.value == inner
            assert driver.cuCtxPopCurrent(found) == OK
        device = ctypes.c_int()
        assert driver.cuCtxGetDevice(device) == OK
        assert device.value == 5
        assert driver.cuCtxSetCurrent(outer) == OK
        assert driver.cuCtxSetCurrent(inner) == "CUDA_ERROR_INVALID_CONTEXT"
    assert driver.cuMemAlloc(found, 16) == "CUDA_ERROR_INVALID_CONTEXT"
    assert driver.cuCtxDestroy(outer) == "CUDA_ERROR_INVALID_CONTEXT"


def test_a_context_takes_its_memory_with_it(driver: Driver) -> None:
    free, total = ctypes.c_uint64(), ctypes.c_uint64()
    with driver.context():
        assert driver.cuMemGetInfo(free, total) == OK
        before = free.value
        driver.allocate(1 << 20)
        assert driver.cuMemGetInfo(free, total) == OK
        assert free.value < before <= total.value
    with driver.context():
        assert driver.cuMemGetInfo(free, total) == OK
        assert free.value == before


def test_copies_in_all_directions(driver: Driver, context: int) -> None:
    values = np.arange(1000, dtype=np.uint32)
    a, b = driver.upload(values), driver.allocate(4000)
    assert driver.cuMemcpyDtoD(b + 400, a, 3600) == OK
    np.testing.assert_array_equal(driver.download(b + 400, 900), values[:900])
    target = np.zeros(1000, np.uint32)
    assert driver.cuMemcpy(target.ctypes.data, a, 4000) == OK
    np.testing.assert_array_equal(target, values)
    # from host to host: unified addressing leaves it to the addresses
    assert driver.cuMemcpyAsync(target.ctypes.data, values[::-1].copy().ctypes.data, 4000, None) == OK
    np.testing.assert_array_equal(target, values[::-1])


def test_new_memory_is_no_zeros(driver: Driver, context: int) -> None:
    assert np.isnan(driver.download(driver.allocate(64), 16, np.float32)).all()


@pytest.mark.parametrize("width", [1, 2, 4])
def test_fills(driver: Driver, context: int, width: int) -> None:
    place = driver.upload(np.zeros(64, np.uint8))
    fill = getattr(driver, f"cuMemsetD{8 * width}Async")
    assert fill(place + 4, 0x89ABCDEF & (1 << 8 * width) - 1, 3, None) == OK
    expected = b"\0" * 4 + struct.pack("<I", 0x89ABCDEF)[:width] * 3
    assert driver.download(place, 64, np.uint8).tobytes() == expected.ljust(64, b"\0")
    if width > 1:
        assert fill(place + 1, 0, 1, None) == "CUDA_ERROR_INVALID_VALUE"
    assert fill(place, 0, 64 // width + 1, None) == "CUDA_ERROR_INVALID_VALUE"


def test_what_memory_calls_refuse(driver: Driver, context: int) -> None:
    values = np.zeros(16, np.uint8)
    place = driver.allocate(16)
    invalid = "CUDA_ERROR_INVALID_VALUE"
    assert driver.cuMemcpyHtoD(place, values.ctypes.data, 17) == invalid
    assert driver.words(invalid) == f"invalid argument: 17 bytes at {place:#x}: only 16 of them lie in its allocation"
    assert driver.cuMemcpyDtoH(values.ctypes.data, place - 1, 1) == invalid
    assert "1 bytes before an allocation of 16 bytes" in driver.words(invalid)
    # a real driver takes the process down here
    assert driver.cuMemcpyHtoD(place, 0x1234, 16) == invalid
    assert driver.words(invalid) == f"invalid argument: there is no memory at {place:#x} or 0x1234"
    assert driver.cuMemcpyHtoD(place, None, 16) == invalid
    assert driver.cuMemFree(place + 4) == invalid
    assert driver.cuMemFreeHost(place) == invalid
    assert driver.cuMemFree(place) == OK
    assert driver.cuMemFree(place) == invalid
    assert driver.cuMemFree(0) == OK
    assert driver.cuMemcpyDtoH(values.ctypes.data, place, 16) == invalid
    target = ctypes.c_uint64()
    assert driver.cuMemAlloc(target, 0) == invalid
    assert driver.cuMemAlloc(target, 1 << 40) == "CUDA_ERROR_OUT_OF_MEMORY"
    assert driver.cuMemAllocManaged(target, 16, 77) == invalid


def test_host_and_managed_memory_are_both_sides_memory(driver: Driver, context: int) -> None:
    place, seen = ctypes.c_uint64(), ctypes.c_uint64()
    for allocate, flags, free, pointer in (
        (driver.cuMemHostAlloc, 2, driver.cuMemFreeHost, OK),
        (driver.cuMemAllocManaged, 1, driver.cuMemFree, "CUDA_ERROR_INVALID_VALUE"),
    ):
        assert allocate(place, 64, flags) == OK
        ctypes.memset(place.value, 7, 64)
        assert (driver.download(place.value, 64, np.uint8) == 7).all()
        assert driver.cuMemHostGetDevicePointer(seen, place.value, 0) == pointer
        assert driver.cuMemPrefetchAsync(place.value, 64, 0, None) == OK
        assert free(place.value) == OK


def test_registered_host_memory(driver: Driver, context: int) -> None:
    values = np.arange(100, dtype=np.uint32)
    seen = ctypes.c_uint64()
    assert driver.cuMemHostGetDevicePointer(seen, values.ctypes.data, 0) == "CUDA_ERROR_INVALID_VALUE"
    assert driver.cuMemHostRegister(values.ctypes.data, values.nbytes, 2) == OK
    assert driver.cuMemHostRegister(values.ctypes.data + 40, 4, 2) == "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"
    assert driver.cuMemHostGetDevicePointer(seen, values.ctypes.data + 40, 0) == OK
    # each side sees what the other writes
    assert driver.cuMemsetD32(seen.value, 77, 1) == OK
    assert values[10] == 77
    values[11] = 78
    assert driver.download(seen.value, 2).tolist() == [77, 78]
    assert driver.cuMemHostUnregister(values.ctypes.data) == OK
    assert driver.cuMemHostUnregister(values.ctypes.data) == "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED"
    assert driver.cuMemHostRegister(0x1000, 64, 0) == "CUDA_ERROR_INVALID_VALUE"


def test_read_only_host_memory_may_be_registered(driver: Driver, context: int, tmp_path: Path) -> None:
    """A file that is mapped read-only: nothing is written back to it, and a kernel that writes to it gets an error."""
    path = tmp_path / "weights"
    path.write_bytes(np.arange(2048, dtype=np.uint32).tobytes())
    function = driver.function(SCALE, "scale")
    target, twin = driver.upload(np.zeros(32, np.uint32)), ctypes.c_uint64()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped:
        weights = np.frombuffer(mapped, np.uint32)
        host = weights.ctypes.data
        assert driver.cuMemHostRegister(host, weights.nbytes, 0) == OK
        assert driver.cuMemHostGetDevicePointer(twin, host, 0) == OK
        into = [ctypes.c_uint64(twin.value), ctypes.c_uint64(target), ctypes.c_uint32(3)]
        assert driver.launch(function, 32, into) == OK
        assert driver.download(target, 32).tolist() == list(range(0, 96, 3))
        assert driver.cuMemsetD32(twin.value, 1, 4) == "CUDA_ERROR_INVALID_VALUE"
        # copies where the host's memory cannot be written are refused as well
        assert driver.cuMemcpyDtoH(host, target, 64) == "CUDA_ERROR_INVALID_VALUE"
        back = [ctypes.c_uint64(target), ctypes.c_uint64(twin.value), ctypes.c_uint32(3)]
        assert driver.launch(function, 32, back) == "CUDA_ERROR_ILLEGAL_ADDRESS"
        assert "cannot be written" in driver.words("CUDA_ERROR_ILLEGAL_ADDRESS")
        assert weights[:32].tolist() == list(range(32))
        del weights


def test_registered_memory_that_the_host_has_unmapped(driver: Driver, context: int) -> None:
    """Its pages are the device's until they are unregistered."""
    function = driver.function(SCALE, "scale")
    target, twin = driver.upload(np.zeros(32, np.uint32)), ctypes.c_uint64()
    mapped = mmap.mmap(-1, 4096)
    values = np.frombuffer(mapped, np.uint32)
    values[:] = 5
    host = values.ctypes.data
    assert driver.cuMemHostRegister(host, 4096, 0) == OK
    assert driver.cuMemHostGetDevicePointer(twin, host, 0) == OK
    del values
    mapped.close()
    arguments = [ctypes.c_uint64(twin.value), ctypes.c_uint64(target), ctypes.c_uint32(3)]
    assert driver.launch(function, 32, arguments) == OK
    assert driver.download(target, 32).tolist() == [15] * 32
    assert driver.cuMemHostUnregister(host) == OK
    # a copy between the host and the device ends with a code as well
    assert driver.cuMemcpyHtoD(target, host, 128) == "CUDA_ERROR_INVALID_VALUE"


MEET_HOST = kernel(
    """
  mov.u32 %r1, 1;
  st.volatile.global.u32 [%rd1], %r1;
WAIT:
  ld.volatile.global.u32 %r2, [%rd1];
  setp.ne.u32 %p1, %r2, 2;
  @%p1 bra WAIT;
  ld.param.u64 %rd2, [twin];
  mov.u32 %r3, 77;
  st.global.u32 [%rd2+400], %r3;
""",
    parameters=".param .u64 target, .param .u64 twin",
)
"""Says 1 to the host, waits for its 2, writes into registered memory."""


def test_what_host_threads_write_while_a_kernel_runs_stays(driver: Driver, context: int) -> None:
    flag, twin = ctypes.c_uint64(), ctypes.c_uint64()
    function = driver.function(MEET_HOST, "k")
    assert driver.cuMemAllocManaged(flag, 4, 1) == OK
    word = ctypes.c_uint32.from_address(flag.value)
    word.value = 0
    values = np.zeros(1024, np.uint32)
    assert driver.cuMemHostRegister(values.ctypes.data, values.nbytes, 0) == OK
    assert driver.cuMemHostGetDevicePointer(twin, values.ctypes.data, 0) == OK
    codes: list[str] = []

    def launch() -> None:
        driver.cuCtxSetCurrent(context)
        codes.append(driver.launch(function, 1, [ctypes.c_uint64(flag.value), ctypes.c_uint64(twin.value)]))

    thread = threading.Thread(target=launch)
    thread.start()
    while word.value != 1 and thread.is_alive():
        time.sleep(0.001)
    values[7] = 99
    word.value = 2
    thread.join()
    assert codes == [OK]
    assert (values[7], values[100]) == (99, 77)
    assert driver.cuMemHostUnregister(values.ctypes.data) == OK


def test_pools(driver: Driver, context: int) -> None:
    pool, place, used = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
    properties = ctypes.create_string_buffer(88)
    assert driver.cuMemPoolCreate(pool, properties) == OK
    assert driver.cuMemAllocFromPoolAsync(place, 1000, pool.value, None) == OK
    assert driver.cuMemPoolGetAttribute(pool.value, 8, used) == OK
    assert used.value == 1000
    assert driver.cuMemFreeAsync(place.value, None) == OK
    threshold = ctypes.c_uint64(123)
    assert driver.cuMemPoolSetAttribute(pool.value, 4, threshold) == OK
    assert driver.cuMemPoolGetAttribute(pool.value, 4, used) == OK
    assert used.value == 123
    assert driver.cuMemPoolGetAttribute(pool.value, 99, used) == "CUDA_ERROR_INVALID_VALUE"
    assert driver.cuMemPoolTrimTo(pool.value, 0) == OK
    assert driver.cuMemPoolDestroy(pool.value) == OK
    assert driver.cuMemAllocFromPoolAsync(place, 1000, pool.value, None) == "CUDA_ERROR_INVALID_HANDLE"


def test_streams_and_events(driver: Driver, context: int) -> None:
    stream, first, last, ms = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_float()
    assert driver.cuStreamCreate(stream, 1) == OK
    assert driver.cuStreamCreate(stream, 5) == "CUDA_ERROR_INVALID_VALUE"
    assert driver.cuEventCreate(first, 0) == OK
    assert driver.cuEventCreate(last, 0) == OK
    assert driver.cuEventElapsedTime(ms, first.value, last.value) == "CUDA_ERROR_INVALID_HANDLE"
    assert driver.cuEventRecord(first.value, stream.value) == OK
    assert driver.cuEventRecord(last.value, stream.value) == OK
    assert driver.cuStreamWaitEvent(stream.value, last.value, 0) == OK
    assert driver.cuEventQuery(last.value) == driver.cuEventSynchronize(last.value) == OK
    assert driver.cuEventElapsedTime(ms, first.value, last.value) == OK
    assert ms.value > 0
    assert driver.cuStreamSynchronize(stream.value) == OK
    assert driver.cuStreamSynchronize(first.value) == "CUDA_ERROR_INVALID_HANDLE"
    assert driver.cuStreamDestroy(stream.value) == OK
    assert driver.cuStreamQuery(stream.value) == "CUDA_ERROR_INVALID_HANDLE"
    assert driver.cuEventDestroy(first.value) == OK
    assert driver.cuEventDestroy(first.value) == "CUDA_ERROR_INVALID_HANDLE"


def test_the_host_is_called_back(driver: Driver, context: int) -> None:
    seen: list[Any] = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def callback(argument: int | None) -> None:
        # the driver can be called from here
        seen.append((argument, driver.cuInit(0)))

    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert driver.cuLaunchHostFunc(None, address, 99) == OK
    assert seen == [(99, OK)]
