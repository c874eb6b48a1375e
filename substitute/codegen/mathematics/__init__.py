"""The functions of MLIR's `math` dialect on f32 and f64, each written once for all targets.

A function takes the operations of a target (`operations.FloatOps`) and its operands, and returns the result. LLVM,
GLSL and PTX implement the operations (`codegen/llvm/arithmetic.py`, `codegen/glsl/library/mathematics.py`,
`payload/ptx/slots/arithmetic.py`). The polynomials are computed by `coefficients.py`; `python -m runtime_tests.ulp`
measures the errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import error_function, exponential, power, trigonometry

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "acos": trigonometry.acos,
    "acosh": exponential.acosh,
    "asin": trigonometry.asin,
    "asinh": exponential.asinh,
    "atan": trigonometry.atan,
    "atan2": trigonometry.atan2,
    "atanh": exponential.atanh,
    "cbrt": exponential.cbrt,
    "cos": trigonometry.cos,
    "cosh": exponential.cosh,
    "erf": error_function.erf,
    "erfc": error_function.erfc,
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "log": exponential.log,
    "log10": exponential.log10,
    "log1p": exponential.log1p,
    "log2": exponential.log2,
    "powf": power.powf,
    "sin": trigonometry.sin,
    "sinh": exponential.sinh,
    "tan": trigonometry.tan,
    "tanh": exponential.tanh,
}
"""MLIR's name, without its dialect → (operations, operands …) → result."""
