"""`python -m runtime_tests.gpu`: builds what needs the compiler, runs it where a GPU is, and writes the results."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime_tests.gpu.timing import ROUNDS
from substitute.errors import SubstituteError, UsageError

FOLDER = Path("build/gpu")
RESULTS = "results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all is right, 1 if something is wrong or there is no GPU, 2 if the command was."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    try:
        return _main(options, given)
    except SubstituteError as error:
        _to_stderr("", None)
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime_tests.gpu",
        description="Builds all shipped PTX into a folder and runs it on a GPU. Without --build and --run: both.",
    )
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="only build, into this folder")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="only run what --build wrote; needs no compiler")
    parser.add_argument("--device", default="cuda", help="cuda, or cuda-sim, cuda-sim://sm_90: no GPU, no times")
    parser.add_argument("--only", default="", metavar="TEXT", help="only what has this in its name")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"the results (default: {RESULTS} in the folder)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="samples of each time")
    parser.add_argument("--no-sanitizer", action="store_true", help="without compute-sanitizer")
    parser.add_argument(
        "--launch-only",
        action="store_true",
        help="with --run: only the direct launches, as compute-sanitizer sees them",
    )
    return parser


def _main(options: argparse.Namespace, given: Sequence[str]) -> int:
    if options.rounds < 1:
        raise UsageError(
            "so few samples are no time", where="--rounds", expected="1 or more", found=str(options.rounds)
        )
    if options.build is not None and options.run is not None:
        raise UsageError(
            "only one of the two",
            where="--build, --run",
            expected="one of them, or none for both",
            found=f"{options.build}, {options.run}",
        )
    folder: Path = options.build or options.run or FOLDER
    if options.run is None:
        _build(folder, options.only)
        if options.build is not None:
            print(f"built in {folder}; next: python {folder / 'run.pyz'} --run {folder}, where a GPU is")
            return 0
    if options.launch_only:
        from runtime_tests.gpu.run import launch_only

        print(f"{launch_only(folder, device=options.device, only=options.only)} launches")
        return 0
    return _run(folder, options, given)


def _build(folder: Path, only: str) -> None:
    try:
        import iree.compiler  # noqa: F401

        from runtime_tests.gpu.build import build
    except ImportError as error:
        raise UsageError(
            "nothing can be built here",
            expected="a checkout, and its dependencies",
            found=str(error),
            next_step="build in a checkout (--build FOLDER), and run what was built: --run FOLDER",
        ) from None
    build(folder, only=only, progress=_to_stderr)
    _to_stderr("", None)


def _run(folder: Path, options: argparse.Namespace, given: Sequence[str]) -> int:
    from runtime_tests.gpu.results import results_to_json
    from runtime_tests.gpu.run import require_device, run, shown_command
    from runtime_tests.gpu.tables import show

    path = options.json or folder / RESULTS
    require_device(options.device, folder)
    _require_writable(path)
    results = run(
        folder,
        device=options.device,
        only=options.only,
        rounds=options.rounds,
        sanitizer=not options.no_sanitizer,
        command=shown_command(given),
        environment=os.environ,
        progress=_to_stderr,
    )
    text = json.dumps(results_to_json(results), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    show(results)
    print(f"results: {path}")
    return 0 if results.passed else 1


def _require_writable(path: Path) -> None:
    """Before minutes of work. Raises `UsageError`."""
    try:
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise UsageError(
            "the results cannot be written",
            where=str(path),
            found=error.strerror or str(error),
            next_step="name another place with --json, and a folder that is there with --run",
        ) from None


def _to_stderr(what: str, share: float | None) -> None:
    if sys.stderr.isatty():
        part = "" if share is None else f"{share:4.0%} "
        print(f"\r\x1b[K{part}{what[:70]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
