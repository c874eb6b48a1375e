"""Driver functions on graphs: recorded steps that run when the graph is launched."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from . import codes
from .codes import DriverError
from .driver import Driver
from .launch_calls import prepare, run
from .objects import Event, Executable, Graph, Node
from .stream_calls import check_stream

_KERNEL = struct.Struct("<Q7I4xQQ")
"""CUDA_KERNEL_NODE_PARAMS: function, grid, block, shared memory, parameters, extra."""
_MEMSET = struct.Struct("<QQIIQQ")
"""CUDA_MEMSET_NODE_PARAMS: destination, pitch, value, element size, width, height."""
_COPY_SIDE = struct.Struct("<4QI4xQQQ8xQQ")
"""Half of CUDA_MEMCPY3D: x, y, z, level, kind of memory, host, device, array, pitch, height."""
_COPY_EXTENT = struct.Struct("<3Q")
"""The rest: width in bytes, height, depth."""
_HOST, _DEVICE, _ARRAY, _UNIFIED = 1, 2, 3, 4


def create(driver: Driver, target: int, flags: int) -> None:
    """`cuGraphCreate`."""
    if flags:
        raise DriverError(codes.INVALID_VALUE, "flags must be 0")
    driver.client.write_word(target, driver.handles.add(Graph(context=driver.current())))


def destroy(driver: Driver, handle: int) -> None:
    """`cuGraphDestroy`, with its nodes."""
    graph = driver.find(handle, Graph)
    for node, _ in graph.nodes:
        driver.handles.remove(node)
    driver.handles.remove(handle)


def add_empty(driver: Driver, target: int, graph: int, dependencies: int, count: int) -> None:
    """`cuGraphAddEmptyNode`."""
    _add(driver, target, graph, dependencies, count, None)


def add_event_record(driver: Driver, target: int, graph: int, dependencies: int, count: int, event: int) -> None:
    """`cuGraphAddEventRecordNode`."""
    found = driver.find(event, Event)

    def record() -> None:
        found.seconds = time.perf_counter()

    _add(driver, target, graph, dependencies, count, record)


def add_kernel(driver: Driver, target: int, graph: int, dependencies: int, count: int, parameters: int) -> None:
    """`cuGraphAddKernelNode`: the kernel's parameters are read now."""
    handle, *sizes, dynamic, pointers, extra = _KERNEL.unpack(driver.client.read(parameters, _KERNEL.size))
    launch = prepare(driver, handle, tuple(sizes), dynamic, pointers, extra)
    _add(driver, target, graph, dependencies, count, lambda: run(driver, launch))


def add_memset(
    driver: Driver, target: int, graph: int, dependencies: int, count: int, parameters: int, context: int
) -> None:
    """`cuGraphAddMemsetNode`."""
    place, pitch, value, width, columns, rows = _MEMSET.unpack(driver.client.read(parameters, _MEMSET.size))
    if width not in (1, 2, 4) or not columns or not rows:
        raise DriverError(codes.INVALID_VALUE, f"a fill of {rows} rows of {columns} elements of {width} bytes")
    pattern = value.to_bytes(4, "little")[:width]
    for row in range(rows):
        driver.check(place + row * pitch, columns * width)

    def fill() -> None:
        for row in range(rows):
            driver.fill(place + row * pitch, pattern, columns)

    _add(driver, target, graph, dependencies, count, fill)


def add_copy(
    driver: Driver, target: int, graph: int, dependencies: int, count: int, parameters: int, context: int
) -> None:
    """`cuGraphAddMemcpyNode`: host memory is read when the graph runs."""
    data = driver.client.read(parameters, 2 * _COPY_SIDE.size + _COPY_EXTENT.size)
    source, destination = _Side(data, 0), _Side(data, _COPY_SIDE.size)
    width, height, depth = _COPY_EXTENT.unpack_from(data, 2 * _COPY_SIDE.size)
    if not width:
        raise DriverError(codes.INVALID_VALUE, "a copy of no bytes")
    rows = [(y, z) for z in range(max(depth, 1)) for y in range(max(height, 1))]

    def copy() -> None:
        for y, z in rows:
            driver.copy(destination.row(y, z), source.row(y, z), width)

    _add(driver, target, graph, dependencies, count, copy)


class _Side:
    """Source or destination of a copy."""

    def __init__(self, data: bytes, at: int) -> None:
        self._x, self._y, self._z, _, kind, host, device, _, self._pitch, self._height = _COPY_SIDE.unpack_from(
            data, at
        )
        if kind not in (_HOST, _DEVICE, _UNIFIED):
            what = "arrays (textures) are not simulated" if kind == _ARRAY else f"{kind} is no kind of memory"
            raise DriverError(codes.NOT_SUPPORTED if kind == _ARRAY else codes.INVALID_VALUE, what)
        self._start = host if kind == _HOST else device

    def row(self, y: int, z: int) -> int:
        """Return the address of the start of a row."""
        return int(self._start + self._x + ((self._z + z) * self._height + self._y + y) * self._pitch)


def _add(
    driver: Driver, target: int, graph: int, dependencies: int, count: int, step: Callable[[], None] | None
) -> None:
    found = driver.find(graph, Graph)
    known = {handle for handle, _ in found.nodes}
    for at in range(count):
        if driver.client.read_word(dependencies + 8 * at) not in known:
            raise DriverError(codes.INVALID_VALUE, f"dependency {at} is no node of this graph")
    node = Node(run=step)
    handle = driver.handles.add(node)
    found.nodes.append((handle, node))
    driver.client.write_word(target, handle)


def get_nodes(driver: Driver, handle: int, nodes: int, count: int) -> None:
    """`cuGraphGetNodes`; without an array for the nodes it only writes their number."""
    found = [node for node, _ in driver.find(handle, Graph).nodes]
    if nodes:
        found = found[: driver.client.read_word(count)]
        for at, node in enumerate(found):
            driver.client.write_word(nodes + 8 * at, node)
    driver.client.write_word(count, len(found))


def instantiate(driver: Driver, target: int, handle: int, error_node: int, log: int, log_bytes: int) -> None:
    """`cuGraphInstantiate` of CUDA 11 and earlier; it never reports an error node."""
    instantiate_with_flags(driver, target, handle, 0)
    if error_node:
        driver.client.write_word(error_node, 0)
    if log and log_bytes:
        driver.client.write(log, b"\0")


def instantiate_with_flags(driver: Driver, target: int, handle: int, flags: int) -> None:
    """`cuGraphInstantiateWithFlags`."""
    graph = driver.find(handle, Graph)
    steps = tuple(node.run for _, node in graph.nodes if node.run is not None)
    driver.client.write_word(target, driver.handles.add(Executable(context=graph.context, steps=steps)))


def launch(driver: Driver, handle: int, stream: int) -> None:
    """`cuGraphLaunch`."""
    check_stream(driver, stream)
    for step in driver.find(handle, Executable).steps:
        step()


def destroy_executable(driver: Driver, handle: int) -> None:
    """`cuGraphExecDestroy`."""
    driver.find(handle, Executable)
    driver.handles.remove(handle)


GRAPH_CALLS: dict[str, Callable[..., None]] = {
    "cuGraphCreate": create,
    "cuGraphDestroy": destroy,
    "cuGraphAddEmptyNode": add_empty,
    "cuGraphAddEventRecordNode": add_event_record,
    "cuGraphAddKernelNode": add_kernel,
    "cuGraphAddMemcpyNode": add_copy,
    "cuGraphAddMemsetNode": add_memset,
    "cuGraphGetNodes": get_nodes,
    "cuGraphInstantiate": instantiate,
    "cuGraphInstantiateWithFlags": instantiate_with_flags,
    "cuGraphLaunch": launch,
    "cuGraphExecDestroy": destroy_executable,
}
