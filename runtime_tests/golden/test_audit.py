"""`audit`: stock IREE's dispatches against their goldens, with faults of IREE's and planted ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from substitute.cli.main import main
from substitute.device import describe_device
from substitute.errors import CompilerCrash
from substitute.report.audit import audit_table, audit_to_json, format_summary
from substitute.validate.audit import (
    RUN,
    Audit,
    Audited,
    Subject,
    audit_model,
    audited,
    crashed,
    judge_subjects,
    prepare_audit,
)
from substitute.validate.verdict import CaseVerdict, Place

MODEL = """
func.func @product(%a: tensor<5x7xf32>, %b: tensor<7x6xf32>) -> tensor<5x6xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x6xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<5x6xf32>) -> tensor<5x6xf32>
  %r = linalg.matmul ins(%a, %b : tensor<5x7xf32>, tensor<7x6xf32>) outs(%i : tensor<5x6xf32>) -> tensor<5x6xf32>
  return %r : tensor<5x6xf32>
}
func.func @rows(%a: tensor<5x7xf32>) -> tensor<5x7xf32> {
  %e = tensor.empty() : tensor<5x7xf32>
  %r = linalg.softmax dimension(1) ins(%a : tensor<5x7xf32>) outs(%e : tensor<5x7xf32>) -> tensor<5x7xf32>
  return %r : tensor<5x7xf32>
}
"""
HALVES = """
func.func @halves(%a: tensor<64x32xf16>, %b: tensor<64x32xf16>) -> tensor<64x32xf16> {
  %r = arith.addf %a, %b : tensor<64x32xf16>
  return %r : tensor<64x32xf16>
}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "model.mlir"
    path.write_text(MODEL)
    return path


@pytest.mark.compile
@pytest.mark.device
def test_stock_is_right_on_the_cpu(model: Path) -> None:
    audit = audit_model(model, device="local-sync")
    assert [(a.outcome, a.reason) for a in audit.dispatches] == [("right", "")] * 2
    assert audit.passed and [a.kind for a in audit.dispatches] == ["contraction", "softmax"]
    assert all(0 < a.share < 1 for a in audit.dispatches), "some error, all of it explained by rounding"


@pytest.mark.compile
@pytest.mark.device
def test_a_result_that_differs_from_the_golden_is_wrong(model: Path) -> None:
    """Twin: the golden of one element is moved by more than rounding explains."""
    prepared = prepare_audit(model=model, device="local-sync", flags=(), seed=0, inputs=("normal",), only="product")
    (subject,) = prepared.subjects
    (case,) = subject.cases
    (expected,) = case.expected
    values = expected.values.copy()
    values[np.unravel_index(7, values.shape)] += 1e-3
    planted = replace(subject, cases=(replace(case, expected=(replace(expected, values=values),)),))
    (found,) = judge_subjects(module=prepared.module, subjects=[planted], device="local-sync")
    assert found.outcome == "wrong" and found.reason.startswith("error: ") and found.share > 100
    assert found.place is not None


@pytest.mark.compile
@pytest.mark.device
def test_halves_on_the_default_vulkan_target_are_found(vulkan_device: str, tmp_path: Path) -> None:
    """IREE 3.13's own fault: it computes f16 in another way than it stores it."""
    path = tmp_path / "halves.mlir"
    path.write_text(HALVES)
    (found,) = audit_model(path, device=vulkan_device).dispatches
    assert found.outcome == "wrong"
    (right,) = audit_model(path, device="local-sync").dispatches
    assert right.outcome == "right"


def write_network(path: Path, kind: str) -> None:
    """A depthwise convolution with a clip, or one between quantized tensors."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    depthwise = kind == "depthwise"
    count, size = (8, 9) if depthwise else (3, 16)
    scalars: dict[str, Any] = {
        "low": np.float32(0),
        "high": np.float32(6),
        "scale": np.float32(0.05),
        "zero": np.uint8(128),
    }
    weights: dict[str, Any] = {"w": random.standard_normal((8, 1 if depthwise else 3, 3, 3)).astype(np.float32) * 0.3}
    nodes: dict[str, list[Any]] = {
        "depthwise": [
            helper.make_node("Conv", ["x", "w"], ["c"], group=count, pads=[1, 1, 1, 1]),
            helper.make_node("Clip", ["c", "low", "high"], ["y"]),
        ],
        "quantized": [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            helper.make_node("Conv", ["d", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["p"]),
            helper.make_node("DequantizeLinear", ["p", "scale", "zero"], ["y"]),
        ],
    }
    inputs = {name for node in nodes[kind] for name in node.input}
    graph = helper.make_graph(
        nodes[kind],
        kind,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, count, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, size, size])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (scalars | weights).items() if n in inputs],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.compile
@pytest.mark.device
@pytest.mark.parametrize("kind", ["depthwise", "quantized"])
def test_wrong_results_of_the_software_device_are_found(vulkan_device: str, tmp_path: Path, kind: str) -> None:
    """IREE 3.13 on lavapipe: a depthwise convolution with a clip, and work on bytes; the CPU is right."""
    if "llvmpipe" not in describe_device(vulkan_device):
        pytest.skip("the fault was seen on lavapipe, and this is another Vulkan device")
    path = tmp_path / f"{kind}.onnx"
    write_network(path, kind)
    found = audit_model(path, device=vulkan_device, inputs=("normal",))
    assert found.count("wrong") >= 1 and not found.passed
    assert audit_model(path, device="local-sync", inputs=("normal",)).passed


@pytest.mark.compile
@pytest.mark.device
def test_the_command(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["audit", str(model), "--device", "local-sync", "--dispatch", "rows", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert status == 0 and data["passed"]
    (row,) = data["dispatches"]
    assert row["kind"] == "softmax" and row["verdict"] == "right" and row["largest_absolute_error"] < 1e-6


SUBJECT = Subject(name="f_dispatch_0", kind="copy", cases=(), skipped="", golden_seconds=0.5)
GOOD = CaseVerdict(label="f", inputs="normal", seed=0, worst=0.25, judged=4)
PLACE = Place(
    operand="binding 1 at byte 0: 4xf32", coordinates=(2,), candidate="1.0", golden="3.0", baseline="", allowed=0.1
)


@pytest.mark.unit
def test_the_first_failing_case_says_why() -> None:
    bad = replace(GOOD, inputs="special", stage="error", message="too far", place=PLACE, worst=20.0)
    found = audited(SUBJECT, [GOOD, bad])
    assert (found.outcome, found.reason, found.inputs, found.share) == ("wrong", "error: too far", "special", 20.0)


@pytest.mark.unit
def test_passing_cases_are_right_unless_nothing_could_be_judged() -> None:
    assert audited(SUBJECT, [GOOD]).outcome == "right"
    blind = audited(SUBJECT, [replace(GOOD, judged=0)])
    assert (blind.outcome, blind.reason) == ("not judged", "no element of its results can be judged")


@pytest.mark.unit
def test_a_dispatch_that_kills_its_process_is_wrong() -> None:
    crash = CompilerCrash("died", where=RUN + SUBJECT.name, found="signal 11")
    found = crashed([SUBJECT], crash)
    assert (found.outcome, found.reason) == ("wrong", "the process that ran it died: signal 11")
    with pytest.raises(CompilerCrash):
        crashed([SUBJECT], CompilerCrash("died", where="compile"))


def example(*dispatches: Audited) -> Audit:
    return Audit(
        device="local-sync", seed=3, dispatches=dispatches, seconds={"compile the dispatches": 2.0, "run": 9.0}
    )


WRONG = Audited(
    name="f_dispatch_1",
    kind="copy",
    outcome="wrong",
    reason="error: too far",
    inputs="normal",
    place=PLACE,
    largest_absolute=2.0,
    largest_ulp=float("inf"),
    share=float("inf"),
)
RIGHT = audited(SUBJECT, [GOOD])


@pytest.mark.unit
def test_the_summary() -> None:
    assert format_summary(example(RIGHT, WRONG)) == (
        "2 dispatches of stock IREE on local-sync, seed 3: 1 right, 1 wrong; golden 0.5 s, compiling 2.0 s"
    )
    assert format_summary(example()).startswith("0 dispatches of stock IREE on local-sync, seed 3: nothing to run;")


@pytest.mark.unit
def test_the_table_names_the_place() -> None:
    from rich.console import Console

    console = Console(width=400, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(audit_table(example(RIGHT, WRONG), width=None))
    text = captured.get()
    assert "25.0%" in text and "exact expected" in text
    assert "error: too far (inputs: normal); first at [2] of binding 1 at byte 0: 4xf32: 1.0 instead of 3.0" in text


@pytest.mark.unit
def test_json_has_no_infinities() -> None:
    data = audit_to_json(example(RIGHT, WRONG))
    json.dumps(data, allow_nan=False)
    assert data["passed"] is False and data["dispatches"][1]["share_of_bound"] is None


@pytest.mark.unit
def test_an_audit_that_judged_nothing_has_not_passed() -> None:
    blind = Audited(name="d", kind="elementwise", outcome="not judged", reason="no golden")
    for audit in (example(), example(blind)):
        assert not audit.passed and audit.nothing_judged
    assert format_summary(example(blind)).startswith(
        "1 dispatch of stock IREE on local-sync, seed 3: 1 not judged, so that"
    )
    assert audit_to_json(example(RIGHT, blind))["counts"] == {
        "right": 1,
        "wrong": 0,
        "not compiled": 0,
        "not judged": 1,
    }
    both = example(RIGHT, blind)
    assert both.passed and not both.nothing_judged and not example(WRONG).nothing_judged


@pytest.mark.compile
@pytest.mark.device
def test_the_exit_status_says_that_nothing_was_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "elsewhere.mlir"
    path.write_text(HALVES)
    flags = ["--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80"]
    assert main(["audit", str(path), "--device=local-sync", *flags]) == 3
    assert "1 not judged" in capsys.readouterr().out


@pytest.mark.compile
def test_a_device_that_is_not_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "promised.mlir"
    path.write_text("""
func.func @f(%x: tensor<4xf32> {iree.abi.affinity = #hal.device.promise<@a>}) -> tensor<4xf32> {
  %p = arith.mulf %x, %x : tensor<4xf32>
  return %p : tensor<4xf32>
}
""")
    for command in ("audit", "inspect"):
        assert main([command, str(path)]) == 1
        assert "#hal.device.promise<@a>" in capsys.readouterr().err


@pytest.mark.compile
@pytest.mark.device
def test_a_dispatch_that_crashes_the_compiler_is_named_and_the_others_are_judged(tmp_path: Path) -> None:
    """IREE 3.13's own fault: a stage of a Fourier transform without coefficients."""
    path = tmp_path / "model.mlir"
    path.write_text(
        MODEL.partition("func.func @rows")[0]
        + """
func.func @stage(%a: tensor<16xf32>, %b: tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf32>) {
  %s = arith.constant 3 : index
  %r:2 = iree_linalg_ext.fft ins(%s : index) outs(%a, %b : tensor<16xf32>, tensor<16xf32>)
      : tensor<16xf32>, tensor<16xf32>
  return %r#0, %r#1 : tensor<16xf32>, tensor<16xf32>
}
"""
    )
    audit = audit_model(path, device="local-sync", inputs=("normal",), isolate=True)
    product, stage = audit.dispatches
    assert product.outcome == "right" and not audit.passed
    assert stage.outcome == "not compiled" and stage.reason.startswith("the compiler crashed: ")
