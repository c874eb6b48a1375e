"""Tasks of a bundle: the cases to be run, in which order, what each gives, and how long it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import zip_longest

from .baseline import BaselineRun
from .bundle import Bundle, Subject
from .case import Case
from .judge import Judged
from .verdict import CaseVerdict

START_S = 120.0
"""The processor time in which a process has to begin its first case, or its next."""
FLOOR_S, ELSEWHERE_S = 5.0, 20.0
"""The processor time that every case may take, on this machine's CPU and on other devices."""
OPERATION_S, OPERATION_ELSEWHERE_S = 1e-7, 1e-5
"""Additional time for each multiplication of the golden, far more than a naive kernel needs."""
BYTE_S = 1e-6
"""Additional time for each byte of a case's buffers, which are filled, compared with their guards, and judged in eight
launches: a large case is not endless because memory is slow."""


def case_limit_s(case: Case, *, local: bool) -> float:
    """Return the processor time that a case may take; `local`: on this machine's CPU."""
    operations = sum(math.prod(e.sizes) * max(e.depth, 1) for e in case.expected)
    floor, operation_s = (FLOOR_S, OPERATION_S) if local else (ELSEWHERE_S, OPERATION_ELSEWHERE_S)
    return floor + operations * operation_s + sum(case.sizes) * BYTE_S


QUICK_BASELINES = 3
"""For how many dispatches of a quick validation IREE's own code is compiled too: it takes longer than all the rest."""


def size_of_results(subject: Subject) -> int:
    """Return how much the golden of a dispatch's first case computes."""
    return sum(e.values.size * e.depth for e in subject.cases[0].expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A case to be run."""

    kind: str
    """`judge`: as a candidate; `again`: once more after all others; `turn`: with counters, in another order;
    `beside`: as IREE does."""
    subject: int
    case: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A case of which the workgroups ran in another order, with counters."""

    hits: frozenset[int] = frozenset()
    """The counters that it set."""
    verdict: CaseVerdict | None = None
    """None where it passed."""
    ran: bool = False
    """False where nothing was launched, or nothing could be counted."""


Value = Judged | BaselineRun | Turned


def candidate_tasks(bundle: Bundle) -> list[Task]:
    """Return the tasks of all candidates, dispatch by dispatch."""
    return [task for number in range(len(bundle.subjects)) for task in tasks_of(bundle, number)]


def tasks_of(bundle: Bundle, number: int) -> list[Task]:
    """Return the tasks of one dispatch's candidate."""
    subject = bundle.subjects[number]
    tasks = [Task(kind="judge", subject=number, case=at) for at in range(len(subject.cases))]
    if not tasks:
        return []
    turned = [replace(task, kind="turn") for task in tasks] if subject.turned else []
    return [*tasks, Task(kind="again", subject=number, case=0), *turned]


def beside_tasks(bundle: Bundle) -> list[Task]:
    """Return the tasks of IREE's own code, in turns, so that every dispatch has its share of the time."""
    compared = [
        [Task(kind="beside", subject=number, case=at) for at, case in enumerate(subject.cases) if case.beside]
        for number, subject in enumerate(bundle.subjects)
        if bundle.baseline is not None and subject.cases and subject.cases[0].entry in bundle.beside
    ]
    return [task for turn in zip_longest(*compared) for task in turn if task is not None]
