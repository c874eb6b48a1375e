"""C and C++ kernels: compiled to LLVM IR or to an object, embedded, right; mistakes end in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from substitute.device import Session
from substitute.errors import PayloadError, SubstituteError
from substitute.model.dispatch import Target
from substitute.payload.c_source import VARIABLE, compile_source, find_compilers
from substitute.pipeline import compile_model

TARGET = Target(
    backend="llvm-cpu", format="", config=(("target_triple", "x86_64-linux"), ("cpu_features", "+avx2,+fma,+unknown"))
)
MANIFEST = """
schema = 1
name = "scaled"
[operands]
x = ["M", "N"]
y = ["M", "N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "{kind}"
file = "kernel.{suffix}"
entry = "scaled"
[launch]
workgroup_count = ["M", "1", "1"]
"""
BODY = """
#include <stdint.h>
{linkage}void scaled(const float *x, float *y, int64_t M, int64_t N, int64_t id_x, int64_t id_y, int64_t id_z) {{
  for (int64_t n = 0; n < N; ++n) y[id_x * N + n] = x[id_x * N + n] * {factor};
}}
"""
MODEL = """
func.func @{name}(%x: tensor<{shape}xf32>) -> tensor<{shape}xf32> {{
  %two = arith.constant 2.0 : f32
  %e = tensor.empty() : tensor<{shape}xf32>
  %y = linalg.generic {{indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}} ins(%x : tensor<{shape}xf32>) outs(%e : tensor<{shape}xf32>) {{
  ^bb0(%a: f32, %o: f32):
    %p = arith.mulf %a, %two : f32
    linalg.yield %p : f32
  }} -> tensor<{shape}xf32>
  return %y : tensor<{shape}xf32>
}}
"""


def folder_of(place: Path, kind: str, factor: str = "2.0f") -> Path:
    place.mkdir()
    suffix, linkage = ("c", "") if kind == "c" else ("cpp", 'extern "C" ')
    (place / "kernel.toml").write_text(MANIFEST.format(kind=kind, suffix=suffix))
    (place / f"kernel.{suffix}").write_text(BODY.format(linkage=linkage, factor=factor))
    (place / "definition.mlir").write_text(
        MODEL.format(name="scaled", shape="?x?").replace(
            "  %e = tensor.empty() : tensor<?x?xf32>",
            "  %c0 = arith.constant 0 : index\n  %c1 = arith.constant 1 : index\n"
            "  %m = tensor.dim %x, %c0 : tensor<?x?xf32>\n  %n = tensor.dim %x, %c1 : tensor<?x?xf32>\n"
            "  %e = tensor.empty(%m, %n) : tensor<?x?xf32>",
        )
    )
    return place


def needs(kind: str, makes: str) -> None:
    """Skip where no compiler here makes this."""
    if not any(compiler.makes == makes for compiler in find_compilers(kind)):
        pytest.skip(f"no compiler for {kind} that makes {makes}: clang, ziglang (LLVM IR) or gcc (object files)")


@pytest.mark.compile
@pytest.mark.device
@pytest.mark.parametrize(("kind", "makes"), [("c", "llvm-ir"), ("c++", "object")])
def test_a_kernel_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, makes: str) -> None:
    needs(kind, makes)
    monkeypatch.setenv("IREE_SUBSTITUTE_CACHE", "0")
    if makes == "object":
        monkeypatch.setenv(VARIABLE, "g++")
    model = tmp_path / "model.mlir"
    model.write_text(MODEL.format(name="first", shape="4x8") + MODEL.format(name="second", shape="3x5"))
    folder = folder_of(tmp_path / "kernel", kind)
    result = compile_model(model, kernels=[folder], builtin=False, require=["scaled"], check=False)
    assert len(result.plan.substitutions) == 2
    assert {str(p.format) for p in result.payloads.values()} == {"object" if makes == "object" else "llvm-bitcode"}
    with Session(result.vmfb, device="local-task") as session:
        for name, shape in (("first", (4, 8)), ("second", (3, 5))):
            x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
            np.testing.assert_array_equal(session.call(name, [x])[0], 2 * x)


@pytest.mark.unit
def test_llvm_ir_names_no_cpu(tmp_path: Path) -> None:
    needs("c", "llvm-ir")
    file = folder_of(tmp_path / "kernel", "c") / "kernel.c"
    _, code = compile_source("c", file, TARGET, llvm=True)
    assert b"define void @scaled(" in code and b"target-features" not in code and b"target-cpu" not in code


@pytest.mark.unit
def test_mistakes_end_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder_of(tmp_path / "kernel", "c", factor="two") / "kernel.c"
    monkeypatch.setenv(VARIABLE, "/nowhere/cc")
    assert find_compilers("c") == []
    with pytest.raises(PayloadError, match="nothing here compiles c"):
        compile_source("c", file, TARGET)
    monkeypatch.delenv(VARIABLE)
    if not find_compilers("c"):
        pytest.skip("no C compiler: clang, gcc, or the package ziglang")
    with pytest.raises(PayloadError) as raised:
        compile_source("c", file, TARGET)
    assert raised.value.where == f"{file}:4" and "two" in str(raised.value)


@pytest.mark.compile
def test_an_object_calls_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("c", "object")
    monkeypatch.setenv("IREE_SUBSTITUTE_CACHE", "0")
    monkeypatch.setenv(VARIABLE, "gcc")
    folder = folder_of(tmp_path / "kernel", "c", factor="__builtin_expf(x[n])")
    model = tmp_path / "model.mlir"
    model.write_text(MODEL.format(name="first", shape="4x8"))
    with pytest.raises(SubstituteError, match="expf") as raised:
        compile_model(model, kernels=[folder], builtin=False, check=False)
    assert "ziglang" in str(raised.value)


@pytest.mark.unit
def test_a_compiler_that_fails_before_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder_of(tmp_path / "kernel", "c") / "kernel.c"
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'cc: no licence' >&2\nexit 1\n")
    monkeypatch.setenv(VARIABLE, str(compiler))
    assert find_compilers("c") == []  # nobody may run it
    compiler.chmod(0o755)
    with pytest.raises(PayloadError) as raised:
        compile_source("c", file, TARGET)
    assert "cc: no licence" in raised.value.details
    assert raised.value.next_step.startswith(f"see whether {compiler} works by itself")
