"""The whole command on the simulated device: built, run, compared, and found wrong where something is planted."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptx_blobs.generator.index import INDEX as KERNELS
from runtime_tests.gpu.__main__ import main
from runtime_tests.gpu.bits import Difference, compare_bytes
from runtime_tests.gpu.build import RUNNER, build
from runtime_tests.gpu.device import driver_release
from runtime_tests.gpu.libcuda import LibcudaGpu, simulated_gpu
from runtime_tests.gpu.measure import measure
from runtime_tests.gpu.package import Code, Index, Item, read_index
from runtime_tests.gpu.programs import Program, kernel_programs, model_programs
from runtime_tests.gpu.run import launch_only, run_item, run_model
from runtime_tests.gpu.translated import ptx_texts
from runtime_tests.gpu.workloads import Problem
from runtime_tests.ptx_blobs.programs import matmul
from substitute.device.cuda_sim.driver import environment
from substitute.errors import CompilerError, DeviceError, UsageError, ValidationError
from substitute.progress import silent

pytestmark = [pytest.mark.compile, pytest.mark.device]

ROOT = Path(__file__).parents[2]
PROGRAM = Program(
    name="matmul_f16_f32_sm90a",
    text=matmul(2, 40, 24, 40, "f16", "f32"),
    kernels=("matmul_f16_f32_sm90a", "matmul_f16_f32"),
)
TINY = Problem(name="tiny", kind="rms_norm", rows=256, columns=256, kernels=("rms_norm",))
BARE = """
import runpy, sys
for name in ("iree.compiler", "click", "rich", "pydantic", "llvmlite", "jinja2", "joblib"):
    sys.modules[name] = None  # an import of it fails
"""
"""A Python that has NumPy and iree-base-runtime, and nothing else of what we depend on."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, a whole model and a timed problem."""
    folder = tmp_path_factory.mktemp("gpu")
    models = [m for m in model_programs() if m.name == "masked_softmax"]
    build(folder, programs=[PROGRAM], models=models, problems=[TINY], progress=silent)
    return folder


@pytest.fixture
def index(built: Path) -> Index:
    return read_index(built)


@pytest.fixture
def gpu(cuda_sim: str) -> LibcudaGpu:
    """The simulated device, with a cache that one set of buffers fills."""
    found = simulated_gpu(cuda_sim)
    found.facts = replace(found.facts, cache_bytes=10_000)
    return found


def test_every_shipped_kernel_has_a_program() -> None:
    assert {program.kernels[0] for program in kernel_programs()} == set(json.loads(KERNELS.read_text()))


def test_what_was_built(built: Path, index: Index) -> None:
    item, dispatches = index.items
    assert item.kernels == ("cuda_matmul_f16_f32_sm90a", "cuda_matmul_f16_f32") and item.needs == "sm_90a"
    assert dispatches.name == "masked_softmax_dispatches"
    first = item.started[0]
    assert [(code.target, code.grid, code.block) for code in first.kernels] == [
        ("sm_90a", (1, 1, 2), (128, 1, 1)),
        ("sm_80", (1, 1, 2), (256, 1, 1)),
    ]
    assert first.own is not None and first.own.target == "sm_80" and first.own.file != first.kernels[1].file
    assert [binding.length for binding in first.launch.bindings] == [2 * 40 * 24 * 2, 2 * 24 * 40 * 2, 2 * 40 * 40 * 4]
    for code in (*first.kernels, first.own):
        text = (built / code.file).read_text()
        assert f".entry {code.entry}(" in text and f".target {code.target}" in text
    assert index.timed[0].started.kernels[0].grid == (256, 1, 1)


def test_a_kernel_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    program = replace(PROGRAM, text=matmul(1, 40, 23, 40, "f16", "f32"))  # rows that are no multiple of 16 bytes
    with pytest.raises(CompilerError, match="takes no dispatch of the program for it"):
        build(tmp_path, programs=[program], models=[], problems=[], progress=silent)
    with pytest.raises(UsageError, match="there is nothing of this name"):
        build(tmp_path, only="nonsense", programs=[program], models=[], problems=[], progress=silent)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_both_launchers_leave_the_same_bits(built: Path, index: Index, cuda_sim: str, architecture: str) -> None:
    result = run_item(built, index.items[0], f"{cuda_sim}://{architecture}", silent)
    assert result.status == "passed", result
    assert {c.target for c in result.bits} == {"sm_90a" if architecture == "sm_90" else "sm_80"}
    assert len(result.bits) == len(index.items[0].started) == 3


def test_twin_other_code_leaves_other_bits(built: Path, index: Index, cuda_sim: str, tmp_path: Path) -> None:
    """One instruction less in what is launched directly."""
    shutil.copytree(built, tmp_path / "x")
    path = tmp_path / "x" / index.items[0].started[0].kernels[1].file
    path.write_text(path.read_text().replace("  mma.sync", "  // mma.sync", 1))
    result = run_item(tmp_path / "x", index.items[0], cuda_sim, silent)
    assert result.status == "failed" and all(d.passed for d in result.dispatches)
    assert any(c.differences for c in result.bits)


def relaunched(item: Item, change: Callable[[Code], Code]) -> Item:
    started = (replace(s, kernels=tuple(map(change, s.kernels))) for s in item.started)
    return replace(item, started=tuple(started))


def test_twin_another_grid_leaves_other_bits(built: Path, index: Index, cuda_sim: str) -> None:
    half = relaunched(index.items[0], lambda code: replace(code, grid=(1, 1, 1)))
    result = run_item(built, half, cuda_sim, silent)
    assert result.status == "failed" and all(c.differences for c in result.bits)


def test_twin_another_block_is_not_launched(built: Path, index: Index, cuda_sim: str) -> None:
    wrong = relaunched(index.items[0], lambda code: replace(code, block=(64, 1, 1)))
    (compared,) = run_item(built, wrong, cuda_sim, silent).bits  # nothing is launched after a failure
    assert "CUDA_ERROR_INVALID_VALUE" in compared.error


def test_compared_bytes() -> None:
    a = [np.arange(8, dtype=np.uint8), np.zeros(4, np.uint8)]
    b = [x.copy() for x in a]
    assert compare_bytes(a, b) == ()
    b[0][3] = b[0][5] = 99
    assert compare_bytes(a, b) == (Difference(buffer=0, first=3, count=2),)
    assert compare_bytes(a, [a[0], a[1][:3]]) == (Difference(buffer=1, first=3, count=1),)


def test_a_whole_model(built: Path, index: Index, cuda_sim: str) -> None:
    result = run_model(built, index.models[0], cuda_sim, silent)
    assert result.passed and result.kernels == ("cuda_softmax_or_zero",)
    assert not run_model(built, replace(index.models[0], absolute=1e-12), cuda_sim, silent).passed


def test_a_problem_is_measured(built: Path, index: Index, gpu: LibcudaGpu) -> None:
    """The flow of a measurement; what its times are says nothing on a simulated device."""
    found = measure(gpu, built, index.timed[0], rounds=2)
    assert [row.name for row in found.rows] == ["kernel", "IREE's own code", "copy"]
    assert all(len(row.timing.samples_us) == 2 and row.worst <= 1 for row in found.rows)
    assert found.sets == 2 and found.share is not None and found.target == "sm_80"
    assert {a.name for a in found.absent} == {"cuDNN", "PyTorch"}


def test_twin_a_wrong_kernel_gets_no_time(built: Path, index: Index, gpu: LibcudaGpu, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "x")
    timed = index.timed[0]
    path = tmp_path / "x" / timed.started.kernels[0].file
    text = path.read_text()
    assert "rsqrt.approx.f32" in text or "sqrt" in text
    path.write_text(text.replace("rsqrt.approx", "sqrt.approx").replace("sqrt.rn", "rcp.rn"))
    with pytest.raises(ValidationError, match="kernel is wrong, so its time does not count"):
        measure(gpu, tmp_path / "x", timed, rounds=1)


def test_ptx_that_does_not_load(gpu: LibcudaGpu) -> None:
    with pytest.raises(DeviceError, match="the driver does not load the PTX") as error:
        gpu.load(".version 7.0\n.target sm_80\nnonsense", "k", 0)
    assert "nonsense" in error.value.details


def test_a_flatbuffers_text() -> None:
    ptx = b"// k\n.version 7.0\n.target sm_80\n.visible .entry k() { ret; }\n"
    whole = b"\1\2\3\4" + struct.pack("<I", len(ptx)) + ptx + b"\0\0"
    assert [(t.target, t.ptx) for t in ptx_texts(whole)] == [("sm_80", ptx.decode())]
    assert ptx_texts(b"\1\2\3\4" + struct.pack("<I", len(ptx) - 1) + ptx + b"\0\0") == []


def test_the_command(built: Path, cuda_sim: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "r.json"
    assert main(["--run", str(built), f"--device={cuda_sim}", f"--json={place}", "--only=masked_softmax_d"]) == 0
    data = json.loads(place.read_text())
    assert data["passed"] and data["device"]["simulated"] and not data["timings"]
    assert data["command"].endswith(f"--json={place} --only=masked_softmax_d")
    shown = capsys.readouterr().out
    assert "nothing was timed: the simulated device says whether a kernel is right" in shown
    assert shown.endswith(f"passed on Simulated CUDA device (sm_80)\nresults: {place}\n")


def test_what_compute_sanitizer_would_see(built: Path, cuda_sim: str) -> None:
    assert launch_only(built, device=cuda_sim, only="masked") == 3
    assert launch_only(built, device=f"{cuda_sim}://sm_90", only="matmul") == 3


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--device=vulkan"], "this command is for CUDA devices"),
        (["--device=cuda-sim", "--only=nonsense"], "there is nothing of this name"),
        (["--rounds=0"], "so few samples are no time"),
        (["--build=x"], "only one of the two"),
    ],
)
def test_mistakes(built: Path, argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(built), *argv]) == 2
    assert words in capsys.readouterr().err


def test_results_that_cannot_be_written(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(built), "--device=cuda-sim", f"--json={tmp_path / 'no' / 'r.json'}"]) == 2
    assert "the results cannot be written" in capsys.readouterr().err


def bare(program: str, *argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", BARE + program, *argv],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_running_half_needs_no_compiler(built: Path, cuda_sim: str, tmp_path: Path) -> None:
    program = "sys.path.insert(0, '.')\nrunpy.run_module('runtime_tests.gpu', run_name='__main__', alter_sys=True)"
    place = tmp_path / "r.json"
    argv = ["--run", str(built), f"--device={cuda_sim}://sm_90", f"--json={place}", "--only=matmul"]
    done = bare(program, *argv, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(place.read_text())["items"][0]["bits"] == {"launches": 3, "targets": ["sm_90a"], "different": []}
    done = bare(program, "--build", str(tmp_path / "new"), cwd=ROOT)
    assert done.returncode == 2 and "nothing can be built here" in done.stderr, done.stderr


def test_the_road_of_a_gpu(built: Path, cuda_sim: str, tmp_path: Path) -> None:
    """`--device cuda`, with the simulated driver instead of the machine's: a timed problem, from start to end.

    An sm_86, whose cache is small, so that a few sets of buffers exceed it.
    """
    place = tmp_path / "r.json"
    argv = ["-m", "runtime_tests.gpu", "--run", str(built), "--only=tiny", "--rounds=2", f"--json={place}"]
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env=environment(os.environ, device="sm_86"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(place.read_text())
    (timing,) = data["timings"]
    assert timing["sets"] * timing["moved_bytes"] > 3 * data["device"]["cache_bytes"]
    assert data["device"]["capability"] == [8, 6] and not data["device"]["simulated"]
    assert list(timing["contenders"]) == ["kernel", "IREE's own code", "copy"] and timing["share"] > 0
    assert all(len(c["samples_us"]) == 2 and c["worst"] <= 1 for c in timing["contenders"].values())
    assert data["sanitized"][0]["status"] == "absent"


def test_the_folder_runs_itself_and_says_that_there_is_no_gpu(built: Path) -> None:
    if driver_release():
        pytest.skip("this machine has NVIDIA's driver")
    program = (
        "sys.path[:] = [p for p in sys.path if not p.endswith('main') and p != '']\n"
        "sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = bare(program, RUNNER, "--run", ".", cwd=built)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: there is no GPU to run on\n  expected:  an NVIDIA GPU and its driver\n")
    assert "copy . to a machine with one" in done.stderr
    assert done.stderr.rstrip().endswith("or add --device cuda-sim for all that the simulated device can do")
