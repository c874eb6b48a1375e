"""The nearest of the kernels that do not match."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime_tests.match.definitions import body_of, matmul_dispatch, matmul_kernel
from runtime_tests.match.kernels import decision, kernel
from runtime_tests.read.executables import CPU, CUDA, VULKAN
from runtime_tests.read.programs import FUNCTIONS
from runtime_tests.read.short_form import filled, generic
from substitute.catalog.catalog import load_catalog
from substitute.match import planner
from substitute.match.nearness import measure_likeness, nearest_miss
from substitute.match.planner import decide
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import Kernel, TargetRule

pytestmark = pytest.mark.compile


@pytest.fixture(scope="module")
def builtin() -> tuple[Kernel, ...]:
    return tuple(load_catalog((), builtin=True).kernels)


def nearest(kernels: tuple[Kernel, ...], dispatch: Dispatch) -> str:
    backend = dispatch.target.backend
    known = [k for k in kernels if any(t.backend == backend for t in k.targets)]
    decisions = [decide(k, dispatch, lambda k, _d: "never" if k.payload.kind.selects_by_code else "") for k in known]
    near = nearest_miss(decisions)
    return near.kernel.name if near else ""


def of_floats(kernels: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
    """All but the kernels that take integers."""
    return tuple(k for k in kernels if not k.name.startswith("integer_"))


def product(element: str, target: str = CPU) -> Dispatch:
    """A product of bytes that is summed in another type."""
    text = next(f for f in FUNCTIONS if f.name == "bytes_product").body.replace("i32", element)
    return body_of(f"%a = input 0 !5x7xi8\n%b = input 1 !7x6xi8{text}\noutput 2 %r !5x6x{element}", target=target)


@pytest.mark.parametrize(("target", "prefix"), [(CPU, ""), (VULKAN, "vulkan_")])
def test_an_integer_product_is_nearest_to_the_product(builtin: tuple[Kernel, ...], target: str, prefix: str) -> None:
    assert nearest(of_floats(builtin), product("i32", target)) == f"{prefix}matmul"


def test_an_integer_product_is_taken(builtin: tuple[Kernel, ...]) -> None:
    kernels = [k for k in builtin if k.name in ("matmul", "integer_matmul", "conv", "integer_conv")]
    taken = [k.name for k in kernels if decide(k, product("i32"), lambda k, d: "").accepted]
    assert taken == ["integer_matmul"]


def test_an_integer_convolution_is_nearest_to_the_convolution(builtin: tuple[Kernel, ...]) -> None:
    text = (
        filled("!1x4x5x5xi32", "%none")
        + """
  %r = linalg.conv_2d_nchw_fchw {strides = dense<2> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}
      ins(%a, %b : !1x3x11x11xi8, !4x3x3x3xi8) outs(%init : !1x4x5x5xi32) -> !1x4x5x5xi32"""
    )
    dispatch = body_of(
        f"%none = arith.constant 0 : i32\n%a = input 0 !1x3x11x11xi8\n%b = input 1 !4x3x3x3xi8{text}"
        "\noutput 2 %r !1x4x5x5xi32"
    )
    assert dispatch.program is not None, dispatch.reason
    assert nearest(of_floats(builtin), dispatch) == "conv"


def test_a_softmax_with_work_before_it_is_nearest_to_softmax(builtin: tuple[Kernel, ...]) -> None:
    text = (
        """
  %h = tensor.empty() : !8x8xf32"""
        + generic(
            "%w",
            "[[i, j -> i, j]], [[i, j -> i, j]]",
            "pp",
            "%a",
            "!8x8xf16",
            "%h",
            "!8x8xf32",
            "\n    %y = arith.extf %x : f16 to f32\n    linalg.yield %y : f32",
            "%x: f16, %o: f32",
        )
        + """
  %r = linalg.softmax dimension(1) ins(%w : !8x8xf32) outs(%h : !8x8xf32) -> !8x8xf32"""
    )
    dispatch = body_of(f"%a = input 0 !8x8xf16{text}\noutput 1 %r !8x8xf32")
    assert dispatch.program is not None, dispatch.reason
    # it fits; without a slot for that work it is nearest
    softmax = next(k for k in builtin if k.name == "softmax")
    assert decide(softmax, dispatch, lambda _k, _d: "").accepted
    bare = tuple(replace(k, slots=frozenset()) if k is softmax else k for k in builtin)
    assert nearest(bare, dispatch) == "softmax"


def test_a_rule_that_looks_at_everything_is_never_the_nearest(builtin: tuple[Kernel, ...]) -> None:
    cuda = matmul_dispatch(target=CUDA)
    assert [k.name for k in builtin if any(t.backend == "cuda" for t in k.targets)], "one is asked"
    assert nearest(builtin, cuda) == ""
    mine = replace(next(k for k in builtin if k.payload.kind.selects_by_code), builtin=False, name="mine")
    assert nearest((mine,), cuda) == "mine", "a person's own is reported"


def test_a_target_that_is_missing_is_nearer_than_another_computation() -> None:
    wide = matmul_kernel(name="wide", targets=[TargetRule(backend="llvm-cpu", features=("nosuch",))])
    other = kernel(kind="llvm-generator", name="aaa", kinds=("softmax",))
    near = nearest_miss([decision(other, matmul_dispatch()), decision(wide, matmul_dispatch())])
    assert near is not None
    assert (near.kernel.name, near.rules[-1].name) == ("wide", "target.features")


def test_likeness() -> None:
    made, dispatch = matmul_kernel(), matmul_dispatch()
    assert dispatch.program is not None
    same = measure_likeness(made, made.forms[0], made.forms[0].program)
    near = measure_likeness(made, made.forms[0], dispatch.program)
    other = product("i32").program
    assert other is not None
    far = measure_likeness(made, made.forms[0], other)
    assert same == near == 1.0
    assert 0.3 < far < 1.0


def test_other_cores_are_refused_at_once_with_the_same_words(
    builtin: tuple[Kernel, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatches = [matmul_dispatch(), body_of("%a = input 0 !8x8xf32\noutput 1 %a !8x8xf32")]
    known = [k for k in builtin if k.forms and any(t.backend == "llvm-cpu" for t in k.targets)]
    pairs = [(k, d) for k in known for d in dispatches]
    quick = [decide(k, d, lambda _k, _d: "").rules for k, d in pairs]
    assert any(planner.refuse_by_cores(k, d.program) for k, d in pairs if d.program)
    monkeypatch.setattr(planner, "refuse_by_cores", lambda kernel, program: None)
    assert [decide(k, d, lambda _k, _d: "").rules for k, d in pairs] == quick
