"""Parameters of a definition in every kind of payload: constants, push constants, and elements of tensors.

What the kernels compute is what their definition says, plus `MARK`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime_tests.kinds.programs import MARK
from substitute import compile_model
from substitute.device import Session
from substitute.payload.glsl import compile_glsl
from substitute.pipeline import CompileResult

pytestmark = pytest.mark.device

VALUES: Mapping[str, float | int] = {"f32": 1.1, "f16": 1.5, "bf16": -2.5, "i32": -3, "i16": -5, "i8": 7, "i64": -(2**33) - 9, "f64": 0.1}
CPU_TYPES = ("f32", "f16", "bf16", "i32", "i16", "i8", "i64", "f64")
SHORT_TYPES = ("f32", "f16", "bf16", "i32", "i16", "i8")
FLAGS = {
    "local-sync": ("--iree-input-demote-f64-to-f32=false",),
    "vulkan": ("--iree-hal-target-device=vulkan",),
    "cuda-sim": ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80"),
}
BACKENDS = {"local-sync": "llvm-cpu", "vulkan": "vulkan-spirv", "cuda-sim": "cuda"}
SIZE = 37
MODES = ("constants", "arguments", "elements")
FLOATS = {"f32": "float", "f16": "float", "bf16": "float", "f64": "double"}


def converted(type_: str) -> str:
    """A scalar `%p_TYPE` as f32: `%q_TYPE`."""
    if type_ == "f32":
        return "%q_f32 = arith.addf %p_f32, %in : f32"
    op = {"f16": "arith.extf", "bf16": "arith.extf", "f64": "arith.truncf"}.get(type_, "arith.sitofp")
    return f"%q_{type_} = {op} %p_{type_} : {type_} to f32"


def computation(types: Sequence[str], size: str) -> str:
    """`y = ((x * q) * q') * …` for each parameter; in place of q, f32 has p + x."""
    steps, value = [], "%in"
    for type_ in types:
        steps += [converted(type_), f"%r_{type_} = arith.mulf {value}, %q_{type_} : f32"]
        value = f"%r_{type_}"
    body = "\n    ".join(steps)
    return f"""
  %y = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}}
      ins(%x : tensor<{size}xf32>) outs(%e : tensor<{size}xf32>) {{
  ^bb0(%in: f32, %o: f32):
    {body}
    linalg.yield {value} : f32
  }} -> tensor<{size}xf32>
  return %y : tensor<{size}xf32>
}}
"""


def definition(types: Sequence[str], name: str = "scaled") -> str:
    half = len(types) // 2  # the tensor stands between them
    arguments = [*(f"%p_{t}: {t}" for t in types[:half]), "%x: tensor<?xf32>", *(f"%p_{t}: {t}" for t in types[half:])]
    return f"""func.func @{name}({", ".join(arguments)}) -> tensor<?xf32> {{
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?xf32>{computation(types, "?")}"""


def model(types: Sequence[str]) -> str:
    """A function for each place where parameters come from."""
    texts = []
    for mode in MODES:
        arguments, head = [f"%x: tensor<{SIZE}xf32>"], []
        for type_ in types:
            value = VALUES[type_]
            if mode == "constants":
                head.append(f"%p_{type_} = arith.constant {value} : {type_}")
            elif mode == "arguments":
                arguments.append(f"%p_{type_}: {type_}")
            else:  # the third element of a tensor
                arguments.append(f"%t_{type_}: tensor<5x{type_}>")
                head.append(f"%p_{type_} = tensor.extract %t_{type_}[%three] : tensor<5x{type_}>")
        lines = "\n  ".join(["%three = arith.constant 3 : index", *head, f"%e = tensor.empty() : tensor<{SIZE}xf32>"])
        texts.append(f"func.func @{mode}({', '.join(arguments)}) -> tensor<{SIZE}xf32> {{\n  {lines}{computation(types, str(SIZE))}")
    return "".join(texts)


def inputs(mode: str, types: Sequence[str]) -> list[Any]:
    import ml_dtypes

    x = np.linspace(-2, 2, SIZE, dtype=np.float32)
    numpy = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f64": np.float64}
    values = [np.array(VALUES[t], numpy.get(t, f"int{t[1:]}" if t[0] == "i" else None)) for t in types]
    if mode == "constants":
        return [x]
    if mode == "arguments":
        return [x, *(v.item() if v.dtype != ml_dtypes.bfloat16 else float(v) for v in values)]
    return [x, *(np.array([1, 2, 4, v, 3], v.dtype) for v in values)]


def expected(types: Sequence[str]) -> np.ndarray[Any, Any]:
    (x,) = inputs("constants", types)
    y = x
    for type_ in types:
        y = y * (np.float32(VALUES[type_]) + (x if type_ == "f32" else 0))
    return y + MARK


def compiled(folder: Path, device: str, types: Sequence[str], kind: str, code: str | bytes, more: str = "") -> CompileResult:
    """The model with a kernel."""
    place = folder / "kernel"
    place.mkdir()
    data = code.encode() if isinstance(code, str) else code
    (place / "code").write_bytes(data)
    (place / "definition.mlir").write_text(definition(types))
    (place / "kernel.toml").write_text(f"""schema = 1
name = "scaled"
[operands]
x = ["N"]
y = ["N"]
[parameters]
{"".join(f"p_{t} = []{chr(10)}" for t in types)}
[[target]]
backend = "{BACKENDS[device]}"
[payload]
kind = "{kind}"
file = "code"
{more}
""")
    (folder / "model.mlir").write_text(model(types))
    return compile_model(folder / "model.mlir", kernels=[place], builtin=False, flags=FLAGS[device])


def check(result: CompileResult, device: str, types: Sequence[str], taken: Sequence[str] = MODES) -> None:
    """The kernel took these functions, and computes what it should in each."""
    names = [s.dispatch.name.partition("_dispatch")[0] for s in result.plan.substitutions]
    assert names == list(taken), [d.rules[-1] for d in result.plan.decisions]
    with Session(result.vmfb, device=device) as session:
        for mode in taken:
            (found,) = session.call(mode, inputs(mode, types))
            np.testing.assert_allclose(found, expected(types), rtol=1e-6)


LAUNCH = '[launch]\nworkgroup_count = ["1", "1", "1"]\n'


def llvm_text(types: Sequence[str]) -> str:
    passed = {"f32": "float", "f16": "float", "bf16": "float", "f64": "double", "i64": "i64"}
    signature = ", ".join(f"{passed.get(t, 'i32')} %p_{t}" for t in types)
    lines, value = [], "%v"
    for t in types:
        if t == "f32":
            lines.append("%q_f32 = fadd float %p_f32, %v")
        elif t == "f64":
            lines.append("%q_f64 = fptrunc double %p_f64 to float")
        elif t[0] == "i":
            lines.append(f"%q_{t} = sitofp {passed.get(t, 'i32')} %p_{t} to float")
        lines.append(f"%r_{t} = fmul float {value}, {f'%p_{t}' if t in ('f16', 'bf16') else f'%q_{t}'}")
        value = f"%r_{t}"
    return f"""define void @scaled(ptr %x, ptr %y, i64 %N, {signature}, i64 %i, i64 %j, i64 %k) {{
entry:
  br label %head
head:
  %n = phi i64 [0, %entry], [%next, %body]
  %more = icmp slt i64 %n, %N
  br i1 %more, label %body, label %done
body:
  %from = getelementptr float, ptr %x, i64 %n
  %to = getelementptr float, ptr %y, i64 %n
  %v = load float, ptr %from
  {chr(10).join(lines)}
  %marked = fadd float {value}, {float(MARK)}
  store float %marked, ptr %to
  %next = add i64 %n, 1
  br label %head
done:
  ret void
}}
"""


def test_llvm_text(tmp_path: Path) -> None:
    types = CPU_TYPES
    made = compiled(tmp_path, "local-sync", types, "llvm-ir", llvm_text(types), f'entry = "scaled"\n{LAUNCH}')
    check(made, "local-sync", types)
