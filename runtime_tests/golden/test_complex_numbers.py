"""Operations of the dialect `complex`: exact values compared with NumPy, and bounds with float32 results."""

from __future__ import annotations

import numpy as np
import pytest

from runtime_tests.golden.functions import Array, evaluate

pytestmark = pytest.mark.unit
C64 = "complex<f32>"


def applied(op: str, types: tuple[str, ...], result: str, count: int) -> str:
    """A function that applies one operation, whose type is that of its first complex value, to vectors."""
    names = [f"%{chr(97 + n)}" for n in range(len(types))]
    kinds = [f"tensor<{count}x{t}>" for t in types]
    arguments = ", ".join(f"{n}: {t}" for n, t in zip(names, kinds, strict=True))
    maps = ", ".join(["affine_map<(i) -> (i)>"] * (len(types) + 1))
    return f"""
func.func @f({arguments}) -> tensor<{count}x{result}> {{
  %e = tensor.empty() : tensor<{count}x{result}>
  %r = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel"]}}
      ins({", ".join(names)} : {", ".join(kinds)}) outs(%e : tensor<{count}x{result}>) {{
  ^bb0({", ".join(f"%x{n}: {t}" for n, t in enumerate(types))}, %o: {result}):
    %y = {op} {", ".join(f"%x{n}" for n in range(len(types)))} : {C64}
    linalg.yield %y : {result}
  }} -> tensor<{count}x{result}>
  return %r : tensor<{count}x{result}>
}}"""


def numbers(seed: int, count: int = 50) -> Array:
    random = np.random.default_rng(seed)
    return (random.standard_normal(count) * 3 + 1j * random.standard_normal(count)).astype(np.complex64)


UNARY = {"neg": np.negative, "conj": np.conj, "abs": np.abs, "exp": np.exp, "log": np.log, "sqrt": np.sqrt}
UNARY |= {"sin": np.sin, "cos": np.cos, "re": np.real, "im": np.imag}
BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
REAL = frozenset({"abs", "re", "im"})


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_the_value_is_exact_and_float32_is_within_the_bound(name: str) -> None:
    function = UNARY.get(name) or BINARY[name]
    operands = [numbers(seed) for seed in range(1 if name in UNARY else 2)]
    text = applied(f"complex.{name}", (C64,) * len(operands), "f32" if name in REAL else C64, len(operands[0]))
    (found,) = evaluate(text, *operands)
    np.testing.assert_allclose(found.value, function(*(o.astype(np.complex128) for o in operands)), rtol=1e-14)
    off = np.abs(function(*operands) - found.value)
    assert np.all(off <= found.error)
    assert np.all(found.error <= 1e-3 * (1 + np.abs(found.value))), "a bound that says something"


def test_what_overflows_on_the_way_is_not_judged() -> None:
    large = np.array([1e30 + 0j, 1e25 - 1e25j, np.inf + 0j, np.nan + 1j, 1e-30 + 0j], np.complex64)
    for name in ("abs", "sqrt"):
        (found,) = evaluate(applied(f"complex.{name}", (C64,), "f32" if name == "abs" else C64, 5), large)
        assert np.isinf(found.error).all()
    (moved,) = evaluate(applied("complex.conj", (C64,), C64, 5), large)
    assert not moved.error.any()


def test_roots_and_logarithms_of_negative_numbers_are_not_judged() -> None:
    """The sign of a zero decides on which side of the cut they lie."""
    points = np.array([-4 + 0j, -4 + 1j, 4 + 0j], np.complex64)
    for name in ("sqrt", "log"):
        (found,) = evaluate(applied(f"complex.{name}", (C64,), C64, 3), points)
        assert np.isinf(found.error).tolist() == [True, False, False]


def test_numbers_are_made_and_compared() -> None:
    real, imaginary = np.array([1.0, 2.0], np.float32), np.array([-0.5, np.inf], np.float32)
    (made,) = evaluate(applied("complex.create", ("f32", "f32"), C64, 2), real, imaginary)
    assert made.value.tolist() == [1 - 0.5j, complex(2, np.inf)] and not made.error.any()
    (same,) = evaluate(
        applied("complex.eq", (C64, C64), "i1", 2), made.value.astype(np.complex64), np.complex64([1 - 0.5j, 2])
    )
    assert same.value.tolist() == [True, False]


def test_constants() -> None:
    text = """
func.func @f() -> (tensor<3xcomplex<f32>>, tensor<2xcomplex<f32>>, tensor<2xcomplex<f32>>) {
  %a = arith.constant dense<[(1.0, -2.5), (0x7F800000, 0.0), (1.0e-3, 4.0)]> : tensor<3xcomplex<f32>>
  %b = arith.constant dense<(3.0, 1.0)> : tensor<2xcomplex<f32>>
  %s = complex.constant [0.5 : f32, -1.0 : f32] : complex<f32>
  %c = tensor.splat %s : tensor<2xcomplex<f32>>
  return %a, %b, %c : tensor<3xcomplex<f32>>, tensor<2xcomplex<f32>>, tensor<2xcomplex<f32>>
}"""
    a, b, c = (golden.value for golden in evaluate(text))
    assert a.astype(np.complex64).tolist() == np.complex64([1 - 2.5j, complex(np.inf, 0), 1e-3 + 4j]).tolist()
    assert b.tolist() == [3 + 1j] * 2 and c.tolist() == [0.5 - 1j] * 2
