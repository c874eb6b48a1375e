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
