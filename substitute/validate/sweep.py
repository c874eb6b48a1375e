"""Many validations at once, through joblib: on this machine's cores, or on a Dask cluster, with the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import SubstituteError, UsageError
from ..isolate import Call
from ..pipeline import Progress, silent

Errors = tuple[type[Exception], ...]

ROUNDS = 3
"""How often what is left is given out anew after a worker was lost; then every task gets workers of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one task."""

    value: Any = None
    error: SubstituteError | None = None
    """Why it has no value; None if it has."""


def sweep(
    tasks: Mapping[str, Call], *, jobs: int = 1, cluster: str = "", progress: Progress = silent
) -> dict[str, Done]:
    """Calls every task, `jobs` at a time (-1: one for each core), and gives what became of each, by its name.

    With `cluster`, the address of a Dask scheduler, they are called there. A task's `SubstituteError` is its result. A
    worker that dies takes nothing with it but the task that it had: all others are given out again. Raises
    `UsageError` for a cluster that cannot be had.
    """
    done: dict[str, Done] = {}

    def take(name: str, result: Done) -> None:
        done[name] = result
        progress(f"{len(done)} of {len(tasks)}: {name}", len(done) / len(tasks))

    with _backend(cluster) as lost:
        for _ in range(ROUNDS):
            left = {name: call for name, call in tasks.items() if name not in done}
            if _all(left, jobs if not cluster else -1, lost, take):
                return {name: done[name] for name in tasks}
        for name in [name for name in tasks if name not in done]:
            if not _all({name: tasks[name]}, 2 if not cluster else -1, lost, take):
                take(name, Done(error=_lost(name)))
    return {name: done[name] for name in tasks}


def _all(tasks: Mapping[str, Call], jobs: int, lost: Errors, take: Callable[[str, Done], None]) -> bool:
    """Calls these at the same time; False if a worker was lost before all of them were done."""
    import joblib

    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    try:
        for name, result in parallel(joblib.delayed(_call)(name, call) for name, call in tasks.items()):
            take(name, result)
    except lost:
        return False
    return True


def _call(name: str, call: Call) -> tuple[str, Done]:
    try:
        return name, Done(value=call(silent))
    except SubstituteError as error:
        return name, Done(error=error)


@contextmanager
def _backend(cluster: str) -> Iterator[Errors]:
    """Sets joblib up; the errors that mean that a worker was lost."""
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if not cluster:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            yield (BrokenProcessPool,)
        return
    try:
        from distributed import Client
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise UsageError(
            "no cluster can be used", expected="the package distributed", found="it is not installed",
            next_step="pip install 'iree-substitute[cluster]'",
        ) from None  # fmt: skip
    try:
        client = Client(cluster, timeout="20s")
    except (OSError, ValueError) as error:
        raise UsageError(
            "the cluster does not answer", where=cluster, expected="the address of a Dask scheduler, tcp://HOST:PORT",
            found=str(error) or type(error).__name__, next_step="start one with `dask scheduler` and `dask worker`",
        ) from None  # fmt: skip
    with client, joblib.parallel_config(backend="dask", client=client):
        yield (KilledWorker, FutureCancelledError)


def _lost(name: str) -> SubstituteError:
    return SubstituteError(
        f"{name} could not be judged", expected="a worker that lives until it is done",
        found="the process that worked on it was killed, each time",
        next_step="look whether the machine is short of memory; fewer --jobs need less",
    )  # fmt: skip
