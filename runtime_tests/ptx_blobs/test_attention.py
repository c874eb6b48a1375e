"""Attention with a mask, as an operation of IREE's own, on the simulated device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.ptx_blobs.programs import BLOBS, Built, normal

pytestmark = pytest.mark.device
ALONE = (BLOBS / "attention_f32",)
"""Without the kernel that takes what stands before it in a program."""


def attention(heads: int, queries: int, keys: int, size: int = 64, scale: str = "1.250000e-01") -> str:
    q, k, o = (f"tensor<{n}x{heads}x{size}xf32>" for n in (queries, keys, queries))
    turned = f"tensor<{heads}x{queries}x{size}xf32>"
    mask = f"tensor<{heads}x{queries}x{keys}x"
    return f"""
#q = affine_map<(h, m, e, d, n) -> (m, h, d)>
#k = affine_map<(h, m, e, d, n) -> (n, h, d)>
#v = affine_map<(h, m, e, d, n) -> (n, h, e)>
#scale = affine_map<(h, m, e, d, n) -> ()>
#mask = affine_map<(h, m, e, d, n) -> (h, m, n)>
#out = affine_map<(h, m, e, d, n) -> (h, m, e)>
func.func @main(%q: {q}, %k: {k}, %v: {k}, %bytes: {mask}i8>) -> {o} {{
  %scale = arith.constant {scale} : f32
  %mask = arith.trunci %bytes : {mask}i8> to {mask}i1>
  %e = tensor.empty() : {turned}
  %heads = "iree_linalg_ext.attention"(%q, %k, %v, %scale, %mask, %e)
      <{{indexing_maps = [#q, #k, #v, #scale, #mask, #out]}}> ({{
  ^bb0(%score: f32):
    iree_linalg_ext.yield %score : f32
  }}) : ({q}, {k}, {k}, f32, {mask}i1>, {turned}) -> {turned}
  %o = tensor.empty() : {o}
  %r = linalg.transpose ins(%heads : {turned}) outs(%o : {o}) permutation = [1, 0, 2]
  return %r : {o}
}}
"""


@pytest.mark.parametrize(("heads", "queries", "keys"), [(2, 40, 40), (3, 5, 70)])
def test_attention(tmp_path: Path, cuda_sim: str, heads: int, queries: int, keys: int) -> None:
    built = Built(tmp_path, attention(heads, queries, keys), kernels=ALONE)
    assert built.kernels == ["cuda_attention_f32"]
    q, k, v = normal(queries, heads, 64), normal(keys, heads, 64, seed=1), normal(keys, heads, 64, seed=2)
    mask = (np.random.default_rng(3).random((heads, queries, keys)) < 0.6).astype(np.int8)
    mask[:, :, -1] = 1
    mask[0, 0, :-1] = 0
    (found,) = built.run(cuda_sim, 3 * q, k, v, mask)
    scores = np.einsum("mhd,nhd->hmn", 3 * q.astype(np.float64), k) / 8
    scores = np.where(mask != 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, np.einsum("hmn,nhd->mhd", weights, v), atol=5e-6)
    np.testing.assert_allclose(found[0, 0], v[-1, 0], rtol=1e-5)  # one key only


@pytest.mark.parametrize(("size", "scale"), [(32, "1.250000e-01"), (64, "2.500000e-01")])
def test_what_it_does_not_take(tmp_path: Path, size: int, scale: str) -> None:
    """Heads of another size, and another scale than the one that is built in."""
    assert Built(tmp_path, attention(2, 8, 8, size, scale), kernels=ALONE).kernels == []
