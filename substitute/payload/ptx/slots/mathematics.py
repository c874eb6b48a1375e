"""Math functions of f32 as PTX: those of `codegen.mathematics`, or the hardware's where these are accurate enough."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from ....codegen import mathematics
from ....codegen.mathematics.operations import Text
from .arithmetic import PtxOps
from .block import Block, float_literal

_LN2, _LOG2E = math.log(2.0), 1.0 / math.log(2.0)


def exp(b: Block, x: str) -> str:
    """Return e^x = 2^z with z = x log2 e, corrected for the rounding of z: 2^(z + low) = 2^z (1 + low ln 2)."""
    high = float_literal(_LOG2E)
    z = b.single("mul.rn", x, high)
    low = b.single("fma.rn", x, high, b.single("neg", z))
    low = b.single("fma.rn", x, float_literal(_LOG2E - _single(_LOG2E)), low)
    power = b.single("ex2.approx", z)
    mended = b.single("fma.rn", b.single("mul.rn", low, float_literal(_LN2)), power, power)
    # beyond, low may be NaN, and 2^z is infinite or next to 0
    near = b.test("setp.lt.f32", b.single("abs", z), float_literal(128.0))
    return b.select(near, mended, power)


def integer_power(b: Block, x: str, exponent: int) -> str:
    """Return x^exponent by squaring."""
    count, result, square = abs(exponent), "", x
    while count:
        if count & 1:
            result = b.single("mul.rn", result, square) if result else square
        count >>= 1
        if count:
            square = b.single("mul.rn", square, square)
    result = result or float_literal(1.0)
    return b.single("rcp.rn", result) if exponent < 0 else result


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _shared(function: Callable[..., Any], b: Block, *args: str) -> str:
    return str(function(PtxOps(b), *(Text("f", a) for a in args)).text)


FUNCTIONS: dict[str, Callable[..., str]] = {
    **{name: partial(_shared, function) for name, function in mathematics.FUNCTIONS.items()},
    "exp": exp,
    "exp2": lambda b, x: b.single("ex2.approx", x),
}
"""MLIR's name, without its dialect → (block, operands …) → register."""
