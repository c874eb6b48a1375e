"""Variants for several CUDA architectures: their presence, order and conditions in the module.

`module` also returns what a run on a device needs: the bytes of the module and the names of its variants.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime_tests.kinds.models import OPEN
from runtime_tests.kinds.programs import MATMUL_DEFINITION, KernelFolder, build, matmul_operands
from runtime_tests.variants.programs import CUDA, MAJOR, MINOR, hopper, kernel, targets
from runtime_tests.variants.rewritten import Rewritten, rewritten
from substitute.errors import CompilerError, PayloadError

pytestmark = pytest.mark.compile

MATMUL = """
func.func @main(%a: tensor<24x32xf32>, %b: tensor<32x16xf32>) -> tensor<24x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<24x16xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<24x16xf32>) -> tensor<24x16xf32>
  %c = linalg.matmul ins(%a, %b : tensor<24x32xf32>, tensor<32x16xf32>)
                     outs(%i : tensor<24x16xf32>) -> tensor<24x16xf32>
  return %c : tensor<24x16xf32>
}
"""


def ada() -> KernelFolder:
    return kernel("ada", "sm_89", {MAJOR: 8, MINOR: ">= 9"})


@dataclass(frozen=True)
class Module:
    """A module for CUDA, with what its text was before IREE went on."""

    vmfb: bytes
    text: Rewritten


def module(folder: Path, kernels: list[KernelFolder], *, flags: tuple[str, ...] = CUDA, model: str = MATMUL) -> Module:
    written = [one.write(folder / one.name) for one in kernels]
    built = build(folder, model, written, flags=flags, substituted=len(kernels))
    return Module(vmfb=built.vmfb, text=rewritten(model, written, flags))


def test_several_architectures_beside_irees_code(tmp_path: Path) -> None:
    made = module(tmp_path, [hopper(), ada()])
    (executable,) = made.text.executables
    assert [(v.name, v.architecture, v.body) for v in executable.variants] == [
        ("cuda_nvptx_fb_hopper_sm_90a", "sm_90a", False),
        ("cuda_nvptx_fb_ada_sm_89", "sm_89", False),
        ("cuda_nvptx_fb", "sm_80", True),
    ]
    assert [v.asks for v in executable.variants] == [
        [("cuda.device", "compute_capability_major", "eq", 9)],
        [("cuda.device", "compute_capability_major", "eq", 8), ("cuda.device", "compute_capability_minor", "sge", 9)],
        [],
    ]
    assert made.text.dispatches == [[("main_dispatch_0", v.name) for v in executable.variants]]
    assert targets(made.vmfb) == ["sm_90a", "sm_89", "sm_80"]


def test_a_kernel_that_takes_all_devices_is_the_last(tmp_path: Path) -> None:
    """IREE's code is then left out, and its architecture with it."""
    last = kernel("any", "sm_80", {}, priority=-1)
    made = module(tmp_path, [hopper(), last])
    (executable,) = made.text.executables
    assert [(v.name, v.body) for v in executable.variants] == [
        ("cuda_nvptx_fb_hopper_sm_90a", False),
        ("cuda_nvptx_fb", False),
    ]
    assert targets(made.vmfb) == ["sm_90a", "sm_80"]


def test_an_architecture_for_which_iree_has_no_code(tmp_path: Path) -> None:
    """With a kernel for every dispatch the module compiles; with IREE's code as the fallback of one it cannot."""
    flags = (CUDA[0], "--iree-cuda-target=sm_90a")
    alone = kernel("alone", "sm_90a", {})
    assert targets(module(tmp_path, [alone], flags=flags).vmfb) == ["sm_90a"]
    with pytest.raises(CompilerError, match="IREE's compiler failed") as caught:
        module(tmp_path, [hopper()], flags=flags)
    assert "missing GPU target" in caught.value.details


def test_the_payload_is_checked_against_its_own_architecture(tmp_path: Path) -> None:
    wrong = kernel("wrong", "sm_90a", {MAJOR: 8})
    wrong.target = {"device": {MAJOR: 8}, "variant": "sm_86"}
    with pytest.raises(PayloadError, match="the PTX does not run on sm_86"):
        module(tmp_path, [wrong])
    wrong.target = {"device": {MAJOR: 9}}
    with pytest.raises(PayloadError, match="the PTX does not run on sm_80"):
        module(tmp_path, [wrong])


def test_sizes_that_are_known_at_run_time(tmp_path: Path) -> None:
    """Another executable with the same choice of devices, dispatched before the first one."""
    folder = kernel("even", "sm_90a", {MAJOR: 9}, constants=4, constraints=["N % 16 == 0"])
    folder.definition, folder.operands = MATMUL_DEFINITION, matmul_operands()
    made = module(tmp_path, [folder], model=OPEN)
    sized, original = made.text.executables
    assert [(v.name, v.body) for v in sized.variants] == [("cuda_nvptx_fb_even_sm_90a", False), ("cuda_nvptx_fb", True)]
    assert [(v.name, v.body) for v in original.variants] == [("cuda_nvptx_fb", True)]
    assert made.text.dispatches == [
        [(sized.name, "cuda_nvptx_fb_even_sm_90a"), (sized.name, "cuda_nvptx_fb")],
        [("main_dispatch_0", "cuda_nvptx_fb")],
    ]
    assert [v.gated for e in made.text.executables for v in e.variants] == [True, True, True]
    assert targets(made.vmfb) == ["sm_90a", "sm_80", "sm_80"]
