"""Files that `iree-substitute new` writes: a small working kernel for each way of writing one."""

from __future__ import annotations

from collections.abc import Mapping

KINDS = ("llvm-generator", "llvm-ir", "glsl", "glsl-generator")
ON_VULKAN = ("glsl", "glsl-generator")

EXAMPLE_SIZES = (64, 96, 128)
"""M, K and N of the example: multiples of what each kernel below asks for."""

_MANIFEST = """\
schema = 1
name = "{name}"
summary = "Matrix multiplication in f32, as a start"
constraints = ["N % 16 == 0", "K > 0 and N > 0"]   # over axes: + - * // % min max ceildiv, comparisons, and or not
{slots}
[operands]                      # the definition's arguments, then its results; each with its axes
{operands}

# [parameters]                  # scalar arguments of the definition, such as %scale: f32; conditions are optional
# scale = "scale > 0"           # the code gets them behind axes and strides: docs/kernels.md, "Parameters"

[[target]]                      # one table for each target; empty fields accept everything
backend = "{backend}"
{needs}

[payload]
kind = "{kind}"
file = "{file}"
entry = "{entry}"

[launch]
{launch}
"""

_DEFINITION = """\
// What the kernel computes: this is what dispatches are compared with. `?` sizes are the axes of kernel.toml, in the
// order of [operands]. Several functions are several forms of one kernel. A scalar argument (%scale: f32) is
// a parameter: each dispatch says its value.
func.func @{entry}(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {{
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%m, %n) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}}
"""

_EXAMPLE = """\
// A model with one dispatch that the kernel takes.
func.func @main(%a: tensor<{m}x{k}xf32>, %b: tensor<{k}x{n}xf32>) -> tensor<{m}x{n}xf32> {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{m}x{n}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
  %c = linalg.matmul ins(%a, %b : tensor<{m}x{k}xf32>, tensor<{k}x{n}xf32>)
                     outs(%init : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
  return %c : tensor<{m}x{n}xf32>
}}
"""

_GENERATOR = '''\
"""Writes LLVM IR for one dispatch: each workgroup computes one row, `c[row, n] = Σk a[row, k] · b[k, n]`."""

from llvmlite import ir

from substitute.codegen.llvm.epilogue import refuse_epilogue, store_result
from substitute.codegen.llvm.function import KernelFunction
from substitute.model.dispatch import Program
from substitute.model.plan import Request

F32 = ir.FloatType()


def can_generate(program: Program) -> str:
    return refuse_epilogue(program)


def generate(request: Request) -> str:
    kernel = KernelFunction(request)
    build = kernel.builder
    a, b = (kernel.pointers[request.parameter_of(view)] for view in request.match.arguments[:2])
    n_size, k_size = (kernel.index(request.match.axis(name).size) for name in ("N", "K"))
    row = kernel.workgroup[0]  # [launch] asks for as many workgroups as there are rows
    with kernel.loop(0, n_size) as n:
        with kernel.loop(0, k_size, carried=[F32(0.0)]) as k:
            left = kernel.element(a, build.add(build.mul(row, k_size), k.index), F32)
            right = kernel.element(b, build.add(build.mul(k.index, n_size), n.index), F32)
            # "contract" lets the compiler fuse multiplication and addition
            product = build.fmul(build.load(left, typ=F32), build.load(right, typ=F32), flags=["contract"])
            k.carry(build.fadd(k.carried[0], product, flags=["contract"]))
        store_result(kernel, {"M": row, "N": n.index}, k.results[0])
    return kernel.finish()
'''

_SHADER_GENERATOR = '''\
"""Writes a shader for one dispatch: each invocation computes one element, `c[m, n] = Σk a[m, k] · b[k, n]`."""

from substitute.codegen.glsl.epilogue import refuse_epilogue, store_result
from substitute.codegen.glsl.generator import shader_for
from substitute.codegen.glsl.lower import lower_index
from substitute.codegen.glsl.operands import load_operand
from substitute.model.dispatch import Program
from substitute.model.plan import Request

MAIN = """
void main() {{
  int m = int(gl_GlobalInvocationID.y), n = int(gl_GlobalInvocationID.x);
  if (m >= {M} || n >= {N}) return;
  float sum = 0.0;
  for (int k = 0; k < {K}; ++k) sum += {left} * {right};
  {store}
}}
"""


def can_generate(program: Program) -> str:
    return refuse_epilogue(program)


def generate(request: Request) -> str:
    shader = shader_for(request)
    main = MAIN.format(
        **{name: lower_index(request.match.axis(name).size) for name in ("M", "N", "K")},
        left=load_operand(shader, request, "a", "m", "k"),
        right=load_operand(shader, request, "b", "k", "n"),
        store=store_result(shader, request, {"M": "m", "N": "n"}, "sum"),
    )
    return shader.text(main, (16, 4, 1))  # the workgroup size of [launch]
'''

_IR = """\
; c[row, :] = Σk a[row, k] · b[k, :], row-major; each workgroup computes one row, whose number is %row.
; The parameters: a pointer for each operand in the definition's order, at its first element; each axis in the order
; in which the operands name them; the workgroup's x, y and z. Sizes of the model are constants once this is inlined.
define void @{entry}(ptr %a, ptr %b, ptr %c, i64 %M, i64 %K, i64 %N, i64 %row, i64 %y, i64 %z) {{
entry:
  %a_start = mul i64 %row, %K
  %a_row = getelementptr float, ptr %a, i64 %a_start
  %c_start = mul i64 %row, %N
  %c_row = getelementptr float, ptr %c, i64 %c_start
  %c_bytes = mul i64 %N, 4
  call void @llvm.memset.p0.i64(ptr %c_row, i8 0, i64 %c_bytes, i1 false)
  br label %k_loop

k_loop:
  %k = phi i64 [ 0, %entry ], [ %k_next, %k_done ]
  %a_place = getelementptr float, ptr %a_row, i64 %k
  %factor = load float, ptr %a_place
  %b_start = mul i64 %k, %N
  %b_row = getelementptr float, ptr %b, i64 %b_start
  br label %n_loop

n_loop:
  %n = phi i64 [ 0, %k_loop ], [ %n_next, %n_loop ]
  %b_place = getelementptr float, ptr %b_row, i64 %n
  %element = load float, ptr %b_place
  %c_place = getelementptr float, ptr %c_row, i64 %n
  %before = load float, ptr %c_place
  %product = fmul contract float %factor, %element
  %total = fadd contract float %before, %product
  store float %total, ptr %c_place
  %n_next = add i64 %n, 1
  %n_more = icmp slt i64 %n_next, %N
  br i1 %n_more, label %n_loop, label %k_done

k_done:
  %k_next = add i64 %k, 1
  %k_more = icmp slt i64 %k_next, %K
  br i1 %k_more, label %k_loop, label %done

done:
  ret void
}}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


_GLSL = """\
// c[m, n] = Σk a[m, k] · b[k, n]; each invocation computes one element.
// The toolkit writes the head of the shader: the axes (M, K, N), load_a(m, k) and load_b(k, n), which read an element
// wherever the model keeps it, and store_c(m, n, value), which applies the element-wise work that IREE fused to it.
void main() {
  int m = int(gl_GlobalInvocationID.y), n = int(gl_GlobalInvocationID.x);
  if (m >= M || n >= N) return;
  float sum = 0.0;
  for (int k = 0; k < K; ++k) sum += load_a(m, k) * load_b(k, n);
  store_c(m, n, sum);
}
"""

_CONTIGUOUS = """\
a = ["M", "K"]                  # row-major; {{ axes = […], strided = true }} takes any strides
b = ["K", "N"]
c = ["M", "N"]"""
_STRIDED = """\
a = {{ axes = ["M", "K"], strided = true }}   # any strides: loading an element knows them
b = {{ axes = ["K", "N"], strided = true }}
c = {{ axes = ["M", "N"], strided = true }}"""
_EPILOGUE = """\
slots = ["epilogue"]            # storing a result applies what IREE fused after the operation
"""
_CPU_NEEDS = """\
# features = ["avx2"]           # CPU features that have to be on
# architectures = ["x86_64"]"""
_SHADER_NEEDS = """\
# architectures = ["ampere"]"""
_ROW_LAUNCH = """\
workgroup_count = ["M", "1", "1"]   # how many workgroups along x, y and z: one for each row"""
_GLSL_LAUNCH = """\
workgroup_size = [16, 4, 1]     # invocations in a workgroup
workgroup_count = ["ceildiv(N, 16)", "ceildiv(M, 4)", "1"]   # how many workgroups along x, y and z"""


def matmul_definition(entry: str) -> str:
    """Return the example's definition."""
    return _DEFINITION.format(entry=entry)


def example_model() -> str:
    """Return a model with one dispatch that the example's kernel takes."""
    m, k, n = EXAMPLE_SIZES
    return _EXAMPLE.format(m=m, k=k, n=n)


def scaffold(kind: str, name: str, entry: str) -> Mapping[str, str]:
    """File name → text of a kernel of this kind. `entry` is a symbol."""
    file, text = {
        "llvm-generator": ("generator.py", _GENERATOR),
        "llvm-ir": ("kernel.ll", _IR.format(entry=entry)),
        "glsl": ("kernel.comp", _GLSL),
        "glsl-generator": ("generator.py", _SHADER_GENERATOR),
    }[kind]
    shader = kind in ON_VULKAN
    manifest = _MANIFEST.format(
        name=name,
        kind=kind,
        file=file,
        slots="" if kind == "llvm-ir" else _EPILOGUE,
        operands=(_STRIDED if shader else _CONTIGUOUS).format(),
        entry="main" if shader else entry,
        backend="vulkan-spirv" if shader else "llvm-cpu",
        needs=_SHADER_NEEDS if shader else _CPU_NEEDS,
        launch=_GLSL_LAUNCH if shader else _ROW_LAUNCH,
    )
    return {
        "kernel.toml": manifest,
        "definition.mlir": matmul_definition(entry),
        file: text,
        "example.mlir": example_model(),
    }
