"""Definitions: what their functions may take, and integers of their bodies."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime_tests.golden.functions import parsed
from substitute.errors import ManifestError
from substitute.model.index import add, mul, push
from substitute.model.kernel import OperandSpec
from substitute.read.definition import read_forms
from substitute.read.indices import IndexReader

pytestmark = pytest.mark.unit
OPERANDS = (OperandSpec(name="x", axes=("N",)), OperandSpec(name="eps", axes=()), OperandSpec(name="y", axes=("N",)))
TEXT = """
func.func @f(%x: tensor<?xf32>, %eps: TYPE) -> tensor<?xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]} ins(%x, %e : tensor<?xf32>, tensor<f32>) outs(%x : tensor<?xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}
"""


def test_a_scalar_argument_is_a_parameter() -> None:
    specs = (OPERANDS[0], OPERANDS[2])
    scalar = TEXT.replace("TYPE", "f32").replace(", affine_map<(i) -> ()>", "").replace("ins(%x, %e :", "ins(%x :")
    scalar = scalar.replace(", tensor<f32>", "").replace(", %b: f32", "").replace("%a, %b", "%a, %eps")
    (form,) = read_forms(Path("definition.mlir"), scalar, specs)
    assert [(p.name, p.type, p.position) for p in form.parameters] == [("eps", "f32", 1)]
    # listed among the operands without axes, it is the same
    (listed,) = read_forms(Path("definition.mlir"), scalar, OPERANDS)
    assert listed == form
    # twins: another name there; of a type that no parameter has; used by nothing; another in another function
    with pytest.raises(ManifestError, match="scalars are parameters"):
        read_forms(Path("definition.mlir"), scalar.replace("eps", "rho"), OPERANDS)
    with pytest.raises(ManifestError, match="a type that no parameter has"):
        read_forms(Path("definition.mlir"), scalar.replace("eps: f32", "eps: f80").replace("%a, %eps", "%a, %a"), specs)
    with pytest.raises(ManifestError, match="depends on the parameter `eps`"):
        read_forms(Path("definition.mlir"), scalar.replace("%a, %eps", "%a, %a"), specs)
    with pytest.raises(ManifestError, match="differ in their parameters"):
        read_forms(Path("definition.mlir"), scalar + scalar.replace("@f", "@g").replace("eps", "rho"), specs)


def test_a_scalar_result_is_refused() -> None:
    text = "func.func @f(%x: tensor<?xf32>, %e: f32) -> f32 {\n  return %e : f32\n}"
    with pytest.raises(ManifestError, match="is no tensor") as failure:
        read_forms(Path("definition.mlir"), text, (OPERANDS[0], OPERANDS[2]))
    assert "make it tensor<f32>" in failure.value.next_step
    # twin: an operand of rank 0 is no parameter
    (form,) = read_forms(
        Path("definition.mlir"), TEXT.replace("TYPE", "tensor<f32>").replace("%e :", "%eps :"), OPERANDS
    )
    assert form.program.operands[1].type.shape == () and form.parameters == ()


def test_a_function_without_a_body_is_refused() -> None:
    text = "func.func private @f(%x: tensor<?xf32>, %eps: tensor<f32>) -> tensor<?xf32>"
    with pytest.raises(ManifestError, match="a function of the definition has no body"):
        read_forms(Path("definition.mlir"), text, OPERANDS)


def test_a_tensor_without_rank_is_refused() -> None:
    text = "func.func @f(%x: tensor<*xf32>, %eps: tensor<f32>) -> tensor<*xf32> {\n  return %x : tensor<*xf32>\n}"
    with pytest.raises(ManifestError, match="is no tensor") as failure:
        read_forms(Path("definition.mlir"), text, OPERANDS)
    assert "give it a shape" in failure.value.next_step


@pytest.mark.parametrize(("basis", "size"), [("(%n, 4)", 4), ("(4)", 4), ("(%n, 1)", 1)])
def test_a_position_of_coordinates_is_read(basis: str, size: int) -> None:
    text = f"""
func.func @f(%i: index, %n: index) -> index {{
  %c3 = arith.constant 3 : index
  %l = affine.linearize_index [%i, %c3] by {basis} : index
  return %l : index
}}"""
    with parsed(text) as function:
        block = function.regions[0].blocks[0]
        reader = IndexReader()
        for number, argument in enumerate(block.arguments):
            reader.know(argument, push(number))
        found = reader.read(list(block.operations)[1].operation.results[0])
    assert found == add(mul(push(0), size), 3)
