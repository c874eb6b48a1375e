"""Values that are drawn for a definition's parameters, and a kernel that computes with another value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from substitute.catalog.catalog import load_catalog
from substitute.errors import UsageError
from substitute.model.conditions import evaluate_condition, parse_condition
from substitute.model.kernel import Kernel
from substitute.validate.kernel import validate_kernel
from substitute.validate.parameters import draw_values
from substitute.validate.programs import definition_functions

pytestmark = [pytest.mark.compile, pytest.mark.device]

MANIFEST = """
schema = 1
name = "scaled"
[operands]
x = ["N"]
y = ["N"]
[parameters]
scale = CONDITIONS
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-ir"
file = "kernel.ll"
entry = "scaled"
[launch]
workgroup_count = ["N", "1", "1"]
"""
DEFINITION = """
func.func @scaled(%x: tensor<?xf32>, %scale: f32) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>],
      iterator_types = ["parallel"]} ins(%x : tensor<?xf32>) outs(%e : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %b = math.absf %a : f32
    %c = arith.addf %b, %scale : f32
    linalg.yield %c : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}
"""
CODE = """
declare float @llvm.fabs.f32(float)
define void @scaled(ptr %x, ptr %y, i64 %N, float %scale, i64 %i, i64 %j, i64 %k) {
  %from = getelementptr float, ptr %x, i64 %i
  %to = getelementptr float, ptr %y, i64 %i
  %v = load float, ptr %from
  %a = call float @llvm.fabs.f32(float %v)
  %s = fadd float %a, VALUE
  store float %s, ptr %to
  ret void
}
"""


def scaled(folder: Path, *, conditions: str = "[]", value: str = "%scale") -> Kernel:
    folder.mkdir()
    (folder / "kernel.toml").write_text(MANIFEST.replace("CONDITIONS", conditions))
    (folder / "definition.mlir").write_text(DEFINITION)
    (folder / "kernel.ll").write_text(CODE.replace("VALUE", value))
    return load_catalog([folder], builtin=False).kernel("scaled")


def test_a_parameter_may_stand_among_the_operands(tmp_path: Path) -> None:
    plain, listed = scaled(tmp_path / "plain"), scaled(tmp_path / "listed")
    manifest = listed.folder / "kernel.toml"
    manifest.write_text(
        manifest.read_text().replace('x = ["N"]', 'x = ["N"]\nscale = []').replace("[parameters]\nscale = []\n", "")
    )
    again = load_catalog([listed.folder], builtin=False).kernel("scaled")
    assert (again.operands, again.forms, again.parameters) == (plain.operands, plain.forms, plain.parameters)


@pytest.mark.parametrize(
    ("conditions", "extremes"),
    [
        (("scale >= 1", "scale <= 2"), (1.0, 2.0)),
        (("0 < scale < 1",), (float(np.nextafter(np.float32(0), np.float32(1))), 1 - 2.0**-24)),
        (("scale == 1 / sqrt(N)",), (0.25,)),
        ((), (0.5, -0.75, 0.0)),
    ],
)
def test_values_meet_the_conditions(conditions: tuple[str, ...], extremes: tuple[float, ...], tmp_path: Path) -> None:
    parsed = tuple(parse_condition(text, ("scale", "N")) for text in conditions)
    kernel = replace(scaled(tmp_path / "kernel"), conditions=parsed)
    drawn = [draw_values(kernel, kernel.forms[0], {"N": 16}, number)["scale"] for number in range(30)]
    assert set(extremes) <= set(drawn)
    assert all(evaluate_condition(c, {"N": 16, "scale": v}, {"scale": "f32"}) for c in parsed for v in drawn)
    impossible = replace(kernel, conditions=(*parsed, parse_condition("scale > 5 and scale < 4", ("scale",))))
    with pytest.raises(UsageError, match="no value was found for the parameter scale"):
        draw_values(impossible, kernel.forms[0], {"N": 16}, 0)


def test_values_come_from_numbers_arguments_and_tensors(tmp_path: Path) -> None:
    free, bound = scaled(tmp_path / "free"), scaled(tmp_path / "bound", conditions='"scale > 0"')
    texts = [f.text for f in definition_functions(free, quick=True, random=np.random.default_rng(0))]
    for word in ("%scale = arith.constant", "%scale: f32", "%scale_in: tensor<f32>"):
        assert any(word in text for text in texts), word
    texts = [f.text for f in definition_functions(bound, quick=True, random=np.random.default_rng(0))]
    assert all("%scale = arith.constant" in text for text in texts)


def test_a_value_of_its_own_is_found(tmp_path: Path) -> None:
    right = validate_kernel(scaled(tmp_path / "right"), quick=True, case="@scaled N=")
    assert right.passed, (right.message, right.dispatches)
    wrong = validate_kernel(scaled(tmp_path / "wrong", value="0.5"), quick=True, case="@scaled N=")
    assert not wrong.passed
