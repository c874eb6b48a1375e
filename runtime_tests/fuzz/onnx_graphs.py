"""Random small ONNX graphs, as functions imported by IREE's importer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from runtime_tests.fuzz.choices import Choices
from runtime_tests.fuzz.function import SETS, Argument, Function, Size

OPSET = 18
UNARY = (
    "Relu",
    "Sigmoid",
    "Tanh",
    "Exp",
    "Neg",
    "Abs",
    "Sqrt",
    "Erf",
    "LeakyRelu",
    "HardSwish",
    "HardSigmoid",
    "Elu",
    "Softplus",
    "Floor",
    "Sign",
    "Reciprocal",
    "Log",
    "Sin",
    "Cos",
)
BINARY = ("Add", "Mul", "Sub", "Div", "Max", "Min")


class Graph:
    """A graph under construction: a chain of nodes on one value, with earlier values as further operands."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.nodes: list[Any] = []
        self.inputs: list[tuple[str, tuple[Size, ...]]] = []
        self.initializers: list[Any] = []
        self.values: dict[str, tuple[Size, ...]] = {}
        self.kinds: list[str] = []
        self._count = 0

    def input(self, shape: Sequence[Size]) -> str:
        """A new input of f32."""
        name = f"x{len(self.inputs)}"
        self.inputs.append((name, tuple(shape)))
        self.values[name] = tuple(shape)
        return name

    def weight(self, shape: Sequence[int], *, positive: bool = False) -> str:
        """An initializer, or an input now and then."""
        c = self.choices
        if not positive and c.chance(25):
            return self.input([Size((n,) * SETS) for n in shape])
        random = np.random.default_rng(c.below(1000))
        values = random.standard_normal(shape).astype(np.float32)
        return self.constant(np.abs(values) + np.float32(0.1) if positive else values)

    def constant(self, values: Any) -> str:
        """An initializer with these values."""
        from onnx import numpy_helper

        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, inputs: Sequence[str], shape: Sequence[Size], count: int = 1, **attributes: Any) -> str:
        """Adds a node; its first result."""
        from onnx import helper

        self._count += 1
        names = [f"v{self._count}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        self.values[names[0]] = tuple(shape)
        self.kinds.append(op)
        return names[0]

    def static(self, value: str) -> list[int]:
        """The sizes of a value in the first set."""
        return [s.values[0] for s in self.values[value]]


def _elementwise(g: Graph, x: str) -> str:
    c, shape = g.choices, g.values[x]
    if c.chance(50):
        return g.node(c.pick(UNARY), [x], shape)
    if c.chance(15):
        return g.node("Clip", [x, g.constant(np.float32(0)), g.constant(np.float32(6))], shape)
    kept = [s.values[0] if not s.open and c.chance(60) else 1 for s in shape]
    while kept and kept[0] == 1 and c.chance(50):
        kept = kept[1:]
    same = [n for n, s in g.values.items() if s == shape and n != x]
    other = c.pick(same) if same and c.chance(30) else x if c.chance(5) else g.weight(kept)
    pair = [x, other] if not c.chance(30) else [other, x]
    return g.node(c.pick(BINARY), pair, shape)


def _matmul(g: Graph, x: str) -> str:
    c, shape = g.choices, g.values[x]
    n = c.pick((4, 8, 1, 17, 33))
    if len(shape) == 2 and c.chance(50):
        trans_a = int(c.chance(15) and not shape[0].open)
        rows, k = (shape[1], shape[0]) if trans_a else shape
        trans_b = int(c.chance(40))
        inputs = [x, g.weight([n, k.values[0]] if trans_b else [k.values[0], n])]
        if c.chance(70):
            inputs.append(g.weight(c.pick(([n], [1, n], [1], []))))
        attributes = {"transA": trans_a, "transB": trans_b}
        if c.chance(25):
            attributes |= {"alpha": 0.5, "beta": 2.0}
        return g.node("Gemm", inputs, [rows, Size((n,) * SETS)], **attributes)
    k = shape[-1].values[0]
    batch = [s.values[0] for s in shape[:-2]] if not any(s.open for s in shape) and c.chance(30) else []
    return g.node("MatMul", [x, g.weight([*batch, k, n])], [*shape[:-1], Size((n,) * SETS)])


def _window(g: Graph, x: str) -> tuple[list[int], list[int], list[int], list[int], list[Size]] | None:
    c, shape = g.choices, g.values[x]
    spatial = [s.values[0] for s in shape[2:]]
    kernel = [min(c.pick((3, 1, 2, 5)), n) for n in spatial]
    strides = [c.pick((1, 2, 1, 3)) for _ in spatial]
    dilations = [c.pick((1, 1, 2)) if 2 * (k - 1) < n else 1 for k, n in zip(kernel, spatial, strict=True)]
    pads = [c.pick((0, 1)) if k > 1 else 0 for k in (*kernel, *kernel)]
    rank = len(spatial)
    out = [
        (n + pads[i] + pads[i + rank] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, n in enumerate(spatial)
    ]
    if min(out) < 1:
        return None
    return kernel, strides, dilations, pads, [Size((n,) * SETS) for n in out]


def _conv(g: Graph, x: str) -> str:
    c, shape = g.choices, g.values[x]
    if len(shape) not in (3, 4):
        return _elementwise(g, x)
    found = _window(g, x)
    if found is None:
        return _elementwise(g, x)
    kernel, strides, dilations, pads, out = found
    channels = shape[1].values[0]
    group = c.pick((1, 1, channels))
    filters = group * c.pick((1, 2, 4)) if group > 1 else c.pick((4, 1, 7, 16))
    inputs = [x, g.weight([filters, channels // group, *kernel])]
    if c.chance(60):
        inputs.append(g.weight([filters]))
    return g.node(
        "Conv",
        inputs,
        [shape[0], Size((filters,) * SETS), *out],
        group=group,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )


def _pool(g: Graph, x: str) -> str:
    c, shape = g.choices, g.values[x]
    if len(shape) not in (3, 4):
        return _elementwise(g, x)
    if c.chance(25):
        one = Size((1,) * SETS)
        return g.node(c.pick(("GlobalAveragePool", "GlobalMaxPool")), [x], [*shape[:2], *[one] * (len(shape) - 2)])
    found = _window(g, x)
    if found is None:
        return _elementwise(g, x)
    kernel, strides, _, pads, out = found
    out = [
        Size(((s.values[0] + pads[i] + pads[i + len(out)] - kernel[i]) // strides[i] + 1,) * SETS)
        for i, s in enumerate(shape[2:])
    ]
    op = c.pick(("MaxPool", "AveragePool"))
    return g.node(op, [x], [*shape[:2], *out], kernel_shape=kernel, strides=strides, pads=pads)


def _rows(g: Graph, x: str) -> str:
    c, shape = g.choices, g.values[x]
    n = shape[-1].values[0]
    kind = c.pick(("Softmax", "LayerNormalization", "LogSoftmax", "BatchNormalization", "InstanceNormalization"))
    if kind in ("BatchNormalization", "InstanceNormalization") and len(shape) > 2:
        k = shape[1].values[0]
        inputs = [x, g.weight([k]), g.weight([k])]
        if kind == "BatchNormalization":
            inputs += [g.weight([k]), g.weight([k], positive=True)]
        return g.node(kind, inputs, shape)
    if kind == "LayerNormalization":
        return g.node(kind, [x, g.weight([n]), g.weight([n])], shape, axis=-1, epsilon=1e-5)
    return g.node("Softmax" if kind != "LogSoftmax" else kind, [x], shape, axis=c.pick((-1, len(shape) - 1)))


def _reduce(g: Graph, x: str) -> str:
    c, shape = g.choices, g.values[x]
    op = c.pick(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare"))
    axes = [d for d, s in enumerate(shape) if not s.open and c.chance(50)] or [len(shape) - 1]
    keep = int(not c.chance(50)) or int(len(axes) == len(shape))
    one = Size((1,) * SETS)
    out = [one if d in axes else s for d, s in enumerate(shape) if keep or d not in axes]
    return g.node(op, [x, g.constant(np.array(axes))], out, keepdims=keep)


def _move(g: Graph, x: str) -> str:
    c, shape = g.choices, g.values[x]
    kind = c.pick(("Transpose", "Concat", "Slice", "Pad", "Reshape", "Gather"))
    rank = len(shape)
    if kind == "Transpose":
        order = c.permuted(list(range(rank)))
        return g.node(kind, [x], [shape[d] for d in order], perm=order)
    d = rank - 1
    n = shape[d].values[0]
    if kind == "Concat":
        return g.node(kind, [x, x], [*shape[:d], Size((2 * n,) * SETS)], axis=d)
    if kind == "Slice" and n > 1:
        start, step = c.below(n), c.pick((1, 2))
        size = -(-(n - start) // step)
        arrays = [g.constant(np.array([v])) for v in (start, n, d, step)]
        return g.node(kind, [x, *arrays], [*shape[:d], Size((size,) * SETS)])
    if kind == "Pad":
        pads = [0] * (2 * rank)
        pads[d], pads[2 * rank - 1] = c.pick((0, 1, 2)), c.pick((1, 0, 2))
        size = n + pads[d] + pads[2 * rank - 1]
        inputs = [x, g.constant(np.array(pads)), g.constant(np.float32(c.pick((0, 1))))]
        return g.node(kind, inputs, [*shape[:d], Size((size,) * SETS)])
    if kind == "Reshape" and rank > 2 and not shape[1].open:
        size = shape[1].values[0] * shape[2].values[0]
        to = [0, size, *[s.values[0] for s in shape[3:]]]
        return g.node(kind, [x, g.constant(np.array(to))], [shape[0], Size((size,) * SETS), *shape[3:]])
    places = [c.below(n) for _ in range(c.pick((1, 3, 4)))]
    return g.node("Gather", [x, g.constant(np.array(places))], [*shape[:d], Size((len(places),) * SETS)], axis=d)


def _quantized(g: Graph, x: str) -> str:
    """To 8 bits and back, and now and then a product with weights of 8 bits."""
    c, shape = g.choices, g.values[x]
    scale = g.constant(np.float32(c.pick((0.05, 0.1, 0.007))))
    kind = c.pick((np.int8, np.uint8))
    zero = g.constant(kind(c.pick((0, 3, 17))))
    small = g.node("QuantizeLinear", [x, scale, zero], shape)
    back = g.node("DequantizeLinear", [small, scale, zero], shape)
    if not c.chance(50):
        return back
    n = c.pick((4, 8, 1, 17))
    random = np.random.default_rng(c.below(1000))
    weights = g.constant(random.integers(-100, 100, (shape[-1].values[0], n)).astype(np.int8))
    sizes = [shape[-1], Size((n,) * SETS)]
    wide = g.node("DequantizeLinear", [weights, g.constant(np.float32(0.01)), g.constant(np.int8(0))], sizes)
    return g.node("MatMul", [back, wide], [*shape[:-1], sizes[1]])


OPERATIONS: tuple[tuple[int, Callable[[Graph, str], str]], ...] = (
    (22, _matmul),
    (16, _conv),
    (20, _elementwise),
    (6, _pool),
    (12, _rows),
    (8, _reduce),
    (8, _move),
    (8, _quantized),
)


def draw_graph(seed: str, record: Sequence[int] | None = None) -> Function:
    """The graph of a seed, or of a record of choices."""
    c = Choices(seed, record=record)
    g = Graph(c)
    rank = c.pick((2, 4, 3, 2, 4))
    batch = Size((c.pick((2, 1, 3, 5)),) * SETS)
    if c.chance(25):
        batch = Size((batch.values[0], c.pick((1, 4, 7))), open=True)
    most = (0, 0, 40, 16, 9)[rank]
    x = g.input(
        [
            batch,
            *(Size((c.pick([n for n in (4, 3, 8, 1, 5, 7, 9, 16, 33) if n <= most]),) * SETS) for _ in range(rank - 1)),
        ]
    )
    for _ in range(c.pick((1, 2, 3, 4))):
        if len(g.values[x]) < 2:
            break
        x = c.weighted(OPERATIONS)(g, x)
        if c.chance(40):
            x = _elementwise(g, x)
    if not g.nodes:
        x = _elementwise(g, x)
    text = _imported(g, x)
    arguments = tuple(Argument(shape, "f32") for _, shape in g.inputs)
    return Function(
        seed=seed,
        choices=tuple(c.taken),
        arguments=arguments,
        parts=(text,),
        results=1,
        kinds=tuple(f"onnx.{k}" for k in g.kinds),
        imported=True,
    )


def _imported(g: Graph, result: str) -> str:
    """Return the imported function's text, after its name."""
    from iree.compiler import ir
    from iree.compiler.extras import onnx_importer
    from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

    def info(name: str, shape: tuple[Size, ...] | None) -> Any:
        sizes = None if shape is None else ["N" if s.open else s.values[0] for s in shape]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)

    graph = helper.make_graph(
        g.nodes, "f", [info(*i) for i in g.inputs], [info(result, g.values[result])], g.initializers
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    checker.check_model(model)
    model = shape_inference.infer_shapes(model, data_prop=True)
    with ir.Context() as context:
        module_info = onnx_importer.ModelInfo(model)
        module = module_info.create_module(context=context).operation
        onnx_importer.NodeImporter.define_function(module_info.main_graph, module).import_all()
        (function,) = [op.operation for op in module.regions[0].blocks[0].operations]
        text = str(function.get_asm(use_local_scope=True)).removeprefix("func.func @f")
    values = {t.name: numpy_helper.to_array(t).tobytes().hex().upper() for t in g.initializers}
    # (a function's text lacks the resources of its module)
    return re.sub(r"dense_resource<_?(w\d+)\w*>", lambda m: f'dense<"0x{values[m[1]]}">', text)
