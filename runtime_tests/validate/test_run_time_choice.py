"""Kernels that stand in front of IREE's own code, chosen at each launch: what is judged is the choice as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute.catalog.catalog import load_catalog
from substitute.cli.scaffold import scaffold
from substitute.validate.kernel import validate_kernel
from substitute.validate.kernel_verdict import KernelVerdict

pytestmark = [pytest.mark.compile, pytest.mark.device]


def validated(folder: Path, device: str, *planted: str) -> KernelVerdict:
    """The scaffold's shader takes sizes that 16 divides; for all others IREE's own code is launched."""
    for file, text in scaffold("glsl", "shader", "shader").items():
        (folder / file).write_text(text.replace(*planted) if planted else text)
    kernel = load_catalog([folder], builtin=False).kernel("shader")
    return validate_kernel(kernel, device=device, quick=True)


def test_both_sides_of_a_choice_are_judged(vulkan_device: str, tmp_path: Path) -> None:
    verdict = validated(tmp_path, vulkan_device)
    assert verdict.passed
    assert any("DxDxD" in d.name for d in verdict.dispatches), "one with sizes that are open"


def test_twin_a_fault_in_the_kernel_is_found_behind_the_choice(vulkan_device: str, tmp_path: Path) -> None:
    verdict = validated(tmp_path, vulkan_device, "k < K; ++k", "k < K - 1; ++k")
    wrong = [d for d in verdict.dispatches if not d.passed]
    assert any("DxDxD" in d.name for d in wrong)
    assert {c.stage for d in wrong for c in d.failures} <= {"error", "non-finite"}
