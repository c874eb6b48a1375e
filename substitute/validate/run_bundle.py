"""Execution and judgement of a bundle: needs iree-base-runtime and NumPy, and no compiler."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cache.atomic import write_whole
from ..errors import SubstituteError
from ..progress import Progress, silent
from .bundle_file import load_bundle
from .run import judge_bundle, judge_isolated
from .validation import Validation, installed_versions, now
from .verdict_text import dispatch_rows, failure_lines, note_lines


def run_bundle(
    path: Path,
    *,
    device: str | None = None,
    case: str = "",
    isolate: bool = True,
    command: str = "",
    progress: Progress = silent,
) -> Validation:
    """Judge every dispatch of a bundle on `device` (by default the one that it was made for).

    `command` is the command line that repeats it. Raises `UsageError` for a file that is no bundle, `DeviceError` for a
    device that is not available.
    """
    bundle = load_bundle(path).only(case)
    started, start = now(), time.perf_counter()
    judge = judge_isolated if isolate else judge_bundle
    verdicts = judge(bundle, device=device, progress=progress)
    built = {f"{name} (where the bundle was made)": version for name, version in bundle.versions.items()}
    return Validation(
        title=bundle.title or path.name,
        device=device or bundle.device,
        seed=bundle.seed,
        dispatches=verdicts,
        command=command or shlex.join(["iree-substitute", "run-bundle", str(path)]),
        started=started,
        versions={**installed_versions(), **built},
        seconds={"run": time.perf_counter() - start},
    )


def write_reports(
    validation: Validation,
    *,
    json_file: Path | None = None,
    junit: Path | None = None,
    html: Path | None = None,
    plan: Mapping[str, Any] | None = None,
) -> None:
    """Write the reports that have a path; `plan` is the JSON of a model's plan. Raises `SubstituteError`."""
    made: list[tuple[Path, bytes]] = []
    if json_file is not None:
        from ..report.validation_json import validation_to_json

        made.append((json_file, json.dumps(validation_to_json(validation), indent=2, allow_nan=False).encode()))
    if junit is not None:
        from ..report.junit import validation_to_junit

        made.append((junit, validation_to_junit(validation)))
    if html is not None:
        from ..report.page import write_page
        from ..report.page_contents import page_of_validation
        from ..report.validation_json import validation_to_json

        made.append((html, write_page(page_of_validation(validation_to_json(validation), plan)).encode()))
    for path, data in made:
        write_whole(path, data)


def main(argv: Sequence[str]) -> int:
    """Run `python FILE` for a bundle; the exit status is the verdict."""
    file, *words = argv
    parser = argparse.ArgumentParser(prog=f"python {file}", description="Runs and judges this bundle of kernels.")
    parser.add_argument("--device", help="as IREE names it; left out, the one that the bundle was made for")
    parser.add_argument("--case", default="", metavar="TEXT", help="only the cases whose name holds this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts as JSON")
    options = parser.parse_args(words)
    try:
        validation = run_bundle(
            Path(file), device=options.device, case=options.case, command=_without_case(argv), progress=_to_stderr
        )
        write_reports(validation, json_file=options.json)
    except SubstituteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    for line in lines(validation):
        print(line)
    return 0 if validation.passed else 1


def _without_case(argv: Sequence[str]) -> str:
    words, kept = iter(argv), ["python"]
    for word in words:
        if word == "--case":
            next(words, None)
        elif not word.startswith("--case="):
            kept.append(word)
    return shlex.join(kept)


def lines(validation: Validation) -> list[str]:
    """Return the verdicts as lines of text."""
    rows = [("dispatch", "kernel", "cases", "error ÷ allowed", "verdict"), *dispatch_rows(validation.dispatches)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    text = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    text += note_lines(validation.dispatches)
    for verdict in validation.dispatches:
        text += failure_lines(verdict, validation.command)
    return [*text, f"{'passed' if validation.passed else 'FAILED'} on {validation.device}"]


def _to_stderr(what: str, _share: float | None) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what[:70]}", end="" if what else "\n", file=sys.stderr, flush=True)
