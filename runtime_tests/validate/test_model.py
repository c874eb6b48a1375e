"""Comparing a model with its stock build: each reason to fail, and its twin that passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from substitute.cli.scaffold import scaffold
from substitute.device.value_type import ValueType
from substitute.errors import DeviceError, InputError
from substitute.model.plan import Plan
from substitute.progress import silent
from substitute.validate import validate_model
from substitute.validate.model import ModelVerdict, _call_stock, try_call
from substitute.validate.model_inputs import draw_inputs
from substitute.validate.reproducer import replay
from substitute.validate.results import TOLERANCES, compare, compare_three, missing

NAN, INF = float("nan"), float("inf")


def f32(*values: float) -> Any:
    return np.array(values, np.float32)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("found", "stock", "reason"),
    [
        (f32(1, 2), f32(1, 2), ""),
        (f32(1, 2.0001), f32(1, 2), ""),
        (f32(1, 2.01), f32(1, 2), "the error is 0.005 of the largest magnitude, more than 0.0001"),
        # errors are relative to the largest value: 0.0001 at 0 is small if another element is 2
        (f32(0.0001, 2), f32(0, 2), ""),
        (f32(0.01, 2), f32(0, 2), "the error is 0.005 of the largest magnitude, more than 0.0001"),
        (f32(0.0, 0.0), f32(0, 0), ""),
        (f32(1e-30, 0), f32(0, 0), "the error is inf of the largest magnitude, more than 0.0001"),
        (f32(NAN, 1), f32(NAN, 1), ""),
        (f32(1, NAN), f32(NAN, 1), "NaN or infinity stands in other places"),
        (f32(1, 1), f32(NAN, 1), "NaN or infinity stands in other places"),
        (f32(INF, 1), f32(INF, 1), ""),
        (f32(-INF, 1), f32(INF, 1), "NaN or infinity stands in other places"),
        (f32(3e38, 1), f32(INF, 1), "NaN or infinity stands in other places"),
        (f32(INF, 1), f32(1, INF), "NaN or infinity stands in other places"),
        (f32(1, INF), f32(1, 3e38), "NaN or infinity stands in other places"),
        (f32(), f32(), ""),
        (f32(1, 2, 3), f32(1, 2), "it is 3xf32"),
        (np.float64([1, 2]), f32(1, 2), "it is 2xf64"),
        (np.array([[1, 2]], np.float32), f32(1, 2), "it is 1x2xf32"),
        (np.int32([1, 2]), np.int32([1, 2]), ""),
        (np.int32([1, 3]), np.int32([1, 2]), "1 of 2 elements differ, and i32 has to be equal"),
        (np.int64([2**53 + 1]), np.int64([2**53]), "1 of 1 elements differ, and i64 has to be equal"),
        (np.array([True, False]), np.array([True, False]), ""),
        (np.array([True, True]), np.array([True, False]), "1 of 2 elements differ, and i1 has to be equal"),
        (np.float16([1, 2.01]), np.float16([1, 2]), ""),
        (np.float16([1, 2.1]), np.float16([1, 2]), "the error is 0.05 of the largest magnitude, more than 0.02"),
        (np.float64([1 + 1e-12]), np.float64([1]), ""),
        (np.float64([1 + 1e-9]), np.float64([1]), "the error is 1e-09 of the largest magnitude, more than 1e-10"),
    ],
)
def test_compare(found: Any, stock: Any, reason: str) -> None:
    verdict = compare(3, found, stock)
    assert verdict.number == 3
    assert verdict.reason == reason
    assert verdict.passed == (not reason)
    if "largest magnitude" in reason:
        assert verdict.share > verdict.tolerance == TOLERANCES.get(verdict.type.rpartition("x")[2], 0.0)


TYPES = (
    ValueType(element="f32", shape=(None, 4)),
    ValueType(element="i32", shape=(3,)),
    ValueType(element="f16", shape=()),
)


@pytest.mark.unit
def test_inputs_are_drawn_from_the_seed() -> None:
    first, again, other = (draw_inputs("f", TYPES, seed) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert [(v.shape, v.dtype.name) for v in first] == [((8, 4), "float32"), ((3,), "int32"), ((), "float16")]
    assert set(first[1].tolist()) <= {0, 1}


@pytest.mark.unit
def test_inputs_that_are_not_known() -> None:
    with pytest.raises(DeviceError) as caught:
        draw_inputs("f", None, 0)
    assert str(caught.value) == (
        "the inputs of f are not known\n"
        "  expected:  a declaration in the module or the model\n"
        "  found:     none\n"
        "  next:      give every input with --input"
    )


def write_kernel(folder: Path, kind: str, *, wrong: bool, name: str = "mine") -> Path:
    """The kernel of `iree-substitute new`; a wrong one adds something small to one product in sixteen or so."""
    folder.mkdir()
    for file, text in scaffold(kind, name, name).items():
        if wrong:
            text = text.replace(
                "sum += load_a(m, k) * load_b(k, n)", "sum += load_a(m, k) * load_b(k, n) * (m == 3 ? 1.01 : 1.0)"
            )
            text = text.replace("%product = fmul contract float %factor, %element", SLIGHTLY_WRONG)
        (folder / file).write_text(text)
    return folder


SLIGHTLY_WRONG = """%third = icmp eq i64 %row, 3
  %scale = select i1 %third, float 0x3FF028F5C0000000, float 1.0
  %scaled = fmul contract float %factor, %scale
  %product = fmul contract float %scaled, %element"""


@pytest.mark.compile
@pytest.mark.device
@pytest.mark.parametrize(("kind", "where"), [("llvm-ir", "local-task"), ("glsl", "vulkan")])
def test_a_right_and_a_wrong_kernel(tmp_path: Path, request: pytest.FixtureRequest, kind: str, where: str) -> None:
    device = request.getfixturevalue("vulkan_device") if where == "vulkan" else where
    right = write_kernel(tmp_path / "right", kind, wrong=False)
    model = right / "example.mlir"
    options: dict[str, Any] = {"device": device, "builtin": False, "isolate": True, "quick": True, "seed": 11}
    good = validate_model(model, kernels=[right], **options)
    assert good.passed, (good.results, good.dispatches)
    assert [s.kernel.name for s in good.plan.substitutions] == ["mine"]
    assert (good.device, good.seed, good.note, good.culprits) == (device, 11, "", ())
    assert [(d.kernel, len(d.cases)) for d in good.dispatches] == [("mine", 3)]

    wrong = write_kernel(tmp_path / "wrong", kind, wrong=True)
    bad = validate_model(model, kernels=[wrong], reproducer=tmp_path / "kept", **options)
    assert not bad.passed
    (result,) = bad.results
    assert "of the largest magnitude, more than 0.0001" in result.reason
    assert 1e-3 < result.share < 1e-1
    (dispatch,) = bad.dispatches
    place = dispatch.failures[0].place
    assert place is not None and place.coordinates[0] == 3
    assert bad.culprits == (dispatch.name,)
    (folder,) = bad.reproducers
    (again,) = replay(Path(folder), device=None, isolate=True, progress=lambda *_: None)
    assert (again.name, again.passed) == (dispatch.name, False)
    assert again.failures[0].place == place
    candidate, golden = (np.load(Path(folder) / f"result0_{name}.npy") for name in ("candidate", "golden"))
    wrong_rows = np.unique(np.argwhere(np.abs(candidate - golden) > 1e-3)[:, 0])
    assert wrong_rows.tolist() == [3]


@pytest.mark.slow
@pytest.mark.compile
@pytest.mark.device
def test_the_culprits_are_found(tmp_path: Path) -> None:
    """Three dispatches, one kernel for each; what is wrong with one is too small to be seen in the model's result."""
    right = write_kernel(tmp_path / "right", "llvm-ir", wrong=False, name="right")
    wrong = write_kernel(tmp_path / "wrong", "llvm-ir", wrong=True, name="wrong")
    model = tmp_path / "model.mlir"
    model.write_text(CHAIN)
    plan = tmp_path / "plan.json"
    chosen = {
        "chain_dispatch_0_matmul_64x128x96_f32": "right",
        "chain_dispatch_1_matmul_64x32x128_f32": "wrong",
        "chain_dispatch_2_matmul_64x16x32_f32": "right",
    }
    plan.write_text(json.dumps({"substitutions": [{"dispatch": d, "kernel": k} for d, k in chosen.items()]}))
    verdict = validate_model(
        model,
        kernels=[right, wrong],
        builtin=False,
        plan=plan,
        quick=True,
        isolate=True,
        reproducer=tmp_path / "kept",
    )
    assert {d.kernel: d.passed for d in verdict.dispatches} == {"right": True, "wrong": False}
    assert verdict.culprits == ("chain_dispatch_1_matmul_64x32x128_f32",)
    assert [Path(f).name for f in verdict.reproducers] == list(verdict.culprits)


CHAIN = """
func.func @chain(%a: tensor<64x96xf32>, %b: tensor<96x128xf32>, %c: tensor<128x32xf32>, %d: tensor<32x16xf32>)
    -> tensor<64x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<64x128xf32>
  %i0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<64x128xf32>) -> tensor<64x128xf32>
  %r0 = linalg.matmul ins(%a, %b : tensor<64x96xf32>, tensor<96x128xf32>)
                      outs(%i0 : tensor<64x128xf32>) -> tensor<64x128xf32>
  %e1 = tensor.empty() : tensor<64x32xf32>
  %i1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<64x32xf32>) -> tensor<64x32xf32>
  %r1 = linalg.matmul ins(%r0, %c : tensor<64x128xf32>, tensor<128x32xf32>)
                      outs(%i1 : tensor<64x32xf32>) -> tensor<64x32xf32>
  %e2 = tensor.empty() : tensor<64x16xf32>
  %i2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<64x16xf32>) -> tensor<64x16xf32>
  %r2 = linalg.matmul ins(%r1, %d : tensor<64x32xf32>, tensor<32x16xf32>)
                      outs(%i2 : tensor<64x16xf32>) -> tensor<64x16xf32>
  return %r2 : tensor<64x16xf32>
}
"""


@pytest.mark.unit
@pytest.mark.parametrize(
    ("found", "stock", "expected", "reason"),
    [
        (f32(1, 2), f32(1, 2), f32(1, 2), ""),
        # stock IREE is wrong: being unlike it is no fault
        (f32(1, 2), f32(1, 9), f32(1, 2), ""),
        (
            f32(1, 9),
            f32(1, 2),
            f32(1, 2),
            "beside what was expected: the error is 3.5 of the largest magnitude, more "
            "than 0.0001 (stock IREE's error is 0)",
        ),
        # as far from what is expected as stock IREE
        (f32(1, 2.3), f32(1, 2.2), f32(1, 2), ""),
        (
            f32(1, 2.5),
            f32(1, 2.2),
            f32(1, 2),
            "beside what was expected: the error is 0.25 of the largest magnitude, "
            "more than 0.0001 (stock IREE: the error is 0.1 of the largest magnitude, more than 0.0001)",
        ),
    ],
)
def test_three_ways(found: Any, stock: Any, expected: Any, reason: str) -> None:
    assert compare_three(0, found, stock, expected).reason == reason


@pytest.mark.compile
@pytest.mark.device
@pytest.mark.unit
def test_stock_code_that_does_not_run() -> None:
    class Broken:
        def call(self, function: str | None, values: list[Any]) -> list[Any]:
            raise DeviceError("main failed on gpu", details="gpu.c:1: ABORTED; unspecified launch failure")

    class Works:
        def call(self, function: str | None, values: list[Any]) -> list[Any]:
            return values

    assert try_call(Broken(), None, [1]) == ([], "main failed on gpu: unspecified launch failure")  # type: ignore[arg-type]
    assert try_call(Works(), None, [1]) == ([1], "")  # type: ignore[arg-type]


@pytest.mark.compile
@pytest.mark.device
def test_a_model_of_several_functions_is_not_called(compile_stock: Callable[..., Path]) -> None:
    """Its dispatches are judged none the less."""
    twice = "func.func @{0}(%x: tensor<4xf32>) -> tensor<4xf32> {{\n %r = arith.addf %x, %x : tensor<4xf32>\n"
    text = "".join(twice.format(name) + " return %r : tensor<4xf32>\n}\n" for name in ("one", "two"))
    arguments: dict[str, Any] = {
        "vmfb": compile_stock(text).read_bytes(),
        "device": "local-sync",
        "values": [],
        "seed": 0,
        "signatures": {},
        "call": True,
        "several": False,
        "progress": silent,
    }
    called = _call_stock(function=None, **arguments)
    assert called.broken == "it has several functions, and --function names none of them: one, two"
    named = _call_stock(function="two", **arguments)
    assert not named.broken and len(named.results) == 1
    with pytest.raises(InputError, match="wrong number of inputs for two"):
        _call_stock(function="two", **{**arguments, "values": [np.ones(4, np.float32)] * 2})


@pytest.mark.unit
def test_nothing_that_was_judged_is_not_right() -> None:
    right, gone = compare(0, f32(1), f32(1)), missing(0, f32(1), "the model does not run: it is gone")
    assert (gone.passed, gone.reason, gone.type) == (False, "the model does not run: it is gone", "1xf32")
    nothing = Plan(substitutions=(), decisions=(), dispatches=())
    something = Plan(substitutions=(object(),), decisions=(), dispatches=())  # type: ignore[arg-type]
    for plan, results, passed in (
        (something, (right,), True),
        (something, (right, gone), False),
        (something, (), False),
        (nothing, (right,), False),
    ):
        assert ModelVerdict(plan=plan, device="gpu", seed=0, results=results, note="").passed == passed


def test_inputs_that_prove_little(tmp_path: Path) -> None:
    kernel = write_kernel(tmp_path / "right", "llvm-ir", wrong=False)
    zeros = [np.zeros((64, 96), np.float32), np.ones((96, 128), np.float32)]
    verdict = validate_model(
        kernel / "example.mlir", kernels=[kernel], builtin=False, inputs=zeros, dispatches=False, isolate=True
    )
    assert verdict.passed
    assert verdict.note == (
        "result 0 of stock IREE is the same everywhere: these inputs prove little, give better ones"
    )
