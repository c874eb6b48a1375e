"""Work that IREE fuses with an operation in the shipped PTX: epilogues, prologues, element-wise dispatches."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.ptx_blobs.programs import BLOBS, Array, Built, normal
from substitute.errors import PayloadError

pytestmark = pytest.mark.device

MAPS = """
#ab = affine_map<(i, j) -> (i, j)>
#b = affine_map<(i, j) -> (j)>
#a = affine_map<(i, j) -> (i)>
#none = affine_map<(i, j) -> ()>
"""


def product(m: int, k: int, n: int, element: str) -> str:
    """`%c` = a · b with sums in f32."""
    return f"""
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<{m}x{n}xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
  %c = linalg.matmul ins(%a, %b : tensor<{m}x{k}x{element}>, tensor<{k}x{n}x{element}>)
                     outs(%i : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>"""


def fused(m: int, k: int, n: int, element: str, more: str, body: str, result: str) -> str:
    """A product, a bias along the columns (`%bias`), a residual (`%r`), and `body` from `%x` to `%y`."""
    shape = f"{m}x{n}x{result}"
    return f"""{MAPS}
func.func @main(%a: tensor<{m}x{k}x{element}>, %b: tensor<{k}x{n}x{element}>, %bias: tensor<{n}xf32>,
                %r: tensor<{m}x{n}x{more}>) -> tensor<{shape}> {{{product(m, k, n, element)}
  %o = tensor.empty() : tensor<{shape}>
  %d = linalg.generic {{indexing_maps = [#ab, #b, #ab, #ab], iterator_types = ["parallel", "parallel"]}}
      ins(%c, %bias, %r : tensor<{m}x{n}xf32>, tensor<{n}xf32>, tensor<{m}x{n}x{more}>) outs(%o : tensor<{shape}>) {{
  ^bb0(%in: f32, %beta: f32, %rest: {more}, %out: {result}):
    %x = arith.addf %in, %beta : f32
{body}
    linalg.yield %y : {result}
  }} -> tensor<{shape}>
  return %d : tensor<{shape}>
}}
"""


GELU_ERF = """    %half = arith.constant 0.5 : f32
    %one = arith.constant 1.0 : f32
    %root = arith.constant 0.70710678 : f32
    %scaled = arith.mulf %x, %root : f32
    %erf = math.erf %scaled : f32
    %more = arith.addf %erf, %one : f32
    %part = arith.mulf %x, %half : f32
    %gelu = arith.mulf %part, %more : f32
    %y = arith.addf %gelu, %rest : f32"""
SILU_TO_HALF = """    %one = arith.constant 1.0 : f32
    %minus = arith.negf %x : f32
    %power = math.exp %minus : f32
    %under = arith.addf %power, %one : f32
    %silu = arith.divf %x, %under : f32
    %wide = arith.extf %rest : f16 to f32
    %z = arith.mulf %silu, %wide : f32
    %y = arith.truncf %z : f32 to f16"""


def gelu(x: Array) -> Array:
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(x.shape)


@pytest.mark.parametrize(("size", "kernel"), [((70, 40, 36), "cuda_matmul_f32"), ((3, 40, 36), "cuda_matvec_f32")])
def test_bias_activation_and_residual(tmp_path: Path, cuda_sim: str, size: tuple[int, int, int], kernel: str) -> None:
    m, k, n = size
    built = Built(tmp_path, fused(m, k, n, "f32", "f32", GELU_ERF, "f32"))
    assert built.kernels == [kernel] and built.dispatches == 1
    a, b, bias, r = normal(m, k), normal(k, n, seed=1), normal(n, seed=2), normal(m, n, seed=3)
    (y,) = built.run(cuda_sim, a, b, bias, r)
    np.testing.assert_allclose(y, gelu(a.astype(np.float64) @ b + bias) + r, rtol=1e-5, atol=1e-5)


def test_an_epilogue_on_the_tensor_cores(tmp_path: Path, cuda_sim: str) -> None:
    """After mma.sync and after wgmma: the value is rounded to f16 after the fused work, not before."""
    m, k, n = 33, 72, 40
    built = Built(tmp_path, fused(m, k, n, "f16", "f16", SILU_TO_HALF, "f16"))
    assert built.kernels == ["cuda_matmul_f16_f32_sm90a", "cuda_matmul_f16_f32"]
    a, b, r = (normal(*s, seed=i).astype(np.float16) for i, s in enumerate(((m, k), (k, n), (m, n))))
    bias = normal(n, seed=3)
    x = a.astype(np.float64) @ b.astype(np.float64) + bias
    for device in (cuda_sim, f"{cuda_sim}://sm_90"):
        (y,) = built.run(device, a, b, bias, r)
        np.testing.assert_allclose(y, x / (1 + np.exp(-x)) * r, rtol=1.5e-3, atol=1e-5)


def test_softmax_with_a_factor(tmp_path: Path, cuda_sim: str) -> None:
    built = Built(
        tmp_path,
        f"""{MAPS}
func.func @main(%x: tensor<6x50xf32>, %w: tensor<6xf32>, %g: tensor<f32>) -> tensor<6x50xf32> {{
  %e = tensor.empty() : tensor<6x50xf32>
  %s = linalg.softmax dimension(1) ins(%x : tensor<6x50xf32>) outs(%e : tensor<6x50xf32>) -> tensor<6x50xf32>
  %y = linalg.generic {{indexing_maps = [#ab, #a, #none, #ab], iterator_types = ["parallel", "parallel"]}}
      ins(%s, %w, %g : tensor<6x50xf32>, tensor<6xf32>, tensor<f32>) outs(%e : tensor<6x50xf32>) {{
  ^bb0(%in: f32, %f: f32, %all: f32, %out: f32):
    %u = arith.mulf %in, %f : f32
    %v = arith.addf %u, %all : f32
    linalg.yield %v : f32
  }} -> tensor<6x50xf32>
  return %y : tensor<6x50xf32>
}}
""",
    )
    assert built.kernels == ["cuda_softmax"] and built.dispatches == 1
    x, w = normal(6, 50), normal(6, seed=1)
    (y,) = built.run(cuda_sim, x, w, np.float32(3).reshape(()))
    powers = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(y, powers / powers.sum(axis=1, keepdims=True) * w[:, None] + 3, rtol=3e-6)


def reduced(start: str, element: str, combine: str, last: str) -> str:
    """A reduction of `element` over the rows of x, and `last` from it and x, over all elements."""
    return f"""{MAPS}
func.func @main(%x: tensor<5x200xf32>) -> tensor<5x200xf32> {{
  %start = arith.constant {start} : f32
  %er = tensor.empty() : tensor<5xf32>
  %e = tensor.empty() : tensor<5x200xf32>
  %i = linalg.fill ins(%start : f32) outs(%er : tensor<5xf32>) -> tensor<5xf32>
  %s = linalg.generic {{indexing_maps = [#ab, #a], iterator_types = ["parallel", "reduction"]}}
      ins(%x : tensor<5x200xf32>) outs(%i : tensor<5xf32>) {{
  ^bb0(%in: f32, %so_far: f32):
{element}
    %next = {combine} %value, %so_far : f32
    linalg.yield %next : f32
  }} -> tensor<5xf32>
  %y = linalg.generic {{indexing_maps = [#ab, #a, #ab], iterator_types = ["parallel", "parallel"]}}
      ins(%x, %s : tensor<5x200xf32>, tensor<5xf32>) outs(%e : tensor<5x200xf32>) {{
  ^bb0(%in: f32, %total: f32, %out: f32):
{last}
    linalg.yield %v : f32
  }} -> tensor<5x200xf32>
  return %y : tensor<5x200xf32>
}}
"""


def test_a_sum_of_squares_and_what_is_made_of_it(tmp_path: Path, cuda_sim: str) -> None:
    """Prologue and epilogue: the threads of a block share the row once more."""
    built = Built(
        tmp_path,
        reduced(
            "0.0",
            "    %value = arith.mulf %in, %in : f32",
            "arith.addf",
            "    %root = math.sqrt %total : f32\n    %v = arith.divf %in, %root : f32",
        ),
    )
    assert built.kernels == ["cuda_row_sum"] and built.dispatches == 1
    x = normal(5, 200)
    (y,) = built.run(cuda_sim, x)
    np.testing.assert_allclose(y, x / np.sqrt((x.astype(np.float64) ** 2).sum(axis=1, keepdims=True)), rtol=3e-6)


def test_a_maximum_and_what_is_made_of_it(tmp_path: Path, cuda_sim: str) -> None:
    """No number in a row makes the row no numbers."""
    built = Built(
        tmp_path,
        reduced(
            "0xFF800000",
            "    %value = math.absf %in : f32",
            "arith.maximumf",
            "    %v = arith.subf %in, %total : f32",
        ),
    )
    assert built.kernels == ["cuda_row_max"]
    x = normal(5, 200)
    x[3, 150] = np.nan
    (y,) = built.run(cuda_sim, x)
    np.testing.assert_allclose(y, x - np.abs(x).max(axis=1, keepdims=True), rtol=1e-6)


GATHER = """
#t = affine_map<(i, j, k) -> (j, i, k)>
#r = affine_map<(i, j, k) -> (i, j, k)>
#n = affine_map<(i, j, k) -> (j)>
func.func @main(%table: tensor<50x7xf32>, %at: tensor<6xi64>, %x: tensor<6x4x7xf32>) -> tensor<4x6x7xf32> {
  %e = tensor.empty() : tensor<4x6x7xf32>
  %y = linalg.generic {indexing_maps = [#n, #t, #r], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%at, %x : tensor<6xi64>, tensor<6x4x7xf32>) outs(%e : tensor<4x6x7xf32>) {
  ^bb0(%number: i64, %in: f32, %out: f32):
    %zero = arith.constant 0 : i64
    %rows = arith.constant 50 : i64
    %below = arith.cmpi slt, %number, %zero : i64
    %up = arith.addi %number, %rows : i64
    %row = arith.select %below, %up, %number : i64
    %i = arith.index_cast %row : i64 to index
    %k = linalg.index 2 : index
    %found = tensor.extract %table[%i, %k] : tensor<50x7xf32>
    %sum = arith.addf %found, %in : f32
    linalg.yield %sum : f32
  } -> tensor<4x6x7xf32>
  return %y : tensor<4x6x7xf32>
}
"""


def test_a_gather_with_a_transposition(tmp_path: Path, cuda_sim: str) -> None:
    built = Built(tmp_path, GATHER)
    assert built.kernels == ["cuda_elementwise"] and built.dispatches == 1
    table, at, x = normal(50, 7), np.array([3, -1, 0, 49, -50, 7], np.int64), normal(6, 4, 7, seed=1)
    (y,) = built.run(cuda_sim, table, at, x)
    np.testing.assert_array_equal(y, table[at][None] + x.transpose(1, 0, 2))


@pytest.mark.parametrize(
    ("source", "target", "body"),
    [
        ("i64", "i1", "%zero = arith.constant 3 : i64\n    %v = arith.cmpi sgt, %in, %zero : i64"),
        ("f32", "f16", "%v = arith.truncf %in : f32 to f16"),
        ("i32", "i16", "%v = arith.trunci %in : i32 to i16"),
    ],
)
def test_results_of_fewer_bits(tmp_path: Path, cuda_sim: str, source: str, target: str, body: str) -> None:
    built = Built(
        tmp_path,
        f"""{MAPS}
func.func @main(%x: tensor<5x9x{source}>) -> tensor<5x9x{target}> {{
  %e = tensor.empty() : tensor<5x9x{target}>
  %y = linalg.generic {{indexing_maps = [#ab, #ab], iterator_types = ["parallel", "parallel"]}}
      ins(%x : tensor<5x9x{source}>) outs(%e : tensor<5x9x{target}>) {{
  ^bb0(%in: {source}, %out: {target}):
    {body}
    linalg.yield %v : {target}
  }} -> tensor<5x9x{target}>
  return %y : tensor<5x9x{target}>
}}
""",
    )
    assert built.kernels == ["cuda_elementwise"]
    kinds: dict[str, type] = {"i64": np.int64, "i32": np.int32, "f32": np.float32}
    x = (normal(5, 9) * 40000).astype(kinds[source])
    (y,) = built.run(cuda_sim, x)
    with np.errstate(over="ignore"):
        expected = x > 3 if target == "i1" else x.astype({"f16": np.float16, "i16": np.int16}[target])
    np.testing.assert_array_equal(y.astype(expected.dtype), expected)


def test_open_sizes(tmp_path: Path, cuda_sim: str) -> None:
    """Sizes and strides that are only known at launch reach the slots as parameters."""
    built = Built(
        tmp_path,
        """
#ab = affine_map<(i, j) -> (i, j)>
#ba = affine_map<(i, j) -> (j, i)>
func.func @main(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : tensor<?x?xf32>
  %n = tensor.dim %x, %c1 : tensor<?x?xf32>
  %e = tensor.empty(%n, %m) : tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [#ba, #ab], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x?xf32>) outs(%e : tensor<?x?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %v = math.tanh %in : f32
    linalg.yield %v : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
""",
    )
    for shape in ((5, 9), (31, 12)):
        x = normal(*shape)
        (y,) = built.run(cuda_sim, x)
        np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)).T, rtol=1e-6)
    assert built.kernels == ["cuda_elementwise"]


def test_what_has_no_form_is_left_to_iree(tmp_path: Path) -> None:
    """The reason is a rule of the decision, not an error at the end. Without the remainder it is taken, see above."""
    body = GELU_ERF.replace("math.erf %scaled", "arith.remf %scaled, %x")
    assert Built(tmp_path, fused(70, 40, 36, "f32", "f32", body, "f32")).kernels == []


def test_a_text_without_its_marks(tmp_path: Path) -> None:
    """Fused work would be lost: the error names the operand."""
    shutil.copytree(BLOBS / "softmax", tmp_path / "softmax")
    path = tmp_path / "softmax" / "kernel.ptx"
    path.write_text(path.read_text().replace('.pragma "slot store y[row, c]";', ""))
    text = """
func.func @main(%x: tensor<4x50xf32>) -> tensor<4x50xf32> {
  %e = tensor.empty() : tensor<4x50xf32>
  %s = linalg.softmax dimension(1) ins(%x : tensor<4x50xf32>) outs(%e : tensor<4x50xf32>) -> tensor<4x50xf32>
  return %s : tensor<4x50xf32>
}
"""
    with pytest.raises(PayloadError, match="the entry has no slot for y"):
        Built(tmp_path, text, kernels=(tmp_path / "softmax",))
