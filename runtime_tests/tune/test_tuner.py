"""A model is tuned from end to end: what is wrong has no time, and a second run measures nothing again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from substitute.errors import CompilerError, UsageError, ValidationError
from substitute.guard.verdict import Verdict
from substitute.pipeline import compile_model
from substitute.report.tune_table import tune_table
from substitute.tune import tuner
from substitute.tune.contest import Measured
from substitute.tune.tuner import Journal, Tuned, TuneSetting, tune_model

pytestmark = [pytest.mark.compile, pytest.mark.device]

MODEL = """
func.func @main(%x: tensor<1000xf32>) -> tensor<1000xf32> {
  %r = arith.addf %x, %x : tensor<1000xf32>
  return %r : tensor<1000xf32>
}
"""
CALL = """
func.func @main(%x: tensor<1000xf32>) -> tensor<1000xf32> {
  %r = stablehlo.custom_call @double(%x) {api_version = 4 : i32} : (tensor<1000xf32>) -> tensor<1000xf32>
  return %r : tensor<1000xf32>
}
"""
MANIFEST = """
schema = 1
name = "double"
operands = { x = ["N"], y = ["N"] }
target = [{ backend = "llvm-cpu" }]
payload = { kind = "llvm-generator", file = "generator.py", entry = "double" }
tune = { factor = [2, 3, 4] }
"""
DEFINITION = """
func.func @double(%x: tensor<?xf32>) -> tensor<?xf32> {
  %r = arith.addf %x, %x : tensor<?xf32>
  return %r : tensor<?xf32>
}
"""
GENERATOR = '''
"""y = factor · x, which is right for a factor of 2 alone; there is no code for 4."""

from llvmlite import ir

from substitute.codegen.llvm.function import KernelFunction
from substitute.errors import PayloadError
from substitute.model.plan import Generated


def generate(request):
    factor = request.tuning.get("factor", 2)
    if factor == 4:
        raise PayloadError("no such code", found="a factor of 4")
    kernel = KernelFunction(request)
    f32 = ir.FloatType()
    with kernel.loop(0, kernel.index(request.match.axis("N").size)) as loop:
        source, target = (kernel.element(p, loop.index, f32) for p in kernel.pointers)
        value = kernel.builder.load(source, typ=f32)
        kernel.builder.store(kernel.builder.fmul(value, ir.Constant(f32, factor)), target)
    return Generated(text=kernel.finish(), workgroup_count=(1, 1, 1))
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    kernel = folder / "double"
    kernel.mkdir()
    (folder / "model.mlir").write_text(MODEL)
    (kernel / "kernel.toml").write_text(MANIFEST)
    (kernel / "definition.mlir").write_text(DEFINITION)
    (kernel / "generator.py").write_text(GENERATOR)
    return folder


def tune(folder: Path, *, journal: str = "plan.partial", budget_s: float = 1e9) -> Tuned:
    return tune_model(
        model=folder / "model.mlir",
        journal=folder / journal,
        kernels=[folder / "double"],
        builtin=False,
        setting=TuneSetting(budget_s=budget_s),
    )


@pytest.fixture(scope="module")
def tuned(folder: Path) -> Tuned:
    return tune(folder)


def measured_of(tuned: Tuned) -> dict[str, Measured]:
    (dispatch,) = tuned.dispatches
    assert dispatch.complete
    return {m.choice[0]: m for m in dispatch.measured}


def test_what_is_right_has_a_time_and_the_rest_a_reason(tuned: Tuned) -> None:
    measured = measured_of(tuned)
    assert list(measured) == ["double", "double{factor=2}", "double{factor=3}", "double{factor=4}"]
    assert measured["double"].ratio == measured["double{factor=2}"].ratio is not None  # the same code
    assert measured["double{factor=3}"].ratio is None and measured["double{factor=3}"].reason.startswith("wrong")
    assert measured["double{factor=4}"].ratio is None and measured["double{factor=4}"].reason == "a factor of 4"
    assert tune_table(tuned).row_count == 1


def test_a_second_run_measures_nothing_again(folder: Path, tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a trial was started")

    monkeypatch.setattr(tuner, "start_trial", refuse)
    assert measured_of(tune(folder)) == measured_of(tuned)
    (folder / "plan.partial").unlink()
    with pytest.raises(AssertionError, match="a trial was started"):  # the twin: without what was kept
        tune(folder)


def test_without_a_turn_the_default_stays_and_is_not_said_to_be_right(folder: Path) -> None:
    tuned = tune(folder, journal="none.partial", budget_s=-1.0)
    (dispatch,) = tuned.dispatches
    assert not dispatch.complete and not dispatch.measured
    assert dispatch.winner == dispatch.default == ("double",)
    assert [s["kernel"] for s in tuned.plan["substitutions"]] == ["double"]
    assert "the budget was spent" in json.dumps(tuned.plan)
    assert tune_table(tuned).row_count == 1


def test_a_model_that_calls_a_kernel_by_its_name_is_tuned(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.mlir").write_text(CALL)
    found = tune_model(
        model=tmp_path / "model.mlir",
        journal=tmp_path / "plan.partial",
        kernels=[folder / "double"],
        builtin=False,
        setting=TuneSetting(budget_s=-1.0),
    )
    assert [s["kernel"] for s in found.plan["substitutions"]] == ["double"]
    with pytest.raises(CompilerError):  # the twin: IREE alone does not know it
        tune_model(model=tmp_path / "model.mlir", journal=tmp_path / "other.partial", builtin=False)


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path, right = tmp_path / "plan.partial", Verdict(outcome="right", ratio=0.5)
    path.write_bytes(b'\xff\xfe\n{"key": "a", "verd')
    journal = Journal(path)
    assert journal.known == {}
    journal.note({"b": right})
    assert Journal(path).known == {"b": right}
    with pytest.raises(UsageError, match="the measurements so far cannot be read"):
        Journal(tmp_path)


def test_a_plan_is_replayed_with_its_values(folder: Path, tuned: Tuned) -> None:
    plan = folder / "plan.json"
    entry = {"dispatch": tuned.dispatches[0].dispatch, "kernel": "double", "tuning": {"factor": 2}}
    other = dict(tuned.plan["machine"]) | {"cpu": "another one"}
    options: dict[str, Any] = {"kernels": [folder / "double"], "builtin": False, "plan": plan}
    plan.write_text(json.dumps({"substitutions": [entry], "machine": other}))
    result = compile_model(folder / "model.mlir", check=False, **options)
    assert [s.tuning for s in result.plan.substitutions] == [(("factor", 2),)]
    assert len(result.notes) == 1 and "another CPU: another one" in result.notes[0]
    entry["tuning"] = {"factor": 3}  # the twin: a value whose code is wrong
    plan.write_text(json.dumps({"substitutions": [entry], "machine": tuned.plan["machine"]}))
    with pytest.raises(ValidationError, match="double computes something else"):
        compile_model(folder / "model.mlir", check=True, **options)
