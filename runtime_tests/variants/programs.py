"""Programs with several exports in one executable, executables of their own, and kernels that ask the device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime_tests.kinds.models import THREE, glsl_matmul, ptx, raw_ptx
from runtime_tests.kinds.programs import MARK, KernelFolder, Operand, generic, matmul_operands, pointwise

CPU = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)
VULKAN = ("--iree-hal-target-device=vulkan",)
CUDA = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")

Device = Mapping[str, str | bool | int]
"""`device` of a `[[target]]`."""

SIZE = 48
"""Elements of every tensor of `two_exports` and `own_executable`."""
_TYPE = f"tensor<{SIZE}xf32>"
_TENSOR = "!iree_tensor_ext.dispatch.tensor"
_COUNT = "%x, %y, %z = iree_tensor_ext.dispatch.workgroup_count_from_slice(%w)"


def _main(executable: str) -> str:
    call = f"flow.dispatch @{executable}::@{{}}[%size]({{}}) : ({_TYPE}) -> {_TYPE}"
    return f"""
func.func @main(%x: {_TYPE}) -> {_TYPE} {{
  %size = arith.constant {SIZE} : index
  %doubled = {call.format("double", "%x")}
  %first = {call.format("square", "%doubled")}
  %second = {call.format("square", "%x")}
  %sum = arith.addf %first, %second : {_TYPE}
  return %sum : {_TYPE}
}}
"""


def two_exports() -> str:
    """An executable with the exports `double` and `square`; the model computes `square(double(x)) + square(x)`."""
    exports = "".join(
        f"  flow.executable.export public @{name} workgroups(%w: index) -> (index, index, index) {{\n"
        f"    {_COUNT}\n    flow.return %x, %y, %z : index, index, index\n  }}\n"
        for name in ("double", "square")
    )
    bodies = _tensor_body("double", "addf") + _tensor_body("square", "mulf")
    return f"flow.executable private @pair {{\n{exports}  builtin.module {{\n{bodies}  }}\n}}\n{_main('pair')}"


def _tensor_body(name: str, op: str) -> str:
    inner = f"    ^bb0(%p: f32, %o: f32):\n      %v = arith.{op} %p, %p : f32\n      linalg.yield %v : f32"
    computed = generic(["i", "i"], f"%x : {_TYPE}", f"%e : {_TYPE}", inner, _TYPE, dims="i")
    whole = f"offsets = [0], sizes = [{SIZE}], strides = [1]"
    return f"""    func.func @{name}(%in: {_TENSOR}<readonly:{_TYPE}>, %out: {_TENSOR}<writeonly:{_TYPE}>) {{
      %x = iree_tensor_ext.dispatch.tensor.load %in, {whole} : {_TENSOR}<readonly:{_TYPE}> -> {_TYPE}
      %e = tensor.empty() : {_TYPE}
      %r = {computed}
      iree_tensor_ext.dispatch.tensor.store %r, %out, {whole} : {_TYPE} -> {_TENSOR}<writeonly:{_TYPE}>
      return
    }}
"""


_LAYOUT = """#hal.pipeline.layout<bindings = [
  #hal.pipeline.binding<storage_buffer, ReadOnly>, #hal.pipeline.binding<storage_buffer>]>"""


def own_executable() -> str:
    """Return the same model with its own `hal.executable.source`, whose bodies are written on memory."""
    exports = "".join(
        f"  hal.executable.export public @{name} ordinal({ordinal}) layout(#layout)"
        " count(%device: !hal.device, %w: index) -> (index, index, index) {\n"
        "    %c1 = arith.constant 1 : index\n    hal.return %c1, %c1, %c1 : index, index, index\n  }\n"
        for ordinal, name in enumerate(("double", "square"))
    )
    bodies = _memory_body("double", "addf") + _memory_body("square", "mulf")
    return (
        f"#layout = {_LAYOUT}\nhal.executable.source private @own {{\n{exports}  builtin.module {{\n{bodies}  }}\n}}\n"
        + _main("own")
    )


def _memory_body(name: str, op: str) -> str:
    type_ = f"memref<{SIZE}xf32>"
    return f"""    func.func @{name}() {{
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %size = arith.constant {SIZE} : index
      %in = hal.interface.binding.subspan layout(#layout) binding(0) offset(%c0) : {type_}
      %out = hal.interface.binding.subspan layout(#layout) binding(1) offset(%c0) : {type_}
      scf.for %n = %c0 to %size step %c1 {{
        %p = memref.load %in[%n] : {type_}
        %v = arith.{op} %p, %p : f32
        memref.store %v, %out[%n] : {type_}
      }}
      return
    }}
"""


def pointwise_definition(op: str) -> str:
    """`x op x`, element by element."""
    return f"""
func.func @pointwise(%x: tensor<?xf32>) -> tensor<?xf32> {{
  %y = arith.{op} %x, %x : tensor<?xf32>
  return %y : tensor<?xf32>
}}
"""


_OPERANDS = (Operand("x", "N"), Operand("y", "N"))


def cpu_pointwise(op: str, mark: float = MARK, *, kind: str = "llvm-ir", device: Device | None = None) -> KernelFolder:
    """`x op x + mark` on the CPU, in one workgroup."""
    from llvmlite import ir

    def body(builder: ir.IRBuilder, loaded: list[ir.Value]) -> ir.Value:
        value = (builder.fadd if op == "addf" else builder.fmul)(loaded[0], loaded[0])
        return builder.fadd(value, ir.FloatType()(mark))

    return KernelFolder(
        pointwise(_OPERANDS, body),
        kind=kind,
        name=f"cpu_{op}",
        definition=pointwise_definition(op),
        operands=_OPERANDS,
        target={"device": device} if device else {},
    )


def glsl_pointwise(op: str, mark: float = MARK, *, device: Device | None = None) -> KernelFolder:
    """`x op x + mark` on Vulkan, 64 elements in a workgroup."""
    sign = "+" if op == "addf" else "*"
    source = f"""
void main() {{
  int n = int(gl_GlobalInvocationID.x);
  if (n < N) store_y(n, load_x(n) {sign} load_x(n) + {mark});
}}
"""
    return KernelFolder(
        source,
        kind="glsl",
        name=f"glsl_{op}",
        entry="main",
        backend="vulkan-spirv",
        definition=pointwise_definition(op),
        operands=_OPERANDS,
        workgroup_size=(64, 1, 1),
        workgroup_count=("ceildiv(N, 64)", "1", "1"),
        target={"device": device} if device else {},
    )


def marked_matmul(name: str, mark: float, *, device: Device | None = None, **keys: Any) -> KernelFolder:
    """`a · b + mark` on Vulkan: the result says which kernel ran, and IREE's own code adds nothing."""
    folder = glsl_matmul(**keys)
    assert isinstance(folder.payload, str)
    folder.payload = folder.payload.replace(f"{MARK}.0", f"{float(mark)}")
    folder.name, folder.target = name, {"device": device} if device else {}
    folder.operands = matmul_operands(strided=True)
    return folder


HERE = {"vulkan.device::subgroup_size": ">= 1"}


NOWHERE = {"vulkan.device::subgroup_size": "> 4096"}


def device_target(folder: Path, *flags: str) -> str:
    """Return the `#hal.executable.target<…>` that IREE makes of target flags."""
    from substitute.compiler import Compilation

    file = folder / "any.mlir"
    file.write_text("func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n  return %x : tensor<4xf32>\n}")
    with Compilation(flags, name="any") as compilation:
        compilation.parse(file)
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        device = compilation.module.regions[0].blocks[0].operations[0].operation.attributes["initial_value"]
        text = str(device)
    return text[text.index("[") + 1 : text.rindex("]")]


MAJOR, MINOR = "cuda.device::compute_capability_major", "cuda.device::compute_capability_minor"


def kernel(name: str, architecture: str, device: Device, *, constants: int = 0, **keys: Any) -> KernelFolder:
    """A kernel of this architecture that does nothing."""
    parameters = THREE + "".join(f", .param .u32 c{n}" for n in range(constants))
    folder = raw_ptx(ptx(parameters, target=architecture, version="8.0"), constants=constants)
    folder.name, folder.keys = name, {**folder.keys, **keys}
    folder.target = {"device": device, "variant": architecture} if device else {}
    return folder


def hopper() -> KernelFolder:
    return kernel("hopper", "sm_90a", {MAJOR: 9}, priority=1)


def targets(vmfb: bytes) -> list[str]:
    """The `.target` of every PTX in the module, in order."""
    return [name.decode() for name in re.findall(rb"^\.target (\w+)", vmfb, re.MULTILINE)]
