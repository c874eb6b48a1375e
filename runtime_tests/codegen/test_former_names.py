"""Names by which kernels imported what they generate code with, before it moved."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.unit
@pytest.mark.parametrize("name", ["function", "lower"])
def test_a_kernel_that_was_written_before_is_loaded(name: str) -> None:
    former = importlib.import_module(f"substitute.payload.llvm.{name}")
    assert former is importlib.import_module(f"substitute.codegen.llvm.{name}")
