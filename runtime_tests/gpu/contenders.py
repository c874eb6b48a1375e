"""Contenders on a problem: our kernel, IREE's own code, and the libraries of the machine, on the same buffers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime_tests.gpu.device import Gpu, Parameter
from runtime_tests.gpu.package import Code
from runtime_tests.gpu.workloads import Array, Problem
from substitute.validate.case import Launch

KERNEL, OWN, CUBLAS, TORCH, COPY = "kernel", "IREE's own code", "cuBLAS", "PyTorch", "copy"
Rows = Callable[[int, NDArray[np.int64]], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something that computes a problem."""

    name: str
    what: str
    """For people: the PTX's target, the library's version."""
    launch: Callable[[int], None]
    """Queues it on one of the sets of buffers."""
    rows: Rows | None
    """Rows of the result of a set; None for what gives no result of the problem, as a copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A contender that is not available, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffers:
    """One set of buffers: addresses of the inputs in order and of the result."""

    operands: tuple[int, ...]
    owned: tuple[int, ...]
    """Allocations to be freed."""


def operand_order(launch: Launch, problem: Problem) -> tuple[int, ...]:
    """For each operand of the problem, the binding that holds it: the first that has its length and no other."""
    lengths = [int(np.prod(shape)) * problem.element.itemsize for shape in problem.shapes] + [problem.result_bytes]
    free = list(range(len(launch.bindings)))
    order = []
    for number, length in enumerate(lengths):
        written = number == len(lengths) - 1
        place = next(b for b in free if launch.bindings[b].length == length and launch.bindings[b].read_only != written)
        free.remove(place)
        order.append(place)
    return tuple(order)


def allocate_sets(gpu: Gpu, launch: Launch, problem: Problem, inputs: Sequence[Array], sets: int) -> list[Buffers]:
    """Sets of buffers that all hold the inputs."""
    order = operand_order(launch, problem)
    sizes: dict[int, int] = {}
    for binding in launch.bindings:
        sizes[binding.resource] = max(sizes.get(binding.resource, 0), binding.offset + binding.length)
    made: list[Buffers] = []
    for _ in range(sets):
        bases = {resource: gpu.allocate(size) for resource, size in sizes.items()}
        bindings = [launch.bindings[number] for number in order]
        operands = tuple(bases[b.resource] + b.offset for b in bindings)
        for number, values in enumerate(inputs):
            if made:
                gpu.copy(operands[number], made[0].operands[number], values.nbytes)
            else:
                gpu.upload(operands[number], values.reshape(-1).view(np.uint8))
        made.append(Buffers(operands=operands, owned=tuple(bases.values())))
    return made


def poison(gpu: Gpu, problem: Problem, sets: Sequence[Buffers]) -> None:
    """NaN in every result."""
    nothing = np.full(problem.result_bytes, 0xFF, np.uint8)
    for buffers in sets:
        gpu.upload(buffers.operands[-1], nothing)


def read_rows(gpu: Gpu, problem: Problem, buffers: Buffers, rows: NDArray[np.int64]) -> Array:
    """Some rows of the result, in its own type."""
    row_bytes = problem.columns * problem.element.itemsize
    parts = [gpu.download(buffers.operands[-1] + int(row) * row_bytes, row_bytes) for row in rows]
    return np.stack(parts).view(problem.element)


def ptx_contender(
    gpu: Gpu, name: str, code: Code, ptx: str, launch: Launch, problem: Problem, sets: Sequence[Buffers]
) -> Contender:
    """PTX, started as IREE starts it. Raises `DeviceError`."""
    function = gpu.load(ptx, code.entry, code.shared_bytes)
    order = operand_order(launch, problem)
    places = {binding: operand for operand, binding in enumerate(order)}
    words: list[Parameter] = [np.uint32(c) for c in launch.constants]
    parameters = [[*(np.uint64(s.operands[places[b]]) for b in range(len(launch.bindings))), *words] for s in sets]

    def start(number: int) -> None:
        gpu.launch(function, code.grid, code.block, code.shared_bytes, parameters[number])

    return Contender(
        name=name, what=code.target, launch=start, rows=lambda n, rows: read_rows(gpu, problem, sets[n], rows)
    )


def copy_contender(gpu: Gpu, problem: Problem, sets: Sequence[Buffers]) -> Contender:
    """The driver's own copy of the first input to the result, both equally long: what the memory can do."""
    return Contender(
        name=COPY,
        what="cuMemcpyDtoDAsync",
        rows=None,
        launch=lambda n: gpu.copy(sets[n].operands[-1], sets[n].operands[0], problem.result_bytes),
    )


def cublas_contender(gpu: Gpu, problem: Problem, sets: Sequence[Buffers]) -> Contender | Absent:
    """bf16 in and out, sums in f32, through CuPy; in cuBLAS's own column-major order it is Cᵀ = Bᵀ · Aᵀ."""
    if gpu.facts.simulated:
        return Absent(name=CUBLAS, reason="a simulated device has no cuBLAS")
    try:
        from cupy_backends.cuda.api import runtime
        from cupy_backends.cuda.libs import cublas
    except ImportError as error:
        return Absent(name=CUBLAS, reason=f"{error}; pip install cupy-cuda13x nvidia-cublas")
    handle = cublas.create()
    one, zero = ctypes.c_float(1.0), ctypes.c_float(0.0)
    m, n, k, bf16 = problem.rows, problem.columns, problem.depth, runtime.CUDA_R_16BF

    def start(number: int) -> None:
        a, b, c = sets[number].operands
        cublas.gemmEx(
            handle,
            cublas.CUBLAS_OP_N,
            cublas.CUBLAS_OP_N,
            n,
            m,
            k,
            ctypes.addressof(one),
            b,
            bf16,
            n,
            a,
            bf16,
            k,
            ctypes.addressof(zero),
            c,
            bf16,
            n,
            cublas.CUBLAS_COMPUTE_32F,
            cublas.CUBLAS_GEMM_DEFAULT,
        )

    return Contender(
        name=CUBLAS,
        what=f"version {cublas.getVersion(handle)}",
        launch=start,
        rows=lambda n, rows: read_rows(gpu, problem, sets[n], rows),
    )


class _Span:
    """Device memory in the form that PyTorch takes from others."""

    def __init__(self, address: int, shape: tuple[int, ...], kind: str) -> None:
        self.__cuda_array_interface__ = {"shape": shape, "typestr": kind, "data": (address, False), "version": 3}


def torch_contender(gpu: Gpu, problem: Problem, sets: Sequence[Buffers]) -> Contender | Absent:
    """Return PyTorch's own function on the same memory; its result is read from the tensor that it returns."""
    if gpu.facts.simulated:
        return Absent(name=TORCH, reason="PyTorch cannot use a simulated device")
    try:
        import torch
    except ImportError:
        return Absent(name=TORCH, reason="it is not installed")
    if not torch.cuda.is_available():
        return Absent(name=TORCH, reason="it is installed without CUDA")
    half = problem.kind == "matmul"

    def tensor(address: int, shape: tuple[int, ...]) -> Any:
        # (the interface has no bf16: its bits travel as integers)
        found = torch.as_tensor(_Span(address, shape, "<i2" if half else "<f4"), device="cuda")
        return found.view(torch.bfloat16) if half else found

    given = [[tensor(a, s) for a, s in zip(b.operands, problem.shapes, strict=False)] for b in sets]
    functions: Mapping[str, Callable[..., Any]] = {
        "matmul": torch.mm,
        "softmax": lambda x: torch.softmax(x, dim=1),
        "rms_norm": lambda x, w: torch.nn.functional.rms_norm(x, (problem.columns,), w, 1e-6),
    }
    compute = functions[problem.kind]
    results: dict[int, Any] = {}

    def start(number: int) -> None:
        results[number] = compute(*given[number])

    def rows(number: int, wanted: NDArray[np.int64]) -> Array:
        return np.asarray(results[number][torch.as_tensor(wanted, device="cuda")].float().cpu().numpy())

    return Contender(name=TORCH, what=str(torch.__version__), launch=start, rows=rows)
