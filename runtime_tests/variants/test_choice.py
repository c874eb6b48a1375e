"""Choice of the kernel: each adds another number to its result, and IREE's own code adds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.models import CHAIN, INPUTS, OPEN, matmul_folder
from runtime_tests.kinds.programs import MARK, KernelFolder, build, floats
from runtime_tests.variants.programs import CPU, HERE, NOWHERE, VULKAN, marked_matmul
from substitute.device import Session

pytestmark = [pytest.mark.compile, pytest.mark.device]

NOR_THERE = {"vulkan.device::subgroup_size": "> 8192"}
"""Another test, so that a kernel with it could be tried after one with the first."""
GENERIC = (*CPU[:2], "--iree-llvmcpu-target-cpu=generic", "--iree-llvmcpu-target-cpu-features=")
SIZES = ((4, 16), (5, 17), (3, 32), (1, 1))


def marks(folder: Path, kernels: list[KernelFolder], flags: tuple[str, ...], device: str) -> dict[tuple[int, int], int]:
    """Return the number that was added to the product, for each of `SIZES`."""
    written = [kernel.write(folder / kernel.name) for kernel in kernels]
    built = build(folder, OPEN, written, flags=flags, substituted=len(kernels))
    added = {}
    with Session(built.vmfb, device=device) as session:
        for m, n in SIZES:
            a, b = floats(m, 32), floats(32, n)
            (found,) = session.call(None, [a, b])
            added[m, n] = round(float(np.mean(found - a @ b)))
            np.testing.assert_allclose(found, a @ b + added[m, n], rtol=1e-4, atol=1e-4)
    return added


def everywhere(mark: int) -> dict[tuple[int, int], int]:
    return dict.fromkeys(SIZES, mark)


def by_width(even: int, odd: int) -> dict[tuple[int, int], int]:
    """`even` where `N % 16 == 0`."""
    return {(m, n): even if n % 16 == 0 else odd for m, n in SIZES}


@pytest.mark.parametrize(("device", "mark"), [(HERE, 3), (NOWHERE, 0)], ids=["here", "nowhere"])
def test_a_variant_is_chosen_by_the_device(
    tmp_path: Path, vulkan_device: str, device: Mapping[str, str], mark: int
) -> None:
    assert marks(tmp_path, [marked_matmul("one", 3, device=device)], VULKAN, vulkan_device) == everywhere(mark)


def test_kernels_are_asked_in_order(tmp_path: Path, vulkan_device: str) -> None:
    """The best one asks for what no device has; the next asks for what this one has; the last is never asked."""
    first = marked_matmul("first", 3, device=NOWHERE, priority=3)
    second = marked_matmul("second", 5, device=HERE, priority=2)
    third = marked_matmul("third", 11, priority=1)
    kernels = [first, second, third]
    assert marks(tmp_path, kernels, VULKAN, vulkan_device) == everywhere(5)
    second.target = {"device": NOR_THERE}
    assert marks(tmp_path, kernels, VULKAN, vulkan_device) == everywhere(11)


@pytest.mark.parametrize(("device", "mark"), [(HERE, 3), (NOWHERE, 0)], ids=["here", "nowhere"])
def test_device_and_sizes(tmp_path: Path, vulkan_device: str, device: Mapping[str, str], mark: int) -> None:
    kernel = marked_matmul("both", 3, device=device, constraints=["N % 16 == 0"])
    assert marks(tmp_path, [kernel], VULKAN, vulkan_device) == by_width(mark, 0)


def test_all_kinds_of_choices_at_once(tmp_path: Path, vulkan_device: str) -> None:
    """By size, by device, by both, by neither: the first that fits."""
    kernels = [
        marked_matmul("elsewhere", 3, device=NOWHERE, priority=9),
        marked_matmul("tiny", 5, constraints=["M * N < 2"], priority=8),
        marked_matmul("even", 11, device=HERE, constraints=["N % 32 == 0"], priority=7),
        marked_matmul("odd", 13, device=NOR_THERE, constraints=["N % 16 != 0"], priority=6),
        marked_matmul("rest", 17, device=HERE, priority=5),
        marked_matmul("never", 19, priority=4),
    ]
    expected = {(4, 16): 17, (5, 17): 17, (3, 32): 11, (1, 1): 5}
    assert marks(tmp_path, kernels, VULKAN, vulkan_device) == expected
    kernels[4].target = {"device": NOR_THERE}
    assert marks(tmp_path, kernels, VULKAN, vulkan_device) == {(4, 16): 19, (5, 17): 19, (3, 32): 11, (1, 1): 5}


def test_several_sizes_on_the_cpu(tmp_path: Path) -> None:
    """One export after the other, with IREE's own as the last."""
    from runtime_tests.kinds.programs import matmul_text

    kernels = []
    for name, mark, constraint in (("even", 3, "N % 32 == 0"), ("wide", 5, "N > 16"), ("tall", 11, "M > 3")):
        kernel = matmul_folder("llvm-ir", constraints=[constraint], priority=20 - mark)
        kernel.name, kernel.payload = name, matmul_text(mark=mark)
        kernels.append(kernel)
    assert marks(tmp_path, kernels, CPU, "local-task") == {(4, 16): 11, (5, 17): 5, (3, 32): 3, (1, 1): 0}


def cpu_features() -> tuple[str, str]:
    """A feature that this CPU has, and one that no CPU has without being another CPU."""
    words = Path("/proc/cpuinfo").read_text().split() if os.path.exists("/proc/cpuinfo") else []
    if "avx2" not in words:
        pytest.skip("needs an x86-64 CPU with AVX2")
    return "avx2", "amx-tile" if "amx_tile" not in words else "fma4"


FRESH = """
import sys
from pathlib import Path
import numpy as np
from runtime_tests.kinds.models import INPUTS
from substitute.device import run_module
(found,) = run_module(Path(sys.argv[1]).read_bytes(), device="local-sync", inputs=INPUTS)
np.save(sys.argv[2], found)
"""


@pytest.mark.parametrize("there", [True, False])
def test_cpu_features_are_asked_in_a_fresh_process(tmp_path: Path, there: bool) -> None:
    """Static sizes let IREE record the commands once, when the module is loaded."""
    kernel = matmul_folder("llvm-ir")
    kernel.target = {"device": {f"hal.cpu::{cpu_features()[not there]}": True}}
    built = build(tmp_path, CHAIN, [kernel.write(tmp_path / "kernel")], flags=GENERIC, substituted=3)
    (tmp_path / "m.vmfb").write_bytes(built.vmfb)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, tmp_path / "m.vmfb", tmp_path / "found.npy"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    a, b, c, d = (x.astype(np.float64) for x in INPUTS)
    mark = MARK * there
    expected = (a @ b + mark) @ (c @ d + mark) + mark
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=1e-4, atol=1e-3)


def test_features_and_sizes_on_the_cpu(tmp_path: Path) -> None:
    feature, _ = cpu_features()
    kernel = matmul_folder("llvm-ir", constraints=["N % 16 == 0"])
    kernel.target = {"device": {f"hal.cpu::{feature}": True, "hal.dispatch::concurrency": ">= 1"}}
    assert marks(tmp_path, [kernel], GENERIC, "local-task") == by_width(MARK, 0)
    kernel.target = {"device": {f"hal.cpu::{feature}": False}}
    assert marks(tmp_path, [kernel], GENERIC, "local-task") == everywhere(0)


def test_the_payload_uses_what_was_asked_for(tmp_path: Path) -> None:
    """The module is for any x86-64 CPU, this one function for those with the feature."""
    import llvmlite.binding as llvm

    feature, _ = cpu_features()
    for device, expected in (({f"hal.cpu::{feature}": True}, True), ({f"hal.cpu::{feature}": False}, False)):
        kernel = matmul_folder("llvm-ir")
        kernel.target = {"device": device}
        built = build(tmp_path, OPEN, [kernel.write(tmp_path / "kernel")], flags=GENERIC)
        (payload,) = built.payloads.values()
        text = str(llvm.parse_bitcode(payload.data))
        assert (f'"target-features"="+{feature}"' in text) == expected
        assert ("<8 x float>" in text) == expected
