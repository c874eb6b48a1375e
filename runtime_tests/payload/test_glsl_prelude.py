"""A user's GLSL kernel, written against the canonical ABI only, on dispatches that keep their operands elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.payload.vulkan_run import (
    bias_relu,
    floats,
    loop,
    operand,
    product_nest,
    read,
    run_spirv,
    type_of,
    view,
)
from substitute.abi.bind import bind
from substitute.catalog.catalog import load_catalog
from substitute.errors import PayloadError
from substitute.match.planner import make_plan
from substitute.model.dispatch import Dispatch, PipelineLayout, Program, Target, View
from substitute.model.index import Index, push
from substitute.model.plan import Request
from substitute.payload.glsl import canonical_source, compile_glsl
from substitute.payload.spirv import verify
from substitute.read.definition import read_forms

MANIFEST = """schema = 1
name = "my_matmul"
summary = "One result per invocation"
slots = ["epilogue"]
groups = ["M", "N", "K"]

[operands]
a = { axes = ["M", "K"], strided = true }
b = { axes = ["K", "N"], strided = true }
c = { axes = ["M", "N"], strided = true }

[[target]]
backend = "vulkan-spirv"

[launch]
workgroup_size = [32, 1, 1]
workgroup_count = ["ceildiv(M * N, 32)", "1", "1"]

[payload]
kind = "glsl"
file = "kernel.comp"
entry = "main"
"""
DEFINITION = """
func.func @matmul(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %M = tensor.dim %a, %c0 : tensor<?x?xf32>
  %N = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%M, %N) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
"""
BODY = """void main() {
  int at = int(gl_GlobalInvocationID.x);
  if (at >= M * N) return;
  float sum = 0.0;
  for (int k = 0; k < K; ++k) sum += load_a(at / N, k) * load_b(k, at % N);
  epilogue(at / N, at % N, sum);
}
"""
GROUPS, ROWS, COLUMNS, DEPTH, SKIPPED = 2, 5, 12, 7, 3


def program(depth: Index, b_offset: Index) -> Program:
    """Return a product whose M axis is two loops, with a transposed b at an offset, and fused work."""
    shape = (GROUPS, ROWS, COLUMNS)
    first = View(operand=0, type=type_of((GROUPS, ROWS, depth)), offset=0, strides=(ROWS * DEPTH, DEPTH, 1))
    second = View(operand=1, type=type_of((COLUMNS, depth)), offset=SKIPPED, strides=(DEPTH, 1))
    core = product_nest(
        (*shape, depth), "pppr", read(first, loop(0), loop(1), loop(3)), read(second, loop(2), loop(3)), (0, 1, 2)
    )
    bias = read(view(2, (COLUMNS,)), loop(2))
    store = bias_relu(shape, view(3, shape), bias, (loop(0), loop(1), loop(2)))
    operands = (
        operand(0, (GROUPS, ROWS, depth)),
        operand(1, (COLUMNS, depth), byte_offset=b_offset),
        operand(2, (COLUMNS,)),
        operand(3, shape, written=True),
    )
    return Program(operands=operands, cores=(core,), stores=(store,))


def request_for(folder: Path, what: Program, constants: int, *, body: str = BODY) -> Request:
    """Return the request for the kernel in `folder`, when it matches a dispatch that computes `what`."""
    (folder / "kernel.toml").write_text(MANIFEST)
    (folder / "definition.mlir").write_text(DEFINITION)
    (folder / "kernel.comp").write_text(body)
    dispatch = Dispatch(
        executable="e",
        variant="v",
        name="main",
        target=Target(backend="vulkan-spirv", format="vulkan-spirv-fb", config=()),
        layout=PipelineLayout(constants=constants, bindings=("ReadOnly",) * 3 + ("",)),
        workload=(),
        program=what,
        reason="",
        operations=(),
        kind="contraction",
    )
    kernels = load_catalog([folder], builtin=False, read_forms=read_forms).kernels
    plan = make_plan([dispatch], kernels, lambda _kernel, _dispatch: "")
    assert len(plan.substitutions) == 1, [d.rules[-1] for d in plan.decisions]
    return bind(plan.substitutions[0], entry="main")


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_a_kernel_of_names_only(tmp_path: Path, dynamic: bool) -> None:
    extra = 4
    what = program(push(0), push(1)) if dynamic else program(DEPTH, 4 * extra)
    constants = [DEPTH, 4 * extra] if dynamic else []
    source = canonical_source(request_for(tmp_path, what, len(constants)), BODY)
    assert ("#define K (int(constants.word[0]))" in source) is dynamic
    assert ("const int K = 7;" in source) is not dynamic
    binary = compile_glsl(source, name="kernel.comp")
    verify(binary, entry="main", bindings=4, push_constants=len(constants), workgroup_size=(32, 1, 1))
    a, bias = floats(GROUPS, ROWS, DEPTH), floats(COLUMNS)
    b = floats(extra + SKIPPED + COLUMNS * DEPTH)
    shape = (GROUPS, ROWS, COLUMNS)
    found = run_spirv(binary, [a, b, bias], [(shape, "f32")], constants=constants, count=(4, 1, 1))[0]
    wanted = np.maximum(a @ b[extra + SKIPPED :].reshape(COLUMNS, DEPTH).T + bias, 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_errors_point_into_the_kernels_own_file(tmp_path: Path) -> None:
    body = BODY.replace("load_b(k", "load_x(k")
    source = canonical_source(request_for(tmp_path, program(DEPTH, 0), 0, body=body), body)
    with pytest.raises(PayloadError) as caught:
        compile_glsl(source, name="kernel.comp")
    assert str(caught.value).startswith("kernel.comp: 'load_x': no matching overloaded function found\n     5 |")


def test_the_version_line_is_the_toolkits(tmp_path: Path) -> None:
    request = request_for(tmp_path, program(DEPTH, 0), 0)
    with pytest.raises(PayloadError, match="a canonical GLSL kernel has no #version line"):
        canonical_source(request, "#version 450\n" + BODY)
    source = canonical_source(request, "#extension GL_EXT_control_flow_attributes : enable\n" + BODY)
    assert source.splitlines()[1] == "#extension GL_EXT_control_flow_attributes : enable"
    compile_glsl(source, name="kernel.comp")
