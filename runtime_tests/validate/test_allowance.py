"""Allowed errors of results: no slack where every operation is rounded correctly, and once."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from substitute.golden import Store
from substitute.golden.memory import Golden, Subspan
from substitute.golden.numbers import Arithmetic, Num, element_of
from substitute.golden.rules import RULES, Scalar
from substitute.model.accuracy import Accuracy, find_loosest
from substitute.model.dispatch import Nest, Program
from substitute.model.laws import LAWS
from substitute.model.scalar import Scalar as Node
from substitute.model.scalar import ScalarGraph
from substitute.validate.allowance import SLACK, Allowance, allowance, is_exact, keeps_bits, roundings
from substitute.validate.criteria import check_values
from substitute.validate.elements import SIGNIFICANT_BITS, smallest_normal

pytestmark = pytest.mark.unit

ONCE = Arithmetic(once=True)


def program(*nodes: Node, combiner: str = "") -> Program:
    nest = Nest(sizes=(8,), kinds=("parallel",), reads=(), expr=ScalarGraph(nodes, (len(nodes) - 1,)))
    core = Nest(sizes=(8,), kinds=("reduction",), reads=(), expr=nest.expr, combiner=combiner)
    return Program(operands=(), cores=(core,) if combiner else (), stores=(nest,))


def operation(name: str, *values: Any, sources: tuple[str, ...], result: str, how: Arithmetic = ONCE) -> Num:
    """An operation on exact numbers of some types."""
    scalar = Scalar(operands=tuple(element_of(s) for s in sources), result=element_of(result))
    with np.errstate(all="ignore"):
        return RULES[name](how, scalar, [v if isinstance(v, Num) else Num(np.asarray(v, np.float64)) for v in values])


def held(num: Num, element: str, **fields: Any) -> tuple[Any, Any]:
    span = Subspan(binding=0, byte_offset=0, element=element, shape=num.value.shape, access="writeonly")
    golden = Golden(value=num.value, error=np.broadcast_to(num.errors(), num.value.shape), depth=1, element=element)
    store = Store(subspan=span, offsets=(0,), sizes=span.shape, strides=(1,), coordinates=None, golden=golden)
    return Allowance(**fields).of_store(store)


def cast_to_half(values: Any, **fields: Any) -> tuple[Any, Any]:
    num = operation("arith.truncf", np.float32(values), sources=("f32",), result="f16")
    return held(num, "f16", roundings=("f16",), subnormal=False, **fields)


READ, HALF = Node("read", "f32", (), 0), Node("arith.truncf", "f16", (0,))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (program(READ, HALF), ("f16",)),
        (program(READ, Node("arith.negf", "f32", (0,))), ()),
        (program(READ, Node("arith.addf", "f32", (0, 0)), Node("arith.truncf", "bf16", (1,))), ("f32", "bf16")),
        (program(READ, Node("math.exp", "f32", (0,))), None),
        (program(READ, Node("arith.divf", "f32", (0, 0))), None),
        (program(READ, HALF, combiner="arith.addf"), None),
    ],
)
def test_what_rounds(made: Program, expected: tuple[str, ...] | None) -> None:
    assert roundings(made) == expected
    found = allowance(made, "normal", flushes=True)
    assert (found.roundings, found.plain, found.largest) == (expected, expected is not None, 0)
    assert allowance(None, "normal", flushes=False) == Allowance(flushes=False)


def test_only_moves_keep_the_bits_of_subnormal_numbers() -> None:
    zero, positive = Node("constant", "f32", (), 0.0), Node("arith.cmpf", "i1", (0, 1), "ogt")
    assert keeps_bits(program(READ))
    assert keeps_bits(program(READ, Node("arith.negf", "f32", (0,))))
    assert not keeps_bits(program(READ, zero, positive, Node("arith.select", "f32", (2, 0, 1))))
    assert not keeps_bits(program(READ, zero, Node("arith.maximumf", "f32", (0, 1))))
    assert not keeps_bits(program(READ, combiner="arith.maximumf"))


def test_small_integers_stay_integers() -> None:
    whole = program(READ, Node("constant", "f32", (), 2.0), Node("arith.mulf", "f32", (0, 1)), combiner="arith.addf")
    broken = program(READ, Node("constant", "f32", (), 2.5), Node("arith.mulf", "f32", (0, 1)), combiner="arith.addf")
    assert is_exact(whole) and not is_exact(broken)
    assert allowance(whole, "exact", flushes=True).largest == 3
    assert allowance(whole, "normal", flushes=True).largest == allowance(broken, "exact", flushes=True).largest == 0


def test_one_cast_can_be_one_number_only() -> None:
    values = [1 + 2.0**-11, 1 + 3 * 2.0**-11, 0.1, 2049.5, 65504.0, 65519.0, 65520.0, 1e5, np.inf]
    golden, allowed = cast_to_half(values)
    with np.errstate(over="ignore"):
        right = np.float32(values).astype(np.float16)
    assert np.array_equal(golden, right.astype(np.float64)) and not allowed.any()
    assert check_values(right, golden, allowed, "f16") is None
    towards_zero = np.where(np.abs(right.astype(np.float64)) > np.float64(values), np.nextafter(right, 0), right)
    for wrong in (towards_zero, np.minimum(right, np.float16(65504)), np.nextafter(right, np.float16(2e4))):
        assert check_values(wrong.astype(np.float16), golden, allowed, "f16") is not None


def test_subnormal_results_may_be_zero() -> None:
    values = np.float32([2.0**-16, 3 * 2.0**-24, -(2.0**-20)])
    golden, allowed = cast_to_half(values)
    for fine in (values.astype(np.float16), np.zeros(3, np.float16)):
        assert check_values(fine, golden, allowed, "f16") is None
    assert check_values(np.float16([2.0**-13, 0, 0]), golden, allowed, "f16") is not None
    golden, allowed = cast_to_half(values, flushes=False)
    assert check_values(values.astype(np.float16), golden, allowed, "f16") is None


def test_a_sum_that_was_rounded_before_is_held_to_both_roundings() -> None:
    exact, inexact = (1.0, 2.0**-8), (1.0 + 2.0**-7, 2.0**-30)
    sums = operation("arith.addf", *zip(exact, inexact, strict=True), sources=("f32", "f32"), result="f32")
    assert sums.errors().tolist() == [0.0, 2.0**-24]
    num = operation("arith.truncf", sums, sources=("f32",), result="bf16")
    golden, allowed = held(num, "bf16", roundings=("f32", "bf16"), subnormal=False)
    assert golden.tolist() == [1.0, 1.0 + 2.0**-7 + 2.0**-30]
    assert allowed.tolist() == [0.0, 2.0**-8 + 2.0**-24]
    away = np.array([1.0 + 2.0**-7, 1.0 + 2.0**-7]).astype(ml_dtypes.bfloat16)  # the first half away from even
    assert check_values(away[:1], golden[:1], allowed[:1], "bf16") is not None
    assert check_values(away[1:], golden[1:], allowed[1:], "bf16") is None


@pytest.mark.parametrize("element", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("name", ["arith.addf", "arith.subf", "arith.mulf"])
def test_one_operation_gives_the_nearest(name: str, element: str) -> None:
    random = np.random.default_rng(3)
    kind = element_of(element).storage
    a, b = (random.standard_normal(2000).astype(kind) for _ in range(2))
    num = operation(name, a, b, sources=(element, element), result=element)
    golden, allowed = held(num, element, roundings=(element,), subnormal=False)
    function = {"arith.addf": np.add, "arith.subf": np.subtract, "arith.mulf": np.multiply}[name]
    right = function(a, b)
    normal = np.abs(golden) >= smallest_normal(element)
    assert not allowed[normal].any()
    assert check_values(right, golden, allowed, element) is None
    other = (right.astype(np.float64) * (1 + 2.0 ** (1 - SIGNIFICANT_BITS[element]))).astype(kind)
    assert check_values(other, golden, allowed, element) is not None


def test_slack_is_for_what_is_not_plain() -> None:
    num = Num(np.array([4.0, 1.0]), np.array([1e-3, 0.0]))
    _, allowed = held(num, "f32", flushes=False)
    assert allowed.tolist() == [SLACK * 1e-3, 0.0]
    _, allowed = held(num, "f32", flushes=False, roundings=("f32", "f32"))
    assert allowed.tolist() == [1e-3, 0.0]
    _, allowed = held(num, "f32", flushes=True, roundings=("f32", "f32"))  # with subnormal operands
    assert allowed.tolist() == [1e-3 + 4 * smallest_normal("f32"), 4 * smallest_normal("f32")]
    golden, allowed = held(Num(np.array([3.0, 9.0]), np.array([0.0, np.inf])), "f32", largest=3)
    assert (golden.tolist(), allowed.tolist()) == ([3.0, 9.0], [0.0, np.inf])


def test_a_law_that_changes_bits_widens_the_bound_by_what_it_changes() -> None:
    made = program(READ, Node("arith.addf", "f32", (0, 0)))
    exact = allowance(made, "normal", flushes=True, laws=("commute", "negate-twice"))
    assert exact == allowance(made, "normal", flushes=True)
    widened = allowance(made, "normal", flushes=True, laws=("commute", "common-factor"))
    assert (widened.plain, widened.ulps) == (False, LAWS["common-factor"].ulps)
    num = Num(np.array([1.0]), np.array([2.0**-24]))
    _, narrow = held(num, "f32", flushes=False)
    _, wide = held(num, "f32", flushes=False, ulps=3.0)
    assert wide - narrow == 3 * 2.0**-23


def test_a_declared_accuracy_replaces_the_bound() -> None:
    own = Accuracy(factor=4.0, axis="K", relative_to="element", reason="an algorithm")
    made = program(READ, combiner="arith.addf")
    found = allowance(made, "exact", flushes=False, declared=own)
    assert (found.plain, found.largest) == (False, 0)  # small integers need not be exact
    num = Num(np.array([4.0, 1.0]), np.array([1e-3, 0.0]))
    _, allowed = held(num, "f32", flushes=False, declared=own)
    assert allowed.tolist() == [4 * SLACK * 1e-3, 0.0]


def test_the_loosest_accuracy_of_several_kernels() -> None:
    own = Accuracy(factor=4.0, axis="K", relative_to="element", reason="an algorithm")
    other = Accuracy(factor=2.0, relative_to="operands", reason="another")
    assert find_loosest([None, None]) is None
    found = find_loosest([other, None, own])
    assert found is not None
    assert (found.factor, found.relative_to) == (4.0, "operands")
    assert str(found) == "errors up to 4·γ_K of the operands' largest elements are allowed: an algorithm"
