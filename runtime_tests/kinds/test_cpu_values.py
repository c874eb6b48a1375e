"""Arguments of CPU kernels: windows that they write, constants, element types, several results, open sizes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from runtime_tests.kinds.models import (
    OPEN,
    PADDED,
    SUBTRACT_DEFINITION,
    broadcast_definition,
    matmul_folder,
    pad_marked,
    selection,
    subtract_folder,
    subtract_operands,
)
from runtime_tests.kinds.programs import (
    CPU_KINDS,
    MARK,
    KernelFolder,
    Operand,
    build,
    floats,
    generic,
    llvm_text,
    pointwise,
    run,
    subtraction,
)
from substitute.device import run_module

pytestmark = pytest.mark.device

F32 = ir.FloatType()


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_a_result_inside_of_a_padded_tensor(tmp_path: Path, kind: str) -> None:
    a, b = floats(8, 12), floats(8, 12, seed=4)
    kernel = subtract_folder(strided=True, kind=kind).write(tmp_path / "kernel")
    (found,) = run(tmp_path, PADDED, [kernel], [a, b])
    np.testing.assert_allclose(found, pad_marked(a, b), rtol=1e-6)


def dispatch(name_of_result: str) -> str:
    """Return a hand-written dispatch: `%in - %io`, stored into `name_of_result`, which is %io itself or another
    buffer.
    """
    tensor = "!iree_tensor_ext.dispatch.tensor"
    window = "offsets = [0, 0], sizes = [6, 10], strides = [1, 1]"
    in_place = name_of_result == "%io"
    access = "readwrite" if in_place else "readonly"
    more = "" if in_place else f", %out: {tensor}<writeonly:tensor<6x10xf32>>"
    stored = f"{tensor}<{'readwrite' if in_place else 'writeonly'}:tensor<6x10xf32>>"
    return f"""
func.func @main(%a: tensor<6x10xf32>, %b: tensor<6x10xf32>) -> tensor<6x10xf32> {{
  %twice = arith.addf %b, %b : tensor<6x10xf32>
  %r = flow.dispatch.workgroups(%a, %twice) : (tensor<6x10xf32>, tensor<6x10xf32>)
      -> {"%twice" if in_place else "tensor<6x10xf32>"} =
      (%in: {tensor}<readonly:tensor<6x10xf32>>, %io: {tensor}<{access}:tensor<6x10xf32>>{more}) {{
    %x = iree_tensor_ext.dispatch.tensor.load %in, {window}
        : {tensor}<readonly:tensor<6x10xf32>> -> tensor<6x10xf32>
    %y = iree_tensor_ext.dispatch.tensor.load %io, {window}
        : {tensor}<{access}:tensor<6x10xf32>> -> tensor<6x10xf32>
    %e = tensor.empty() : tensor<6x10xf32>
    %s = {subtraction("%x", "%y", "6x10")}
    iree_tensor_ext.dispatch.tensor.store %s, {name_of_result}, {window} : tensor<6x10xf32> -> {stored}
    flow.return
  }} count() -> (index, index, index) {{
    %x, %y, %z = iree_tensor_ext.dispatch.workgroup_count_from_slice()
    flow.return %x, %y, %z : index, index, index
  }}
  return %r : tensor<6x10xf32>
}}
"""


@pytest.mark.parametrize("result", ["%io", "%out"], ids=["in place", "apart"])
def test_a_result_in_the_place_of_an_operand(tmp_path: Path, result: str) -> None:
    a, b = floats(6, 10), floats(6, 10, seed=4)
    kernel = subtract_folder(strided=False).write(tmp_path / "kernel")
    built = build(tmp_path, dispatch(result), [kernel])
    access = [o.access for o in built.plan.substitutions[0].match.program.operands]  # type: ignore[union-attr]
    assert ("readwrite" in access) is (result == "%io")
    (found,) = run_module(built.vmfb, device="local-sync", inputs=[a, b])
    np.testing.assert_allclose(found, a - 2 * b + MARK, rtol=1e-5, atol=1e-5)


def broadcast_folder(kind: str, element: str = "f32") -> KernelFolder:
    operands = [Operand("a", "MN", element), Operand("k", "N", element), Operand("c", "MN", element)]
    type_ = F32 if element == "f32" else ir.HalfType()

    def body(b: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
        return b.fadd(b.fsub(*values), type_(MARK))

    return KernelFolder(
        pointwise(operands, body), kind=kind, definition=broadcast_definition(element), operands=operands
    )


@pytest.mark.parametrize("kind", CPU_KINDS)
@pytest.mark.parametrize("values", ["1.0, 2.0, 4.0, 8.5", "0.0, 0.0, 0.0, 1.0"])
def test_a_constant_of_the_body(tmp_path: Path, kind: str, values: str) -> None:
    """Small constants are in the dispatch: the toolkit puts them into memory for the kernel."""
    row = generic(
        ["i, j", "j", "i, j"],
        "%a, %k : tensor<8x4xf32>, tensor<4xf32>",
        "%e : tensor<8x4xf32>",
        "  ^bb0(%p: f32, %q: f32, %o: f32):\n    %s = arith.subf %p, %q : f32\n    linalg.yield %s : f32",
        "tensor<8x4xf32>",
    )
    model = f"""
func.func @main(%a: tensor<8x4xf32>) -> tensor<8x4xf32> {{
  %k = arith.constant dense<[{values}]> : tensor<4xf32>
  %e = tensor.empty() : tensor<8x4xf32>
  %r = {row}
  return %r : tensor<8x4xf32>
}}
"""
    a = floats(8, 4)
    kernel = broadcast_folder(kind).write(tmp_path / "kernel")
    (found,) = run(tmp_path, model, [kernel], [a])
    np.testing.assert_allclose(found, a - np.array([float(v) for v in values.split(",")]) + MARK, rtol=1e-6)


def test_f16(tmp_path: Path) -> None:
    row = generic(
        ["i, j", "j", "i, j"],
        "%a, %k : tensor<8x4xf16>, tensor<4xf16>",
        "%e : tensor<8x4xf16>",
        "  ^bb0(%p: f16, %q: f16, %o: f16):\n    %s = arith.subf %p, %q : f16\n    linalg.yield %s : f16",
        "tensor<8x4xf16>",
    )
    model = f"""
func.func @main(%a: tensor<8x4xf16>, %k: tensor<4xf16>) -> tensor<8x4xf16> {{
  %e = tensor.empty() : tensor<8x4xf16>
  %r = {row}
  return %r : tensor<8x4xf16>
}}
"""
    a, k = floats(8, 4).astype(np.float16), floats(4).astype(np.float16)
    kernel = broadcast_folder("llvm-ir", "f16").write(tmp_path / "kernel")
    (found,) = run(tmp_path, model, [kernel], [a, k])
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, (a - k) + np.float16(MARK), rtol=2e-3)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_integers_and_booleans(tmp_path: Path, kind: str) -> None:
    """An i1 is a byte in memory; negative values show a wrong extension, the two results a wrong order."""
    definition = f"""
func.func @choose(%s: tensor<?xi1>, %a: tensor<?xi8>, %b: tensor<?xi64>) -> (tensor<?xi64>, tensor<?xi1>) {{
  %c0 = arith.constant 0 : index
  %n = tensor.dim %a, %c0 : tensor<?xi8>
  %e = tensor.empty(%n) : tensor<?xi64>
  %f = tensor.empty(%n) : tensor<?xi1>
  %r:2 = {selection("?")}
  return %r#0, %r#1 : tensor<?xi64>, tensor<?xi1>
}}
"""
    model = f"""
func.func @main(%s: tensor<37xi1>, %a: tensor<37xi8>, %b: tensor<37xi64>) -> (tensor<37xi1>, tensor<37xi64>) {{
  %e = tensor.empty() : tensor<37xi64>
  %f = tensor.empty() : tensor<37xi1>
  %r:2 = {selection("37")}
  return %r#1, %r#0 : tensor<37xi1>, tensor<37xi64>
}}
"""
    operands = [
        Operand("s", "N", "i1"),
        Operand("a", "N", "i8"),
        Operand("b", "N", "i64"),
        Operand("t", "N", "i64"),
        Operand("n", "N", "i1"),
    ]

    def emit(code) -> None:  # type: ignore[no-untyped-def]
        b = code.builder
        with code.loop(code.values["N"]) as i:
            chosen = b.icmp_unsigned("!=", code.load("s", i), ir.IntType(8)(0))
            value = b.select(chosen, b.sext(code.load("a", i), ir.IntType(64)), code.load("b", i))
            code.store(b.add(value, ir.IntType(64)(MARK)), "t", i)
            negative = b.icmp_signed("<", value, ir.IntType(64)(0))
            code.store(b.zext(b.not_(negative), ir.IntType(8)), "n", i)  # turned round: the mark of this result

    kernel = KernelFolder(llvm_text("kernel", operands, emit), kind=kind, definition=definition, operands=operands)
    random = np.random.default_rng(5)
    s, a = random.integers(0, 2, 37).astype(bool), random.integers(-128, 128, 37).astype(np.int8)
    b = random.integers(-(2**62), 2**62, 37)
    found = run(tmp_path, model, [kernel.write(tmp_path / "kernel")], [s, a, b])
    value = np.where(s, a.astype(np.int64), b)
    np.testing.assert_array_equal(found[0], value >= 0)
    np.testing.assert_array_equal(found[1], value + MARK)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_sizes_known_at_launch(tmp_path: Path, kind: str) -> None:
    """Two open sizes, each a pair of push constants: M also says how many workgroups there are."""
    kernel = matmul_folder(kind).write(tmp_path / "kernel")
    built = build(tmp_path, OPEN, [kernel])
    for m, n in ((3, 50), (64, 1), (17, 16)):
        a, b = floats(m, 32), floats(32, n)
        (found,) = run_module(built.vmfb, device="local-sync", inputs=[a, b])
        np.testing.assert_allclose(found, a @ b + MARK, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_a_condition_that_only_the_launch_decides(tmp_path: Path, kind: str) -> None:
    """If `N % 16 == 0` the kernel runs, else IREE's own code: the mark shows which."""
    kernel = matmul_folder(kind, constraints=["N % 16 == 0", "M >= 4"]).write(tmp_path / "kernel")
    built = build(tmp_path, OPEN, [kernel])
    for m, n, marked in ((4, 32, True), (4, 33, False), (3, 32, False), (9, 160, True)):
        a, b = floats(m, 32), floats(32, n)
        (found,) = run_module(built.vmfb, device="local-sync", inputs=[a, b])
        np.testing.assert_allclose(found, a @ b + MARK * marked, rtol=1e-4, atol=1e-4)


def test_conditions_of_two_kernels_in_one_module(tmp_path: Path) -> None:
    """Each export has its own fallback, and executables are still linked."""
    first, _, second = OPEN.partition("  return")[0].partition("func.func @main")[2].partition("{\n")
    arguments, other = first.partition(")")[0], second.replace("32x", "24x").replace("x32", "x24")
    renamed = re.sub(r"%(\w+)", r"%\g<1>_2", other)
    types = "tensor<?x?xf32>, tensor<?x?xf32>"
    model = f"""func.func @main{arguments}, %a_2: tensor<?x24xf32>, %b_2: tensor<24x?xf32>) -> ({types}) {{
{second}{renamed}  return %c, %c_2 : {types}
}}
"""
    folders = [
        matmul_folder(constraints=["M >= 4"], dispatches=["dispatch_0_"]),
        matmul_folder(constraints=["N >= 6"], dispatches=["dispatch_1_"]),
    ]
    folders[1].name = "other"
    kernels = [f.write(tmp_path / f.name) for f in folders]
    built = build(tmp_path, model, kernels, substituted=2)
    assert [s.kernel.name for s in built.plan.substitutions] == ["marked", "other"]
    for m, n in ((3, 5), (4, 5), (3, 6), (4, 6)):
        a, b, c, d = floats(m, 32), floats(32, n), floats(m, 24), floats(24, n)
        found = run_module(built.vmfb, device="local-sync", inputs=[a, b, c, d])
        np.testing.assert_allclose(found[0], a @ b + MARK * (m >= 4), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[1], c @ d + MARK * (n >= 6), rtol=1e-4, atol=1e-4)


def test_a_definition_with_two_reads_of_one_operand_is_no_other(tmp_path: Path) -> None:
    """`a - a` is one tensor in two places: a kernel for it must not take `a - b`, whose second tensor it never gets."""
    twin = SUBTRACT_DEFINITION.replace("%a: tensor<?x?xf32>, %b: tensor<?x?xf32>", "%a: tensor<?x?xf32>").replace(
        "ins(%a, %b", "ins(%a, %a"
    )
    operands = [o for o in subtract_operands(strided=True) if o.name != "b"]
    kernel = KernelFolder(pointwise(operands, lambda _b, v: v[0]), definition=twin, operands=operands).write(
        tmp_path / "kernel"
    )
    model = f"""
func.func @main(%a: tensor<6x10xf32>, %b: tensor<10xf32>) -> tensor<6x10xf32> {{
  %e = tensor.empty() : tensor<6x10xf32>
  %x = linalg.broadcast ins(%b : tensor<10xf32>) outs(%e : tensor<6x10xf32>) dimensions = [0]
  %r = {subtraction("%a", "%x", "6x10")}
  return %r : tensor<6x10xf32>
}}
"""
    build(tmp_path, model, [kernel], substituted=0)
