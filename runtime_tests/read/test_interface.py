"""Memory of the caller that IREE takes for another type than it holds."""

from __future__ import annotations

import pytest

from runtime_tests.read.executables import parse
from substitute.read.interface import misread_types

pytestmark = pytest.mark.unit
F64 = "--iree-input-demote-f64-to-f32=false"


def host(taken: str, given: str) -> str:
    return f"""
util.func public @f(%view: !hal.buffer_view) -> !hal.buffer_view {{
  %c16 = arith.constant 16 : index
  %a = stream.tensor.import %view : !hal.buffer_view -> tensor<4x{taken}> in !stream.resource<external>{{%c16}}
  %b = stream.tensor.export %a : tensor<4x{given}> in !stream.resource<external>{{%c16}} -> !hal.buffer_view
  util.return %b : !hal.buffer_view
}}"""


@pytest.mark.parametrize(
    ("taken", "given", "flags", "misread"),
    [
        ("f64", "f32", [], "f64"),
        ("f32", "f64", [], "f64"),
        ("f64", "f64", [F64], ""),
        ("f32", "f32", [], ""),
        ("i64", "i64", [], ""),
        ("i64", "i32", ["--iree-input-demote-i64-to-i32"], "i64"),
        ("f16", "f32", ["--iree-input-promote-f16-to-f32=true"], "f16"),
    ],
)
def test_what_the_flags_convert_and_the_caller_does_not(taken: str, given: str, flags: list[str], misread: str) -> None:
    warning = misread_types(parse(host(taken, given)), flags)
    assert warning.startswith(f"the model takes or returns {misread} tensors") if misread else not warning
