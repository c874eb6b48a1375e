"""`python -m substitute.bench`: benchmarks of this machine."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ..cache.atomic import write_whole
from ..cli.terminal import check_writable, progress, show
from ..errors import SubstituteError, UsageError
from . import tables
from .criteria import Verdict, judge_compile, judge_coverage, judge_results
from .filter_tables import filter_tables
from .measure import (
    QUICK,
    SECTIONS,
    THOROUGH,
    Effort,
    describe_machine,
    measure_compiles,
    measure_device,
    measure_filters,
    measure_growth,
    measure_models,
    measure_validating,
)
from .report import render_report
from .samples import Samples, merge
from .selection import Selection, select_models
from .simulator_tables import simulator_tables

FILE = click.Path(path_type=Path)
MODEL_SECTIONS = frozenset({"coverage", "results", "runtime"})
"""Sections that need a model to be compiled and run."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--only", metavar="A,B", help="Sections to measure: " + ", ".join(SECTIONS) + ". Default: all.")
@click.option("--models", metavar="A,B", help="Names of models to measure; * stands for anything. Default: all.")
@click.option(
    "--model-set",
    "sets",
    multiple=True,
    type=FILE,
    metavar="DIR",
    help="A folder with an index.json that names models, inputs and expected outputs.",
)
@click.option(
    "--model", "files", multiple=True, metavar="NAME=FILE", help="Another file for a model, or one more ONNX model."
)
@click.option("--kernels", multiple=True, type=FILE, metavar="DIR", help="Kernels besides the built-in ones.")
@click.option("--quick", is_flag=True, help="Fewer repetitions, and small sizes for growth.")
@click.option("--report", "report_file", type=FILE, metavar="FILE", help="Write the tables there as Markdown, too.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write everything that was measured there, too.")
def command(
    only: str | None,
    models: str | None,
    sets: tuple[Path, ...],
    files: tuple[str, ...],
    kernels: tuple[Path, ...],
    quick: bool,
    report_file: Path | None,
    json_file: Path | None,
) -> int:
    """Measure coverage, results, run time, compile time and its growth, the filter, validation, and the simulated
    device.

    Exits with 1 if a result is wrong or a measurement failed; missed goals of speed and coverage are only shown.
    """
    check_writable(json_file, "--json")
    check_writable(report_file, "--report")
    sections = _sections(only)
    overrides = _overrides(files)
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="iree-substitute-bench-") as name:
        folder = Path(name)
        chosen = Selection(subjects=(), left_out=())
        if sections & (MODEL_SECTIONS | {"compile", "filter", "validation"}):
            with progress() as report:
                chosen = select_models(_words(models), sets, overrides, folder, report)
        click.echo("  ".join(f"{key}: {value}" for key, value in machine.items()))
        samples = Samples(left_out=chosen.left_out, notes={one.name: one.note for one in chosen.subjects})
        shown = Shown()
        samples = _measure(samples, chosen, sections, kernels, QUICK if quick else THOROUGH, folder, shown)
    verdicts = judge(samples, sections)
    if verdicts:
        shown.add([tables.verdict_table(verdicts)])
    if report_file is not None:
        text = render_report(shown.tables, machine, effort="quick" if quick else "thorough")
        write_whole(report_file, text.encode())
    if json_file is not None:
        write_whole(json_file, (json.dumps(to_json(samples, verdicts, machine), indent=1) + "\n").encode())
    wrong = [v for v in verdicts if v.criterion == "results" and not v.passed]
    return 1 if wrong or samples.failures else 0


class Shown:
    """The tables printed so far."""

    def __init__(self) -> None:
        self.tables: list[Table] = []

    def add(self, found: Sequence[Table]) -> None:
        """Print tables and collect them."""
        for table in found:
            show(table)
            click.echo()
        self.tables.extend(found)


def _measure(
    samples: Samples,
    chosen: Selection,
    sections: frozenset[str],
    kernels: Sequence[Path],
    effort: Effort,
    folder: Path,
    shown: Shown,
) -> Samples:
    """Measure section by section, and show each when it is done."""
    if sections & MODEL_SECTIONS:
        with progress() as report:
            samples = merge(samples, measure_models(chosen.subjects, sections, kernels, effort, report))
        _show_models(samples, sections, shown)
    if "compile" in sections:
        with progress() as report:
            samples = merge(samples, measure_compiles(chosen.subjects, kernels, effort, folder, report))
        shown.add(tables.compile_tables(samples.compiles))
    if "growth" in sections:
        with progress() as report:
            samples = merge(samples, measure_growth(kernels, effort, folder, report))
        shown.add(tables.growth_tables(samples.modules, samples.catalogs))
    if "simulator" in sections:
        with progress() as report:
            samples = merge(samples, measure_device(effort, report))
        shown.add(simulator_tables(samples.simulator, samples.loads, samples.simulated_models))
    if "filter" in sections:
        with progress() as report:
            samples = merge(samples, measure_filters(chosen.subjects, effort, folder, report))
        shown.add(filter_tables(samples.filters, samples.hooks))
    if "validation" in sections:
        with progress() as report:
            samples = merge(samples, measure_validating(chosen.subjects, effort, report))
        shown.add(tables.validation_tables(samples.validations, samples.goldens))
    for title, entries in (("Left out", samples.left_out), ("Could not be measured", samples.failures)):
        if entries:
            shown.add([tables.left_out_table(title, entries)])
    return samples


def _show_models(samples: Samples, sections: frozenset[str], shown: Shown) -> None:
    verdicts = judge_results(samples.results)
    shown.add([tables.model_table(samples.notes)])
    if "coverage" in sections:
        shown.add([*tables.coverage_tables(samples.coverage), *tables.slower_table(samples.coverage)])
    if "results" in sections:
        shown.add([tables.result_table(samples.results, verdicts)])
    if "runtime" in sections:
        wrong = frozenset(v.model for v in verdicts if not v.passed)
        shown.add([tables.runtime_table(samples.runtimes, wrong)])


def judge(samples: Samples, sections: frozenset[str]) -> list[Verdict]:
    """Return every criterion. Results are judged whenever a model ran, since no figure counts without them."""
    verdicts = judge_results(samples.results)
    if "coverage" in sections:
        verdicts += judge_coverage(samples.coverage)
    return verdicts + judge_compile(samples.compiles)


def to_json(samples: Samples, verdicts: Sequence[Verdict], machine: Mapping[str, str]) -> dict[str, Any]:
    """Return the samples and the figures derived from them as JSON values."""
    return {"machine": dict(machine), **asdict(samples), "verdicts": [asdict(verdict) for verdict in verdicts]}


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _sections(only: str | None) -> frozenset[str]:
    names = _words(only) or list(SECTIONS)
    for name in names:
        if name not in SECTIONS:
            raise UsageError(
                "there is no such section",
                where="--only",
                expected="one or more of " + ", ".join(SECTIONS),
                found=name,
            )
    return frozenset(names)


def _overrides(files: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in files:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError("not a model", where="--model", expected="NAME=FILE", found=text)
        found[name] = Path(path)
    return found


def main() -> int:
    """Run the benchmark and return its exit status."""
    try:
        status = command.main(prog_name="python -m substitute.bench", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except SubstituteError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130


if __name__ == "__main__":
    sys.exit(main())
