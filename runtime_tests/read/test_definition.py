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


def test_a_scalar_argument_is_refused_with_what_to_write_instead() -> None:
    scalar = TEXT.replace("TYPE", "f32").replace("{\n  %r", "{\n  %e = tensor.from_elements %eps : tensor<f32>\n  %r")
    with pytest.raises(ManifestError) as failure:
        read_forms(Path("definition.mlir"), scalar, OPERANDS)
    assert "`eps`" in str(failure.value) and failure.value.found == "f32"
    assert "make it tensor<f32>" in failure.value.next_step
    # twin: as that says
    (form,) = read_forms(
        Path("definition.mlir"), TEXT.replace("TYPE", "tensor<f32>").replace("%e :", "%eps :"), OPERANDS
    )
    assert form.program.operands[1].type.shape == ()


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
