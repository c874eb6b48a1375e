"""NVIDIA's compute-sanitizer: where it is, what it is run on, and what its words mean."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck", "synccheck")
FOUND = 86
"""The exit status that we ask it for when it found something."""
_HOMES = ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT")
_INSIDE = ("bin", "compute-sanitizer", "extras/compute-sanitizer")
TIMEOUT_S = 600.0
_MOST_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanitized:
    """One run of one tool of it."""

    tool: str
    """`memcheck`, `racecheck`, …"""
    status: str
    """`passed`, `found`, or `absent`: it is not there, or does not work here."""
    message: str = ""
    lines: tuple[str, ...] = ()
    """Its output, if it found something or did not work."""


def find_sanitizer(environment: Mapping[str, str], *, roots: Sequence[Path] = (Path("/usr/local"),)) -> Path | None:
    """On PATH, then in the folders that CUDA is installed to: the named one first, then the newest below `roots`."""
    found = shutil.which(NAME, path=environment.get("PATH", ""))
    if found is not None:
        return Path(found)
    homes = [Path(environment[name]) for name in _HOMES if environment.get(name)]
    for root in roots:
        homes += [root / "cuda", *sorted(root.glob("cuda-*"), key=_version, reverse=True)]
    for home in homes:
        for inside in _INSIDE:
            path = home / inside / NAME
            if path.is_file():
                return path
    return None


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))


def command(sanitizer: Path, tool: str, argv: Sequence[str]) -> list[str]:
    """A program under a tool of it, with its child processes."""
    options = ["--tool", tool, "--target-processes", "all", "--error-exitcode", str(FOUND), "--print-limit", "20"]
    return [str(sanitizer), *options, *argv]


def read_outcome(tool: str, status: int, output: str) -> Sanitized:
    """Return the outcome of an exit status and the output.

    The number of errors stands in the last line; a sanitizer that could not start (an unknown driver, a container
    that forbids it, a device that it does not support) is absent, not passed.
    """
    lines = tuple(line for line in output.splitlines() if line.startswith("========="))
    summary = re.search(r"ERROR SUMMARY: (\d+) error", output)
    race = re.search(r"RACECHECK SUMMARY: (\d+) hazard", output)
    count = summary or race
    if status == FOUND or (count is not None and int(count[1])):
        what = f"{count[1]} errors" if count is not None else "errors"
        return Sanitized(tool=tool, status="found", message=what, lines=lines[:_MOST_LINES])
    if status == 0 and count is not None:
        return Sanitized(tool=tool, status="passed", message="0 errors")
    said = lines or tuple(output.strip().splitlines())
    return Sanitized(
        tool=tool, status="absent", message=f"it does not work here (exit status {status})", lines=said[:_MOST_LINES]
    )


def sanitize(
    sanitizer: Path | None,
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    tool: str = TOOLS[0],
    timeout_s: float = TIMEOUT_S,
) -> Sanitized:
    """Runs a program under it."""
    if sanitizer is None:
        return Sanitized(tool=tool, status="absent", message=f"{NAME} is neither on PATH nor in CUDA's folders")
    try:
        process = subprocess.Popen(
            command(sanitizer, tool, argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        return Sanitized(tool=tool, status="absent", message=f"it cannot be started: {error.strerror}")
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        # what it watches would go on without it, and hold the pipe
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Sanitized(tool=tool, status="absent", message=f"it did not finish within {timeout_s:g} s")
    return read_outcome(tool, process.returncode, output)
