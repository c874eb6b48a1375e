"""Small ONNX graphs of operators that become unusual dispatches: quantised, with scalars, loops, scans, searches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
Value = onnx.ValueInfoProto
OPSET = 19
_F, _I8, _U8, _I32, _I64, _B = (
    TensorProto.FLOAT,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
)
_RANDOM = np.random.default_rng(0)


def _tensor(name: str, shape: Sequence[int | str], kind: int = _F) -> Value:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _weights(**arrays: Array) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def _normal(*shape: int) -> Array:
    return _RANDOM.standard_normal(shape).astype(np.float32)


def _bytes(*shape: int, kind: Any = np.int8) -> Array:
    info = np.iinfo(kind)
    return _RANDOM.integers(info.min, info.max, shape).astype(kind)


def _graph(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[Value], outputs: Sequence[Value], weights: Sequence[Any] = ()
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def _one(
    op: str, inputs: Sequence[Value], outputs: Sequence[Value], weights: Sequence[Any] = (), **attributes: Any
) -> onnx.ModelProto:
    """A graph of one node: its operands are the inputs and then the weights."""
    names = [v.name for v in inputs] + [w.name for w in weights]
    node = helper.make_node(op, names, [v.name for v in outputs], **attributes)
    return _graph([node], inputs, outputs, weights)


def dynamic_quantized_matmul(rows: int | str = 16) -> onnx.ModelProto:
    """A layer as dynamic quantisation of a Transformer writes it."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=_F),
        helper.make_node("Mul", ["s", "ws"], ["ss"]),
        helper.make_node("Mul", ["f", "ss"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    weights = _weights(w=_bytes(32, 24), wz=np.int8(3), ws=np.float32(0.02), b=_normal(24))
    return _graph(nodes, [_tensor("x", [rows, 32])], [_tensor("y", [rows, 24])], weights)


def quantized_matmul() -> onnx.ModelProto:
    """QLinearMatMul between quantisation and its inverse."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearMatMul", ["q", "s", "z", "w", "ws", "wz", "ys", "yz"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "ys", "yz"], ["y"]),
    ]
    weights = _weights(
        s=np.float32(0.03),
        z=np.int8(4),
        w=_bytes(32, 24),
        ws=np.float32(0.01),
        wz=np.int8(0),
        ys=np.float32(0.1),
        yz=np.int8(-2),
    )
    return _graph(nodes, [_tensor("x", [16, 32])], [_tensor("y", [16, 24])], weights)


def quantized_convolution(channels: bool = False) -> onnx.ModelProto:
    """QLinearConv; `channels`: with a scale for each channel."""
    scale = np.linspace(0.01, 0.02, 6, dtype=np.float32) if channels else np.float32(0.01)
    zero = np.zeros(6, np.int8) if channels else np.int8(0)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "ys", "yz", "b"], ["r"], pads=[1, 1, 1, 1]),
        helper.make_node("DequantizeLinear", ["r", "ys", "yz"], ["y"]),
    ]
    weights = _weights(
        s=np.float32(0.03),
        z=np.uint8(128),
        w=_bytes(6, 4, 3, 3),
        ws=scale,
        wz=zero,
        ys=np.float32(0.1),
        yz=np.uint8(120),
        b=_RANDOM.integers(-99, 99, 6).astype(np.int32),
    )
    return _graph(nodes, [_tensor("x", [1, 4, 8, 8])], [_tensor("y", [1, 6, 8, 8])], weights)


def integer_convolution() -> onnx.ModelProto:
    """DynamicQuantizeLinear and ConvInteger."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("ConvInteger", ["q", "w", "z"], ["i"], pads=[1, 1, 1, 1]),
        helper.make_node("Cast", ["i"], ["f"], to=_F),
        helper.make_node("Mul", ["f", "s"], ["y"]),
    ]
    weights = _weights(w=_bytes(6, 4, 3, 3))
    return _graph(nodes, [_tensor("x", [1, 4, 8, 8])], [_tensor("y", [1, 6, 8, 8])], weights)


def gemm(transposed: bool = False, rows: int | str = 16) -> onnx.ModelProto:
    """α·A·B + β·C."""
    weights = _weights(w=_normal(24, 32) if transposed else _normal(32, 24), c=_normal(24))
    return _one(
        "Gemm",
        [_tensor("x", [rows, 32])],
        [_tensor("y", [rows, 24])],
        weights,
        alpha=0.5,
        beta=1.5,
        transB=int(transposed),
    )


def scaled_product() -> onnx.ModelProto:
    """A scalar that is an input."""
    nodes = [helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Mul", ["m", "s"], ["y"])]
    return _graph(nodes, [_tensor("a", [16, 32]), _tensor("b", [32, 24]), _tensor("s", [])], [_tensor("y", [16, 24])])


def _loop_body(kind: str) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("MatMul", ["v", "w"], ["m"]),
        helper.make_node("Tanh", ["m"], ["v_out"]),
    ]
    return helper.make_graph(
        nodes,
        kind,
        [_tensor("at", [], _I64), _tensor("go", [], _B), _tensor("v", [4, 16])],
        [_tensor("go_on", [], _B), _tensor("v_out", [4, 16])],
    )


def loop() -> onnx.ModelProto:
    """A loop whose count is an input."""
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=_loop_body("body"))
    return _graph(
        [node], [_tensor("n", [], _I64), _tensor("x", [4, 16])], [_tensor("y", [4, 16])], _weights(w=_normal(16, 16))
    )


def branch() -> onnx.ModelProto:
    """Two branches, one of which a Boolean input chooses."""
    then = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["t"])], "then", [], [_tensor("t", [4, 16])])
    other = helper.make_graph([helper.make_node("Sigmoid", ["x"], ["o"])], "else", [], [_tensor("o", [4, 16])])
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    return _graph(
        [node], [_tensor("c", [], _B), _tensor("x", [4, 16])], [_tensor("y", [4, 16])], _weights(w=_normal(16, 16))
    )


def scan() -> onnx.ModelProto:
    """A running sum by Scan."""
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "e"], ["s_out"]), helper.make_node("Identity", ["s_out"], ["o"])],
        "body",
        [_tensor("s", [4]), _tensor("e", [4])],
        [_tensor("s_out", [4]), _tensor("o", [4])],
    )
    node = helper.make_node("Scan", ["i", "x"], ["last", "y"], body=body, num_scan_inputs=1)
    return _graph([node], [_tensor("i", [4]), _tensor("x", [6, 4])], [_tensor("last", [4]), _tensor("y", [6, 4])])


def recurrent(op: str, gates: int, **attributes: Any) -> onnx.ModelProto:
    """An LSTM or a GRU over five steps."""
    weights = _weights(w=_normal(1, gates * 8, 6), r=_normal(1, gates * 8, 8), b=_normal(1, 2 * gates * 8))
    return _one(op, [_tensor("x", [5, 2, 6])], [_tensor("y", [5, 1, 2, 8])], weights, hidden_size=8, **attributes)


def topk() -> onnx.ModelProto:
    """The three largest."""
    return _one(
        "TopK",
        [_tensor("x", [4, 16])],
        [_tensor("v", [4, 3]), _tensor("i", [4, 3], _I64)],
        _weights(k=np.array([3], np.int64)),
        axis=1,
    )


def scattered(op: str, reduction: str = "none") -> onnx.ModelProto:
    """ScatterND or ScatterElements."""
    if op == "ScatterND":
        indices, updates = _tensor("i", [3, 1], _I64), _tensor("u", [3, 8])
    else:
        indices, updates = _tensor("i", [3, 8], _I64), _tensor("u", [3, 8])
    return _one(
        op,
        [_tensor("x", [10, 8]), indices, updates],
        [_tensor("y", [10, 8])],
        reduction=reduction,
    )


def resized(mode: str, coordinates: str) -> onnx.ModelProto:
    """Twice as large."""
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode=coordinates)
    return _graph(
        [node],
        [_tensor("x", [1, 3, 8, 8])],
        [_tensor("y", [1, 3, 16, 16])],
        _weights(s=np.array([1, 1, 2, 2], np.float32)),
    )


def unary(op: str, **attributes: Any) -> onnx.ModelProto:
    """One operator on a matrix."""
    return _one(op, [_tensor("x", [8, 16])], [_tensor("y", [8, 16])], **attributes)


GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    "dynamic_quantized_matmul": dynamic_quantized_matmul,
    "dynamic_quantized_matmul_rows": lambda: dynamic_quantized_matmul("n"),
    "quantized_matmul": quantized_matmul,
    "quantized_convolution": quantized_convolution,
    "quantized_convolution_channels": lambda: quantized_convolution(channels=True),
    "integer_convolution": integer_convolution,
    "gemm": gemm,
    "gemm_transposed": lambda: gemm(transposed=True),
    "gemm_rows": lambda: gemm(rows="n"),
    "scaled_product": scaled_product,
    "loop": loop,
    "branch": branch,
    "scan": scan,
    "lstm": lambda: recurrent("LSTM", 4),
    "gru": lambda: recurrent("GRU", 3, linear_before_reset=1),
    "rnn": lambda: recurrent("RNN", 1),
    "topk": topk,
    "cumsum": lambda: _one(
        "CumSum", [_tensor("x", [4, 16])], [_tensor("y", [4, 16])], _weights(a=np.array(1, np.int64))
    ),
    "cumsum_backwards": lambda: _one(
        "CumSum", [_tensor("x", [16])], [_tensor("y", [16])], _weights(a=np.array(0, np.int64)), reverse=1, exclusive=1
    ),
    "scatter_nd": lambda: scattered("ScatterND"),
    "scatter_nd_add": lambda: scattered("ScatterND", "add"),
    "scatter_elements": lambda: scattered("ScatterElements"),
    "gather_nd": lambda: _one("GatherND", [_tensor("x", [10, 8]), _tensor("i", [3, 1], _I64)], [_tensor("y", [3, 8])]),
    "gather_elements": lambda: _one(
        "GatherElements", [_tensor("x", [10, 8]), _tensor("i", [3, 8], _I64)], [_tensor("y", [3, 8])]
    ),
    "gather": lambda: _one("Gather", [_tensor("x", [10, 8]), _tensor("i", [3], _I64)], [_tensor("y", [3, 8])]),
    "nonzero": lambda: _one("NonZero", [_tensor("x", [8])], [_tensor("y", [1, "n"], _I64)]),
    "unique": lambda: _one("Unique", [_tensor("x", [8])], [_tensor("y", ["n"])]),
    "resize_linear": lambda: resized("linear", "half_pixel"),
    "resize_nearest": lambda: resized("nearest", "asymmetric"),
    "resize_corners": lambda: resized("linear", "align_corners"),
    "grid_sample": lambda: _one(
        "GridSample", [_tensor("x", [1, 2, 6, 6]), _tensor("g", [1, 4, 4, 2])], [_tensor("y", [1, 2, 4, 4])]
    ),
    "argmax": lambda: _one("ArgMax", [_tensor("x", [4, 16])], [_tensor("y", [4, 1], _I64)], axis=1),
    "one_hot": lambda: _one(
        "OneHot",
        [_tensor("x", [6], _I64)],
        [_tensor("y", [6, 10])],
        _weights(d=np.array(10, np.int64), v=np.array([0, 1], np.float32)),
    ),
    "range": lambda: _one(
        "Range", [_tensor("a", [], _I64), _tensor("b", [], _I64), _tensor("c", [], _I64)], [_tensor("y", ["n"], _I64)]
    ),
    "trilu": lambda: _one("Trilu", [_tensor("x", [8, 8]), _tensor("k", [], _I64)], [_tensor("y", [8, 8])]),
    "tile": lambda: _one("Tile", [_tensor("x", [4, 6]), _tensor("r", [2], _I64)], [_tensor("y", ["m", "n"])]),
    "expand": lambda: _one("Expand", [_tensor("x", [4, 1]), _tensor("s", [2], _I64)], [_tensor("y", ["m", "n"])]),
    "slice": lambda: _one(
        "Slice", [_tensor("x", [16, 6]), _tensor("b", [1], _I64), _tensor("e", [1], _I64)], [_tensor("y", ["n", 6])]
    ),
    "pad_reflect": lambda: _one(
        "Pad",
        [_tensor("x", [6, 8])],
        [_tensor("y", [10, 8])],
        _weights(p=np.array([2, 0, 2, 0], np.int64)),
        mode="reflect",
    ),
    "pad_edge": lambda: _one(
        "Pad",
        [_tensor("x", [6, 8])],
        [_tensor("y", [10, 8])],
        _weights(p=np.array([2, 0, 2, 0], np.int64)),
        mode="edge",
    ),
    "average_pool_counted": lambda: _one(
        "AveragePool",
        [_tensor("x", [1, 3, 8, 8])],
        [_tensor("y", [1, 3, 8, 8])],
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=0,
    ),
    "max_pool_indices": lambda: _one(
        "MaxPool",
        [_tensor("x", [1, 3, 8, 8])],
        [_tensor("y", [1, 3, 4, 4]), _tensor("i", [1, 3, 4, 4], _I64)],
        kernel_shape=[2, 2],
        strides=[2, 2],
    ),
    "instance_norm": lambda: _one(
        "InstanceNormalization",
        [_tensor("x", [2, 3, 8, 8])],
        [_tensor("y", [2, 3, 8, 8])],
        _weights(s=_normal(3), b=_normal(3)),
    ),
    "layer_norm": lambda: _one(
        "LayerNormalization", [_tensor("x", [4, 16])], [_tensor("y", [4, 16])], _weights(s=_normal(16), b=_normal(16))
    ),
    "softmax": lambda: unary("Softmax"),
    "log_softmax": lambda: unary("LogSoftmax"),
    "hardmax": lambda: unary("Hardmax"),
    "gelu": lambda: unary("Mish"),
    "lp_norm": lambda: unary("LpNormalization", axis=1),
    "transposed_convolution": lambda: _one(
        "ConvTranspose",
        [_tensor("x", [1, 4, 6, 6])],
        [_tensor("y", [1, 3, 13, 13])],
        _weights(w=_normal(4, 3, 3, 3)),
        strides=[2, 2],
    ),
    "bit_shift": lambda: _one(
        "BitShift", [_tensor("x", [8], _U8), _tensor("n", [8], _U8)], [_tensor("y", [8], _U8)], direction="LEFT"
    ),
    "modulo": lambda: _one("Mod", [_tensor("x", [8], _I32), _tensor("n", [8], _I32)], [_tensor("y", [8], _I32)]),
    "einsum": lambda: _one(
        "Einsum", [_tensor("a", [2, 4, 8]), _tensor("b", [2, 6, 8])], [_tensor("y", [2, 4, 6])], equation="bik,bjk->bij"
    ),
    "dft": lambda: _one("DFT", [_tensor("x", [1, 16, 1])], [_tensor("y", [1, 16, 2])], axis=1),
    "clip": lambda: _one("Clip", [_tensor("x", [8, 16]), _tensor("a", []), _tensor("b", [])], [_tensor("y", [8, 16])]),
    "fake_quantized_matmul": lambda: _graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"]),
            helper.make_node("MatMul", ["d", "wd"], ["y"]),
        ],
        [_tensor("x", [16, 32])],
        [_tensor("y", [16, 24])],
        _weights(s=np.float32(0.03), z=np.int8(4), w=_bytes(32, 24), ws=np.float32(0.01)),
    ),
}
"""By name."""
