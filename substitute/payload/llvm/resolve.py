"""Replacement of calls of libm and of LLVM's math intrinsics by definitions that inline and vectorise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from ...codegen.llvm.arithmetic import FloatMath
from ...codegen.llvm.elements import REGISTER_TYPES, lanes_of, vector
from ...codegen.llvm.function import Hardware
from ...codegen.llvm.math import FUNCTIONS

# libm's and LLVM's names for MLIR's functions, where they differ
_RENAMED = {"pow": "math.powf", "rint": "math.roundeven", "nearbyint": "math.roundeven", "fabs": "math.absf"}
_LIBM = (
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "pow",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "fma",
    "rint",
    "nearbyint",
    "trunc",
    "roundeven",
    "round",
    "floor",
    "ceil",
    "fabs",
)
INTRINSICS = (
    "acos",
    "asin",
    "atan",
    "atan2",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "log",
    "log10",
    "log2",
    "pow",
    "sin",
    "sinh",
    "tan",
    "tanh",
    "round",
)
_WITHOUT_ROUNDING = ("floor", "ceil", "trunc", "roundeven", "rint", "nearbyint")
_INTRINSIC_NAME = re.compile(r"llvm\.([a-z0-9]+)\.(?:v(\d+))?f(32|64)$")


def resolve_math(module: Any, hardware: Hardware) -> tuple[str, ...]:
    """Define, inside the module, every math function that it only declares; return the names that were replaced.

    Functions of vectors are defined on vectors. Functions that the module defines are unchanged.
    """
    wanted = [(f, _meaning(f.name, hardware)) for f in module.functions if f.is_declaration]
    found = [(f, meaning) for f, meaning in wanted if meaning and _fits(f, *meaning)]
    if not found:
        return ()
    library = ir.Module(context=ir.Context())
    replaced = []
    for at, (declaration, (name, element, lanes)) in enumerate(found):
        replaced.append(declaration.name)
        ours = f"substitute.{name}.{element}.{lanes or 1}.{at}"
        declaration.name = ours
        define(library, ours, name, element, lanes, hardware)
    module.link_in(llvm.parse_assembly(str(library), context=getattr(module, "_context", None)))
    for function in module.functions:
        if function.name.startswith("substitute.") and not function.is_declaration:
            function.linkage = llvm.Linkage.internal
    return tuple(replaced)


def define(
    module: ir.Module, symbol: str, name: str, element: str, lanes: int | None, hardware: Hardware
) -> ir.Function:
    """Define an always-inline function `symbol` that computes MLIR's `name` on one value or on a vector."""
    type_ = vector(REGISTER_TYPES[element], lanes)
    function = ir.Function(module, ir.FunctionType(type_, [type_] * _arity(name)), name=symbol)
    for attribute in ("alwaysinline", "nounwind"):
        function.attributes.add(attribute)
    builder = ir.IRBuilder(function.append_basic_block())
    args: Sequence[ir.Value] = function.args
    builder.ret(FUNCTIONS[name](FloatMath(builder, element, lanes_of(args[0]), hardware), *args))
    return function


def _fits(declaration: Any, name: str, element: str, lanes: int | None) -> bool:
    """Return whether the declared type is the function's own: a user's `expf` may be another function."""
    type_ = str(vector(REGISTER_TYPES[element], lanes))
    return str(declaration.global_value_type) == f"{type_} ({', '.join([type_] * _arity(name))})"


def _arity(name: str) -> int:
    return {"math.atan2": 2, "math.powf": 2, "math.copysign": 2, "math.fma": 3}.get(name, 1)


def _meaning(name: str, hardware: Hardware) -> tuple[str, str, int | None] | None:
    """Return (MLIR's function, element type, lanes) of a libm function or an intrinsic; None for any other."""
    intrinsic = _INTRINSIC_NAME.match(name)
    if intrinsic:
        known = INTRINSICS + (() if hardware.rounding else _WITHOUT_ROUNDING) + (() if hardware.fma else ("fma",))
        if intrinsic[1] not in known:
            return None
        return _mlir_name(intrinsic[1]), f"f{intrinsic[3]}", int(intrinsic[2]) if intrinsic[2] else None
    if name in _LIBM:
        return _mlir_name(name), "f64", None
    if name.endswith("f") and name[:-1] in _LIBM:
        return _mlir_name(name[:-1]), "f32", None
    return None


def _mlir_name(name: str) -> str:
    return _RENAMED.get(name, f"math.{name}")
