"""Models for tests: magika with its real weights from PyPI, and small ones with seeded weights, as ONNX files.

Each comes with inputs and with what onnxruntime gives for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from substitute.bench.graph import Graph
from substitute.bench.models import fix_batch, magika_onnx, magika_tokens
from substitute.bench.subject import Array, run_onnxruntime

__all__ = ["BUILDERS", "Model", "fix_batch", "magika_onnx", "magika_tokens", "run_onnxruntime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file, one set of inputs and the expected results."""

    name: str
    path: Path
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    """onnxruntime's, on one thread."""


def make_magika(folder: Path) -> Model:
    """Magika for batches of four."""
    path = fix_batch(magika_onnx(), folder / "magika.onnx", 4)
    return _with_expected("magika", path, (magika_tokens(4),))


def make_magika_dynamic(folder: Path) -> Model:
    """Magika as it comes, any batch; the inputs are a batch of three."""
    del folder  # the file stays where the package has it
    return _with_expected("magika_dynamic", magika_onnx(), (magika_tokens(3),))


def make_mlp(folder: Path) -> Model:
    """Three dense layers with ReLU, one with a residual: [8, 64] → [8, 10]."""
    graph = Graph()
    x = graph.input("x", graph.normal(8, 64))
    hidden = graph.add("Relu", graph.dense(x, 64, 96))
    again = graph.add("Add", graph.add("Relu", graph.dense(hidden, 96, 96)), hidden)
    graph.output(graph.dense(again, 96, 10), [8, 10])
    return _finish(graph, "mlp", folder)


def make_convnet(folder: Path) -> Model:
    """2-D convolutions: 3×3, strided, depthwise, pointwise with clip, pooled: [2, 3, 32, 32] → [2, 10]."""
    graph = Graph()
    image = graph.input("x", graph.normal(2, 3, 32, 32))
    x = graph.add("Relu", graph.conv(image, 3, 16, kernel=3, stride=2))
    x = graph.clip(graph.conv(x, 16, 16, kernel=3, groups=16))
    x = graph.add("Relu", graph.conv(x, 16, 32, kernel=1))
    x = graph.add("Add", graph.conv(x, 32, 32, kernel=3), x)
    x = graph.clip(graph.conv(x, 32, 32, kernel=5, stride=2, groups=32))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    graph.output(graph.dense(x, 32, 10), [2, 10])
    return _finish(graph, "convnet", folder)


def make_transformer(folder: Path) -> Model:
    """One block: layer norm, two-headed attention, GELU (with erf): [2, 16, 32] → [2, 16, 32]."""
    batch, length, width, heads = 2, 16, 32, 2
    graph = Graph()
    given = graph.input("x", graph.normal(batch, length, width))
    x = graph.layer_norm(given, width)
    split = graph.constant(np.array([batch, length, heads, width // heads], np.int64))
    merged = graph.constant(np.array([batch, length, width], np.int64))
    query, key, value = (graph.add("Reshape", graph.dense(x, width, width), split) for _ in range(3))
    scores = graph.add(
        "MatMul",
        graph.add("Transpose", query, perm=[0, 2, 1, 3]),
        graph.add("Transpose", key, perm=[0, 2, 3, 1]),
    )
    scale = graph.constant(np.array((width // heads) ** -0.5, np.float32))
    weights = graph.add("Softmax", graph.add("Mul", scores, scale), axis=-1)
    mixed = graph.add("MatMul", weights, graph.add("Transpose", value, perm=[0, 2, 1, 3]))
    joined = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), merged)
    x = graph.add("Add", graph.dense(joined, width, width), given)
    hidden = graph.gelu(graph.dense(graph.layer_norm(x, width), width, 4 * width))
    graph.output(graph.add("Add", graph.dense(hidden, 4 * width, width), x), [batch, length, width])
    return _finish(graph, "transformer", folder)


BUILDERS: tuple[tuple[str, Callable[[Path], Model]], ...] = (
    ("magika", make_magika),
    ("magika_dynamic", make_magika_dynamic),
    ("mlp", make_mlp),
    ("convnet", make_convnet),
    ("transformer", make_transformer),
)
"""Every model by name."""


def _finish(graph: Graph, name: str, folder: Path) -> Model:
    path = folder / f"{name}.onnx"
    return _with_expected(name, path, graph.finish(name, path))


def _with_expected(name: str, path: Path, inputs: tuple[Array, ...]) -> Model:
    return Model(name=name, path=path, inputs=inputs, expected=run_onnxruntime(path, inputs))
