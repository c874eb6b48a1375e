"""Differences between the machine of a plan and this one."""

from __future__ import annotations

import pytest

from substitute.machine import COMPILER, describe_differences, read_machine

pytestmark = pytest.mark.unit


def test_this_machine_is_like_itself_and_nothing_is_said_of_an_unknown_one() -> None:
    here = read_machine()
    assert here["cpu"] and here["features"] and here[COMPILER][0].isdigit()
    assert describe_differences(here, here) == () == describe_differences({}, here)


def test_another_cpu_or_another_iree_is_said() -> None:
    here = {"cpu": "A", "features": "avx2 fma", COMPILER: "3.13.0", "cores": "2"}
    there = here | {"cpu": "B", "features": "avx2 avx512f", COMPILER: "3.12.0", "cores": "8"}
    assert describe_differences(there, here) == (
        "it was measured on another CPU: B, here A",
        "the CPU here is one without avx512f and with fma",
        "it was measured with IREE 3.12.0, here is 3.13.0",
    )
