"""Many validations at once: through joblib on this machine's cores, or on a Dask cluster.

joblib has a backend for Dask, but a call whose worker is killed never comes back from it (joblib 1.6 calls no callback
for a future that failed), so the cluster is asked directly. There every task runs in a child of its worker: Dask's
nannies give up on workers that die while they start, so one deadly task could empty a cluster.
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
"""How often what is left is given out anew after a worker was lost; then every task gets workers of its own. On a
cluster, how often a task is begun whose process dies."""
CONNECT_S = 20.0
PATIENCE_S = 60.0
"""For how long a cluster may be without any worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one task."""

    value: Any = None
    error: SubstituteError | None = None
    """Why it has no value; None if it has."""


Take = Callable[[str, Done], None]


def sweep(
    tasks: Mapping[str, Call], *, jobs: int = 1, cluster: str = "", progress: Progress = silent
) -> dict[str, Done]:
    """Calls every task, `jobs` at a time (-1: one for each core), and gives what became of each, by its name.

    With `cluster`, the address of a Dask scheduler, they are called there. A task's `SubstituteError` is its result. A
    worker that dies takes nothing with it but the task that it had: all others are given out again. Raises
    `UsageError` for a cluster that cannot be had, and a number of jobs that means nothing.
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
    """All workers of loky end with the first that dies, and nothing says whose fault it was."""
    for _ in range(ROUNDS):
        if _all({name: call for name, call in tasks.items() if name not in done}, jobs, take):
            return
    for name in [name for name in tasks if name not in done]:
        # (with a single job joblib would call it in this process)
        if not _all({name: tasks[name]}, 2, take):
            take(name, Done(error=_lost(name)))


def _all(tasks: Mapping[str, Call], jobs: int, take: Take) -> bool:
    """Calls these at the same time; False if a worker was lost before all of them were done."""
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
            # no fork: the worker has threads
            return cast(tuple[str, Done], isolated(Call(_call, {"name": name, "call": call}), silent, fork=False))
        except CompilerCrash:
            continue  # what the call itself raises is part of its result, so this was the child's end
    return name, Done(error=_lost(name))


def _on_cluster(tasks: Mapping[str, Call], address: str, take: Take) -> None:
    """Dask gives a task whose worker died to another one, a few times."""
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
            name = futures.pop(future)  # (a result that is held is computed again when its worker dies)
            try:
                take(*future.result())
            except KilledWorker:
                take(name, Done(error=_lost(name)))
        for name in futures.values():
            take(name, Done(error=_lost(name, f"the cluster had no worker left for {PATIENCE_S:g} s")))


def _completed(client: Any, futures: Mapping[Any, str]) -> Iterator[Any]:
    """Each of the futures when it is done. It ends early when the cluster has had no worker for `PATIENCE_S`."""
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
