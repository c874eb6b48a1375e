"""A real model with kernels: classifies files on the CPU and on Vulkan, compares results and measures times.

Run by `make demo`, or `python samples/magika/demo.py [FILE…]`. Exits with 1 if a type or a result is wrong.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from features import Detector, batches, files_at_hand, fix_batch, load_detector
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from substitute.device import (
    DispatchTime,
    Session,
    available_devices,
    describe_device,
    dispatch_times,
    measure_interleaved,
)
from substitute.errors import SubstituteError
from substitute.pipeline import CompileResult, compile_model

Array = NDArray[Any]
BATCH = 4
ROUNDS = 10
CPU_FLAGS = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)
LARGEST_VULKAN_ERROR = 1e-4
"""Tolerance of IREE's own tool for f32; stock IREE on Vulkan is wrong for some operations and no reference."""
PATIENCE_S = 5.0
"""Stock IREE gets no further batch when one took longer: on a software Vulkan device it needs most of a minute."""
SMALLEST_MEASURE = 1e-6
"""Outputs are probabilities: smaller differences are rounding errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device, compiled for with and without kernels."""

    name: str
    device: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Results and times of a target."""

    target: Target
    stock: CompileResult
    substituted: CompileResult
    stock_scores: Array
    """[files, types] f32; only of the first batch if stock IREE is slow."""
    stock_batch_s: float
    """Wall-clock time of stock IREE's last batch."""
    scores: Array
    """[files, types] f32"""


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration; return 1 if a result is wrong."""
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    detector = load_detector()
    files = [Path(argument) for argument in arguments] or files_at_hand(detector)
    missing = [str(path) for path in files if not path.is_file() or path.stat().st_size < detector.smallest_file]
    if missing:
        console.print(escape(f"no file of at least {detector.smallest_file} bytes: {', '.join(missing)}"))
        return 2
    rows = batches(files, detector, BATCH)
    with tempfile.TemporaryDirectory(prefix="iree-substitute-") as folder:
        model = fix_batch(detector.onnx, Path(folder, "magika.onnx"), BATCH)
        run_onnx = onnxruntime_call(model)
        reference = np.concatenate([run_onnx(batch) for batch in rows])[: len(files)]
        targets, left_out = find_targets()
        outcomes = [run_target(console, target, model, rows, len(files)) for target in targets]
        console.print(f"[bold]{detector.onnx.parent.name}[/], batch {BATCH}, real weights, {len(files)} files\n")
        for outcome in outcomes:
            console.print(substitution_table(outcome, stock_times(outcome, rows[0])))
            if len(outcome.stock_scores) < len(files):
                left_out.append(
                    f"stock IREE on {outcome.target.name} beyond the first {BATCH} files "
                    f"(they took {outcome.stock_batch_s:.0f} s)"
                )
        labels = label_rows(files, detector, outcomes, reference)
        console.print(type_table(files, outcomes, labels))
        console.print(distance_table(outcomes, reference))
        console.print(speed_table(console, outcomes[0], run_onnx, rows[0]))
    for line in left_out:
        console.print(escape(f"left out: {line}"))
    problems = find_problems(files, outcomes, labels, reference)
    for problem in problems:
        console.print(f"[red]wrong:[/] {escape(problem)}")
    console.print("[green]every build agrees[/]" if not problems else f"[red]{len(problems)} problems[/]")
    return 1 if problems else 0


def onnxruntime_call(model: Path) -> Callable[[Array], Array]:
    """Return the model as a function of onnxruntime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def find_targets() -> tuple[list[Target], list[str]]:
    """Return the CPU, Vulkan if there is a device, and messages about targets without one."""
    targets = [Target(name="CPU", device="local-sync", flags=CPU_FLAGS)]
    reason = available_devices().get("vulkan", "this runtime has no Vulkan driver")
    if reason:
        return targets, [f"Vulkan ({reason}; on Debian: apt-get install mesa-vulkan-drivers libvulkan1)"]
    targets.append(Target(name="Vulkan", device="vulkan", flags=("--iree-hal-target-device=vulkan",)))
    return targets, []


def run_target(console: Console, target: Target, model: Path, rows: Sequence[Array], files: int) -> Outcome:
    """Compile with and without kernels and run both on all files."""
    with step(console, f"{target.name}: compiling and running stock IREE"):
        stock = compile_model(model, flags=target.flags, substitute=False)
        stock_scores, stock_batch_s = run(stock, target, rows, PATIENCE_S)
    with step(console, f"{target.name}: compiling and running with kernels"):
        substituted = compile_model(model, flags=target.flags)
        scores, _ = run(substituted, target, rows)
    return Outcome(
        target=target,
        stock=stock,
        substituted=substituted,
        stock_scores=stock_scores[:files],
        stock_batch_s=stock_batch_s,
        scores=scores[:files],
    )


def step(console: Console, what: str) -> AbstractContextManager[object]:
    """Show a step: as a status on a terminal, as a line elsewhere."""
    if console.is_terminal:
        return console.status(what)
    console.print(f"== {what}")
    return nullcontext()


def run(
    result: CompileResult, target: Target, rows: Sequence[Array], patience_s: float = float("inf")
) -> tuple[Array, float]:
    """Return the scores, [files, types] f32, until a batch took longer than `patience_s`, and the last batch's time."""
    scores: list[Array] = []
    with Session(result.vmfb, device=target.device) as session:
        for batch in rows:
            start = time.perf_counter()
            scores += session.call(None, [batch])
            took_s = time.perf_counter() - start
            if took_s > patience_s:
                break
    return np.concatenate(scores), took_s


def stock_times(outcome: Outcome, batch: Array) -> dict[str, DispatchTime]:
    """Return the time of each dispatch without kernels; empty if stock IREE is slow."""
    if outcome.stock_batch_s > PATIENCE_S:
        return {}
    return dispatch_times(outcome.stock.vmfb, device=outcome.target.device, inputs=[batch], calls=2)


def substitution_table(outcome: Outcome, times: dict[str, DispatchTime]) -> Table:
    """Return a table of the substituted dispatches with their kernels and shares of stock IREE's time."""
    plan, payloads = outcome.substituted.plan, outcome.substituted.payloads
    device = describe_device(outcome.target.device)
    title = outcome.target.name + ("" if device == "default" else escape(f" ({device})")) + ": "
    title += f"{len(plan.substitutions)} of {len(plan.dispatches)} dispatches substituted"
    table = Table(title=title, title_justify="left")
    for name in ("dispatch", "kernel", "payload", "what was put in"):
        table.add_column(name)
    if times:
        table.add_column("part of stock time", justify="right")
    total_ns = sum(entry.total_ns for entry in times.values())
    for substitution in plan.substitutions:
        name = substitution.dispatch.name
        payload = payloads[name]
        part = [f"{times[name].total_ns / total_ns:.1%}" if name in times else ""] if times else []
        short = name.partition("$async_")[2] or name  # all begin with the function's name
        table.add_row(short, substitution.kernel.name, substitution.kernel.payload.kind.name, payload.summary, *part)
    return table


def label_rows(
    files: Sequence[Path], detector: Detector, outcomes: Sequence[Outcome], reference: Array
) -> list[dict[str, str]]:
    """Return, for each file, the type by each build, onnxruntime and magika itself."""
    from magika import Magika

    columns = {"onnxruntime": reference}
    for outcome in outcomes:
        columns[f"stock {outcome.target.name}"] = outcome.stock_scores
        columns[f"substituted {outcome.target.name}"] = outcome.scores
    magika = Magika()
    found = []
    for at, path in enumerate(files):
        known = {name: scores for name, scores in columns.items() if at < len(scores)}
        row = {name: detector.labels[int(scores[at].argmax())] for name, scores in known.items()}
        row["magika"] = str(magika.identify_path(path).dl.label)
        found.append(row)
    return found


def type_table(files: Sequence[Path], outcomes: Sequence[Outcome], labels: Sequence[dict[str, str]]) -> Table:
    """Return a table of each file's type by every build."""
    shown = [f"{kind} {outcome.target.name}" for outcome in outcomes for kind in ("stock", "substituted")]
    table = Table(title="what the files are", title_justify="left")
    for name in ("file", *shown, "magika itself"):
        table.add_column(name)
    for path, row in zip(files, labels, strict=True):
        cells = [row.get(name, "–") for name in (*shown, "magika")]
        table.add_row(
            escape(path.name), *(cell if cell in ("–", row["magika"]) else f"[red]{cell}[/]" for cell in cells)
        )
    return table


def distance_table(outcomes: Sequence[Outcome], reference: Array) -> Table:
    """Return a table of the largest differences between probabilities."""
    table = Table(title="largest distance of any probability", title_justify="left")
    for name in ("target", "stock from onnxruntime", "substituted from onnxruntime", "substituted from stock"):
        table.add_column(name, justify="left" if name == "target" else "right")
    for outcome in outcomes:
        pairs = ((outcome.stock_scores, reference), (outcome.scores, reference), (outcome.scores, outcome.stock_scores))
        table.add_row(outcome.target.name, *(f"{distance(a, b):.1e}" for a, b in pairs))
    return table


def distance(a: Array, b: Array) -> float:
    """Return the largest |a − b| over the files that both have; infinite if one is NaN."""
    files = min(len(a), len(b))
    largest = float(np.abs(a[:files].astype(np.float64) - b[:files]).max())
    return largest if np.isfinite(largest) else float("inf")


def speed_table(console: Console, outcome: Outcome, run_onnx: Callable[[Array], Array], batch: Array) -> Table:
    """Return a table of median times, one thread each, interleaved in this process."""
    with ExitStack() as stack, step(console, "CPU: timing, one thread each"):
        builds = (("stock IREE", outcome.stock), ("with kernels", outcome.substituted))
        cases: dict[str, Callable[[], object]] = {}
        for name, result in builds:
            session = stack.enter_context(Session(result.vmfb, device=outcome.target.device))
            cases[name] = session.bind(None, [batch])
        cases["onnxruntime"] = lambda: run_onnx(batch)
        timings = measure_interleaved(cases, rounds=ROUNDS)
        cases.clear()
    table = Table(title=f"CPU, one thread, batch {BATCH}, median of {ROUNDS} rounds", title_justify="left")
    for name in ("", "ms", "times as fast as stock IREE", "time ÷ onnxruntime's"):
        table.add_column(name, justify="left" if not name else "right")
    for name, timing in timings.items():
        faster = timings["stock IREE"].ratio_to(timing)
        table.add_row(
            name, f"{timing.median_us / 1e3:.1f}", f"{faster:.1f}", f"{timing.ratio_to(timings['onnxruntime']):.2f}"
        )
    return table


def find_problems(
    files: Sequence[Path], outcomes: Sequence[Outcome], labels: Sequence[dict[str, str]], reference: Array
) -> list[str]:
    """Return messages about wrong results."""
    problems = []
    for path, row in zip(files, labels, strict=True):
        if len(set(row.values())) != 1:
            problems.append(f"{path.name}: " + ", ".join(f"{name} says {label}" for name, label in row.items()))
    for outcome in outcomes:
        stock = max(distance(outcome.stock_scores, reference), SMALLEST_MEASURE)
        allowed = 2 * stock if outcome.target.name == "CPU" else LARGEST_VULKAN_ERROR
        found = distance(outcome.scores, reference)
        if not found <= allowed:
            problems.append(f"{outcome.target.name}: {found:.1e} away from onnxruntime, allowed {allowed:.1e}")
        if not outcome.substituted.plan.substitutions:
            problems.append(f"{outcome.target.name}: no kernel was put in")
    return problems


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SubstituteError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
