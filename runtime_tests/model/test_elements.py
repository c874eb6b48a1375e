"""Facts of element types, against what NumPy and ml_dtypes say; and no table elsewhere knows a type that has no row."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from substitute.codegen.glsl.operations import GLSL_TYPE
from substitute.codegen.glsl.shader import CODES, STORED_BITS
from substitute.codegen.llvm.elements import REGISTER_TYPES
from substitute.device.value_type import element_dtype
from substitute.golden.numbers import element_of
from substitute.model.dispatch import TensorType
from substitute.model.elements import ELEMENT, ELEMENTS, ML_FLOATS, ElementType
from substitute.payload.ptx.slots.scalars import KIND
from substitute.validate.elements import storage_type

pytestmark = pytest.mark.unit
FLOATS = [element for element in ELEMENTS if element.is_float]


@pytest.mark.parametrize("element", FLOATS, ids=lambda e: e.name)
def test_a_float_is_what_the_libraries_say(element: ElementType) -> None:
    dtype = np.dtype(getattr(ml_dtypes, element.numpy) if element.name in ML_FLOATS else element.numpy)
    info = ml_dtypes.finfo(dtype)
    layout = element.format
    assert layout is not None
    assert (element.bits, layout.bits) == (info.bits, info.bits)
    assert layout.mantissa == info.nmant
    assert layout.exponent == info.nexp
    unsigned = np.dtype(f"u{element.bits // 8}")
    largest = np.array(layout.largest, unsigned).view(dtype)
    assert largest == info.max
    assert np.isnan(np.array(layout.nan, unsigned).view(dtype).astype(np.float64))
    if layout.infinities:
        assert np.isinf(np.array(layout.largest + 1, unsigned).view(dtype).astype(np.float64))


@pytest.mark.parametrize("element", [e for e in ELEMENTS if e.numpy], ids=lambda e: e.name)
def test_every_room_lays_an_element_out_alike(element: ElementType) -> None:
    size = element.bits // 8
    assert TensorType(shape=(), element=element.name).element_bytes == size
    assert element_of(element.name).storage.itemsize == size
    assert storage_type(element.name).itemsize == size
    assert element_dtype(element.name).itemsize == size


def test_no_table_knows_a_type_without_a_row() -> None:
    for table in (REGISTER_TYPES, GLSL_TYPE, STORED_BITS, CODES, KIND):
        assert set(table) <= set(ELEMENT)
    assert "f8E3M4" not in ELEMENT, "the check can fail: MLIR has types that have no row"


def test_a_type_without_a_row_has_no_size() -> None:
    with pytest.raises(KeyError):
        _ = TensorType(shape=(), element="f8E3M4").element_bytes
