"""Many tasks at once, some of which kill the process that they run in."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from substitute.errors import SubstituteError, UsageError
from substitute.isolate import Call
from substitute.validate.sweep import sweep

pytestmark = pytest.mark.unit


def square(number: int, progress: Callable[[str, float | None], None]) -> int:
    return number * number


def refuse(words: str, progress: Callable[[str, float | None], None]) -> None:
    raise SubstituteError(words)


def die(mark: str, progress: Callable[[str, float | None], None]) -> str:
    """Kills its process; where `mark` is a file's name, only if that file is not there yet."""
    if mark and Path(mark).exists():
        return "the second time"
    if mark:
        Path(mark).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def kill_the_worker(mark: str, progress: Callable[[str, float | None], None]) -> str:
    """Kills the process that started it, the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return "the second time"


def linger(seconds: float, progress: Callable[[str, float | None], None]) -> str:
    time.sleep(seconds)
    return "slow"


def squares(count: int) -> dict[str, Call]:
    return {f"square {n}": Call(square, {"number": n}) for n in range(count)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Dask cluster on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1", silence_logs=50
    ) as made:
        yield str(made.scheduler_address)


@pytest.fixture(params=["this machine", "a cluster"])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "a cluster":
        return {"cluster": request.getfixturevalue("cluster")}
    return {"jobs": 2}


def test_every_task_gets_its_result(where: dict[str, Any]) -> None:
    steps: list[float | None] = []
    done = sweep(squares(5), **where, progress=lambda _what, share: steps.append(share))
    assert [d.value for d in done.values()] == [0, 1, 4, 9, 16]
    assert list(done) == list(squares(5))
    assert steps == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_an_error_is_the_result_of_its_task_alone(where: dict[str, Any]) -> None:
    done = sweep({**squares(2), "bad": Call(refuse, {"words": "no such thing"})}, **where)
    assert [done["square 0"].value, done["square 1"].value] == [0, 1]
    assert str(done["bad"].error) == "no such thing"


def test_a_lost_worker_costs_nothing_if_the_task_succeeds_later(where: dict[str, Any], tmp_path: Path) -> None:
    done = sweep({"unlucky": Call(die, {"mark": str(tmp_path / "mark")}), **squares(3)}, **where)
    assert done["unlucky"].value == "the second time"
    assert [done[f"square {n}"].value for n in range(3)] == [0, 1, 4]


def test_a_task_that_always_kills_its_worker_is_lost_alone(where: dict[str, Any]) -> None:
    done = sweep({"deadly": Call(die, {"mark": ""}), "slow": Call(linger, {"seconds": 0.2}), **squares(3)}, **where)
    assert done["deadly"].error is not None
    assert "deadly could not be judged" in str(done["deadly"].error)
    assert done["slow"].value == "slow"
    assert [done[f"square {n}"].value for n in range(3)] == [0, 1, 4]


def test_a_worker_of_a_cluster_that_is_killed(cluster: str, tmp_path: Path) -> None:
    done = sweep({"unlucky": Call(kill_the_worker, {"mark": str(tmp_path / "mark")}), **squares(3)}, cluster=cluster)
    assert done["unlucky"].value == "the second time"
    assert [done[f"square {n}"].value for n in range(3)] == [0, 1, 4]


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("substitute.validate.sweep.PATIENCE_S", 0.5)
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0", host="127.0.0.1", silence_logs=50) as empty:
        done = sweep(squares(2), cluster=str(empty.scheduler_address))
    assert [str(d.error).splitlines()[0] for d in done.values()] == [f"square {n} could not be judged" for n in (0, 1)]
    assert "the cluster had no worker left for 0.5 s" in str(done["square 0"].error)


@pytest.mark.parametrize("jobs", [0, -2])
def test_a_number_of_jobs_that_means_nothing(jobs: int) -> None:
    with pytest.raises(UsageError, match="so many at a time cannot be"):
        sweep(squares(1), jobs=jobs)


def test_one_for_each_core() -> None:
    assert sweep(squares(2), jobs=-1)["square 1"].value == 1


def test_no_tasks() -> None:
    assert sweep({}, jobs=2) == {}


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("substitute.validate.sweep.CONNECT_S", 1.0)
    with pytest.raises(UsageError, match="does not answer"):
        sweep(squares(1), cluster="tcp://127.0.0.1:1")
