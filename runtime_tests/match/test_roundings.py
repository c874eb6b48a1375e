"""A definition in f32 takes a dispatch that rounds more often, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime_tests.match.normal_forms import unified
from runtime_tests.match.scalar_graphs import NAMES, evaluate, evaluate_with_bound, graph
from substitute.match.normal.roundings import rounds_results_alone
from substitute.model.laws import LAWS
from substitute.validate.allowance import SLACK

pytestmark = pytest.mark.unit

# fmt: off
SAME = (
    ("wide(a * b + c)", "a * b + c"),
    ("wide((a + b) / (1.0 + exp(-(a + b))))", "(a + b) / (1.0 + exp(-(a + b)))"),
    ("wide(a / (1.0 + exp(-a)))", "a * wide(1.0 / (1.0 + exp(-a)))"),
    ("wide(maximumf(a + b, 0.0))", "maximumf(a + b, 0.0)"),
    ("wide(0.5 * a * (1.0 + tanh(0.7978845608 * (a + 0.044715 * a * a * a))))",
     "0.5 * a * (tanh(0.7978845608 * a + 0.03567740814 * a * a * a) + 1.0)"),
    ("wide(select(gt(a, 20.0), a, log1p(exp(a))))", "select(gt(a, 20.0), a, log1p(exp(a)))"),
    ("wide(select(gt(a + b, 0.0), a + b, 0.01 * (a + b)))", "select(gt(a + b, 0.0), a + b, 0.01 * (a + b))"),
)
# fmt: on
OTHER = (
    ("wide(a * b + c)", "a * b - c"),
    ("wide(a * 0.1)", "a * 0.101"),
    ("wide(a * 0.5001)", "a * 0.5"),
    ("wide(a * 3.0)", "a * 3.02"),
    # what jumps after a rounding
    ("wide(floor(a + b))", "floor(a + b)"),
    ("wide(select(gt(a + b, 1.0), a, b))", "select(gt(a + b, 1.0), a, b)"),
    ("wide(select(gt(a, 0.1), a, b))", "select(gt(a, 0.1), a, b)"),
)


@pytest.mark.parametrize("element", ["f16", "bf16"])
@pytest.mark.parametrize(("definition", "dispatch"), SAME)
def test_a_dispatch_that_rounds_more_often_is_taken(definition: str, dispatch: str, element: str) -> None:
    assert rounds_results_alone(graph(definition, element))
    assert unified(definition, dispatch, element=element, wide=True)
    assert not unified(definition, dispatch, element=element)


@pytest.mark.parametrize("element", ["f16", "bf16"])
@pytest.mark.parametrize(("definition", "dispatch"), OTHER)
def test_a_dispatch_that_is_another_is_refused(definition: str, dispatch: str, element: str) -> None:
    assert not unified(definition, dispatch, element=element, wide=True)


@pytest.mark.parametrize("dispatch", [dispatch for _, dispatch in SAME])
def test_a_definition_that_rounds_inside_is_not_compared_so(dispatch: str) -> None:
    """A kernel that rounds more often than its dispatch would be further from the golden than its bound."""
    assert not rounds_results_alone(graph(dispatch, "f16"))


@pytest.mark.parametrize(("definition", "dispatch"), SAME)
def test_what_rounds_less_lies_within_the_bound_of_the_dispatch(definition: str, dispatch: str) -> None:
    values = inputs("f16")
    result, _ = evaluate(graph(definition, "f16"), values)
    golden, bound = evaluate_with_bound(graph(dispatch, "f16"), values)
    widening = 2 * max(LAWS[name].widening for name in ("round-less", "narrow-constant"))
    assert (np.abs(result - golden) <= (SLACK + widening) * bound + 2.0**-23).all()
    assert not (np.abs(1.25 * result - golden) <= (SLACK + widening) * bound + 2.0**-23).all()


def test_where_the_dispatch_overflows_nothing_is_known() -> None:
    """A kernel in f32 gives the finite number there, and its dispatch an infinity."""
    values = {n: np.array([300.0, 2.0], np.float16) for n in range(len(NAMES))}
    result, _ = evaluate(graph("wide(a * b / c)", "f16"), values)
    golden, bound = evaluate_with_bound(graph("a * b / c", "f16"), values)
    assert result.tolist() == golden.tolist() == [300.0, 2.0]
    assert np.isinf(bound[0]) and np.isfinite(bound[1])


def inputs(element: str) -> dict[int, Any]:
    rng = np.random.default_rng(11)
    return {n: (np.exp2(rng.uniform(-3, 3, 200)) * rng.choice([-1, 1], 200)).astype(np.float16) for n in range(4)}
