"""Workers: one for each compiler process, gone with it; crashes, time limits, and how many are at work at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from runtime_tests.filter.conftest import CPU, NAME, Surroundings

pytestmark = pytest.mark.compile
Executables = Callable[[tuple[str, ...]], dict[str, bytes]]

SLOW = "import time\ntime.sleep(600)"


def slow_compile(surroundings: Surroundings) -> subprocess.Popen[str]:
    """A compiler that waits for its filter, whose worker is at work."""
    kernel = surroundings.kernel(f"open('{surroundings.folder}/begun', 'w').close()\n{SLOW}")
    argv = surroundings.compile_argv(f"{NAME} --no-cache --no-builtin --kernels {kernel}")
    compiler = subprocess.Popen(
        argv,
        env=surroundings.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert surroundings.wait_for((surroundings.folder / "begun").exists)
    assert len(surroundings.workers()) >= 2  # the worker and the fork that sleeps
    return compiler


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_compiler(surroundings: Surroundings, how: signal.Signals) -> None:
    compiler = slow_compile(surroundings)
    if how == signal.SIGINT:
        os.killpg(compiler.pid, how)  # as a terminal does it
    else:
        compiler.send_signal(how)
    compiler.communicate(timeout=30)
    assert surroundings.wait_for(lambda: not surroundings.workers(), 20)
    left = [path.name for path in (surroundings.folder / "run").rglob("*") if path.is_socket()]
    assert left == []


def test_workers_end_with_a_compiler_that_is_done(surroundings: Surroundings) -> None:
    done = surroundings.compile(f"{NAME} --no-cache")
    assert done.returncode == 0, done.stderr
    assert surroundings.wait_for(lambda: not surroundings.workers(), 10)


def test_forks_end_with_their_worker(surroundings: Surroundings) -> None:
    compiler = slow_compile(surroundings)
    before = set(surroundings.workers())
    os.kill(min(before), signal.SIGKILL)
    assert surroundings.wait_for(lambda: not before.intersection(surroundings.workers()), 20)
    assert surroundings.wait_for(lambda: len(surroundings.workers()) >= 2)  # the client has asked for another one
    os.killpg(compiler.pid, signal.SIGKILL)
    compiler.communicate(timeout=30)


def test_two_compilers_have_two_workers(surroundings: Surroundings) -> None:
    first = slow_compile(surroundings)
    before = set(surroundings.workers())
    other = surroundings.compile(f"{NAME} --no-cache --jobs 2")
    assert other.returncode == 0, other.stderr
    assert surroundings.wait_for(lambda: set(surroundings.workers()) <= before, 10)
    assert set(surroundings.workers()) == before
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=30)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import os\nos.write(2, b'last words')\nos._exit(3)", "exit status 3"),
        ("raise ValueError('no luck')", "ValueError: no luck"),
    ],
    ids=["signal", "exit", "exception"],
)
@pytest.mark.parametrize("where", ["--no-cache", "--no-worker"])
def test_a_crash_costs_one_executable(
    shared: Surroundings, executables: Executables, code: str, found: str, where: str
) -> None:
    kernel = shared.kernel(code)
    texts = executables(CPU)
    words = (where, "--no-cache", "--no-builtin", "--kernels", kernel)
    done = shared.run(*words, "--report-dir", "reports", data=texts["matmul"])
    assert (done.returncode, done.stdout) == (1, b"")
    assert found in done.stderr.decode()
    assert "last words" in done.stderr.decode() or "last words" not in code
    (report,) = (shared.folder / "reports").glob("*.error.txt")
    assert report.read_bytes() == done.stderr
    assert shared.run(*words, data=texts["rows"]).stdout == texts["rows"]


@pytest.mark.parametrize("where", ["--no-cache", "--no-worker"])
def test_an_executable_has_a_time_limit(shared: Surroundings, executables: Executables, where: str) -> None:
    kernel = shared.kernel(SLOW)
    texts = executables(CPU)
    words = (where, "--no-cache", "--no-builtin", "--kernels", kernel, "--timeout", "0.5")
    start = time.monotonic()
    done = shared.run(*words, data=texts["matmul"])
    assert time.monotonic() - start < 60
    assert (done.returncode, done.stdout) == (1, b"")
    assert "the executable took too long" in done.stderr.decode()
    assert shared.run(*words, "--timeout", "60", data=texts["rows"]).stdout == texts["rows"]


COUNT = """import fcntl, os, time
with open({file!r}, "a+") as file:
    def add(change):
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now, most = map(int, (file.read() or "0 0").split())
        file.truncate(0)
        file.write(f"{{now + change}} {{max(most, now + change)}}")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_UN)
    add(1)
    time.sleep(0.5)
    add(-1)
raise ValueError("counted")"""


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_limit_holds_for_all_processes(surroundings: Surroundings, executables: Executables, jobs: int) -> None:
    """Some are workers of their own, some work without one."""
    file = surroundings.folder / "count"
    kernel = surroundings.kernel(COUNT.format(file=str(file)))
    text = surroundings.folder / "text"
    text.write_bytes(executables(CPU)["matmul"])
    command = f"{NAME} --no-cache --no-builtin --kernels {kernel} --jobs {jobs}"
    scripts = [f"{command} <{text} & {command} <{text} & wait", f"{command} --no-worker <{text} & wait"] * 2
    shells = [
        subprocess.Popen(["/bin/sh", "-c", s], env=surroundings.environment, stderr=subprocess.DEVNULL) for s in scripts
    ]
    for shell in shells:
        shell.wait(timeout=120)
    now, most = map(int, file.read_text().split())
    assert now == 0
    assert most <= jobs
    assert most > 1 or jobs == 1


def test_works_where_no_worker_can_be(surroundings: Surroundings, executables: Executables) -> None:
    text = executables(CPU)["matmul"]
    expected = surroundings.run("--no-cache", data=text).stdout
    (surroundings.folder / "run" / f"iree-substitute-{os.getuid()}").rename(surroundings.folder / "was")
    (surroundings.folder / "run" / f"iree-substitute-{os.getuid()}").symlink_to("was")  # someone else's idea
    surroundings.variables["PYTHONPATH"] = ""  # another worker than before
    done = surroundings.run("--no-cache", data=text)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected != text
