"""Modules, launches and graphs of the simulated driver: results, and each refusal of a real one."""

from __future__ import annotations

import ctypes
import struct
from ctypes import c_uint32, c_uint64

import numpy as np
import pytest

from runtime_tests.cuda_sim.driver_api import HEADER, SCALE, Driver, kernel

pytestmark = pytest.mark.device

OK = "CUDA_SUCCESS"
INVALID = "CUDA_ERROR_INVALID_VALUE"
SM_80, SM_70, SM_86, SM_90 = 0, 1, 3, 5
VALUES = np.arange(32, dtype=np.uint32)
ERROR_LOG, ERROR_LOG_BYTES = 5, 6
DYNAMIC_SHARED = 8


def test_a_launch_computes(driver: Driver, context: int) -> None:
    source, target = driver.upload(VALUES), driver.allocate(VALUES.nbytes)
    scale = driver.function(SCALE, "scale")
    assert driver.launch(scale, 32, [c_uint64(source), c_uint64(target), c_uint32(3)]) == OK
    np.testing.assert_array_equal(driver.download(target, 32), 3 * VALUES)


def test_host_memory_is_computed_on(driver: Driver, context: int) -> None:
    values, target = VALUES.copy(), VALUES.copy()
    places = [ctypes.c_uint64(), ctypes.c_uint64()]
    for array, place, flags in ((values, places[0], 2 | 8), (target, places[1], 2)):
        assert driver.cuMemHostRegister(array.ctypes.data, array.nbytes, flags) == OK
        assert driver.cuMemHostGetDevicePointer(place, array.ctypes.data, 0) == OK
    values += 1
    scale = driver.function(SCALE, "scale")
    assert driver.launch(scale, 32, [*places, c_uint32(5)]) == OK
    np.testing.assert_array_equal(target, 5 * values)
    # what is registered as read-only is not written back
    assert driver.launch(scale, 32, [places[1], places[0], c_uint32(2)]) == OK
    np.testing.assert_array_equal(values, VALUES + 1)


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        (b"rubbish", "CUDA_ERROR_INVALID_IMAGE", "neither PTX (it has no .version) nor machine code"),
        (b"\x7fELF\x02\x01", "CUDA_ERROR_INVALID_IMAGE", "the image is a cubin: machine code"),
        (b"\x50\xed\x55\xba\x01", "CUDA_ERROR_INVALID_IMAGE", "the image is a fat binary: machine code"),
        (b".version 7.0 \xff", "CUDA_ERROR_INVALID_IMAGE", "the image is no text: byte 13"),
        (SCALE[:-20].encode(), "CUDA_ERROR_INVALID_PTX", ""),
        (SCALE.replace("7.0", "9.9").encode(), "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "9.9"),
        (SCALE.replace("sm_70", "sm_90").encode(), "CUDA_ERROR_NO_BINARY_FOR_GPU", "sm_90"),
    ],
    ids=["rubbish", "cubin", "fatbin", "binary", "cut-off", "version", "target"],
)
def test_modules_that_do_not_load(driver: Driver, context: int, image: bytes, code: str, words: str) -> None:
    module, log = c_uint64(), ctypes.create_string_buffer(4096)
    options = (ctypes.c_int * 2)(ERROR_LOG, ERROR_LOG_BYTES)
    values = (ctypes.c_void_p * 2)(ctypes.addressof(log), len(log))
    text = ctypes.create_string_buffer(image)
    assert driver.cuModuleLoadDataEx(module, text, 2, options, values) == code
    assert words in log.value.decode()
    assert log.value.decode()[:500] in driver.words(code)
    assert driver.cuModuleLoadData(module, None) == INVALID


def test_a_kernel_that_is_not_executed_is_refused_when_it_is_looked_up(driver: Driver, context: int) -> None:
    module, function = c_uint64(), c_uint64()
    other = SCALE[SCALE.index(".visible") :].replace("scale", "other").replace("mul.lo", "mul.high")
    assert driver.cuModuleLoadData(module, ctypes.create_string_buffer((SCALE + other).encode())) == OK
    assert driver.cuModuleGetFunction(function, module.value, ctypes.create_string_buffer(b"scale")) == OK
    code = driver.cuModuleGetFunction(function, module.value, ctypes.create_string_buffer(b"other"))
    assert code == "CUDA_ERROR_NOT_SUPPORTED" and "mul" in driver.words(code)


def test_a_device_takes_older_targets_and_its_own(driver: Driver) -> None:
    module = c_uint64()
    for device, target, code in (
        (SM_70, "sm_70", OK),
        (SM_70, "sm_75", "CUDA_ERROR_NO_BINARY_FOR_GPU"),
        (SM_90, "sm_75", OK),
        (SM_90, "sm_90", OK),
        (SM_90, "sm_90a", OK),
        (SM_80, "sm_90a", "CUDA_ERROR_NO_BINARY_FOR_GPU"),
    ):
        ptx = SCALE.replace("sm_70", target).replace("7.0", "8.0")
        with driver.context(device):
            assert driver.cuModuleLoadData(module, ctypes.create_string_buffer(ptx.encode())) == code, target


def test_what_a_module_does_not_have(driver: Driver, context: int) -> None:
    module, function = c_uint64(), c_uint64()
    assert driver.cuModuleLoadData(module, ctypes.create_string_buffer(SCALE.encode())) == OK
    name = ctypes.create_string_buffer(b"skale")
    assert driver.cuModuleGetFunction(function, module.value, name) == "CUDA_ERROR_NOT_FOUND"
    assert driver.words("CUDA_ERROR_NOT_FOUND") == (
        "named symbol not found: the module has no entry 'skale'; it has: scale"
    )
    assert driver.cuModuleGetGlobal(function, None, module.value, name) == "CUDA_ERROR_NOT_FOUND"
    assert driver.cuModuleUnload(module.value) == OK
    assert driver.cuModuleGetFunction(function, module.value, name) == "CUDA_ERROR_INVALID_HANDLE"


def test_variables_of_a_module(driver: Driver, context: int) -> None:
    ptx = f"{HEADER}.global .align 4 .u32 table[4] = {{5, 6, 7, 8}};\n{SCALE.removeprefix(HEADER)}"
    module, place, size = c_uint64(), c_uint64(), c_uint64()
    assert driver.cuModuleLoadData(module, ctypes.create_string_buffer(ptx.encode())) == OK
    name = ctypes.create_string_buffer(b"table")
    assert driver.cuModuleGetGlobal(place, size, module.value, name) == OK
    assert size.value == 16
    assert driver.download(place.value, 4).tolist() == [5, 6, 7, 8]


def test_sizes_that_no_device_starts(driver: Driver, context: int) -> None:
    function = driver.function(kernel("", declarations=".maxntid 64"), "k")
    arguments = [c_uint64(0)]
    assert driver.launch(function, 64, arguments) == OK
    assert driver.launch(function, 0, arguments) == INVALID
    assert driver.launch(function, 1, arguments, grid=0) == INVALID
    assert driver.launch(function, 1025, arguments) == INVALID
    assert "a block of (1025, 1, 1); from 1 to (1024, 1024, 64)" in driver.words(INVALID)
    assert driver.launch(function, 65, arguments) == "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
    assert "but the PTX says .maxntid 64" in driver.words("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES")
    places = (ctypes.c_void_p * 1)(ctypes.addressof(arguments[0]))
    assert driver.cuLaunchKernel(function, 1, 65536, 1, 1, 1, 1, 0, None, places, None) == INVALID
    assert driver.cuLaunchKernel(function, 1, 1, 1, 32, 32, 2, 0, None, places, None) == INVALID
    assert driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None) == INVALID
    assert driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, places, places) == "CUDA_ERROR_NOT_SUPPORTED"
    required = driver.function(kernel("", declarations=".reqntid 32, 2"), "k")
    assert driver.launch(required, 64, arguments) == INVALID
    assert ".reqntid" in driver.words(INVALID)


@pytest.mark.parametrize(("device", "most"), [(SM_80, 163 << 10), (SM_86, 99 << 10), (SM_90, 227 << 10)])
def test_dynamic_shared_memory_has_limits(driver: Driver, device: int, most: int) -> None:
    static = 1024
    ptx = kernel(f"  .shared .align 4 .b8 own[{static}];\n  mov.u32 %r1, own;\n  st.shared.u32 [%r1], %r1;")
    value = ctypes.c_int()
    with driver.context(device):
        function = driver.function(ptx, "k")
        arguments = [c_uint64(0)]
        plain = (48 << 10) - static
        assert driver.launch(function, 1, arguments, shared_bytes=plain) == OK
        assert driver.launch(function, 1, arguments, shared_bytes=plain + 1) == INVALID
        assert f"it may have {plain}, and more only after cuFuncSetAttribute" in driver.words(INVALID)
        assert driver.cuFuncSetAttribute(function, DYNAMIC_SHARED, most - static + 1) == INVALID
        assert driver.cuFuncSetAttribute(function, DYNAMIC_SHARED, -1) == INVALID
        assert driver.cuFuncSetAttribute(function, DYNAMIC_SHARED, most - static) == OK
        assert driver.cuFuncGetAttribute(value, DYNAMIC_SHARED, function) == OK
        assert value.value == most - static
        assert driver.launch(function, 1, arguments, shared_bytes=most - static) == OK


STORE = "  mov.u32 %r1, 7;\n"
FAULTS = {
    "wild": (
        f"{STORE}  add.u64 %rd2, %rd1, 1000000000;\n  st.global.u32 [%rd2], %r1;",
        "CUDA_ERROR_ILLEGAL_ADDRESS",
        "out-of-bounds",
    ),
    "past the end": (f"{STORE}  st.global.u32 [%rd1+128], %r1;", "CUDA_ERROR_ILLEGAL_ADDRESS", "out-of-bounds"),
    "misaligned": (f"{STORE}  st.global.u32 [%rd1+2], %r1;", "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned"),
    "trap": ("  trap;", "CUDA_ERROR_LAUNCH_FAILED", "trap"),
    "uninitialised": ("  st.global.u32 [%rd1], %r5;", "CUDA_ERROR_LAUNCH_FAILED", "uninitialised-register"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_the_context(driver: Driver, fault: str) -> None:
    body, code, kind = FAULTS[fault]
    with driver.context():
        target = driver.upload(VALUES)
        function = driver.function(kernel(body), "k")
        assert driver.launch(function, 1, [c_uint64(target)]) == code
        words = driver.words(code)
        line = 1 + next(at for at, text in enumerate(kernel(body).splitlines()) if body.splitlines()[-1] in text)
        assert f"k:{line}: {kind}" in words
        # as on a real device, nothing works in this context any more
        place = c_uint64()
        assert driver.cuMemAlloc(place, 16) == code
        assert driver.cuCtxSynchronize() == code
        assert driver.cuMemcpyDtoH(VALUES.copy().ctypes.data, target, 128) == code
        assert driver.launch(function, 1, [c_uint64(target)]) == code
        assert driver.words(code) == words
    with driver.context():
        assert driver.launch(driver.function(kernel(""), "k"), 1, [c_uint64(0)]) == OK


def node(driver: Driver, graph: int, after: list[int], add: str, *rest: object) -> int:
    """A node of a graph."""
    place = c_uint64()
    dependencies = (c_uint64 * max(1, len(after)))(*after)
    assert getattr(driver, add)(place, graph, dependencies, len(after), *rest) == OK
    return place.value


def test_graphs(driver: Driver, context: int) -> None:
    host = VALUES.copy()
    source, target = driver.allocate(128), driver.allocate(128)
    scale = driver.function(SCALE, "scale")
    graph, executable, event, ms = c_uint64(), c_uint64(), c_uint64(), ctypes.c_float()
    assert driver.cuGraphCreate(graph, 0) == OK
    assert driver.cuEventCreate(event, 0) == OK
    copy = struct.pack("<4QI4xQQQ8xQQ", 0, 0, 0, 0, 1, host.ctypes.data, 0, 0, 0, 0)
    copy += struct.pack("<4QI4xQQQ8xQQ", 0, 0, 0, 0, 2, 0, source, 0, 0, 0) + struct.pack("<3Q", 128, 1, 1)
    copied = node(driver, graph.value, [], "cuGraphAddMemcpyNode", ctypes.create_string_buffer(copy), context)
    fill = struct.pack("<QQIIQQ", source + 4, 0, 1000, 4, 2, 1)
    filled = node(driver, graph.value, [copied], "cuGraphAddMemsetNode", ctypes.create_string_buffer(fill), context)
    empty = node(driver, graph.value, [filled], "cuGraphAddEmptyNode")
    arguments = [c_uint64(source), c_uint64(target), c_uint32(2)]
    places = (ctypes.c_void_p * 3)(*[ctypes.addressof(a) for a in arguments])
    launch = struct.pack("<Q7I4xQQ", scale, 1, 1, 1, 32, 1, 1, 0, ctypes.addressof(places), 0)
    launched = node(driver, graph.value, [empty], "cuGraphAddKernelNode", ctypes.create_string_buffer(launch))
    recorded = node(driver, graph.value, [launched], "cuGraphAddEventRecordNode", event.value)
    count, nodes = c_uint64(5), (c_uint64 * 5)()
    assert driver.cuGraphGetNodes(graph.value, nodes, count) == OK
    assert list(nodes) == [copied, filled, empty, launched, recorded]
    assert driver.cuGraphInstantiate(executable, graph.value, None, None, 0) == OK
    assert driver.cuGraphDestroy(graph.value) == OK
    for step in range(2):
        # the kernel's parameters were read when its node was made, host memory is read now
        arguments[2].value, host[0] = 99, step
        assert driver.cuGraphLaunch(executable.value, None) == OK
        assert driver.download(target, 4).tolist() == [2 * step, 2000, 2000, 6]
    assert driver.cuEventElapsedTime(ms, event.value, event.value) == OK
    assert driver.cuGraphExecDestroy(executable.value) == OK
    assert driver.cuGraphLaunch(executable.value, None) == "CUDA_ERROR_INVALID_HANDLE"


def test_what_a_graph_refuses(driver: Driver, context: int) -> None:
    graph, place = c_uint64(), c_uint64()
    assert driver.cuGraphCreate(graph, 1) == INVALID
    assert driver.cuGraphCreate(graph, 0) == OK
    assert driver.cuGraphAddEmptyNode(place, graph.value, (c_uint64 * 1)(0x40), 1) == INVALID
    assert driver.words(INVALID) == "invalid argument: dependency 0 is no node of this graph"
    fill = ctypes.create_string_buffer(struct.pack("<QQIIQQ", driver.allocate(16), 0, 0, 4, 5, 1))
    assert driver.cuGraphAddMemsetNode(place, graph.value, None, 0, fill, context) == INVALID
    side = struct.pack("<4QI4xQQQ8xQQ", 0, 0, 0, 0, 3, 0, 0, 0, 0, 0)
    array = ctypes.create_string_buffer(2 * side + struct.pack("<3Q", 4, 1, 1))
    assert driver.cuGraphAddMemcpyNode(place, graph.value, None, 0, array, context) == "CUDA_ERROR_NOT_SUPPORTED"
    assert driver.cuGraphLaunch(graph.value, None) == "CUDA_ERROR_INVALID_HANDLE"


def test_a_faulty_primary_context_can_be_replaced(driver: Driver) -> None:
    handle, other, place = c_uint64(), c_uint64(), c_uint64()
    assert driver.cuDevicePrimaryCtxRetain(handle, SM_86) == driver.cuCtxSetCurrent(handle.value) == OK
    held = driver.allocate(64)
    function = driver.function(kernel("  trap;"), "k")
    assert driver.launch(function, 1, [c_uint64(0)]) == "CUDA_ERROR_LAUNCH_FAILED"
    # one who retains it once more gets the fault as well, as on a real device
    assert driver.cuDevicePrimaryCtxRetain(other, SM_86) == OK
    assert other.value == handle.value
    assert driver.cuMemAlloc(place, 64) == "CUDA_ERROR_LAUNCH_FAILED"
    assert driver.iree_substitute_recover() == OK
    assert driver.cuDevicePrimaryCtxRetain(other, SM_86) == driver.cuCtxSetCurrent(other.value) == OK
    assert other.value != handle.value
    new = driver.allocate(64)
    assert driver.cuMemFree(held) == OK
    assert driver.launch(function, 1, [c_uint64(0)]) == "CUDA_ERROR_LAUNCH_FAILED"
    for _ in range(3):
        assert driver.download(new, 1).size == 1
        assert driver.cuDevicePrimaryCtxRelease(SM_86) == OK
    assert driver.cuMemFree(new) == INVALID
    assert driver.cuDevicePrimaryCtxRelease(SM_86) == "CUDA_ERROR_INVALID_CONTEXT"
