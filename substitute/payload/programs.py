"""Programs that build and check payloads: glslangValidator, spirv-val, ptxas."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

LIMIT_SECONDS = 120
"""Limit after which a shader or a PTX file counts as hanging the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramResult:
    """Exit status and output of a program."""

    argv: tuple[str, ...]
    status: int
    """Exit status; negative: killed by this signal; 124: exceeded the limit."""
    output: str
    """Standard output and standard error."""


def find_program(name: str) -> Path | None:
    """Return the program of this name: of this interpreter's environment first, then of PATH; None if there is none."""
    library = Path(sysconfig.get_path("purelib"))
    folders = (
        library / "cmeel.prefix" / "bin",  # cmeel's scripts beside the interpreter are Python and only start these
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
    """Return an environment in which cmeel's programs find their libraries; None for other programs."""
    if program.parent.parent.name != "cmeel.prefix":
        return None
    library = str(program.parent.parent / "lib")
    known = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": f"{library}:{known}" if known else library}


def run_program(program: Path, arguments: tuple[str, ...], *, cwd: Path | None = None) -> ProgramResult:
    """Run a program to its end; the caller has to check its status."""
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
