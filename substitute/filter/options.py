"""Parsing of the filter's arguments."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..errors import UsageError
from ..flags import read_flags
from ..model.numerics import NumericDemand
from .client import NAME, TIMEOUT_S

DESCRIPTION = """\
Reads one hal.executable from standard input and writes it to standard output, replacing dispatches by the
kernels that match them. Give it to IREE's compiler:

  iree-compile model.mlir --iree-hal-preprocess-executables-with="iree-substitute-executable --kernels DIR" ...
"""
EPILOG = """\
Where nothing matches the output is the input, byte for byte. The filter sees one executable at a time and nothing of
the program that launches it; `iree-substitute compile` sees everything.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Parsed options of the filter."""

    kernels: tuple[Path, ...]
    builtin: bool
    plan: Path | None
    report_dir: Path | None
    timeout_s: float
    """Time limit for one executable."""
    jobs: int
    """Number of executables that all compilations of this user may work on at once."""
    cache: bool
    worker: bool
    demands: tuple[NumericDemand, ...] = ()
    """Demands of the compiler's flags on numerics."""
    flags: tuple[str, ...] = ()
    """The compiler's flags, as far as they are known: those of `iree-compile`, and those of `--compiler-flag`."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"the arguments are wrong: {message}",
            where=NAME,
            expected="the options that --help lists",
            next_step=f"{NAME} --help",
        )


def parse_options(words: Sequence[str], folder: Path) -> Options:
    """Parse the arguments of a filter that was started in `folder`. Raises `UsageError`; `--help` exits."""
    found = _parser().parse_args(list(words))
    if found.timeout <= 0:
        raise _not_positive("--timeout", found.timeout)
    if found.jobs < 1:
        raise _not_positive("--jobs", found.jobs)
    return Options(
        kernels=tuple(folder / path for path in found.kernels),
        builtin=found.builtin,
        plan=folder / found.plan if found.plan else None,
        report_dir=folder / found.report_dir if found.report_dir else None,
        timeout_s=found.timeout,
        jobs=found.jobs,
        cache=found.cache,
        worker=found.worker,
        demands=read_flags(found.compiler_flags).demands,
        flags=tuple(found.compiler_flags),
    )


def _not_positive(option: str, value: float) -> UsageError:
    return UsageError("the number is too small", where=f"{NAME} {option}", expected="more than 0", found=str(value))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=NAME,
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--kernels",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a kernel's folder, or a folder of kernels; may be given several times",
    )
    add(
        "--no-builtin",
        dest="builtin",
        action="store_false",
        help="use only the kernels of --kernels, not the built-in ones or those of installed packs",
    )
    add("--plan", type=Path, metavar="FILE", help="substitute what this plan says for the executable, and nothing else")
    add(
        "--report-dir",
        type=Path,
        metavar="DIR",
        help="write the result for each executable there, as JSON, and errors as text",
    )
    add(
        "--timeout",
        type=float,
        default=TIMEOUT_S,
        metavar="S",
        help="how many seconds one executable may take (default: %(default)g)",
    )
    add(
        "--jobs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="how many executables may be at work at once, in all of this user's compilations together "
        "(default: one per CPU)",
    )
    add(
        "--compiler-flag",
        dest="compiler_flags",
        action="append",
        default=[],
        metavar="FLAG",
        help="a flag of the compiler, where it is not on the command line of iree-compile or iree-opt, such as "
        "--compiler-flag=--iree-llvmcpu-reassociate-fp-reductions=false",
    )
    add("--no-cache", dest="cache", action="store_false", help="neither use nor keep results of earlier runs")
    add(
        "--no-worker",
        dest="worker",
        action="store_false",
        help="do the work in this process, without a worker that serves the whole compilation",
    )
    add("--version", action="version", version=_version())
    return parser


def _version() -> str:
    from .. import __version__

    return f"{NAME} {__version__}"
