"""Parameters of a definition in every kind of payload: constants, push constants, and elements of tensors.

What the kernels compute is what their definition says, plus `MARK`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime_tests.kinds.programs import MARK
from substitute import compile_model
from substitute.device import Session
from substitute.errors import PayloadError
from substitute.model.parameter import passed_type
from substitute.payload.glsl import compile_glsl
from substitute.pipeline import CompileResult

pytestmark = pytest.mark.device

VALUES: Mapping[str, float | int] = {
    "f32": 1.1,
    "f16": 1.5,
    "bf16": -2.5,
    "i32": -3,
    "i16": -5,
    "i8": 7,
    "i64": -(2**33) - 9,
    "f64": 0.1,
}
CPU_TYPES = ("f32", "f16", "bf16", "i32", "i16", "i8", "i64", "f64")
SHORT_TYPES = ("f32", "f16", "bf16", "i32", "i16", "i8")
FLAGS = {
    "local-sync": ("--iree-input-demote-f64-to-f32=false",),
    "vulkan": ("--iree-hal-target-device=vulkan",),
    "cuda-sim": ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80", "--iree-input-demote-f64-to-f32=false"),
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
  %y = linalg.generic {{
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}}
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
                arguments.append(f"%t_{type_}: tensor<8x{type_}>")
                head.append(f"%p_{type_} = tensor.extract %t_{type_}[%three] : tensor<8x{type_}>")
        lines = "\n  ".join(["%three = arith.constant 3 : index", *head, f"%e = tensor.empty() : tensor<{SIZE}xf32>"])
        texts.append(
            f"func.func @{mode}({', '.join(arguments)}) -> tensor<{SIZE}xf32> {{\n  {lines}"
            + computation(types, str(SIZE))
        )
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
    return [x, *(np.array([1, 2, 4, v, 3, 5, 6, 8], v.dtype) for v in values)]


def expected(types: Sequence[str]) -> np.ndarray[Any, Any]:
    (x,) = inputs("constants", types)
    y = x
    for type_ in types:
        y = y * (np.float32(VALUES[type_]) + (x if type_ == "f32" else 0))
    return y + MARK


def kernel(
    folder: Path, device: str, types: Sequence[str], kind: str, code: str | bytes, more: str = "", *, only: str = ""
) -> Path:
    """A kernel's folder; `only` is the function that it takes."""
    folder.mkdir()
    (folder / "code.py").write_bytes(code.encode() if isinstance(code, str) else code)
    (folder / "definition.mlir").write_text(definition(types))
    (folder / "kernel.toml").write_text(f"""schema = 1
name = "scaled_{folder.name}"
{f'dispatches = ["^{only}"]' if only else ""}
[operands]
x = ["N"]
y = ["N"]
[parameters]
{"".join(f"p_{t} = []{chr(10)}" for t in types)}
[[target]]
backend = "{BACKENDS[device]}"
[payload]
kind = "{kind}"
file = "code.py"
{more}
""")
    return folder


def compiled(folder: Path, device: str, types: Sequence[str], kernels: Sequence[Path]) -> CompileResult:
    """The model with kernels."""
    (folder / "model.mlir").write_text(model(types))
    return compile_model(folder / "model.mlir", kernels=kernels, builtin=False, flags=FLAGS[device])


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
    more = f'entry = "scaled"\n{LAUNCH}'
    made = kernel(tmp_path / "text", "local-sync", CPU_TYPES, "llvm-ir", llvm_text(CPU_TYPES), more)
    check(compiled(tmp_path, "local-sync", CPU_TYPES, [made]), "local-sync", CPU_TYPES)


GENERATOR = """
from llvmlite import ir
from substitute.codegen.llvm.function import KernelFunction

F32 = ir.FloatType()

def can_generate(program):
    return ""

def generate(request):
    kernel = KernelFunction(request)
    build, (x, y) = kernel.builder, [kernel.pointers[request.parameter_of(v)] for v in request.match.arguments]
    with kernel.loop(0, kernel.index(request.match.axis("N").size)) as n:
        element = value = build.load(kernel.element(x, n.index, F32), typ=F32)
        for bound in request.match.parameters:
            factor = kernel.parameter(bound.name)
            if bound.name == "p_f32":
                factor = build.fadd(factor, element)
            elif bound.passed_type == "f64":
                factor = build.fptrunc(factor, F32)
            elif bound.passed_type in ("i32", "i64"):
                factor = build.sitofp(factor, F32)
            value = build.fmul(value, factor)
        build.store(build.fadd(value, F32(MARK)), kernel.element(y, n.index, F32))
    return kernel.finish()
""".replace("MARK", f"{MARK}.0")


def dialect_text(types: Sequence[str]) -> str:
    passed = {"f16": "f32", "bf16": "f32", "i16": "i32", "i8": "i32"}
    arguments = "".join(f", %p_{t}: {passed.get(t, t)}" for t in types)
    lines, value = [], "%v"
    for t in types:
        factor = f"%p_{t}"
        if t not in ("f16", "bf16"):
            op = {"f32": "fadd", "f64": "fptrunc"}.get(t, "sitofp")
            kind = "f32" if t == "f32" else f"{passed.get(t, t)} to f32"
            lines.append(f"%q_{t} = llvm.{op} {factor}{', %v' if t == 'f32' else ''} : {kind}")
            factor = f"%q_{t}"
        lines.append(f"%r_{t} = llvm.fmul {value}, {factor} : f32")
        value = f"%r_{t}"
    body = "\n    ".join(lines)
    return f"""llvm.func @scaled(%x: !llvm.ptr, %y: !llvm.ptr, %N: i64{arguments}, %i: i64, %j: i64, %k: i64) {{
    %from = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %to = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %v = llvm.load %from : !llvm.ptr -> f32
    {body}
    %mark = llvm.mlir.constant({MARK}.0 : f32) : f32
    %marked = llvm.fadd {value}, %mark : f32
    llvm.store %marked, %to : f32, !llvm.ptr
    llvm.return
}}
"""


def body_text(types: Sequence[str]) -> str:
    """The definition, marked."""
    text = definition(types, "body")
    last = f"linalg.yield %r_{types[-1]}"
    mark = f"%mark = arith.constant {MARK}.0 : f32\n    %marked = arith.addf %r_{types[-1]}, %mark : f32\n    "
    return text.replace(last, f"{mark}linalg.yield %marked")


def test_other_kinds_on_the_cpu(tmp_path: Path) -> None:
    """In one module; each takes one function."""
    types = CPU_TYPES
    rows = 'entry = "scaled"\n[launch]\nworkgroup_count = ["N", "1", "1"]'
    made = f'entry = "generate"\n{LAUNCH}'
    kernels = [
        kernel(tmp_path / "made", "local-sync", types, "llvm-generator", GENERATOR, made, only="arguments"),
        kernel(tmp_path / "final", "local-sync", types, "llvm-dialect", dialect_text(types), rows, only="elements"),
        kernel(tmp_path / "body", "local-sync", types, "mlir", body_text(types), 'entry = "body"', only="constants"),
    ]
    result = compiled(tmp_path, "local-sync", types, kernels)
    assert sorted(s.kernel.name for s in result.plan.substitutions) == ["scaled_body", "scaled_final", "scaled_made"]
    check(result, "local-sync", types)


def glsl_text(types: Sequence[str]) -> str:
    factors = ["(p_f32 + v)" if t == "f32" else f"float(p_{t})" for t in types]
    return f"""void main() {{
  int n = int(gl_GlobalInvocationID.x);
  if (n >= N) return;
  float v = load_x(n);
  store_y(n, v * {" * ".join(factors)} + {MARK}.0);
}}
"""


SPIRV = f"""#version 450
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) readonly buffer X {{ float x[]; }};
layout(set = 0, binding = 1) buffer Y {{ float y[]; }};
layout(constant_id = 0) const int N = 1;
layout(constant_id = 1) const float p_f32 = 0.0;
layout(constant_id = 2) const float p_f16 = 0.0;
layout(constant_id = 3) const int p_i8 = 0;
void main() {{
  uint n = gl_GlobalInvocationID.x;
  if (n < N) y[n] = x[n] * (p_f32 + x[n]) * p_f16 * float(p_i8) + {MARK}.0;
}}
"""


def test_shaders(tmp_path: Path, vulkan_device: str) -> None:
    types = ("f32", "f16", "i8")
    launch = '[launch]\nworkgroup_size = [64, 1, 1]\nworkgroup_count = ["1", "1", "1"]\n'
    frozen = 'entry = "main"\nspec_constants = { 0 = "N", 1 = "p_f32", 2 = "p_f16", 3 = "p_i8" }\n'
    code = compile_glsl(SPIRV, name="scaled")
    made = [
        kernel(tmp_path / "frozen", "vulkan", types, "spirv", code, frozen + launch, only="constants"),
        kernel(tmp_path / "text", "vulkan", types, "glsl", glsl_text(types), 'entry = "main"\n' + launch),
    ]
    result = compiled(tmp_path, "vulkan", types, made)
    assert [s.kernel.name for s in result.plan.substitutions] == ["scaled_frozen", "scaled_text", "scaled_text"]
    check(result, "vulkan", types)


PTX_TYPES = {"f32": ("f32", "f"), "f64": ("f64", "fd"), "i32": ("s32", "r"), "i64": ("s64", "rd")}


def ptx_text(types: Sequence[str]) -> str:
    """One block; a thread for each element."""
    passed = [PTX_TYPES[passed_type(t)] for t in types]
    signature = "".join(f",\n  .param .{kind} p_{t}" for t, (kind, _) in zip(types, passed, strict=True))
    lines = []
    for number, (type_, (kind, prefix)) in enumerate(zip(types, passed, strict=True)):
        register = f"%{prefix}p{number}"
        lines.append(f".reg .{kind} {register};\n  ld.param.{kind} {register}, [p_{type_}];")
        factor = register
        if kind != "f32":
            factor = f"%fq{number}"
            lines.append(f".reg .f32 {factor};\n  cvt.rn.f32.{kind} {factor}, {register};")
        elif type_ == "f32":
            lines.append(f"add.f32 {register}, {register}, %f1;")
        lines.append(f"mul.f32 %f2, %f2, {factor};")
    body = "\n  ".join(lines)
    return f""".version 7.6
.target sm_80
.address_size 64
.visible .entry scaled(
  .param .u64 x,
  .param .u64 y,
  .param .u32 n{signature}
)
{{
  .reg .pred %p<2>;
  .reg .b32 %r<4>;
  .reg .b64 %rd<8>;
  .reg .f32 %f<4>;
  ld.param.u64 %rd1, [x];
  ld.param.u64 %rd2, [y];
  ld.param.u32 %r1, [n];
  mov.u32 %r2, %tid.x;
  setp.ge.u32 %p1, %r2, %r1;
  @%p1 bra DONE;
  mul.wide.u32 %rd3, %r2, 4;
  add.s64 %rd4, %rd1, %rd3;
  add.s64 %rd5, %rd2, %rd3;
  ld.global.f32 %f1, [%rd4];
  mov.f32 %f2, %f1;
  {body}
  add.f32 %f2, %f2, 0f{struct.pack(">f", MARK).hex()};
  st.global.f32 [%rd5], %f2;
DONE:
  ret;
}}
"""


def test_ptx(tmp_path: Path, cuda_sim: str) -> None:
    launch = '[launch]\nworkgroup_size = [64, 1, 1]\nworkgroup_count = ["1", "1", "1"]\n'
    made = kernel(tmp_path / "text", cuda_sim, CPU_TYPES, "ptx", ptx_text(CPU_TYPES), 'entry = "scaled"\n' + launch)
    check(compiled(tmp_path, cuda_sim, CPU_TYPES, [made]), cuda_sim, CPU_TYPES)


def test_a_rule_sees_the_match(tmp_path: Path) -> None:
    code = "def rewrite(site, match):\n    raise ValueError(match.parameter('p_i8').value.constant)\n"
    made = kernel(tmp_path / "rule", "local-sync", ("i8",), "rule", code, only="constants")
    with pytest.raises(PayloadError) as failure:
        compiled(tmp_path, "local-sync", ("i8",), [made])
    assert f"ValueError: {VALUES['i8']}" in str(failure.value)
