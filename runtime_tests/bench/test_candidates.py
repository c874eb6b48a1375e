"""Modules are timed in turns, and only if their results are right (no test depends on how fast anything is)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from substitute.bench.bench_report import CANDIDATE, DEFAULT
from substitute.bench.candidates import FEWEST_ROUNDS, INPUT_SETS, BenchSetting, Timed, bench_model, time_modules
from substitute.errors import UsageError, ValidationError
from substitute.progress import silent

SOURCE = """
func.func @main(%a: tensor<64xf32>) -> tensor<64xf32> {{
  %c = arith.constant dense<{}> : tensor<64xf32>
  %r = arith.mulf %a, %c : tensor<64xf32>
  return %r : tensor<64xf32>
}}
"""


def timed(candidate: Path, stock: Path) -> Timed:
    return time_modules(
        modules={CANDIDATE: candidate, DEFAULT: stock},
        device="local-sync",
        setting=BenchSetting(budget_s=0.05),
        inputs=(),
        signatures={},
        progress=silent,
    )


@pytest.mark.device
def test_right_results_are_timed_and_wrong_ones_are_not(compile_stock: Callable[..., Path]) -> None:
    stock, other = compile_stock(SOURCE.format(2.0)), compile_stock(SOURCE.format(3.0))
    found = timed(stock, stock)
    assert [t.name for t in found.timings] == [CANDIDATE, DEFAULT] and found.function == "main"
    assert len({len(t.samples_us) for t in found.timings}) == 1
    assert INPUT_SETS < FEWEST_ROUNDS
    with pytest.raises(ValidationError, match="the results differ before they are timed"):
        timed(other, stock)


@pytest.mark.unit
def test_threads_that_a_device_does_not_have_are_refused(tmp_path: Path) -> None:
    for setting in (BenchSetting(device="vulkan", threads=2), BenchSetting(threads=100_000)):
        with pytest.raises(UsageError, match="threads"):
            bench_model(tmp_path / "none.mlir", setting=setting)
