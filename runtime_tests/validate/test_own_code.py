"""IREE's own code, compiled in a second process while the kernels are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime_tests.validate.faulty import write_variants
from substitute.isolate import Call, isolated, threads_are_loaded
from substitute.progress import Progress, silent
from substitute.validate.criteria import BaselineCriteria
from substitute.validate.judge import STANDARD, Options
from substitute.validate.kernel import bundle_kernel, find_kernels, validate_kernel
from substitute.validate.own_code import Baseline
from substitute.validate.run import judge_bundle

pytestmark = [pytest.mark.compile, pytest.mark.device]


def bundled(folder: Path, dies: bool, progress: Progress) -> tuple[bool, bool, bytes | None, str, list[bool]]:
    """Return whether there was a second process at first and at the end, its result, and the verdicts."""
    before = threads_are_loaded()
    children = []
    begin = Baseline.begin

    def noted(self: Baseline, *arguments: object) -> None:
        children.append(self._child is not None)
        begin(self, *arguments)  # type: ignore[arg-type]

    Baseline.begin = noted  # type: ignore[method-assign,assignment]
    if dies:
        Baseline._serve = lambda self, order: os._exit(3)  # type: ignore[method-assign]
    bundle = bundle_kernel(folder, "right", "local-task", quick=True, seed=0, case="M=5, N=7")
    verdicts = judge_bundle(bundle, progress=silent)
    return before, children == [True], bundle.baseline, bundle.missing_baseline, [v.passed for v in verdicts]


@pytest.fixture
def right(tmp_path: Path) -> Path:
    (folder,) = write_variants(tmp_path, "llvm-ir", {"right": ()})
    return folder


def test_a_quick_validation_compiles_it_only_where_a_verdict_depends_on_it(right: Path) -> None:
    (kernel,) = find_kernels([str(right)])
    strict = Options(criteria=BaselineCriteria(fewest=1, largest_roundings=0.0, least_largest=0.0))
    compared = {}
    for options in (STANDARD, strict):
        verdict = validate_kernel(kernel, quick=True, case="M=5, N=7", options=options, isolate=True)
        assert verdict.passed, verdict.dispatches
        baselines = [case.baseline for d in verdict.dispatches for case in d.cases]
        compared[options] = any(baselines)
        assert ("compile IREE's own code" in verdict.seconds) == any(baselines)
    assert compared == {STANDARD: False, strict: True}


@pytest.mark.slow
def test_it_is_what_this_process_would_have_made(right: Path) -> None:
    loaded, apart, module, missing, passed = isolated(
        Call(bundled, {"folder": right, "dies": False}), silent, fork=False
    )
    assert (loaded, apart, missing) == (False, True, "") and passed and all(passed)
    import iree.compiler.ir

    assert iree.compiler.ir and threads_are_loaded()  # so that it is compiled here
    here = bundle_kernel(right, "right", "local-task", quick=True, seed=0, case="M=5, N=7")
    assert module is not None and module == here.baseline


def test_a_process_that_dies_is_told_and_blamed_on_no_kernel(right: Path) -> None:
    _, apart, module, missing, passed = isolated(Call(bundled, {"folder": right, "dies": True}), silent, fork=False)
    assert apart and module is None and passed and all(passed)
    assert missing == "start: the compiler crashed"
