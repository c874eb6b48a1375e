"""The functions of MLIR's `math` dialect on floating-point numbers, by name."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from .. import mathematics
from ..mathematics.exponential import exp_of_negative
from .arithmetic import FloatMath

FloatFunction = Callable[..., ir.Value]

FUNCTIONS: dict[str, FloatFunction] = {
    "math.absf": lambda m, x: m.abs(x),
    "math.ceil": lambda m, x: m.ceil(x),
    "math.clampf": lambda m, x, low, high: m.minimum(m.maximum(x, low), high),
    "math.copysign": lambda m, x, y: m.copysign(x, y),
    "math.floor": lambda m, x: m.floor(x),
    "math.fma": lambda m, x, y, z: fused(m, x, y, z),
    "math.round": lambda m, x: m.round_away(x),
    "math.roundeven": lambda m, x: m.round_even(x),
    "math.rsqrt": lambda m, x: m.div(m.const(1.0), m.sqrt(x)),
    "math.sqrt": lambda m, x: m.sqrt(x),
    "math.trunc": lambda m, x: m.trunc(x),
    **{f"math.{name}": function for name, function in mathematics.FUNCTIONS.items()},
    "substitute.exp_of_negative": exp_of_negative,
}
"""MLIR's name → (FloatMath, operands…) → value."""


def fused(m: FloatMath, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """X · y + z rounded once; f32 without the instruction goes through f64, where the product is exact."""
    if m.hardware.fma or m.element == "f64":
        return m.fma(x, y, z)
    wide = m.wide()
    return m.narrow(wide.add(wide.mul(m.widen(x), m.widen(y)), m.widen(z)))
