"""An operation that IREE makes two dispatches of, and a kernel of it."""

from __future__ import annotations

from pathlib import Path

SUM = """linalg.generic {{indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]}} ins({x} : {wide}) outs(%init : {thin}) {{
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  }} -> {thin}"""
EACH = """linalg.generic {{indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>,
      affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}}
      ins({x}, {s} : {wide}, {thin}) outs(%e : {wide}) {{
  ^bb0(%a: f32, %b: f32, %o: f32):
    {body}
    linalg.yield %r : f32
  }} -> {wide}"""


def function(name: str, rows: str = "?", columns: str = "?", last: str = "divf") -> str:
    """Return `d / Σd²` for `d = x - Σx`, which IREE makes two dispatches of."""
    wide, thin = f"tensor<{rows}x{columns}xf32>", f"tensor<{rows}xf32>"
    types = {"wide": wide, "thin": thin}
    sizes = ", ".join(n for n, size in (("%m", rows), ("%n", columns)) if size == "?")
    row = "%m" if rows == "?" else ""
    total = SUM.format(x="%x", **types)
    shifted = EACH.format(x="%x", s="%s", body="%r = arith.subf %a, %b : f32", **types)
    squares = EACH.format(
        x="%x", s="%s", body="%t = arith.subf %a, %b : f32\n    %r = arith.mulf %t, %t : f32", **types
    )
    result = EACH.format(x="%d", s="%v", body=f"%r = arith.{last} %a, %b : f32", **types)
    return f"""
func.func @{name}(%x: {wide}) -> {wide} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : {wide}
  %n = tensor.dim %x, %c1 : {wide}
  %zero = arith.constant 0.0 : f32
  %f = tensor.empty({row}) : {thin}
  %init = linalg.fill ins(%zero : f32) outs(%f : {thin}) -> {thin}
  %e = tensor.empty({sizes}) : {wide}
  %s = {total}
  %d = {shifted}
  %q = {squares}
  %v = {SUM.format(x="%q", **types)}
  %y = {result}
  return %y : {wide}
}}
"""


MANIFEST = """
schema = 1
name = "centred"
summary = "d / Σd² for d = x - Σx"
constraints = [CONSTRAINTS]
CHOSEN
[operands]
x = ["M", "N"]
y = ["M", "N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "mlir"
file = "definition.mlir"
entry = "centred"
"""


def kernels_in(folder: Path, constraints: str = "", last: str = "divf", chosen: str = "") -> Path:
    """Write the kernel; `chosen` are further lines of its manifest."""
    own = folder / "centred"
    own.mkdir()
    (own / "definition.mlir").write_text(function("centred", last=last))
    (own / "kernel.toml").write_text(MANIFEST.replace("CONSTRAINTS", constraints).replace("CHOSEN", chosen))
    return folder
