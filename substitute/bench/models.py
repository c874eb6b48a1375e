"""The models that are part of the benchmark: ONNX graphs of well-known architectures, written here.

Magika and MiniLM have their real weights, from packages; the others seeded ones. All expected results are
onnxruntime's. The graphs spell attention, norms and rotary embeddings as exports from torch do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..errors import ModelError, SubstituteError
from .graph import SEED, Graph
from .minilm import minilm_weights
from .subject import Array, Subject, run_onnxruntime
from .transformer import (
    MASKED,
    Transformer,
    attention,
    bert_encoder,
    causal_mask,
    first_rows,
    repeat_heads,
    rms_norm,
    rotate,
    rotation,
    split_heads,
    tanh_gelu,
    token_ids,
)

RANDOM_WEIGHTS = "seeded random weights"
REAL_WEIGHTS = "real weights"
GPT2 = Transformer(layers=2, width=256, heads=4, hidden=1024, vocabulary=1024, positions=256, batch=1, length=64)
LLAMA = Transformer(
    layers=2, width=256, heads=8, key_heads=4, hidden=688, vocabulary=1024, positions=0, batch=1, length=64
)
BERT = Transformer(layers=2, width=256, heads=4, hidden=1024, vocabulary=1024, positions=512, batch=4, length=64)
MINILM = Transformer(layers=6, width=384, heads=12, hidden=1536, vocabulary=30522, positions=512, batch=1, length=128)
MOBILENET_BLOCKS = ((6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions, first stride: table 2 of the MobileNetV2 paper after its first bottleneck."""


def magika_onnx() -> Path:
    """Return the ONNX file of the installed package `magika`: int32 [batch, 2048] → f32 [batch, types], batch open."""
    import importlib.util

    spec = importlib.util.find_spec("magika")
    found = sorted(Path(spec.origin).parent.glob("models/*/model.onnx")) if spec and spec.origin else []
    if not found:
        raise ModelError(
            "the model of magika is missing",
            expected="the package magika, with models/*/model.onnx",
            found="no such package" if spec is None else "a package without it",
            next_step="pip install magika",
        )
    return found[-1]


def fix_batch(source: Path, target: Path, batch: int) -> Path:
    """Write `source` with its first dimension fixed at `batch`, shapes inferred anew."""
    import onnx

    model = onnx.load(source)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # they would still have the open batch
    model = onnx.shape_inference.infer_shapes(model)
    onnx.save(model, target)
    return target


def magika_tokens(batch: int) -> Array:
    """Return [batch, 2048] int32: text-like bytes, a quarter of every row padding (token 256)."""
    tokens = np.random.default_rng(SEED).integers(32, 127, (batch, 2048), dtype=np.int32)
    tokens[:, 768:1024] = 256
    return tokens


def make_magika(folder: Path) -> Subject:
    """Make Google's file-type detector, batch 4: [4, 2048] i32 → [4, types]."""
    path = fix_batch(magika_onnx(), folder / "magika.onnx", 4)
    return _subject("magika", path, (magika_tokens(4),), REAL_WEIGHTS)


def make_minilm(folder: Path) -> Subject:
    """Make the sentence embedding all-MiniLM-L6-v2: ids and mask [1, 128] i64 → [1, 128, 384]."""
    weights: Mapping[str, Array] | None = None
    note = REAL_WEIGHTS
    try:
        weights = minilm_weights()
    except SubstituteError as error:
        note = f"{RANDOM_WEIGHTS}: {error.what}" + (f" ({error.found})" if error.found else "")
    graph = Graph(weights=weights)
    ids, mask = token_ids(graph, MINILM), graph.input("mask", np.ones((MINILM.batch, MINILM.length), np.int64))
    # [batch, 1, 1, length]: 0 where a token counts
    wide = graph.add("Unsqueeze", graph.add("Cast", mask, to=9), graph.ints(1, 2))
    scores_mask = graph.add("Where", wide, graph.scalar(0.0), graph.scalar(MASKED))
    bert_encoder(graph, MINILM, ids, scores_mask)
    return _finish(graph, "minilm_s128", folder, note)


def make_bert(folder: Path) -> Subject:
    """Make BERT, small: ids [4, 64] i64 → [4, 64, 256]."""
    graph = Graph()
    bert_encoder(graph, BERT, token_ids(graph, BERT), "")
    return _finish(graph, "bert", folder)


def make_gpt2(folder: Path) -> Subject:
    """Make GPT-2, small: ids [1, 64] i64 → logits [1, 64, 1024]."""
    graph, size = Graph(), GPT2
    table = graph.weight("wte", size.vocabulary, size.width, reduced=size.width)
    positions = graph.weight("wpe", size.positions, size.width, reduced=size.width)
    x = graph.add("Add", graph.add("Gather", table, token_ids(graph, size)), first_rows(graph, positions, size.length))
    for _ in range(size.layers):
        both = graph.dense(graph.layer_norm(x, size.width), size.width, 3 * size.width)
        query, key, value = (
            split_heads(graph, part, size, size.heads)
            for part in graph.add_many("Split", 3, both, graph.ints(*[size.width] * 3), axis=2)
        )
        mixed = attention(graph, size, query, key, value, causal_mask(graph, size.length))
        x = graph.add("Add", graph.dense(mixed, size.width, size.width), x)
        inner = tanh_gelu(graph, graph.dense(graph.layer_norm(x, size.width), size.width, size.hidden))
        x = graph.add("Add", x, graph.dense(inner, size.hidden, size.width))
    logits = graph.add("MatMul", graph.layer_norm(x, size.width), graph.add("Transpose", table, perm=[1, 0]))
    graph.output(logits, (size.batch, size.length, size.vocabulary))
    return _finish(graph, "gpt2", folder)


def make_llama(folder: Path) -> Subject:
    """Make Llama, small: ids and positions [1, 64] i64 → logits [1, 64, 1024]."""
    graph, size = Graph(), LLAMA
    table = graph.weight("embedding", size.vocabulary, size.width, reduced=size.width)
    x = graph.add("Gather", table, token_ids(graph, size))
    positions = graph.input("positions", np.arange(size.length, dtype=np.int64)[None])
    turns = rotation(graph, positions, size.head)
    for _ in range(size.layers):
        normal = rms_norm(graph, x, size.width)
        query, key, value = (
            split_heads(graph, graph.dense(normal, size.width, heads * size.head, bias=False), size, heads)
            for heads in (size.heads, size.key_heads, size.key_heads)
        )
        key = repeat_heads(graph, rotate(graph, key, turns, size.head), size)
        value = repeat_heads(graph, value, size)
        query = rotate(graph, query, turns, size.head)
        mixed = attention(graph, size, query, key, value, causal_mask(graph, size.length))
        x = graph.add("Add", x, graph.dense(mixed, size.width, size.width, bias=False))
        normal = rms_norm(graph, x, size.width)
        gate = graph.dense(normal, size.width, size.hidden, bias=False)
        gate = graph.add("Mul", gate, graph.add("Sigmoid", gate))
        inner = graph.add("Mul", gate, graph.dense(normal, size.width, size.hidden, bias=False))
        x = graph.add("Add", x, graph.dense(inner, size.hidden, size.width, bias=False))
    logits = graph.dense(rms_norm(graph, x, size.width), size.width, size.vocabulary, bias=False)
    graph.output(logits, (size.batch, size.length, size.vocabulary))
    return _finish(graph, "llama_f32", folder)


def make_mobilenet(folder: Path) -> Subject:
    """Make MobileNetV2, batch normalisation folded in: [1, 3, 224, 224] → [1, 1000]."""
    graph = Graph()
    x = graph.input("image", graph.normal(1, 3, 224, 224))
    x = graph.clip(graph.conv(x, 3, 32, kernel=3, stride=2, pads=[0, 0, 1, 1]))
    x = graph.clip(graph.conv(x, 32, 32, kernel=3, groups=32))
    x = graph.conv(x, 32, 16, kernel=1)
    inputs = 16
    for expansion, outputs, repetitions, first_stride in MOBILENET_BLOCKS:
        for number in range(repetitions):
            stride = first_stride if number == 0 else 1
            inner = graph.clip(graph.conv(x, inputs, expansion * inputs, kernel=1))
            pads = [0, 0, 1, 1] if stride == 2 else None
            inner = graph.clip(
                graph.conv(
                    inner,
                    expansion * inputs,
                    expansion * inputs,
                    kernel=3,
                    stride=stride,
                    groups=expansion * inputs,
                    pads=pads,
                )
            )
            inner = graph.conv(inner, expansion * inputs, outputs, kernel=1)
            x = graph.add("Add", x, inner) if number else inner
            inputs = outputs
    x = graph.clip(graph.conv(x, inputs, 1280, kernel=1))
    x = graph.add("Reshape", graph.add("ReduceMean", x, axes=[2, 3], keepdims=1), graph.ints(1, 1280))
    graph.output(graph.dense(x, 1280, 1000), (1, 1000))
    return _finish(graph, "mobilenetv2", folder)


BUILDERS: tuple[tuple[str, Callable[[Path], Subject]], ...] = (
    ("magika", make_magika),
    ("minilm_s128", make_minilm),
    ("gpt2", make_gpt2),
    ("llama_f32", make_llama),
    ("mobilenetv2", make_mobilenet),
    ("bert", make_bert),
)
"""Every model by name."""


def _finish(graph: Graph, name: str, folder: Path, note: str = RANDOM_WEIGHTS) -> Subject:
    path = folder / f"{name}.onnx"
    return _subject(name, path, graph.finish(name, path), note)


def _subject(name: str, path: Path, inputs: tuple[Array, ...], note: str) -> Subject:
    expected = run_onnxruntime(path, inputs)
    return Subject(name=name, path=path, inputs=inputs, expected=expected, expected_from="onnxruntime", note=note)
