"""The loop of runs: the outcome of a run and the exit of its process are distinguished."""

from __future__ import annotations

import signal
import sys

import pytest

from runtime_tests.crash_loop.__main__ import busy, run_once

pytestmark = pytest.mark.unit


def test_how_a_run_ended() -> None:
    def ended(code: str) -> str:
        return run_once([sys.executable, "-S", "-c", code])

    assert ended("pass") == "well"
    assert ended("raise SystemExit(3)") == "exit status 3"
    assert ended("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)") == "SIGSEGV"


def test_busy_processes_end_with_the_loop() -> None:
    with busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2
