from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.gpu.contenders import COPY, CUBLAS, KERNEL, operand_order
from runtime_tests.gpu.measure import Row, share_of
from runtime_tests.gpu.timing import (
    MOST_LAUNCHES,
    in_turn,
    launches_per_sample,
    relative_spread,
    require_right,
    rotation_size,
    time_contenders,
)
from runtime_tests.gpu.workloads import Array, Problem, checked_rows, draw, golden
from substitute.device.timing import Timing
from substitute.errors import DeviceError, ValidationError
from substitute.validate.case import BindingRange, Launch

pytestmark = pytest.mark.unit

MATMUL = Problem(name="m", kind="matmul", rows=64, columns=48, depth=512, kernels=("matmul_bf16",))
SOFTMAX = Problem(name="s", kind="softmax", rows=40, columns=96, kernels=("softmax",))
RMS_NORM = Problem(name="r", kind="rms_norm", rows=40, columns=256, kernels=("rms_norm",))


class Clock:
    """A device whose launches take given times: tests the timing without a GPU."""

    def __init__(self) -> None:
        self.now_us = 0.0
        self.log: list[tuple[str, int]] = []

    def record(self) -> int:
        return int(self.now_us)

    def elapsed_us(self, start: int, stop: int) -> float:
        return stop - start

    def contender(self, name: str, *times_us: float) -> object:
        """Takes each time in turn."""

        def launch(number: int) -> None:
            self.log.append((name, number))
            self.now_us += times_us[sum(n == name for n, _ in self.log) % len(times_us)]

        return launch


def timing(*samples_us: float) -> Timing:
    return Timing(name="", samples_us=samples_us)


def test_relative_spread() -> None:
    assert relative_spread(timing(10.0, 12.0, 11.0, 30.0, 10.5)) == pytest.approx((12.0 - 10.5) / 11.0)
    assert relative_spread(timing(3.0)) == 0.0


def test_a_share_is_of_rounds_not_of_medians() -> None:
    """A machine that was slow for half of the rounds shifts both in them."""
    assert share_of(rows(kernel=[10, 20, 40, 41], cublas=[9, 18, 36, 80]), CUBLAS, MATMUL) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("set_bytes", "cache", "memory", "expected"),
    [
        (10**6, 50 * 10**6, 10**12, 150),
        (10**9, 50 * 10**6, 10**12, 2),  # larger than the cache: two, so that none is its own successor
        (7 * 10**6, 50 * 10**6, 10**12, 22),  # rounded up
        (10**6, 50 * 10**6, 10**8, 60),  # as many as the memory has room for
        (1, 0, 10**6, 2),
    ],
)
def test_how_many_sets(set_bytes: int, cache: int, memory: int, expected: int) -> None:
    assert rotation_size(set_bytes, cache, memory) == expected


def test_buffers_that_do_not_fit() -> None:
    with pytest.raises(DeviceError, match="do not fit"):
        rotation_size(10**9, 10**6, 10**9)


@pytest.mark.parametrize(
    ("launch_us", "expected"), [(1.0, MOST_LAUNCHES), (100.0, 20), (5_000.0, 1), (0.0, MOST_LAUNCHES)]
)
def test_how_many_launches(launch_us: float, expected: int) -> None:
    assert launches_per_sample(launch_us) == expected


def test_in_turn() -> None:
    assert [in_turn("abc", n) for n in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert in_turn([], 3) == []


def test_contenders_are_timed_in_turns_on_all_sets() -> None:
    clock = Clock()
    contenders = {"a": clock.contender("a", 4_000.0), "b": clock.contender("b", 700.0)}
    found = time_contenders(clock, contenders, sets=3, rounds=4)  # type: ignore[arg-type]
    assert found["a"].samples_us == (4_000.0,) * 4 and found["b"].samples_us == (700.0,) * 4
    warm_up = 5
    timed = clock.log[2 * warm_up :]
    assert [name for name, _ in timed[:4]] == ["a", "b", "b", "b"]  # three launches of b make a sample
    assert [name for name, _ in timed[4:8]] == ["b", "b", "b", "a"]
    assert [number for name, number in timed if name == "b"] == [0, 1, 2] * 4


def test_a_wrong_contender_has_no_time() -> None:
    require_right(1.0, name="x", when="before timing")
    for worst in (1.01, float("inf"), float("nan")):
        with pytest.raises(ValidationError, match="x is wrong, so its time does not count"):
            require_right(worst, name="x", when="before timing")


def rows(**times_us: Sequence[float]) -> list[Row]:
    names = {"kernel": KERNEL, "cublas": CUBLAS, "copy": COPY}
    return [Row(name=names[n], what="", timing=timing(*t), worst=0.0) for n, t in times_us.items()]


def test_shares() -> None:
    assert share_of(rows(kernel=[10, 10], cublas=[9, 9]), CUBLAS, MATMUL) == pytest.approx(0.9)
    assert share_of(rows(kernel=[10, 10]), CUBLAS, MATMUL) is None
    # softmax reads and writes what a copy does; the norm a row of weights more
    assert share_of(rows(kernel=[20], copy=[18]), COPY, SOFTMAX) == pytest.approx(0.9)
    assert share_of(rows(kernel=[20], copy=[18]), COPY, RMS_NORM) == pytest.approx(0.9 * (1 + 1 / 80))


def in_f32(problem: Problem) -> Array:
    """A right result, as a kernel in f32 gives it."""
    inputs = [i.astype(np.float32) for i in draw(problem)]
    if problem.kind == "matmul":
        return np.asarray((inputs[0] @ inputs[1]).astype(problem.element))
    x = inputs[0]
    if problem.kind == "softmax":
        powers = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True, dtype=np.float32))
    return np.asarray(x / np.sqrt((x**2).mean(axis=1, keepdims=True, dtype=np.float32) + np.float32(1e-6)) * inputs[1])


@pytest.mark.parametrize("problem", [MATMUL, SOFTMAX, RMS_NORM], ids=lambda p: p.kind)
def test_a_right_result_passes(problem: Problem) -> None:
    wanted = golden(problem, draw(problem))
    assert {0, problem.rows - 1} <= set(wanted.rows.tolist())
    assert 0 < wanted.worst(in_f32(problem)[wanted.rows]) <= 1


@pytest.mark.parametrize("problem", [MATMUL, SOFTMAX, RMS_NORM], ids=lambda p: p.kind)
def test_twin_a_wrong_result_does_not(problem: Problem) -> None:
    """One product that is lost; one element of a row that is not counted; a NaN; zeros."""
    wanted = golden(problem, draw(problem))
    inputs = [i.copy() for i in draw(problem)]
    inputs[0][:, -1] = 0
    spoiled = golden(problem, inputs).values
    assert wanted.worst(spoiled) > 1
    result = in_f32(problem)[wanted.rows]
    assert wanted.worst(np.zeros_like(result)) > 1
    result[-1, -1] = np.nan
    assert wanted.worst(result) == np.inf


def test_sizes_of_a_problem() -> None:
    assert (MATMUL.moved_bytes, MATMUL.operations) == (2 * (64 * 512 + 512 * 48 + 64 * 48), 2 * 64 * 48 * 512)
    assert (SOFTMAX.moved_bytes, SOFTMAX.operations) == (2 * 4 * 40 * 96, 0)
    assert len(checked_rows(MATMUL)) <= 18


def test_operands_are_found_by_their_lengths() -> None:
    def launch(*lengths: int) -> Launch:
        bindings = [
            BindingRange(resource=n, offset=0, length=length, read_only=n < len(lengths) - 1)
            for n, length in enumerate(lengths)
        ]
        return Launch(bindings=tuple(bindings), constants=(), workload=())

    whole, weights = 4 * 40 * 256, 4 * 256
    assert operand_order(launch(whole, weights, whole), RMS_NORM) == (0, 1, 2)
    assert operand_order(launch(weights, whole, whole), RMS_NORM) == (1, 0, 2)


def test_the_problems_name_kernels_that_are_there() -> None:
    from runtime_tests.gpu.workloads import PROBLEMS
    from runtime_tests.ptx_blobs.programs import BLOBS

    folders = {path.parent.name for path in Path(BLOBS).glob("*/kernel.toml")}
    assert all(set(problem.kernels) <= folders for problem in PROBLEMS)
