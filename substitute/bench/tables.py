"""Tables of the measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from .criteria import (
    COMPILE_GOAL,
    COMPILE_GOAL_MODEL,
    COVERAGE_GOAL,
    ERROR_FACTOR,
    FLOOR_ULPS,
    Verdict,
    allowed_error,
    worst_output,
)
from .figures import (
    GOAL_KINDS,
    Share,
    catalog_of,
    geometric_mean,
    goal_share,
    growth_of,
    median_phases,
    ratios_to,
    shares_by_kind,
    slower_dispatches,
    whole_share,
)
from .samples import (
    ONNXRUNTIME,
    STOCK,
    SUBSTITUTED,
    CatalogGrowth,
    CompileSample,
    CoverageSample,
    GoldenSample,
    ModuleGrowth,
    ResultSample,
    TimeSample,
    ValidationSample,
)
from .subject import LeftOut

GOOD, BAD = "green", "bold red"
NOTHING = "–"
OWN_PHASES = ("read dispatches", "load kernels", "match", "make payloads")
"""Phases of a compilation with kernels besides IREE's own."""


def model_table(notes: Mapping[str, str]) -> Table:
    """Return the table of measured models."""
    table = new_table("Models", ["model", "weights"], [])
    for name, note in notes.items():
        table.add_row(name, note)
    return table


def coverage_tables(samples: Sequence[CoverageSample]) -> list[Table]:
    """Return tables per model and backend, for the goal's kinds and all; then per kind."""
    goal = f"goal for llvm-cpu: at least {COVERAGE_GOAL:.0%} of the {', '.join(GOAL_KINDS)} dispatches"
    summary = new_table(
        "Substituted dispatches",
        ["model", "backend"],
        ["of the goal's kinds", "by count", "by time", "of all", "by count", "by time"],
        caption=goal,
    )
    for sample in samples:
        cells: list[Text | str] = []
        for share in (goal_share(sample), whole_share(sample)):
            enough = share.by_count >= COVERAGE_GOAL
            cells += [
                f"{share.taken} of {share.total}",
                Text(f"{share.by_count:.0%}", style=GOOD if enough else BAD),
                _time_part(share),
            ]
        summary.add_row(sample.model, sample.backend, *cells)
    kinds = new_table(
        "Substituted dispatches by kind",
        ["model", "backend", "kind"],
        ["taken", "by count", "part of stock time", "of that substituted", "stock ÷ substituted"],
        caption="times: dispatch by dispatch from the runtime's profiler, one thread",
    )
    for sample in samples:
        total_ns = whole_share(sample).total_ns
        for at, share in enumerate(shares_by_kind(sample)):
            first = [sample.model, sample.backend] if at == 0 else ["", ""]
            kinds.add_row(
                *first,
                share.kind,
                f"{share.taken} of {share.total}",
                f"{share.by_count:.0%}",
                f"{share.total_ns / total_ns:.1%}" if total_ns else NOTHING,
                _time_part(share),
                f"{share.taken_ns / share.substituted_ns:.2f}" if share.substituted_ns else NOTHING,
            )
    return [summary, kinds]


def _time_part(share: Share) -> str:
    return NOTHING if math.isnan(share.by_time) else f"{share.by_time:.1%}"


def slower_table(samples: Sequence[CoverageSample]) -> list[Table]:
    """Return the table of dispatches that kernels made slower; none if there are none."""
    slower = slower_dispatches(samples)
    if not slower:
        return []
    table = new_table(
        "Dispatches that became slower",
        ["model", "dispatch", "kernel"],
        ["stock µs", "substituted µs", "cost, of the model's stock time"],
        caption="those that cost at least 1 % of their model's time",
    )
    for one in slower:
        name = one.dispatch.partition("$async_")[2] or one.dispatch
        table.add_row(
            one.model, name, one.kernel, f"{one.stock_us:.0f}", f"{one.substituted_us:.0f}", f"{one.lost:.1%}"
        )
    return [table]


def result_table(samples: Sequence[ResultSample], verdicts: Sequence[Verdict]) -> Table:
    """Return the table of largest errors; a model's worst result represents it."""
    table = new_table(
        "Results",
        ["model", "expected from", "result"],
        ["largest magnitude", "stock's error", "substituted's error", "allowed", ""],
        caption=f"largest |result − expected|; allowed: {ERROR_FACTOR:g} times stock's, at least {FLOOR_ULPS:g} units "
        "in the last place of the largest magnitude",
    )
    for sample, verdict in zip(samples, verdicts, strict=True):
        worst = worst_output(sample.outputs)
        table.add_row(
            sample.model,
            sample.expected_from,
            f"{worst.number}: {worst.type}" if len(sample.outputs) > 1 else worst.type,
            f"{worst.magnitude:.3g}",
            f"{worst.stock_error:.2e}",
            f"{worst.substituted_error:.2e}",
            f"{allowed_error(worst):.2e}",
            _mark(verdict.passed),
        )
    return table


def runtime_table(samples: Sequence[TimeSample], wrong: frozenset[str]) -> Table:
    """Return the table of medians and ratios. Models whose results are `wrong` get no figures."""
    rounds = sorted({len(times) for sample in samples for times in sample.seconds.values()})
    counts = f"{rounds[0]} to {rounds[-1]}" if len(rounds) > 1 else str(rounds[0]) if rounds else "no"
    table = new_table(
        "Run time",
        ["model"],
        [
            "stock ms",
            "substituted ms",
            "onnxruntime ms",
            "stock ÷ substituted",
            "substituted ÷ onnxruntime",
            "stock ÷ onnxruntime",
        ],
        caption=f"one thread each, interleaved in one process, medians of {counts} rounds",
    )
    columns: list[list[float]] = [[], [], []]
    for sample in samples:
        if sample.model in wrong:
            table.add_row(sample.model, *[NOTHING] * 5, Text("wrong results", style=BAD))
            continue
        found = ratios_to(sample, STOCK)
        theirs = ratios_to(sample, ONNXRUNTIME).ratios
        values = (1 / found.ratios[SUBSTITUTED], theirs.get(SUBSTITUTED), theirs.get(STOCK))
        for column, value in zip(columns, values, strict=True):
            column += [value] if value is not None else []
        times = (found.median_s.get(case) for case in (STOCK, SUBSTITUTED, ONNXRUNTIME))
        table.add_row(
            sample.model,
            *(NOTHING if t is None else f"{t * 1e3:.2f}" for t in times),
            *(NOTHING if v is None else f"{v:.2f}" for v in values),
        )
    means = [NOTHING if math.isnan(m := geometric_mean(column)) else f"{m:.2f}" for column in columns]
    table.add_section()
    table.add_row("geometric mean", "", "", "", *means)
    return table


def compile_tables(samples: Sequence[CompileSample]) -> list[Table]:
    """Return tables of commands and calls, then of the phases of a call with kernels."""
    table = new_table(
        "Compile time",
        ["model"],
        ["iree-compile s", "iree-substitute s", "ratio", "stock call s", "substituted call s", "ratio"],
        caption="of imported models, interleaved, medians; commands are whole processes, calls are compile_model in a "
        f"process that has compiled before; goal for {COMPILE_GOAL_MODEL}: commands' ratio at most {COMPILE_GOAL:.2f}",
    )
    for sample in samples:
        cells: list[Text | str] = []
        for times in (sample.commands, sample.in_process):
            found = ratios_to(times, STOCK)
            ratio = found.ratios[SUBSTITUTED]
            cells += [
                f"{found.median_s[STOCK]:.2f}",
                f"{found.median_s[SUBSTITUTED]:.2f}",
                Text(f"{ratio:.2f}", style=GOOD if ratio <= COMPILE_GOAL else ""),
            ]
        table.add_row(sample.model, *cells)
    names = list(dict.fromkeys(p for s in samples for case in (SUBSTITUTED, STOCK) for p in s.phases[case]))
    phases = new_table("Phases of a compiling call, seconds", ["model", "build"], names, caption="medians")
    for sample in samples:
        for case in (STOCK, SUBSTITUTED):
            medians = median_phases(sample.phases[case])
            first = sample.model if case == STOCK else ""
            phases.add_row(first, case, *(f"{medians[n]:.3f}" if n in medians else NOTHING for n in names))
    return [table, phases]


def growth_tables(modules: Sequence[ModuleGrowth], catalogs: Sequence[CatalogGrowth]) -> list[Table]:
    """Return tables of compile time by the number of executables and of kernels."""
    table = new_table(
        "Compile time by executables",
        [],
        ["executables", "substituted", "stock s", "substituted s", "ratio", *(f"{p}, ms each" for p in OWN_PHASES)],
        caption="synthetic modules, each compilation in a new process",
    )
    for figure in map(growth_of, modules):
        table.add_row(
            str(figure.executables),
            str(figure.substituted),
            f"{figure.stock_s:.2f}",
            f"{figure.substituted_s:.2f}",
            f"{figure.ratio:.2f}",
            *(f"{figure.phases_ms.get(phase, 0.0):.2f}" for phase in OWN_PHASES),
        )
    catalog = new_table(
        "Kernels in the catalog",
        [],
        ["kernels", "dispatches", "load ms", "match ms", "together ms"],
        caption="synthetic kernels with definitions of their own, none of which match; medians",
    )
    for entry in map(catalog_of, catalogs):
        times = (entry.load_ms, entry.match_ms, entry.total_ms)
        catalog.add_row(str(entry.kernels), str(entry.dispatches), *(f"{ms:.1f}" for ms in times))
    return [table, catalog]


def validation_tables(kernels: Sequence[ValidationSample], goldens: Sequence[GoldenSample]) -> list[Table]:
    """Return tables of the cost of validation."""
    table = new_table(
        "Validating the built-in kernels",
        ["kernel", "device"],
        ["quick s", "cases", "all s", "cases"],
        caption="whole commands but for Python's start; goals: 5 s and 60 s on two idle cores",
    )
    for sample in kernels:
        thorough = ("–", "–") if sample.thorough_s is None else (f"{sample.thorough_s:.1f}", str(sample.thorough_cases))
        table.add_row(sample.kernel, sample.device, f"{sample.quick_s:.1f}", str(sample.quick_cases), *thorough)
    beside = new_table("Golden", ["model"], ["dispatches", "golden s", "IREE compiles s", "golden ÷ compile"])
    for golden in goldens:
        ratio = golden.golden_s / golden.compile_s if golden.compile_s else float("nan")
        beside.add_row(
            golden.model, str(golden.dispatches), f"{golden.golden_s:.1f}", f"{golden.compile_s:.1f}", f"{ratio:.2f}"
        )
    return [table, beside]


def left_out_table(title: str, entries: Sequence[LeftOut]) -> Table:
    """Return the table of omitted measurements."""
    table = new_table(title, ["what", "why"], [])
    for entry in entries:
        table.add_row(entry.name, entry.reason)
    return table


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Return every criterion for every model."""
    table = new_table("Goals", ["criterion", "model", "found", "allowed", ""], [])
    for verdict in verdicts:
        table.add_row(verdict.criterion, verdict.model, verdict.found, verdict.allowed, _mark(verdict.passed))
    return table


def _mark(passed: bool) -> Text:
    return Text("ok", style=GOOD) if passed else Text("missed", style=BAD)


def new_table(title: str, texts: Sequence[str], numbers: Sequence[str], *, caption: str = "") -> Table:
    """Return a table without rows: columns of text, then columns of numbers."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption or None,
        caption_justify="left",
        pad_edge=False,
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table
