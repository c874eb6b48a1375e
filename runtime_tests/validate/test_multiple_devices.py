"""Models for several devices: what belongs to the named one is judged, and what does not is said not to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from substitute.device import Session
from substitute.errors import DeviceError
from substitute.pipeline import compile_model
from substitute.validate import validate_model
from substitute.validate.audit import audit_model
from substitute.validate.targets import flags_for, foreign, names_several

MODEL = """
func.func @on_a(%x: tensor<4xf32> {iree.abi.affinity = #hal.device.promise<@a>}) -> tensor<4xf32> {
  %p = arith.mulf %x, %x : tensor<4xf32>
  return %p : tensor<4xf32>
}
func.func @on_b(%x: tensor<4xf32> {iree.abi.affinity = #hal.device.promise<@b>}) -> tensor<4xf32> {
  %p = arith.addf %x, %x : tensor<4xf32>
  return %p : tensor<4xf32>
}
"""
CPU = ("--iree-hal-local-target-device-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=host")
KINDS = ("--iree-hal-target-device=a=local", "--iree-hal-target-device=b=vulkan", *CPU)
EQUAL = ("--iree-hal-target-device=a=local[0]", "--iree-hal-target-device=b=local[1]", *CPU)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("several") / "model.mlir"
    path.write_text(MODEL)
    return path


@pytest.mark.compile
@pytest.mark.device
def test_audit_judges_what_belongs_to_the_device(model: Path) -> None:
    audit = audit_model(model, device="local-sync", flags=KINDS, inputs=("normal",))
    assert [d.outcome for d in audit.dispatches] == ["right", "not judged"]
    assert audit.dispatches[1].reason == "it is compiled by vulkan-spirv for another device than local-sync"
    only = audit_model(model, device="local-sync", flags=KINDS, inputs=("normal",), only="on_b")
    assert only.nothing_judged and not only.passed


@pytest.mark.compile
@pytest.mark.device
def test_validate_judges_dispatches_and_says_that_the_model_was_not_compared(model: Path) -> None:
    flags = (*KINDS, "--iree-hal-link-executables=false")
    # in processes of their own: the flag belongs to the process
    verdict = validate_model(model, device="local-sync", flags=flags, quick=True, isolate=True)
    judged, other = verdict.dispatches
    assert judged.passed and not judged.skipped and verdict.passed and not verdict.results
    assert other.skipped == "it is compiled by vulkan-spirv for another device than local-sync"
    assert verdict.note.endswith("only its dispatches: it is for several devices, and local-sync is one of them")
    none = validate_model(model, device="local-sync", flags=flags, quick=True, dispatches=False, isolate=True)
    assert none.unproven and not none.passed, "nothing was judged"


@pytest.mark.compile
@pytest.mark.device
def test_a_module_that_needs_another_device_is_not_called_one_for_another_machine(model: Path) -> None:
    vmfb = compile_model(model, substitute=False, flags=flags_for("local-sync", EQUAL)).vmfb
    with pytest.raises(DeviceError, match="is for several devices") as failure:
        Session(vmfb, device="local-sync")
    assert "b" in failure.value.found


@pytest.mark.unit
def test_flags_and_backends() -> None:
    assert names_several(EQUAL) and names_several(("--iree-hal-target-device=a=local,b=vulkan",))
    assert not names_several(("--iree-hal-target-device=local",)) and not names_several(())
    assert not foreign("llvm-cpu", "local-task") and not foreign("cuda", "cuda-sim") and foreign("rocm", "vulkan")
    assert not foreign("vmvx", "local-sync") and foreign("vmvx", "vulkan") and foreign("vmvx", "cuda-sim")
