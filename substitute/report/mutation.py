"""Reports of `validate --mutate`: one line per kernel, then each mutant that no case detected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ..validate.mutation.mutant import EQUIVALENT, INVALID, KILLED, SURVIVED, MutationReport, Outcome
from .validation_tables import BAD, DIM, make_table


def mutation_tables(reports: Sequence[MutationReport], *, width: int | None) -> RenderableType:
    """Return the table of all kernels, then the survivors of each with file and line."""
    heads = ("kernel", "device", "mutants", "killed", "survived", "same code", "verdict")
    rows = [(r.kernel, r.device, *(str(n) for n in _counts(r)), _verdict(r)) for r in reports]
    lines: list[Text] = []
    for report in reports:
        if report.unproven:
            lines.append(Text(f"{report.kernel}: {report.unproven}", style=BAD))
        lines += [Text(f"{report.kernel}: {line}") for line in survivor_lines(report)]
        if report.possible > len(report.outcomes):
            lines.append(
                Text(
                    f"{report.kernel}: drawn from {report.possible} with seed {report.seed}; --count N judges more",
                    style=DIM,
                )
            )
    return Group(make_table(heads, rows, numbers=(2, 3, 4, 5), width=width), *lines)


def survivor_lines(report: MutationReport) -> list[str]:
    """Return one line for each mutant that passed."""
    return [f"passed: {report.file}{_place(o)}: {o.mutant.operator}: {o.mutant.change}" for o in report.survivors]


def mutation_to_json(report: MutationReport) -> dict[str, Any]:
    """Return a report as JSON."""
    return {
        "kernel": report.kernel,
        "device": report.device,
        "seed": report.seed,
        "quick": report.quick,
        "file": report.file,
        "message": report.unproven,
        "possible": report.possible,
        "counts": {status: report.count(status) for status in (KILLED, SURVIVED, EQUIVALENT, INVALID)},
        "mutants": [
            {
                "status": o.status,
                "operator": o.mutant.operator,
                "line": o.mutant.line,
                "before": o.mutant.before,
                "after": o.mutant.after,
                "code": o.mutant.title,
                "reason": o.reason,
                "case": o.case,
            }
            for o in report.outcomes
        ],
    }


def _counts(report: MutationReport) -> tuple[int, ...]:
    return (len(report.outcomes), *(report.count(status) for status in (KILLED, SURVIVED, EQUIVALENT)))


def _place(outcome: Outcome) -> str:
    mutant = outcome.mutant
    line = f", line {mutant.line}"
    return f" (its code for {mutant.title}{line})" if mutant.title else line


def _verdict(report: MutationReport) -> str:
    if report.error:
        return "FAILED"
    if report.unproven:
        return "not judged"
    if not report.survivors:
        return "all seen"
    return f"{report.share:.1%} seen"
