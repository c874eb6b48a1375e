"""Values of a definition's parameters in dispatches, and conditions over them: above all what must be refused."""

from __future__ import annotations

import math

import pytest

from runtime_tests.match.kernels import accepted, decision, kernel, refused
from runtime_tests.read.executables import dispatch_of
from runtime_tests.read.short_form import attention, filled, generic
from substitute.errors import ManifestError
from substitute.match.planner import choose
from substitute.model.conditions import evaluate_condition, list_bounds, parse_condition
from substitute.model.dispatch import Dispatch
from substitute.model.index import push
from substitute.model.kernel import Kernel
from substitute.model.parameter import ParameterValue, decode, encode, format_value, is_exact
from substitute.report.text import format_axes

pytestmark = pytest.mark.compile

NORM = """
func.func @norm(%x: !?x?xf32, %eps: f32) -> !?x?xf32 {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : !?x?xf32
  %n = tensor.dim %x, %c1 : !?x?xf32
  %sum_e = tensor.empty(%m) : !?xf32
  %sum_i = linalg.fill ins(%zero : f32) outs(%sum_e : !?xf32) -> !?xf32
  %sum = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]} ins(%x : !?x?xf32) outs(%sum_i : !?xf32) {
  ^bb0(%a: f32, %o: f32):
    %b = arith.addf %a, %eps : f32
    %c = arith.addf %o, %b : f32
    linalg.yield %c : f32
  } -> !?xf32
  %e = tensor.empty(%m, %n) : !?x?xf32
  %r = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>,
      affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : !?x?xf32, !?xf32) outs(%e : !?x?xf32) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %t = arith.addf %s, %eps : f32
    %q = arith.divf %a, %t : f32
    linalg.yield %q : f32
  } -> !?x?xf32
  return %r : !?x?xf32
}
"""
OPERANDS = {"x": "MN", "y": "MN"}


def norm(*conditions: str, **options: object) -> Kernel:
    parsed = tuple(parse_condition(text, ("eps", "M", "N")) for text in conditions)
    return kernel(NORM, OPERANDS, conditions=parsed, **options)  # type: ignore[arg-type]


def dispatch(first: str = "%e1 = arith.constant 0.5 : f32", second: str = "", **options: object) -> Dispatch:
    """The same computation with `%e1` in the sum and `%e2` (or `%e1` again) behind it."""
    two = "%e2" if second else "%e1"
    inside = "\n    %b = arith.addf %a, %e1 : f32\n    %c = arith.addf %o, %b : f32\n    linalg.yield %c : f32"
    body = (
        f"%x = input 0 !8x16xf32\n%zero = arith.constant 0.0 : f32\n{first}\n{second}"
        + filled("!8xf32")
        + generic(
            "%sum",
            "[[m, n -> m, n]], [[m, n -> m]]",
            "pr",
            "%x",
            "!8x16xf32",
            "%init",
            "!8xf32",
            inside,
            "%a: f32, %o: f32",
        )
        + "\n%e = tensor.empty() : !8x16xf32"
        + generic(
            "%r",
            "[[m, n -> m, n]], [[m, n -> m]], [[m, n -> m, n]]",
            "pp",
            "%x, %sum",
            "!8x16xf32, !8xf32",
            "%e",
            "!8x16xf32",
            f"\n    %t = arith.addf %s, {two} : f32\n    %q = arith.divf %a, %t : f32\n    linalg.yield %q : f32",
            "%a: f32, %s: f32, %o: f32",
        )
        + "\noutput 1 %r !8x16xf32"
    )
    return dispatch_of(body, bindings=3, result=1, **options)  # type: ignore[arg-type]


def value_of(made: Kernel, found: Dispatch) -> ParameterValue:
    return accepted(made, found).parameter("eps").value


def test_a_constant_is_a_number() -> None:
    assert value_of(norm(), dispatch()).constant == 0.5


def test_reports_name_the_value() -> None:
    match = accepted(norm(), dispatch())
    assert format_axes(match) == "M = 8, N = 16, eps = 0.5"
    launched = accepted(norm(), dispatch("%p = push 1\n%e1 = arith.bitcast %p : i32 to f32", constants=3))
    assert format_axes(launched).endswith("eps = push(1) at launch")


def test_one_constant_may_be_spelled_twice() -> None:
    found = dispatch("%e1 = arith.constant 0.5 : f32", "%e2 = arith.constant 5.0e-01 : f32")
    assert value_of(norm(), found).constant == 0.5


def test_two_constants_are_refused() -> None:
    rule = refused(norm(), dispatch("%e1 = arith.constant 0.5 : f32", "%e2 = arith.constant 0.25 : f32"))
    assert (rule.name, rule.expected, rule.found) == ("structure.parameters", "eps = 0.5 everywhere", "0.25")


def test_a_push_constant() -> None:
    first = "%p = push 1\n%e1 = arith.bitcast %p : i32 to f32"
    found = value_of(norm(), dispatch(first, constants=3))
    assert (found.bits, found.constant, found.view) == (push(1), None, None)
    # twins: another push constant elsewhere, and a number elsewhere
    for second in ("%p2 = push 2\n%e2 = arith.bitcast %p2 : i32 to f32", "%e2 = arith.constant 0.5 : f32"):
        assert refused(norm(), dispatch(first, second, constants=3)).name == "structure.parameters"


@pytest.mark.parametrize(("type_", "place"), [("!f32", "[]"), ("!4xf32", "[%c2]")])
def test_an_element_of_an_operand(type_: str, place: str) -> None:
    head = f"%c2 = arith.constant 2 : index\n%u = input 2 {type_}\n"
    extract = f"%e1 = tensor.extract %u{place} : {type_}"
    found = value_of(norm(), dispatch(head + extract))
    assert found.view is not None and found.element == (0 if place == "[]" else 2)
    if place != "[]":  # twin: another element elsewhere
        second = "%c3 = arith.constant 3 : index\n%e2 = tensor.extract %u[%c3] : !4xf32"
        assert refused(norm(), dispatch(head + extract, second)).name == "structure.parameters"


def test_what_is_computed_is_refused() -> None:
    first = "%p = push 1\n%e0 = arith.bitcast %p : i32 to f32\n%e1 = arith.addf %e0, %e0 : f32"
    assert refused(norm(), dispatch(first, constants=3)).name.startswith("structure")


def test_a_kind_that_takes_constants_alone() -> None:
    made = norm(kind="spirv", targets=())
    rule = decision(made, dispatch()).rules[-1]
    assert rule.name == "target"  # (a target of its own would be needed)
    from substitute.match.structure import match_form
    from substitute.model.plan import Rule

    launched = dispatch("%p = push 1\n%e1 = arith.bitcast %p : i32 to f32", constants=3).program
    known = dispatch().program
    assert launched is not None and known is not None
    result = match_form(made, made.forms[0], launched)
    assert isinstance(result, Rule) and "takes constants alone" in result.found
    assert not isinstance(match_form(made, made.forms[0], known), Rule)  # twin


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("eps > 0", True),
        ("eps > 0.5", False),
        ("eps >= 0.5", True),
        ("0 < eps < 1", True),
        ("eps == 2 / sqrt(N)", True),
        ("eps == 1 / sqrt(N)", False),
        ("eps * M == 4", True),
        ("N % 16 == 0", True),
        ("eps == 1 or not M > 8", True),
        ("1 / (N - 16) > 0", False),
        ("eps == 0.50000003", True),
        ("eps == 0.5000002", False),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    if holds:
        accepted(norm(condition), dispatch())
    else:
        rule = refused(norm(condition), dispatch())
        assert (rule.name, rule.expected) == ("parameter", condition)


def test_a_condition_on_what_a_launch_says_is_refused() -> None:
    first = "%p = push 1\n%e1 = arith.bitcast %p : i32 to f32"
    rule = refused(norm("eps > 0"), dispatch(first, constants=3))
    assert (rule.name, rule.found) == ("parameter", "eps is push(1) at launch")
    accepted(norm("N > 0"), dispatch(first, constants=3))  # twin: sizes alone


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("eps", "no condition"),
        ("eps > rho", "unknown name `rho`"),
        ("eps > 1 >", "cannot be parsed"),
        ("eps.real > 0", "not allowed"),
        ("sqrt(eps, 1) > 0", "2 arguments"),
        ("eps is 1", "no condition"),
        ("eps > 'a'", "not allowed"),
        ("eps > 0" + " + 0" * 200, "too long"),
    ],
)
def test_conditions_that_are_none(text: str, what: str) -> None:
    with pytest.raises(ManifestError, match="expected") as failure:
        parse_condition(text, ("eps", "N"))
    assert what in failure.value.what


def test_a_condition_that_cannot_be_computed_does_not_hold() -> None:
    for text in ("1 / eps > 0", "not 1 / eps > 0", "log(eps) < 0", "eps ** 0.5 > -1", "exp(1 / eps) > 0"):
        condition = parse_condition(text, ("eps",))
        assert not evaluate_condition(condition, {"eps": -0.0 if "**" not in text else -1.0}, {"eps": "f32"})
    assert list_bounds(parse_condition("0 < eps <= 1 / N and eps != 2", ("eps", "N")), "eps") == ["0", "1 / N", "2"]


def test_numbers_in_a_definition_come_before_parameters() -> None:
    fixed = NORM.replace(", %eps: f32", "").replace("%c0 =", "%eps = arith.constant 0.5 : f32\n  %c0 =")
    exact, general = kernel(fixed, OPERANDS, name="exact"), norm(name="general")
    found = dispatch()
    chosen = choose([decision(general, found), decision(exact, found)])
    assert chosen is not None and chosen.kernel.name == "exact"
    # twin: another number
    other = dispatch("%e1 = arith.constant 0.25 : f32")
    chosen = choose([decision(general, other), decision(exact, other)])
    assert chosen is not None and chosen.kernel.name == "general"


@pytest.mark.parametrize("type_", ["f16", "bf16", "f32", "f64", "i1", "i8", "i16", "i32", "i64"])
def test_bits_of_numbers(type_: str) -> None:
    for value in (0, 1, -1, 3, -100, 0.5, -1.5, 1e-5, 65504.0, math.inf):
        if type_[0] == "i" and not float(value).is_integer():
            continue
        bits = encode(value, type_)
        assert encode(decode(bits, type_), type_) == bits
    assert decode(encode(1, type_), type_) == 1
    assert is_exact(1, type_) and not is_exact(2**70 + 1, type_)


def test_bfloats_round_to_nearest_even() -> None:
    import ml_dtypes
    import numpy as np

    values = np.random.default_rng(0).normal(size=200)
    ties = np.float64([1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, 1e-40])
    for value in (*values, *ties):
        wanted = int(np.array(value, np.float64).astype(ml_dtypes.bfloat16).view(np.uint16))
        assert encode(float(value), "bf16") == wanted, value
    # (ml_dtypes rounds to f32 first)
    assert encode(1 + 2**-8 + 2**-40, "bf16") == 0x3F81 and encode(-1 - 2**-8 - 2**-40, "bf16") == 0xBF81
    assert format_value(decode(encode(1e-5, "f32"), "f32"), "f32") == "1e-05"
    assert format_value(2.0, "f32") == "2.0"


CHANGED = """
func.func @changed(%x: !?xf32, %h: f16) -> !?xf32 {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !?xf32
  %e = tensor.empty(%n) : !?xf32
  %r = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>],
      iterator_types = ["parallel"]} ins(%x : !?xf32) outs(%e : !?xf32) {
  ^bb0(%a: f32, %o: f32):
    %w = arith.extf %h : f16 to f32
    %q = arith.mulf %a, %w : f32
    linalg.yield %q : f32
  } -> !?xf32
  return %r : !?xf32
}
"""


@pytest.mark.parametrize(("number", "fits"), [("1.5", True), ("0.1", False), ("1.0e9", False)])
def test_a_folded_conversion(number: str, fits: bool) -> None:
    """IREE writes the converted constant; it must be a number of the parameter's own type."""
    made = kernel(CHANGED, {"x": "N", "y": "N"})
    text = f"%a = input 0 !8xf32\n%s = arith.constant {number} : f32\n%e = tensor.empty() : !8xf32"
    inside = "\n    %y = arith.mulf %x, %s : f32\n    linalg.yield %y : f32"
    body = generic("%r", "[[i -> i]], [[i -> i]]", "p", "%a", "!8xf32", "%e", "!8xf32", inside, "%x: f32, %o: f32")
    found = dispatch_of(f"{text}{body}\noutput 1 %r !8xf32", bindings=2)
    if fits:
        assert accepted(made, found).parameter("h").value == ParameterValue(type="f16", bits=encode(1.5, "f16"))
    else:
        assert refused(made, found).name == "structure.parameters"


ATTENTION = """
func.func @attention(%a: !?x?x8xf32, %b: !?x?x8xf32, %c: !?x?x3xf32, %scale: f32) -> !?x?x3xf32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %h = tensor.dim %a, %c0 : !?x?x8xf32
  %m = tensor.dim %a, %c1 : !?x?x8xf32
  %e = tensor.empty(%h, %m) : !?x?x3xf32
  %r = "iree_linalg_ext.attention"(%a, %b, %c, %scale, %e) <{indexing_maps = [MAPS]}> ({
  ^bb0(%s: f32):
    "iree_linalg_ext.yield"(%s) : (f32) -> ()
  }) : (!?x?x8xf32, !?x?x8xf32, !?x?x3xf32, f32, !?x?x3xf32) -> !?x?x3xf32
  return %r : !?x?x3xf32
}
"""
MAPS = ", ".join(f"affine_map<(b, m, n, k, l) -> ({m})>" for m in ("b, m, k", "b, l, k", "b, l, n", "", "b, m, n"))
ATTENTION_OPERANDS = {"a": "BMK", "b": "BLK", "c": "BLN", "r": "BMN"}


def test_a_scalar_operand_of_a_named_operation() -> None:
    """The scale of attention, which a condition may tie to a size."""
    text = ATTENTION.replace("MAPS", MAPS)
    conditions = (parse_condition("scale == 1 / sqrt(K)", ("scale", "K")),)
    made = kernel(text, ATTENTION_OPERANDS, conditions=conditions)
    rooted = dispatch_of(attention("0.35355338"), bindings=4)
    assert format_value(value_of_scale(made, rooted).constant, "f32") == "0.35355338"
    assert refused(made, dispatch_of(attention("0.125"), bindings=4)).name == "parameter"
    fixed = text.replace(", %scale: f32", "").replace("%c0 =", "%scale = arith.constant 0.125 : f32\n  %c0 =", 1)
    number = kernel(fixed, ATTENTION_OPERANDS)
    accepted(number, dispatch_of(attention("0.125"), bindings=4))
    rule = refused(number, dispatch_of(attention("0.25"), bindings=4))
    assert (rule.name, rule.expected, rule.found) == ("structure.scalars", "0.125", "0.25")


def value_of_scale(made: Kernel, found: Dispatch) -> ParameterValue:
    return accepted(made, found).parameter("scale").value


LAWS = """
func.func @scaled(%x: !?xf32, %eps: f32, %scale: f32) -> !?xf32 {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !?xf32
  %i = arith.index_cast %n : index to i64
  %e = tensor.empty(%n) : !?xf32
  %r = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>],
      iterator_types = ["parallel"]} ins(%x : !?xf32) outs(%e : !?xf32) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.sitofp %i : i64 to f32
    %m = arith.divf %a, %s : f32
    %t = arith.addf %m, %eps : f32
    %q = arith.divf %t, %scale : f32
    linalg.yield %q : f32
  } -> !?xf32
  return %r : !?xf32
}
"""


@pytest.mark.parametrize(
    ("width", "body", "fits"),
    [
        # x / 8 as a product, the sum in the other order
        ("0.125", "%m = arith.mulf %k, %x : f32\n%t = arith.addf %p, %m : f32\n%y = arith.divf %t, %q : f32", True),
        ("0.25", "%m = arith.mulf %k, %x : f32\n%t = arith.addf %p, %m : f32\n%y = arith.divf %t, %q : f32", False),
        ("0.125", "%m = arith.mulf %k, %x : f32\n%t = arith.subf %p, %m : f32\n%y = arith.divf %t, %q : f32", False),
        ("0.125", "%m = arith.mulf %k, %x : f32\n%t = arith.addf %p, %m : f32\n%y = arith.divf %q, %t : f32", False),
    ],
)
@pytest.mark.parametrize(
    "eps",
    ["%p = arith.constant 0.3 : f32", "%w = push 1\n%p = arith.bitcast %w : i32 to f32", "%l = input 1 !f32"],
    ids=["constant", "pushed", "loaded"],
)
def test_laws_with_parameters(width: str, body: str, fits: bool, eps: str) -> None:
    made = kernel(LAWS, {"x": "N", "y": "N"})
    text = f"%a = input 0 !8xf32\n%k = arith.constant {width} : f32\n{eps}\n%q = arith.constant 7.0 : f32\n"
    inside = f"\n{body}\n    linalg.yield %y : f32"
    text += "%e = tensor.empty() : !8xf32"
    loaded = "%l" in eps
    maps, ins, types, names = "[[i -> i]], [[i -> i]]", "%a", "!8xf32", "%x: f32, %o: f32"
    if loaded:
        maps, ins, types, names = (
            f"[[i -> i]], [[i -> ]], {maps[:10]}",
            "%a, %l",
            "!8xf32, !f32",
            "%x: f32, %p: f32, %o: f32",
        )
    nest = generic("%r", maps, "p", ins, types, "%e", "!8xf32", inside, names)
    last = 1 + loaded
    found = dispatch_of(f"{text}{nest}\noutput {last} %r !8xf32", bindings=last + 1, constants=2)
    if not fits:
        assert refused(made, found).name.startswith("structure")
        return
    match = accepted(made, found)
    assert match.parameter("scale").value.constant == 7.0
    assert (match.parameter("eps").value.constant is None) == ("constant" not in eps)
    assert (match.parameter("eps").value.view is not None) == loaded
