from __future__ import annotations

import math

import pytest

from substitute.bench.figures import (
    Share,
    catalog_of,
    geometric_mean,
    goal_share,
    growth_of,
    ratios_to,
    shares_by_kind,
    slower_dispatches,
    whole_share,
)
from substitute.bench.samples import (
    STOCK,
    SUBSTITUTED,
    CatalogGrowth,
    CoverageSample,
    DispatchSample,
    ModuleGrowth,
    Samples,
    TimeSample,
    merge,
)
from substitute.bench.subject import LeftOut

pytestmark = pytest.mark.unit


def dispatch(kind: str, kernel: str, stock_ns: float, substituted_ns: float) -> DispatchSample:
    return DispatchSample(
        name=f"f$async_dispatch_{kind}",
        kind=kind,
        kernel=kernel,
        calls=1,
        stock_ns=stock_ns,
        substituted_ns=substituted_ns,
    )


MODEL = CoverageSample(
    model="m",
    backend="llvm-cpu",
    timed=True,
    dispatches=(
        dispatch("copy", "", 1000, 1000),
        dispatch("contraction", "matmul", 6000, 2000),
        dispatch("contraction", "", 2000, 2000),
        dispatch("softmax", "softmax", 500, 900),
        dispatch("elementwise", "elementwise", 500, 505),
    ),
)


def test_shares_are_counted_and_timed_by_kind() -> None:
    shares = shares_by_kind(MODEL)
    # the goal's kinds come first, the others by the time that they take
    assert [s.kind for s in shares] == ["contraction", "softmax", "copy", "elementwise"]
    assert (shares[0].taken, shares[0].total, shares[0].by_count, shares[0].by_time) == (1, 2, 0.5, 0.75)
    goal, whole = goal_share(MODEL), whole_share(MODEL)
    assert (goal.taken, goal.total) == (2, 3)
    assert goal.by_time == 6500 / 8500
    assert (whole.taken, whole.total, whole.by_time) == (3, 5, 0.7)


def test_nothing_to_substitute_is_no_failure_and_no_time_is_no_number() -> None:
    nothing = Share(kind="goal", total=0, taken=0, total_ns=0.0, taken_ns=0.0, substituted_ns=0.0)
    assert nothing.by_count == 1.0
    assert math.isnan(nothing.by_time)


def test_dispatches_that_became_slower_count_where_it_matters() -> None:
    (found,) = slower_dispatches([MODEL])
    assert (found.kind, found.stock_us, found.substituted_us) == ("softmax", 0.5, 0.9)
    assert found.lost == pytest.approx(0.04)


def test_ratios_of_medians() -> None:
    sample = TimeSample(model="m", seconds={STOCK: (1.0, 9.0, 2.0), SUBSTITUTED: (3.0, 1.0, 1.0)})
    found = ratios_to(sample, STOCK)
    assert found.median_s == {STOCK: 2.0, SUBSTITUTED: 1.0}
    assert found.ratios == {STOCK: 1.0, SUBSTITUTED: 0.5}
    assert ratios_to(sample, "onnxruntime").ratios == {}


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 8.0]) == pytest.approx(2.0)
    assert math.isnan(geometric_mean([]))


def test_growth_is_per_executable_and_medians() -> None:
    module = ModuleGrowth(
        executables=10,
        substituted=9,
        seconds={STOCK: (2.0, 4.0, 3.0), SUBSTITUTED: (6.0, 6.0, 1.0)},
        phases={"match": (0.1, 0.3, 0.2)},
    )
    figure = growth_of(module)
    assert (figure.stock_s, figure.substituted_s, figure.ratio) == (3.0, 6.0, 2.0)
    assert figure.phases_ms == {"match": pytest.approx(20.0)}
    catalog = catalog_of(CatalogGrowth(kernels=5, dispatches=14, load_s=(0.1, 0.2, 0.3), match_s=(0.01, 0.02, 0.03)))
    assert (catalog.load_ms, catalog.match_ms, catalog.total_ms) == (200.0, 20.0, 220.0)


def test_merging_keeps_both() -> None:
    first = Samples(coverage=(MODEL,), notes={"m": "real"})
    second = Samples(left_out=(LeftOut(name="x", reason="y"),), notes={"n": "random"})
    both = merge(first, second)
    assert both.coverage == (MODEL,)
    assert both.left_out[0].name == "x"
    assert both.notes == {"m": "real", "n": "random"}
