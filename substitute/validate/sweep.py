"""Many validations at once: through joblib on this machine's cores, or on a Dask cluster.

joblib has a backend for Dask, but a call whose worker is killed never returns from it (joblib 1.6 calls no callback for
a future that failed), so the cluster is used directly. There every task runs in a child of its worker: Dask's nannies
give up on workers that crash while they start, so one deadly task could empty a cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..errors import CompilerCrash, SubstituteError, UsageError
from ..isolate import Call, isolated
from ..progress import Progress, silent

ROUNDS = 3
"""Number of rounds in which remaining tasks are distributed after a worker was lost; then every task gets its own
workers. On a cluster, number of times that a crashing task is started."""
CONNECT_S = 20.0
PATIENCE_S = 60.0
"""Longest time that a cluster may be without any worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Outcome of one task."""

    value: Any = None
    error: SubstituteError | None = None
    """Reason why it has no value; None if it has."""


Take = Callable[[str, Done], None]


def sweep(
    tasks: Mapping[str, Call], *, jobs: int = 1, cluster: str = "", progress: Progress = silent
) -> dict[str, Done]:
    """Call every task, `jobs` at a time (-1: one for each core), and return their outcomes by name.

    With `cluster`, the address of a Dask scheduler, they are called there. A task's `SubstituteError` is its result. If
    a worker crashes, only its current task is lost: all others are distributed again. Raises `UsageError` for a cluster
    that is not available, and for an invalid number of jobs.
    """
    if jobs == 0 or jobs < -1:
        raise UsageError(
            "so many at a time cannot be",
            where="--jobs",
            expected="1 or more, or -1 for one on each core",
            found=str(jobs),
            next_step="leave --jobs out for one at a time",
        )
    done: dict[str, Done] = {}

    def take(name: str, result: Done) -> None:
        done[name] = result
        progress(f"{len(done)} of {len(tasks)}: {name}", len(done) / len(tasks))

    if cluster:
        _on_cluster(tasks, cluster, take)
    else:
        _here(tasks, jobs, take, done)
    return {name: done[name] for name in tasks}


def _here(tasks: Mapping[str, Call], jobs: int, take: Take, done: Mapping[str, Done]) -> None:
    """Run tasks with loky, whose workers all end with the first that crashes, without naming the task at fault."""
    for _ in range(ROUNDS):
        if _all({name: call for name, call in tasks.items() if name not in done}, jobs, take):
            return
    for name in [name for name in tasks if name not in done]:
        # (with a single job joblib would call it in this process)
        if not _all({name: tasks[name]}, 2, take):
            take(name, Done(error=_lost(name)))


def _all(tasks: Mapping[str, Call], jobs: int, take: Take) -> bool:
    """Call these tasks in parallel; return False if a worker was lost before all of them were done."""
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        with joblib.parallel_config(backend="loky", n_jobs=jobs):
            parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
            for name, result in parallel(joblib.delayed(_call)(name, call) for name, call in tasks.items()):
                take(name, result)
    except BrokenProcessPool:
        return False
    return True


def _call(name: str, call: Call, progress: Progress = silent) -> tuple[str, Done]:
    try:
        return name, Done(value=call(progress))
    except SubstituteError as error:
        return name, Done(error=error)


def _in_a_child(name: str, call: Call) -> tuple[str, Done]:
    for _ in range(ROUNDS):
        try:
            # not a fork: the worker has threads
            return cast(tuple[str, Done], isolated(Call(_call, {"name": name, "call": call}), silent, fork=False))
        except CompilerCrash:
            continue  # exceptions of the call are part of its result, so the child itself has ended
    return name, Done(error=_lost(name))


def _on_cluster(tasks: Mapping[str, Call], address: str, take: Take) -> None:
    """Run tasks with Dask, which retries a task whose worker crashed a few times."""
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise UsageError(
            "no cluster can be used",
            expected="the package distributed",
            found="it is not installed",
            next_step="pip install 'iree-substitute[cluster]'",
        ) from None
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise UsageError(
            "the cluster does not answer",
            where=address,
            expected="the address of a Dask scheduler, tcp://HOST:PORT",
            found=str(error) or type(error).__name__,
            next_step="start one with `dask scheduler` and `dask worker`",
        ) from None
    with client:
        futures = {client.submit(_in_a_child, name, call, pure=False): name for name, call in tasks.items()}
        for future in _completed(client, futures):
            name = futures.pop(future)  # (a result that is referenced is computed again when its worker ends)
            try:
                take(*future.result())
            except KilledWorker:
                take(name, Done(error=_lost(name)))
        for name in futures.values():
            take(name, Done(error=_lost(name, f"the cluster had no worker left for {PATIENCE_S:g} s")))


def _completed(client: Any, futures: Mapping[Any, str]) -> Iterator[Any]:
    """Yield each future when it is done. Ends early when the cluster has had no worker for `PATIENCE_S`."""
    from distributed import wait

    alive = time.monotonic()
    while futures:
        try:
            done = wait(list(futures), timeout=1.0, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            now = time.monotonic()
            if client.nthreads():
                alive = now
            elif now - alive > PATIENCE_S:
                return
            continue
        yield from done


def _lost(name: str, found: str = "the process that worked on it was killed, each time") -> SubstituteError:
    return SubstituteError(
        f"{name} could not be judged",
        expected="a worker that lives until it is done",
        found=found,
        next_step="look whether the machine is short of memory; fewer --jobs need less",
    )
