from __future__ import annotations

import pytest
from rich.console import Console
from rich.table import Table

from substitute.bench import tables
from substitute.bench.criteria import judge_results
from substitute.bench.samples import (
    ONNXRUNTIME,
    STOCK,
    SUBSTITUTED,
    CatalogGrowth,
    CompileSample,
    CoverageSample,
    DispatchSample,
    ModuleGrowth,
    OutputSample,
    ResultSample,
    TimeSample,
)
from substitute.bench.subject import LeftOut

pytestmark = pytest.mark.unit


def rows(table: Table) -> list[list[str]]:
    """The cells of every line between the heads and the caption."""
    console = Console(width=1000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    body = [line for line in lines if line and set(line.strip()) - set("─━═│ ")]
    return [[cell for cell in line.split("  ") if cell.strip()] for line in body]


def test_coverage_shows_goal_and_whole() -> None:
    sample = CoverageSample(
        model="m",
        backend="llvm-cpu",
        timed=True,
        dispatches=(
            DispatchSample(
                name="f$async_dispatch_0",
                kind="contraction",
                kernel="matmul",
                calls=1,
                stock_ns=300,
                substituted_ns=150,
            ),
            DispatchSample(
                name="f$async_dispatch_1", kind="copy", kernel="", calls=1, stock_ns=100, substituted_ns=100
            ),
        ),
    )
    summary, kinds = (rows(table) for table in tables.coverage_tables([sample]))
    assert [c.strip() for c in summary[2]] == ["m", "llvm-cpu", "1 of 1", "100%", "100.0%", "1 of 2", "50%", "75.0%"]
    assert [c.strip() for c in kinds[2]] == [
        "m",
        "llvm-cpu",
        "contraction",
        "1 of 1",
        "100%",
        "75.0%",
        "100.0%",
        "2.00",
    ]
    assert [c.strip() for c in kinds[3]] == ["copy", "0 of 1", "0%", "25.0%", "0.0%", "–"]
    assert tables.slower_table([sample]) == []


def test_wrong_models_get_no_speed() -> None:
    times = {STOCK: (0.2,), SUBSTITUTED: (0.1,), ONNXRUNTIME: (0.05,)}
    good, bad = TimeSample(model="good", seconds=times), TimeSample(model="bad", seconds=times)
    text = rows(tables.runtime_table([good, bad], frozenset({"bad"})))
    assert [c.strip() for c in text[2]] == ["good", "200.00", "100.00", "50.00", "2.00", "2.00", "4.00"]
    assert [c.strip() for c in text[3]] == ["bad", "–", "–", "–", "–", "–", "wrong results"]
    assert [c.strip() for c in text[4]] == ["geometric mean", "2.00", "2.00", "4.00"]


def test_models_without_onnxruntime_have_no_ratio_to_it() -> None:
    sample = TimeSample(model="m", seconds={STOCK: (0.2,), SUBSTITUTED: (0.1,)})
    text = rows(tables.runtime_table([sample], frozenset()))
    assert [c.strip() for c in text[2]] == ["m", "200.00", "100.00", "–", "2.00", "–", "–"]


def test_results_say_whether_they_are_good_enough() -> None:
    def sample(error: float) -> ResultSample:
        output = OutputSample(
            number=0, type="4xfloat32", magnitude=1.0, epsilon=1e-7, stock_error=1e-6, substituted_error=error
        )
        return ResultSample(model="m", expected_from="torch", outputs=(output,))

    samples = [sample(1e-6), sample(1e-5)]
    text = rows(tables.result_table(samples, judge_results(samples)))
    assert text[2][-1].strip() == "ok"
    assert text[3][-1].strip() == "missed"


def test_compile_and_growth_tables() -> None:
    times = TimeSample(model="m", seconds={STOCK: (2.0,), SUBSTITUTED: (3.0,)})
    sample = CompileSample(
        model="m", commands=times, in_process=times, phases={STOCK: {"parse": (0.5,)}, SUBSTITUTED: {"match": (0.25,)}}
    )
    compiled, phases = (rows(table) for table in tables.compile_tables([sample]))
    assert [c.strip() for c in compiled[2]] == ["m", "2.00", "3.00", "1.50", "2.00", "3.00", "1.50"]
    assert [c.strip() for c in phases[2]] == ["m", "stock", "–", "0.500"]
    assert [c.strip() for c in phases[3]] == ["substituted", "0.250", "–"]
    module = ModuleGrowth(executables=4, substituted=3, seconds=times.seconds, phases={"match": (0.1,)})
    catalog = CatalogGrowth(kernels=500, dispatches=14, load_s=(0.1,), match_s=(0.2,))
    modules, catalogs = (rows(table) for table in tables.growth_tables([module], [catalog]))
    assert [c.strip() for c in modules[2]] == ["4", "3", "2.00", "3.00", "1.50", "0.00", "0.00", "25.00", "0.00"]
    assert [c.strip() for c in catalogs[2]] == ["500", "14", "100.0", "200.0", "300.0"]


def test_left_out_says_why() -> None:
    text = rows(tables.left_out_table("Left out", [LeftOut(name="x", reason="no file")]))
    assert [c.strip() for c in text[2]] == ["x", "no file"]
