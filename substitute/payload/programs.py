"""Finds and runs the programs that build and check payloads: glslangValidator, spirv-val, ptxas."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

LIMIT_SECONDS = 120
"""A shader or a PTX file that takes longer is taken for a hang."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramResult:
    """How a program ended."""

    argv: tuple[str, ...]
    status: int
    """Exit status; negative: killed by this signal; 124: ran past the limit."""
    output: str
    """Standard output and standard error."""


def find_program(name: str) -> Path | None:
    """The program of this name: of this interpreter's environment first, then of PATH. None if there is none."""
    library = Path(sysconfig.get_path("purelib"))
    folders = (
        library / "cmeel.prefix" / "bin",  # what cmeel puts beside the interpreter is a Python script that runs these
        Path(sys.executable).parent,
        Path(sysconfig.get_path("scripts")),
        library / "nvidia" / "cu13" / "bin",
        library / "nvidia" / "cuda_nvcc" / "bin",
    )
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    found = shutil.which(name)
    return Path(found) if found else None


def _surroundings(program: Path) -> dict[str, str] | None:
    """Programs of cmeel find their libraries only if they are told where; None: as they are."""
    if program.parent.parent.name != "cmeel.prefix":
        return None
    library = str(program.parent.parent / "lib")
    known = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": f"{library}:{known}" if known else library}


def run_program(program: Path, arguments: tuple[str, ...], *, cwd: Path | None = None) -> ProgramResult:
    """Runs a program to its end; its failure is for the caller to judge."""
    argv = (str(program), *arguments)
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=_surroundings(program),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        return ProgramResult(argv=argv, status=124, output=f"{output}\nstopped after {LIMIT_SECONDS} seconds")
    return ProgramResult(argv=argv, status=done.returncode, output=done.stdout.decode(errors="replace"))
