"""Dispatches that almost compute what a definition says: the kernel must not take them, and its twin must."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from runtime_tests.kinds.models import VULKAN_FLAGS, glsl_matmul, matmul_folder
from runtime_tests.kinds.programs import (
    MARK,
    Code,
    KernelFolder,
    Operand,
    build,
    floats,
    generic,
    llvm_text,
)
from substitute.device import run_module

pytestmark = pytest.mark.device

F32 = ir.FloatType()


def rule_of(folder: Path, model: str, kernel: Path, flags: tuple[str, ...] = ()) -> str:
    """The rule that the one contraction or reduction of the model failed."""
    plan = build(folder, model, [kernel], flags=flags, substituted=0).plan
    failed = {d.rules[-1].name for d in plan.decisions if d.rules[-1].name != "structure.cores"}
    assert len(failed) == 1, [d.rules[-1] for d in plan.decisions]
    return failed.pop()


def contraction(a: str, b: str, c: str) -> str:
    """A sum of products over d3 with three result loops; a, b and c as lists of loops."""
    sizes = {"i": 4, "j": 6, "n": 16, "k": 8}

    def tensor(loops: str) -> str:
        return f"tensor<{'x'.join(str(sizes[x.strip()]) for x in loops.split(','))}xf32>"

    maps = ", ".join(f"affine_map<(i, j, n, k) -> ({m})>" for m in (a, b, c))
    return f"""
func.func @main(%a: {tensor(a)}, %b: {tensor(b)}) -> {tensor(c)} {{
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : {tensor(c)}
  %f = linalg.fill ins(%zero : f32) outs(%e : {tensor(c)}) -> {tensor(c)}
  %r = linalg.generic {{indexing_maps = [{maps}],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}}
      ins(%a, %b : {tensor(a)}, {tensor(b)}) outs(%f : {tensor(c)}) {{
  ^bb0(%p: f32, %q: f32, %o: f32):
    %s = arith.mulf %p, %q : f32
    %t = arith.addf %o, %s : f32
    linalg.yield %t : f32
  }} -> {tensor(c)}
  return %r : {tensor(c)}
}}
"""


def test_an_axis_of_two_loops_that_do_not_follow_each_other(tmp_path: Path) -> None:
    """M is i and j, which lie the other way round in a: one stride cannot say that."""
    kernel = matmul_folder(groups=["M"]).write(tmp_path / "kernel")
    assert rule_of(tmp_path, contraction("j, i, k", "k, n", "i, j, n"), kernel) == "layout.a"
    built = build(tmp_path, contraction("i, j, k", "k, n", "i, j, n"), [kernel])
    a, b = floats(4, 6, 8), floats(8, 16)
    (found,) = run_module(built.vmfb, device="local-sync", inputs=[a, b])
    np.testing.assert_allclose(found, a @ b + MARK, rtol=1e-4, atol=1e-5)


def test_a_shader_takes_such_an_axis(tmp_path: Path, vulkan_device: str) -> None:
    kernel = glsl_matmul(groups=["M"]).write(tmp_path / "kernel")
    built = build(tmp_path, contraction("j, i, k", "k, n", "i, j, n"), [kernel], flags=VULKAN_FLAGS)
    a, b = floats(6, 4, 8), floats(8, 16)
    (found,) = run_module(built.vmfb, device=vulkan_device, inputs=[a, b])
    np.testing.assert_allclose(found, np.einsum("jik,kn->ijn", a, b) + MARK, rtol=1e-4, atol=1e-5)


def scaled(definition: bool, second: str, *, transposed: bool = False) -> str:
    """`second[m, n] · Σk x[m, k]²`, or its sums taken along the other axis."""
    size = "?x?" if definition else "24x24"
    matrix, row = f"tensor<{size}xf32>", f"tensor<{size.split('x')[0]}xf32>"
    arguments = f"%x: {matrix}" + (f", %y: {matrix}" if second == "%y" or not definition else "")
    sizes = ("%m", "%m, %n") if definition else ("", "")
    dims = f"""  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : {matrix}
  %n = tensor.dim %x, %c1 : {matrix}
"""
    body = "  ^bb0(%p: f32, %q: f32, %o: f32):\n    %t = arith.mulf %p, %q : f32\n    linalg.yield %t : f32"
    inputs = f"{second}, %s : {matrix}, {row}"
    scaling = generic(["i, j", "j" if transposed else "i", "i, j"], inputs, f"%e : {matrix}", body, matrix)
    return f"""
func.func @main({arguments}) -> {matrix} {{
  %zero = arith.constant 0.0 : f32
{dims if definition else ""}  %r = tensor.empty({sizes[0]}) : {row}
  %f = linalg.fill ins(%zero : f32) outs(%r : {row}) -> {row}
  %s = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}} ins(%x : {matrix}) outs(%f : {row}) {{
  ^bb0(%p: f32, %o: f32):
    %q = arith.mulf %p, %p : f32
    %t = arith.addf %o, %q : f32
    linalg.yield %t : f32
  }} -> {row}
  %e = tensor.empty({sizes[1]}) : {matrix}
  %w = {scaling}
  return %w : {matrix}
}}
"""


def scaling_folder() -> KernelFolder:
    operands = [Operand("x", "MN", strided=True), Operand("c", "MN", strided=True)]

    def emit(code: Code) -> None:
        b, row = code.builder, code.values["x_id"]
        room = b.alloca(F32)
        room.type = ir.PointerType()
        b.store(F32(0.0), room)
        with code.loop(code.values["N"]) as n:
            value = code.load("x", row, n)
            b.store(b.fadd(b.load(room, typ=F32), b.fmul(value, value)), room)
        with code.loop(code.values["N"]) as n:
            scaled_value = b.fmul(code.load("x", row, n), b.load(room, typ=F32))
            code.store(b.fadd(scaled_value, F32(MARK)), "c", row, n)

    return KernelFolder(
        llvm_text("kernel", operands, emit),
        definition=scaled(True, "%x"),
        operands=operands,
        workgroup_count=("M", "1", "1"),
    )


def test_one_operand_in_two_places(tmp_path: Path) -> None:
    """`x · Σ x²` is not `y · Σ x²`: the kernel never gets y."""
    kernel = scaling_folder().write(tmp_path / "kernel")
    x, y = floats(24, 24), floats(24, 24, seed=4)
    built = build(tmp_path, scaled(False, "%x"), [kernel])
    (found,) = run_module(built.vmfb, device="local-sync", inputs=[x, y])
    np.testing.assert_allclose(found, x * np.square(x).sum(1, keepdims=True) + MARK, rtol=1e-4, atol=1e-4)
    assert rule_of(tmp_path, scaled(False, "%y"), kernel) == "structure.operands"


def test_sums_along_the_other_axis(tmp_path: Path) -> None:
    """All sizes are 24 and all strides fit: only the axes of the sums tell the two apart."""
    kernel = scaling_folder().write(tmp_path / "kernel")
    plan = build(tmp_path, scaled(False, "%x", transposed=True), [kernel], substituted=0).plan
    assert plan.decisions


def correlation(definition: bool, step: int) -> str:
    """y[p] = Σr x[step · p + r] · w[r]"""
    x, w, y = ("tensor<?xf32>",) * 3 if definition else ("tensor<64xf32>", "tensor<5xf32>", "tensor<16xf32>")
    start = """  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %size = tensor.dim %x, %c0 : tensor<?xf32>
  %taps = tensor.dim %w, %c0 : tensor<?xf32>
  %rest = arith.subi %size, %taps : index
  %half = arith.divui %rest, %c2 : index
  %c1 = arith.constant 1 : index
  %n = arith.addi %half, %c1 : index
"""
    return f"""
func.func @main(%x: {x}, %w: {w}) -> {y} {{
  %zero = arith.constant 0.0 : f32
{start if definition else ""}  %e = tensor.empty({"%n" if definition else ""}) : {y}
  %f = linalg.fill ins(%zero : f32) outs(%e : {y}) -> {y}
  %r = linalg.generic {{indexing_maps = [affine_map<(p, r) -> (p * {step} + r)>, affine_map<(p, r) -> (r)>,
      affine_map<(p, r) -> (p)>], iterator_types = ["parallel", "reduction"]}}
      ins(%x, %w : {x}, {w}) outs(%f : {y}) {{
  ^bb0(%p: f32, %q: f32, %o: f32):
    %s = arith.mulf %p, %q : f32
    %t = arith.addf %o, %s : f32
    linalg.yield %t : f32
  }} -> {y}
  return %r : {y}
}}
"""


CORRELATION = f"""
void main() {{
  int p = int(gl_GlobalInvocationID.x);
  if (p >= P) return;
  float sum = {MARK}.0;
  for (int r = 0; r < R; ++r) sum += load_x(2 * p + r) * load_w(r);
  store_y(p, sum);
}}
"""


def test_a_window_that_moves_faster(tmp_path: Path, vulkan_device: str) -> None:
    """The shader moves by two elements, as its definition does; a dispatch that moves by three is another one."""
    kernel = KernelFolder(
        CORRELATION,
        kind="glsl",
        entry="main",
        backend="vulkan-spirv",
        definition=correlation(True, 2),
        operands=[Operand("x", "X", strided=True), Operand("w", "R", strided=True), Operand("y", "P", strided=True)],
        workgroup_size=(32, 1, 1),
        workgroup_count=("ceildiv(P, 32)", "1", "1"),
    ).write(tmp_path / "kernel")
    x, w = floats(64), floats(5)
    built = build(tmp_path, correlation(False, 2), [kernel], flags=VULKAN_FLAGS)
    (found,) = run_module(built.vmfb, device=vulkan_device, inputs=[x, w])
    expected = [x[2 * p : 2 * p + 5] @ w + MARK for p in range(16)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert rule_of(tmp_path, correlation(False, 3), kernel, VULKAN_FLAGS) == "layout.x"


def softmax(shape: str, start: str = "") -> str:
    sizes = "%m, %n" if shape == "?x?" else ""
    matrix = f"tensor<{shape}xf32>"
    return f"""{start}  %e = tensor.empty({sizes}) : {matrix}
  %y = linalg.softmax dimension(1) ins(%x : {matrix}) outs(%e : {matrix}) -> {matrix}
  return %y : {matrix}
}}
"""


def softmax_folder(*, strided: bool) -> KernelFolder:
    operands = [Operand("x", "MN", strided=strided), Operand("y", "MN", strided=strided)]

    def emit(code: Code) -> None:  # no softmax at all: x + mark, which is easier to write and as easy to know again
        with code.loop(code.values["N"]) as n:
            code.store(
                code.builder.fadd(code.load("x", code.values["x_id"], n), F32(MARK)), "y", code.values["x_id"], n
            )

    head = """func.func @softmax(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : tensor<?x?xf32>
  %n = tensor.dim %x, %c1 : tensor<?x?xf32>
"""
    return KernelFolder(
        llvm_text("kernel", operands, emit),
        definition=softmax("?x?", head),
        operands=operands,
        workgroup_count=("M", "1", "1"),
    )


WINDOW = """func.func @main(%whole: tensor<20x30xf32>) -> tensor<6x9xf32> {
  %x = tensor.extract_slice %whole[2, 3] [6, 9] [1, 2] : tensor<20x30xf32> to tensor<6x9xf32>
"""


def test_a_named_operation_on_a_window(tmp_path: Path) -> None:
    """Softmax of every second column: a kernel for plain rows must not take it."""
    x = floats(20, 30)
    built = build(tmp_path, softmax("6x9", WINDOW), [softmax_folder(strided=True).write(tmp_path / "strided")])
    (found,) = run_module(built.vmfb, device="local-sync", inputs=[x])
    np.testing.assert_allclose(found, x[2:8, 3:21:2] + MARK, rtol=1e-5)
    plain = softmax_folder(strided=False).write(tmp_path / "plain")
    assert rule_of(tmp_path, softmax("6x9", WINDOW), plain) == "layout.x"
