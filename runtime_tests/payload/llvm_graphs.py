"""Runs a scalar graph over arrays with LLVM's JIT, one element or a vector at a time."""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np
from llvmlite import ir

from substitute.codegen.llvm.elements import load, memory_type, store
from substitute.codegen.llvm.function import I64, PTR, Hardware
from substitute.codegen.llvm.lower import ScalarEmitter
from substitute.model.scalar import Scalar, ScalarGraph

MODERN = Hardware(fma=True, rounding=True, half=True, vector_bytes=32)
PLAIN = Hardware()
STORED = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8E4M3FN": ml_dtypes.float8_e4m3fn,
    "f8E5M2": ml_dtypes.float8_e5m2,
    "f8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "f8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "i64": np.int64,
    "i32": np.int32,
    "i16": np.int16,
    "i8": np.int8,
    "i1": np.int8,
    "index": np.int64,
}


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
    i.add_incoming(builder.add(i, ir.Constant(I64, lanes or 1)), builder.block)
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
