"""A kernel for the sum of each row, as folders that tests write."""

from __future__ import annotations

from pathlib import Path

MANIFEST = """
schema = 1
name = "row_sum"
slots = {slots}
constraints = ["N > 0"]
[operands]
x = {{ axes = ["M", "N"]{strides} }}
y = ["M"]
[[target]]
backend = "{backend}"
[payload]
kind = "{kind}"
file = "{file}"
entry = "{entry}"
[launch]
workgroup_count = ["M", "1", "1"]
{size}
"""
DEFINITION = """
func.func @row_sum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %d = arith.constant 0 : index
  %m = tensor.dim %x, %d : tensor<?x?xf32>
  %e = tensor.empty(%m) : tensor<?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.addf } ins(%x : tensor<?x?xf32>) outs(%f : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}
"""


def write_row_sum(
    folder: Path, text: str, *, kind: str = "llvm-ir", slots: tuple[str, ...] = (), strides: str = ""
) -> Path:
    """Write a kernel whose code is `text`; return its folder. `strides` is the key of its operand, if it has one."""
    folder.mkdir()
    file = {"llvm-ir": "kernel.ll", "c": "kernel.c", "glsl": "kernel.comp"}[kind]
    backend, entry = ("vulkan-spirv", "main") if kind == "glsl" else ("llvm-cpu", "row_sum")
    size = "workgroup_size = [1, 1, 1]" if kind == "glsl" else ""
    manifest = MANIFEST.format(
        slots=list(slots),
        strides=f", {strides}" if strides else "",
        backend=backend,
        kind=kind,
        file=file,
        entry=entry,
        size=size,
    )
    (folder / "kernel.toml").write_text(manifest)
    (folder / "definition.mlir").write_text(DEFINITION)
    (folder / file).write_text(text)
    return folder
