"""Runs every sample as a person would, and copies of them with a fault planted in the kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.device

SAMPLES = Path(__file__).parents[2] / "samples"
SCRIPTS = sorted(path.parent.name for path in SAMPLES.glob("*/run.sh"))
LATER = (
    "custom_dispatch_cuda",
    "custom_dispatch_vulkan",
    "transform_plan",
    "own_kind",
    "own_tiles",
    "cpu_llvm_dialect",
)
"""Samples that are run among the slow tests."""
RUNS = [
    *(
        pytest.param(name, "", marks=[pytest.mark.slow] if name in LATER else [])
        for name in SCRIPTS
        if name != "cuda_ptx"
    ),
    ("raw_custom_dispatch", "vulkan"),
]
"""Each script, and the argument that it is called with."""
VULKAN_AS_WELL = ("transform_spec",)
"""Samples that need a Vulkan device, although their names do not say so."""
SOON = ("cpu_llvm_ir", "cuda_ptx", "linked_object", "python_rule", "vulkan_glsl")
"""Samples whose fault is planted in every run; the others are among the slow tests."""
FAULTS = {
    "cpu_llvmlite": ("kernels/swiglu/generator.py", "F32(1.0)", "F32(1.01)", "result 0"),
    "cpu_llvm_ir": ("kernels/row_squares/kernel.ll", "%sums, %squares", "%sums, %values", "result 0"),
    "vulkan_glsl": ("kernels/small_matmul/kernel.comp", "k < K", "k < K - 1", "result 0"),
    "vulkan_spirv": ("kernels/rank_one/kernel.comp", "a[A + m] * b", "a[A + m] + b", "result 0"),
    "raw_custom_dispatch": ("kernels/raw_mul/mul.ll", "fmul float %va, %vb", "fmul float %va, %va", "result 0"),
    "cuda_ptx": ("kernels/saxpy/kernel.ptx", ".param .u64 result", ".param .f32 result", "parameter 2 (result)"),
    "cpu_llvm_dialect": ("kernels/scaled_add/kernel.mlir", "llvm.fadd %scaled", "llvm.fsub %scaled", "result 0"),
    "vulkan_spirv_dialect": (
        "kernels/scaled_add_vulkan/kernel.mlir",
        "FAdd %scaled, %vb",
        "FAdd %scaled, %scaled",
        "result 0",
    ),
    "vulkan_constants": ("kernels/tiled_sum/kernel.comp", "n = lane;", "n = lane + 1;", "result 0"),
    "linked_object": ("kernels/hard_swish/hard_swish.ll", "float %x, 3.0", "float %x, 3.5", "result 0"),
    "python_rule": ("kernels/no_division/rule.py", "1.0 / number", "1.01 / number", "result 0"),
    "own_tiles": ("kernels/wide_tiles/kernel.toml", "TilingExpert", "TilingExper", "compilation_info cannot be used"),
    "vulkan_variants": ("kernels/four_at_once/kernel.comp", "first + 4", "first + 3", "result 0"),
    "transform_plan": ("run.sh", "=768", "=767", "result 0"),
    "custom_dispatch_cpu": ("functions.ll", "fmul float %va, %vb", "fmul float %va, %va", "result 0"),
    "custom_dispatch_cuda": ("kernels/mul/kernels.ptx", "mul.rn.f32 x, x, y", "mul.rn.f32 x, x, x", "result 0"),
    "custom_dispatch_vulkan": ("mul_inplace.comp", "b[i] *= a[i]", "b[i] += a[i]", "result 0"),
    "ukernel": ("kernels/tiles/tile.ll", "[ 0.0, %column ]", "[ 1.0, %column ]", "result 0"),
    "own_kind": ("kernels/scaled_sum/kernel.ll.jinja", "fadd float %sum, %value", "fsub float %sum, %value", "result"),
    "pack": ("package/row_kernels/kernels/row_sums/kernel.ll", "fadd <8", "fsub <8", "attested: row_sums FAILED"),
    "transform_spec": ("kernels/argmax/kernel.comp", "where < place[lane]", "where > place[lane]", "result 0"),
}
"""A fault for each: file, what stands there, what is put in its place, and a part of what is said then."""


def run(folder: Path, argument: str = "") -> "subprocess.CompletedProcess[str]":
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = ["bash", str(folder / "run.sh"), *filter(None, [argument])]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.parametrize(("name", "argument"), RUNS)
def test_a_sample_runs(name: str, argument: str, request: pytest.FixtureRequest) -> None:
    if "vulkan" in name + argument or name in VULKAN_AS_WELL:
        request.getfixturevalue("vulkan_device")
    finished = run(SAMPLES / name, argument)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SOON else [pytest.mark.slow]) for name in sorted(FAULTS)]
)
def test_a_sample_with_a_fault_fails(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if "vulkan" in name or name in VULKAN_AS_WELL:
        request.getfixturevalue("vulkan_device")
    folder = tmp_path / name
    shutil.copytree(SAMPLES / name, folder)
    file, right, wrong, words = FAULTS[name]
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    finished = run(folder)
    assert finished.returncode != 0
    assert words in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


def test_what_is_said_of_planted_mistakes() -> None:
    finished = run(SAMPLES / "cuda_ptx")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert ".visible .entry saxpy_dispatch_0_elementwise_4096_f32" in finished.stdout
    assert "passed on cuda-sim" in finished.stdout
    said = finished.stderr
    for words in (
        "entry saxpy has 2 parameters, the dispatch passes 3",
        "parameter 1 (y) does not fit binding 1",
        "the workgroup size is not what the entry requires",
        "sum is read, but not every path wrote it",
        "the entry takes a parameter's address",
    ):
        assert words in said


def test_every_sample_says_what_it_is() -> None:
    folders = [path for path in SAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert [f.name for f in folders if not (f / "README.md").is_file() and f.name != "magika"] == []


def test_the_python_sample() -> None:
    finished = subprocess.run(
        [sys.executable, str(SAMPLES / "python_api" / "run.py")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "← swiglu" in finished.stdout
