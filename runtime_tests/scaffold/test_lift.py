"""Dispatches lifted to definitions: what is written reads back, matches its dispatch, and is called as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from substitute.errors import SubstituteError
from substitute.inspection import inspect_model
from substitute.model.dispatch import Dispatch
from substitute.pipeline import compile_model
from substitute.scaffold.draft import NotExpressible
from substitute.scaffold.folder import check_against, write_kernel
from substitute.scaffold.infer import infer_operands
from substitute.scaffold.languages import LANGUAGES, find_language
from substitute.scaffold.lift import lift

MODEL = """
func.func @matmul_bias(%a: tensor<6x9xf32>, %b: tensor<9x7xf32>, %bias: tensor<7xf32>) -> tensor<6x7xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x7xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<6x7xf32>) -> tensor<6x7xf32>
  %c = linalg.matmul ins(%a, %b : tensor<6x9xf32>, tensor<9x7xf32>) outs(%i : tensor<6x7xf32>) -> tensor<6x7xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
      affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%c, %bias : tensor<6x7xf32>, tensor<7xf32>) outs(%e : tensor<6x7xf32>) {
  ^bb0(%s: f32, %t: f32, %o: f32):
    %sum = arith.addf %s, %t : f32
    %r = arith.maximumf %sum, %zero : f32
    %g = math.tanh %r : f32
    linalg.yield %g : f32
  } -> tensor<6x7xf32>
  return %y : tensor<6x7xf32>
}
func.func @softmax(%x: tensor<?x12xf32>) -> tensor<?x12xf32> {
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x12xf32>
  %e = tensor.empty(%m) : tensor<?x12xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x12xf32>) outs(%e : tensor<?x12xf32>) -> tensor<?x12xf32>
  return %y : tensor<?x12xf32>
}
func.func @conv(%x: tensor<2x3x17xf32>, %w: tensor<4x3x5xf32>) -> tensor<2x4x7xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4x7xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4x7xf32>) -> tensor<2x4x7xf32>
  %y = linalg.conv_1d_ncw_fcw {strides = dense<2> : tensor<1xi64>, dilations = dense<1> : tensor<1xi64>}
      ins(%x, %w : tensor<2x3x17xf32>, tensor<4x3x5xf32>) outs(%i : tensor<2x4x7xf32>) -> tensor<2x4x7xf32>
  return %y : tensor<2x4x7xf32>
}
func.func @gather(%table: tensor<11x5xf32>, %index: tensor<8xi32>, %scale: f32) -> tensor<8x5xf32> {
  %e = tensor.empty() : tensor<8x5xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(n, d) -> (n)>, affine_map<(n, d) -> (n, d)>],
      iterator_types = ["parallel", "parallel"]} ins(%index : tensor<8xi32>) outs(%e : tensor<8x5xf32>) {
  ^bb0(%i: i32, %o: f32):
    %at = arith.index_cast %i : i32 to index
    %d = linalg.index 1 : index
    %v = tensor.extract %table[%at, %d] : tensor<11x5xf32>
    %s = arith.mulf %v, %scale : f32
    linalg.yield %s : f32
  } -> tensor<8x5xf32>
  return %y : tensor<8x5xf32>
}
func.func @pair(%x: tensor<8x10xi32>) -> (tensor<8xi32>, tensor<8xi1>) {
  %low = arith.constant -2147483648 : i32
  %limit = arith.constant 3 : i32
  %e = tensor.empty() : tensor<8xi32>
  %b = tensor.empty() : tensor<8xi1>
  %i = linalg.fill ins(%low : i32) outs(%e : tensor<8xi32>) -> tensor<8xi32>
  %y = linalg.reduce ins(%x : tensor<8x10xi32>) outs(%i : tensor<8xi32>) dimensions = [1]
    (%v: i32, %m: i32) { %n = arith.maxsi %v, %m : i32 linalg.yield %n : i32 }
  %z:2 = linalg.generic {indexing_maps = [affine_map<(d) -> (d)>, affine_map<(d) -> (d)>, affine_map<(d) -> (d)>],
      iterator_types = ["parallel"]} ins(%y : tensor<8xi32>) outs(%e, %b : tensor<8xi32>, tensor<8xi1>) {
  ^bb0(%v: i32, %o: i32, %p: i1):
    %c = arith.cmpi sgt, %v, %limit : i32
    linalg.yield %v, %c : i32, i1
  } -> (tensor<8xi32>, tensor<8xi1>)
  return %z#0, %z#1 : tensor<8xi32>, tensor<8xi1>
}
func.func @scan(%x: tensor<9xf32>) -> tensor<9xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<9xf32>
  %s = tensor.empty() : tensor<f32>
  %i = linalg.fill ins(%zero : f32) outs(%s : tensor<f32>) -> tensor<f32>
  %y:2 = iree_linalg_ext.scan dimension(0) inclusive(true)
      ins(%x : tensor<9xf32>) outs(%e, %i : tensor<9xf32>, tensor<f32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    iree_linalg_ext.yield %c : f32
  } -> tensor<9xf32>, tensor<f32>
  return %y#0 : tensor<9xf32>
}
"""
WRITTEN = ("matmul_bias", "softmax", "conv", "gather", "pair")


@pytest.fixture(scope="module")
def dispatches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[Dispatch]]]:
    """The dispatches of each function, for a CPU, Vulkan and CUDA."""
    model = tmp_path_factory.mktemp("scaffold") / "model.mlir"
    model.write_text(MODEL)
    found: dict[str, dict[str, list[Dispatch]]] = {}
    for language in LANGUAGES:
        if language.backend not in found and language.kind != "cuda":
            plan = inspect_model(model, builtin=False, flags=tuple(language.flags.split()))
            by_function = {name: [d for d in plan.dispatches if d.name.startswith(name)] for name in (*WRITTEN, "scan")}
            found[language.backend] = by_function
    return found


@pytest.mark.compile
@pytest.mark.parametrize("kind", ["llvm-ir", "glsl", "ptx"])
@pytest.mark.parametrize("function", WRITTEN)
def test_written_kernels_take_their_dispatches(
    dispatches: dict[str, dict[str, list[Dispatch]]], function: str, kind: str
) -> None:
    language = find_language(kind)
    for dispatch in dispatches[language.backend][function]:
        assert dispatch.program is not None
        draft = lift(dispatch.program, "kernel")
        new = write_kernel(draft, language, name="k", entry="kernel", summary="", origin="Lifted")
        check_against(new, dispatch)
        assert all(spec.axes for spec in new.kernel.operands)
        assert new.kernel.payload.kind.describe_call(new.kernel).splitlines()[0].strip() in new.files[language.file]


@pytest.mark.compile
def test_a_kernel_of_another_dispatch_is_not_taken(dispatches: dict[str, dict[str, list[Dispatch]]]) -> None:
    (softmax,), (conv,) = (dispatches["llvm-cpu"][name] for name in ("softmax", "conv"))
    assert softmax.program is not None
    draft = lift(softmax.program, "kernel")
    new = write_kernel(draft, find_language("llvm-ir"), name="k", entry="kernel", summary="", origin="Lifted")
    with pytest.raises(NotExpressible, match=r"a definition that matches \(structure"):
        check_against(new, conv)


@pytest.mark.compile
def test_axes_are_lifted_and_windows_are_not(dispatches: dict[str, dict[str, list[Dispatch]]]) -> None:
    (conv,), (gather,) = (dispatches["llvm-cpu"][name] for name in ("conv", "gather"))
    assert conv.program is not None and gather.program is not None
    assert "tensor<?x?x17xf32>, %b: tensor<?x?x5xf32>) -> tensor<?x?x7xf32>" in lift(conv.program, "k").text
    draft = lift(gather.program, "k")
    assert len(draft.parameters) == 1  # the scalar argument of the model
    assert "tensor<11x5xf32>" in draft.text


@pytest.mark.compile
def test_what_cannot_be_expressed(dispatches: dict[str, dict[str, list[Dispatch]]]) -> None:
    reasons = []
    for dispatch in dispatches["llvm-cpu"]["scan"]:
        assert dispatch.program is not None
        try:
            lift(dispatch.program, "k")
        except NotExpressible as error:
            reasons.append(str(error))
    assert reasons == ["iree_linalg_ext.scan, for which there is no simple code"]


DEFINITION = """\
func.func @mean(%x: tensor<?x?x4xf32>, %scale: f32) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x?x4xf32>
  %e = tensor.empty(%m) : tensor<?x4xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y = linalg.reduce ins(%x : tensor<?x?x4xf32>) outs(%i : tensor<?x4xf32>) dimensions = [1]
    (%v: f32, %s: f32) {
      %p = arith.mulf %v, %scale : f32
      %n = arith.addf %p, %s : f32
      linalg.yield %n : f32
    }
  return %y : tensor<?x4xf32>
}
"""


@pytest.mark.unit
def test_operands_of_a_definition() -> None:
    draft = infer_operands(Path("mean.mlir"), DEFINITION)
    assert [(spec.name, spec.axes) for spec in draft.operands] == [("x", ("M", "K", "N")), ("y", ("M", "N"))]
    assert draft.parameters == ("scale",)
    for language in LANGUAGES:
        new = write_kernel(draft, language, name="k", entry="mean", summary="", origin="Written")
        assert "mean(" in new.files[language.file] or language.kind == "glsl"
        assert [p.name for p in new.kernel.parameters] == ["scale"]
    with pytest.raises(NotExpressible, match="2 functions"):
        infer_operands(Path("two.mlir"), DEFINITION + DEFINITION.replace("@mean", "@other"))
    with pytest.raises(SubstituteError, match="not valid MLIR"):
        infer_operands(Path("bad.mlir"), DEFINITION.replace("arith.addf", "arith.addq"))


@pytest.mark.unit
@pytest.mark.parametrize("name", ["M", "point", "i1", "t2", "y", "v10"])
def test_names_of_a_definition_are_no_names_of_variables(name: str) -> None:
    """An argument may have the name of an axis, of a loop, of the result, or of what else the code declares."""
    draft = infer_operands(
        Path("mean.mlir"), re.sub(r"%(y|x)\b", lambda m: {"x": f"%{name}", "y": "%r"}[m[1]], DEFINITION)
    )
    names = [spec.name for spec in draft.operands]
    assert names[0] == name and len({*names, *draft.parameters}) == 3
    assert not {axis for spec in draft.operands for axis in spec.axes} & {*names, *draft.parameters}
    for kind in ("c", "cuda", "glsl", "ptx"):
        new = write_kernel(draft, find_language(kind), name="k", entry="mean", summary="", origin="Written")
        declared = re.findall(
            r"^ *(?:for \()?(?:const )?(?:int64_t|int|float) (\w+) =", new.files[find_language(kind).file], re.M
        )
        assert name not in declared and (declared or kind == "ptx")


@pytest.mark.compile
@pytest.mark.device
@pytest.mark.parametrize("kind", ["llvm-ir", "glsl"])
def test_written_kernels_are_right(
    dispatches: dict[str, dict[str, list[Dispatch]]], tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """One compilation, whose check judges all of them against the golden."""
    language = find_language(kind)
    if language.backend == "vulkan-spirv":
        request.getfixturevalue("vulkan_device")
    names = []
    for function in WRITTEN:
        for number, dispatch in enumerate(dispatches[language.backend][function]):
            assert dispatch.program is not None
            name = f"{function}_{number}"
            draft = lift(dispatch.program, "kernel")
            new = write_kernel(draft, language, name=name, entry="kernel", summary="", origin="Lifted")
            (tmp_path / "kernels" / name).mkdir(parents=True)
            for file, text in new.files.items():
                (tmp_path / "kernels" / name / file).write_text(text)
            names.append(name)
    model = tmp_path / "model.mlir"
    model.write_text(MODEL)
    options = {"kernels": [tmp_path / "kernels"], "builtin": False, "flags": tuple(language.flags.split())}
    result = compile_model(model, require=names, check=True, **options)  # type: ignore[arg-type]
    assert {name for c in result.checked for name in c.names.split(", ")} == set(names)
    assert {c.verdict.outcome for c in result.checked} <= {"right", "slower"}
