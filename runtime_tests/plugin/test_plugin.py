"""The pytest plugin, in a separate pytest, in projects that only hold kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from substitute.cli.scaffold import scaffold

pytestmark = pytest.mark.device


def kernel_folder(folder: Path, kind: str = "llvm-ir", *, planted: tuple[str, str] = ("", "")) -> Path:
    """A kernel that is right, or has a fault planted into its files."""
    folder.mkdir(parents=True)
    for name, text in scaffold(kind, folder.name, folder.name.replace("-", "_")).items():
        (folder / name).write_text(text.replace(*planted) if planted[0] else text)
    return folder


def run_pytest(folder: Path, *options: str, **environment: str) -> tuple[int, str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-v",
        "-rs",
        "--rootdir",
        str(folder),
        *options,
    ]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\niree_devices = local-sync vulkan cuda\n")
    return tmp_path


def test_a_right_kernel_is_a_test_that_passes(project: Path) -> None:
    kernel_folder(project / "kernels" / "good")
    code, text = run_pytest(project)
    assert code == 0, text
    assert "kernels/good/kernel.toml::good[llvm-cpu-local-sync] PASSED" in text
    assert "1 passed" in text


def test_a_wrong_kernel_fails_in_words(project: Path) -> None:
    folder = kernel_folder(project / "kernels" / "bad", planted=("fadd contract", "fsub contract"))
    code, text = run_pytest(project)
    assert code == 1, text
    assert "bad is wrong on local-sync" in text
    assert f"again: iree-substitute validate {folder} --device=local-sync --seed=0 --quick" in text
    assert "golden" in text
    assert "Traceback" not in text


def test_a_wrong_manifest_fails_in_words(project: Path) -> None:
    kernel_folder(project / "kernels" / "odd", planted=("[payload]", "[payload]\ncolour = 3"))
    code, text = run_pytest(project)
    assert code == 1, text
    assert "colour" in text and "Traceback" not in text


def test_a_device_that_is_not_there_is_a_skip_with_a_reason(project: Path) -> None:
    """This loader of Vulkan drivers finds none, so the runtime has no such device."""
    kernel_folder(project / "kernels" / "shader", "glsl")
    code, text = run_pytest(project, "--iree-device=vulkan", VK_DRIVER_FILES="/nowhere", VK_ICD_FILENAMES="/nowhere")
    assert code == 0, text
    assert "SKIPPED" in text and "vulkan: " in text


def test_devices_of_other_backends_are_not_tried(project: Path) -> None:
    kernel_folder(project / "kernels" / "good")
    code, text = run_pytest(project, "--iree-device=vulkan")
    assert code == 5 and "no tests ran" in text


def test_kernels_can_be_left_out(project: Path) -> None:
    kernel_folder(project / "kernels" / "good")
    code, text = run_pytest(project, "--no-iree-kernels")
    assert code == 5 and "no tests ran" in text


def test_the_plugin_costs_other_projects_nothing(tmp_path: Path) -> None:
    """It loads no compiler, no NumPy, and nothing else of ours."""
    (tmp_path / "test_empty.py").write_text(
        "import sys\n\n\n"
        "def test_modules():\n"
        "    assert 'substitute.pytest_plugin' in sys.modules\n"
        "    ours = [m for m in sys.modules if m.startswith('substitute.')]\n"
        "    assert ours == ['substitute.pytest_plugin']\n"
        "    assert not {'numpy', 'iree', 'iree.compiler', 'llvmlite'} & set(sys.modules)\n"
    )
    code, text = run_pytest(tmp_path)
    assert code == 0, text
