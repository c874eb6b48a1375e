"""Models for tests: magika with its real weights from PyPI, and small ones with seeded weights, as ONNX files.

Each comes with inputs and with what onnxruntime gives for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
OPSET = 17
SEED = 20240531


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file, one set of inputs and the expected results."""

    name: str
    path: Path
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    """onnxruntime's, on one thread."""


def magika_onnx() -> Path:
    """The ONNX file inside the installed package `magika`: int32 [batch, 2048] → f32 [batch, types], batch open."""
    import importlib.util

    spec = importlib.util.find_spec("magika")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package magika is not installed: pip install magika")
    found = sorted(Path(spec.origin).parent.glob("models/*/model.onnx"))
    if not found:
        raise FileNotFoundError(f"no models/*/model.onnx below {Path(spec.origin).parent}")
    return found[-1]


def fix_batch(source: Path, target: Path, batch: int) -> Path:
    """Writes `source` with its first dimension fixed at `batch`, shapes inferred anew."""
    import onnx

    model = onnx.load(source)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # they still speak of the open batch
    model = onnx.shape_inference.infer_shapes(model)
    onnx.save(model, target)
    return target


def run_onnxruntime(path: Path, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """All outputs of an ONNX file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return tuple(session.run(None, dict(zip(names, inputs, strict=True))))


def make_magika(folder: Path) -> Model:
    """Magika for batches of four."""
    path = fix_batch(magika_onnx(), folder / "magika.onnx", 4)
    return _with_expected("magika", path, (magika_tokens(4),))


def make_magika_dynamic(folder: Path) -> Model:
    """Magika as it comes, any batch; the inputs are a batch of three."""
    del folder  # the file stays where the package has it
    return _with_expected("magika_dynamic", magika_onnx(), (magika_tokens(3),))


def magika_tokens(batch: int) -> Array:
    """[batch, 2048] int32: text-like bytes, the last quarter of every row padding (token 256)."""
    random = np.random.default_rng(SEED)
    tokens = random.integers(32, 127, (batch, 2048), dtype=np.int32)
    tokens[:, 768:1024] = 256
    return tokens


def make_mlp(folder: Path) -> Model:
    """Three dense layers with ReLU, one with a residual: [8, 64] → [8, 10]."""
    graph = _Graph()
    hidden = graph.add("Relu", graph.dense("x", 64, 96))
    again = graph.add("Add", graph.add("Relu", graph.dense(hidden, 96, 96)), hidden)
    graph.output(graph.dense(again, 96, 10), [8, 10])
    return graph.finish("mlp", folder, {"x": [8, 64]})


def make_convnet(folder: Path) -> Model:
    """2-D convolutions: 3×3, strided, depthwise, pointwise with clip, pooled: [2, 3, 32, 32] → [2, 10]."""
    graph = _Graph()
    x = graph.add("Relu", graph.conv("x", 3, 16, kernel=3, stride=2))
    x = graph.clip(graph.conv(x, 16, 16, kernel=3, groups=16))
    x = graph.add("Relu", graph.conv(x, 16, 32, kernel=1, padding=0))
    x = graph.add("Add", graph.conv(x, 32, 32, kernel=3), x)
    x = graph.clip(graph.conv(x, 32, 32, kernel=5, stride=2, groups=32))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    graph.output(graph.dense(x, 32, 10), [2, 10])
    return graph.finish("convnet", folder, {"x": [2, 3, 32, 32]})


def make_transformer(folder: Path) -> Model:
    """One block: layer norm, two-headed attention, GELU (with erf): [2, 16, 32] → [2, 16, 32]."""
    batch, length, width, heads = 2, 16, 32, 2
    graph = _Graph()
    x = graph.layer_norm("x", width)
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
    x = graph.add("Add", graph.dense(joined, width, width), "x")
    hidden = graph.gelu(graph.dense(graph.layer_norm(x, width), width, 4 * width))
    graph.output(graph.add("Add", graph.dense(hidden, 4 * width, width), x), [batch, length, width])
    return graph.finish("transformer", folder, {"x": [batch, length, width]})


BUILDERS: tuple[tuple[str, Callable[[Path], Model]], ...] = (
    ("magika", make_magika),
    ("magika_dynamic", make_magika_dynamic),
    ("mlp", make_mlp),
    ("convnet", make_convnet),
    ("transformer", make_transformer),
)
"""Every model by name."""


class _Graph:
    """An ONNX graph under construction; methods return the name of what they add."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(SEED)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.outputs: list[Any] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        import onnx

        name = f"v{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Array) -> str:
        import onnx

        name = f"c{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int, reduced: int) -> str:
        """Normal weights, scaled so that a sum over `reduced` products keeps its size."""
        return self.constant((self.random.standard_normal(shape) / np.sqrt(reduced)).astype(np.float32))

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        product = self.add("MatMul", x, self.weight(inputs, outputs, reduced=inputs))
        return self.add("Add", product, self.weight(outputs, reduced=4))

    def conv(
        self, x: str, inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1, padding: int = -1
    ) -> str:
        """A square 2-D convolution with bias; padding that keeps the size unless said otherwise."""
        pad = kernel // 2 if padding < 0 else padding
        weight = self.weight(outputs, inputs // groups, kernel, kernel, reduced=inputs // groups * kernel**2)
        return self.add(
            "Conv", x, weight, self.weight(outputs, reduced=4),
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=groups,
        )  # fmt: skip

    def clip(self, x: str) -> str:
        low, high = (self.constant(np.array(limit, np.float32)) for limit in (0.0, 6.0))
        return self.add("Clip", x, low, high)

    def layer_norm(self, x: str, width: int) -> str:
        scale = self.constant((1 + 0.1 * self.random.standard_normal(width)).astype(np.float32))
        return self.add("LayerNormalization", x, scale, self.weight(width, reduced=4), axis=-1, epsilon=1e-5)

    def gelu(self, x: str) -> str:
        root, one, half = (self.constant(np.array(v, np.float32)) for v in (2**-0.5, 1.0, 0.5))
        erf = self.add("Erf", self.add("Mul", x, root))
        return self.add("Mul", self.add("Mul", x, half), self.add("Add", erf, one))

    def output(self, name: str, shape: list[int]) -> None:
        import onnx

        self.outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))

    def finish(self, name: str, folder: Path, inputs: dict[str, list[int]]) -> Model:
        import onnx

        declared = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in inputs.items()]
        graph = onnx.helper.make_graph(self.nodes, name, declared, self.outputs, self.initializers)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        path = folder / f"{name}.onnx"
        onnx.save(model, path)
        values = tuple(self.random.standard_normal(shape).astype(np.float32) for shape in inputs.values())
        return _with_expected(name, path, values)


def _with_expected(name: str, path: Path, inputs: tuple[Array, ...]) -> Model:
    return Model(name=name, path=path, inputs=inputs, expected=run_onnxruntime(path, inputs))
