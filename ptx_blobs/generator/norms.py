"""RMS norm and layer norm: PTX for rows of any width, and definitions for the widths of models.

A dispatch has the width as a constant, so that a definition is needed for each; the code is the same.
"""

from __future__ import annotations

from .rows import THREADS
from .text import ROW_REGISTERS, ROW_START, module, over_block, over_row

WIDTHS = (256, 384, 512, 768, 1024, 1536, 2048, 4096)

_RMS = """y[r, c] = w[c] * (x[r, c] * rsqrt(sum over c of x[r, c]^2 / C + epsilon))"""
_LAYER = """y[r, c] = d * rsqrt(sum over c of d^2 / C + epsilon) * w[c] + b[c]
with d = x[r, c] - sum over c of x[r, c] / C"""
_SHARED = """
A block of 128 threads has one row of any width: neighbours read neighbouring words. It goes over the row {passes};
short rows come from the caches after the first time. Not tuned: no vector loads, and short rows leave threads idle.

The canonical ABI: pointers {pointers}, then the axes R and C, then the parameter epsilon."""
_LOAD = "add.u64 at, source, offset;\nld.global.f32 x, [at];\n"
_ROOT = """div.rn.f32 sum, sum, count;
add.f32 sum, sum, added;
rsqrt.approx.f32 root, sum;"""


def _body(parameters: str, steps: list[str]) -> str:
    return "\n".join(
        [
            ROW_REGISTERS.format(shared=32),
            ".reg .b64 weights, biases;\n.reg .f32 sum, mean, root, count, w, b, added;\n",
            ROW_START,
            "ld.param.u64 weights, [w_base];\nld.param.f32 added, [epsilon];",
            parameters,
            "cvt.rn.f32.u32 count, columns;",
            "mov.f32 sum, 0f00000000;",
            *steps,
            "ret;",
        ]
    )


def rms_norm() -> str:
    """Return the text of the RMS norm kernel."""
    steps = [
        over_row(_LOAD + "fma.rn.f32 sum, x, x, sum;", label="squares"),
        over_block("add", "sum", part=0),
        "\n" + _ROOT,
        over_row(
            _LOAD + "add.u64 at, weights, offset;\nld.global.f32 w, [at];\nmul.f32 x, x, root;\nmul.f32 x, x, w;\n"
            "add.u64 at, result, offset;\nst.global.f32 [at], x;",
            label="write",
        ),
    ]
    comment = _RMS + "\n" + _SHARED.format(passes="twice", pointers="x, w, y")
    return module(
        comment,
        version="7.0",
        target="sm_80",
        entry="rms_norm",
        threads=THREADS,
        body=_body("", steps),
        parameters=("u64 x_base", "u64 w_base", "u64 y_base", "u32 R", "u32 C", "f32 epsilon"),
    )


def layer_norm() -> str:
    """Return the text of the layer norm kernel."""
    steps = [
        over_row(_LOAD + "add.f32 sum, sum, x;", label="total"),
        over_block("add", "sum", part=0),
        "\ndiv.rn.f32 mean, sum, count;\nmov.f32 sum, 0f00000000;",
        over_row(_LOAD + "sub.f32 x, x, mean;\nfma.rn.f32 sum, x, x, sum;", label="squares"),
        over_block("add", "sum", part=1),
        "\n" + _ROOT,
        over_row(
            _LOAD + "sub.f32 x, x, mean;\nadd.u64 at, weights, offset;\nld.global.f32 w, [at];\n"
            "add.u64 at, biases, offset;\nld.global.f32 b, [at];\nmul.f32 x, x, root;\nmul.f32 x, x, w;\n"
            "add.f32 x, x, b;\nadd.u64 at, result, offset;\nst.global.f32 [at], x;",
            label="write",
        ),
    ]
    comment = _LAYER + "\n" + _SHARED.format(passes="three times", pointers="x, w, b, y")
    return module(
        comment,
        version="7.0",
        target="sm_80",
        entry="layer_norm",
        threads=THREADS,
        body=_body("ld.param.u64 biases, [b_base];", steps),
        parameters=("u64 x_base", "u64 w_base", "u64 b_base", "u64 y_base", "u32 R", "u32 C", "f32 epsilon"),
    )


_MAPS = """#row = affine_map<(r, c) -> (r)>
#column = affine_map<(r, c) -> (c)>
#element = affine_map<(r, c) -> (r, c)>
"""


def _start(name: str, arguments: str, width: int) -> str:
    return f"""func.func @{name}({arguments}, %epsilon: f32) -> tensor<?x{width}xf32> {{
  %zero = arith.constant 0.0 : f32
  %width = arith.constant {width}.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x{width}xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x{width}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
"""


def _squares(source: str, width: int, square: str) -> str:
    return f"""  %squares = linalg.generic {{
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}}
      ins({source} : tensor<?x{width}xf32>) outs(%init : tensor<?xf32>) {{
  ^bb0(%in: f32, %so_far: f32):
    %square = {square}
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  }} -> tensor<?xf32>
"""


_SCALED = """    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
"""


def rms_norm_definition() -> str:
    """Return a definition with a function for each width and each spelling of the square."""
    parts = ["// RMS normalisation, with the square as a product and as torch's power\n" + _MAPS]
    for width in WIDTHS:
        for spelling, square in (("square", "arith.mulf %in, %in : f32"), ("power", "math.fpowi %in, %two : f32, i64")):
            arguments = f"%x: tensor<?x{width}xf32>, %w: tensor<{width}xf32>"
            two = "  %two = arith.constant 2 : i64\n" if spelling == "power" else ""
            start = _start(f"{spelling}_{width}", arguments, width)
            parts.append(f"""{start}{two}{_squares("%x", width, square)}\
  %y = linalg.generic {{
      indexing_maps = [#column, #element, #row, #element], iterator_types = ["parallel", "parallel"]}}
      ins(%w, %x, %squares : tensor<{width}xf32>, tensor<?x{width}xf32>, tensor<?xf32>)
      outs(%empty : tensor<?x{width}xf32>) {{
  ^bb0(%weight: f32, %in: f32, %total: f32, %out: f32):
{_SCALED}    %value = arith.mulf %weight, %scaled : f32
    linalg.yield %value : f32
  }} -> tensor<?x{width}xf32>
  return %y : tensor<?x{width}xf32>
}}
""")
    return "\n".join(parts)


def layer_norm_definition() -> str:
    """Return a definition with a function for each width."""
    parts = ["// Layer normalisation with scale and bias, where IREE fuses all of it into one dispatch\n" + _MAPS]
    for width in WIDTHS:
        row = f"tensor<?x{width}xf32>"
        arguments = f"%x: {row}, %w: tensor<{width}xf32>, %b: tensor<{width}xf32>"
        parts.append(f"""{_start(f"layer_norm_{width}", arguments, width)}\
  %sum = linalg.generic {{indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}}
      ins(%x : {row}) outs(%init : tensor<?xf32>) {{
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  }} -> tensor<?xf32>
  %centred = linalg.generic {{indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}}
      ins(%x, %sum : {row}, tensor<?xf32>) outs(%empty : {row}) {{
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  }} -> {row}
{_squares("%centred", width, "arith.mulf %in, %in : f32")}\
  %y = linalg.generic {{
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}}
      ins(%centred, %squares, %w, %b : {row}, tensor<?xf32>, tensor<{width}xf32>, tensor<{width}xf32>)
      outs(%empty : {row}) {{
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
{_SCALED}    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  }} -> {row}
  return %y : {row}
}}
""")
    return "\n".join(parts)
