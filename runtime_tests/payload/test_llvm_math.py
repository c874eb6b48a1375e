"""The polynomial functions against references of higher precision, for scalars and vectors, with and without FMA."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pytest

llvm = pytest.importorskip("llvmlite.binding")
from llvmlite import ir  # noqa: E402

from substitute.model.scalar import Scalar, ScalarGraph  # noqa: E402
from substitute.payload.llvm.elements import load, memory_type, store  # noqa: E402
from substitute.payload.llvm.function import I64, PTR, Hardware  # noqa: E402
from substitute.payload.llvm.lower import ScalarEmitter  # noqa: E402

MODERN = Hardware(fma=True, rounding=True, half=True, vector_bytes=32)
PLAIN = Hardware()
STORED = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16,
          "f8E4M3FN": ml_dtypes.float8_e4m3fn, "f8E5M2": ml_dtypes.float8_e5m2,
          "f8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "f8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
          "i64": np.int64, "i32": np.int32, "i16": np.int16, "i8": np.int8, "i1": np.int8, "index": np.int64}  # fmt: skip
_ENGINES: list[Any] = []


def run(graph: ScalarGraph, out: str, inputs: list[tuple[str, Any]], lanes: int | None, hardware: Hardware) -> Any:
    """Applies a graph to arrays, one element or `lanes` elements at a time."""
    module = ir.Module(context=ir.Context())
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR] * (len(inputs) + 1) + [I64]), name="f")
    builder = ir.IRBuilder(function.append_basic_block())
    head, body, done = (function.append_basic_block() for _ in range(3))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(I64)
    i.add_incoming(ir.Constant(I64, 0), function.entry_basic_block)
    builder.cbranch(builder.icmp_signed("<", i, function.args[-1]), body, done)
    builder.position_at_end(body)

    def leaf(node: Scalar, _: tuple[ir.Value, ...]) -> ir.Value:
        at = node.attribute
        assert isinstance(at, int)
        return load(builder, builder.gep(function.args[at], [i], source_etype=memory_type(node.type)), node.type, lanes)

    (value,) = ScalarEmitter(module, builder, lanes, hardware=hardware).emit(graph, leaf)
    store(builder, value, builder.gep(function.args[-2], [i], source_etype=memory_type(out)), out)
    i.add_incoming(builder.add(i, ir.Constant(I64, lanes or 1)), body)
    builder.branch(head)
    builder.position_at_end(done)
    builder.ret_void()
    count = len(inputs[0][1])
    pad = -count % (lanes or 1)
    arrays = [np.concatenate([a, np.repeat(a[-1:], pad)]) for _, a in inputs]
    result = np.zeros(count + pad, STORED[out])
    call(str(module), [*arrays, result], count)
    return result[:count]


def call(text: str, arrays: list[Any], count: int) -> None:
    """JIT-compiles `f(ptr…, i64)` and runs it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=1
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    address = engine.get_function_address("f")
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays), ctypes.c_int64)
    prototype(address)(*[a.ctypes.data for a in arrays], count)


def unary(name: str, element: str) -> ScalarGraph:
    return ScalarGraph((Scalar("read", element, (), 0), Scalar(name, element, (0,))), (1,))


def ulps(found: Any, wanted: Any, type_: Any) -> Any:
    """Distance in units in the last place of the wanted number; 0 for equal infinities and two NaNs."""
    found, wanted = found.astype(np.longdouble), wanted.astype(np.longdouble)
    info = np.finfo(type_)
    size = np.maximum(np.abs(np.nan_to_num(wanted, posinf=float(info.max))), np.longdouble(info.tiny))
    unit = np.exp2(np.floor(np.log2(size)) - info.nmant)
    rounded = wanted.astype(type_)
    same = (rounded == found) | (np.isnan(rounded) & np.isnan(found))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(same, 0.0, np.nan_to_num(np.abs(found - wanted) / unit, nan=np.inf))


def samples(element: str, low: float, high: float, seed: int = 7) -> Any:
    """Numbers spread over the range and over the exponents within it, with the special ones that lie in it."""
    type_ = STORED[element]
    random = np.random.default_rng(seed)
    info = np.finfo(type_)
    exponents = np.exp2(
        random.uniform(np.log2(float(info.smallest_subnormal)), np.log2(min(high, float(info.max))), 3000)
    )
    some = np.concatenate([random.uniform(low, high, 5000), exponents, -exponents])
    special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        math.inf,
        -math.inf,
        math.nan,
        float(info.max),
        float(info.tiny),
        float(info.smallest_subnormal),
        0.83,
        0.9277,
        88.72,
        88.73,
        -103.9,
        -87.4,
        709.78,
        709.79,
        -745.1,
        0.3466,
    ]
    every = np.concatenate([some[(some >= low) & (some <= high)], special])
    return every.astype(type_)


def by_mpmath(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(xs: Any) -> Any:
        with mpmath.workdps(40):
            return np.array([_one(function, x) for x in xs], np.longdouble)

    return apply


def _one(function: Callable[[Any], Any], x: Any) -> Any:
    if np.isnan(x):
        return np.longdouble("nan")
    value = function(mpmath.mpf(float(x)))
    return np.longdouble(mpmath.nstr(value, 25)) if mpmath.isnormal(value) or value == 0 else np.longdouble(str(value))


REFERENCES: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "math.exp": (np.exp, -760, 720),
    "math.exp2": (np.exp2, -1100, 1030),
    "math.expm1": (np.expm1, -760, 720),
    "math.log": (np.log, 0, 1e300),
    "math.log2": (np.log2, 0, 1e300),
    "math.log10": (np.log10, 0, 1e300),
    "math.log1p": (np.log1p, -1, 1e300),
    "math.tanh": (np.tanh, -30, 30),
    "math.sinh": (np.sinh, -720, 720),
    "math.cosh": (np.cosh, -720, 720),
    "math.asinh": (np.arcsinh, -1e300, 1e300),
    "math.acosh": (np.arccosh, 1, 1e300),
    "math.atanh": (np.arctanh, -1, 1),
    "math.sin": (np.sin, -1e6, 1e6),
    "math.cos": (np.cos, -1e6, 1e6),
    "math.tan": (np.tan, -1e6, 1e6),
    "math.asin": (np.arcsin, -1, 1),
    "math.acos": (np.arccos, -1, 1),
    "math.atan": (np.arctan, -1e300, 1e300),
    "math.cbrt": (np.cbrt, -1e300, 1e300),
    "math.sqrt": (np.sqrt, 0, 1e300),
    "math.rsqrt": (lambda x: 1 / np.sqrt(x), 0, 1e300),
    "math.erf": (by_mpmath(mpmath.erf), -7, 7),
    "math.erfc": (by_mpmath(mpmath.erfc), -7, 28),
}
LIMIT = {"math.sqrt": 0.51, "math.log1p": 2.0}


def main() -> None:
    for name, (reference, low, high) in REFERENCES.items():
        for element in ("f32", "f64"):
            row = []
            for hw in (MODERN, PLAIN):
                info = np.finfo(STORED[element])
                x = samples(element, max(low, -float(info.max)), min(high, float(info.max)))
                with np.errstate(all="ignore"):
                    wanted = reference(x.astype(np.longdouble))
                out = []
                for lanes in (None, 8):
                    found = run(unary(name, element), element, [(element, x)], lanes, hw)
                    e = ulps(found, wanted, STORED[element])
                    at = int(np.argmax(e))
                    out.append((round(float(e[at]), 2), float(x[at]), float(found[at]), float(wanted[at])))
                row.append(out[0])
                assert np.array_equal(out[0][0], out[1][0])
            print(name, element, row)


if __name__ == "__main__":
    main()
