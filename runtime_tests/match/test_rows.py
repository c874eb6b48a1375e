"""Operands with `strides = "rows"`: rows lie anywhere, the elements of a row side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.row_sum import write_row_sum
from substitute.catalog.catalog import load_catalog
from substitute.device import Session
from substitute.inspection import inspect_model
from substitute.pipeline import compile_model
from substitute.validate.contexts import contexts_of

KERNEL = """
define void @row_sum(ptr %x, ptr %y, i64 %M, i64 %N, i64 %row, i64 %one, i64 %m, i64 %id_y, i64 %id_z) {
entry:
  %first = mul i64 %m, %row
  br label %loop
loop:
  %n = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi float [ 0.0, %entry ], [ %more, %loop ]
  %at = add i64 %first, %n
  %p = getelementptr float, ptr %x, i64 %at
  %a = load float, ptr %p
  %more = fadd float %sum, %a
  %next = add i64 %n, 1
  %again = icmp slt i64 %next, %N
  br i1 %again, label %loop, label %done
done:
  %q = getelementptr float, ptr %y, i64 %m
  store float %more, ptr %q
  ret void
}
"""
MODEL = """
func.func @main(%x: tensor<SHAPExf32>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
  PART
  %y = linalg.reduce { arith.addf } ins(%w : tensor<8x40xf32>) outs(%f : tensor<8xf32>) dimensions = [1]
  return %y : tensor<8xf32>
}
"""
COLUMNS = MODEL.replace("SHAPE", "8x60").replace(
    "PART", "%w = tensor.extract_slice %x[0, 2] [8, 40] [1, 1] : tensor<8x60xf32> to tensor<8x40xf32>"
)
EVERY_OTHER = MODEL.replace("SHAPE", "8x80").replace(
    "PART", "%w = tensor.extract_slice %x[0, 0] [8, 40] [1, 2] : tensor<8x80xf32> to tensor<8x40xf32>"
)


def kernel_in(folder: Path, strides: str) -> Path:
    return write_row_sum(folder, KERNEL, strides=strides)


@pytest.mark.device
def test_rows_that_lie_apart_are_taken(tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text(COLUMNS)
    result = compile_model(tmp_path / "m.mlir", kernels=[kernel_in(tmp_path / "k", 'strides = "rows"')], builtin=False)
    assert [s.kernel.name for s in result.plan.substitutions] == ["row_sum"]
    x = np.arange(8 * 60, dtype=np.float32).reshape(8, 60)
    with Session(result.vmfb, device="local-task") as session:
        (found,) = session.call(None, [x])
    np.testing.assert_array_equal(found, x[:, 2:42].sum(axis=1))


@pytest.mark.compile
@pytest.mark.parametrize(
    ("strides", "model", "taken"),
    [
        ('strides = "rows"', EVERY_OTHER, 0),
        ('strides = "any"', EVERY_OTHER, 1),
        ("strided = true", EVERY_OTHER, 1),
        ("strided = false", COLUMNS, 0),
    ],
)
def test_other_layouts(tmp_path: Path, strides: str, model: str, taken: int) -> None:
    (tmp_path / "m.mlir").write_text(model)
    plan = inspect_model(tmp_path / "m.mlir", kernels=[kernel_in(tmp_path / "k", strides)], builtin=False)
    assert len(plan.substitutions) == taken
    if 'rows"' in strides:
        rules = [decision.rules[-1] for decision in plan.decisions if decision.kernel.name == "row_sum"]
        assert any(rule.name == "layout.x" and "stride 2" in rule.found for rule in rules), rules


@pytest.mark.unit
@pytest.mark.parametrize(
    ("strides", "steps"),
    [('strides = "rows"', {"sliced"}), ('strides = "any"', {"transposed"}), ("strided = false", set())],
)
def test_validation_draws_such_rows(tmp_path: Path, strides: str, steps: set[str]) -> None:
    kernel = load_catalog([kernel_in(tmp_path / "k", strides)], builtin=False).kernel("row_sum")
    contexts = contexts_of(kernel, kernel.forms[0], quick=True)
    assert {step for context in contexts for given in context.arguments.values() for step in given} == steps
