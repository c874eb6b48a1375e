"""Records which ways a kernel's guarded instructions go: branches, exits, and all that a predicate switches off.

A way is a line and column of the PTX and `true`, `false` or, of a `brx.idx`, the number of the target. Copies of a
function that is expanded in several places count as one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...model.coverage import Code as Counted
from ...model.coverage import Way
from .batch import Batch
from .code import Code
from .decode import Run, Step
from .types import Registers

Key = tuple[int, int, str]
"""Line, column and way."""


@dataclass(slots=True)
class Coverage:
    """The ways of one kernel. A class, because its steps add to it while they run."""

    texts: dict[Key, str] = field(default_factory=dict)
    """The instruction of every way that can be gone."""
    seen: set[Key] = field(default_factory=set)
    told: int = -1
    """Number of ways seen when they were last written to the file."""


def watch(code: Code) -> Coverage:
    """Let a kernel's steps record their ways, before it runs for the first time; return the record."""
    if code.coverage is None:
        code.coverage = Coverage()
        for at, step in enumerate(code.steps):
            _watch(code, at, step, code.coverage)
    return code.coverage


def _watch(code: Code, at: int, step: Step, coverage: Coverage) -> None:
    place, control = step.place, step.control
    if control is not None and control.kind == "switch":
        names = [str(number) for number, target in enumerate(control.targets) if not _traps(code, target)]
    elif step.guard is not None:
        dead = {
            "true": control is not None
            and (control.kind == "trap" or (control.kind == "branch" and _traps(code, control.targets[0]))),
            "false": control is not None and _traps(code, at + 1),
        }
        names = [name for name, is_dead in dead.items() if not is_dead]
    else:
        return
    for name in names:
        coverage.texts[place.line, place.column, name] = place.text
    step.run = _recorded(step, coverage.seen, frozenset(names))


def _traps(code: Code, at: int) -> bool:
    """Return True if a trap follows in any case: nobody expects that it is reached."""
    for step in code.steps[at:]:
        if step.control is not None:
            return step.control.kind == "trap" and step.guard is None
    return False


def _recorded(step: Step, seen: set[Key], names: frozenset[str]) -> Run:
    inner, guard, control, place = step.run, step.guard, step.control, step.place
    index = control.index if control is not None and control.kind == "switch" else None
    missing = set(names)

    def found(m: Batch, r: Registers) -> Iterator[str]:
        if index is not None:
            choice = np.broadcast_to(index(r), (m.count,))
            kept = choice if guard is None else choice[np.broadcast_to(guard(r), (m.count,))]
            yield from map(str, np.unique(kept).tolist())
        elif guard is not None:
            keep = guard(r)
            if keep.any():
                yield "true"
            if not keep.all():
                yield "false"

    def run(m: Batch, r: Registers) -> None:
        if missing:
            ways = missing.intersection(found(m, r))
            missing.difference_update(ways)
            seen.update((place.line, place.column, way) for way in ways)
        if inner is not None:
            inner(m, r)

    return run


def append(path: Path, entry: str, coverage: Coverage) -> None:
    """Append what is new of a kernel to a file, as a line of JSON. Raises `OSError`."""
    if coverage.told == len(coverage.seen):
        return
    coverage.told = len(coverage.seen)
    ways = [[*key, text, key in coverage.seen] for key, text in coverage.texts.items()]
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"entry": entry, "ways": ways}) + "\n")


def read(lines: Iterable[str]) -> dict[str, tuple[Counted, frozenset[int]]]:
    """Return what such a file says of each entry: its ways, and the numbers of those that were gone."""
    found: dict[str, tuple[Counted, frozenset[int]]] = {}
    for line in lines:
        data = json.loads(line)
        branches: dict[tuple[int, int], int] = {}
        ways, hits = [], set()
        for number, (row, column, name, text, was_seen) in enumerate(data["ways"]):
            branch = branches.setdefault((row, column), len(branches))
            ways.append(Way(at=number, line=row, text=text, way=name, branch=branch))
            if was_seen:
                hits.add(number)
        before = found.get(data["entry"], (None, frozenset()))[1]
        found[data["entry"]] = Counted(ways=tuple(ways)), frozenset(hits | before)
    return found
