"""Code of a kernel's author: what it prints, how it ends, and that it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from substitute.errors import PayloadError
from substitute.isolate import isolated
from substitute.payload.author import LIMIT, call_author
from substitute.progress import Progress

pytestmark = pytest.mark.unit

HERE = Path(__file__).resolve()


def called(function: Callable[[], object]) -> object:
    return call_author("it failed", HERE, function, owner="the generator")


def silent(_what: str, _share: float | None) -> None:
    """Nobody looks."""


def prints() -> str:
    print("from Python")
    os.write(1, b"from a descriptor\n")
    subprocess.run([sys.executable, "-c", "print('from a process')"], check=True)
    return "code"


def test_what_it_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert called(prints) == "code"
    print("ours")
    sys.stdout.flush()
    out, err = capfd.readouterr()
    assert out == "ours\n"
    name = "the generator payload/test_author.py printed: "
    assert sorted(err.splitlines()) == [f"{name}from {what}" for what in ("Python", "a descriptor", "a process")]


def test_also_from_a_child_process(capfd: pytest.CaptureFixture[str]) -> None:
    assert isolated(lambda _progress: called(prints), silent) == "code"
    out, err = capfd.readouterr()
    assert (out, err.count("printed: ")) == ("", 3)


def leaves() -> None:
    sys.exit(3)


def loops() -> None:
    while True:
        pass


def sleeps() -> None:
    time.sleep(3600)


@pytest.mark.parametrize(
    ("function", "found"),
    [(leaves, "SystemExit: 3"), (lambda: [][1], "IndexError: list index out of range")],
)
def test_how_it_ends_is_its_error(function: Callable[[], object], found: str) -> None:
    with pytest.raises(PayloadError) as caught:
        called(function)
    assert caught.value.found == found
    assert caught.value.where.startswith(f"{HERE}:")


def test_it_has_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "0.3")
    with pytest.raises(PayloadError) as caught:
        called(loops)
    assert caught.value.found == "code that was still running"
    lines = range(loops.__code__.co_firstlineno, loops.__code__.co_firstlineno + 3)
    assert caught.value.where in [f"{HERE}:{line}" for line in lines]
    assert called(lambda: 7) == 7


def test_a_child_that_waits_outside_of_python_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "0.1")
    monkeypatch.setattr("substitute.payload.author.GRACE_S", 0.1)

    def work(_progress: Progress) -> object:
        return called(sleeps)

    with pytest.raises(PayloadError, match="it failed"):
        isolated(work, silent)


def test_who_ended_the_process() -> None:
    def work(progress: Progress) -> object:
        progress("make payloads", None)
        return called(lambda: os._exit(0))

    with pytest.raises(PayloadError) as caught:
        isolated(work, silent)
    assert caught.value.what == f"the generator {HERE} ended the process that ran it"
    assert caught.value.found == "exit status 0"
