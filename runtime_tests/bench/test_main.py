"""The benchmark as a person runs it, on a small model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runtime_tests.models import Model

_WRONG_KERNEL = {  # leaves the result as it was
    "kernel.toml": """
schema = 1
name = "forgetful"
slots = ["prologue", "epilogue"]
priority = 5

[operands]
a = { axes = ["M", "K"], strided = true }
b = { axes = ["K", "N"], strided = true }
c = { axes = ["M", "N"], strided = true }

[[target]]
backend = "llvm-cpu"

[payload]
kind = "llvm-generator"
file = "generator.py"
entry = "forgetful"
""",
    "definition.mlir": """
func.func @forgetful(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%m, %n) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
""",
    "generator.py": """
from substitute.model.plan import Generated, Request


def generate(request: Request) -> Generated:
    parameters = ["ptr"] * len(request.parameters) + ["i64"] * (len(request.scalars) + 3)
    text = f"define void @{request.entry}({', '.join(parameters)}) {{ ret void }}"
    return Generated(text=text, workgroup_count=(1, 1, 1))
""",
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "substitute.bench", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)  # (a busy machine takes its time)


@pytest.mark.slow
@pytest.mark.device
def test_everything_on_a_small_model(mlp: Model, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sections = "--only=coverage,results,runtime,compile,growth"
    done = bench("--quick", sections, "--models=mlp", f"--model=mlp={mlp.path}", f"--json={file}")
    assert done.returncode == 0, done.stdout + done.stderr
    for title in (
        "Substituted dispatches by kind",
        "Results",
        "Run time",
        "Compile time",
        "Phases of a compiling call",
        "Compile time by executables",
        "Kernels in the catalog",
        "Goals",
    ):
        assert title in done.stdout
    found = json.loads(file.read_text())
    assert {c["backend"]: len(c["dispatches"]) for c in found["coverage"]} == {"llvm-cpu": 3, "vulkan-spirv": 3}
    cpu = found["coverage"][0]
    assert all(d["kernel"] and d["kind"] == "contraction" and d["calls"] and d["stock_ns"] for d in cpu["dispatches"])
    assert set(found["runtimes"][0]["seconds"]) == {"stock", "substituted", "onnxruntime"}
    assert set(found["compiles"][0]["commands"]["seconds"]) == {"stock", "substituted"}
    assert [m["substituted"] for m in found["modules"]] == [m["executables"] for m in found["modules"]]
    assert {(v["criterion"], v["passed"]) for v in found["verdicts"]} == {("results", True), ("coverage", True)}
    assert found["failures"] == []


@pytest.mark.device
def test_a_wrong_kernel_is_no_success_and_has_no_speed(mlp: Model, tmp_path: Path) -> None:
    kernel = tmp_path / "forgetful"
    kernel.mkdir()
    for name, text in _WRONG_KERNEL.items():
        (kernel / name).write_text(text)
    done = bench("--quick", "--only=results,runtime", "--models=mlp", f"--model=mlp={mlp.path}", f"--kernels={kernel}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "missed" in done.stdout
    assert "wrong results" in done.stdout


@pytest.mark.device
def test_a_model_that_does_not_compile_is_named(mlp: Model, tmp_path: Path) -> None:
    kernel = tmp_path / "broken"
    kernel.mkdir()
    (kernel / "kernel.toml").write_text("schema = 1\n")
    done = bench("--quick", "--only=results", "--models=mlp", f"--model=mlp={mlp.path}", f"--kernels={kernel}")
    assert done.returncode == 1
    assert "Could not be measured" in done.stdout


@pytest.mark.unit
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only=speed",), "there is no such section"),
        (("--only=results", "--models=nothing"), "no model has this name"),
        (("--only=growth", "--model=x"), "not a model"),
        (("--json=/nowhere/at/all.json",), "the folder of the output does not exist"),
        (("--fast",), "No such option"),
    ],
)
def test_mistakes_are_explained(arguments: tuple[str, ...], words: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
