"""CUDA kernels on the simulated device: right ones pass, wrong ones do not, and a fault stays with its launch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from iree.compiler.version import VERSION

from substitute.device.raw import RawModule
from substitute.errors import DeviceError
from substitute.isolate import Call, isolated
from substitute.progress import Progress
from substitute.validate.bundle import Bundle
from substitute.validate.case import Case
from substitute.validate.judge import judge_alone
from substitute.validate.kernel import bundle_kernel, find_kernels, validate_kernel
from substitute.validate.kernel_verdict import KernelVerdict
from substitute.validate.programs import definition_functions
from substitute.validate.run import judge_bundle
from substitute.validate.verdict import DispatchVerdict

pytestmark = [pytest.mark.compile, pytest.mark.device]

SOFTMAX = Path(__file__).parents[2] / "ptx_blobs" / "softmax"


def judged(folder: Path, device: str, case: str) -> KernelVerdict:
    (kernel,) = find_kernels([str(folder)])
    return validate_kernel(kernel, device=device, quick=True, isolate=True, case=case)


def plain_program(folder: Path) -> str:
    """Return the label of a quick validation's program of static sizes above one, with nothing around the kernel."""
    (kernel,) = find_kernels([str(folder)])
    functions = definition_functions(kernel, quick=True, random=np.random.default_rng(0))
    return next(f.label for f in functions if not f.shapes and not f.label.endswith("C=1"))


@pytest.mark.slow
def test_a_kernel_that_subtracts_another_number(cuda_sim: str, tmp_path: Path) -> None:
    """The least instead of the greatest: right until something overflows."""
    case = f"{plain_program(SOFTMAX)} ["
    verdict = judged(SOFTMAX, cuda_sim, case)
    assert verdict.passed, verdict.dispatches
    assert verdict.coverage is not None and 0 < verdict.coverage.both_ways <= verdict.coverage.branches
    assert [c.inputs for d in verdict.dispatches for c in d.cases] == ["normal", "large", "special"]
    folder = Path(shutil.copytree(SOFTMAX, tmp_path / "softmax"))
    text = (folder / "kernel.ptx").read_text()
    (folder / "kernel.ptx").write_text(text.replace("max.f32", "min.f32"))
    verdict = judged(folder, cuda_sim, case)
    assert not verdict.passed
    assert {c.inputs for d in verdict.dispatches for c in d.failures} >= {"large"}


def test_open_sizes(cuda_sim: str) -> None:
    stages, verdict = isolated(Call(launches, {"device": cuda_sim}), lambda *_: None)
    assert stages == ["", "launch", ""]  # a fault stays with its launch
    # CUDA refuses a grid of no blocks: IREE's own code fails there, and the kernel is not launched
    assert verdict.passed, verdict
    none, several, again = verdict.cases
    assert several.judged and not none.judged
    alone = "judged by the golden alone: "
    assert [note.partition(": run")[0] for note in none.notes] == [f"{alone}IREE's own code fails"]
    if not VERSION.startswith("3.11."):  # which loses what the driver said on the way
        assert "a grid of (0, 1, 1)" in none.notes[0]
    # IREE's code for open sizes takes more steps than it gets; what took too long once is not begun again
    assert [note.partition(": run")[0] for note in several.notes] == [f"{alone}IREE's own code fails"]
    assert "step-limit" in several.notes[0]
    assert again.notes[0].startswith(f"{alone}not launched, since in a case before IREE's own code fails")


def launches(device: str, progress: Progress) -> tuple[list[str], DispatchVerdict]:
    """The stages of a launch, of one with sizes that its buffers have not, and of the first again; and the verdict on
    a launch of nothing and two others.
    """
    bundle: Bundle = bundle_kernel(SOFTMAX, "cuda_softmax", device, quick=True, seed=0, case="of open sizes, launch")
    (subject,) = bundle.subjects
    normal = [case for case in subject.cases if case.inputs == "normal"]
    none = next(case for case in normal if 0 in case.launch.workload)
    case = max(normal, key=lambda case: case.launch.workload)
    with RawModule(bundle.candidate, device=device) as module:
        stages = [judge_alone(module, one).verdict.stage for one in (case, _too_large(case), case)]
        assert module.recover()
    bundle = replace(bundle, subjects=(replace(subject, cases=(none, case, replace(case))),))
    (verdict,) = judge_bundle(bundle, progress=progress)
    return stages, verdict


def _too_large(case: Case) -> Case:
    launch = replace(case.launch, constants=tuple(c * 1000 for c in case.launch.constants))
    return replace(case, launch=launch)


def test_twin_a_device_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    module = RawModule.__new__(RawModule)
    module.device, module._vmfb, module._sticky, module._failed = "cuda", b"", True, True

    def lost(*, fresh: bool) -> None:
        raise DeviceError("it is gone")

    monkeypatch.setattr(module, "_open", lost)
    assert not module.recover()
    with pytest.raises(DeviceError) as caught:
        module.launch("run_0")
    assert str(caught.value).splitlines()[0] == "run_0 was not launched"
