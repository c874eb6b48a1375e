"""Small functions that IREE compiles to one dispatch each, in the short form of MLIR.

`%zero`, `%low` and `%c0` … `%c2` are there already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime_tests.read.short_form import elementwise, expand, filled, generic, matmul

_HEAD = """
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """`func.func @name`; its inputs are `%a`, `%b`, `%c`, …"""

    name: str
    inputs: tuple[str, ...]
    result: str
    body: str
    """Lines that compute `%r`."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """The inputs' shapes, where the types leave sizes open."""
    push: tuple[tuple[int, int], ...] = ()
    """Push constants that carry data and not the sizes of inputs."""
    kind: str = ""
    """The kind that the reader must see; empty: any."""

    @property
    def text(self) -> str:
        """MLIR."""
        arguments = ", ".join(f"%{chr(97 + n)}: {t}" for n, t in enumerate(self.inputs))
        results = self.result if self.result.startswith("(") else f"({self.result})"
        values = ", ".join(f"%r{n}" for n in range(self.result.count("!"))) if "," in self.result else "%r"
        types = self.result.strip("()")
        return expand(
            f"func.func @{self.name}({arguments}) -> {results} {{{_HEAD}{self.body}\n  return {values} : {types}\n}}\n"
        )


RELU = "\n    %y = arith.maximumf %x, %zero : f32"

FUNCTIONS: tuple[Function, ...] = (
    Function(name="matmul", inputs=("!5x7xf32", "!7x6xf32"), result="!5x6xf32", body=matmul(), kind="contraction"),
    Function(
        name="matmul_relu",
        inputs=("!5x7xf32", "!7x6xf32"),
        result="!5x6xf32",
        kind="contraction",
        body=matmul(result="%t") + elementwise("%r", "%t", "!5x6xf32", RELU),
    ),
    Function(
        name="matmul_bias",
        inputs=("!5x7xf32", "!7x6xf32", "!6xf32"),
        result="!5x6xf32",
        kind="contraction",
        body=matmul(result="%t")
        + "\n  %o = tensor.empty() : !5x6xf32"
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> j]], [[i, j -> i, j]]",
            "pp",
            "%t, %c",
            "!5x6xf32, !6xf32",
            "%o",
            "!5x6xf32",
            "\n    %y = arith.addf %x, %z : f32\n    linalg.yield %y : f32",
            "%x: f32, %z: f32, %w: f32",
        ),
    ),
    Function(
        name="matmul_onto",
        inputs=("!5x7xf32", "!7x6xf32", "!5x6xf32"),
        result="!5x6xf32",
        body="\n  %r = linalg.matmul ins(%a, %b : !5x7xf32, !7x6xf32) outs(%c : !5x6xf32) -> !5x6xf32",
    ),
    Function(
        name="matmul_transposed_b",
        inputs=("!5x7xf32", "!6x7xf32"),
        result="!5x6xf32",
        kind="contraction",
        body=filled("!5x6xf32")
        + generic(
            "%r",
            "[[m, n, k -> m, k]], [[m, n, k -> n, k]], [[m, n, k -> m, n]]",
            "ppr",
            "%a, %b",
            "!5x7xf32, !6x7xf32",
            "%init",
            "!5x6xf32",
            "\n    %p = arith.mulf %x, %z : f32\n    %y = arith.addf %p, %o : f32\n    linalg.yield %y : f32",
            "%x: f32, %z: f32, %o: f32",
        ),
    ),
    Function(
        name="gram",
        inputs=("!5x7xf32",),
        result="!5x5xf32",
        kind="contraction",
        body=filled("!5x5xf32")
        + generic(
            "%r",
            "[[m, n, k -> m, k]], [[m, n, k -> n, k]], [[m, n, k -> m, n]]",
            "ppr",
            "%a, %a",
            "!5x7xf32, !5x7xf32",
            "%init",
            "!5x5xf32",
            "\n    %p = arith.mulf %x, %z : f32\n    %y = arith.addf %o, %p : f32\n    linalg.yield %y : f32",
            "%x: f32, %z: f32, %o: f32",
        ),
    ),
    Function(
        name="batch_matmul",
        inputs=("!3x5x7xf32", "!3x7x6xf32"),
        result="!3x5x6xf32",
        kind="contraction",
        body=filled("!3x5x6xf32")
        + """
  %r = linalg.batch_matmul ins(%a, %b : !3x5x7xf32, !3x7x6xf32) outs(%init : !3x5x6xf32) -> !3x5x6xf32""",
    ),
    Function(
        name="matvec",
        inputs=("!5x7xf32", "!7xf32"),
        result="!5xf32",
        body=filled("!5xf32") + "\n  %r = linalg.matvec ins(%a, %b : !5x7xf32, !7xf32) outs(%init : !5xf32) -> !5xf32",
    ),
    Function(
        name="conv_strided",
        inputs=("!1x3x11x11xf32", "!4x3x3x3xf32"),
        result="!1x4x5x5xf32",
        kind="convolution",
        body=filled("!1x4x5x5xf32")
        + """
  %r = linalg.conv_2d_nchw_fchw {strides = dense<2> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}
      ins(%a, %b : !1x3x11x11xf32, !4x3x3x3xf32) outs(%init : !1x4x5x5xf32) -> !1x4x5x5xf32""",
    ),
    Function(
        name="conv_dilated",
        inputs=("!2x10x10x3xf32", "!3x3x3x4xf32"),
        result="!2x6x6x4xf32",
        kind="convolution",
        body=filled("!2x6x6x4xf32")
        + """
  %r = linalg.conv_2d_nhwc_hwcf {strides = dense<1> : tensor<2xi64>, dilations = dense<2> : tensor<2xi64>}
      ins(%a, %b : !2x10x10x3xf32, !3x3x3x4xf32) outs(%init : !2x6x6x4xf32) -> !2x6x6x4xf32""",
    ),
    Function(
        name="conv_depthwise",
        inputs=("!1x9x9x4xf32", "!3x3x4xf32"),
        result="!1x4x4x4xf32",
        kind="convolution",
        body=filled("!1x4x4x4xf32")
        + """
  %r = linalg.depthwise_conv_2d_nhwc_hwc {strides = dense<2> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}
      ins(%a, %b : !1x9x9x4xf32, !3x3x4xf32) outs(%init : !1x4x4x4xf32) -> !1x4x4x4xf32""",
    ),
    Function(
        name="conv_1d",
        inputs=("!2x12x3xf32", "!5x3x4xf32"),
        result="!2x8x4xf32",
        kind="convolution",
        body=filled("!2x8x4xf32")
        + """
  %r = linalg.conv_1d_nwc_wcf ins(%a, %b : !2x12x3xf32, !5x3x4xf32) outs(%init : !2x8x4xf32) -> !2x8x4xf32""",
    ),
    Function(
        name="pool_max",
        inputs=("!1x8x8x3xf32",),
        result="!1x4x4x3xf32",
        kind="pooling",
        body=filled("!1x4x4x3xf32", "%low")
        + """
  %w = tensor.empty() : !2x2xf32
  %r = linalg.pooling_nhwc_max {strides = dense<2> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}
      ins(%a, %w : !1x8x8x3xf32, !2x2xf32) outs(%init : !1x4x4x3xf32) -> !1x4x4x3xf32""",
    ),
    Function(
        name="row_sum",
        inputs=("!6x9xf32",),
        result="!6xf32",
        kind="reduction",
        body=filled("!6xf32")
        + """
  %r = linalg.reduce { arith.addf } ins(%a : !6x9xf32) outs(%init : !6xf32) dimensions = [1]""",
    ),
    Function(
        name="column_max",
        inputs=("!6x9xf32",),
        result="!9xf32",
        kind="reduction",
        body=filled("!9xf32", "%low")
        + """
  %r = linalg.reduce { arith.maximumf } ins(%a : !6x9xf32) outs(%init : !9xf32) dimensions = [0]""",
    ),
    Function(
        name="sum_onto",
        inputs=("!6x9xf32", "!6xf32"),
        result="!6xf32",
        body="""
  %r = linalg.reduce { arith.addf } ins(%a : !6x9xf32) outs(%b : !6xf32) dimensions = [1]""",
    ),
    Function(
        name="rms_norm",
        inputs=("!6x16xf32", "!16xf32"),
        result="!6x16xf32",
        kind="normalization",
        body="\n  %n = arith.constant 16.0 : f32\n  %eps = arith.constant 1.0e-5 : f32"
        + filled("!6xf32")
        + generic(
            "%s",
            "[[i, j -> i, j]], [[i, j -> i]]",
            "pr",
            "%a",
            "!6x16xf32",
            "%init",
            "!6xf32",
            "\n    %q = arith.mulf %x, %x : f32\n    %y = arith.addf %o, %q : f32\n    linalg.yield %y : f32",
            "%x: f32, %o: f32",
        )
        + "\n  %e = tensor.empty() : !6x16xf32"
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> i]], [[i, j -> j]], [[i, j -> i, j]]",
            "pp",
            "%a, %s, %b",
            "!6x16xf32, !6xf32, !16xf32",
            "%e",
            "!6x16xf32",
            """
    %mean = arith.divf %z, %n : f32
    %safe = arith.addf %mean, %eps : f32
    %scale = math.rsqrt %safe : f32
    %p = arith.mulf %x, %scale : f32
    %y = arith.mulf %p, %w : f32
    linalg.yield %y : f32""",
            "%x: f32, %z: f32, %w: f32, %o: f32",
        ),
    ),
    Function(
        name="softmax",
        inputs=("!6x9xf32",),
        result="!6x9xf32",
        kind="softmax",
        body="""
  %e = tensor.empty() : !6x9xf32
  %r = linalg.softmax dimension(1) ins(%a : !6x9xf32) outs(%e : !6x9xf32) -> !6x9xf32""",
    ),
    Function(
        name="softmax_columns",
        inputs=("!6x9xf32",),
        result="!6x9xf32",
        kind="softmax",
        body="""
  %e = tensor.empty() : !6x9xf32
  %r = linalg.softmax dimension(0) ins(%a : !6x9xf32) outs(%e : !6x9xf32) -> !6x9xf32""",
    ),
    Function(
        name="transpose",
        inputs=("!6x9xf32",),
        result="!9x6xf32",
        kind="copy",
        body="""
  %e = tensor.empty() : !9x6xf32
  %r = linalg.transpose ins(%a : !6x9xf32) outs(%e : !9x6xf32) permutation = [1, 0]""",
    ),
    Function(
        name="transpose_3d",
        inputs=("!2x3x4xf32",),
        result="!4x2x3xf32",
        kind="copy",
        body="""
  %e = tensor.empty() : !4x2x3xf32
  %r = linalg.transpose ins(%a : !2x3x4xf32) outs(%e : !4x2x3xf32) permutation = [2, 0, 1]""",
    ),
    Function(
        name="broadcast_add",
        inputs=("!6x1x9xf32", "!4x1xf32"),
        result="!6x4x9xf32",
        body="\n  %e = tensor.empty() : !6x4x9xf32"
        + generic(
            "%r",
            "[[i, j, k -> i, 0, k]], [[i, j, k -> j, 0]], [[i, j, k -> i, j, k]]",
            "ppp",
            "%a, %b",
            "!6x1x9xf32, !4x1xf32",
            "%e",
            "!6x4x9xf32",
            "\n    %y = arith.addf %x, %z : f32\n    linalg.yield %y : f32",
            "%x: f32, %z: f32, %o: f32",
        ),
    ),
    Function(
        name="gather",
        inputs=("!11x5xf32", "!4xi32"),
        result="!4x5xf32",
        kind="gather",
        body="\n  %e = tensor.empty() : !4x5xf32"
        + generic(
            "%r",
            "[[i, j -> i]], [[i, j -> i, j]]",
            "pp",
            "%b",
            "!4xi32",
            "%e",
            "!4x5xf32",
            """
    %at = arith.index_cast %x : i32 to index
    %j = linalg.index 1 : index
    %y = tensor.extract %a[%at, %j] : !11x5xf32
    linalg.yield %y : f32""",
            "%x: i32, %o: f32",
        ),
    ),
    Function(
        name="iota_mask",
        inputs=("!6x6xf32",),
        result="!6x6xf32",
        kind="elementwise",
        body=elementwise(
            "%r",
            "%a",
            "!6x6xf32",
            """
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %keep = arith.cmpi sge, %i, %j : index
    %y = arith.select %keep, %x, %zero : f32""",
        ),
    ),
    Function(
        name="scf_if",
        inputs=("!6x6xf32",),
        result="!6x6xf32",
        kind="elementwise",
        body=elementwise(
            "%r",
            "%a",
            "!6x6xf32",
            """
    %c3 = arith.constant 3 : index
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %low_i = arith.cmpi slt, %i, %j : index
    %two:2 = scf.if %low_i -> (f32, index) {
      %e = math.exp %x : f32
      %k = arith.remui %j, %c3 : index
      scf.yield %e, %k : f32, index
    } else {
      %n = arith.negf %x : f32
      scf.yield %n, %i : f32, index
    }
    %ki = arith.index_cast %two#1 : index to i32
    %kf = arith.sitofp %ki : i32 to f32
    %y = arith.addf %two#0, %kf : f32""",
        ),
    ),
    Function(
        name="delinearized",
        inputs=("!6x6xf32",),
        result="!6x6xf32",
        kind="elementwise",
        body=elementwise(
            "%r",
            "%a",
            "!6x6xf32",
            """
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %c50 = arith.constant 50 : index
    %ten = arith.muli %i, %c50 : index
    %at = arith.subi %ten, %j : index
    %d:3 = affine.delinearize_index %at into (7, 3, 5) : index, index, index
    %p = arith.muli %d#0, %d#2 : index
    %q = arith.addi %p, %d#1 : index
    %qi = arith.index_cast %q : index to i32
    %qf = arith.sitofp %qi : i32 to f32
    %y = arith.addf %x, %qf : f32""",
        ),
    ),
    Function(
        name="argmax",
        inputs=("!6x9xf32",),
        result="!6xi32",
        kind="generic",
        body="\n  %none = arith.constant 0 : i32"
        + filled("!6xf32", "%low")
        + filled("!6xi32", "%none", "%at")
        + """
  %v:2 = linalg.generic {indexing_maps = [[[i, j -> i, j]], [[i, j -> i]], [[i, j -> i]]],
      iterator_types = ["parallel", "reduction"]} ins(%a : !6x9xf32) outs(%init, %at : !6xf32, !6xi32) {
  ^bb0(%x: f32, %best: f32, %where: i32):
    %j = linalg.index 1 : index
    %ji = arith.index_cast %j : index to i32
    %more = arith.cmpf ogt, %x, %best : f32
    %y = arith.select %more, %x, %best : f32
    %w = arith.select %more, %ji, %where : i32
    linalg.yield %y, %w : f32, i32
  } -> (!6xf32, !6xi32)
  %r = tensor.cast %v#1 : !6xi32 to !6xi32""",
    ),
    Function(
        name="padded",
        inputs=("!4x5xf32", "!4x5xf32"),
        result="!7x9xf32",
        body=filled("!7x9xf32", name="%big")
        + "\n  %e = tensor.empty() : !4x5xf32"
        + generic(
            "%t",
            "[[i, j -> i, j]], [[i, j -> i, j]], [[i, j -> i, j]]",
            "pp",
            "%a, %b",
            "!4x5xf32, !4x5xf32",
            "%e",
            "!4x5xf32",
            "\n    %y = arith.mulf %x, %z : f32\n    linalg.yield %y : f32",
            "%x: f32, %z: f32, %o: f32",
        )
        + """
  %r = tensor.insert_slice %t into %big[2, 3] [4, 5] [1, 1] : !4x5xf32 into !7x9xf32""",
    ),
    Function(
        name="sliced_add",
        inputs=("!8x10xf32", "!3x4xf32"),
        result="!3x4xf32",
        body="""
  %s = tensor.extract_slice %a[2, 1] [3, 4] [2, 2] : !8x10xf32 to !3x4xf32
  %e = tensor.empty() : !3x4xf32"""
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> i, j]], [[i, j -> i, j]]",
            "pp",
            "%s, %b",
            "!3x4xf32, !3x4xf32",
            "%e",
            "!3x4xf32",
            "\n    %y = arith.subf %x, %z : f32\n    linalg.yield %y : f32",
            "%x: f32, %z: f32, %o: f32",
        ),
    ),
    Function(
        name="sliced_matmul",
        inputs=("!2x5x7xf32", "!7x6xf32"),
        result="!5x6xf32",
        kind="contraction",
        body="\n  %s = tensor.extract_slice %a[1, 0, 0] [1, 5, 7] [1, 1, 1] : !2x5x7xf32 to !5x7xf32" + matmul("%s"),
    ),
    Function(
        name="constant_add",
        inputs=("!2x3xf32",),
        result="!2x3xf32",
        body="""
  %k = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]> : !2x3xf32
  %r = arith.addf %a, %k : !2x3xf32""",
    ),
    Function(
        name="split_and_join",
        inputs=("!4x6xf32",),
        result="!6x4xf32",
        body="""
  %s = tensor.expand_shape %a [[0], [1, 2]] output_shape [4, 2, 3] : !4x6xf32 into tensor<4x2x3xf32>
  %e = tensor.empty() : tensor<2x3x4xf32>
  %t = linalg.transpose ins(%s : tensor<4x2x3xf32>) outs(%e : tensor<2x3x4xf32>) permutation = [1, 2, 0]
  %r = tensor.collapse_shape %t [[0, 1], [2]] : tensor<2x3x4xf32> into !6x4xf32""",
    ),
    Function(
        name="gelu",
        inputs=("!5x6xf32",),
        result="!5x6xf32",
        kind="elementwise",
        body="\n  %half = arith.constant 0.5 : f32\n  %one = arith.constant 1.0 : f32\n"
        "  %root = arith.constant 0.70710678 : f32"
        + elementwise(
            "%r",
            "%a",
            "!5x6xf32",
            """
    %s = arith.mulf %x, %root : f32
    %f = math.erf %s : f32
    %g = arith.addf %f, %one : f32
    %h = arith.mulf %g, %half : f32
    %y = arith.mulf %h, %x : f32""",
        ),
    ),
    Function(
        name="half_sum",
        inputs=("!6x9xf16",),
        result="!6xf32",
        kind="reduction",
        body=filled("!6xf32")
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> i]]",
            "pr",
            "%a",
            "!6x9xf16",
            "%init",
            "!6xf32",
            "\n    %w = arith.extf %x : f16 to f32\n    %y = arith.addf %o, %w : f32\n    linalg.yield %y : f32",
            "%x: f16, %o: f32",
        ),
    ),
    Function(
        name="bytes_product",
        inputs=("!5x7xi8", "!7x6xi8"),
        result="!5x6xi32",
        kind="contraction",
        body="\n  %none = arith.constant 0 : i32"
        + filled("!5x6xi32", "%none")
        + generic(
            "%r",
            "[[m, n, k -> m, k]], [[m, n, k -> k, n]], [[m, n, k -> m, n]]",
            "ppr",
            "%a, %b",
            "!5x7xi8, !7x6xi8",
            "%init",
            "!5x6xi32",
            """
    %u = arith.extsi %x : i8 to i32
    %v = arith.extsi %z : i8 to i32
    %p = arith.muli %u, %v : i32
    %y = arith.addi %o, %p : i32
    linalg.yield %y : i32""",
            "%x: i8, %z: i8, %o: i32",
        ),
    ),
    Function(
        name="less_than",
        inputs=("!5x6xf32", "!5x6xf32"),
        result="!5x6xi32",
        kind="elementwise",
        body="\n  %e = tensor.empty() : !5x6xi32"
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> i, j]], [[i, j -> i, j]]",
            "pp",
            "%a, %b",
            "!5x6xf32, !5x6xf32",
            "%e",
            "!5x6xi32",
            """
    %less = arith.cmpf olt, %x, %z : f32
    %y = arith.extui %less : i1 to i32
    linalg.yield %y : i32""",
            "%x: f32, %z: f32, %o: i32",
        ),
    ),
    Function(
        name="two_results",
        inputs=("!5x6xf32",),
        result="(!5x6xf32, !5x6xf32)",
        body="""
  %e = tensor.empty() : !5x6xf32
  %r0, %r1 = linalg.generic {indexing_maps = [[[i, j -> i, j]], [[i, j -> i, j]], [[i, j -> i, j]]],
      iterator_types = ["parallel", "parallel"]} ins(%a : !5x6xf32) outs(%e, %e : !5x6xf32, !5x6xf32) {
  ^bb0(%x: f32, %o: f32, %q: f32):
    %y = math.exp %x : f32
    %z = arith.negf %x : f32
    linalg.yield %y, %z : f32, f32
  } -> (!5x6xf32, !5x6xf32)""",
    ),
    Function(
        name="unit_sizes",
        inputs=("!1x7xf32", "!7x1xf32"),
        result="!1x1xf32",
        body=matmul(m=1, n=1),
    ),
    Function(
        name="dynamic_matmul",
        inputs=("!?x?xf32", "!?x?xf32"),
        result="!?x?xf32",
        shapes=((5, 7), (7, 6)),
        kind="contraction",
        body="\n  %m = tensor.dim %a, %c0 : !?x?xf32\n  %n = tensor.dim %b, %c1 : !?x?xf32"
        + filled("!?x?xf32", sizes="%m, %n")
        + "\n  %r = linalg.matmul ins(%a, %b : !?x?xf32, !?x?xf32) outs(%init : !?x?xf32) -> !?x?xf32",
    ),
    Function(
        name="dynamic_row_sum",
        inputs=("!?x?xf32",),
        result="!?xf32",
        shapes=((6, 9),),
        kind="reduction",
        body="\n  %m = tensor.dim %a, %c0 : !?x?xf32"
        + filled("!?xf32", sizes="%m")
        + """
  %r = linalg.reduce { arith.addf } ins(%a : !?x?xf32) outs(%init : !?xf32) dimensions = [1]""",
    ),
    Function(
        name="dynamic_transpose",
        inputs=("!3x?xf32",),
        result="!?x3xf32",
        shapes=((3, 8),),
        kind="copy",
        body="""
  %n = tensor.dim %a, %c1 : !3x?xf32
  %e = tensor.empty(%n) : !?x3xf32
  %r = linalg.transpose ins(%a : !3x?xf32) outs(%e : !?x3xf32) permutation = [1, 0]""",
    ),
    Function(
        name="dynamic_add_size",
        inputs=("!?xf32",),
        result="!?xf32",
        shapes=((9,),),
        push=((0, 9),),
        kind="elementwise",
        body="""
  %n = tensor.dim %a, %c0 : !?xf32
  %ni = arith.index_cast %n : index to i32
  %nf = arith.sitofp %ni : i32 to f32
  %e = tensor.empty(%n) : !?xf32"""
        + generic(
            "%r",
            "[[i -> i]], [[i -> i]]",
            "p",
            "%a",
            "!?xf32",
            "%e",
            "!?xf32",
            "\n    %y = arith.addf %x, %nf : f32\n    linalg.yield %y : f32",
            "%x: f32, %o: f32",
        ),
    ),
)
"""One dispatch each."""


def inputs_of(function: Function) -> list[NDArray[Any]]:
    random = np.random.default_rng(7)
    values: list[NDArray[Any]] = []
    for number, type_ in enumerate(function.inputs):
        *sizes, element = type_.lstrip("!").split("x")
        shape = function.shapes[number] if function.shapes else tuple(map(int, sizes))
        if element[0] == "f":
            values.append(random.standard_normal(shape).astype(element.replace("f", "float")))
        else:
            low, high = (0, 11) if element == "i32" else (-100, 100)
            values.append(random.integers(low, high, shape).astype(element.replace("i", "int")))
    return values
