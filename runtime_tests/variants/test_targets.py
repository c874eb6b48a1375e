"""Modules for several devices or several targets: each variant gets its own kernels, and all devices run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.models import CHAIN, INPUTS, OPEN, matmul_folder
from runtime_tests.kinds.programs import MARK, KernelFolder, build, floats, matmul_text
from runtime_tests.variants.programs import CPU, device_target, marked_matmul
from substitute.bench.compile_time import command_path
from substitute.device import Session, run_module
from substitute.errors import DeviceError, UsageError
from substitute.pipeline import compile_model
from substitute.rewrite.linking import NO_LINKING

pytestmark = [pytest.mark.compile, pytest.mark.device]

EITHER = ("--iree-hal-target-device=local,vulkan", *CPU[1:])
"""One device that is a CPU or a GPU: every executable has a variant for each."""


def chain(mark: float) -> np.ndarray:
    """Return the result of `CHAIN` with this number added to every product."""
    a, b, c, d = (x.astype(np.float64) for x in INPUTS)
    return (a @ b + mark) @ (c @ d + mark) + mark


def cpu_kernel(name: str = "cpu", mark: float = MARK, **keys: object) -> KernelFolder:
    kernel = matmul_folder("llvm-ir", **keys)
    kernel.name, kernel.payload = name, matmul_text(mark=mark)
    return kernel


@pytest.fixture(scope="module")
def unlinked(tmp_path_factory: pytest.TempPathFactory, vulkan_device: str) -> tuple[Path, bytes]:
    """A module for both with a kernel for each, its executables not linked."""
    del vulkan_device
    folder = tmp_path_factory.mktemp("either")
    kernels = [cpu_kernel().write(folder / "cpu"), marked_matmul("gpu", 3).write(folder / "gpu")]
    built = build(folder, CHAIN, kernels, flags=(*EITHER, NO_LINKING), substituted=6, isolate=True)
    assert {(s.dispatch.variant, s.kernel.name) for s in built.plan.substitutions} == {
        ("embedded_elf_x86_64", "cpu"),
        ("vulkan_spirv_fb", "gpu"),
    }
    return folder, built.vmfb


@pytest.mark.parametrize(("device", "mark"), [("local-task", MARK), ("vulkan", 3)])
def test_either_device_runs_its_own_kernels(unlinked: tuple[Path, bytes], device: str, mark: float) -> None:
    (found,) = run_module(unlinked[1], device=device, inputs=INPUTS)
    np.testing.assert_allclose(found, chain(mark), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("which", ["cpu", "gpu"])
def test_a_kernel_for_one_of_the_devices(unlinked: tuple[Path, bytes], which: str) -> None:
    """The other one runs IREE's own code."""
    folder, _ = unlinked
    flags = (*EITHER, NO_LINKING)
    built = build(folder, CHAIN, [folder / which], flags=flags, substituted=3, isolate=True)
    for device, mark in (("local-task", MARK * (which == "cpu")), ("vulkan", 3 * (which == "gpu"))):
        (found,) = run_module(built.vmfb, device=device, inputs=INPUTS)
        np.testing.assert_allclose(found, chain(mark), rtol=1e-4, atol=1e-3)


def test_what_iree_cannot_link_is_refused(tmp_path: Path) -> None:
    external = marked_matmul("gpu", 3).write(tmp_path / "gpu")
    with pytest.raises(UsageError) as caught:
        build(tmp_path, OPEN, [external], flags=EITHER)
    assert str(caught.value) == (
        "IREE cannot link executables for the CPU and for other devices\n"
        "  expected:  --iree-hal-link-executables=false\n"
        "  found:     variants for llvm-cpu, vulkan-spirv (external objects)\n"
        "  next:      add --iree-hal-link-executables=false: the linker would crash"
    )
    call_out = cpu_kernel().write(tmp_path / "cpu")
    with pytest.raises(UsageError) as caught:
        build(tmp_path, CHAIN, [call_out], flags=EITHER, substituted=3)
    assert str(caught.value) == (
        "IREE cannot link executables for the CPU and for other devices\n"
        "  expected:  --iree-hal-link-executables=false\n"
        "  found:     variants for llvm-cpu, vulkan-spirv\n"
        "  next:      add --iree-hal-link-executables=false: the linker would forget all devices but the CPU"
    )
    assert build(tmp_path, OPEN, [call_out], flags=EITHER).vmfb, "a single executable is not linked with anything"


def test_what_stock_iree_does_with_it(tmp_path: Path, compile_stock: object, vulkan_device: str) -> None:
    """The reason for the refusal: the module compiles, but loads on the CPU only."""
    vmfb = compile_stock(CHAIN, *EITHER).read_bytes()  # type: ignore[operator]
    (found,) = run_module(vmfb, device="local-task", inputs=INPUTS)
    np.testing.assert_allclose(found, chain(0), rtol=1e-4, atol=1e-3)
    with pytest.raises(DeviceError) as caught:
        run_module(vmfb, device=vulkan_device, inputs=INPUTS)
    assert "does not support any variant of executable" in str(caught.value)


def test_choices_by_size_for_one_of_the_devices(tmp_path: Path, vulkan_device: str) -> None:
    """The dispatch that is added for Vulkan never has workgroups on the CPU, and the other way round."""
    kernels = [
        cpu_kernel(constraints=["N % 16 == 0"]).write(tmp_path / "cpu"),
        marked_matmul("gpu", 3, device={"vulkan.device::subgroup_size": ">= 1"}, constraints=["N % 32 == 0"]).write(
            tmp_path / "gpu"
        ),
    ]
    built = build(tmp_path, OPEN, kernels, flags=(*EITHER, NO_LINKING), substituted=2, isolate=True)
    for device, width, mark in (("local-task", 16, MARK), (vulkan_device, 32, 3)):
        with Session(built.vmfb, device=device) as session:
            for n in (16, 17, 32):
                a, b = floats(5, 32), floats(32, n)
                (found,) = session.call(None, [a, b])
                np.testing.assert_allclose(found, a @ b + mark * (n % width == 0), rtol=1e-4, atol=1e-4)


def function(name: str, device: str) -> str:
    """A square of matrices on one device."""
    type_, there = "tensor<16x16xf32>", f"{{iree.abi.affinity = #hal.device.promise<@{device}>}}"
    return f"""
func.func @{name}(%a: {type_} {there}) -> ({type_} {there}) {{
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : {type_}
  %i = linalg.fill ins(%zero : f32) outs(%e : {type_}) -> {type_}
  %p = linalg.matmul ins(%a, %a : {type_}, {type_}) outs(%i : {type_}) -> {type_}
  return %p : {type_}
}}
"""


def test_two_devices_in_one_program(tmp_path: Path, vulkan_device: str) -> None:
    """A function for each device, which share their executables where these do the same."""
    flags = ("--iree-hal-target-device=one=local", "--iree-hal-target-device=two=vulkan", *CPU[1:], NO_LINKING)
    kernels = [cpu_kernel().write(tmp_path / "cpu"), marked_matmul("gpu", 3).write(tmp_path / "gpu")]
    file, vmfb, a = tmp_path / "model.mlir", tmp_path / "m.vmfb", floats(16, 16)
    file.write_text(function("on_cpu", "one") + function("on_gpu", "two"))
    built = compile_model(file, kernels=kernels, builtin=False, flags=flags, isolate=True, output=vmfb)
    assert sorted((s.dispatch.target.backend, s.kernel.name) for s in built.plan.substitutions) == [
        ("llvm-cpu", "cpu"),
        ("vulkan-spirv", "gpu"),
    ]
    np.save(tmp_path / "a.npy", a)
    both = ["local-task", vulkan_device]
    for name, devices, mark in (("on_cpu", both, MARK), ("on_gpu", both[::-1], 3)):
        # the devices are distinguished by name; inputs are put on the first one
        output = tmp_path / f"{name}.npy"
        words = [f"--module={vmfb}", f"--function={name}", f"--input=@{tmp_path / 'a.npy'}", f"--output=@{output}"]
        done = subprocess.run(
            [command_path("iree-run-module"), *words, *(f"--device={device}" for device in devices)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(np.load(output), a.astype(np.float64) @ a + mark, rtol=1e-4, atol=1e-4)


def with_targets(kind: str, targets: list[str]) -> str:
    device = f'#hal.device.target<"{kind}", [{", ".join(targets)}]> : !hal.device'
    return f"module attributes {{hal.device.targets = [{device}]}} {{\n{CHAIN}\n}}"


def test_two_cpu_targets(tmp_path: Path) -> None:
    """An x86-64 and an Arm variant in each executable, both with the kernel, linked by architecture."""
    x86 = device_target(tmp_path, *CPU[:2], "--iree-llvmcpu-target-cpu=generic")
    arm = device_target(tmp_path, *CPU[:2], "--iree-llvmcpu-target-triple=aarch64-linux-gnu")
    file = tmp_path / "model.mlir"
    for targets in ([x86, arm], [arm, x86]):
        file.write_text(with_targets("local", targets))
        kernel = cpu_kernel().write(tmp_path / "cpu")
        built = compile_model(file, kernels=[kernel], builtin=False, flags=CPU[2:])
        assert sorted({s.dispatch.target.format for s in built.plan.substitutions}) == [
            "embedded-elf-arm_64",
            "embedded-elf-x86_64",
        ]
        assert built.vmfb.count(b"\x7fELF") == 2
        (found,) = run_module(built.vmfb, device="local-task", inputs=INPUTS)
        np.testing.assert_allclose(found, chain(MARK), rtol=1e-4, atol=1e-3)
