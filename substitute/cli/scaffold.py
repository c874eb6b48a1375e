"""Files that `iree-substitute new` writes: a small working kernel for each way of writing one."""

from __future__ import annotations

from collections.abc import Mapping

KINDS = ("llvm-generator", "llvm-ir", "glsl")

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
"""Writes LLVM IR for one dispatch: each workgroup computes one row of c, `c[row, :] = Σk a[row, k] · b[k, :]`."""

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from substitute.model.index import Index
from substitute.model.plan import Request

F32, I64, PTR = ir.FloatType(), ir.IntType(64), ir.PointerType()


def generate(request: Request) -> str:
    """The text of `void entry(ptr a, ptr b, ptr c, i64 sizes that are only known at launch…, i64 x, i64 y, i64 z)`."""
    module = ir.Module()
    parameters = [PTR] * len(request.parameters) + [I64] * (len(request.scalars) + 3)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name=request.entry)
    a, b, c = function.args[:3]  # row-major, each at its first element
    row = function.args[-3]  # the workgroup's x: [launch] asks for as many workgroups as there are rows
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def size(axis: str) -> ir.Value:
        """A number where the model says it, an argument where it is only known at launch."""
        value: Index = request.match.axis(axis).size
        if isinstance(value, int):
            return I64(value)
        return function.args[len(request.parameters) + request.scalars.index(value)]

    k_size, n_size = size("K"), size("N")
    a_row = builder.gep(a, [builder.mul(row, k_size)], source_etype=F32)
    c_row = builder.gep(c, [builder.mul(row, n_size)], source_etype=F32)
    with loop(builder, n_size, "clear") as n:
        builder.store(F32(0.0), builder.gep(c_row, [n], source_etype=F32))
    with loop(builder, k_size, "k") as k:
        factor = builder.load(builder.gep(a_row, [k], source_etype=F32), typ=F32)
        b_row = builder.gep(b, [builder.mul(k, n_size)], source_etype=F32)
        with loop(builder, n_size, "n") as n:
            place = builder.gep(c_row, [n], source_etype=F32)
            element = builder.load(builder.gep(b_row, [n], source_etype=F32), typ=F32)
            # "contract" lets the compiler fuse multiplication and addition
            product = builder.fmul(factor, element, flags=["contract"])
            total = builder.fadd(builder.load(place, typ=F32), product, flags=["contract"])
            builder.store(total, place)
    builder.ret_void()
    return str(module)


@contextmanager
def loop(builder: ir.IRBuilder, count: ir.Value, name: str) -> Iterator[ir.Value]:
    """`for index in range(count)`, for a count of at least 1; yields the index."""
    before = builder.block
    body, after = builder.append_basic_block(name), builder.append_basic_block(f"{name}_done")
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(I64, name=f"{name}_index")
    index.add_incoming(I64(0), before)
    yield index
    following = builder.add(index, I64(1))
    index.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    builder.position_at_end(after)
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
// wherever the model keeps it, and store_c(m, n, value), which applies the element-wise work that IREE fused behind.
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
a = {{ axes = ["M", "K"], strided = true }}   # any strides: load_a knows them
b = {{ axes = ["K", "N"], strided = true }}
c = {{ axes = ["M", "N"], strided = true }}"""
_EPILOGUE = """\
slots = ["epilogue"]            # store_c applies what IREE fused after the operation
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


def scaffold(kind: str, name: str, entry: str) -> Mapping[str, str]:
    """File name → text of a kernel of this kind. `entry` is a symbol."""
    file, text = {
        "llvm-generator": ("generator.py", _GENERATOR),
        "llvm-ir": ("kernel.ll", _IR.format(entry=entry)),
        "glsl": ("kernel.comp", _GLSL),
    }[kind]
    shader = kind == "glsl"
    m, k, n = EXAMPLE_SIZES
    manifest = _MANIFEST.format(
        name=name,
        kind=kind,
        file=file,
        slots=_EPILOGUE if shader else "",
        operands=(_STRIDED if shader else _CONTIGUOUS).format(),
        entry="main" if shader else entry,
        backend="vulkan-spirv" if shader else "llvm-cpu",
        needs=_SHADER_NEEDS if shader else _CPU_NEEDS,
        launch=_GLSL_LAUNCH if shader else _ROW_LAUNCH,
    )
    return {
        "kernel.toml": manifest,
        "definition.mlir": _DEFINITION.format(entry=entry),
        file: text,
        "example.mlir": _EXAMPLE.format(m=m, k=k, n=n),
    }
