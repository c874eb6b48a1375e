"""A short form of MLIR, and the operations that tests write most often in it.

`!4x8xf32` is `tensor<4x8xf32>`, `[[m, k -> k, m]]` is an affine map; the operations use `%zero`, and write `%r`.
"""

from __future__ import annotations

import re


def expand(text: str) -> str:
    """The short form, written out."""
    text = re.sub(r"!([0-9?x]*(?:f32|f16|bf16|f64|i64|i32|i8|i1|index))\b", r"tensor<\1>", text)
    return re.sub(r"\[\[([a-z, ]*?) ?-> ?([^\[\]]*?)\]\]", r"affine_map<(\1) -> (\2)>", text)


def filled(shape: str, value: str = "%zero", name: str = "%init", sizes: str = "") -> str:
    """A tensor that is `value` everywhere."""
    scalar = shape.rpartition("x")[2].lstrip("!")
    return f"""
  {name}_e = tensor.empty({sizes}) : {shape}
  {name} = linalg.fill ins({value} : {scalar}) outs({name}_e : {shape}) -> {shape}"""


def generic(
    result: str, maps: str, kinds: str, inputs: str, types: str, out: str, out_type: str, body: str, scalars: str
) -> str:
    """`linalg.generic`; `kinds` such as `ppr`, `scalars` the block's arguments."""
    names = ", ".join({"p": '"parallel"', "r": '"reduction"'}[k] for k in kinds)
    ins = f"ins({inputs} : {types}) " if inputs else ""
    return f"""
  {result} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{names}]}}
      {ins}outs({out} : {out_type}) {{
  ^bb0({scalars}):{body}
  }} -> {out_type}"""


def matmul(a: str = "%a", b: str = "%b", m: int = 5, n: int = 6, k: int = 7, result: str = "%r") -> str:
    """`result[m, n] = Σk a[m, k] · b[k, n]`."""
    return (
        filled(f"!{m}x{n}xf32")
        + f"""
  {result} = linalg.matmul ins({a}, {b} : !{m}x{k}xf32, !{k}x{n}xf32) outs(%init : !{m}x{n}xf32) -> !{m}x{n}xf32"""
    )


def elementwise(result: str, source: str, shape: str, body: str) -> str:
    """`result = body(source)`, over a matrix; `%x` is the element, `%y` the result."""
    return f"\n  {result}_e = tensor.empty() : {shape}" + generic(
        result,
        "[[i, j -> i, j]], [[i, j -> i, j]]",
        "pp",
        source,
        shape,
        f"{result}_e",
        shape,
        body + "\n    linalg.yield %y : f32",
        "%x: f32, %o: f32",
    )


def attention(scale: str = "0.125") -> str:
    """The body of a dispatch."""
    maps = ", ".join(f"affine_map<(b, m, n, k, l) -> ({m})>" for m in ("b, m, k", "b, l, k", "b, l, n", "", "b, m, n"))
    return f"""
  %a = input 0 !2x4x8xf32
  %b = input 1 !2x6x8xf32
  %c = input 2 !2x6x3xf32
  %scale = arith.constant {scale} : f32
  %e = tensor.empty() : !2x4x3xf32
  %r = "iree_linalg_ext.attention"(%a, %b, %c, %scale, %e) <{{indexing_maps = [{maps}]}}> ({{
  ^bb0(%s: f32):
    iree_linalg_ext.yield %s : f32
  }}) : (!2x4x8xf32, !2x6x8xf32, !2x6x3xf32, f32, !2x4x3xf32) -> !2x4x3xf32
  output 3 %r !2x4x3xf32"""
