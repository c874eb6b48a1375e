"""Calls that name a kernel become dispatches of it; those that do not fit are said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from substitute import Session, compile_model
from substitute.catalog.catalog import load_catalog
from substitute.compiler import Compilation, load_model
from substitute.errors import CompilerError, ModelError
from substitute.flags import with_default_target
from substitute.frontend import inline_calls, run_to_dispatches
from substitute.match.planner import decide
from substitute.payload.build import accepts
from substitute.read.module import read_module
from substitute.rewrite import calls
from substitute.rewrite.calls import find_named_calls

pytestmark = pytest.mark.compile

DEFINITION = """
func.func @shifted(%x: tensor<?x?xf32>, %w: tensor<?xf32>, %eps: f32) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : tensor<?x?xf32>
  %n = tensor.dim %x, %c1 : tensor<?x?xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
      affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %w : tensor<?x?xf32>, tensor<?xf32>) outs(%e : tensor<?x?xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %eps : f32
    %p = arith.mulf %s, %b : f32
    linalg.yield %p : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
"""
MANIFEST = """
schema = 1
name = "shifted"
summary = "(x + eps) * w"
[operands]
x = ["M", "N"]
w = ["N"]
y = ["M", "N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "llvm-ir"
file = "kernel.ll"
entry = "shifted"
[launch]
workgroup_count = ["M", "1", "1"]
"""
CODE = """
define void @shifted(ptr %x, ptr %w, ptr %y, i64 %M, i64 %N, float %eps, i64 %row, i64 %wy, i64 %wz) {
entry:
  %start = mul i64 %row, %N
  br label %loop
loop:
  %n = phi i64 [ 0, %entry ], [ %next, %loop ]
  %at = add i64 %start, %n
  %px = getelementptr float, ptr %x, i64 %at
  %pw = getelementptr float, ptr %w, i64 %n
  %py = getelementptr float, ptr %y, i64 %at
  %a = load float, ptr %px
  %b = load float, ptr %pw
  %s = fadd float %a, %eps
  %p = fmul float %s, %b
  store float %p, ptr %py
  %next = add i64 %n, 1
  %more = icmp ult i64 %next, %N
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kernels")
    write_kernel(folder, DEFINITION, MANIFEST)
    return folder


def write_kernel(folder: Path, definition: str, manifest: str) -> None:
    own = folder / "shifted"
    own.mkdir()
    for name, text in (("definition.mlir", definition), ("kernel.toml", manifest), ("kernel.ll", CODE)):
        (own / name).write_text(text)


def call(x: str = "4x6", w: str = "6", y: str = "4x6", element: str = "f32", config: str = "{eps = 0.5 : f32}") -> str:
    """Return a module that calls the kernel, with work of its own after it."""
    types = f"(tensor<{x}x{element}>, tensor<{w}x{element}>) -> tensor<{y}x{element}>"
    given = f"{{api_version = 4 : i32, backend_config = {config}}}"
    return f"""
func.func @main(%x: tensor<{x}x{element}>, %w: tensor<{w}x{element}>) -> tensor<{y}x{element}> {{
  %0 = stablehlo.custom_call @shifted(%x, %w) {given} : {types}
  %1 = stablehlo.add %0, %0 : tensor<{y}x{element}>
  return %1 : tensor<{y}x{element}>
}}
"""


def test_a_custom_call_of_a_program_in_jax_runs_the_kernel(kernels: Path, tmp_path: Path) -> None:
    (tmp_path / "model.mlir").write_text(call())
    result = compile_model(tmp_path / "model.mlir", kernels=[kernels], builtin=False, check=False)
    assert [s.kernel.name for s in result.plan.substitutions] == ["shifted"]
    x, w = np.arange(24, dtype=np.float32).reshape(4, 6), np.arange(6, dtype=np.float32)
    with Session(result.vmfb, device="local-task") as session:
        (found,) = session.call(None, [x, w])
    np.testing.assert_array_equal(found, 2 * (x + 0.5) * w)


def test_an_onnx_node_of_an_own_domain_becomes_a_dispatch(kernels: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    nodes = [
        helper.make_node("shifted", ["x", "w"], ["t"], domain="mine", eps=0.5),
        helper.make_node("Relu", ["t"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", ["r", 6]), value("w", [6])], [value("y", ["r", 6])], value_info=[value("t", ["r", 6])]
    )
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), str(path))
    result = compile_model(path, kernels=[kernels], builtin=False, check=False)
    assert [s.kernel.name for s in result.plan.substitutions] == ["shifted"]
    x, w = np.linspace(-3, 3, 18, dtype=np.float32).reshape(3, 6), np.arange(6, dtype=np.float32)
    with Session(result.vmfb, device="local-task") as session:
        (found,) = session.call(None, [x, w])
    np.testing.assert_array_equal(found, np.maximum((x + np.float32(0.5)) * w, 0))


def inlined(text: str, kernels: list[Path]) -> str:
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(text.encode())
        inline_calls(compilation, kernels)
        assert compilation.module is not None
        compilation.module.verify()
        return str(compilation.module)


@pytest.mark.parametrize(
    ("change", "found", "expected"),
    [
        ({"w": "7"}, "tensor<7xf32>", "N of one size: it is 6 and 7"),
        ({"y": "4x7"}, "tensor<4x7xf32>", "N of one size: it is 6 and 7"),
        ({"element": "f16"}, "tensor<6xf16>", "(tensor<?x?xf32>, tensor<?xf32>, f32) -> tensor<?x?xf32>"),
        ({"x": "4x6x1"}, "tensor<4x6x1xf32>", "tensor<?x?xf32>"),
        ({"config": "{}"}, "tensor<6xf32>", "the attributes eps"),
        ({"config": '{eps = "half"}'}, '"half"', "f32"),
        ({"config": "{eps = 0.5 : f32, epsilon = 0.5 : f32}"}, "tensor<6xf32>", "without the attributes epsilon"),
        ({"config": "{eps = 1.0e39 : f64}"}, "E+38 : f64", "a number of f32"),
    ],
)
def test_a_call_that_does_not_fit_is_an_error(kernels: Path, change: dict[str, str], found: str, expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        inlined(call(**change), [kernels])
    assert caught.value.where == "@shifted"
    assert found in caught.value.found
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("number", "fits"),
    [("127 : i64", True), ("-128 : i64", True), ("128 : i64", False), ("2.0 : f32", False)],
)
def test_a_number_that_an_integer_parameter_does_not_hold_is_an_error(tmp_path: Path, number: str, fits: bool) -> None:
    text = DEFINITION.replace("%eps: f32", "%eps: i8")
    text = text.replace("%s = arith.addf %a, %eps", "%f = arith.sitofp %eps : i8 to f32\n    %s = arith.addf %a, %f")
    write_kernel(tmp_path, text, MANIFEST)
    model = call(config=f"{{eps = {number}}}")
    if fits:
        assert f"arith.constant {number.split()[0]} : i8" in inlined(model, [tmp_path])
        return
    with pytest.raises(ModelError) as caught:
        inlined(model, [tmp_path])
    assert caught.value.expected == "a number of i8"
    assert caught.value.found.endswith(number.rpartition(" ")[2])


def test_a_result_whose_size_no_operand_says_is_an_error(tmp_path: Path) -> None:
    """The definition says how many columns there are, by its parameter; the call's type has to."""
    text = """
func.func @shifted(%x: tensor<?xf32>, %n: index) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %y = linalg.broadcast ins(%x : tensor<?xf32>) outs(%e : tensor<?x?xf32>) dimensions = [1]
  return %y : tensor<?x?xf32>
}
"""
    write_kernel(tmp_path, text, MANIFEST.replace('x = ["M", "N"]\nw = ["N"]', 'x = ["M"]'))
    model = """
func.func @main(%x: tensor<?xf32>) -> tensor<SIZESxf32> {
  %0 = stablehlo.custom_call @shifted(%x) {api_version = 4 : i32, backend_config = {n = 6 : index}} :
    (tensor<?xf32>) -> tensor<SIZESxf32>
  return %0 : tensor<SIZESxf32>
}
"""
    assert "flow.dispatch.region" in inlined(model.replace("SIZES", "?x6"), [tmp_path])
    with pytest.raises(ModelError, match="does not fit") as caught:
        inlined(model.replace("SIZES", "?x?"), [tmp_path])
    assert caught.value.expected.endswith("a result of which the model says N, the size of no operand")


def test_calls_in_regions_of_operations_and_of_calls_are_found(kernels: Path) -> None:
    """As in the branches of a condition."""
    text = call()
    before, _, after = text.partition("  %0 = ")
    own, _, after = after.partition("\n")
    branch = f"{{\n  %1 = {own}\n  stablehlo.return %1 : tensor<4x6xf32>\n}}"
    given = "%p: tensor<i1>, %x: "
    nested = f'{before}  %0 = "stablehlo.if"(%p) ({branch}, {branch}) : (tensor<i1>) -> tensor<4x6xf32>\n{after}'
    nested = nested.replace("%x: ", given, 1).replace("%1 = stablehlo.add", "%2 = stablehlo.add")
    nested = nested.replace("return %1 : tensor<4x6xf32>\n}\n", "return %2 : tensor<4x6xf32>\n}\n")
    found = inlined(nested, [kernels])
    assert "custom_call" not in found
    assert found.count("flow.dispatch.region") == 2


CONVERTED = """
func.func @main(%h: tensor<4x6xf16>, %s: tensor<4xf32>, %w: tensor<6xf32>) -> tensor<4x6xf32> {
  %x = stablehlo.convert %h : (tensor<4x6xf16>) -> tensor<4x6xf32>
  %0 = stablehlo.custom_call @shifted(%x, %w) {api_version = 4 : i32, backend_config = {eps = 0.5 : f32}} :
    (tensor<4x6xf32>, tensor<6xf32>) -> tensor<4x6xf32>
  return %0 : tensor<4x6xf32>
}
"""


@pytest.mark.parametrize(("shielded", "taken"), [(True, 1), (False, 0)])
def test_what_iree_would_compute_in_the_region_stays_outside(
    kernels: Path, monkeypatch: pytest.MonkeyPatch, shielded: bool, taken: int
) -> None:
    """IREE clones conversions into the dispatches that read them."""
    if not shielded:
        monkeypatch.setattr(calls, "shield", lambda value: value)
    (kernel,) = load_catalog([kernels], builtin=False).kernels
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(CONVERTED.encode())
        inline_calls(compilation, [kernels])
        run_to_dispatches(compilation, [])
        assert compilation.module is not None
        dispatches = [site.dispatch for site in read_module(compilation.module)]
    assert sum(decide(kernel, dispatch, accepts).accepted for dispatch in dispatches) == taken


def test_calls_of_other_things_are_left_to_iree(kernels: Path) -> None:
    other = call().replace("@shifted", "@Sharding")
    assert inlined(other, [kernels]) == inlined(other, []) != inlined(call(), [kernels])
    # without the kernel's folder nothing says what the call computes
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(call().encode())
        with pytest.raises(CompilerError, match=r"a kernel of that name, given with --kernels"):
            compilation.run("start", "input")


def test_nodes_of_onnx_itself_are_no_calls(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [])
    graph.output.extend([helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(tmp_path / "model.onnx"))
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(load_model(tmp_path / "model.onnx"))
        assert compilation.module is not None
        assert not find_named_calls(compilation.module)
