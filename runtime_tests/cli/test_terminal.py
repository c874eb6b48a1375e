"""Output where there is a terminal and where there is none."""

import os
import pty
import select
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from substitute.cli import terminal

pytestmark = pytest.mark.unit


def table() -> Table:
    made = Table()
    made.add_column("x")
    made.add_row(Text("long " * 60, style="red"))
    return made


def test_plain_text_is_neither_cut_nor_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show(table())
    out = capsys.readouterr().out
    assert ("long " * 60).strip() in out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_no_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress() as report:
        report("compile", 0.5)
    assert capsys.readouterr() == ("", "")


def test_a_long_command_says_where_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 3.0, 11.0, 12.0, 30.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(now))
    with terminal.progress(long=True) as report:
        for phase, share in (("a", None), ("b", 0.5), ("c", 0.6), ("d", None)):
            report(phase, share)
    assert capsys.readouterr() == ("", "[11 s, 50%] b\n[30 s] d\n")


def read_until(file: int, wanted: str) -> str:
    """Return a terminal's output up to and with `wanted`, or all of it."""
    text = ""
    while wanted not in text and select.select([file], [], [], 10)[0]:
        text += os.read(file, 4096).decode(errors="replace")
    return text


def test_progress_and_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    with os.fdopen(theirs, "w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.setattr(sys, "stdout", file)
        with terminal.progress() as report:
            report("compile", 0.5)
        assert "compile" in read_until(ours, "compile")
        terminal.show(table())
        file.flush()
        assert "\x1b[31m" in read_until(ours, "\x1b[31m")
    os.close(ours)


def test_output_that_is_no_file(tmp_path: Path) -> None:
    terminal.check_writable(None, "-o")
    terminal.check_writable(tmp_path / "new", "-o")
