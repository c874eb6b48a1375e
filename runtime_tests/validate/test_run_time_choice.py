"""Kernels chosen at each launch, before IREE's own code: the choice as a whole is judged."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from substitute.catalog.catalog import load_catalog
from substitute.cli.scaffold import scaffold
from substitute.report.junit import validation_to_junit
from substitute.report.validation_json import kernel_verdict_to_json
from substitute.validate.batch import summarize_kernels
from substitute.validate.kernel import validate_kernel
from substitute.validate.kernel_verdict import KernelVerdict
from substitute.validate.verdict_text import kernel_rows

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


def asking(folder: Path, feature: str, *changes: tuple[str, str]) -> KernelVerdict:
    """A kernel that asks for a feature of the CPU, and takes what 16 divides."""
    for file, text in scaffold("llvm-ir", "asks", "asks").items():
        text = text.replace('backend = "llvm-cpu"', f'backend = "llvm-cpu"\ndevice = {{ "hal.cpu::{feature}" = true }}')
        for old, new in changes:
            text = text.replace(old, new)
        (folder / file).write_text(text)
    kernel = load_catalog([folder], builtin=False).kernel("asks")
    return validate_kernel(kernel, quick=True, case="of open sizes")


OF_NO_MACHINE = "zvfhmin"
"""A feature of RISC-V, where the tests do not run."""
OF_THIS_MACHINE = "sse3" if platform.machine() == "x86_64" else "fp-armv8"
WRONG = ("store float %total", "store float 0.0")


def test_a_kernel_that_never_ran_is_not_judged(tmp_path: Path) -> None:
    verdict = asking(tmp_path, OF_NO_MACHINE, WRONG)
    assert not verdict.passed
    assert verdict.message == "no dispatch that it took could be judged"
    assert [d.skipped.partition(":")[0] for d in verdict.dispatches] == ["the kernel never ran"]
    (row,) = kernel_rows([verdict])
    assert row[-1] == "not judged"
    (dispatch,) = kernel_verdict_to_json(verdict)["dispatches"]
    assert (dispatch["passed"], {c["passed"] for c in dispatch["cases"]}) == (None, {None})
    validation = summarize_kernels([verdict], device="local-task", seed=0, command="", started="")
    assert not validation.passed
    assert b"<skipped" in validation_to_junit(validation)


@pytest.mark.slow
def test_twin_a_kernel_that_ran_is_judged(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.mkdir()
    wrong.mkdir()
    verdict = asking(right, OF_THIS_MACHINE)
    assert verdict.passed
    assert {c.entered for d in verdict.dispatches for c in d.cases} == {True}
    found = {c.stage for d in asking(wrong, OF_THIS_MACHINE, WRONG).dispatches for c in d.failures}
    assert found == {"error", "non-finite"}
