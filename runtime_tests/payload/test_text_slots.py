"""Slots of kernels that are text: LLVM IR, C, GLSL. Fused work is in the functions `load_x` and `store_y`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.row_sum import write_row_sum
from substitute.device import Session
from substitute.errors import PayloadError
from substitute.inspection import inspect_model
from substitute.payload.c_source import find_compilers
from substitute.payload.calls import c_prototype, llvm_prototype
from substitute.payload.llvm.counters import Counters
from substitute.payload.llvm.definitions import SLOTS_BELOW
from substitute.payload.llvm.slots import fill_slots
from substitute.pipeline import CompileResult, compile_model
from substitute.validate.mutation.llvm_text import mutants_of

LLVM = """; the sum of each row
declare float @load_x(ptr, i64, i64)
declare void @store_y(ptr, i64, float)

define void @row_sum(ptr %x, ptr %y, i64 %M, i64 %N, i64 %m, i64 %id_y, i64 %id_z) {
entry:
  %some = icmp sgt i64 %N, 0
  br i1 %some, label %loop, label %done
loop:
  %n = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi float [ 0.0, %entry ], [ %more, %loop ]
  %a = call float @load_x(ptr %x, i64 %m, i64 %n)
  %more = fadd float %sum, %a
  %next = add i64 %n, 1
  %again = icmp slt i64 %next, %N
  br i1 %again, label %loop, label %done
done:
  %total = phi float [ 0.0, %entry ], [ %more, %loop ]
  call void @store_y(ptr %y, i64 %m, float %total)
  ret void
}
"""
C = """
#include <stdint.h>
float load_x(const void *, int64_t, int64_t);
void store_y(const void *, int64_t, float);
void row_sum(const float *x, float *y, int64_t M, int64_t N, int64_t m, int64_t id_y, int64_t id_z) {
  float sum = 0;
  for (int64_t n = 0; n < N; ++n) sum += load_x(x, m, n);
  store_y(y, m, sum);
}
"""
GLSL = """void main() {
  int m = int(gl_WorkGroupID.x);
  float sum = 0.0;
  for (int n = 0; n < N; ++n) sum += load_x(m, n);
  store_y(m, sum);
}
"""
# exp(b + the sum over n of |x * k|), with k along n and b along m
MODEL = """
func.func @main(%x: tensor<8x40xf32>, %k: tensor<40xf16>, %b: tensor<8xf32>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
      affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%x, %k : tensor<8x40xf32>, tensor<40xf16>) outs(%f : tensor<8xf32>) {
  ^bb0(%a: f32, %c: f16, %s: f32):
    %d = arith.extf %c : f16 to f32
    %p = arith.mulf %a, %d : f32
    %q = math.absf %p : f32
    %t = arith.addf %s, %q : f32
    linalg.yield %t : f32
  } -> tensor<8xf32>
  %z = linalg.generic {indexing_maps = [affine_map<(m) -> (m)>, affine_map<(m) -> (m)>, affine_map<(m) -> (m)>],
      iterator_types = ["parallel"]} ins(%y, %b : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %p = arith.addf %a, %c : f32
    %r = math.exp %p : f32
    linalg.yield %r : f32
  } -> tensor<8xf32>
  return %z : tensor<8xf32>
}
"""
STORE = "declare void @store_y(ptr, i64, float)"
BOTH = ("prologue", "epilogue")


def kernel_in(folder: Path, kind: str, text: str, *, slots: tuple[str, ...] = BOTH) -> Path:
    return write_row_sum(folder, text, kind=kind, slots=slots)


def build(folder: Path, kernel: Path, *, device: str = "local", model: str = MODEL) -> CompileResult:
    (folder / "m.mlir").write_text(model)
    flags = [f"--iree-hal-target-device={device}"]
    return compile_model(folder / "m.mlir", kernels=[kernel], builtin=False, flags=flags)


def check(result: CompileResult, device: str) -> None:
    (taken,) = result.plan.substitutions
    assert taken.kernel.name == "row_sum"
    rng = np.random.default_rng(5)
    x = rng.normal(size=(8, 40)).astype(np.float32)
    k = (rng.normal(size=40) / 40).astype(np.float16)
    b = rng.normal(size=8).astype(np.float32)
    with Session(result.vmfb, device=device) as session:
        (found,) = session.call(None, [x, k, b])
    wanted = np.exp(np.abs(x.astype(np.float64) * k).sum(axis=1) + b)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.device
def test_llvm_ir(tmp_path: Path) -> None:
    check(build(tmp_path, kernel_in(tmp_path / "k", "llvm-ir", LLVM)), "local-task")


@pytest.mark.device
def test_twin_a_wrong_sum_is_wrong(tmp_path: Path) -> None:
    wrong = LLVM.replace("fadd float %sum, %a", "fsub float %sum, %a")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(build(tmp_path, kernel_in(tmp_path / "k", "llvm-ir", wrong)), "local-task")


@pytest.mark.device
def test_c(tmp_path: Path) -> None:
    compilers = find_compilers("c")
    if not compilers:
        pytest.skip("no compiler for c")
    kernel = kernel_in(tmp_path / "k", "c", C)
    if compilers[0].makes == "llvm-ir":
        check(build(tmp_path, kernel), "local-task")
        return
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, kernel)
    assert "makes an object file, into which the slots' functions cannot be compiled" in caught.value.what


@pytest.mark.device
def test_glsl(tmp_path: Path, vulkan_device: str) -> None:
    kernel = kernel_in(tmp_path / "k", "glsl", GLSL)
    check(build(tmp_path, kernel, device="vulkan"), "vulkan")


@pytest.mark.compile
@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (STORE, "declare void @store_y(ptr, float)", "@store_y is not declared as it"),
        (STORE, "define void @store_y(ptr %a, i64 %b, float %c) {\n  ret void\n}", "@store_y is not declared as it"),
        ("declare float @load_x(ptr, i64, i64)\n", "", "the code never calls @load_x"),
    ],
    ids=["type", "definition", "missing"],
)
def test_functions_that_do_not_fit(tmp_path: Path, old: str, new: str, what: str) -> None:
    text = LLVM.replace(old, new)
    if not new:
        text = text.replace("call float @load_x(ptr %x, i64 %m, i64 %n)", "load float, ptr %x")
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, kernel_in(tmp_path / "k", "llvm-ir", text))
    assert what in caught.value.what
    assert "declare " in caught.value.expected


@pytest.mark.compile
def test_a_function_with_a_slots_name(tmp_path: Path) -> None:
    kernel = kernel_in(tmp_path / "k", "llvm-ir", LLVM.replace("@row_sum", "@load_y"))
    manifest = kernel / "kernel.toml"
    manifest.write_text(manifest.read_text().replace('entry = "row_sum"', 'entry = "load_y"'))
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, kernel)
    assert (caught.value.what, caught.value.found) == ("the function has the name of a slot's function", "@load_y")


@pytest.mark.compile
def test_what_glsl_cannot_compute_in_front_does_not_fit(tmp_path: Path) -> None:
    """An f64 inside of the dispatch, on a target without f64."""
    kernel = kernel_in(tmp_path / "k", "glsl", GLSL)
    wide = MODEL.replace(
        "%q = math.absf %p : f32",
        "%w = arith.extf %p : f32 to f64\n    %v = math.absf %w : f64\n    %q = arith.truncf %v : f64 to f32",
    )
    for model, taken in ((wide, 0), (MODEL, 1)):
        (tmp_path / "m.mlir").write_text(model)
        flags = ["--iree-hal-target-device=vulkan", "--iree-input-demote-f64-to-f32=false"]
        plan = inspect_model(tmp_path / "m.mlir", kernels=[kernel], builtin=False, flags=flags)
        assert len(plan.substitutions) == taken


@pytest.mark.compile
def test_what_has_no_slot_keeps_its_pointer(tmp_path: Path) -> None:
    """With an epilogue alone the operands are contiguous arrays; work in front of the sum is no match."""
    direct = LLVM.replace("declare float @load_x(ptr, i64, i64)\n", "").replace(
        "%a = call float @load_x(ptr %x, i64 %m, i64 %n)",
        "%r = mul i64 %m, %N\n  %i = add i64 %r, %n\n  %p = getelementptr float, ptr %x, i64 %i\n"
        "  %a = load float, ptr %p",
    )
    kernel = kernel_in(tmp_path / "k", "llvm-ir", direct, slots=("epilogue",))
    (tmp_path / "m.mlir").write_text(MODEL)
    assert not inspect_model(tmp_path / "m.mlir", kernels=[kernel], builtin=False).substitutions
    plain = MODEL.replace("%q = math.absf %p : f32\n    %t = arith.addf %s, %q : f32", "%t = arith.addf %s, %a : f32")
    result = build(tmp_path, kernel, model=plain)
    assert len(result.plan.substitutions) == 1
    x, b = np.full((8, 40), 0.25, np.float32), np.arange(8, dtype=np.float32)
    with Session(result.vmfb, device="local-task") as session:
        (found,) = session.call(None, [x, np.zeros(40, np.float16), b])
    np.testing.assert_allclose(found, np.exp(10 + b), rtol=1e-5)


@pytest.mark.compile
def test_counters_and_mutants_are_of_the_authors_code(tmp_path: Path) -> None:
    from substitute.payload.build import prepare

    kernel = kernel_in(tmp_path / "k", "llvm-ir", LLVM)
    (tmp_path / "m.mlir").write_text(MODEL)
    (taken,) = inspect_model(tmp_path / "m.mlir", kernels=[kernel], builtin=False).substitutions
    filled = fill_slots(LLVM, prepare(taken).request, "kernel")
    own = filled.partition(SLOTS_BELOW)[0].splitlines()
    # the author's lines keep their numbers; the declarations have given way to definitions
    assert [line for line in own if line] == [line for line in LLVM.splitlines() if line and "declare" not in line]
    assert own.index("loop:") == LLVM.splitlines().index("loop:")
    counters = Counters()
    _, key = counters.put_into(filled, "row_sum")
    assert {way.line for way in counters.codes[key].ways} == {8, 16}
    assert {mutant.line for mutant in mutants_of(filled)} <= set(range(5, len(own) + 1))
    below = filled.replace(SLOTS_BELOW, "; something else")
    assert len(mutants_of(below)) > len(mutants_of(filled))


@pytest.mark.unit
def test_prototypes_name_the_functions(tmp_path: Path) -> None:
    from substitute.catalog.catalog import load_catalog

    kernel = load_catalog([kernel_in(tmp_path / "k", "llvm-ir", LLVM)], builtin=False).kernel("row_sum")
    declared = [line for line in LLVM.splitlines() if line.startswith("declare")]
    assert llvm_prototype(kernel).splitlines()[:2] == declared
    assert c_prototype(kernel).splitlines()[:2] == [line for line in C.splitlines() if line.endswith(");")][:2]
    plain = load_catalog([kernel_in(tmp_path / "p", "llvm-ir", LLVM, slots=())], builtin=False).kernel("row_sum")
    assert "load_x" not in llvm_prototype(plain)
