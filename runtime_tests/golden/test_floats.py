"""Float operations: their values in float64, and bounds that hold for single precision and not for half."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtime_tests.golden.functions import Array, elementwise, evaluate, value
from substitute.golden import floats, rules
from substitute.golden.numbers import Arithmetic, Num, element_of

F32 = element_of("f32")
HOW = Arithmetic()
pytestmark = [pytest.mark.unit, pytest.mark.filterwarnings("ignore::RuntimeWarning")]


def apply(name: str, *operands: Num, how: Arithmetic = HOW, element: str = "f32") -> Num:
    kind = element_of(element)
    with np.errstate(all="ignore"):
        return rules.RULES[name](how, rules.Scalar(operands=(kind,) * len(operands), result=kind), list(operands))


def each(function: Callable[..., float]) -> Callable[..., Array]:
    return np.vectorize(function, otypes=[np.float64])


EXPECTED: dict[str, Callable[..., Any]] = {
    "arith.addf": lambda a, b: a + b,
    "arith.subf": lambda a, b: a - b,
    "arith.mulf": lambda a, b: a * b,
    "arith.divf": lambda a, b: a / b,
    "arith.remf": each(math.fmod),
    "arith.negf": lambda a: -a,
    "arith.maximumf": each(max),
    "arith.minimumf": each(min),
    "arith.maxnumf": each(max),
    "arith.minnumf": each(min),
    "math.absf": each(abs),
    "math.exp": each(math.exp),
    "math.exp2": each(lambda x: 2.0**x),
    "math.expm1": each(math.expm1),
    "math.tanh": each(math.tanh),
    "math.erf": each(math.erf),
    "math.erfc": each(math.erfc),
    "math.sin": each(math.sin),
    "math.cos": each(math.cos),
    "math.tan": each(math.tan),
    "math.atan": each(math.atan),
    "math.atan2": each(math.atan2),
    "math.sinh": each(math.sinh),
    "math.cosh": each(math.cosh),
    "math.asinh": each(math.asinh),
    "math.cbrt": each(lambda x: math.copysign(abs(x) ** (1 / 3), x)),
    "math.floor": each(math.floor),
    "math.ceil": each(math.ceil),
    "math.trunc": each(math.trunc),
    "math.roundeven": each(round),
    "math.round": each(lambda x: math.copysign(math.floor(abs(x) + 0.5), x)),
    "math.copysign": each(math.copysign),
    "math.fma": lambda a, b, c: a * b + c,
    "math.clampf": each(lambda x, low, high: min(max(x, low), high)),
    # of positive numbers
    "math.log": each(math.log),
    "math.log2": each(math.log2),
    "math.log10": each(math.log10),
    "math.log1p": each(math.log1p),
    "math.sqrt": each(math.sqrt),
    "math.rsqrt": each(lambda x: 1 / math.sqrt(x)),
    "math.powf": each(lambda a, b: a**b),
    # of numbers between −1 and 1, and above 1
    "math.asin": each(math.asin),
    "math.acos": each(math.acos),
    "math.atanh": each(math.atanh),
    "math.acosh": each(math.acosh),
}
POSITIVE = ("math.log", "math.log2", "math.log10", "math.log1p", "math.sqrt", "math.rsqrt", "math.powf")
SMALL = ("math.asin", "math.acos", "math.atanh")
OPERANDS = {"math.fma": 3, "math.clampf": 3, "math.powf": 2, "math.atan2": 2, "math.copysign": 2}


def operands_of(name: str, count: int = 400) -> list[Array]:
    random = np.random.default_rng(len(name))
    number = OPERANDS.get(name, 2 if name.startswith("arith.") and name != "arith.negf" else 1)
    drawn = [random.standard_normal(count).astype(np.float32).astype(np.float64) * 3 for _ in range(number)]
    if name in POSITIVE:
        drawn = [np.abs(x) + 0.01 for x in drawn]
    if name in SMALL:
        drawn = [np.tanh(x) * 0.99 for x in drawn]
    if name == "math.acosh":
        drawn = [np.abs(x) + 1.01 for x in drawn]
    if name == "math.clampf":
        drawn = [drawn[0], np.minimum(drawn[1], drawn[2]), np.maximum(drawn[1], drawn[2])]
    return [x.astype(np.float32).astype(np.float64) for x in drawn]


def test_all_operations_are_tested() -> None:
    assert {name for name, _ in floats.FLOATS} == {*EXPECTED, "math.fpowi"}


@pytest.mark.parametrize("name", EXPECTED)
def test_value(name: str) -> None:
    operands = operands_of(name)
    found = apply(name, *[Num(x) for x in operands])
    np.testing.assert_allclose(found.value, EXPECTED[name](*operands), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("name", EXPECTED)
def test_single_precision_is_within_the_bound_and_a_byte_less_is_not(name: str) -> None:
    """Operands off by a rounding and an operation in single precision: always within; in bfloat16: not always."""
    import ml_dtypes

    operands = operands_of(name)
    found = apply(name, *[Num(x, np.abs(x) * 3 * F32.unit) for x in operands])
    moved = [
        (x * (1 + 2 * F32.unit * s)).astype(np.float32).astype(np.float64)
        for x, s in zip(operands, (1, -1, 1), strict=False)
    ]
    single = EXPECTED[name](*moved).astype(np.float32).astype(np.float64)
    assert found.error is not None
    assert np.all(np.abs(single - found.value) <= found.error)
    short = EXPECTED[name](*[x.astype(ml_dtypes.bfloat16).astype(np.float64) for x in operands])
    off = np.abs(short.astype(ml_dtypes.bfloat16).astype(np.float64) - found.value)
    assert np.any(off > found.error)


def test_integer_powers() -> None:
    text = elementwise("math.fpowi", ("f32", "i32"), "f32", 4, spelled="f32, i32")
    found = value(text, np.array([2, -3, 0.5, 4], np.float32), np.array([10, 3, -2, 0], np.int32))
    assert found.tolist() == [1024.0, -27.0, 4.0, 1.0]


def test_infinity_and_nan_are_certain() -> None:
    special = Num(np.array([np.inf, -np.inf, np.nan, 1.0]))
    found = apply("arith.mulf", special, Num(np.full(4, 2.0)))
    assert np.array_equal(found.value, [np.inf, -np.inf, np.nan, 2.0], equal_nan=True)
    assert found.errors()[:3].tolist() == [0.0, 0.0, 0.0]


def test_infinity_times_a_zero_that_may_be_none_is_uncertain() -> None:
    found = apply("arith.mulf", Num(np.array([np.inf, np.inf])), Num(np.zeros(2), np.array([1e-7, 0.0])))
    assert found.errors().tolist() == [np.inf, 0.0]


def test_nothing_is_known_where_the_type_overflows() -> None:
    found = apply("math.exp", Num(np.array([100.0, 10.0])))
    assert np.isinf(found.errors()[0]) and found.errors()[1] < 1.0
    wide = apply("math.exp", Num(np.array([100.0])), element="f64")
    assert np.isfinite(wide.errors()[0])


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("oeq", [0, 1, 0]),
        ("one", [1, 0, 0]),
        ("olt", [1, 0, 0]),
        ("ole", [1, 1, 0]),
        ("ogt", [0, 0, 0]),
        ("oge", [0, 1, 0]),
        ("ueq", [0, 1, 1]),
        ("une", [1, 0, 1]),
        ("ult", [1, 0, 1]),
        ("ule", [1, 1, 1]),
        ("ugt", [0, 0, 1]),
        ("uge", [0, 1, 1]),
        ("ord", [1, 1, 0]),
        ("uno", [0, 0, 1]),
    ],
)
def test_comparisons(predicate: str, expected: list[int]) -> None:
    text = elementwise("arith.cmpf", ("f32", "f32"), "i1", 3, f"{predicate}, ")
    a, b = np.array([1, 2, np.nan], np.float32), np.array([2, 2, 2], np.float32)
    assert value(text, a, b).astype(int).tolist() == expected


def test_maximum_keeps_nan_and_maxnum_drops_it() -> None:
    a, b = np.array([np.nan, 1], np.float32), np.array([2, np.nan], np.float32)
    assert np.isnan(value(elementwise("arith.maximumf", ("f32", "f32"), "f32", 2), a, b)).all()
    assert value(elementwise("arith.maxnumf", ("f32", "f32"), "f32", 2), a, b).tolist() == [2.0, 1.0]


@pytest.mark.parametrize(("op", "signs"), [("arith.maximumf", [0, 0, 0, 1]), ("arith.minimumf", [0, 1, 1, 1])])
def test_a_negative_zero_is_less_than_zero(op: str, signs: list[int]) -> None:
    a, b = np.array([0.0, 0.0, -0.0, -0.0], np.float32), np.array([0.0, -0.0, 0.0, -0.0], np.float32)
    found = value(elementwise(op, ("f32", "f32"), "f32", 4), a, b)
    assert (found.tolist(), np.signbit(found).astype(int).tolist()) == ([0.0] * 4, signs)


def test_a_comparison_too_close_to_call_makes_the_choice_uncertain() -> None:
    boolean = element_of("i1")
    x = Num(np.array([1.0, 5.0]), np.array([1e-6, 1e-6]))
    scalar = rules.Scalar(operands=(F32, F32), result=boolean, attributes={"predicate": 4})  # olt
    less = rules.RULES["arith.cmpf"](HOW, scalar, [x, Num(np.ones(2))])
    assert less.errors().tolist() == [1.0, 0.0]
    chosen = rules.RULES["arith.select"](
        HOW, rules.Scalar(operands=(boolean, F32, F32), result=F32), [less, Num(np.zeros(2)), Num(np.full(2, 7.0))]
    )
    assert chosen.errors().tolist() == [7.0, 0.0]


def test_a_number_compared_with_itself_is_a_test_for_nan() -> None:
    x = Num(np.array([1.0, np.nan, 5.0]), np.array([1e-6, 0.0, np.inf]))
    scalar = rules.Scalar(operands=(F32, F32), result=element_of("i1"), attributes={"predicate": 13})  # une
    odd = rules.RULES["arith.cmpf"](HOW, scalar, [x, x])
    assert (odd.value.tolist(), odd.errors().tolist()) == ([False, True, False], [0.0, 0.0, 1.0])
    # twin: another one that is as near is not known to be equal
    other = rules.RULES["arith.cmpf"](HOW, scalar, [x, Num(x.value.copy(), x.error)])
    assert other.errors().tolist() == [1.0, 0.0, 1.0]


def test_what_is_surely_cut_off_is_certain() -> None:
    x = Num(np.array([-3.0, -0.5, 2.0, -3.0]), np.array([1.0, 1.0, 1.0, np.inf]))
    for name, sign in (("arith.maximumf", 1.0), ("arith.minnumf", -1.0)):
        cut = apply(name, Num(sign * x.value, x.error), Num(np.zeros(4)))
        assert (sign * cut.value).tolist() == [0.0, 0.0, 2.0, 0.0]
        assert cut.errors().tolist() == [0.0, 0.5, 1.0, np.inf]


def test_ideal_does_not_round_and_as_written_does() -> None:
    text = elementwise("arith.mulf", ("f16", "f16"), "f16", 1)
    a = np.array([1.001], np.float16)
    exact = float(a[0]) ** 2
    assert value(text, a, a)[0] == exact
    assert value(text, a, a, rounding="as written")[0] == float(np.float16(exact)) != exact


def test_the_bound_follows_the_type_or_what_is_given_for_it() -> None:
    text = elementwise("arith.mulf", ("f16", "f16"), "f16", 1)
    a = np.array([1.5 + 2.0**-10], np.float16)
    (plain,), (finer,) = evaluate(text, a, a), evaluate(text, a, a, units={"f16": 2.0**-24})
    assert plain.error[0] == pytest.approx(2.25 * 2.0**-11, rel=0.05)
    assert finer.error[0] < plain.error[0] / 20


def test_quotients_that_vulkan_promises_nothing_of_are_unknown() -> None:
    dividend, divisor = Num(np.full(5, 3.0)), Num(np.array([0.0, 1e-40, 2.0**127, 2.0**126, -7.0]))
    found = apply("arith.divf", dividend, divisor, how=Arithmetic(certain_zeros=False))
    assert np.isinf(found.errors()).tolist() == [True, True, True, False, False]
    assert not np.isinf(apply("arith.divf", dividend, divisor).errors()[[0, 2, 3, 4]]).any()


def test_zero_times_no_finite_number_is_unknown_where_vulkan_promises_nothing() -> None:
    a, b = Num(np.array([0.0, np.inf, -0.0, 1.0, np.nan])), Num(np.array([np.inf, 0.0, np.nan, np.inf, 2.0]))
    found = apply("arith.mulf", a, b, how=Arithmetic(certain_zeros=False))
    assert np.isinf(found.errors()).tolist() == [True, True, True, False, False]
    assert not np.isinf(apply("arith.mulf", a, b).errors()).any()


def test_numbers_that_fast_math_excludes_are_unknown() -> None:
    a = np.array([1.0, np.nan, np.inf, -1.0], np.float32)
    (plain,) = evaluate(elementwise("arith.addf", ("f32", "f32"), "f32", 4), a, a)
    assert np.isfinite(plain.error).all()
    for flags, lost in {"nnan": [1], "ninf": [2], "fast": [1, 2], "contract": []}.items():
        text = elementwise("arith.addf", ("f32", "f32"), "f32", 4).replace(
            "%x0, %x1 : f32", f"%x0, %x1 fastmath<{flags}> : f32"
        )
        (found,) = evaluate(text, a, a)
        assert np.flatnonzero(np.isinf(found.error)).tolist() == lost, flags


IREES = Arithmetic(composed=True)


def test_what_a_composed_formula_loses_is_allowed_to_it_alone() -> None:
    small = Num(np.array([0.0032698333]))
    for op, formula in {
        "math.sinh": lambda x: (np.exp(x) - np.exp(-x)) / np.float32(2),
        "math.asinh": lambda x: np.log(x + np.sqrt(x * x + np.float32(1))),
        "math.atanh": lambda x: np.float32(0.5) * np.log((1 + x) / (1 - x)),
    }.items():
        found, tight = apply(op, small, how=IREES), apply(op, small)
        off = abs(float(formula(np.float32(0.0032698333))) - found.value[0])
        assert tight.errors()[0] < off <= found.errors()[0] < 1e-6
    of_root = np.float32(np.exp(np.log(np.float32(0.0021714324)) / np.float32(3)) * (1 + 20 * F32.unit))
    root = Num(np.array([np.float64(np.float32(0.0021714324))]))
    off = abs(float(of_root) - apply("math.cbrt", root).value[0])
    assert apply("math.cbrt", root).errors()[0] < off <= apply("math.cbrt", root, how=IREES).errors()[0] < 1e-6
    found = apply("math.tan", Num(np.array([300.0])), how=IREES)
    assert 0.01 < found.errors()[0] < 1.0 and apply("math.tan", Num(np.array([300.0]))).errors()[0] < 1e-3


def test_outside_of_their_domain_composed_functions_are_unknown() -> None:
    for op in ("math.acosh", "math.asin", "math.acos", "math.atanh"):
        x = Num(np.array([-1e30, 1.5] if op == "math.acosh" else [1.5, 0.5]))
        assert np.isinf(apply(op, x, how=IREES).errors()).tolist() == [True, False], op
        kernel = apply(op, x)
        assert np.isnan(kernel.value[0]) and np.isfinite(kernel.errors()).all(), op
    for op, operands in {
        "math.powf": ([-2.0, 0.0, np.inf, 2.0], [np.inf, 0.0, 0.0, np.inf]),
        "math.atan2": ([-0.0, 1.0], [-4.0, -4.0]),
        "math.asinh": ([1e30, 1e15],),
    }.items():
        numbers = [Num(np.array(x)) for x in operands]
        *undefined, defined = np.isinf(apply(op, *numbers, how=IREES).errors()).tolist()
        assert all(undefined) and not defined, op
        assert np.isfinite(apply(op, *numbers).errors()).all(), op


def test_subnormal_operands_may_be_taken_for_zero_by_what_computes() -> None:
    tiny, huge = Num(np.array([8.8e-39, 1.0])), Num(np.array([1e30, 1.0]))
    flushing = Arithmetic(flushes=True)
    product = apply("arith.mulf", tiny, huge, how=flushing)
    assert (product.errors() >= np.array([8.8e-9, 0.0])).all() and product.errors()[1] < 1e-6
    assert apply("arith.mulf", tiny, huge).errors()[0] < 1e-14
    assert apply("arith.negf", tiny, how=flushing).error is None
    larger = rules.Scalar(operands=(F32, F32), result=element_of("i1"), attributes={"predicate": 2})
    found = rules.RULES["arith.cmpf"](flushing, larger, [tiny, Num(np.zeros(2))])
    assert found.value.tolist() == [True, True] and found.errors().tolist() == [1.0, 0.0]


def test_the_cosine_of_what_may_be_infinite_may_be_nan() -> None:
    near, far = apply("math.cos", Num(np.ones(2), np.array([0.5, np.inf]))).errors()
    assert near < 1 and far == np.inf


@pytest.mark.parametrize(
    ("name", "values", "error", "unknown"),
    [
        ("math.atanh", [-1.00001, -1.0, -0.9999, -1.01, 1.00001, 0.5], 2.4e-4, [True, True, True, False, True, False]),
        ("math.sqrt", [-1e-5, 1e-5, -1.0], 2e-5, [True, True, False]),
        ("math.log", [-1e-5, 0.0, -1.0], 2e-5, [True, True, False]),
    ],
)
def test_an_uncertain_operand_at_the_edge_of_a_domain_says_nothing(
    name: str, values: list[float], error: float, unknown: list[bool]
) -> None:
    x = Num(np.array(values), np.full(len(values), error))
    assert np.isinf(apply(name, x).errors()).tolist() == unknown
    assert not np.isinf(apply(name, Num(x.value)).errors()).any()


def test_the_sign_of_zero_is_open_for_maxnum_and_not_for_maximum() -> None:
    a, b = Num(np.array([0.0, -0.0, 0.0, 1.0])), Num(np.array([-0.0, 0.0, 0.0, 0.0]))
    for name, unknown in (("arith.maxnumf", [True, True, False, False]), ("arith.maximumf", [False] * 4)):
        divisor = apply(name, a, b)
        quotient = apply("arith.divf", Num(np.full(4, 3.0)), divisor)
        assert np.broadcast_to(np.isinf(quotient.errors()), 4).tolist() == unknown, name
