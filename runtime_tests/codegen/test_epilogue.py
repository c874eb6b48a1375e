"""Filling an epilogue: the documented generator takes fused dispatches, and what it cannot fill is left to IREE."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")
from runtime_tests.payload.contraction_programs import Case, build
from substitute import Session, compile_model
from substitute.cli.scaffold import scaffold
from substitute.codegen.glsl import epilogue as glsl
from substitute.codegen.llvm.epilogue import refuse_epilogue
from substitute.model.dispatch import Linear

pytestmark = pytest.mark.device

DOCUMENT = Path(__file__).parents[2] / "docs" / "kernels.md"
PLAIN = Case(spec="m,k;k,n->m,n", sizes=dict(m=9, n=21, k=30), extra="n", epilogue="bias, relu")
MODEL = """
func.func @main(%a: tensor<5x24xf32>, %b: tensor<24x32xf32>, %bias: tensor<32xf32>, %old: tensor<5x32xf32>)
    -> (tensor<5x32xf32>, tensor<5x32xf32>) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<5x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<5x32xf32>) -> tensor<5x32xf32>
  %c = linalg.matmul ins(%a, %b : tensor<5x24xf32>, tensor<24x32xf32>) outs(%init : tensor<5x32xf32>)
    -> tensor<5x32xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
      affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%c, %bias, %old : tensor<5x32xf32>, tensor<32xf32>, tensor<5x32xf32>) outs(%empty : tensor<5x32xf32>) {
    ^bb0(%x: f32, %y: f32, %z: f32, %out: f32):
      %s = arith.addf %x, %y : f32
      %t = math.tanh %s : f32
      %u = arith.mulf %t, %z : f32
      linalg.yield %u : f32
  } -> tensor<5x32xf32>
  %p = linalg.matmul ins(%a, %b : tensor<5x24xf32>, tensor<24x32xf32>) outs(%old : tensor<5x32xf32>)
    -> tensor<5x32xf32>
  return %r, %p : tensor<5x32xf32>, tensor<5x32xf32>
}
"""


FAULTS = {
    "llvm-generator": ("k.results[0])", "kernel.builder.fneg(k.results[0]))"),
    "glsl-generator": ("sum += ", "sum -= "),
}


def write_kernel(folder: Path, kind: str, *, fault: tuple[str, str]) -> Path:
    folder.mkdir()
    for name, content in scaffold(kind, "mine", "mine").items():
        assert fault[0] in content or name != "generator.py"
        (folder / name).write_text(content.replace(*fault) if name == "generator.py" else content)
    return folder


@pytest.mark.parametrize("kind", ["llvm-generator", "glsl-generator"])
def test_the_document_shows_what_new_writes(kind: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert scaffold(kind, "mine", "mine")["generator.py"] in blocks


@pytest.mark.parametrize("faulty", [False, True])
@pytest.mark.parametrize("kind", ["llvm-generator", "glsl-generator"])
def test_the_documented_generator_fills_an_epilogue(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, faulty: bool
) -> None:
    shader = kind == "glsl-generator"
    device = request.getfixturevalue("vulkan_device") if shader else "local-task"
    kernel = write_kernel(tmp_path / "mine", kind, fault=FAULTS[kind] if faulty else ("", ""))
    model = tmp_path / "model.mlir"
    model.write_text(MODEL)
    flags = ["--iree-hal-target-device=vulkan"] if shader else []
    compiled = compile_model(model, flags=flags, kernels=[kernel], builtin=False)
    assert [s.kernel.name for s in compiled.plan.substitutions] == ["mine", "mine"]
    random = np.random.default_rng(3)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in ((5, 24), (24, 32), (32,), (5, 32))]
    a, b, bias, old = (x.astype(np.float64) for x in arrays)
    with Session(compiled.vmfb, device=device) as session:
        fused, added = (np.asarray(x) for x in session.call("main", arrays))
    for found, wanted in ((fused, np.tanh(a @ b + bias) * old), (added, a @ b + old)):
        assert np.allclose(found, wanted, atol=1e-5) is not faulty


def test_what_cannot_be_filled_is_refused() -> None:
    program = build(PLAIN)
    (nest,) = program.stores
    assert refuse_epilogue(program) == ""
    assert refuse_epilogue(replace(program, cores=())) == "the dispatch is not one reduction"
    beside = replace(nest, reads=nest.reads[1:])
    assert "does not use its result" in refuse_epilogue(replace(program, stores=(nest, beside)))
    one_row = (replace(nest.reads[0], access=(Linear(terms=(), constant=3), nest.reads[0].access[1])), *nest.reads[1:])
    assert "once for each element" in refuse_epilogue(replace(program, stores=(replace(nest, reads=one_row),)))
    (write,) = nest.writes
    moved = replace(nest.reads[1], source=write.view, access=tuple(reversed(write.access)))
    changed = replace(program, stores=(replace(nest, reads=(nest.reads[0], moved)),))
    assert refuse_epilogue(changed) == "an operand is read and written at different places"


def test_what_a_shader_cannot_fill_is_refused() -> None:
    program = build(PLAIN)
    (nest,) = program.stores
    assert glsl.refuse_epilogue(program) == ""
    assert glsl.refuse_epilogue(replace(program, cores=())) == "the dispatch has no reduction or named operation"
    beside = replace(nest, reads=nest.reads[1:])
    assert "does not use its result" in glsl.refuse_epilogue(replace(program, stores=(nest, beside)))
    (write,) = nest.writes
    moved = replace(nest.reads[1], source=write.view, access=tuple(reversed(write.access)))
    changed = replace(program, stores=(replace(nest, reads=(nest.reads[0], moved)),))
    assert "is read and written at different places" in glsl.refuse_epilogue(changed)
