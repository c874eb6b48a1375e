"""The first place where two bodies differ, as people read it."""

from __future__ import annotations

import re

import pytest

from runtime_tests.match.definitions import body_of, matmul_dispatch, matmul_kernel
from runtime_tests.match.kernels import HEAD, kernel, refused
from runtime_tests.read.short_form import elementwise
from substitute.match.difference import describe_number
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import Kernel

pytestmark = pytest.mark.compile

DEEP = """
    %k = arith.constant {k} : {t}
    %h = arith.constant 0.5 : {t}
    %1 = arith.mulf %x, %x : {t}
    %2 = arith.mulf %1, %x : {t}
    %3 = arith.mulf %2, %k : {t}
    %4 = arith.addf %x, %3 : {t}
    %5 = math.{f} %4 : {t}
    %6 = arith.mulf %5, %h : {t}
    %7 = arith.cmpf {c}, %6, %x : {t}
    %y = arith.select %7, %6, %x : {t}"""


def body(k: str = "0.044715", f: str = "tanh", c: str = "olt", t: str = "f32") -> str:
    return elementwise("%r", "%a", "!SIZExf32", DEEP.format(k=k, f=f, c=c, t=t)).replace("f32", t)


def made(**changes: str) -> Kernel:
    """A kernel that computes this body."""
    return kernel(form("deep", **changes), {"x": "MN", "y": "MN"})


def form(name: str, t: str = "f32", **changes: str) -> str:
    matrix = f"!?x?x{t}"
    text = body(t=t, **changes).replace(f"!SIZEx{t}", matrix).replace("tensor.empty()", "tensor.empty(%m, %n)")
    return f"""
func.func @{name}(%a: {matrix}) -> {matrix} {{{HEAD}
  %m = tensor.dim %a, %c0 : {matrix}
  %n = tensor.dim %a, %c1 : {matrix}{text}
  return %r : {matrix}
}}
"""


def dispatch(t: str = "f32", **changes: str) -> Dispatch:
    text = body(t=t, **changes).replace("SIZE", "8x8")
    return body_of(f"%a = input 0 !8x8x{t}{text}\noutput 1 %r !8x8x{t}")


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        ({"k": "0.0447"}, "0.044715 : f32, in mulf(mulf(…), 0.044715)", "0.0447 : f32, in mulf(mulf(…), 0.0447)"),
        (
            {"k": "0.04471501"},
            "0.044715 : f32, in mulf(mulf(…), 0.044715)",
            "0.04471501 : f32, in mulf(mulf(…), 0.04471501)",
        ),
        (
            {"f": "erf"},
            "tanh(addf(in0, mulf(…))) : f32, in mulf(tanh(…), 0.5)",
            "erf(addf(in0, mulf(…))) : f32, in mulf(erf(…), 0.5)",
        ),
        (
            {"c": "oeq"},
            "cmpf olt(mulf(tanh(…), 0.5), x) : i1, in select(cmpf olt(…), mulf(…), x)",
            "cmpf oeq(mulf(tanh(…), 0.5), in0) : i1, in select(cmpf oeq(…), mulf(…), in0)",
        ),
        (
            {"t": "f16"},
            "select(cmpf olt(mulf(…), x), mulf(tanh(…), 0.5), x) : f32",
            "select(cmpf olt(mulf(…), in0), mulf(tanh(…), 0.5), in0) : f16",
        ),
    ],
)
def test_the_first_node_that_differs(change: dict[str, str], expected: str, found: str) -> None:
    rule = refused(made(), dispatch(**change))
    assert rule.name == "structure.epilogue"
    assert (rule.expected.replace("in0", "x"), rule.found) == (expected.replace("in0", "x"), found)


@pytest.mark.parametrize("change", [{"k": "-0.044715"}, {"k": "0.0"}, {"k": "0x7FC00000"}, {"f": "exp"}, {"t": "bf16"}])
def test_expected_and_found_are_never_the_same_words(change: dict[str, str]) -> None:
    for one, other in (({}, change), (change, {})):
        if "t" in change and "k" in other:
            continue
        rule = refused(made(**one), dispatch(**other))
        assert re.sub(r"\bin0\b", "x", rule.expected) != re.sub(r"\bin0\b", "x", rule.found)


def test_of_several_forms_the_nearest_is_reported() -> None:
    far = form("far", f="sqrt", k="7.0", c="ogt")
    near = form("near", k="0.05")
    for definition in (far + near, near + far):
        rule = refused(kernel(definition, {"x": "MN", "y": "MN"}), dispatch())
        assert rule.expected == "0.05 : f32, in mulf(mulf(…), 0.05)"


def test_twin_equal_bodies_have_no_difference() -> None:
    from runtime_tests.match.kernels import accepted

    accepted(made(), dispatch())
    accepted(matmul_kernel(), matmul_dispatch())


@pytest.mark.parametrize(
    ("value", "type_", "words"),
    [
        (1.0, "f32", "1.0"),
        (0.1, "f64", "0.1"),
        (0.10000000149011612, "f32", "0.1"),
        (1e-5, "f32", "1e-05"),
        (0.10000000149011612, "f64", "0.10000000149011612"),
        (-0.0, "f32", "-0.0"),
        (float("-inf"), "f32", "-inf"),
        (float("nan"), "f32", "nan"),
        (65504.0, "f16", "65504.0"),
        (3, "i32", "3"),
        (1e300, "f32", "1e+300"),
    ],
)
def test_numbers(value: object, type_: str, words: str) -> None:
    assert describe_number(value, type_) == words
