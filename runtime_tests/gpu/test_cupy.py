"""CuPy's own loading and launching, on the simulated driver; its runtime, which has the memory, needs a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime_tests.gpu.build import build
from runtime_tests.gpu.cupy_gpu import reason_against_cupy
from runtime_tests.gpu.programs import Program
from runtime_tests.ptx_blobs.programs import matmul
from substitute.device.cuda_sim.driver import environment
from substitute.progress import silent

pytestmark = [pytest.mark.compile, pytest.mark.device]

LAUNCHES = """
import sys
from pathlib import Path
from cupy_backends.cuda.api import driver, runtime
from runtime_tests.gpu.bits import compare_item
from runtime_tests.gpu.cupy_gpu import CupyGpu
from runtime_tests.gpu.libcuda import simulated_gpu
from runtime_tests.gpu.package import read_index
from substitute.device.raw import RawModule
from substitute.validate.bundle_file import load_bundle

simulated = simulated_gpu("cuda-sim")

class Launcher(CupyGpu):
    def __init__(self):
        self._driver, self._runtime = driver, runtime
        self._errors = (runtime.CUDARuntimeError, driver.CUDADriverError)
        self.facts = simulated.facts
        for name in ("allocate", "free", "upload", "download", "synchronize"):
            setattr(self, name, getattr(simulated, name))

folder = Path(sys.argv[1])
(item,) = read_index(folder).items
bundle = load_bundle(folder / item.bundle)
found = compare_item(folder, item, bundle, Launcher(), RawModule(bundle.candidate, device="cuda-sim"))
print(len(found), all(one.passed for one in found), *(one.error for one in found))
"""


def test_cupy_launches_the_same_bits(tmp_path: Path, cuda_sim: str) -> None:
    reason = reason_against_cupy()
    if reason:
        pytest.skip(f"CuPy cannot be used: {reason}")
    text = matmul(1, 40, 24, 40, "f16", "f32")
    build(
        tmp_path,
        programs=[Program(name="m", text=text, kernels=("matmul_f16_f32",))],
        models=[],
        problems=[],
        progress=silent,
    )
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHES, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=environment(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip() == "3 True", done.stdout + done.stderr
