"""The results for a person: through rich in a terminal, as plain lines elsewhere and where it is not installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from runtime_tests.gpu.contenders import COPY, KERNEL
from runtime_tests.gpu.measure import GOAL, Measured
from runtime_tests.gpu.results import ItemResult, ModelResult, Results
from runtime_tests.gpu.timing import relative_spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of words below a heading."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(results: Results) -> list[Table]:
    """All tables that have rows."""
    made = [
        Table(
            title=f"Results on {heading(results)}",
            header=("", "kernels", "golden", "error ÷ allowed", "same bits", "verdict"),
            rows=tuple([*map(_item, results.items), *map(_model, results.models)]),
        ),
        Table(
            title="compute-sanitizer",
            header=("tool", "outcome", ""),
            rows=tuple((s.tool, s.status, s.message) for s in results.sanitized),
        ),
        Table(
            title="Times (medians; in turns, on buffers beyond the cache)",
            header=("problem", "who", "", "median", "spread", "rate", "share"),
            rows=tuple(row for t in results.timings if t.measured is not None for row in _timing(t.measured)),
        ),
    ]
    return [table for table in made if table.rows]


def heading(results: Results) -> str:
    """Device, driver and date."""
    facts = results.device
    driver = f"driver {facts.release}, " if facts.release else ""
    return f"{facts.name} ({driver}CUDA {facts.cuda}), {results.date}, launched by {facts.launcher}"


def notes(results: Results) -> list[str]:
    """Return the notes below the tables: failures and omissions."""
    lines = []
    for item in results.items:
        if item.error or item.skipped:
            lines.append(f"{item.name}: {item.error or item.skipped}")
        lines += [f"{item.name}: {d.name} is not judged: {d.skipped}" for d in item.dispatches if d.skipped]
        lines += [f"{item.name}: {d.name}: {d.message}" for d in item.dispatches if not d.skipped and not d.passed]
        lines += [
            f"{item.name}: {c.dispatch} [{c.inputs}], {c.target}: {c.error or '; '.join(map(str, c.differences))}"
            for c in item.bits
            if not c.passed
        ]
    lines += [f"{model.name}: {model.error}" for model in results.models if model.error]
    lines += [f"{s.tool}: {line}" for s in results.sanitized for line in s.lines]
    lines += [f"{t.problem}: {t.error}" for t in results.timings if t.error]
    lines += [
        f"{t.problem}: {absent.name}: {absent.reason}"
        for t in results.timings
        if t.measured is not None
        for absent in t.measured.absent
    ]
    if results.no_timings:
        lines.append(f"nothing was timed: {results.no_timings}")
    return lines


def _item(item: ItemResult) -> tuple[str, ...]:
    kernels = ", ".join(item.kernels)
    if item.skipped or item.error:
        return item.name, kernels, "", "", "", item.status
    judged = [d for d in item.dispatches if not d.skipped]
    cases = sum(d.cases for d in judged)
    targets = ", ".join(sorted({c.target for c in item.bits}))
    return (
        item.name,
        kernels,
        f"{sum(d.passed for d in judged)} of {len(item.dispatches)} dispatches, {cases} cases",
        f"{item.worst:.2f}" if judged else "",
        f"{sum(c.passed for c in item.bits)} of {len(item.bits)} ({targets})",
        item.status,
    )


def _model(model: ModelResult) -> tuple[str, ...]:
    verdict = "passed" if model.passed else "failed"
    return model.name, ", ".join(model.kernels), "whole model", f"{model.worst:.2f}", "", verdict


def _timing(found: Measured) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in found.rows:
        moved = found.copied_bytes if row.name == COPY else found.moved_bytes
        amount, unit = (found.operations / 1e6, "Tflop/s") if found.operations else (moved / 1e3, "GB/s")
        share = ""
        if row.name == KERNEL and found.share is not None:
            share = f"{found.share:.0%} of {found.reference} (goal {GOAL:.0%})"
        rows.append(
            (
                found.problem,
                row.name,
                row.what,
                f"{row.timing.median_us:.1f} µs",
                f"{relative_spread(row.timing):.1%}",
                f"{amount / row.timing.median_us:.1f} {unit}",
                share,
            )
        )
    return rows


def show(results: Results) -> None:
    """Prints everything."""
    for table in tables(results):
        _print(table)
    for line in notes(results):
        print(line)
    print("passed" if results.passed else "FAILED", "on", results.device.name)


def _print(table: Table) -> None:
    if not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
        print("\n".join(plain_lines(table)))
        return
    from rich.console import Console
    from rich.table import Table as RichTable

    made = RichTable(title=table.title, title_justify="left")
    for name in table.header:
        made.add_column(name, overflow="fold")
    for row in table.rows:
        made.add_row(*row)
    Console().print(made)


def plain_lines(table: Table) -> Sequence[str]:
    """A table without lines, whatever the width."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.header))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return ["", table.title, *lines]
