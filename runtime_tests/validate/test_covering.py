"""Sets of sizes that cover what a kernel's code may do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from substitute.model.kernel import Kernel
from substitute.validate.covering import DEFAULT, LOCAL, QUICK, SIMULATED, Budget, Speed, cover_sizes
from substitute.validate.kernel import find_kernels
from substitute.validate.thresholds import Thresholds

pytestmark = pytest.mark.compile
MATMUL = """func.func @mm(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>, %c: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %r = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%c : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}
"""
MANIFEST = """schema = 1
name = "mm"
summary = "matrix multiplication"
{constraints}
[operands]
a = ["M", "K"]
b = ["K", "N"]
c = ["M", "N"]
d = ["M", "N"]
[[target]]
backend = "{backend}"
[payload]
kind = "{kind}"
file = "kernel.ll"
entry = "mm"
[launch]
{launch}
"""


def kernel(folder: Path, *, constraints: str = "", launch: str = 'workgroup_count = ["M", "1", "1"]') -> Kernel:
    text = MANIFEST.format(constraints=constraints, backend="llvm-cpu", kind="llvm-ir", launch=launch)
    (folder / "kernel.toml").write_text(text)
    (folder / "definition.mlir").write_text(MATMUL)
    (folder / "kernel.ll").write_text("")
    (found,) = find_kernels([str(folder)])
    return found


def cover(
    kernel: Kernel, *compared: int, budget: Budget = DEFAULT, speed: Speed = LOCAL, stepped: tuple[int, ...] = ()
) -> list[dict[str, int]]:
    numbers = Thresholds(compared=compared, stepped=stepped)
    return cover_sizes(kernel, kernel.forms[0], numbers, budget=budget, speed=speed, random=np.random.default_rng(0))


def test_each_axis_is_about_each_number(tmp_path: Path) -> None:
    found = cover(kernel(tmp_path), 300, stepped=(48,))
    for axis in "MNK":
        values = {sizes[axis] for sizes in found}
        assert {0, 1, 299, 300, 301, 600, 47, 48, 49, 96, 70_000, 65_537} <= values
        others = [a for a in "MNK" if a != axis]
        assert any(sizes[axis] == 1 and all(sizes[a] > 300 for a in others) for sizes in found)
        a, b = others
        assert any(sizes[a] == sizes[b] != sizes[axis] for sizes in found)
    assert any(len({*sizes.values()}) == 1 and max(sizes.values()) > 1 for sizes in found)


def test_little_time_has_the_most_telling_sizes(tmp_path: Path) -> None:
    found = cover(kernel(tmp_path), 300, budget=QUICK)
    assert len(found) <= QUICK.sets
    for axis in "MNK":
        assert {0, 301} <= {sizes[axis] for sizes in found}
    assert cover(kernel(tmp_path), 300, budget=QUICK) == found


def test_the_cost_bounds_the_sizes(tmp_path: Path) -> None:
    few = Budget(seconds=1.0, sets=1000, bytes=1 << 20)
    found = cover(kernel(tmp_path), 4000, budget=few)
    assert found and all(4 * (s["M"] * s["K"] + s["K"] * s["N"] + 2 * s["M"] * s["N"]) <= 1 << 20 for s in found)
    assert len(cover(kernel(tmp_path), 4000, budget=few, speed=SIMULATED)) < len(found)


def test_constraints_hold(tmp_path: Path) -> None:
    found = cover(kernel(tmp_path, constraints='constraints = ["M % 16 == 0", "K >= 512", "N == 1001"]'), 600)
    assert found
    assert all(s["M"] % 16 == 0 and s["K"] >= 512 and s["N"] == 1001 for s in found)


def test_sizes_pass_numbers_of_workgroups(tmp_path: Path) -> None:
    made = kernel(tmp_path, launch='workgroup_count = ["ceildiv(M, 64)", "1", "1"]')
    values = {sizes["M"] for sizes in cover(made)}
    assert {65, 64 * 256 + 1} <= values


GATHER = """func.func @rows(%t: tensor<?x?xf32>, %i: tensor<?xi32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %N = tensor.dim %t, %c1 : tensor<?x?xf32>
  %M = tensor.dim %i, %c0 : tensor<?xi32>
  %e = tensor.empty(%M, %N) : tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]} ins(%i : tensor<?xi32>) outs(%e : tensor<?x?xf32>) {
  ^bb0(%at: i32, %o: f32):
    %p = arith.index_cast %at : i32 to index
    %n = linalg.index 1 : index
    %v = tensor.extract %t[%p, %n] : tensor<?x?xf32>
    linalg.yield %v : f32
  } -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}
"""


def test_axes_that_no_loop_runs_over_are_chosen_as_well(tmp_path: Path) -> None:
    made = kernel(tmp_path)
    operands = 't = ["R", "N"]\ni = ["M"]\ny = ["M", "N"]'
    text = (tmp_path / "kernel.toml").read_text()
    (tmp_path / "kernel.toml").write_text(
        text.replace('a = ["M", "K"]\nb = ["K", "N"]\nc = ["M", "N"]\nd = ["M", "N"]', operands)
    )
    (tmp_path / "definition.mlir").write_text(GATHER)
    (made,) = find_kernels([str(tmp_path)])
    found = cover(made, 300)
    assert {299, 300, 301, 600} <= {sizes["R"] for sizes in found}
    assert {0, 301} <= {sizes["M"] for sizes in found}
    assert all(sizes["R"] for sizes in found)  # nothing can be read of a table without rows


def test_what_a_person_wrote_comes_first(tmp_path: Path) -> None:
    made = kernel(tmp_path)
    numbers = Thresholds(compared=(32, 4), first=(256,), stepped=(256,))
    found = cover_sizes(made, made.forms[0], numbers, budget=QUICK, speed=LOCAL, random=np.random.default_rng(0))
    assert {axis: 257 for axis in "MNK"} == {
        axis: sizes[axis] for sizes in found[3:6] for axis in "MNK" if sizes[axis] > 8
    }
