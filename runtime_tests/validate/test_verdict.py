"""Verdicts put together, and the words for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime_tests.validate.cases import case
from substitute.validate.judge import DECLARE, blind_spots, conclude
from substitute.validate.kernel_verdict import KernelVerdict
from substitute.validate.verdict import CaseVerdict, DispatchVerdict, Place, combine
from substitute.validate.verdict_text import (
    all_failure_lines,
    case_lines,
    dispatch_rows,
    failure_lines,
    kernel_rows,
    note_lines,
    replay,
    share,
    verdict_word,
)

pytestmark = pytest.mark.unit

GOOD = CaseVerdict(label="a 4x8", inputs="normal", seed=3, worst=0.25, judged=32)
PLACE = Place(
    operand="binding 2 at byte 64: 4x8xf32",
    coordinates=(1, 7),
    candidate="1.5",
    golden="1.0",
    baseline="1.0000001",
    allowed=1e-6,
)
BAD = replace(GOOD, inputs="exact", stage="error", message="1 of 32 elements is wrong", worst=3.0, place=PLACE)


def test_combining() -> None:
    assert combine("d", "k", (GOOD, GOOD)).passed
    failed = combine("d", "k", (GOOD, BAD))
    assert (failed.passed, failed.failures, failed.worst) == (False, (BAD,), 3.0)


def test_nothing_is_proven_without_cases() -> None:
    verdict = combine("d", "k", ())
    assert (verdict.passed, verdict.skipped) == (False, "there was no case that could be judged")
    verdict = combine("d", "k", (replace(GOOD, judged=0),))
    assert (verdict.passed, verdict.skipped) == (False, "no element of any case could be judged")
    # what is wrong is wrong, whatever else there is
    assert combine("d", "k", (replace(BAD, judged=0),)).skipped == ""


def test_cases_that_catch_nothing() -> None:
    blind = replace(GOOD, blind=("all zeros",))
    verdict = combine("d", "k", (blind, blind))
    assert not verdict.passed
    assert verdict.skipped == "no case would catch a result that is all zeros: these inputs prove too little"
    assert combine("d", "k", (blind, GOOD)).passed


def test_blind_spots() -> None:
    assert blind_spots(case()) == ()
    (expected,) = case().expected
    assert blind_spots(case(expected=(replace(expected, values=expected.values * 0),))) == (
        "all zeros",
        "the same everywhere",
    )
    same = replace(expected, values=expected.values * 0 + 5)
    assert blind_spots(case(expected=(same,))) == ("the same everywhere",)
    # one result that would be caught is enough
    assert blind_spots(case(expected=(same, expected))) == ()


def test_rows() -> None:
    skipped = DispatchVerdict(name="s", kernel="k", cases=(), skipped="no golden")
    assert dispatch_rows([combine("d", "k", (GOOD,)), combine("e", "k", (GOOD, BAD)), skipped]) == [
        ("d", "k", "1", "0.25", "passed"),
        ("e", "k", "2", "3", "FAILED: error"),
        ("s", "k", "–", "–", "not judged"),
    ]
    kernel = KernelVerdict(
        kernel="k",
        folder="kernels/k",
        device="vulkan",
        seed=0,
        quick=True,
        dispatches=(combine("d", "k", (GOOD,)), skipped),
    )
    assert kernel_rows([kernel]) == [("k", "vulkan", "1", "1", "0.25", "passed")]
    assert not replace(kernel, dispatches=(skipped,)).passed
    assert not replace(kernel, message="it took nothing").passed


def test_a_failing_case_says_everything() -> None:
    assert "\n".join(case_lines(BAD, "iree-substitute validate k")) == (
        "  a 4x8 [exact], seed 3\n"
        "    error: 1 of 32 elements is wrong\n"
        "    first at [1, 7] of binding 2 at byte 64: 4x8xf32\n"
        "      candidate 1.5\n"
        "      golden    1.0  (± 1e-06)\n"
        "      baseline  1.0000001\n"
        "    replay:    iree-substitute validate k --case 'a 4x8 [exact], seed 3'"
    )


def test_failures_of_a_dispatch() -> None:
    verdict = combine("d", "k", tuple([BAD] * 5))
    lines = list(failure_lines(verdict, "x"))
    assert lines[0] == "d (k)"
    assert lines[-1] == "  and 3 more cases"
    many = list(all_failure_lines([replace(verdict, name=f"d{i}") for i in range(5)], "x"))
    assert (many[0], many[-1]) == ("d0 (k)", "also wrong: d3, d4")
    assert list(failure_lines(combine("d", "k", (GOOD,)), "x")) == []
    together = replace(combine("d", "k", (GOOD,)), stage="baseline", message="a bias")
    assert list(failure_lines(together, "x")) == ["d (k)", "  baseline: a bias", "  replay:    x --case d"]


def test_notes() -> None:
    skipped = DispatchVerdict(name="s", kernel="k", cases=(), skipped="no golden")
    noted = replace(combine("d", "k", (GOOD,)), notes=tuple(f"note {i}" for i in range(9)))
    lines = list(note_lines([skipped, noted]))
    assert lines[0] == "s: not judged: no golden"
    assert lines[-1] == "and 3 more notes"


def test_small_words() -> None:
    assert (share(0.0), share(0.123), share(float("inf"))) == ("0", "0.12", "inf")
    assert replay("x --seed 4", "it's") == """x --seed 4 --case 'it'"'"'s'"""
    assert verdict_word(combine("d", "k", ())) == "not judged"


def test_who_may_declare_an_accuracy_is_told_so() -> None:
    integers = replace(GOOD, inputs="exact")
    mixed = replace(GOOD, inputs="rows", stage="error", worst=300.0)
    infinities = replace(GOOD, inputs="special", stage="non-finite")

    def told(*cases: CaseVerdict, declared: str = "") -> bool:
        return DECLARE in conclude("d", "k", cases, declared=declared).notes

    assert told(integers, mixed) and told(integers, mixed, infinities)
    # what is wrong for small integers, or by far for usual numbers, is no rounding
    assert not told(BAD, mixed) and not told(mixed)
    assert not told(integers, replace(mixed, inputs="normal"))
    assert not told(integers, infinities) and not told(integers, GOOD)
    assert not told(integers, mixed, declared="errors up to 4·γ are allowed")
