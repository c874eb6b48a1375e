"""The math functions as NumPy computes them, operation by operation, against references of higher precision."""

from __future__ import annotations

import numpy as np
import pytest

from runtime_tests.codegen.numpy_ops import NumpyOps
from runtime_tests.ulp.errors import REFERENCES, ulps
from substitute.codegen.mathematics import FUNCTIONS, coefficients, tables

pytestmark = pytest.mark.unit

TYPES = {"f32": np.float32, "f64": np.float64}
UNARY = sorted(set(FUNCTIONS) - {"powf", "atan2"})
LIMIT_ULP = 2.8
LIMITS_ULP = {"erfc": 5.1}
"""In erfc's far part, exponential, quotient and product are rounded; the reference of f64 is accurate to one unit."""


def numbers(element: str) -> np.ndarray:
    """Any pattern of f32 is as likely as any other; in f64, numbers in which sine and cosine lose nothing."""
    random = np.random.default_rng(3)
    if element == "f32":
        return random.integers(0, 1 << 32, 60_000, dtype=np.uint32).view(np.float32)
    size = np.exp2(random.uniform(-40, 20, 30_000))
    return np.concatenate([size, -size])


@pytest.mark.parametrize("element", sorted(TYPES))
@pytest.mark.parametrize("name", UNARY)
def test_errors(name: str, element: str) -> None:
    near = np.linspace(-30, 30, 40_001)
    with np.errstate(all="ignore"):
        x = np.concatenate([numbers(element), near, near / 30]).astype(TYPES[element])
        wanted = REFERENCES[name](x.astype(np.longdouble))
        found = FUNCTIONS[name](NumpyOps(element), x)
        error = ulps(found, wanted, TYPES[element], flushed=True)
    at = int(np.argmax(error))
    assert error[at] <= LIMITS_ULP.get(name, LIMIT_ULP), f"{name}({x[at]!r}) = {found[at]!r}, wanted {wanted[at]!r}"


def test_every_function_of_one_operand_has_a_reference() -> None:
    assert set(UNARY) <= set(REFERENCES)


@pytest.mark.parametrize("element", sorted(TYPES))
def test_powers_and_angles(element: str) -> None:
    random = np.random.default_rng(4)
    x, y = (random.uniform(-1, 1, 40_000) * np.exp2(random.uniform(-6, 6, 40_000)) for _ in range(2))
    x, y = x.astype(TYPES[element]), y.astype(TYPES[element])
    for name, reference, left in (("powf", np.power, np.abs(x)), ("atan2", np.arctan2, x)):
        with np.errstate(all="ignore"):
            wanted = reference(left.astype(np.longdouble), y.astype(np.longdouble))
            found = FUNCTIONS[name](NumpyOps(element), left, y)
        normal = np.abs(wanted) > float(np.finfo(TYPES[element]).tiny)
        assert np.max(ulps(found, wanted, TYPES[element])[normal]) <= LIMIT_ULP, name


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_large_arguments_near_multiples_of_half_pi(name: str) -> None:
    # found by `python -m runtime_tests.ulp --every 61`: the distance to the multiple is in the last of 62 bits
    x = np.array([-6.1833431355623216e29, 3.164531463888149e19, 1.0996702e33, 4.7782264e37, 16367173 * 2.0**72], "f4")
    found = FUNCTIONS[name](NumpyOps("f32"), x)
    assert ulps(found, REFERENCES[name](x.astype(np.longdouble)), np.float32).max() < 1


def test_a_wrong_coefficient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables.EXP["f32"]
    monkeypatch.setitem(tables.EXP, "f32", (*table[:-2], table[-2] * 1.0001, table[-1]))
    with pytest.raises(AssertionError):
        test_errors("exp", "f32")


@pytest.mark.parametrize("name", sorted(coefficients.POLYNOMIALS))
def test_the_tables_are_what_the_script_computes(name: str) -> None:
    given, table = coefficients.POLYNOMIALS[name]["f32"], getattr(tables, name)["f32"]
    assert coefficients.rounded(given, "f32") == [pytest.approx(c, rel=1e-6) for c in table]
    error = coefficients.largest_error(given, list(table))
    assert error < 2.0**-23
    assert coefficients.largest_error(given, [*table[:-1], table[-1] * 1.001]) > 2.0**-23
