"""`python -m runtime_tests.spellings`: definitions of common operations matched with the output of frontends."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime_tests.arguments import at_least, ends_in_words
from runtime_tests.spellings.definitions import OPERATIONS
from runtime_tests.spellings.dispatches import TARGETS
from runtime_tests.spellings.matrix import SETTINGS, format_causes, format_matrix, measure
from runtime_tests.spellings.onnx_nodes import write_models
from runtime_tests.spellings.rewriting import run

FOLDER = Path("build/spellings")
SCRIPTS = {"torch": "torch_models.py", "jax": "jax_models.py"}


@ends_in_words
def main(argv: Sequence[str] | None = None) -> int:
    """0 unless a near miss was accepted."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.spellings", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"for models and what was read (default: {FOLDER})")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has torch, iree-turbine and jax")
    parser.add_argument("--level", default="O1", choices=("O0", "O1", "O2", "O3"), help="IREE's optimisation level")
    parser.add_argument("--target", default="llvm-cpu", choices=TARGETS, help="the backend; no device is needed")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="of the models, divided by commas")
    parser.add_argument("--only", default="", help="operations, divided by commas")
    parser.add_argument("--again", action="store_true", help="use the models that are in the folder already")
    parser.add_argument("--causes", action="store_true", help="a line for each spelling that does not match")
    parser.add_argument("--rewritings", type=at_least(0), default=100, metavar="N", help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    models = options.folder / "models"
    only = set(filter(None, options.only.split(",")))
    unknown = only - {operation.name for operation in OPERATIONS}
    if unknown:
        parser.error(f"no such operation: {', '.join(sorted(unknown))} (there are {_names()})")
    settings = set(options.settings.split(","))
    if not settings <= set(SETTINGS):
        parser.error(f"--settings: there are {', '.join(SETTINGS)}")
    if shutil.which(options.python) is None:
        parser.error(f"--python: {options.python} is no program")
    if not options.again:
        _write(models, options.python, settings, only)
    elif not models.is_dir():
        parser.error(f"--again: there are no models in {models}")
    paths = [p for p in models.iterdir() if not only or p.stem.split("-")[0] in only]
    paths = [p for p in paths if p.stem.split("-")[-1] in settings]
    outcomes = measure(paths, options.folder / "read", options.level, options.target)
    if options.causes:
        print(format_causes(outcomes), "\n")
    print(format_matrix(outcomes))
    accepted = 0
    for element in ("f32", "f16"):
        tally = run(options.seed, options.rewritings, only=frozenset(only), element=element)
        print(f"{element}: rewritten at random: {tally.equal} spellings, {tally.equal - len(tally.missed)} matched")
        print(f"{element}: near misses: {tally.near}, {len(tally.accepted)} accepted")
        for wrong in tally.accepted:
            print(f"  accepted: {wrong.operation} after {', '.join(wrong.steps)}")
        accepted += len(tally.accepted)
    return 1 if accepted else 0


def _write(models: Path, python: str, settings: set[str], only: set[str]) -> None:
    """Write the models of all frontends that are there; say which are not."""
    models.mkdir(parents=True, exist_ok=True)
    for line in write_models(models, settings, only):
        print(line, file=sys.stderr)
    for frontend, script in SCRIPTS.items():
        path = Path(__file__).parent / "frontends" / script
        command = [python, str(path), str(models), ",".join(sorted(settings)), ",".join(sorted(only))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout, end="", file=sys.stderr)
        if done.returncode:
            words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            print(f"{frontend}: left out: {words[-1]}", file=sys.stderr)


def _names() -> str:
    return ", ".join(operation.name for operation in OPERATIONS)


if __name__ == "__main__":
    raise SystemExit(main())
