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
FAULTS = {
    "cpu_llvmlite": ("kernels/swiglu/generator.py", "F32(1.0)", "F32(1.01)"),
    "vulkan_glsl": ("kernels/small_matmul/kernel.comp", "k < K", "k < K - 1"),
    "raw_custom_dispatch": ("kernels/raw_mul/mul.ll", "fmul float %va, %vb", "fmul float %va, %va"),
}
"""A fault for each: file, what stands there, what is put in its place."""


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run(
        ["bash", str(folder / "run.sh")], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_sample_runs(name: str, request: pytest.FixtureRequest) -> None:
    if "vulkan" in name:
        request.getfixturevalue("vulkan_device")
    finished = run(SAMPLES / name)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_sample_with_a_fault_fails(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if "vulkan" in name:
        request.getfixturevalue("vulkan_device")
    folder = tmp_path / name
    shutil.copytree(SAMPLES / name, folder)
    file, right, wrong = FAULTS[name]
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    finished = run(folder)
    assert finished.returncode != 0
    assert "result 0" in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


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
