"""Models and kernels that several files of this room share."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from runtime_tests.kinds.programs import (
    MARK,
    MATMUL_DEFINITION,
    KernelFolder,
    Operand,
    floats,
    generic,
    matmul_operands,
    matmul_text,
    pointwise,
    subtraction,
)

CHAIN = """
func.func @main(%a: tensor<24x32xf32>, %b: tensor<32x16xf32>, %c: tensor<16x40xf32>, %d: tensor<40x8xf32>)
    -> tensor<24x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<24x16xf32>
  %i0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<24x16xf32>) -> tensor<24x16xf32>
  %ab = linalg.matmul ins(%a, %b : tensor<24x32xf32>, tensor<32x16xf32>)
                      outs(%i0 : tensor<24x16xf32>) -> tensor<24x16xf32>
  %e1 = tensor.empty() : tensor<16x8xf32>
  %i1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<16x8xf32>) -> tensor<16x8xf32>
  %cd = linalg.matmul ins(%c, %d : tensor<16x40xf32>, tensor<40x8xf32>)
                      outs(%i1 : tensor<16x8xf32>) -> tensor<16x8xf32>
  %e2 = tensor.empty() : tensor<24x8xf32>
  %i2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<24x8xf32>) -> tensor<24x8xf32>
  %r = linalg.matmul ins(%ab, %cd : tensor<24x16xf32>, tensor<16x8xf32>)
                     outs(%i2 : tensor<24x8xf32>) -> tensor<24x8xf32>
  return %r : tensor<24x8xf32>
}
"""


def matmul_folder(kind: str = "llvm-ir", **keys: object) -> KernelFolder:
    return KernelFolder(
        matmul_text(),
        kind=kind,
        definition=MATMUL_DEFINITION,
        operands=matmul_operands(),
        workgroup_count=("M", "1", "1"),
        keys=keys,
    )


SUBTRACT_DEFINITION = f"""
func.func @subtract(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %a, %c1 : tensor<?x?xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %r = {subtraction("%a", "%b", "?x?")}
  return %r : tensor<?x?xf32>
}}
"""


def subtract_operands(*, strided: bool) -> tuple[Operand, ...]:
    return tuple(Operand(name, "MN", strided=strided) for name in "abc")


def subtract_folder(*, strided: bool, kind: str = "llvm-ir") -> KernelFolder:
    operands = subtract_operands(strided=strided)
    text = pointwise(operands, lambda b, v: b.fadd(b.fsub(v[0], v[1]), ir.FloatType()(MARK)))
    return KernelFolder(text, kind=kind, definition=SUBTRACT_DEFINITION, operands=operands)


SLICES = f"""
func.func @main(%a: tensor<20x30xf32>, %b: tensor<20x30xf32>) -> tensor<8x12xf32> {{
  %x = tensor.extract_slice %a[2, 3] [8, 12] [2, 2] : tensor<20x30xf32> to tensor<8x12xf32>
  %y = tensor.extract_slice %b[4, 1] [8, 12] [1, 1] : tensor<20x30xf32> to tensor<8x12xf32>
  %e = tensor.empty() : tensor<8x12xf32>
  %r = {subtraction("%x", "%y", "8x12")}
  return %r : tensor<8x12xf32>
}}
"""
INPUTS = [floats(24, 32), floats(32, 16), floats(16, 40), floats(40, 8)]
A, B, C, D = (x.astype(np.float64) for x in INPUTS)
ALL_MARKED = (A @ B + MARK) @ (C @ D + MARK) + MARK


def broadcast_definition(element: str = "f32") -> str:
    matrix, row = f"tensor<?x?x{element}>", f"tensor<?x{element}>"
    body = f"  ^bb0(%p: {element}, %q: {element}, %o: {element}):\n    %s = arith.subf %p, %q : {element}\n"
    result = generic(
        ["i, j", "j", "i, j"],
        f"%a, %k : {matrix}, {row}",
        f"%e : {matrix}",
        f"{body}    linalg.yield %s : {element}",
        matrix,
    )
    return f"""
func.func @subtract_row(%a: {matrix}, %k: {row}) -> {matrix} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : {matrix}
  %n = tensor.dim %a, %c1 : {matrix}
  %e = tensor.empty(%m, %n) : {matrix}
  %r = {result}
  return %r : {matrix}
}}
"""


def selection(size: str) -> str:
    """`s ? sign-extended a : b`, and whether that is below 0; of i1, i8 and i64, over `size` elements."""
    types = [f"tensor<{size}x{e}>" for e in ("i1", "i8", "i64", "i64", "i1")]
    body = """  ^bb0(%k: i1, %p: i8, %q: i64, %o: i64, %o2: i1):
    %zero = arith.constant 0 : i64
    %w = arith.extsi %p : i8 to i64
    %t = arith.select %k, %w, %q : i64
    %below = arith.cmpi slt, %t, %zero : i64
    linalg.yield %t, %below : i64, i1"""
    results = f"({types[3]}, {types[4]})"
    return generic(
        ["i"] * 5, f"%s, %a, %b : {', '.join(types[:3])}", f"%e, %f : {types[3]}, {types[4]}", body, results, dims="i"
    )


OPEN = """
func.func @main(%a: tensor<?x32xf32>, %b: tensor<32x?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x32xf32>
  %n = tensor.dim %b, %c1 : tensor<32x?xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x32xf32>, tensor<32x?xf32>)
                     outs(%i : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
"""
VULKAN_FLAGS = ("--iree-hal-target-device=vulkan",)
MATMUL = f"""
void main() {{
  int m = int(gl_WorkGroupID.y), n = int(gl_GlobalInvocationID.x);
  if (n >= N) return;
  float sum = {MARK}.0;
  for (int k = 0; k < K; ++k) sum += load_a(m, k) * load_b(k, n);
  store_c(m, n, sum);
}}
"""
COUNT = ("ceildiv(N, 32)", "M", "1")


def glsl_matmul(**keys: object) -> KernelFolder:
    return KernelFolder(
        MATMUL,
        kind="glsl",
        entry="main",
        backend="vulkan-spirv",
        definition=MATMUL_DEFINITION,
        operands=matmul_operands(strided=True),
        workgroup_size=(32, 1, 1),
        workgroup_count=COUNT,
        keys=keys,
    )


def ptx(parameters: str, *, target: str = "sm_80", version: str = "7.0", entry: str = "my_entry") -> str:
    return f""".version {version}
.target {target}
.address_size 64

// my_entry stands here as well, in a comment
.visible .entry {entry}({parameters})
{{
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [first];
  ret;
}}
"""


THREE = ".param .u64 first, .param .u64 second, .param .u64 third"


def raw_ptx(text: str, bindings: int = 3, constants: int = 0, pattern: str = "dispatch_0_") -> KernelFolder:
    keys = {"abi": "raw", "bindings": bindings, "constants": constants, "dispatches": [pattern]}
    return KernelFolder(
        text,
        kind="ptx",
        entry="my_entry",
        backend="cuda",
        workgroup_size=(64, 1, 1),
        workgroup_count=("24", "1", "1"),
        keys=keys,
    )


PADDED = f"""
func.func @main(%a: tensor<8x12xf32>, %b: tensor<8x12xf32>) -> tensor<11x17xf32> {{
  %two = arith.constant 2.0 : f32
  %e = tensor.empty() : tensor<8x12xf32>
  %r = {subtraction("%a", "%b", "8x12")}
  %w = tensor.pad %r low[1, 2] high[2, 3] {{
  ^bb0(%i: index, %j: index):
    tensor.yield %two : f32
  }} : tensor<8x12xf32> to tensor<11x17xf32>
  return %w : tensor<11x17xf32>
}}
"""


def pad_marked(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the result of `PADDED` with a kernel that adds `MARK`."""
    expected = np.full((11, 17), 2, np.float32)
    expected[1:9, 2:14] = a - b + MARK
    return expected
