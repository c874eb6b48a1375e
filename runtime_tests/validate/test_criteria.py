"""Each criterion on invented numbers: what passes, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from substitute.validate.criteria import (
    BaselineCriteria,
    check_beside,
    check_form,
    check_kept,
    check_repeated,
    check_signs,
    check_values,
    check_written,
    excess,
    flushed,
    wrong_signs,
)
from substitute.validate.statistics import Errors

pytestmark = pytest.mark.unit

NAN, INF = float("nan"), float("inf")


def f32(*values: float) -> Any:
    return np.array(values, np.float32)


def stage(found: Any, golden: Any, allowed: Any, element: str = "f32", **options: bool) -> str:
    finding = check_values(found, np.asarray(golden), np.asarray(allowed, np.float64), element, **options)
    return finding.stage if finding else ""


def test_form() -> None:
    assert check_form(f32(1, 2), (2,), np.dtype("f4")) is None
    wrong = check_form(f32(1, 2), (1, 2), np.dtype("f8"))
    assert wrong is not None and (wrong.stage, wrong.message) == ("shape", "it is 2, not 1×2")
    wrong = check_form(f32(1, 2), (2,), np.dtype("f8"))
    assert wrong is not None and (wrong.stage, wrong.message) == ("type", "it is float32, not float64")


@pytest.mark.parametrize(
    ("found", "golden", "allowed", "expected"),
    [
        ([1, 2], [1, 2], [0, 0], ""),
        ([1, 2.5], [1, 2], [0, 0.5], ""),
        ([1, 2.5], [1, 2], [0, 0.4], "error"),
        ([1, 2], [1, 2 + 1e-9], [0, 0], "error"),
        ([1, 9], [1, 2], [0, INF], ""),  # cannot be judged
        ([NAN, 9], [1, 2], [INF, INF], ""),
        ([NAN, 2], [NAN, 2], [0, 0], ""),
        ([1, 2], [NAN, 2], [0, 0], "non-finite"),
        ([NAN, 2], [1, 2], [9, 9], "non-finite"),
        ([INF, 2], [INF, 2], [0, 0], ""),
        ([-INF, 2], [INF, 2], [0, 0], "non-finite"),
        ([INF, 2], [1, 2], [0, 0], "non-finite"),
        ([1, 2], [INF, 2], [0, 0], "non-finite"),
        ([3.4e38, 2], [INF, 2], [0, 0], "non-finite"),
        # what is beyond the type's range rounds to infinity
        ([INF, 2], [1e39, 2], [0, 0], ""),
        ([3.4028235e38, 2], [1e39, 2], [0, 0], "non-finite"),
        ([INF, 2], [3.4e38, 2], [1e37, 0], ""),
        ([-0.0, 2], [0.0, 2], [0, 0], ""),
    ],
)
def test_values(found: list[float], golden: list[float], allowed: list[float], expected: str) -> None:
    assert stage(f32(*found), golden, allowed) == expected


def test_the_first_wrong_element_is_named() -> None:
    finding = check_values(f32(1, 2, 3, 4), np.array([1, 2, 5, 9.0]), np.ones(4), "f32")
    assert finding is not None
    assert (finding.wrong, finding.first) == (2, 2)
    assert finding.message == (
        "2 of 4 elements are further from the golden than rounding explains, the worst 5 times what is allowed"
    )


def test_signs_of_zeros_matter_to_copies() -> None:
    assert stage(f32(-0.0), [0.0], [0], signs=True) == "error"
    assert stage(f32(-0.0), [-0.0], [0], signs=True) == ""
    assert stage(f32(-0.0), [-0.0], [0], signs=False) == ""


@pytest.mark.parametrize(("kind", "element"), [(np.float16, "f16"), (ml_dtypes.bfloat16, "bf16")])
def test_narrow_types(kind: Any, element: str) -> None:
    found = np.array([1.0, 3.0]).astype(kind)
    assert stage(found, [1.0, 3.0], [0, 0], element) == ""
    assert stage(found, [1.0, 3.5], [0, 0.25], element) == "error"


def test_integers_have_no_sign_and_are_exact() -> None:
    assert stage(np.int8([-1]), np.int64([255]), [0], "i8") == ""
    assert stage(np.int32([7]), np.int64([8]), [0], "i32") == "error"
    assert stage(np.int32([7]), np.int64([8]), [1], "i32") == ""
    assert stage(np.int64([2**62 + 1]), np.int64([2**62]), [0], "i64") == "error"


def test_excess() -> None:
    shares = excess(f32(1, 2, 3, NAN), np.array([1, 4.0, 3.5, 1]), np.array([0, 1, 0, 1.0]), "f32")
    assert shares.tolist() == [0.0, 2.0, INF, 0.0]


def test_subnormal_numbers_that_only_one_flushes() -> None:
    low = 2.0**-20  # below the smallest normal f16
    golden, allowed = np.array([low, low, 0.0, 1.0, low]), np.array([low, 4e-3, 0.0, 1.0, low])
    found = np.float16([0, 0, 0, 0, low])
    zeros = flushed(found, golden, allowed, "f16")
    assert zeros.tolist() == [0]  # the others are zero, or may be, for another reason
    assert flushed(np.int8([0]), np.int64([0]), np.zeros(1), "i8").tolist() == []
    assert check_kept(zeros, np.float16([0, low, 0, 1, low])) is None
    finding = check_kept(zeros, np.float16([low, low, 0, 1, low]))
    assert finding is not None and (finding.stage, finding.first) == ("error", 0)
    assert finding.message == (
        "1 of 5 elements, below the smallest normal number, are zero, and IREE's own code keeps them"
    )


def test_unwritten() -> None:
    first = np.full(4, 0xFF, np.uint8).view(np.int8)
    second = np.full(4, 0x5A, np.uint8).view(np.int8)
    marks = np.ones(4, bool)
    finding = check_written(first, second, (0xFF, 0x5A), marks)
    assert finding is not None and (finding.wrong, finding.first) == (4, 0)
    # one of the two patterns may well be the right result
    second[:3] = -1
    finding = check_written(first, second, (0xFF, 0x5A), marks)
    assert finding is not None and (finding.wrong, finding.first) == (1, 3)
    marks[3] = False  # this one held an operand
    assert check_written(first, second, (0xFF, 0x5A), marks) is None


def test_repeated() -> None:
    assert check_repeated(f32(1, NAN), f32(1, NAN), "again") is None
    finding = check_repeated(f32(1, 0.0), f32(1, -0.0), "in other memory")
    assert finding is not None and (finding.stage, finding.first) == ("repeat", 1)
    assert finding.message == "the same launch again, in other memory, gives other bits in 1 of 2 elements"


THEIRS = Errors(count=1000, bias=0.0, spread=0.01, largest=0.05, rounding=0.01)


@pytest.mark.parametrize(
    ("ours", "what"),
    [
        (THEIRS, ""),
        (replace(THEIRS, bias=0.024), ""),
        (replace(THEIRS, bias=0.026), "bias"),
        (replace(THEIRS, bias=-0.026), "bias"),
        (replace(THEIRS, spread=0.099), ""),
        (replace(THEIRS, spread=0.11), "spread"),
        (replace(THEIRS, largest=0.87), ""),
        (replace(THEIRS, largest=0.89), "largest error"),
        (replace(THEIRS, bias=0.5, count=10), ""),
    ],
)
def test_beside_the_baseline(ours: Errors, what: str) -> None:
    finding = check_beside(ours, THEIRS, BaselineCriteria(least_share=0.0, least_largest=0.0))
    assert (finding.message if finding else "").startswith(f"its {what} is" if what else "")
    assert (finding is None) == (not what)


def test_an_exact_baseline_leaves_room_for_rounding() -> None:
    formulas = BaselineCriteria(least_share=0.0, least_largest=0.0)
    exact = Errors(count=1000, rounding=0.01)
    assert check_beside(replace(THEIRS, bias=0.004, spread=0.015, largest=0.05), exact, formulas) is None
    assert check_beside(THEIRS, replace(exact, rounding=0.001), formulas) is None
    assert check_beside(replace(THEIRS, spread=0.05), exact, formulas) is not None


def test_errors_that_are_a_small_share_of_what_is_allowed_may_lie_anyhow() -> None:
    exact = Errors(count=1000, rounding=0.001)
    for name, most in (("bias", 0.1), ("spread", 0.1), ("largest", 0.25)):
        assert check_beside(replace(exact, **{name: most - 0.01}), exact, BaselineCriteria()) is None
        assert check_beside(replace(exact, **{name: most + 0.01}), exact, BaselineCriteria()) is not None


def test_signs_of_zeros_are_wrong_where_the_baseline_has_them_right() -> None:
    golden = np.array([0.0, -0.0, -0.0, 1.0, 0.0])
    wrong = wrong_signs(f32(-0.0, -0.0, 0.0, 1.0, -0.0), golden, "f32")
    assert wrong.tolist() == [0, 2, 4]
    finding = check_signs(wrong, f32(-0.0, 0.0, -0.0, 1.0, 5.0), golden)
    assert finding is not None and (finding.first, finding.wrong) == (2, 1)
    assert check_signs(wrong, f32(-0.0, 0.0, 0.0, 1.0, -0.0), golden) is None
    assert check_signs(wrong[:0], f32(0.0, -0.0, -0.0, 1.0, 0.0), golden) is None
    assert not wrong_signs(np.int32([0]), np.array([0]), "i32").size
