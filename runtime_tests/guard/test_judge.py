"""Judging: inputs for which results vary are found for what compares and counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute import compile_model
from substitute.guard import judge

MODEL = """
func.func @masked(%a: tensor<128xi64>) -> tensor<128xf32> {
  %zero = arith.constant 0 : i64
  %least = arith.constant 0xFF800000 : f32
  %none = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<128xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : tensor<128xi64>) outs(%empty : tensor<128xf32>) {
    ^bb0(%x: i64, %o: f32):
      %is = arith.cmpi eq, %x, %zero : i64
      %y = arith.select %is, %least, %none : f32
      linalg.yield %y : f32
  } -> tensor<128xf32>
  return %r : tensor<128xf32>
}
func.func @any_positive(%a: tensor<48x96xf32>) -> tensor<48xi1> {
  %no = arith.constant false
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<48xi1>
  %init = linalg.fill ins(%no : i1) outs(%empty : tensor<48xi1>) -> tensor<48xi1>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%a : tensor<48x96xf32>) outs(%init : tensor<48xi1>) {
    ^bb0(%x: f32, %o: i1):
      %is = arith.cmpf ogt, %x, %zero : f32
      %y = arith.ori %is, %o : i1
      linalg.yield %y : i1
  } -> tensor<48xi1>
  return %r : tensor<48xi1>
}
"""


def test_what_compares_and_counts_is_judged_by_inputs_for_which_its_results_vary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = tmp_path / "model.mlir"
    model.write_text(MODEL)
    result = compile_model(model, check=True)
    assert result.checked
    assert {c.dispatch: c.verdict.text for c in result.checked if c.verdict.outcome == "unjudged"} == {}


def test_without_them_it_says_that_nothing_is_proven() -> None:
    """The twin: verdicts that are blind ask for another case, others for none."""
    from substitute.validate.verdict import CaseVerdict

    blind = CaseVerdict(label="", inputs="", seed=0, blind=("all zeros",))
    seeing = CaseVerdict(label="", inputs="", seed=0)
    more = object()
    assert judge._Bench._next([blind], iter([more])) is more  # type: ignore[list-item]
    assert judge._Bench._next([blind], iter([])) is None
    assert judge._Bench._next([blind, seeing], iter([more])) is None  # type: ignore[list-item]
