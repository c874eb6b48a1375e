"""Verdicts as lines of text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from .kernel_verdict import KernelVerdict
from .verdict import CaseVerdict, DispatchVerdict

MOST_FAILURES = 2
"""Number of failing cases of a dispatch that are shown; the others are counted."""
MOST_DISPATCHES = 3
"""Number of failing dispatches that are shown case by case; the others are named."""
MOST_NOTES = 6


def dispatch_rows(verdicts: Sequence[DispatchVerdict]) -> list[tuple[str, str, str, str, str]]:
    """Return rows of a table: dispatch, kernel, cases, worst error ÷ allowed, verdict."""
    return [
        (v.name, v.kernel, str(sum(c.entered for c in v.cases)) if v.cases else "–", _worst(v), verdict_word(v))
        for v in verdicts
    ]


def kernel_rows(verdicts: Sequence[KernelVerdict]) -> list[tuple[str, str, str, str, str, str]]:
    """Return rows of a table: kernel, device, dispatches, cases, worst error ÷ allowed, verdict."""
    rows = []
    for v in verdicts:
        judged = [d for d in v.dispatches if not d.skipped]
        rows.append(
            (
                v.kernel,
                v.device,
                str(len(judged)),
                str(sum(c.entered for d in judged for c in d.cases)),
                share(max((d.worst for d in judged), default=0.0)),
                _kernel_word(v),
            )
        )
    return rows


def _kernel_word(verdict: KernelVerdict) -> str:
    if verdict.passed:
        return "passed"
    return "FAILED" if verdict.error or any(not d.skipped for d in verdict.dispatches) else "not judged"


def _worst(verdict: DispatchVerdict) -> str:
    return share(verdict.worst) if verdict.cases else "–"


def share(value: float) -> str:
    """Format error ÷ allowed error: `0` if nothing differs."""
    return "0" if value == 0 else f"{value:.2g}"


def verdict_word(verdict: DispatchVerdict) -> str:
    """Return `passed`, `not judged`, or the stage at which it failed."""
    if verdict.skipped:
        return "not judged"
    if verdict.passed:
        return "passed"
    stage = verdict.stage or verdict.failures[0].stage
    return f"FAILED: {stage}"


def all_failure_lines(verdicts: Sequence[DispatchVerdict], command: str) -> Iterator[str]:
    """Yield the failures of dispatches: the first ones case by case, the others by name."""
    failed = [v for v in verdicts if not v.passed and not v.skipped]
    for verdict in failed[:MOST_DISPATCHES]:
        yield from failure_lines(verdict, command)
    if len(failed) > MOST_DISPATCHES:
        yield f"also wrong: {', '.join(v.name for v in failed[MOST_DISPATCHES:])}"


def failure_lines(verdict: DispatchVerdict, command: str) -> Iterator[str]:
    """Yield the failures of a dispatch, case by case; `command` repeats a case when its text is filled in."""
    if verdict.passed or verdict.skipped:
        return
    yield f"{verdict.name} ({verdict.kernel})"
    if verdict.stage:
        yield f"  {verdict.stage}: {verdict.message}"
        yield f"  replay:    {replay(command, verdict.name)}"
    for case in verdict.failures[:MOST_FAILURES]:
        yield from case_lines(case, command)
    left = len(verdict.failures) - MOST_FAILURES
    if left > 0:
        yield f"  and {left} more cases"


def case_lines(case: CaseVerdict, command: str) -> Iterator[str]:
    """Yield a failing case: class and seed of its inputs, the finding, the first wrong element, and how to repeat
    it.
    """
    yield f"  {case.key}"
    yield f"    {case.stage}: {case.message}"
    place = case.place
    if place is not None:
        at = ", ".join(map(str, place.coordinates))
        yield f"    first at [{at}] of {place.operand}"
        yield f"      candidate {place.candidate}"
        yield f"      golden    {place.golden}  (± {place.allowed:.3g})"
        if place.baseline:
            yield f"      baseline  {place.baseline}"
    yield f"    replay:    {replay(command, case.key)}"


def replay(command: str, case: str) -> str:
    """Return the command line that runs one case again; sizes are drawn again from the seed in `command`."""
    return f"{command} --case {shlex.quote(case)}"


def note_lines(verdicts: Sequence[DispatchVerdict]) -> Iterator[str]:
    """Yield the notes on the verdicts, each once, and the dispatches that were not judged."""
    yield from dict.fromkeys(f"{v.kernel} declares its accuracy: {v.declared}" for v in verdicts if v.declared)
    for verdict in verdicts:
        if verdict.skipped:
            yield f"{verdict.name}: not judged: {verdict.skipped}"
    notes = list(dict.fromkeys(f"{v.name}: {note}" for v in verdicts for note in v.notes))
    yield from notes[:MOST_NOTES]
    if len(notes) > MOST_NOTES:
        yield f"and {len(notes) - MOST_NOTES} more notes"
