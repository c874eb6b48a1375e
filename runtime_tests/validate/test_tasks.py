"""Time limits of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime_tests.validate.cases import case
from substitute.validate.tasks import ELSEWHERE_S, FLOOR_S, case_limit_s

pytestmark = pytest.mark.unit


def test_a_case_may_take_longer_that_computes_more_or_is_larger() -> None:
    small = case()
    assert case_limit_s(small, local=True) == pytest.approx(FLOOR_S, abs=0.1)
    assert case_limit_s(small, local=False) == pytest.approx(ELSEWHERE_S, abs=0.1)
    (expected,) = small.expected
    deep = replace(small, expected=(replace(expected, sizes=(1024, 1024), depth=1024),))
    large = replace(small, sizes=(32 << 20,))
    for one in (deep, large):
        assert case_limit_s(one, local=True) > 3 * FLOOR_S
