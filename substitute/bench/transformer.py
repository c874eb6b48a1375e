"""Building blocks of transformers as ONNX nodes, in the form that torch exports them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .graph import SEED, Graph

MASKED = float(np.finfo(np.float32).min)
"""Value that is added to a masked score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """Sizes of a transformer."""

    layers: int
    width: int
    heads: int
    hidden: int
    """Width inside the feed-forward part."""
    vocabulary: int
    positions: int
    batch: int
    length: int
    key_heads: int = 0
    """Number of heads of keys and values, if several heads of queries share one."""

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def token_ids(graph: Graph, size: Transformer) -> str:
    """Return an input of seeded tokens, [batch, length] i64."""
    values = np.random.default_rng(SEED).integers(0, size.vocabulary, (size.batch, size.length), dtype=np.int64)
    return graph.input("ids", values)


def bert_encoder(graph: Graph, size: Transformer, ids: str, mask: str) -> None:
    """Return BERT's encoder, with the names of its weights. `mask` is added to the scores; empty: none."""
    embedded = graph.weight("embeddings.word_embeddings.weight", size.vocabulary, size.width, reduced=size.width)
    types = graph.weight("embeddings.token_type_embeddings.weight", 2, size.width, reduced=size.width)
    positions = graph.weight("embeddings.position_embeddings.weight", size.positions, size.width, reduced=size.width)
    x = graph.add("Add", graph.add("Gather", embedded, ids), first_rows(graph, types, 1))
    x = graph.add("Add", x, first_rows(graph, positions, size.length))
    x = graph.layer_norm(x, size.width, name="embeddings.LayerNorm", epsilon=1e-12)
    for layer in range(size.layers):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            split_heads(
                graph, graph.dense(x, size.width, size.width, name=f"{name}.attention.self.{part}"), size, size.heads
            )
            for part in ("query", "key", "value")
        )
        mixed = attention(graph, size, query, key, value, mask)
        mixed = graph.dense(mixed, size.width, size.width, name=f"{name}.attention.output.dense")
        norm = f"{name}.attention.output.LayerNorm"
        x = graph.layer_norm(graph.add("Add", mixed, x), size.width, name=norm, epsilon=1e-12)
        inner = graph.gelu(graph.dense(x, size.width, size.hidden, name=f"{name}.intermediate.dense"))
        inner = graph.dense(inner, size.hidden, size.width, name=f"{name}.output.dense")
        norm = f"{name}.output.LayerNorm"
        x = graph.layer_norm(graph.add("Add", inner, x), size.width, name=norm, epsilon=1e-12)
    graph.output(x, (size.batch, size.length, size.width))


def attention(graph: Graph, size: Transformer, query: str, key: str, value: str, mask: str) -> str:
    """Return scaled dot-product attention as torch exports it; operands are [batch, heads, length, head].

    Both sides are multiplied by the scale's root, and a row without any token gives zeros.
    """
    root = graph.scalar(size.head**-0.25)
    turned = graph.add("Transpose", key, perm=[0, 1, 3, 2])
    scores = graph.add("MatMul", graph.add("Mul", query, root), graph.add("Mul", turned, root))
    if mask:
        scores = graph.add("Add", scores, mask)
    weights = graph.add("Softmax", scores, axis=-1)
    weights = graph.add("Where", graph.add("IsNaN", weights), graph.scalar(0.0), weights)
    mixed = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])
    return graph.add("Reshape", mixed, graph.ints(size.batch, size.length, size.width))


def split_heads(graph: Graph, x: str, size: Transformer, heads: int) -> str:
    """Convert [batch, length, heads · head] to [batch, heads, length, head]."""
    split = graph.add("Reshape", x, graph.ints(size.batch, size.length, heads, size.head))
    return graph.add("Transpose", split, perm=[0, 2, 1, 3])


def repeat_heads(graph: Graph, x: str, size: Transformer) -> str:
    """Repeat each head of keys or values for the heads of queries that share it."""
    shape = (size.batch, size.key_heads, size.heads // size.key_heads, size.length, size.head)
    wide = graph.add("Expand", graph.add("Unsqueeze", x, graph.ints(2)), graph.ints(*shape))
    return graph.add("Reshape", wide, graph.ints(size.batch, size.heads, size.length, size.head))


def causal_mask(graph: Graph, length: int) -> str:
    """Return [1, 1, length, length], added to the scores: the lowest number where the key comes after the query."""
    mask = np.triu(np.full((length, length), MASKED, np.float32), 1)
    return graph.constant(mask[None, None])


def first_rows(graph: Graph, table: str, rows: int) -> str:
    """Return [1, rows, width] of a table [more, width]."""
    return graph.add("Gather", table, graph.constant(np.arange(rows, dtype=np.int64)[None]))


def tanh_gelu(graph: Graph, x: str) -> str:
    """Return GPT-2's approximation: `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`."""
    cube = graph.add("Mul", graph.add("Pow", x, graph.scalar(3.0)), graph.scalar(0.044715))
    inner = graph.add("Mul", graph.add("Add", x, cube), graph.scalar(float(np.sqrt(2 / np.pi))))
    factor = graph.add("Add", graph.add("Tanh", inner), graph.scalar(1.0))
    return graph.add("Mul", graph.add("Mul", x, graph.scalar(0.5)), factor)


def rms_norm(graph: Graph, x: str, width: int) -> str:
    """Return `weight · x / √(mean of squares)` over the last axis."""
    mean = graph.add("ReduceMean", graph.add("Pow", x, graph.scalar(2.0)), axes=[-1], keepdims=1)
    root = graph.add("Sqrt", graph.add("Add", mean, graph.scalar(1e-6)))
    scale = graph.weight("", width, reduced=100, around=1.0)
    return graph.add("Mul", scale, graph.add("Mul", x, graph.add("Reciprocal", root)))


def rotation(graph: Graph, positions: str, head: int) -> tuple[str, str]:
    """Return cosine and sine [1, 1, length, head] of rotary embeddings. `positions`: [1, length] i64."""
    frequencies = graph.constant((10000.0 ** -(np.arange(0, head, 2) / head)).astype(np.float32))
    angles = graph.add("Unsqueeze", graph.add("Cast", positions, to=1), graph.ints(2))
    half = graph.add("Mul", angles, frequencies)
    both = graph.add("Unsqueeze", graph.add("Concat", half, half, axis=-1), graph.ints(1))
    return graph.add("Cos", both), graph.add("Sin", both)


def rotate(graph: Graph, x: str, rotation: tuple[str, str], head: int) -> str:
    """Return `x · cos + (−second half, first half) · sin` along the last axis."""
    cosine, sine = rotation
    first = graph.add("Slice", x, graph.ints(0), graph.ints(head // 2), graph.ints(3))
    second = graph.add("Slice", x, graph.ints(head // 2), graph.ints(head), graph.ints(3))
    turned = graph.add("Concat", graph.add("Neg", second), first, axis=-1)
    return graph.add("Add", graph.add("Mul", x, cosine), graph.add("Mul", turned, sine))
