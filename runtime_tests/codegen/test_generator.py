"""Programs that no shader can be written for are refused before a kernel takes them."""

from __future__ import annotations

import pytest

from runtime_tests.payload.vulkan_run import operand
from substitute.codegen.glsl.features import Features
from substitute.codegen.glsl.generator import refuse_operands
from substitute.model.dispatch import Program
from substitute.model.index import Index, push

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("shape", "features", "reason"),
    [
        ((13,), Features(), "f16 elements of 26 bytes on a target without 16-bit storage"),
        ((push(0),), Features(), "f16 elements of a size known at launch on a target without 16-bit storage"),
        ((14,), Features(), ""),
        ((13,), Features(storage16=True), ""),
    ],
)
def test_packed_elements_have_to_fill_words(shape: tuple[Index, ...], features: Features, reason: str) -> None:
    program = Program(operands=(operand(0, shape, "f16"),), cores=(), stores=())
    assert refuse_operands(program, features) == reason
