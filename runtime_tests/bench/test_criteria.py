from __future__ import annotations

import math

import numpy as np
import pytest

from substitute.bench.criteria import allowed_error, judge_compile, judge_coverage, judge_results, worst_output
from substitute.bench.measure import choose_worse
from substitute.bench.run import largest_error, output_sample
from substitute.bench.samples import (
    STOCK,
    SUBSTITUTED,
    CompileSample,
    CoverageSample,
    DispatchSample,
    OutputSample,
    ResultSample,
    TimeSample,
)

pytestmark = pytest.mark.unit

F32_ULP = float(np.finfo(np.float32).eps)


def output(stock: float, substituted: float, *, number: int = 0, magnitude: float = 1.0) -> OutputSample:
    return OutputSample(
        number=number,
        type="4xfloat32",
        magnitude=magnitude,
        epsilon=F32_ULP,
        stock_error=stock,
        substituted_error=substituted,
    )


def result(*outputs: OutputSample) -> ResultSample:
    return ResultSample(model="m", expected_from="onnxruntime", outputs=outputs)


@pytest.mark.parametrize(
    ("stock", "substituted", "passed"),
    [
        (1e-3, 2e-3, True),  # twice as far
        (1e-3, 2.1e-3, False),
        (0.0, 4 * F32_ULP, True),  # the floor
        (0.0, 5 * F32_ULP, False),
        (math.inf, math.inf, False),  # both wrong
        (1e-3, math.inf, False),
    ],
)
def test_results_may_be_twice_as_far_as_stock(stock: float, substituted: float, passed: bool) -> None:
    (verdict,) = judge_results([result(output(stock, substituted))])
    assert verdict.passed is passed


def test_floor_grows_with_the_magnitude() -> None:
    assert allowed_error(output(0.0, 0.0, magnitude=100.0)) == 400 * F32_ULP


def test_worst_result_speaks_for_the_model() -> None:
    small, large = output(1e-6, 3e-6, number=0), output(1e-2, 1.5e-2, number=1)
    assert worst_output((small, large)) is small
    (verdict,) = judge_results([result(large, small)])
    assert not verdict.passed
    assert verdict.found == "3.00e-06 from onnxruntime in result 0"
    assert verdict.allowed == "at most 2.00e-06 (stock 1.00e-06)"


def test_integers_have_to_be_equal_where_stock_is() -> None:
    exact = output_sample(0, np.array([1, 2]), np.array([1, 2]), np.array([1, 2]))
    wrong = output_sample(0, np.array([1, 2]), np.array([1, 2]), np.array([1, 3]))
    assert judge_results([result(exact)])[0].passed
    assert not judge_results([result(wrong)])[0].passed


def test_errors_of_strange_values() -> None:
    expected = np.array([1.0, np.nan, np.inf], np.float32)
    assert largest_error(expected, np.array([1.5, np.nan, np.inf], np.float32)) == 0.5
    assert largest_error(expected, np.array([1.0, np.nan, -np.inf], np.float32)) == math.inf
    assert largest_error(expected, np.array([np.nan, np.nan, np.inf], np.float32)) == math.inf
    assert largest_error(expected, expected[:2]) == math.inf


def test_results_after_timing_count_as_well() -> None:
    good, bad = result(output(1e-3, 1e-3)), result(output(1e-3, 1.0))
    assert choose_worse(good, bad) is bad
    assert choose_worse(bad, good) is bad


@pytest.mark.parametrize(("taken", "passed"), [(4, True), (3, False)])
def test_coverage_goal_is_four_of_five(taken: int, passed: bool) -> None:
    dispatches = tuple(
        DispatchSample(name=str(at), kind="softmax", kernel="k" if at < taken else "") for at in range(5)
    )
    copies = (DispatchSample(name="copy", kind="copy", kernel=""),) * 9
    sample = CoverageSample(model="m", backend="llvm-cpu", timed=False, dispatches=dispatches + copies)
    (verdict,) = judge_coverage([sample])
    assert verdict.passed is passed
    assert verdict.found == f"{taken} of 5 contraction, convolution, softmax, normalization dispatches"


def test_coverage_goal_is_for_the_cpu_and_for_models_with_such_dispatches() -> None:
    uncovered = (DispatchSample(name="0", kind="softmax", kernel=""),)
    copy = (DispatchSample(name="0", kind="copy", kernel=""),)
    vulkan = CoverageSample(model="m", backend="vulkan-spirv", timed=False, dispatches=uncovered)
    copies = CoverageSample(model="m", backend="llvm-cpu", timed=False, dispatches=copy)
    assert judge_coverage([vulkan, copies]) == []


def compilation(model: str, ratio: float) -> CompileSample:
    times = TimeSample(model=model, seconds={STOCK: (2.0,), SUBSTITUTED: (2.0 * ratio,)})
    return CompileSample(model=model, commands=times, in_process=times, phases={})


@pytest.mark.parametrize(("ratio", "passed"), [(1.10, True), (1.2, False)])
def test_compile_goal(ratio: float, passed: bool) -> None:
    (verdict,) = judge_compile([compilation("set/minilm_s128", ratio), compilation("gpt2", 9.0)])
    assert verdict.passed is passed
    assert (verdict.model, verdict.found) == ("set/minilm_s128", f"{ratio:.2f} times plain iree-compile")
