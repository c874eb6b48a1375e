"""Errors of a process that ended while it worked on an executable."""

from __future__ import annotations

import pytest

from substitute.filter.exit_report import exit_error
from substitute.isolate import Death

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("activity", ["", "the generator mine/generator.py"])
def test_a_timer_that_ends_it_is_the_time_limit(activity: str) -> None:
    error = exit_error(Death(step="start", found="killed by SIGALRM", stderr="", activity=activity))
    assert (error.what, error.where) == ("the executable took too long", activity)


@pytest.mark.parametrize(
    ("activity", "what"),
    [
        ("", "the process that worked on the executable died"),
        ("the generator mine/generator.py", "the generator mine/generator.py ended the process that ran it"),
    ],
)
def test_twin_another_signal_is_a_crash(activity: str, what: str) -> None:
    error = exit_error(Death(step="start", found="killed by SIGSEGV", stderr="last words", activity=activity))
    assert (error.what, error.found, error.details) == (what, "killed by SIGSEGV", "last words")
