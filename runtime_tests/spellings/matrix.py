"""Counts of the spellings that a definition matches, by operation, frontend and setting, and causes of misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from runtime_tests.spellings.definitions import OPERATIONS, Operation, make_kernel
from runtime_tests.spellings.dispatches import Spelling, read_all
from substitute.match.nearness import nearest_miss
from substitute.match.planner import decide
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import Kernel, TargetRule
from substitute.model.plan import Decision

SETTINGS = ("f32", "dynamic", "f16", "bf16")
MARKS = {"matched": "+", "slots": "s", "not": "-", "failed": "!"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result for one spelling."""

    spelling: Spelling
    mark: str
    """A key of `MARKS`."""
    cause: str


def measure(paths: Sequence[Path], cache_folder: Path, level: str, target: str = "llvm-cpu") -> list[Outcome]:
    """Return the outcome of every model."""
    known = {operation.name: operation for operation in OPERATIONS}
    spellings = [s for s in (Spelling(path=p) for p in sorted(paths)) if s.operation in known]
    kernels = {f"{s.operation} {s.element}": [_kernel(s.operation, s.element, target, False)] for s in spellings}
    return [
        _judge(known[spelling.operation], spelling, found, target)
        for spelling, found in read_all(spellings, kernels, cache_folder, level, target)
    ]


def _judge(operation: Operation, spelling: Spelling, found: list[Dispatch] | str, target: str) -> Outcome:
    if isinstance(found, str):
        return Outcome(spelling=spelling, mark="failed", cause=found.splitlines()[0][:200])
    # an embedding's definition may say what a negative index means, or leave it open
    names = [operation.name] + ["embedding_wrapped"] * (operation.name == "embedding")
    decisions: list[Decision] = []
    for slots in (False, True):
        for name in names:
            kernel = _kernel(name, spelling.element, target, slots)
            if slots and not all(form.program.cores for form in kernel.forms):
                continue  # no catalog takes it: its epilogue would be the whole of any element-wise work
            decisions += [decide(kernel, dispatch, lambda _k, _d: "") for dispatch in found]
        if any(d.accepted for d in decisions):
            return Outcome(spelling=spelling, mark="slots" if slots else "matched", cause="")
    split = f"{len(found)} dispatches; " if len(found) != 1 else ""
    near = nearest_miss([d for d in decisions if not d.kernel.slots])
    if near is None:
        return Outcome(spelling=spelling, mark="not", cause=split)
    rule = near.rules[-1]
    return Outcome(
        spelling=spelling, mark="not", cause=f"{split}{rule.name}: wants {rule.expected}, found {rule.found}"
    )


@cache
def _kernel(name: str, element: str, target: str, slots: bool) -> Kernel:
    operation = next(o for o in OPERATIONS if o.name == name)
    kernel = make_kernel(operation, element, slots=("prologue", "epilogue") if slots else (), generated=slots)
    return replace(kernel, targets=(TargetRule(backend=target),))


def format_matrix(outcomes: Sequence[Outcome]) -> str:
    """Return the matrix as text, with a line of sums for each setting."""
    frontends = sorted({o.spelling.frontend for o in outcomes})
    columns = [(f, s) for f in frontends for s in SETTINGS]
    lines = ["+ matched, s only with slots, - not, ! not compiled or not read; one mark for each spelling", ""]
    width = {c: max(len(c[1]), *(_count(outcomes, o.name, c) for o in OPERATIONS)) for c in columns}
    tops = (f.ljust(sum(width[f, s] + 1 for s in SETTINGS) + 1) for f in frontends)
    lines.append(" " * 20 + " ".join(tops))
    lines.append(" " * 20 + " ".join("".join(s.ljust(width[f, s] + 1) for s in SETTINGS) + " " for f in frontends))
    for operation in OPERATIONS:
        cells = []
        for f in frontends:
            marks = ("".join(MARKS[o.mark] for o in _of(outcomes, operation.name, (f, s))) for s in SETTINGS)
            cells.append("".join(m.ljust(width[f, s] + 1) for m, s in zip(marks, SETTINGS, strict=True)) + " ")
        if any(cell.strip() for cell in cells):
            lines.append(operation.name.ljust(20) + " ".join(cells).rstrip())
    lines.append("")
    for setting in SETTINGS:
        counted = Counter(o.mark for o in outcomes if o.spelling.setting == setting)
        total = sum(counted.values())
        if total:
            words = ", ".join(f"{mark} {counted[mark]} ({100 * counted[mark] / total:.0f} %)" for mark in MARKS)
            lines.append(f"{setting}: {total} spellings: {words}")
    return "\n".join(lines)


def format_causes(outcomes: Sequence[Outcome]) -> str:
    """Return a line for each spelling that did not match."""
    return "\n".join(f"{o.mark:8}{o.spelling.path.stem}: {o.cause}" for o in outcomes if o.mark in ("not", "failed"))


def _of(outcomes: Sequence[Outcome], operation: str, column: tuple[str, str]) -> list[Outcome]:
    return [
        o for o in outcomes if o.spelling.operation == operation and (o.spelling.frontend, o.spelling.setting) == column
    ]


def _count(outcomes: Sequence[Outcome], operation: str, column: tuple[str, str]) -> int:
    return len(_of(outcomes, operation, column))
