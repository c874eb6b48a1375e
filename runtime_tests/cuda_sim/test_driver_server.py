"""The process of the simulated driver: it ends with its client, and its own end does no harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from substitute.device.cuda_sim.driver.settings import DEVICE, FINDINGS, LOG

pytestmark = pytest.mark.device

SERVER = "cuda_sim.driver.server"
PRELUDE = """
import ctypes, os, signal, sys, time
import numpy as np
from runtime_tests.cuda_sim.driver_api import Driver, kernel
driver = Driver()
"""
ENDLESS = 'kernel("again:\\n  bra again;")'


def client(script: str, **environment: str) -> subprocess.Popen[str]:
    """Start a separate program that uses the driver."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def servers_of(process: int) -> list[int]:
    """The servers among a process's children."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == process and SERVER in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
            except (OSError, ValueError):
                continue  # it has just ended
    return found


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def ends(process: int) -> bool:
    """Return whether a process ends within a short time."""
    deadline = time.monotonic() + 10
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(process)


def test_two_clients_at_once_have_nothing_in_common(cuda_sim: str) -> None:
    script = """
with driver.context():
    place = driver.upload(np.full(4, int(sys.stdin.readline()), np.uint32))
    print(place, flush=True)
    sys.stdin.readline()
    print(driver.download(place, 4).tolist(), flush=True)
"""
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    servers: list[int] = []
    for at, one in enumerate(clients):
        assert one.stdin is not None and one.stdout is not None
        print(at + 5, file=one.stdin, flush=True)
        one.stdout.readline()
        (server,) = servers_of(one.pid)
        servers.append(server)
    results = [one.communicate("\n", timeout=60)[0].strip() for one in clients]
    assert results == ["[5, 5, 5, 5]", "[6, 6, 6, 6]"]
    assert servers[0] != servers[1]
    assert all(ends(server) for server in servers)


def test_a_killed_client_leaves_nothing_behind_even_while_a_kernel_runs(cuda_sim: str) -> None:
    script = f"""
with driver.context():
    function = driver.function({ENDLESS}, "k")
    print("launching", flush=True)
    driver.launch(function, 32, [ctypes.c_uint64(0)])
"""
    running = client(script, IREE_SUBSTITUTE_SIM_STEPS="1000000000000")
    assert running.stdout is not None
    assert running.stdout.readline() == "launching\n"
    (server,) = servers_of(running.pid)
    running.kill()
    assert ends(server)
    running.communicate(timeout=60)


def test_an_endless_kernel_is_stopped(cuda_sim: str) -> None:
    script = f"""
with driver.context():
    function = driver.function({ENDLESS}, "k")
    code = driver.launch(function, 32, [ctypes.c_uint64(0)])
    print(code, driver.words(code))
"""
    running = client(script, IREE_SUBSTITUTE_SIM_STEPS="10000")
    output, errors = running.communicate(timeout=60)
    assert output.startswith("CUDA_ERROR_LAUNCH_TIMEOUT the launch timed out and was terminated: k:"), errors
    assert "step-limit" in output
    assert output.endswith("; IREE_SUBSTITUTE_SIM_STEPS=NUMBER sets another limit\n")


def test_the_end_of_the_server_is_an_error_and_no_crash(cuda_sim: str) -> None:
    script = """
from runtime_tests.cuda_sim.test_driver_server import servers_of
place = ctypes.c_uint64()
with driver.context():
    pass
(server,) = servers_of(os.getpid())
os.kill(server, signal.SIGKILL)
time.sleep(0.2)
print(driver.cuInit(0), driver.cuMemAlloc(place, 16))
print(driver.words("CUDA_ERROR_UNKNOWN"))
name = ctypes.c_char_p()
print(driver.cuGetErrorName(999, name), name.value)
"""
    output, errors = client(script).communicate(timeout=60)
    assert output == (
        "CUDA_ERROR_UNKNOWN CUDA_ERROR_UNKNOWN\n"
        "the process that executes for the simulated CUDA device has ended\n"
        "CUDA_SUCCESS b'CUDA_ERROR_UNKNOWN'\n"
    ), errors


def test_a_fork_cannot_go_on_with_its_parents_driver(cuda_sim: str) -> None:
    script = """
with driver.context():
    child = os.fork()
    if not child:
        print(driver.cuInit(0), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print(driver.cuCtxSynchronize())
"""
    output, errors = client(script).communicate(timeout=60)
    assert output == "CUDA_ERROR_NOT_INITIALIZED\nCUDA_SUCCESS\n", errors


def test_beside_the_real_driver_it_is_refused(cuda_sim: str, tmp_path: Path) -> None:
    script = f"""
import ctypes
from pathlib import Path
from substitute.device.cuda_sim.driver import build
from substitute.device.drivers import open_device
from substitute.errors import DeviceError
path = Path({str(tmp_path)!r}, "libcuda.so")
path.with_suffix(".o").write_bytes(build._compile("define i32 @cuInit(i32 %flags) {{ ret i32 100 }}"))
build._link(path.with_suffix(".o"), path)
library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
try:
    open_device("cuda-sim")
except DeviceError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == (
        "the simulated CUDA device cannot be used here any more\n"
        "  expected:  a process that has not used the CUDA driver of this machine\n"
        "  found:     one that has\n"
        "  next:      use cuda-sim in a process of its own\n"
    ), done.stderr


def test_ctrl_c_is_for_the_client(cuda_sim: str) -> None:
    script = """
from runtime_tests.cuda_sim.test_driver_server import servers_of
with driver.context():
    (server,) = servers_of(os.getpid())
    os.kill(server, signal.SIGINT)
    time.sleep(0.2)
    print(driver.cuCtxSynchronize())
"""
    output, errors = client(script).communicate(timeout=60)
    assert output == "CUDA_SUCCESS\n", errors


def test_ctrl_c_stops_a_kernel(cuda_sim: str) -> None:
    script = f"""
with driver.context():
    function = driver.function({ENDLESS}, "k")
    print("launching", flush=True)
    code = driver.launch(function, 32, [ctypes.c_uint64(0)])
    print(code, driver.words(code))
"""
    running = client(script, IREE_SUBSTITUTE_SIM_STEPS="1000000000000")
    assert running.stdout is not None
    assert running.stdout.readline() == "launching\n"
    (server,) = servers_of(running.pid)
    time.sleep(1)
    os.kill(server, signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert output == "CUDA_ERROR_LAUNCH_FAILED unspecified launch failure: k was interrupted\n", errors


def test_calls_before_cu_init(cuda_sim: str) -> None:
    script = """
count = ctypes.c_int()
print(driver.cuDeviceGetCount(count), driver.words("CUDA_ERROR_NOT_INITIALIZED"))
"""
    output, errors = client(script).communicate(timeout=60)
    assert output == "CUDA_ERROR_NOT_INITIALIZED initialization error: cuInit comes first\n", errors


RACE = """
with driver.context():
    target = driver.allocate(4)
    function = driver.function(kernel("  ld.global.u32 %r1, [%rd1];\\n  st.global.u32 [%rd1], %r1;"), "k")
    print(driver.launch(function, 1, [ctypes.c_uint64(target)]))
    name = ctypes.create_string_buffer(100)
    driver.cuDeviceGetName(name, 100, 0)
    print(name.value.decode())
"""


@pytest.mark.parametrize(("setting", "code"), [("fail", "CUDA_ERROR_LAUNCH_FAILED"), ("report", "CUDA_SUCCESS")])
def test_what_the_environment_says(cuda_sim: str, tmp_path: Path, setting: str, code: str) -> None:
    log = tmp_path / "log.jsonl"
    running = client(RACE, **{FINDINGS: setting, LOG: str(log), DEVICE: "sm_120"})
    output, errors = running.communicate(timeout=60)
    assert output == f"{code}\nSimulated CUDA device (sm_120)\n"
    assert errors.startswith("simulated CUDA device: sm_120: k:")
    assert "uninitialised-memory" in errors
    row = json.loads(log.read_text())
    assert (row["entry"], row["device"], row["grid"], row["block"]) == ("k", "sm_120", [1, 1, 1], [1, 1, 1])
    assert (row["code"], [finding["kind"] for finding in row["findings"]]) == (code, ["uninitialised-memory"])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (FINDINGS, "ignore", "not a way to treat findings"),
        (DEVICE, "sm_91", "there is no simulated CUDA device 'sm_91'"),
    ],
)
def test_a_wrong_environment_is_said(cuda_sim: str, name: str, value: str, words: str) -> None:
    output, errors = client("print(driver.cuInit(0))", **{name: value}).communicate(timeout=60)
    assert output == "CUDA_ERROR_UNKNOWN\n"
    assert words in errors


def test_the_interpreter_that_the_library_starts_may_be_gone(cuda_sim: str, tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from substitute.device.cuda_sim.driver import build
text = build.library_text(Path("/nonexistent/python"), Path("/nonexistent"))
build._build(text, Path({str(tmp_path)!r}, "built"))
library = ctypes.CDLL(str(Path({str(tmp_path)!r}, "built", build.SONAME)))
print(library.cuInit(0), library.cuInit(0))
"""
    output, errors = client(script).communicate(timeout=60)
    assert output == "999 999\n"
    assert errors == "the simulated CUDA device: its server cannot be started: No such file or directory\n"
