"""Dispatch regions: what a kernel takes as a whole is one dispatch, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.rewrite.centred import function, kernels_in
from runtime_tests.spellings.definitions import OPERATIONS, make_kernel, write_definition
from substitute import Session, compile_model, frontend
from substitute.compiler import Compilation
from substitute.flags import with_default_target
from substitute.frontend import run_to_dispatches
from substitute.read.module import read_module
from substitute.read.slices import SliceReader
from substitute.rewrite import fold_scalars, regions

pytestmark = pytest.mark.compile


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


def test_open_sizes_of_two_operands_are_one_where_one_loop_has_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the logits and of the targets are two values of the host program."""
    operation = next(o for o in OPERATIONS if o.name == "soft_cross_entropy")
    first, *last = write_definition(operation, "f32", "main").rsplit("tensor.empty(%size_R)", 2)
    own = "%size_z = tensor.dim %z, %at_R : tensor<?x?xf32>\n"
    text = "tensor.empty(%size_z)".join((first, *last)).replace("%size_C =", f"{own}%size_C =", 1)

    def count() -> int:
        with Compilation(with_default_target(()), name="model") as compilation:
            compilation.parse(text.encode())
            frontend.form_dispatches(compilation, [make_kernel(operation, "f32")])
            assert compilation.module is not None
            return len(read_module(compilation.module))

    assert count() == 1
    monkeypatch.setattr(SliceReader, "_join_sizes", lambda _reader, _op: None)
    assert count() > 1


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


def test_a_kernel_with_slots_takes_what_follows_too(tmp_path: Path) -> None:
    """The built-in kernel of two chained sums, as one's own: the quotient after them goes into its epilogue."""
    text = function("main", "4", "16")
    assert count_dispatches(text) == 2
    (tmp_path / "model.mlir").write_text(text)
    folder = Path(__file__).parents[2] / "kernels" / "layer_norm"
    result = compile_model(tmp_path / "model.mlir", kernels=[folder], builtin=False, check=False)
    assert [s.kernel.name for s in result.plan.substitutions] == ["layer_norm"]
    assert len(result.plan.dispatches) == 1
    x = np.random.default_rng(1).normal(size=(4, 16)).astype(np.float32)
    with Session(result.vmfb, device="local-task") as session:
        (found,) = session.call(None, [x])
    d = x.astype(np.float64) - x.sum(axis=1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(found, d / (d * d).sum(axis=1, keepdims=True), rtol=1e-5)


VARIANCE = """
func.func @main(%x: tensor<4x16xf32>) -> tensor<4x16xf32> {
  %c = stablehlo.constant dense<0> : tensor<i32>
  %n = stablehlo.constant dense<1.0> : tensor<f32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %s = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [1]
    : (tensor<4x16xf32>, tensor<f32>) -> tensor<4xf32>
  %sb = stablehlo.broadcast_in_dim %s, dims = [0] : (tensor<4xf32>) -> tensor<4x16xf32>
  %d = stablehlo.subtract %x, %sb : tensor<4x16xf32>
  %q = stablehlo.multiply %d, %d : tensor<4x16xf32>
  %v = stablehlo.reduce(%q init: %zero) applies stablehlo.add across dimensions = [1]
    : (tensor<4x16xf32>, tensor<f32>) -> tensor<4xf32>
  %k = stablehlo.convert %c : (tensor<i32>) -> tensor<f32>
  %m = stablehlo.subtract %n, %k : tensor<f32>
  %mb = stablehlo.broadcast_in_dim %m, dims = [] : (tensor<f32>) -> tensor<4xf32>
  %w = stablehlo.divide %v, %mb : tensor<4xf32>
  %wb = stablehlo.broadcast_in_dim %w, dims = [0] : (tensor<4xf32>) -> tensor<4x16xf32>
  %y = stablehlo.divide %d, %wb : tensor<4x16xf32>
  return %y : tensor<4x16xf32>
}
"""


@pytest.mark.parametrize("folded", [True, False])
def test_a_divisor_that_iree_would_hoist_is_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folded: bool
) -> None:
    if not folded:
        monkeypatch.setattr(fold_scalars, "fold_scalars", lambda module: None)
    count = count_dispatches(VARIANCE, kernels_in(tmp_path))
    assert count == 1 if folded else count > 1
