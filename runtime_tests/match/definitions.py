"""Definitions and bodies for the tests of matching, in the short form of `read.programs`."""

from __future__ import annotations

from typing import Any

from runtime_tests.match.kernels import HEAD, MATMUL, MATMUL_OPERANDS, kernel
from runtime_tests.read.executables import CPU, dispatch_of
from runtime_tests.read.short_form import elementwise, filled, generic, matmul
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import Kernel

PRODUCT_SUM = """
    %p = arith.mulf %x, %z : f32
    %y = arith.addf %p, %o : f32
    linalg.yield %y : f32"""
SCALARS = "%x: f32, %z: f32, %o: f32"
CONSTANTS = "%zero = arith.constant 0.0 : f32\n%low = arith.constant 0xFF800000 : f32\n"


def body_of(text: str, **options: Any) -> Dispatch:
    """The dispatch of a body."""
    return dispatch_of(CONSTANTS + text, **options)


def matmul_kernel(**options: Any) -> Kernel:
    """Row-major, without groups or slots."""
    return kernel(MATMUL, MATMUL_OPERANDS, **options)


def matmul_dispatch(m: int = 8, n: int = 8, k: int = 8, *, after: str = "", **options: Any) -> Dispatch:
    """`c = a · b`; `after` computes `%s` from the product `%r`, to be stored in its place."""
    result = f"!{m}x{n}xf32"
    return body_of(
        f"%a = input 0 !{m}x{k}xf32\n%b = input 1 !{k}x{n}xf32{matmul(m=m, n=n, k=k)}{after}"
        f"\noutput 2 {'%s' if after else '%r'} {result}",
        **options,
    )


RELU = elementwise("%s", "%r", "!8x8xf32", "\n    %y = arith.maximumf %x, %zero : f32")
TRANSPOSE = """
  %s_e = tensor.empty() : !8x8xf32
  %s = linalg.transpose ins(%r : !8x8xf32) outs(%s_e : !8x8xf32) permutation = [1, 0]"""


def product(
    a: str,
    b: str,
    c: str,
    kinds: str,
    types: tuple[str, str, str] = ("!8x8xf32",) * 3,
    *,
    body: str = PRODUCT_SUM,
    before: str = "",
    operands: str = "%a, %b",
    **options: Any,
) -> Dispatch:
    """A sum of products of operands that are indexed by these maps."""
    ta, tb, tc = types
    return body_of(
        f"{before or f'%a = input 0 {ta}'}\n%b = input 1 {tb}{filled(tc)}"
        + generic("%r", f"{a}, {b}, {c}", kinds, operands, f"{ta}, {tb}", "%init", tc, body, SCALARS)
        + f"\noutput 2 %r {tc}",
        **options,
    )


GRAM = f"""
func.func @gram(%a: !?x?xf32) -> !?x?xf32 {{{HEAD}
  %m = tensor.dim %a, %c0 : !?x?xf32{filled("!?x?xf32", sizes="%m, %m")}{
    generic(
        "%r",
        "[[m, n, k -> m, k]], [[m, n, k -> n, k]], [[m, n, k -> m, n]]",
        "ppr",
        "%a, %a",
        "!?x?xf32, !?x?xf32",
        "%init",
        "!?x?xf32",
        PRODUCT_SUM,
        SCALARS,
    )
}
  return %r : !?x?xf32
}}
"""


def lower_triangle(
    inputs: str, outputs: str, indices: tuple[int, int], shape: str = "!8x8xf32", sizes: str = ""
) -> str:
    """`r = x` where the row's number is at least the column's, else 0, over loops `i` and `j`."""
    return f"\n  %e = tensor.empty({sizes}) : {shape}" + generic(
        "%r",
        f"{inputs}, {outputs}",
        "pp",
        "%x",
        shape,
        "%e",
        shape,
        f"""
    %i = linalg.index {indices[0]} : index
    %j = linalg.index {indices[1]} : index
    %keep = arith.cmpi sge, %i, %j : index
    %y = arith.select %keep, %w, %zero : f32
    linalg.yield %y : f32""",
        "%w: f32, %o: f32",
    )


TRIANGLE = f"""
func.func @triangle(%x: !?x?xf32) -> !?x?xf32 {{{HEAD}
  %m = tensor.dim %x, %c0 : !?x?xf32
  %n = tensor.dim %x, %c1 : !?x?xf32
{lower_triangle("[[i, j -> i, j]]", "[[i, j -> i, j]]", (0, 1), "!?x?xf32", "%m, %n")}
  return %r : !?x?xf32
}}
"""

SOFTMAX = f"""
func.func @softmax(%x: !?x?xf32) -> !?x?xf32 {{{HEAD}
  %m = tensor.dim %x, %c0 : !?x?xf32
  %n = tensor.dim %x, %c1 : !?x?xf32
  %e = tensor.empty(%m, %n) : !?x?xf32
  %r = linalg.softmax dimension(1) ins(%x : !?x?xf32) outs(%e : !?x?xf32) -> !?x?xf32
  return %r : !?x?xf32
}}
"""
X8 = "%x = input 0 !8x8xf32"


def softmax_of(dimension: int = 1, source: str = X8, after: str = "") -> Dispatch:
    """A softmax of `%x`."""
    return body_of(
        f"""{source}
  %e = tensor.empty() : !8x8xf32
  %r = linalg.softmax dimension({dimension}) ins(%x : !8x8xf32) outs(%e : !8x8xf32) -> !8x8xf32{after}
  output 1 {"%s" if after else "%r"} !8x8xf32""",
        bindings=2,
    )


def window(name: str, binding: int, shape: str, outer: str, offsets: str, sizes: str) -> str:
    """Loads a part of a larger tensor."""
    return f"""
  {name}_s = subspan {binding} : DT<readonly:{outer}>
  {name} = DT.load {name}_s, offsets = [{offsets}], sizes = [{sizes}], strides = [1, 1]
      : DT<readonly:{outer}> -> {shape}"""


def statistics(
    shape: str,
    row: str,
    *,
    order: str = "%mx, %sm",
    across: str = "[[i, j -> i]]",
    sources: tuple[str, str, str] = ("%x", "%x", "%x"),
    sizes: str = "",
    row_size: str = "",
) -> str:
    """`r = exp(x - maximum) / sum`, spelled out: two reductions and what is made of them."""
    first, second, third = sources
    return (
        filled(row, "%low", "%i0", row_size)
        + generic(
            "%mx",
            "[[i, j -> i, j]], [[i, j -> i]]",
            "pr",
            first,
            shape,
            "%i0",
            row,
            """
    %y = arith.maximumf %v, %o : f32
    linalg.yield %y : f32""",
            "%v: f32, %o: f32",
        )
        + filled(row, "%zero", "%i1", row_size)
        + generic(
            "%sm",
            "[[i, j -> i, j]], [[i, j -> i]], [[i, j -> i]]",
            "pr",
            f"{second}, %mx",
            f"{shape}, {row}",
            "%i1",
            row,
            """
    %d = arith.subf %v, %w : f32
    %ex = math.exp %d : f32
    %y = arith.addf %o, %ex : f32
    linalg.yield %y : f32""",
            "%v: f32, %w: f32, %o: f32",
        )
        + f"\n  %e2 = tensor.empty({sizes}) : {shape}"
        + generic(
            "%r",
            f"[[i, j -> i, j]], {across}, {across}, [[i, j -> i, j]]",
            "pp",
            f"{third}, {order}",
            f"{shape}, {row}, {row}",
            "%e2",
            shape,
            """
    %d = arith.subf %v, %w : f32
    %ex = math.exp %d : f32
    %y = arith.divf %ex, %u : f32
    linalg.yield %y : f32""",
            "%v: f32, %w: f32, %u: f32, %o: f32",
        )
    )


STATISTICS = f"""
func.func @statistics(%x: !?x?xf32) -> !?x?xf32 {{{HEAD}
  %low = arith.constant 0xFF800000 : f32
  %m = tensor.dim %x, %c0 : !?x?xf32
  %n = tensor.dim %x, %c1 : !?x?xf32
{statistics("!?x?xf32", "!?xf32", sizes="%m, %n", row_size="%m")}
  return %r : !?x?xf32
}}
"""


def convolution(moves: str, x: str, w: str, y: str, sizes: str = "") -> str:
    """`r[p] = Σk x[moves(p, k)] · w[k]`."""
    return filled(y, sizes=sizes) + generic(
        "%r",
        f"affine_map<(p, k) -> ({moves})>, [[p, k -> k]], [[p, k -> p]]",
        "pr",
        "%a, %b",
        f"{x}, {w}",
        "%init",
        y,
        PRODUCT_SUM,
        SCALARS,
    )


def convolution_kernel(moves: str, **options: Any) -> Kernel:
    """A convolution over one axis."""
    text = f"""
func.func @conv(%a: !?xf32, %b: !?xf32) -> !?xf32 {{{HEAD}
  %X = tensor.dim %a, %c0 : !?xf32
  %R = tensor.dim %b, %c0 : !?xf32
  %q = arith.subi %X, %R : index
  %P = arith.addi %q, %c1 : index
{convolution(moves, "!?xf32", "!?xf32", "!?xf32", "%P")}
  return %r : !?xf32
}}
"""
    return kernel(text, {"x": "X", "w": "R", "y": "P"}, **options)


def convolution_dispatch(moves: str, size: int) -> Dispatch:
    """Four positions of three taps over an input of this size."""
    types = (f"!{size}xf32", "!3xf32", "!4xf32")
    inputs = f"%a = input 0 {types[0]}\n%b = input 1 {types[1]}"
    return body_of(f"{inputs}{convolution(moves, *types)}\noutput 2 %r !4xf32")


GATHER = f"""
func.func @gather(%t: !?x?xf32, %i: !?xi32) -> !?x?xf32 {{{HEAD}
  %m = tensor.dim %i, %c0 : !?xi32
  %n = tensor.dim %t, %c1 : !?x?xf32
  %e = tensor.empty(%m, %n) : !?x?xf32{
    generic(
        "%r",
        "[[i, j -> i]], [[i, j -> i, j]]",
        "pp",
        "%i",
        "!?xi32",
        "%e",
        "!?x?xf32",
        '''
    %at = arith.index_cast %w : i32 to index
    %j = linalg.index 1 : index
    %y = tensor.extract %t[%at, %j] : !?x?xf32
    linalg.yield %y : f32''',
        "%w: i32, %o: f32",
    )
}
  return %r : !?x?xf32
}}
"""


def gather_dispatch(table: str = "%t = input 0 !9x8xf32") -> Dispatch:
    """Four rows of a table of nine."""
    return body_of(
        f"{table}\n%i = input 1 !4xi32\n%e = tensor.empty() : !4x8xf32"
        + generic(
            "%r",
            "[[i, j -> i]], [[i, j -> i, j]]",
            "pp",
            "%i",
            "!4xi32",
            "%e",
            "!4x8xf32",
            """
    %at = arith.index_cast %w : i32 to index
    %j = linalg.index 1 : index
    %y = tensor.extract %t[%at, %j] : !9x8xf32
    linalg.yield %y : f32""",
            "%w: i32, %o: f32",
        )
        + "\noutput 2 %r !4x8xf32"
    )


def open_matmul_dispatch(*, known: bool = True, target: str = CPU) -> Dispatch:
    """A product with an open M, which the host knows or not."""
    ordinal = (
        "%m = iree_tensor_ext.dispatch.workload.ordinal %q, 0 : index" if known else "%m = arith.addi %q, %nil : index"
    )
    body = f"""
    %nil = arith.constant 0 : index
    %q = size 0
    {ordinal}
    %a_s = subspan 0 : DT<readonly:!?x8xf32>{{%m}}
    %c_s = subspan 2 : DT<writeonly:!?x8xf32>{{%m}}
    %a = DT.load %a_s, offsets = [0, 0], sizes = [%m, 8], strides = [1, 1] : DT<readonly:!?x8xf32>{{%m}} -> !?x8xf32
    %b = input 1 !8x8xf32
    %e = tensor.empty(%m) : !?x8xf32
    %i = linalg.fill ins(%zero : f32) outs(%e : !?x8xf32) -> !?x8xf32
    %r = linalg.matmul ins(%a, %b : !?x8xf32, !8x8xf32) outs(%i : !?x8xf32) -> !?x8xf32
    DT.store %r, %c_s, offsets = [0, 0], sizes = [%m, 8], strides = [1, 1] : !?x8xf32 -> DT<writeonly:!?x8xf32>{{%m}}
    """
    return body_of(body, constants=2, workload=1, target=target)
