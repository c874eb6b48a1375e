"""Bodies in their final dialect: LLVM on the CPU and for CUDA, SPIR-V on Vulkan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.programs import build, floats, run
from runtime_tests.rules.folders import CUDA_FLAGS, DOUBLE, SPIRV, VULKAN_FLAGS, elementwise, kernel
from substitute.errors import ManifestError, PayloadError

pytestmark = pytest.mark.device

CPU = """
name = "tripled"
{keys}
[operands]
x = ["N"]
y = ["N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-dialect"
file = "body.mlir"
entry = "tripled"
[launch]
workgroup_count = ["1", "1", "1"]
"""
LLVM = """
llvm.func @tripled(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64, %id_x: i64, %id_y: i64, %id_z: i64) {
  %zero = llvm.mlir.constant(0 : i64) : i64
  llvm.br ^check(%zero : i64)
^check(%i: i64):
  %more = llvm.icmp "ult" %i, %n : i64
  llvm.cond_br %more, ^body, ^done
^body:
  %px = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %py = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %v = llvm.load %px : !llvm.ptr -> f32
  %t = llvm.call @times(%v) : (f32) -> f32
  llvm.store %t, %py : f32, !llvm.ptr
  %one = llvm.mlir.constant(1 : i64) : i64
  %next = llvm.add %i, %one : i64
  llvm.br ^check(%next : i64)
^done:
  llvm.return
}
llvm.mlir.global internal constant @factor(3.0 : f32) : f32
llvm.func @times(%v: f32) -> f32 {
  %p = llvm.mlir.addressof @factor : !llvm.ptr
  %f = llvm.load %p : !llvm.ptr -> f32
  %r = llvm.fmul %v, %f : f32
  llvm.return %r : f32
}
"""


def cpu(folder: Path, text: str = LLVM, keys: str = "") -> Path:
    files = {"body.mlir": text, "definition.mlir": elementwise(DOUBLE, "?")}
    return kernel(folder, CPU.format(keys=keys), files)


@pytest.mark.parametrize("size", ["24x32", "?x32"])
def test_llvm_dialect(size: str, tmp_path: Path) -> None:
    x = floats(24, 32)
    (found,) = run(tmp_path, elementwise(DOUBLE, size), [cpu(tmp_path / "kernel")], [x])
    np.testing.assert_allclose(found, 3 * x, rtol=1e-6)


def test_it_is_linked_with_others(tmp_path: Path) -> None:
    """Two dispatches get the same kernel, with its helper and its global twice, and one keeps IREE's code."""
    one, two = elementwise(DOUBLE, "24x32", name="one"), elementwise(DOUBLE, "8x4", name="two")
    other = elementwise("%r = arith.addf %x, %two : f32", "6", name="other")
    model = (
        f"{one}{two}{other}"
        + """
func.func @main(%a: tensor<24x32xf32>, %b: tensor<8x4xf32>, %c: tensor<6xf32>)
    -> (tensor<24x32xf32>, tensor<8x4xf32>, tensor<6xf32>) {
  %x = call @one(%a) : (tensor<24x32xf32>) -> tensor<24x32xf32>
  %y = call @two(%b) : (tensor<8x4xf32>) -> tensor<8x4xf32>
  %z = call @other(%c) : (tensor<6xf32>) -> tensor<6xf32>
  return %x, %y, %z : tensor<24x32xf32>, tensor<8x4xf32>, tensor<6xf32>
}
"""
    )
    model = model.replace("func.func @one", "func.func private @one").replace(
        "func.func @two", "func.func private @two"
    )
    model = model.replace("func.func @other", "func.func private @other")
    a, b, c = floats(24, 32), floats(8, 4), floats(6)
    found = run(tmp_path, model, [cpu(tmp_path / "kernel")], [a, b, c], substituted=2)
    for value, expected in zip(found, (3 * a, 3 * b, c + 2), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_the_launch_chooses(tmp_path: Path) -> None:
    """N = 64 gets the kernel, N = 67 IREE's own code."""
    kernels = [cpu(tmp_path / "kernel", keys='constraints = ["N % 16 == 0"]')]
    for size, factor in ((64, 3), (67, 2)):
        x = floats(size)
        (found,) = run(tmp_path, elementwise(DOUBLE, "?"), kernels, [x])
        np.testing.assert_allclose(found, factor * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "what", "found"),
    [
        ("llvm.func @tripled", "llvm.func @triple", "the payload does not define @tripled", "@triple"),
        ("%id_z: i64", "%id_z: i32", "@tripled does not have the parameters", "i32"),
        (
            "llvm.func @times",
            "func.func @f() { return }\nllvm.func @times",
            "operations outside of the llvm",
            "func.func",
        ),
        ("llvm.fmul %v", "llvm.fmull %v", "the payload is not valid MLIR", "llvm.fmull"),
    ],
)
def test_wrong_llvm(tmp_path: Path, old: str, new: str, what: str, found: str) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, elementwise(DOUBLE), [cpu(tmp_path / "kernel", LLVM.replace(old, new))])
    assert what in caught.value.what
    assert found in caught.value.found


CUDA = """
name = "tripled_cuda"
abi = "raw"
dispatches = ["main_dispatch_0.*"]
bindings = 2
[[target]]
backend = "cuda"
[payload]
kind = "llvm-dialect"
file = "body.mlir"
entry = "tripled"
[launch]
workgroup_size = [64, 1, 1]
workgroup_count = ["12", "1", "1"]
"""
NVVM = """
llvm.func @tripled(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) {
  %t = nvvm.read.ptx.sreg.tid.x : i32
  %b = nvvm.read.ptx.sreg.ctaid.x : i32
  %size = llvm.mlir.constant(64 : i32) : i32
  %first = llvm.mul %b, %size : i32
  %i = llvm.add %first, %t : i32
  %px = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %py = llvm.getelementptr %y[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %v = llvm.load %px : !llvm.ptr<1> -> f32
  %three = llvm.mlir.constant(3.0 : f32) : f32
  %r = llvm.fmul %v, %three : f32
  llvm.store %r, %py : f32, !llvm.ptr<1>
  llvm.return
}
"""


def test_for_cuda_it_becomes_ptx(tmp_path: Path) -> None:
    folder = kernel(tmp_path / "kernel", CUDA, {"body.mlir": NVVM})
    built = build(tmp_path, elementwise(DOUBLE), [folder], flags=CUDA_FLAGS)
    assert b".maxntid 64, 1, 1" in built.vmfb
    assert b"mul.rn.f32" in built.vmfb
    wrong = kernel(
        tmp_path / "wrong", CUDA, {"body.mlir": NVVM.replace("%y: !llvm.ptr<1>)", "%y: !llvm.ptr<1>, %n: i32)")}
    )
    with pytest.raises(PayloadError, match="@tripled does not have the parameters"):
        build(tmp_path, elementwise(DOUBLE), [wrong], flags=CUDA_FLAGS)


def test_for_cuda_it_has_to_be_raw(tmp_path: Path) -> None:
    text = CUDA.replace('abi = "raw"\n', "").replace("bindings = 2\n", "")
    folder = kernel(tmp_path / "kernel", text, {"body.mlir": NVVM, "definition.mlir": elementwise(DOUBLE, "?")})
    with pytest.raises(ManifestError, match="for cuda this kind is raw only"):
        build(tmp_path, elementwise(DOUBLE), [folder], flags=CUDA_FLAGS)


VULKAN = """
name = "tripled_vulkan"
{keys}
[operands]
x = ["N"]
y = ["N"]
[[target]]
backend = "vulkan-spirv"
[payload]
kind = "spirv-dialect"
file = "body.mlir"
entry = "tripled"
spec_constants = {{ 0 = "N" }}
[launch]
workgroup_count = ["ceildiv(N, 32)", "1", "1"]
{launch}
"""


def vulkan(folder: Path, text: str = SPIRV, *, launch: str = "", keys: str = "") -> Path:
    files = {"body.mlir": text, "definition.mlir": elementwise(DOUBLE, "?")}
    return kernel(folder, VULKAN.format(launch=launch, keys=keys), files)


@pytest.mark.usefixtures("vulkan_device")
def test_spirv_dialect(tmp_path: Path) -> None:
    """In a loop body of 25 × 33 elements, so that the last workgroup is not full."""
    x = floats(25, 33)
    model = elementwise(DOUBLE, "25x33")
    (found,) = run(tmp_path, model, [vulkan(tmp_path / "kernel")], [x], device="vulkan", flags=VULKAN_FLAGS)
    np.testing.assert_allclose(found, 3 * x, rtol=1e-6)


@pytest.mark.usefixtures("vulkan_device")
def test_spirv_dialect_beside_others(tmp_path: Path) -> None:
    """IREE links its own shaders with it into one executable."""
    one, two = elementwise(DOUBLE, "24x32", name="one"), elementwise("%r = arith.addf %x, %two : f32", "6", name="two")
    model = (
        f"{one}{two}".replace("func.func", "func.func private")
        + """
func.func @main(%a: tensor<24x32xf32>, %b: tensor<6xf32>) -> (tensor<24x32xf32>, tensor<6xf32>) {
  %x = call @one(%a) : (tensor<24x32xf32>) -> tensor<24x32xf32>
  %y = call @two(%b) : (tensor<6xf32>) -> tensor<6xf32>
  return %x, %y : tensor<24x32xf32>, tensor<6xf32>
}
"""
    )
    a, b = floats(24, 32), floats(6)
    x, y = run(tmp_path, model, [vulkan(tmp_path / "kernel")], [a, b], device="vulkan", flags=VULKAN_FLAGS)
    np.testing.assert_allclose(x, 3 * a, rtol=1e-6)
    np.testing.assert_allclose(y, b + 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "launch", "what", "found"),
    [
        ("bind(0, 1)", "bind(0, 2)", "", "@y is bound to nothing", "bind(0, 2)"),
        ("bind(0, 1)", "bind(1, 1)", "", "@y is bound to nothing", "bind(1, 1)"),
        ('"LocalSize", 32', '"LocalSize", 32', "workgroup_size = [64, 1, 1]", "two workgroup sizes", "LocalSize 32"),
        ('  spirv.ExecutionMode @tripled "LocalSize", 32, 1, 1\n', "", "", "nobody says the workgroup size", "neither"),
        ("spec_id(0)", "spec_id(3)", "", "the payload lacks a specialization constant", "spec_id(3)"),
        ("@tripled", "@triple", "", "the payload does not define @tripled", "@triple"),
        ("spirv.FMul", "spirv.FMull", "", "the payload is not valid MLIR", "FMull"),
    ],
)
def test_wrong_spirv(tmp_path: Path, old: str, new: str, launch: str, what: str, found: str) -> None:
    folder = vulkan(tmp_path / "kernel", SPIRV.replace(old, new), launch=launch)
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, elementwise(DOUBLE), [folder], flags=VULKAN_FLAGS)
    assert what in caught.value.what
    assert found in caught.value.found


def test_a_binary_that_cannot_be_told_the_size(tmp_path: Path) -> None:
    kernels = [vulkan(tmp_path / "kernel")]
    refused = build(tmp_path, elementwise(DOUBLE, "?"), kernels, flags=VULKAN_FLAGS, substituted=0)
    rule = refused.plan.decisions[0].rules[-1]
    assert (rule.name, rule.found) == ("payload.frozen", "N, for SpecId 0, is known at launch only")
