"""Profiles: calls told apart, times joined with what took each dispatch, the trace, and the command on a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from runtime_tests.cli.conftest import Run, dispatch
from runtime_tests.cli.conftest import plan as plan
from runtime_tests.cli.conftest import run as run
from runtime_tests.profiler import needs_profiler
from substitute.device import DispatchEvent
from substitute.errors import DeviceError
from substitute.guard.verdict import Checked, Verdict
from substitute.model.plan import Plan
from substitute.pipeline import CompileResult
from substitute.profile.machine import Machine, measure_machine
from substitute.profile.perfetto import trace_of
from substitute.profile.profile import Profile, Side, join_rows, split_calls, summarize
from substitute.report.profile import least_us, profile_to_json


def blas_threads() -> list[int]:
    """Threads of the libraries that NumPy multiplies matrices with."""
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


MODEL = """
func.func @main(%a: tensor<?x8xf32>, %b: tensor<8x16xf32>) -> tensor<?x16xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %a, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%m) : tensor<?x16xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x8xf32>, tensor<8x16xf32>) outs(%i : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %c : tensor<?x16xf32>
}
"""


def event(name: str, start: int, duration: int) -> DispatchEvent:
    return DispatchEvent(name=name, start_ns=start, duration_ns=duration, workgroup_count=(2, 1, 1))


EVENTS = [
    event("a", 0, 9000),
    event("b", 9, 1),
    event("a", 20, 1000),
    event("a", 30, 4000),
    event("b", 40, 2000),
    event("a", 50, 2000),
]


@pytest.mark.unit
def test_calls_are_told_apart() -> None:
    calls = split_calls(EVENTS, 2)
    assert [[e.name for e in call] for call in calls] == [["a", "b", "a"], ["a", "b", "a"]]
    times = summarize(calls[1:])
    assert times == {"a": Side(median_us=6.0, spread_us=0.0, count=2), "b": Side(median_us=2.0, spread_us=0.0, count=1)}
    assert summarize(calls)["a"].median_us == 8.0
    with pytest.raises(DeviceError, match="different numbers"):
        split_calls(EVENTS, 4)
    with pytest.raises(DeviceError, match="saw no dispatch"):
        split_calls([], 2)


@pytest.mark.unit
def test_rows_say_what_took_them_or_why_not(plan: Plan) -> None:
    first, second = (d.name for d in plan.dispatches)
    stock = {first: Side(median_us=8.0, spread_us=0.0, count=1), second: Side(median_us=24.0, spread_us=0.0, count=3)}
    ours = {first: Side(median_us=2.0, spread_us=0.0, count=1), second: Side(median_us=24.0, spread_us=0.0, count=3)}
    result = CompileResult(vmfb=b"", plan=plan, payloads={}, seconds={}, signatures={})
    slow, fast = join_rows(result, stock, {**ours, "copy": Side(median_us=1.0, spread_us=0.0, count=1)})[:2]
    assert (slow.name, slow.kernel, slow.ratio) == (second, "", None)
    assert slow.reason == "nearest: matmul; constraint: expected N % 16 == 0, found N = 33"
    assert (fast.kernel, fast.ratio, fast.reason) == ("matmul", 4.0, "")
    left_out = Checked(
        key=(first, "cpu", first),
        kernels=(plan.substitutions[0].kernel,),
        verdict=Verdict(outcome="slower", ratio=2.0),
        left_out=True,
    )
    key = (dispatch(0).executable, dispatch(0).variant, dispatch(0).name)
    result = CompileResult(
        vmfb=b"",
        plan=Plan(substitutions=(), decisions=(), dispatches=plan.dispatches),
        payloads={},
        seconds={},
        signatures={},
        checked=(Checked(key=key, kernels=left_out.kernels, verdict=left_out.verdict, left_out=True),),
    )
    rows = {row.name: row.reason for row in join_rows(result, stock, ours)}
    assert rows[first] == "left out: matmul is right, 2.00× slower than IREE's code"
    assert rows[second] == "cannot be read: not needed here"


@pytest.mark.unit
def test_the_trace_and_the_limits(plan: Plan) -> None:
    result = CompileResult(vmfb=b"", plan=plan, payloads={}, seconds={}, signatures={})
    name = plan.dispatches[0].name
    side = {name: Side(median_us=8.0, spread_us=0.0, count=1)}
    profile = Profile(
        model=Path("m.mlir"),
        device="local-task",
        function="main",
        inputs=("4xf32",),
        drawn=True,
        rows=join_rows(result, side, side),
        machine=Machine(flops_per_s=1e9, bytes_per_s=1e9),
        events={"IREE": (event(name, 1000, 500),), "with kernels": (event(name, 7000, 250),)},
    )
    slices = [e for e in trace_of(profile)["traceEvents"] if e["ph"] == "X"]
    assert [(s["pid"], s["ts"], s["dur"], s["args"]["kernel"]) for s in slices] == [
        (1, 0.0, 0.5, "IREE's own code"),
        (2, 0.0, 0.25, "matmul"),
    ]
    assert least_us(profile.rows[0], profile.machine) is None  # its body was not read
    assert profile_to_json(profile)["dispatches"][0]["faster"] == 1.0
    machine = Machine(flops_per_s=1e9, bytes_per_s=1e9)
    assert machine.attainable(2000, 1000) == 2e-6
    assert machine.attainable(1000, 2000) == 2e-6
    before = blas_threads()
    measured = measure_machine(1)
    assert measured.flops_per_s > 0 and measured.bytes_per_s > 0 and measured.threads == 1
    assert blas_threads() == before


@pytest.mark.unit
@pytest.mark.skipif(not blas_threads(), reason="NumPy's library of matrix products is not one that threadpoolctl knows")
def test_the_product_is_measured_with_the_given_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[list[int]] = []

    def note(work: object) -> float:
        used.append(blas_threads())
        return 1.0

    monkeypatch.setattr("substitute.profile.machine._best", note)
    measure_machine(1)
    product, copy = used
    assert set(product) == {1}
    assert copy == blas_threads()


@pytest.mark.compile
@pytest.mark.device
@needs_profiler
def test_the_command(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IREE_SUBSTITUTE_CHECK", "0")
    model, trace = tmp_path / "m.mlir", tmp_path / "trace.json"
    model.write_text(MODEL)
    finished = run("profile", model, "--size", "6", "--calls", "1", "--rounds", "1", "--json", "--perfetto", trace)
    assert finished.status == 0
    value = json.loads(finished.out)
    (row,) = value["dispatches"]
    assert value["inputs"] == ["6x8xf32", "8x16xf32"] and value["inputs_drawn"]
    assert (row["kernel"], row["launches"]) == ("matmul", 1)
    assert row["stock_us"] > 0 and row["kernels_us"] > 0 and isinstance(row["flops"], str)
    assert {e["pid"] for e in json.loads(trace.read_text())["traceEvents"]} == {1, 2}
