"""Thousands of random programs: drawn, judged in child processes, and what was found made small and kept."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime_tests.fuzz.function import Function
from runtime_tests.fuzz.judge import judge_functions
from runtime_tests.fuzz.linalg import draw_function
from runtime_tests.fuzz.onnx_graphs import draw_graph
from runtime_tests.fuzz.outcome import OURS, Finding, Report, Setting
from runtime_tests.fuzz.shrink import shrink
from substitute.isolate import die_with_parent

AT_ONCE = 40
"""Functions in one module."""
GRAPHS = 5
"""One module of so many is made of ONNX graphs."""
WHOLE = 8
"""One module in this many is compiled by IREE alone as well, and its functions are called whole."""
PATIENCE_S = 3600.0
"""For one module."""
MODULES = 12
"""Modules that one child process judges: what the compiler leaves in memory goes with it."""
DEVICES = {"cpu": "local-task", "vulkan": "vulkan"}


def draw(seed: str, record: Sequence[int] | None = None) -> Function:
    """The program of a seed, `CAMPAIGN:NUMBER`, or of a record of choices; of the seed `CAMPAIGN:onnx:…` a graph."""
    return draw_graph(seed, record) if ":onnx:" in seed else draw_function(seed, record)


def seed_of(campaign: int | str, number: int) -> str:
    """The seed of a program: in one module of `GRAPHS` they are ONNX graphs."""
    graph = number // AT_ONCE % GRAPHS == GRAPHS - 1
    return f"{campaign}:onnx:{number}" if graph else f"{campaign}:{number}"


class Worker:
    """Judges modules in a child process, which may die."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._left = 0

    def judge(self, functions: Sequence[Function], setting: Setting) -> Report:
        """Return the outcomes of functions; if the child crashes, find the function that crashes it."""
        functions = list(functions)
        if self._pool is None or self._left == 0:
            self.close()
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=die_with_parent
            )
            self._left = MODULES
        self._left -= 1
        try:
            return self._pool.submit(judge_functions, functions, setting).result(PATIENCE_S)
        except (BrokenProcessPool, Late) as error:
            why = "the process died" if isinstance(error, BrokenProcessPool) else "it never ended"
            self.kill()
        if len(functions) == 1:
            return self._dead(functions, setting, why)
        report = Report()
        middle = len(functions) // 2
        for start, part in ((0, functions[:middle]), (middle, functions[middle:])):
            report.add(self.judge(part, setting), range(start, start + len(part)))
        return report

    def _dead(self, functions: list[Function], setting: Setting, why: str) -> Report:
        """Return the outcome of a function that crashes the process, and check whether IREE's own code does too."""
        report = Report(functions=1)
        if setting.substitute:
            alone = self.judge(functions, replace(setting, substitute=False, whole=True))
            if any(f.kind == "stock crashed" for f in alone.findings):
                report.add(alone, [0])
                report.functions = 1
                return report
        kind = "crashed" if setting.substitute else "stock crashed"
        report.findings.append(Finding(kind=kind, number=0, message=why))
        return report

    def kill(self) -> None:
        """Ends the child, whatever it does."""
        if self._pool is not None:
            for process in list(self._pool._processes.values()):
                process.kill()
        self.close()

    def close(self) -> None:
        """Ends the child once it is idle."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None


def run_campaign(
    seed: int,
    programs: int,
    setting: Setting,
    *,
    jobs: int = 1,
    first: int = 0,
    folder: Path | None = None,
    shrinks: int = 6,
    whole: int = WHOLE,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Judges programs `SEED:FIRST` and on; the summary, which is also kept in `folder` with every finding."""
    start = time.perf_counter()
    total, seeds = Report(), {}
    lock = threading.Lock()
    workers = threading.local()
    made: list[Worker] = []
    numbers = list(range(first, first + programs))
    groups = [numbers[at : at + AT_ONCE] for at in range(0, programs, AT_ONCE)]

    def one(number: int) -> None:
        worker = getattr(workers, "worker", None)
        if worker is None:
            worker = workers.worker = Worker()
            made.append(worker)
        functions = [draw(seed_of(seed, n)) for n in groups[number]]
        report = worker.judge(functions, replace(setting, whole=number % whole == 0))
        with lock:
            seeds.update({n: f.seed for n, f in zip(groups[number], functions, strict=True)})
            total.add(report, groups[number])
            seconds = time.perf_counter() - start
            say(
                f"{total.functions} of {programs} programs, {60 * total.functions / seconds:.0f} a minute: "
                f"{_kinds(total) or 'nothing found'}"
            )
            if folder is not None:
                _write(folder, summary(total, seed, setting, seconds))

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, range(len(groups))))
    worker = made[0] if made else Worker()
    for signature, finding in list(_first_of_each(total))[:shrinks]:
        small = shrunk(draw(seed_of(seed, finding.number)), finding, setting, worker)
        say(f"{signature}: {small.seed} shrunk to {len(small.parts)} lines")
        if folder is not None:
            keep(folder, small, finding, setting)
    for worker in made:
        worker.close()
    found = summary(total, seed, setting, time.perf_counter() - start)
    if folder is not None:
        _write(folder, found)
    return found


def _kinds(report: Report) -> str:
    counts: dict[str, int] = {}
    for finding in report.findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _first_of_each(report: Report) -> Iterator[tuple[str, Finding]]:
    """One finding of each kind, kernel and stage."""
    seen = set()
    for finding in report.findings:
        stage = finding.message.partition("] ")[2].partition(":")[0] or finding.message[-60:]
        signature = f"{finding.kind} {finding.kernel} {stage}"
        if finding.kind in OURS and signature not in seen:
            seen.add(signature)
            yield signature, finding


def shrunk(function: Function, finding: Finding, setting: Setting, worker: Worker, *, modules: int = 30) -> Function:
    """The smallest function found that fails in the same way."""
    whole = replace(setting, whole=finding.kind == "differs")

    def failing(functions: Sequence[Function]) -> list[bool]:
        report = worker.judge(functions, whole)
        wrong = {f.number for f in report.findings if (f.kind, f.kernel) == (finding.kind, finding.kernel)}
        return [number in wrong for number in range(len(functions))]

    return shrink(function, draw, failing, modules=modules)


def keep(folder: Path, function: Function, finding: Finding, setting: Setting) -> Path:
    """Writes a finding: the program as MLIR, and how to judge it again."""
    place = folder / f"{finding.kind.replace(' ', '_')}-{function.seed.replace(':', '-')}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "program.mlir").write_text("module {\n" + function.text("f0") + "\n}\n")
    (place / "choices.json").write_text(json.dumps({"seed": function.seed, "choices": function.choices}))
    backend = next(name for name, device in DEVICES.items() if device == setting.device)
    command = f"python -m runtime_tests.fuzz --backend {backend} --replay"
    (place / "README").write_text(
        f"{finding.kind}: {finding.kernel} {finding.dispatch}\n{finding.message}\n\n"
        f"{command} {function.seed}   # as it was drawn\n{command} {place}   # made smaller\n"
    )
    return place


def summary(report: Report, seed: int, setting: Setting, seconds: float) -> dict[str, Any]:
    """The figures of a campaign."""
    findings = [
        {
            "seed": seed_of(seed, f.number),
            "kind": f.kind,
            "kernel": f.kernel,
            "dispatch": f.dispatch,
            "message": f.message,
        }
        for f in report.findings
    ]
    counts: dict[str, int] = {}
    for f in report.findings:
        counts[f.kind] = counts.get(f.kind, 0) + 1
    refused: dict[str, int] = {}
    for words in report.refused.values():
        refused[words] = refused.get(words, 0) + 1
    return {
        "device": setting.device,
        "seed": seed,
        "programs": report.functions,
        "wall_s": round(seconds, 1),
        "findings": counts,
        "counts": dict(report.counts),
        "substituted": dict(report.kernels.most_common()),
        "no_kernel": dict(report.left.most_common()),
        "not_read": dict(report.unread.most_common()),
        "not_judged": dict(report.unjudged.most_common()),
        "refused_by_iree": {"programs": len(report.refused), "reasons": refused},
        "processor_s": {k: round(v, 1) for k, v in report.seconds.items()},
        "list": findings,
    }


def _write(folder: Path, data: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
