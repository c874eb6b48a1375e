"""Executables to which a stdin/stdout tool adds variants: measured with stock iree-compile.

The tool gets one executable and not the program, whose dispatches name the variants. Each mode of `TOOL` is an approach
that such a tool could try.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.conftest import _compiler
from runtime_tests.kinds.programs import floats
from runtime_tests.variants.programs import VULKAN, glsl_pointwise
from substitute.device import run_module
from substitute.errors import DeviceError

pytestmark = [pytest.mark.compile, pytest.mark.device]

MODEL = """
func.func @main(%x: tensor<48xf32>) -> tensor<48xf32> {
  %y = arith.addf %x, %x : tensor<48xf32>
  return %y : tensor<48xf32>
}
"""
TOOL = """#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from iree.compiler import ir
from substitute.frontend import plan_executables
from substitute.progress import Clock
from substitute.progress import silent
from substitute.catalog.catalog import load_catalog
from substitute.model.kernel import DeviceTest
from substitute.payload.build import build
from substitute.read.definition import read_forms
from substitute.read.module import children
from substitute.rewrite.choice import Choice
from substitute.rewrite.variants import _insert_variant, make_external

mode = {mode!r}
with ir.Context(), ir.Location.unknown():
    module = ir.Module.parse(sys.stdin.read()).operation
    def load(backends):
        return load_catalog([Path({kernel!r})], builtin=False, backends=backends, read_forms=read_forms).kernels

    plan, (site,) = plan_executables(module, Clock(silent), load, chosen=None)
    request, payload = build(plan.substitutions[0])
    test = DeviceTest(category="vulkan.device", key="subgroup_size", relation=">", value=4096)
    choice = Choice(request=request, payload=payload, device=(test,) * (mode == "swap, elsewhere"))
    if mode == "in place":
        make_external(site, choice, None)
    else:
        added = _insert_variant(site, choice, None)
        if mode == "last":
            added.move_after(site.variant)
        if mode in ("swap", "swap, elsewhere", "rename"):
            names = [op.attributes["sym_name"] for op in (added, site.variant)]
            added.attributes["sym_name"], site.variant.attributes["sym_name"] = reversed(names)
        if mode == "rename":
            added.erase()
    (executable,) = [op for op in children(module) if op.name == "hal.executable"]
    print(executable)
"""


def through_a_tool(folder: Path, mode: str) -> subprocess.CompletedProcess[str]:
    """Compiles `MODEL` for Vulkan; the tool's kernel adds 7."""
    kernel = glsl_pointwise("addf", 7).write(folder / "kernel")
    tool = folder / "bin" / "add-variant"
    tool.parent.mkdir()
    root = str(Path(__file__).parents[2])
    tool.write_text(TOOL.format(python=sys.executable, root=root, mode=mode, kernel=str(kernel)))
    tool.chmod(0o755)
    (folder / "m.mlir").write_text(MODEL)
    return subprocess.run(
        [
            _compiler(),
            folder / "m.mlir",
            "-o",
            folder / "m.vmfb",
            *VULKAN,
            "--iree-hal-preprocess-executables-with=add-variant",
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"},
    )


def added(folder: Path, device: str) -> float:
    x = floats(48)
    (found,) = run_module((folder / "m.vmfb").read_bytes(), device=device, inputs=[x])
    return float(np.mean(found - 2 * x))


def test_a_variant_in_its_place_runs(tmp_path: Path, vulkan_device: str) -> None:
    done = through_a_tool(tmp_path, "in place")
    assert done.returncode == 0, done.stderr
    assert added(tmp_path, vulkan_device) == pytest.approx(7, abs=1e-5)


@pytest.mark.parametrize("mode", ["first", "last"])
def test_an_added_variant_is_dropped_without_a_word(tmp_path: Path, vulkan_device: str, mode: str) -> None:
    """No dispatch names it, so IREE removes it: exit status 0, nothing on stderr, and its own code runs."""
    done = through_a_tool(tmp_path, mode)
    assert (done.returncode, done.stderr) == (0, "")
    assert added(tmp_path, vulkan_device) == pytest.approx(0, abs=1e-5)


def test_a_variant_under_the_others_name_has_no_fallback(tmp_path: Path, vulkan_device: str) -> None:
    """IREE's own code is what no dispatch names now: it is removed."""
    done = through_a_tool(tmp_path, "swap")
    assert (done.returncode, done.stderr) == (0, "")
    assert added(tmp_path, vulkan_device) == pytest.approx(7, abs=1e-5)


def test_nor_does_it_load_elsewhere(tmp_path: Path, vulkan_device: str) -> None:
    """On a device that its condition refuses."""
    assert through_a_tool(tmp_path, "swap, elsewhere").returncode == 0
    with pytest.raises(DeviceError) as caught:
        added(tmp_path, vulkan_device)
    assert "does not support any variant of executable" in str(caught.value)


def test_a_renamed_variant_crashes_the_compiler(tmp_path: Path, vulkan_device: str) -> None:
    del vulkan_device
    done = through_a_tool(tmp_path, "rename")
    assert done.returncode not in (0, 1)
    assert "Please report issues" in done.stderr
