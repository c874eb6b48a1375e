"""Computation of the polynomials of the math functions, which are written to `tables.py`.

    python -m substitute.codegen.mathematics.coefficients > tables.py

Each polynomial is the best one of its degree for its interval in the maximum norm, found by Remez' exchange with 60
digits (`mpmath`), and rounded to the type. `weight` is the factor by which an error of the polynomial enters the
function's relative error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 60
Real = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """The best polynomial for `function` on an interval."""

    function: Real
    low: float
    high: float
    degree: int
    weight: Real = lambda _: mp.mpf(1)


def _series(function: Real, first: Real) -> Real:
    """A function whose formula loses its digits at 0, with what its series begins with there."""
    return lambda x: first(x) if abs(x) < mp.mpf(10) ** -18 else function(x)


def _half_width(cut: float) -> float:
    return cut * (1 + 2.0**-10)


# a little more than the reduction leaves, which rounds; not symmetric: no node may lie at 0, where the weight vanishes
_LN2_HALF = _half_width(float(mp.log(2) / 2))
_exp = _series(lambda r: (mp.expm1(r) - r) / r**2, lambda r: mp.mpf(1) / 2 + r / 6)
# z = s², s = f / (2 + f); log(1 + f) = 2 atanh(s) = 2 s + s · z · p(z)
_log = _series(lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z, lambda z: mp.mpf(2) / 3 + 2 * z / 5)
_LOG_Z = float(((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2) * 1.001
_sin = _series(lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: -mp.mpf(1) / 6 + z / 120)
_cos = _series(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, lambda z: mp.mpf(1) / 24 - z / 720)
_QUARTER = _half_width(float(mp.pi / 4)) ** 2
_atan = _series(lambda z: (mp.atan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: -mp.mpf(1) / 3 + z / 5)
_EIGHTH = float(mp.tan(mp.pi / 8)) ** 2 * 1.001
_asin = _series(lambda z: (mp.asin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: mp.mpf(1) / 6 + 3 * z / 40)
_erf = _series(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, lambda z: 2 / mp.sqrt(mp.pi) * (1 - z / 3) - 1)


def _erfc_scaled(t: Any) -> Any:
    """(1 + 2x) exp(x²) erfc(x), with x = 4 (1 + t) / (1 - t)."""
    x = 4 * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def _erf_exponent(t: Any) -> Any:
    """Q of erf(t) = 1 - exp(t · q(t) - t)."""
    return mp.log(mp.erfc(t)) / t + 1


def _erf_exponent_weight(t: Any) -> Any:
    return t * mp.erfc(t) / mp.erf(t)


def _moved(x: float) -> float:
    return (x - 4) / (x + 4)


POLYNOMIALS: dict[str, dict[str, Polynomial]] = {
    "EXP": {
        "f32": Polynomial(function=_exp, low=-_LN2_HALF, high=_LN2_HALF * 1.001, degree=5, weight=lambda r: r**2),
        "f64": Polynomial(function=_exp, low=-_LN2_HALF, high=_LN2_HALF * 1.001, degree=11, weight=lambda r: r**2),
    },
    "LOG": {
        "f32": Polynomial(function=_log, low=0.0, high=_LOG_Z, degree=3, weight=lambda z: z),
        "f64": Polynomial(function=_log, low=0.0, high=_LOG_Z, degree=6, weight=lambda z: z),
    },
    "SIN": {
        "f32": Polynomial(function=_sin, low=0.0, high=_QUARTER, degree=2, weight=lambda z: z),
        "f64": Polynomial(function=_sin, low=0.0, high=_QUARTER, degree=5, weight=lambda z: z),
    },
    "COS": {
        "f32": Polynomial(function=_cos, low=0.0, high=_QUARTER, degree=2, weight=lambda z: z**2),
        "f64": Polynomial(function=_cos, low=0.0, high=_QUARTER, degree=5, weight=lambda z: z**2),
    },
    "ATAN": {
        "f32": Polynomial(function=_atan, low=0.0, high=_EIGHTH, degree=4, weight=lambda z: z),
        "f64": Polynomial(function=_atan, low=0.0, high=_EIGHTH, degree=11, weight=lambda z: z),
    },
    "ASIN": {
        "f32": Polynomial(function=_asin, low=0.0, high=0.25, degree=4, weight=lambda z: z),
        "f64": Polynomial(function=_asin, low=0.0, high=0.25, degree=13, weight=lambda z: z),
    },
    "ERF_NEAR": {
        "f32": Polynomial(function=_erf, low=0.0, high=0.9277344**2, degree=5),
        "f64": Polynomial(function=_erf, low=0.0, high=0.5184, degree=10),
    },
    "ERF_FAR": {
        "f32": Polynomial(function=_erf_exponent, low=0.9277344, high=4.0, degree=6, weight=_erf_exponent_weight),
    },
    "ERFC_FAR": {
        "f32": Polynomial(function=_erfc_scaled, low=_moved(0.7), high=_moved(10.2), degree=10),
        "f64": Polynomial(function=_erfc_scaled, low=_moved(0.7), high=_moved(28.0), degree=20),
    },
}


def remez(given: Polynomial) -> list[Any]:
    """Return the best coefficients, lowest power first."""
    count = given.degree + 1
    middle, radius = mp.mpf(given.low + given.high) / 2, mp.mpf(given.high - given.low) / 2
    nodes = [middle - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * (count + 1))) for i in range(count + 1)]
    grid = [middle - radius * mp.cos(mp.pi * i / (24 * count)) for i in range(24 * count + 1)]
    values = [(x, given.function(x), given.weight(x)) for x in grid]
    coefficients: list[Any] = []
    for _ in range(12):
        rows = mp.matrix(count + 1, count + 1)
        right = mp.matrix(count + 1, 1)
        for row, x in enumerate(nodes):
            scale = given.weight(x)
            for power in range(count):
                rows[row, power] = scale * x**power
            rows[row, count] = (-1) ** row
            right[row] = scale * given.function(x)
        solution = mp.lu_solve(rows, right)
        coefficients, level = list(solution)[:count], abs(solution[count])

        def error(x: Any, value: Any, scale: Any, found: list[Any] = coefficients) -> Any:
            return scale * (value - sum((c * x**i for i, c in enumerate(found)), mp.mpf(0)))

        errors = [error(*point) for point in values]
        nodes = _alternating(grid, errors, count + 1)
        if max(abs(e) for e in errors) < level * (1 + mp.mpf(10) ** -4):
            break
    return coefficients


def _alternating(grid: list[Any], errors: list[Any], count: int) -> list[Any]:
    """Return the largest error of each run of equal signs; the outer ones go where there are too many."""
    best: list[int] = []
    for at, value in enumerate(errors):
        if best and (errors[best[-1]] > 0) == (value > 0):
            best[-1] = at if abs(value) > abs(errors[best[-1]]) else best[-1]
        else:
            best.append(at)
    while len(best) > count:
        best.pop(0 if abs(errors[best[0]]) < abs(errors[best[-1]]) else -1)
    if len(best) < count:
        raise ArithmeticError(f"{len(best)} extrema where {count} are needed")
    return [grid[at] for at in best]


def rounded(given: Polynomial, element: str) -> list[float]:
    """Return the coefficients of a type, highest power first."""
    type_ = np.float32 if element == "f32" else np.float64
    return [float(type_(str(c))) for c in reversed(remez(given))]


def largest_error(given: Polynomial, coefficients: list[float]) -> float:
    """Return the largest weighted error of a polynomial on its interval."""
    points = (given.low + (given.high - given.low) * mp.mpf(i) / 500 for i in range(501))
    return float(max(abs(given.weight(x) * (given.function(x) - mp.polyval(coefficients, x))) for x in points))


def text() -> str:
    """Return the contents of `tables.py`."""
    lines = ['"""Polynomials, highest power first, by type. Written by `coefficients.py`: change that."""', ""]
    lines += ["from __future__ import annotations", "", "# fmt: off"]
    for name, by_type in POLYNOMIALS.items():
        lines.append(f"{name}: dict[str, tuple[float, ...]] = {{")
        for element, given in by_type.items():
            coefficients = rounded(given, element)
            error = largest_error(given, coefficients)
            lines.append(f"    # largest weighted error 2^{float(mp.log(error, 2)):.1f}")
            lines.append(f"    {element!r}: (".replace("'", '"'))
            spelled = [str(np.float32(c)) if element == "f32" else repr(c) for c in coefficients]
            lines += [f"        {c}," for c in spelled]
            lines.append("    ),")
        lines.append("}")
    lines.append("# fmt: on")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(text(), end="")
