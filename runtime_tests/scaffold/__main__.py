"""`python -m runtime_tests.scaffold MODEL…`: writes a kernel for every dispatch, and validates each as it is."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from runtime_tests.arguments import at_least, ends_in_words
from substitute.errors import SubstituteError
from substitute.inspection import inspect_model
from substitute.model.dispatch import Dispatch
from substitute.scaffold.draft import NotExpressible
from substitute.scaffold.folder import check_against, write_kernel
from substitute.scaffold.languages import LANGUAGES, Language, find_language
from substitute.scaffold.lift import lift
from substitute.validate.batch import validate_kernels
from substitute.validate.kernel import find_kernels

FOLDER = Path("build/scaffold")


@ends_in_words
def main(argv: Sequence[str] | None = None) -> int:
    """0 if every kernel that was written passes."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.scaffold", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--kind", choices=[one.kind for one in LANGUAGES], default="llvm-ir")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"for the kernels (default: {FOLDER})")
    parser.add_argument("--validate", type=at_least(0), default=10, metavar="N", help="kernels of each model, evenly")
    options = parser.parse_args(argv)
    language = find_language(options.kind)
    outcomes: Counter[str] = Counter()
    for model in options.models:
        plan = inspect_model(model, builtin=False, flags=tuple(language.flags.split()), isolate=True)
        written = [
            folder
            for number, dispatch in enumerate(plan.dispatches)
            if (folder := _write(dispatch, language, options.folder / f"{model.parent.name}_{number}", outcomes))
        ]
        step = max(1, len(written) // options.validate) if options.validate else len(written) + 1
        for folder in written[::step][: options.validate]:
            _validate(folder, language, outcomes)
    total = outcomes["written"] + outcomes["refused"]
    print(f"{options.kind}: {total} dispatches: {outcomes['written']} written, {outcomes['refused']} refused")
    print(f"validated: {outcomes['passed'] + outcomes['failed']}, passed: {outcomes['passed']}")
    return 1 if outcomes["failed"] else 0


def _write(dispatch: Dispatch, language: Language, folder: Path, outcomes: Counter[str]) -> Path | None:
    """Write a kernel for a dispatch, and return its folder; None where it cannot be expressed, which is said."""
    try:
        if dispatch.program is None:
            raise NotExpressible(dispatch.reason)
        new = write_kernel(
            lift(dispatch.program, "kernel"),
            language,
            name=folder.name,
            entry="kernel",
            summary=dispatch.name,
            origin=f"Lifted from {dispatch.name}",
        )
        check_against(new, dispatch)
    except NotExpressible as error:
        outcomes["refused"] += 1
        print(f"refused: {folder.name}, {dispatch.name}: {error}", flush=True)
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in new.files.items():
        (folder / file).write_text(text)
    outcomes["written"] += 1
    return folder


def _validate(folder: Path, language: Language, outcomes: Counter[str]) -> None:
    try:
        (verdict,) = validate_kernels(find_kernels([str(folder)]), device=language.device, quick=True)
        passed, words = verdict.passed, verdict.error or verdict.message
    except SubstituteError as error:
        passed, words = False, str(error)
    outcomes["passed" if passed else "failed"] += 1
    print(f"{'passed' if passed else 'FAILED'}: {folder.name}{'' if passed else f': {words}'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
