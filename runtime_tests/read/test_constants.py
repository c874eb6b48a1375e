"""Dense constants of a body as bytes, with every way in which the bindings hand them over."""

from __future__ import annotations

import struct

import pytest

from runtime_tests.read.executables import context
from substitute.model.dispatch import TensorType
from substitute.read.constants import constant_bytes

CASES = [
    ("f32", "[1.5, -0.0, 3.0]", struct.pack("<3f", 1.5, -0.0, 3.0)),
    ("f64", "[1.5, -0.0, 3.0]", struct.pack("<3d", 1.5, -0.0, 3.0)),
    ("f16", "[1.5, -0.0, 3.0]", struct.pack("<3e", 1.5, -0.0, 3.0)),
    ("i64", "[1, -2, 3]", struct.pack("<3q", 1, -2, 3)),
    ("i32", "[1, -2, 3]", struct.pack("<3i", 1, -2, 3)),
    ("i16", "[1, -2, 3]", struct.pack("<3h", 1, -2, 3)),
    ("i8", "[1, -2, 3]", struct.pack("<3b", 1, -2, 3)),
    ("i1", "[true, false, true]", b"\1\0\1"),
    ("index", "[1, 2, 3]", struct.pack("<3q", 1, 2, 3)),
    ("f32", "2.0", struct.pack("<3f", 2.0, 2.0, 2.0)),
    ("i8", "-1", b"\xff" * 3),
]


@pytest.mark.parametrize(("element", "values", "expected"), CASES, ids=[f"{e} {v}" for e, v, _ in CASES])
def test_constants_are_read_as_they_lie_in_memory(element: str, values: str, expected: bytes) -> None:
    from iree.compiler import ir

    with context():
        attribute = ir.Attribute.parse(f"dense<{values}> : tensor<3x{element}>")
        assert constant_bytes(attribute, TensorType(shape=(3,), element=element)) == expected


def test_rows_stand_one_after_the_other() -> None:
    from iree.compiler import ir

    with context():
        attribute = ir.Attribute.parse("dense<[[1, 2], [3, 4]]> : tensor<2x2xi8>")
        assert constant_bytes(attribute, TensorType(shape=(2, 2), element="i8")) == bytes((1, 2, 3, 4))
