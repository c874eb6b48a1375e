from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime_tests.gpu.sanitizer import FOUND, NAME, command, find_sanitizer, read_outcome, sanitize

pytestmark = pytest.mark.unit

CLEAN = "========= COMPUTE-SANITIZER\n6 launches\n========= ERROR SUMMARY: 0 errors\n"
WRONG = """========= COMPUTE-SANITIZER
========= Invalid __global__ read of size 4 bytes
=========     at softmax+0x90
========= ERROR SUMMARY: 32 errors
"""
RACE = "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n"
REFUSED = "========= Error: Target application terminated before first instrumented API call\n"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_it_is_found_on_path_before_cuda(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin" / NAME, "")
    in_cuda = program(tmp_path / "toolkit" / "compute-sanitizer" / NAME, "")
    environment = {"PATH": str(on_path.parent), "CUDA_HOME": str(tmp_path / "toolkit")}
    assert find_sanitizer(environment, roots=()) == on_path
    assert find_sanitizer({**environment, "PATH": ""}, roots=()) == in_cuda


def test_the_newest_cuda_counts(tmp_path: Path) -> None:
    for version in ("12.9", "13.0", "9.2"):
        program(tmp_path / f"cuda-{version}" / "bin" / NAME, "")
    assert find_sanitizer({"PATH": ""}, roots=[tmp_path]) == tmp_path / "cuda-13.0" / "bin" / NAME
    assert find_sanitizer({"PATH": ""}, roots=[tmp_path / "none"]) is None


def test_the_command() -> None:
    argv = command(Path("/x") / NAME, "racecheck", ["python", "-m", "p"])
    assert argv[:3] == [f"/x/{NAME}", "--tool", "racecheck"] and argv[-3:] == ["python", "-m", "p"]
    assert argv[argv.index("--error-exitcode") + 1] == str(FOUND)


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, CLEAN, "passed"),
        (FOUND, WRONG, "found"),
        (0, WRONG, "found"),
        (FOUND, RACE, "found"),
        (0, RACE.replace("2", "0"), "passed"),
        (1, REFUSED, "absent"),
        (0, "", "absent"),
        (127, "no such file", "absent"),
        (1, CLEAN, "absent"),  # the program itself failed
    ],
)
def test_what_its_words_mean(status: int, output: str, expected: str) -> None:
    found = read_outcome("memcheck", status, output)
    assert found.status == expected
    assert (found.lines != ()) == (expected == "found" or (expected == "absent" and output != ""))


def test_it_is_run(tmp_path: Path) -> None:
    tool = program(tmp_path / NAME, f"echo \"$@\" > '{tmp_path}/argv'; printf '{CLEAN}'".replace("\n", "\\n"))
    assert sanitize(tool, ["python", "x.py"], os.environ).status == "passed"
    assert (tmp_path / "argv").read_text().endswith("python x.py\n")


def test_where_it_is_not(tmp_path: Path) -> None:
    found = sanitize(None, ["python"], os.environ)
    assert (found.status, found.message) == ("absent", "compute-sanitizer is neither on PATH nor in CUDA's folders")
    broken = tmp_path / NAME
    broken.write_text("no program")
    assert sanitize(broken, [], os.environ).status == "absent"


def test_it_does_not_hang(tmp_path: Path) -> None:
    """Not even on what it started, which holds its output open."""
    found = sanitize(program(tmp_path / NAME, "sleep 60 & sleep 60"), [], os.environ, timeout_s=0.2)
    assert found.status == "absent" and "did not finish" in found.message
