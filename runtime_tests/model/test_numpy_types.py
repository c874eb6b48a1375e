"""NumPy's types by name, and that ml_dtypes is loaded only where it is needed."""

from __future__ import annotations

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from substitute.model.elements import ELEMENTS, ElementType
from substitute.model.numpy_types import numpy_type

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("element", [e for e in ELEMENTS if e.numpy], ids=lambda e: e.name)
def test_types_have_the_size_of_their_elements(element: ElementType) -> None:
    assert numpy_type(element.numpy).itemsize * 8 == element.bits


@pytest.mark.parametrize("element", [e for e in ELEMENTS if e.format], ids=lambda e: e.name)
def test_limits_of_float_formats_are_those_of_ml_dtypes(element: ElementType) -> None:
    assert element.format
    info = ml_dtypes.finfo(numpy_type(element.numpy))
    assert element.format.largest_value == float(info.max)
    assert element.format.smallest_normal == float(info.smallest_normal)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(TypeError):
        numpy_type("bfloat17")


def _loads_ml_dtypes(then: str) -> bool:
    modules = "sys, substitute.cli.main, substitute.guard.judge, substitute.validate"
    code = f"import {modules}; {then}; print('ml_dtypes' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return found.stdout.strip() == "True"


def test_commands_and_the_check_of_f32_do_not_load_ml_dtypes() -> None:
    from_f32 = "from substitute.validate.elements import storage_type, largest; storage_type('f32'), largest('f16')"
    assert not _loads_ml_dtypes(from_f32)
    assert _loads_ml_dtypes("from substitute.validate.elements import storage_type; storage_type('bf16')")
    assert np.dtype(ml_dtypes.bfloat16) == numpy_type("bfloat16")
