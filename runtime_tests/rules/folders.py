"""Kernels' folders for these tests, from the text of their files; and models to put them into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VULKAN_FLAGS = ("--iree-hal-target-device=vulkan",)
CUDA_FLAGS = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")
FLAGS: dict[str, tuple[str, ...]] = {"local-sync": (), "vulkan": VULKAN_FLAGS}
"""Flags with which a model is compiled for each device."""
BACKENDS = {"local-sync": "llvm-cpu", "vulkan": "vulkan-spirv"}


def kernel(folder: Path, manifest: str, files: Mapping[str, str | bytes]) -> Path:
    """Writes a kernel; the manifest without its first line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.toml").write_text("schema = 1\n" + manifest)
    for name, data in files.items():
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def elementwise(operation: str, size: str = "24x32", *, name: str = "main") -> str:
    """A model or a definition on one tensor: `operation` is on `%x` and ends with `%r`, such as `%r = arith.…`."""
    rank = len(size.split("x"))
    dynamic = [d for d, s in enumerate(size.split("x")) if s == "?"]
    dims = "".join(
        f"  %i{d} = arith.constant {d} : index\n  %d{d} = tensor.dim %a, %i{d} : tensor<{size}xf32>\n" for d in dynamic
    )
    loops = ", ".join(f"d{d}" for d in range(rank))
    map_ = f"affine_map<({loops}) -> ({loops})>"
    kinds = ", ".join(['"parallel"'] * rank)
    return f"""
func.func @{name}(%a: tensor<{size}xf32>) -> tensor<{size}xf32> {{
{dims}  %two = arith.constant 2.0 : f32
  %e = tensor.empty({", ".join(f"%d{d}" for d in dynamic)}) : tensor<{size}xf32>
  %y = linalg.generic {{indexing_maps = [{map_}, {map_}], iterator_types = [{kinds}]}}
      ins(%a : tensor<{size}xf32>) outs(%e : tensor<{size}xf32>) {{
  ^bb0(%x: f32, %o: f32):
    {operation}
    linalg.yield %r : f32
  }} -> tensor<{size}xf32>
  return %y : tensor<{size}xf32>
}}
"""


DOUBLE = "%r = arith.mulf %x, %two : f32"


ELEMENT = "!spirv.ptr<f32, StorageBuffer>"
BUFFER = "!spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>"


SPIRV = f"""
spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], [SPV_KHR_storage_buffer_storage_class]> {{
  spirv.GlobalVariable @id built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
  spirv.GlobalVariable @x bind(0, 0) : {BUFFER}
  spirv.GlobalVariable @y bind(0, 1) : {BUFFER}
  spirv.SpecConstant @n spec_id(0) = 1 : i32
  spirv.func @tripled() "None" {{
    %zero = spirv.Constant 0 : i32
    %three = spirv.Constant 3.0 : f32
    %n = spirv.mlir.referenceof @n : i32
    %id = spirv.mlir.addressof @id : !spirv.ptr<vector<3xi32>, Input>
    %ids = spirv.Load "Input" %id : vector<3xi32>
    %i = spirv.CompositeExtract %ids[0 : i32] : vector<3xi32>
    %inside = spirv.ULessThan %i, %n : i32
    spirv.mlir.selection {{
      spirv.BranchConditional %inside, ^work, ^end
    ^work:
      %x = spirv.mlir.addressof @x : {BUFFER}
      %y = spirv.mlir.addressof @y : {BUFFER}
      %px = spirv.AccessChain %x[%zero, %i] : {BUFFER}, i32, i32 -> {ELEMENT}
      %py = spirv.AccessChain %y[%zero, %i] : {BUFFER}, i32, i32 -> {ELEMENT}
      %v = spirv.Load "StorageBuffer" %px : f32
      %r = spirv.FMul %v, %three : f32
      spirv.Store "StorageBuffer" %py, %r : f32
      spirv.Branch ^end
    ^end:
      spirv.mlir.merge
    }}
    spirv.Return
  }}
  spirv.EntryPoint "GLCompute" @tripled, @id
  spirv.ExecutionMode @tripled "LocalSize", 32, 1, 1
}}
"""
