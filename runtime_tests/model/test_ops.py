"""The table of scalar operations: neutral elements are neutral, and every emitter's operation has a row."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from substitute.codegen.glsl import operations as glsl
from substitute.model.ops import COMBINERS, COMMUTATIVE, OPERATIONS, neutral

FLOATS: dict[str, Callable[[float, float], float]] = {
    "arith.addf": np.add,
    "arith.mulf": np.multiply,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
}
INTEGERS: dict[str, Callable[[int, int], int]] = {
    "arith.addi": lambda a, b: a + b,
    "arith.muli": lambda a, b: a * b,
    "arith.andi": lambda a, b: a & b,
    "arith.ori": lambda a, b: a | b,
    "arith.xori": lambda a, b: a ^ b,
    "arith.maxsi": max,
    "arith.minsi": min,
    "arith.maxui": lambda a, b: max(a, b, key=lambda v: v & 255),
    "arith.minui": lambda a, b: min(a, b, key=lambda v: v & 255),
}
VALUES = (0.0, -0.0, 1.5, -3.0, math.inf, -math.inf, math.nan)


def changes(name: str, start: float) -> list[float]:
    """The values that `start` changes, the sign of a zero and NaN included."""
    return [v for v in VALUES if repr(float(FLOATS[name](np.float64(start), np.float64(v)))) != repr(v)]


def test_every_combiner_has_a_neutral_element() -> None:
    assert {*FLOATS, *INTEGERS} == COMBINERS
    assert COMBINERS <= COMMUTATIVE


@pytest.mark.parametrize("name", sorted(FLOATS))
def test_neutral_for_floats(name: str) -> None:
    assert not changes(name, float(neutral(name, "f32")))


@pytest.mark.parametrize(
    ("name", "start"), [("arith.addf", 0.0), ("arith.maxnumf", -math.inf), ("arith.minnumf", math.inf)]
)
def test_what_is_nearly_neutral_is_found(name: str, start: float) -> None:
    """Twin: 0.0 changes -0.0, and an infinity is what is left of nothing but NaN."""
    assert changes(name, start)


@pytest.mark.parametrize("name", sorted(INTEGERS))
def test_neutral_for_integers(name: str) -> None:
    start = int(neutral(name, "i8"))
    for value in range(-128, 128):
        assert (INTEGERS[name](start, value) - value) & 255 == 0


def test_every_operation_of_a_shader_has_a_row() -> None:
    tables = (glsl.FLOAT, glsl.DOUBLE, glsl.BOOL, glsl.INT, glsl.INT64, glsl.CASTS)
    names = {name for table in tables for name in table}
    assert not [n for n in names if f"arith.{n}" not in OPERATIONS and f"math.{n}" not in OPERATIONS]
