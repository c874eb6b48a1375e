"""The command for IREE's own tests, on two files written here: one whose checks hold, one that has to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime_tests.iree_e2e.__main__ import lost, main, summary
from runtime_tests.iree_e2e.build_files import flags_of
from runtime_tests.iree_e2e.run import FileResult

RIGHT = """
func.func @double() {
  %x = util.unfoldable_constant dense<[1.0, 2.5]> : tensor<2xf32>
  %y = arith.addf %x, %x : tensor<2xf32>
  check.expect_eq_const(%y, dense<[2.0, 5.0]> : tensor<2xf32>) : tensor<2xf32>
  check.expect_almost_eq_const(%y, dense<[2.00001, 5.0]> : tensor<2xf32>) : tensor<2xf32>
  return
}
func.func @row() {
  %x = util.unfoldable_constant dense<3> : tensor<4xi32>
  %y = arith.muli %x, %x : tensor<4xi32>
  %same = util.unfoldable_constant dense<9> : tensor<4xi32>
  check.expect_eq(%y, %same) : tensor<4xi32>
  return
}
"""
WRONG = """
func.func @off_by_one() {
  %x = util.unfoldable_constant dense<[1, 2]> : tensor<2xi32>
  %y = arith.addi %x, %x : tensor<2xi32>
  check.expect_eq_const(%y, dense<[2, 5]> : tensor<2xi32>) : tensor<2xi32>
  return
}
func.func @off_by_a_little() {
  %x = util.unfoldable_constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = arith.addf %x, %x : tensor<2xf32>
  check.expect_almost_eq_const(%y, dense<[2.0, 4.01]> : tensor<2xf32>) : tensor<2xf32>
  return
}
"""


@pytest.mark.slow
@pytest.mark.device
def test_checks_that_hold_and_checks_that_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "right.mlir").write_text(RIGHT)
    (tmp_path / "wrong.mlir").write_text(WRONG)
    out = tmp_path / "out.json"
    assert main(["--source", str(tmp_path), "--backend", "cpu", "--json", str(out)]) == 0
    right, wrong = json.loads(out.read_text())["cpu"]
    assert right["functions"] == {"stock": {"double": "", "row": ""}, "ours": {"double": "", "row": ""}}
    assert right["substituted"] >= 2
    for which in ("stock", "ours"):
        assert "1 of 2 elements differ, at (1,) it is 4, not 5" in wrong["functions"][which]["off_by_one"]
        assert "at (1,) it is 4.0, not 4.0" in wrong["functions"][which]["off_by_a_little"]
    assert "'functions that stock passes': 2, 'of these with the kernels': 2" in capsys.readouterr().out
    assert main(["--source", str(tmp_path), "--backend", "cpu", "--json", str(out), "--resume"]) == 0
    resumed = capsys.readouterr()
    assert "'functions that stock passes': 2" in resumed.out and "cpu 1 of" not in resumed.err


@pytest.mark.unit
def test_what_only_stock_passes_is_lost() -> None:
    result = FileResult(
        path="a.mlir", functions={"stock": {"f": "", "g": "", "h": "no"}, "ours": {"f": "", "g": "bad", "h": ""}}
    )
    assert list(lost(result)) == ["a.mlir g: bad"]
    figures, worse = summary([result])
    assert (figures["functions that stock passes"], figures["of these with the kernels"], len(worse)) == (2, 1, 1)
    died = FileResult(path="b.mlir", functions={"stock": {"f": ""}}, refused={"ours": "the process died"})
    assert list(lost(died)) == ["b.mlir f: the process died"]


@pytest.mark.unit
def test_a_folder_without_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", str(tmp_path)]) == 2
    assert "there are no tests" in capsys.readouterr().err


@pytest.mark.unit
def test_flags_of_a_build_file_are_read_by_source_and_driver(tmp_path: Path) -> None:
    (tmp_path / "BUILD.bazel").write_text(
        """
OTHERS = enforce_glob(["b.mlir"])
iree_check_single_backend_test_suite(
    name = "strict", srcs = ["a.mlir"] + OTHERS, driver = "local-task", target_backend = "llvm-cpu",
    compiler_flags = ["--iree-strict=false", "--iree-llvmcpu-target-cpu=generic"],
)
"""
    )
    assert flags_of(tmp_path / "a.mlir", "local-task") == ("--iree-strict=false",)
    assert flags_of(tmp_path / "a.mlir", "vulkan") == flags_of(tmp_path / "b.mlir", "local-task") == ()
    assert flags_of(tmp_path / "nowhere" / "a.mlir", "local-task") == ()
