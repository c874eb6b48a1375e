"""Kernels of compilers that take Python, or IR, as they make PTX without a GPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np

from .outcomes import Case, Expected

N = 1000


# -- Triton -----------------------------------------------------------------------------------------------------------
def triton_cases(architecture: int) -> Iterator[Case]:
    """Element-wise work with a mask, a softmax, a product of matrices, a sum with atomics."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from . import triton_kernels as kernels

    random = np.random.default_rng(3)
    x, y = random.standard_normal((2, N)).astype("f4")
    rows = random.standard_normal((4, 200)).astype("f4")
    rows[1, :3] = np.nan
    e = np.exp(rows.astype("f8") - rows.max(axis=1, keepdims=True))
    a, b = random.integers(-4, 5, (2, 64, 64)).astype("f2")
    f4, i4 = "*fp32", "i32"
    work: list[tuple[object, dict[str, str], dict[str, int], tuple[object, ...], tuple[int, int, int]]] = [
        (
            kernels.add,
            {"x": f4, "y": f4, "z": f4, "n": i4},
            {"block": 256},
            (x, y, Expected(x + y), np.int32(N)),
            (4, 1, 1),
        ),
        (
            kernels.softmax,
            {"x": f4, "y": f4, "n": i4},
            {"block": 256},
            (rows, Expected((e / e.sum(axis=1, keepdims=True)).astype("f4"), 1e-5), np.int32(200)),
            (4, 1, 1),
        ),
        (
            kernels.matmul,
            {"a": "*fp16", "b": "*fp16", "c": f4},
            {"size": 64},
            (a, b, Expected(a.astype("f4") @ b.astype("f4"))),
            (1, 1, 1),
        ),
        (
            kernels.total,
            {"x": f4, "y": f4, "n": i4},
            {"block": 256},
            (x, Expected(np.array([x.astype("f8").sum()], "f4"), 1e-4, start=np.zeros(1, "f4")), np.int32(N)),
            (4, 1, 1),
        ),
        (
            kernels.clamp,
            {"x": f4, "y": f4, "n": i4},
            {"block": 256},
            (x, Expected(np.clip(x, -0.5, 0.5)), np.int32(N)),
            (4, 1, 1),
        ),
    ]
    with tempfile.TemporaryDirectory() as folder:
        triton.knobs.cache.dir = folder
        for function, signature, constants, arguments, grid in work:
            source = ASTSource(
                fn=function, signature={**signature, **dict.fromkeys(constants, "constexpr")}, constexprs=constants
            )
            made = triton.compile(
                source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": 4, "ptx_version": 86}
            )
            text = made.asm["ptx"]
            yield Case(
                name=made.metadata.name,
                ptx=text,
                entry=made.metadata.name,
                grid=grid,
                block=(128, 1, 1),
                shared_bytes=made.metadata.shared,
                architecture="sm_90a" if architecture == 90 else f"sm_{architecture}",
                arguments=(*arguments, *_scratch(text, len(arguments))),
            )


def _scratch(text: str, given: int) -> tuple[np.uint64, ...]:
    """Triton appends pointers to scratch memory that these kernels do not use."""
    from substitute.payload.ptx.parse import parse

    return (np.uint64(0),) * (len(parse(text).entries[0].parameters) - given)


# -- numba-cuda -------------------------------------------------------------------------------------------------------
def numba_cases() -> Iterator[Case]:
    """Functions on arrays, which numba passes as seven words each."""
    from numba import cuda, float32, int32, void

    def axpy(x, y, z, s):  # type: ignore[no-untyped-def]
        i = cuda.grid(1)
        if i < x.shape[0]:
            z[i] = s * x[i] + y[i]

    def mixed(x, z):  # type: ignore[no-untyped-def]
        i = cuda.grid(1)
        if i < x.shape[0]:
            z[i] = (x[i] // 7) % 5 + (x[i] >> 3)

    random = np.random.default_rng(4)
    x, y = random.standard_normal((2, N)).astype("f4")
    whole = random.integers(-1000, 1000, N).astype("i4")
    want = (np.float32(2.5).astype("f8") * x + y).astype("f4")
    line, integers = float32[::1], int32[::1]
    for function, signature, arguments in (
        (axpy, void(line, line, line, float32), (x, y, Expected(want), np.float32(2.5))),
        (mixed, void(integers, integers), (whole, Expected((whole // 7) % 5 + (whole >> 3)))),
    ):
        text, _ = cuda.compile_ptx(function, signature, cc=(8, 0))
        entry = next(line.split("(")[0].split()[-1] for line in text.splitlines() if ".entry" in line)
        words = [word for argument in arguments for word in _array(argument)]
        yield Case(
            name=function.__name__,
            ptx=text,
            entry=entry,
            arguments=tuple(words),
            grid=(8, 1, 1),
            block=(128, 1, 1),
            architecture="sm_80",
        )


def _array(argument: object) -> list[object]:
    """(parent, its type, count, bytes of an element, data, shape, strides) of an array; a scalar is itself."""
    values = argument.values if isinstance(argument, Expected) else argument
    if not isinstance(values, np.ndarray):
        return [argument]
    size, item = np.int64(values.size), np.int64(values.itemsize)
    return [np.int64(0), np.int64(0), size, item, argument, size, item]


# -- LLVM -------------------------------------------------------------------------------------------------------------
_LLVM = """
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare float @llvm.fma.f32(float, float, float)
declare i32 @llvm.ctpop.i32(i32)
declare i64 @llvm.sadd.sat.i64(i64, i64)
define ptx_kernel void @k(ptr addrspace(1) %x, ptr addrspace(1) %y) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %p = getelementptr i32, ptr addrspace(1) %x, i32 %t
  %v = load i32, ptr addrspace(1) %p
  %c = call i32 @llvm.ctpop.i32(i32 %v)
  %w = sext i32 %v to i128
  %s = mul i128 %w, %w
  %h = lshr i128 %s, 7
  %n = trunc i128 %h to i32
  %d = sdiv i32 %v, 13
  %a = add i32 %n, %c
  %r = xor i32 %a, %d
  %q = getelementptr i32, ptr addrspace(1) %y, i32 %t
  store i32 %r, ptr addrspace(1) %q
  ret void
}
"""


def llvm_cases() -> Iterator[Case]:
    """One kernel at two levels of optimisation."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    x = np.random.default_rng(5).integers(-(2**31), 2**31, 64).astype("i4")
    want = [
        ((int(v) ** 2 >> 7) + (int(v) & 0xFFFFFFFF).bit_count()) & 0xFFFFFFFF ^ (int(int(v) / 13) & 0xFFFFFFFF)
        for v in x
    ]
    for level in (0, 3):
        machine = llvm.Target.from_triple("nvptx64-nvidia-cuda").create_target_machine(cpu="sm_80", opt=level)
        text = machine.emit_assembly(llvm.parse_assembly(_LLVM))
        expected = Expected(np.array(want, np.uint32).view("i4"))
        yield Case(
            name=f"k -O{level}", ptx=text, entry="k", arguments=(x, expected), block=(64, 1, 1), architecture="sm_80"
        )
