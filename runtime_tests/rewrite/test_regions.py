"""Dispatch regions: what a kernel takes as a whole is one dispatch, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from substitute import Session, compile_model, frontend
from substitute.compiler import Compilation
from substitute.flags import with_default_target
from substitute.frontend import run_to_dispatches
from substitute.read.module import read_module
from substitute.rewrite import regions

pytestmark = pytest.mark.compile

SUM = """linalg.generic {{indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]}} ins({x} : {wide}) outs(%init : {thin}) {{
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  }} -> {thin}"""
EACH = """linalg.generic {{indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>,
      affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}}
      ins({x}, {s} : {wide}, {thin}) outs(%e : {wide}) {{
  ^bb0(%a: f32, %b: f32, %o: f32):
    {body}
    linalg.yield %r : f32
  }} -> {wide}"""


def function(name: str, rows: str = "?", columns: str = "?", last: str = "divf") -> str:
    """Return `d / Σd²` for `d = x - Σx`, which IREE makes two dispatches of."""
    wide, thin = f"tensor<{rows}x{columns}xf32>", f"tensor<{rows}xf32>"
    types = {"wide": wide, "thin": thin}
    sizes = ", ".join(n for n, size in (("%m", rows), ("%n", columns)) if size == "?")
    row = "%m" if rows == "?" else ""
    total = SUM.format(x="%x", **types)
    shifted = EACH.format(x="%x", s="%s", body="%r = arith.subf %a, %b : f32", **types)
    squares = EACH.format(
        x="%x", s="%s", body="%t = arith.subf %a, %b : f32\n    %r = arith.mulf %t, %t : f32", **types
    )
    result = EACH.format(x="%d", s="%v", body=f"%r = arith.{last} %a, %b : f32", **types)
    return f"""
func.func @{name}(%x: {wide}) -> {wide} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : {wide}
  %n = tensor.dim %x, %c1 : {wide}
  %zero = arith.constant 0.0 : f32
  %f = tensor.empty({row}) : {thin}
  %init = linalg.fill ins(%zero : f32) outs(%f : {thin}) -> {thin}
  %e = tensor.empty({sizes}) : {wide}
  %s = {total}
  %d = {shifted}
  %q = {squares}
  %v = {SUM.format(x="%q", **types)}
  %y = {result}
  return %y : {wide}
}}
"""


MANIFEST = """
schema = 1
name = "centred"
summary = "d / Σd² for d = x - Σx"
constraints = [CONSTRAINTS]
CHOSEN
[operands]
x = ["M", "N"]
y = ["M", "N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "mlir"
file = "definition.mlir"
entry = "centred"
"""


def kernels_in(folder: Path, constraints: str = "", last: str = "divf", chosen: str = "") -> Path:
    """Write the kernel; `chosen` are further lines of its manifest."""
    own = folder / "centred"
    own.mkdir()
    (own / "definition.mlir").write_text(function("centred", last=last))
    (own / "kernel.toml").write_text(MANIFEST.replace("CONSTRAINTS", constraints).replace("CHOSEN", chosen))
    return folder


def count_dispatches(text: str, *kernels: Path) -> int:
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(text.encode())
        run_to_dispatches(compilation, kernels)
        assert compilation.module is not None
        return len(read_module(compilation.module))


def test_a_kernel_takes_as_one_what_iree_splits(tmp_path: Path) -> None:
    """Also where the number of rows is open."""
    text = function("main", "?", "16")
    (tmp_path / "model.mlir").write_text(text)
    result = compile_model(tmp_path / "model.mlir", kernels=[kernels_in(tmp_path)], builtin=False, check=False)
    assert [s.kernel.name for s in result.plan.substitutions] == ["centred"]
    assert len(result.plan.dispatches) == 1
    x = np.random.default_rng(1).normal(size=(4, 16)).astype(np.float32)
    with Session(result.vmfb, device="local-task") as session:
        (found,) = session.call(None, [x])
    d = x.astype(np.float64) - x.sum(axis=1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(found, d / (d * d).sum(axis=1, keepdims=True), rtol=1e-5)


def test_nothing_changes_where_no_kernel_takes_the_whole(tmp_path: Path) -> None:
    text = function("main", "4", "16")
    assert count_dispatches(text) == 2
    for number, options in enumerate(({"constraints": '"N % 7 == 0"'}, {"last": "mulf"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert count_dispatches(text, kernels_in(folder, **options)) == 2


def test_a_region_that_no_kernel_takes_in_the_end_is_not_formed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, folder = function("main", "4", "16"), kernels_in(tmp_path)
    assert count_dispatches(text, folder) == 1
    # the kernel takes the operations, and not the dispatch that IREE makes of them
    decide = frontend.decide
    monkeypatch.setattr(
        frontend,
        "decide",
        lambda kernel, dispatch, accepts, demands: decide(
            kernel, dispatch, accepts if dispatch.name == regions.NAME else lambda *_: "not this", demands=demands
        ),
    )
    assert count_dispatches(text, folder) == 2


def test_what_others_need_too_stays_where_it_is(tmp_path: Path) -> None:
    """The sum is a result as well: a region of the whole would compute it for itself."""
    text = function("main", "4", "16")
    text = text.replace("-> tensor<4x16xf32> {\n  %c0", "-> (tensor<4x16xf32>, tensor<4xf32>) {\n  %c0")
    text = text.replace("return %y : tensor<4x16xf32>", "return %y, %s : tensor<4x16xf32>, tensor<4xf32>")
    assert count_dispatches(text, kernels_in(tmp_path)) == count_dispatches(text)


@pytest.mark.parametrize("shielded", [True, False])
def test_what_iree_would_compute_in_a_region_stays_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shielded: bool
) -> None:
    """IREE clones conversions into the dispatches that read them; without a shield the kernel takes no dispatch."""
    text = function("main", "4", "16").replace("%x: tensor<4x16xf32>", "%h: tensor<4x16xf16>")
    text = text.replace("  %c0 =", "  %x = arith.extf %h : tensor<4x16xf16> to tensor<4x16xf32>\n  %c0 =", 1)
    if not shielded:
        monkeypatch.setattr(regions, "shield", lambda value: value)
    (tmp_path / "model.mlir").write_text(text)
    result = compile_model(tmp_path / "model.mlir", kernels=[kernels_in(tmp_path)], builtin=False, check=False)
    assert (len(result.plan.dispatches), len(result.plan.substitutions)) == (2, int(shielded))
