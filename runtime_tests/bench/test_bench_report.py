"""Reports of `bench`: saved, read back, compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from substitute.bench.bench_report import (
    CANDIDATE,
    DEFAULT,
    BenchReport,
    compare_reports,
    load_report,
    refuse_other,
    report_to_json,
    save_report,
)
from substitute.bench.subject import LeftOut
from substitute.device.timing import Timing
from substitute.errors import UsageError
from substitute.report.bench_table import bench_table, describe_change

pytestmark = pytest.mark.unit


def report(ours: float, theirs: float, *, rounds: int = 20, noise: float = 0.01) -> BenchReport:
    def timing(name: str, us: float, step: int) -> Timing:
        return Timing(name=name, samples_us=tuple(us * (1 + noise * (n * step % 7 - 3)) for n in range(rounds)))

    return BenchReport(
        model="m.mlir",
        digest="d",
        function="main",
        device="local-task",
        threads=1,
        clock="processor time",
        flags=("--x",),
        machine={"cpu": "A", "iree-base-compiler": "3.13.0"},
        taken=1,
        dispatches=2,
        unchecked=("f_dispatch_1: not checked: no launch",),
        timings=(timing(CANDIDATE, ours, 1), timing(DEFAULT, theirs, 3)),
        left_out=(LeftOut(name="IREE, best flags", reason="it does not compile"),),
        clear=True,
    )


def test_a_saved_report_is_read_back(tmp_path: Path) -> None:
    before = report(50, 100)
    save_report(before, tmp_path / "a.json")
    assert load_report(tmp_path / "a.json") == before
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["ratios"]["IREE"]["relation"] == "faster"
    assert json.dumps(report_to_json(report(50, 100, rounds=3)), allow_nan=False)  # no interval yet


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 2}',
        '{"schema": 1, "model": 3}',
        json.dumps(report_to_json(replace(report(1, 2), timings=()))),
        json.dumps(report_to_json(report(1, 2)) | {"timings": [{"name": CANDIDATE}]}),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match="the saved times cannot be read"):
        load_report(tmp_path / "a.json")


def test_a_ratio_that_became_worse_is_a_regression() -> None:
    assert compare_reports(report(70, 100), report(50, 100)).kind == "regression"
    assert compare_reports(report(50, 100), report(70, 100)).kind == "improvement"


def test_noise_and_a_machine_that_is_slower_for_both_are_no_regression() -> None:
    assert compare_reports(report(51, 100), report(50, 100)).kind == "unchanged"
    assert compare_reports(report(150, 300), report(50, 100)).kind == "unchanged"
    assert compare_reports(report(70, 100, noise=0.2), report(50, 100, noise=0.2)).kind == "unchanged"
    assert compare_reports(report(70, 100, rounds=5), report(50, 100)).kind == "unchanged"


@pytest.mark.parametrize("change", [{"digest": "e"}, {"threads": 2}, {"machine": {"cpu": "B"}}, {"device": "vulkan"}])
def test_times_of_other_things_are_not_compared(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="the saved times are of another"):
        compare_reports(report(50, 100), replace(report(50, 100), **change))


def test_what_is_known_before_the_long_work_is_compared_first() -> None:
    before = report(50, 100)
    refuse_other(before, {"digest": "d", "threads": 1})
    with pytest.raises(UsageError, match="of another model"):
        refuse_other(before, {"digest": "e", "threads": 1})


def test_another_version_of_iree_is_said() -> None:
    now = replace(report(50, 100), machine={"cpu": "A", "iree-base-compiler": "3.14.0"})
    text = describe_change(compare_reports(now, report(50, 100)))
    assert text.startswith("unchanged: IREE ÷ with kernels was 2.00")
    assert text.endswith("iree-base-compiler 3.13.0 became 3.14.0")


def test_the_table_says_what_was_left_out_and_not_checked() -> None:
    caption = str(bench_table(report(50, 100)).caption)
    for part in ("1 thread", "processor time", "20 rounds", "1 of 2 dispatches", "it does not compile", "no launch"):
        assert part in caption
