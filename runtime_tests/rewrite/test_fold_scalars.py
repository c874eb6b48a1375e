"""Scalars that constants give are folded, also through calls; what is no constant in every call stays."""

from __future__ import annotations

import pytest

from substitute.compiler import Compilation
from substitute.flags import with_default_target
from substitute.rewrite.fold_scalars import fold_scalars

pytestmark = pytest.mark.compile

MODEL = """
func.func @main(%x: tensor<4x8xf32>) -> tensor<4xf32> {
  %c = stablehlo.constant dense<CORRECTION> : tensor<i32>
  %0 = call @divided(%x, %c) : (tensor<4x8xf32>, tensor<i32>) -> tensor<4xf32>
  MORE
  return %0 : tensor<4xf32>
}
func.func private @divided(%x: tensor<4x8xf32>, %c: tensor<i32>) -> tensor<4xf32> {
  %n = stablehlo.constant dense<8.0> : tensor<f32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %nan = stablehlo.constant dense<0x7FC00000> : tensor<4xf32>
  %s = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [1]
    : (tensor<4x8xf32>, tensor<f32>) -> tensor<4xf32>
  %k = stablehlo.convert %c : (tensor<i32>) -> tensor<f32>
  %d = stablehlo.subtract %n, %k : tensor<f32>
  %b = stablehlo.broadcast_in_dim %d, dims = [] : (tensor<f32>) -> tensor<4xf32>
  %q = stablehlo.divide %s, %b : tensor<4xf32>
  %p = stablehlo.compare GT, %d, %zero, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
  %y = stablehlo.select %p, %q, %nan : tensor<i1>, tensor<4xf32>
  return %y : tensor<4xf32>
}
"""


def folded(correction: int = 1, more: str = "") -> str:
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(MODEL.replace("CORRECTION", str(correction)).replace("MORE", more).encode())
        assert compilation.module is not None
        fold_scalars(compilation.module)
        compilation.module.verify()
        return str(compilation.module)


@pytest.mark.parametrize(("correction", "divisor", "left"), [(1, "7.000000e+00", "divide"), (9, "-1.0", "NaN")])
def test_a_divisor_from_a_call_is_a_number(correction: int, divisor: str, left: str) -> None:
    text = folded(correction)
    assert f"dense<{divisor}" in text
    assert "convert" not in text and "subtract" not in text and "compare" not in text and "select" not in text
    result = text.rpartition("return ")[2].partition(" ")[0]
    source = next(line for line in text.splitlines() if line.strip().startswith(f"{result} = ") and "call" not in line)
    assert ("stablehlo.divide" in source) == (left == "divide")
    assert ("0x7FC00000" in source) == (left == "NaN")


@pytest.mark.parametrize(
    "more",
    [
        # another constant, no constant, a call in a branch, and a use that is no call
        "%e = stablehlo.constant dense<2> : tensor<i32>\n"
        "  %1 = call @divided(%x, %e) : (tensor<4x8xf32>, tensor<i32>) -> tensor<4xf32>",
        "%e = stablehlo.replica_id : tensor<ui32>\n  %f = stablehlo.convert %e : (tensor<ui32>) -> tensor<i32>\n"
        "  %1 = call @divided(%x, %f) : (tensor<4x8xf32>, tensor<i32>) -> tensor<4xf32>",
        "%e = stablehlo.constant dense<2> : tensor<i32>\n  %i = stablehlo.constant dense<0> : tensor<i32>\n"
        '  %1 = "stablehlo.case"(%i) ({\n'
        "    %2 = func.call @divided(%x, %e) : (tensor<4x8xf32>, tensor<i32>) -> tensor<4xf32>\n"
        "    stablehlo.return %2 : tensor<4xf32>\n  }) : (tensor<i32>) -> tensor<4xf32>",
        '%1 = stablehlo.composite "a.b" %x, %c {decomposition = @divided} '
        ": (tensor<4x8xf32>, tensor<i32>) -> tensor<4xf32>",
    ],
)
def test_what_another_use_gives_otherwise_stays(more: str) -> None:
    text = folded(more=more)
    assert "stablehlo.subtract" in text and "stablehlo.select" in text
