"""The keys that manifests may ask for are those that IREE's devices answer."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime_tests.variants.programs import CPU, VULKAN
from substitute.catalog.device_tests import KEYS

pytestmark = [pytest.mark.compile, pytest.mark.device]


def questions(keys: Sequence[tuple[str, str]]) -> str:
    """A function that returns for each key whether the device knows it, and its answer."""
    lines = [
        f'  %ok{n}, %v{n} = hal.device.query<%device : !hal.device> key("{category}" :: "{key}") : i1, i64\n'
        f"  %k{n} = arith.extui %ok{n} : i1 to i64\n"
        for n, (category, key) in enumerate(keys)
    ]
    values = ", ".join(f"%k{n}, %v{n}" for n in range(len(keys)))
    types = ", ".join(["i64"] * (2 * len(keys)))
    return (
        f"util.func public @ask(%n: index) -> ({types}) {{\n  %device = hal.devices.get %n : !hal.device\n"
        f"{''.join(lines)}  util.return {values} : {types}\n}}\n"
    )


def answers(
    folder: Path, devices: Sequence[str], keys: Sequence[tuple[str, str]], flags: Sequence[str]
) -> list[dict[str, tuple[int, int]]]:
    """Return each device's answer for each key."""
    import iree.runtime as runtime

    from substitute.compiler import Compilation

    model = folder / "questions.mlir"
    model.write_text(questions(keys))
    with Compilation(flags, name="questions") as compilation:
        compilation.parse(model)
        compilation.run("start", "end")
        module = compilation.bytecode()
    found = []
    for device in devices:
        context = runtime.SystemContext(config=runtime.Config(device))
        context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, module))
        numbers = [int(n) for n in context.modules["module"]["ask"](0)]
        found.append({"::".join(key): (numbers[2 * n], numbers[2 * n + 1]) for n, key in enumerate(keys)})
    return found


def known(backend: str) -> list[tuple[str, str]]:
    return [(category, key) for category, keys in KEYS[backend].items() for key in keys]


def test_vulkan_devices_answer(tmp_path: Path, vulkan_device: str) -> None:
    keys = [*known("vulkan-spirv"), ("vulkan.feature", "no_such_feature")]
    (found,) = answers(tmp_path, [vulkan_device], keys, VULKAN)
    assert found.pop("vulkan.feature::no_such_feature") == (0, 0)
    assert {key for key, (ok, _) in found.items() if not ok} == set()
    assert found["vulkan.device::subgroup_size"][1] >= 4


def test_local_devices_answer(tmp_path: Path) -> None:
    """A CPU knows the features of its own architecture only."""
    keys = [*known("llvm-cpu"), ("hal.cpu", "no_such_feature")]
    own = {"x86_64": "sse3", "aarch64": "lse", "riscv64": "v"}[platform.machine()]
    other = {"x86_64": "sve", "aarch64": "avx2", "riscv64": "avx2"}[platform.machine()]
    for found in answers(tmp_path, ["local-task", "local-sync"], keys, CPU):
        assert found["hal.cpu::no_such_feature"][0] == 0
        assert found["hal.dispatch::concurrency"][1] >= 1
        assert (found[f"hal.cpu::{own}"][0], found[f"hal.cpu::{other}"][0]) == (1, 0)


PROGRAM = """
import sys
from pathlib import Path
from runtime_tests.variants.programs import CPU
from runtime_tests.variants.test_keys import answers
from substitute.device import run_module
import numpy as np

folder, vmfb = map(Path, sys.argv[1:])
def ask():
    return answers(folder, ["local-sync"], [("hal.cpu", "{feature}")], CPU)[0]["hal.cpu::{feature}"][1]
before = ask()
run_module(vmfb.read_bytes(), device="local-sync", inputs=[np.ones(4, np.float32)])
print(before, ask())
"""


def test_a_cpu_knows_nothing_before_its_first_executable(tmp_path: Path, compile_stock: object) -> None:
    """The reason why a condition on `hal.cpu` is evaluated when the dispatch is launched."""
    model = "func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n  %y = arith.addf %x, %x : tensor<4xf32>\n"
    vmfb = compile_stock(model + "  return %y : tensor<4xf32>\n}")  # type: ignore[operator]
    feature = {"x86_64": "sse3", "aarch64": "fp-armv8", "riscv64": "v"}[platform.machine()]
    program = PROGRAM.replace("{feature}", feature)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path, vmfb],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1"]
