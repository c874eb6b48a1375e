"""The filter's figures: what is divided by what, and that every way is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute.bench.filter import AGAIN, FIRST, MATCHING, NEW, NOT_MATCHING, WARM, measure_filter
from substitute.bench.filter_tables import filter_tables, hook_ratio, ratio
from substitute.bench.samples import CAT, INTERPRETER, FilterSample, HookSample


@pytest.mark.unit
def test_an_executable_costs_the_mean_and_a_start_is_the_median() -> None:
    seconds = {
        CAT: (1.0, 1.0, 9.0),
        INTERPRETER: (10.0, 10.0, 1.0),
        FIRST: (50.0, 10.0),
        AGAIN: (10.0,),
        NEW: (20.0,),
        WARM: (20.0,),
    }
    sample = FilterSample(case=NOT_MATCHING, executables=2, seconds=seconds)
    assert ratio(sample, FIRST, INTERPRETER) == 3.0
    assert ratio(sample, FIRST, CAT) == 30.0
    hook = HookSample(model="minilm", seconds={CAT: (10.0, 11.0, 90.0), FIRST: (12.0, 12.1, 1.0), AGAIN: (11.0,)})
    assert hook_ratio(hook, FIRST) == pytest.approx(12.0 / 11.0)
    each, whole = filter_tables([sample], [hook])
    assert [list(column.cells) for column in each.columns] == [
        ["2"],
        [NOT_MATCHING],
        ["1000.00"],
        ["10000.00"],
        ["3.00 (30.0)"],
        ["2.00 (20.0)"],
        ["1.00 (10.0)"],
        ["2.00 (20.0)"],
        ["≤ 2"],
    ]
    assert [list(column.cells) for column in whole.columns] == [["minilm"], ["11.00"], ["1.09"], ["1.00"], ["≤ 1.1"]]


@pytest.mark.slow
@pytest.mark.compile
def test_every_way_is_measured(tmp_path: Path) -> None:
    samples = measure_filter([2], tmp_path, lambda _what, _share: None)
    assert [(s.case, s.executables) for s in samples] == [(MATCHING, 2), (NOT_MATCHING, 2)]
    for sample in samples:
        assert {way: len(seconds) >= 2 for way, seconds in sample.seconds.items()} == dict.fromkeys(
            (CAT, INTERPRETER, FIRST, AGAIN, NEW, WARM), True
        )
