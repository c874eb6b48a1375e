"""A named softmax and its loops are one computation, whichever of definition and dispatch spells it how."""

from __future__ import annotations

import pytest

from runtime_tests.match.definitions import SOFTMAX, STATISTICS, X8, body_of, softmax_of, statistics
from runtime_tests.match.kernels import HEAD, accepted, kernel, refused
from runtime_tests.read.short_form import elementwise, generic
from substitute.model.dispatch import Dispatch

pytestmark = pytest.mark.compile

OPERANDS = {"x": "MN", "y": "MN"}
SHIFTED = "\n    %one = arith.constant 0.5 : f32\n    %y = arith.mulf %x, %one : f32"
SCALED = elementwise("%t", "%x", "!8x8xf32", SHIFTED)


def spelled(**options: str) -> Dispatch:
    return body_of(X8 + statistics("!8x8xf32", "!8xf32", **options) + "\noutput 1 %r !8x8xf32", bindings=2)  # type: ignore[arg-type]


def scaled_softmax(factor: str = "0.5") -> Dispatch:
    """softmax(x · 0.5), where IREE fused the product in front of the named operation."""
    source = X8 + SCALED.replace("0.5", factor)
    return softmax_of(source=source.replace("%x =", "%in =").replace("%x :", "%in :").replace("%t", "%x"))


SCALED_OPEN = generic(
    "%t",
    "[[i, j -> i, j]], [[i, j -> i, j]]",
    "pp",
    "%a",
    "!?x?xf32",
    "%e1",
    "!?x?xf32",
    SHIFTED + "\n    linalg.yield %y : f32",
    "%x: f32, %o: f32",
)
DEFINITION = f"""
func.func @scaled(%a: !?x?xf32) -> !?x?xf32 {{{HEAD}
  %m = tensor.dim %a, %c0 : !?x?xf32
  %n = tensor.dim %a, %c1 : !?x?xf32
  %e1 = tensor.empty(%m, %n) : !?x?xf32{SCALED_OPEN}
  %e = tensor.empty(%m, %n) : !?x?xf32
  %r = linalg.softmax dimension(1) ins(%t : !?x?xf32) outs(%e : !?x?xf32) -> !?x?xf32
  return %r : !?x?xf32
}}
"""


def test_loops_as_definition_take_a_named_softmax() -> None:
    match = accepted(kernel(STATISTICS, OPERANDS), softmax_of())
    assert [(axis.name, axis.size) for axis in match.axes] == [("M", 8), ("N", 8)]
    refused(kernel(STATISTICS, OPERANDS), softmax_of(dimension=0))


def test_a_named_softmax_as_definition_takes_its_loops() -> None:
    accepted(kernel(SOFTMAX, OPERANDS), spelled())
    refused(kernel(SOFTMAX, OPERANDS), spelled(order="%sm, %mx"))


def test_what_is_fused_in_front_of_a_softmax_is_part_of_its_loops() -> None:
    made = kernel(DEFINITION, OPERANDS)
    accepted(made, scaled_softmax())
    refused(made, scaled_softmax("0.25"))
    refused(made, softmax_of())


def test_code_that_sees_the_dispatch_needs_the_operation_as_it_is_named() -> None:
    rule = refused(kernel(STATISTICS, OPERANDS, kind="llvm-generator"), softmax_of())
    assert rule.name == "structure.cores"


def test_what_is_fused_in_front_of_a_softmax_goes_into_a_prologue() -> None:
    both = kernel(SOFTMAX, OPERANDS, kind="llvm-generator", strided="xy", groups="M", slots=("prologue", "epilogue"))
    match = accepted(both, scaled_softmax())
    assert [(axis.name, axis.size) for axis in match.axes] == [("M", 8), ("N", 8)]
    accepted(both, softmax_of())
    rule = refused(kernel(SOFTMAX, OPERANDS, kind="llvm-generator", slots=("epilogue",)), scaled_softmax())
    assert (rule.name, rule.found) == ("structure.cores", "element-wise then linalg.softmax")


def test_another_operation_in_front_of_a_softmax_is_no_prologue() -> None:
    both = kernel(SOFTMAX, OPERANDS, kind="llvm-generator", strided="xy", groups="M", slots=("prologue", "epilogue"))
    twice = softmax_of(
        source=X8.replace("%x =", "%in =")
        + """
  %e0 = tensor.empty() : !8x8xf32
  %x = linalg.softmax dimension(1) ins(%in : !8x8xf32) outs(%e0 : !8x8xf32) -> !8x8xf32"""
    )
    assert refused(both, twice).name == "structure.cores"
