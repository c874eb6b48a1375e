"""IREE's own code runs after every candidate, and none of its failures fails one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from runtime_tests.validate.cases import case
from runtime_tests.validate.launches import Pretended, right, x_and_y
from substitute.device.raw import Grid
from substitute.errors import DeviceError
from substitute.validate.baseline import BaselineRun, add_baseline, describe_failure, run_baseline
from substitute.validate.judge import judge_alone, judge_case, judge_dispatch
from substitute.validate.verdict import CaseVerdict

pytestmark = pytest.mark.unit

Kernel = Callable[[Grid, list[np.ndarray]], None]


def half(grid: Grid, buffers: list[np.ndarray]) -> None:
    right(grid, buffers)
    x_and_y(grid, buffers)[1][1] /= 2


def faults(grid: Grid, buffers: list[np.ndarray]) -> None:
    raise DeviceError("run_0 failed on gpu", details="gpu.c:6: ABORTED; unspecified launch failure\nmore")


def judged(kernel: Kernel, own: Kernel) -> CaseVerdict:
    return judge_case(Pretended(kernel), case(), baseline=Pretended(own))  # type: ignore[arg-type]


def test_one_that_faults() -> None:
    verdict = judged(right, faults)
    assert verdict.passed and verdict.baseline is None
    assert verdict.notes == (
        "judged by the golden alone: IREE's own code fails: run_0 failed on gpu: unspecified launch failure",
    )
    wrong = judged(half, faults)
    assert (wrong.stage, wrong.notes) == ("error", verdict.notes)
    assert wrong.place is not None and wrong.place.baseline == ""


def test_one_that_is_wrong() -> None:
    verdict = judged(right, half)
    assert verdict.passed and verdict.baseline is None
    assert verdict.notes == (
        "IREE's own code is wrong in case twice [normal]: "
        "1 of 4 elements is further from the golden than rounding explains, the worst where it has to be exact",
    )


def test_one_that_is_right() -> None:
    verdict = judged(right, right)
    assert verdict.passed and not verdict.notes
    assert verdict.baseline is not None and verdict.picture is not None and verdict.picture.baseline is not None
    wrong = judged(half, right)
    assert wrong.place is not None
    assert (wrong.place.coordinates, wrong.place.candidate, wrong.place.baseline) == ((0, 1), "2.0", "4.0")


def test_it_runs_last() -> None:
    order: list[str] = []

    def noted(name: str) -> Kernel:
        def kernel(grid: Grid, buffers: list[np.ndarray]) -> None:
            order.append(name)
            right(grid, buffers)

        return kernel

    verdict = judge_dispatch(
        Pretended(noted("candidate")),
        [case(), case(inputs="exact")],
        name="d",
        kernel="k",  # type: ignore[arg-type]
        baseline=Pretended(noted("own")),  # type: ignore[arg-type]
    )
    assert verdict.passed
    assert order == ["candidate"] * 9 + ["own"] * 2


def test_apart_and_at_once_are_the_same() -> None:
    alone = judge_alone(Pretended(half), case())  # type: ignore[arg-type]
    theirs = run_baseline(Pretended(right), case())  # type: ignore[arg-type]
    assert alone.at == (0, 1) and len(theirs.values) == 1
    assert add_baseline(alone.verdict, case(), theirs, at=alone.at) == judged(half, right)
    nothing = add_baseline(alone.verdict, case(), BaselineRun(error="lost"), at=alone.at)
    assert nothing.notes == ("judged by the golden alone: lost",)


def test_a_failure_is_described_by_the_reason() -> None:
    assert describe_failure(DeviceError("it failed")) == "it failed"
    failure = DeviceError("it failed", details="a.c:1: INTERNAL; the reason\nand more")
    assert describe_failure(failure) == "it failed: the reason"
