"""Operations as ONNX nodes spell them, made node by node.

A spelling is `Sigmoid x > s; Mul x s > y`; `{2.0}` is a scalar initializer of the model's type, `[1]` one of integers,
and `axis=-1` an attribute.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper

from runtime_tests.spellings.frontends.shapes import OPEN, SHAPES

TYPES = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
SPELLINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "softmax": (
        "x:RC",
        ("Softmax x > y axis=-1", "ReduceMax x [-1] > m; Sub x m > d; Exp d > e; ReduceSum e [-1] > s; Div e s > y"),
    ),
    "log_softmax": ("x:RC", ("LogSoftmax x > y axis=-1",)),
    "logsumexp": ("x:RC", ("ReduceLogSumExp x [-1] > y keepdims=0",)),
    "softmax_mask": ("x:RC k:RC", ("Add x k > a; Softmax a > y axis=-1",)),
    "softmax_scale": ("x:RC", ("Mul x {0.125} > a; Softmax a > y axis=-1", "Div x {8.0} > a; Softmax a > y axis=-1")),
    "layer_norm": (
        "x:RC w:C b:C",
        (
            "LayerNormalization x w b > y axis=-1 epsilon=1e-5",
            "ReduceMean x [-1] > m; Sub x m > d; Pow d {2.0} > q; ReduceMean q [-1] > v; Add v {1e-5} > e; Sqrt e > r; "
            "Div d r > n; Mul n w > z; Add z b > y",
            "ReduceMean x [-1] > m; Sub x m > d; Mul d d > q; ReduceMean q [-1] > v; Add v {1e-5} > e; Sqrt e > r; "
            "Reciprocal r > i; Mul d i > n; Mul w n > z; Add b z > y",
        ),
    ),
    "layer_norm_plain": (
        "x:RC",
        (
            "ReduceMean x [-1] > m; Sub x m > d; Mul d d > q; ReduceMean q [-1] > v; Add v {1e-5} > e; Sqrt e > r; "
            "Div d r > y",
        ),
    ),
    "rms_norm": (
        "x:RC w:C",
        (
            "Mul x x > q; ReduceMean q [-1] > v; Add v {1e-6} > e; Sqrt e > r; Div x r > n; Mul n w > y",
            "Pow x {2.0} > q; ReduceMean q [-1] > v; Add v {1e-6} > e; Sqrt e > r; Reciprocal r > i; Mul x i > n; "
            "Mul w n > y",
            "ReduceSumSquare x [-1] > q; Div q {256.0} > v; Add {1e-6} v > e; Pow e {-0.5} > r; Mul x r > n; "
            "Mul n w > y",
            "Pow x {2.0} > q; ReduceMean q [-1] > v; Add v {1e-6} > e; Sqrt e > r; Div {1.0} r > i; Mul x i > n; "
            "Mul w n > y",
        ),
    ),
    "rms_norm_plain": (
        "x:RC",
        (
            "Mul x x > q; ReduceMean q [-1] > v; Add v {1e-5} > e; Sqrt e > r; Div x r > y",
            "ReduceSumSquare x [-1] > q; Mul q {0.00390625} > v; Add {1e-5} v > e; Sqrt e > r; Reciprocal r > i; "
            "Mul i x > y",
        ),
    ),
    "l2_normalize": (
        "x:RC",
        (
            "ReduceL2 x [-1] > n; Max n {1e-12} > c; Div x c > y",
            "Mul x x > q; ReduceSum q [-1] > s; Sqrt s > n; Clip n {1e-12} > c; Reciprocal c > i; Mul x i > y",
        ),
    ),
    "mean": (
        "x:RC",
        (
            "ReduceMean x [-1] > y keepdims=0",
            "ReduceSum x [-1] > s keepdims=0; Div s {256.0} > y",
            "ReduceSum x [-1] > s keepdims=0; Mul s {0.00390625} > y",
        ),
    ),
    "variance": (
        "x:RC",
        (
            "ReduceMean x [-1] > m; Sub x m > d; Mul d d > q; ReduceMean q [-1] > y keepdims=0",
            "ReduceMean x [-1] > m; Sub m x > d; Mul d d > q; ReduceMean q [-1] > y keepdims=0",
        ),
    ),
    "gelu_erf": (
        "x:RC",
        (
            "Gelu x > y approximate='none'",
            "Div x {1.4142135} > d; Erf d > e; Add e {1.0} > a; Mul x a > m; Mul m {0.5} > y",
            "Mul x {0.70710678} > d; Erf d > e; Add {1.0} e > a; Mul x {0.5} > h; Mul h a > y",
            "Mul x {0.70710678} > d; Erf d > e; Mul e {0.5} > f; Add f {0.5} > a; Mul x a > y",
        ),
    ),
    "gelu_tanh": (
        "x:RC",
        (
            "Gelu x > y approximate='tanh'",
            "Mul x x > q; Mul q x > c; Mul c {0.044715} > f; Add x f > a; Mul a {0.7978845608} > b; Tanh b > t; "
            "Add t {1.0} > o; Mul x {0.5} > h; Mul h o > y",
            "Pow x {3.0} > c; Mul {0.044715} c > f; Add f x > a; Mul {0.7978845608} a > b; Tanh b > t; "
            "Add {1.0} t > o; Mul x o > h; Mul {0.5} h > y",
        ),
    ),
    "silu": ("x:RC", ("Sigmoid x > s; Mul x s > y", "Neg x > n; Exp n > e; Add e {1.0} > a; Div x a > y")),
    "sigmoid": (
        "x:RC",
        (
            "Sigmoid x > y",
            "Neg x > n; Exp n > e; Add {1.0} e > a; Reciprocal a > y",
            "Mul x {-1.0} > n; Exp n > e; Add {1.0} e > a; Div {1.0} a > y",
        ),
    ),
    "softplus": ("x:RC", ("Softplus x > y",)),
    "mish": ("x:RC", ("Mish x > y", "Softplus x > s; Tanh s > t; Mul x t > y")),
    "hardswish": (
        "x:RC",
        (
            "HardSwish x > y",
            "Add x {3.0} > a; Clip a {0.0} {6.0} > c; Mul x c > m; Div m {6.0} > y",
            "HardSigmoid x > h alpha=0.16666666666666666 beta=0.5; Mul x h > y",
        ),
    ),
    "hardsigmoid": (
        "x:RC",
        (
            "HardSigmoid x > y alpha=0.16666666666666666 beta=0.5",
            "Add x {3.0} > a; Clip a {0.0} {6.0} > c; Div c {6.0} > y",
        ),
    ),
    "relu6": ("x:RC", ("Clip x {0.0} {6.0} > y", "Relu x > r; Min r {6.0} > y", "Min x {6.0} > r; Max {0.0} r > y")),
    "clip": ("x:RC", ("Clip x {-1.5} {2.5} > y", "Max x {-1.5} > a; Min a {2.5} > y")),
    "leaky_relu": (
        "x:RC",
        (
            "LeakyRelu x > y alpha=0.01",
            "PRelu x {0.01} > y",
            "Mul x {0.01} > a; Greater x {0.0} > g; Where g x a > y",
            "Mul x {0.01} > a; Max x a > y",
            "Less x {0.0} > g; Mul {0.01} x > a; Where g a x > y",
        ),
    ),
    "elu": ("x:RC", ("Elu x > y alpha=1.0",)),
    "batch_norm": ("x:NCP w:c b:c m:c v:c", ("BatchNormalization x w b m v > y epsilon=1e-5",)),
    "bias_gelu": (
        "x:RC b:C",
        (
            "Add x b > a; Gelu a > y approximate='none'",
            "Add b x > a; Div a {1.4142135} > d; Erf d > e; Add e {1.0} > o; Mul a o > m; Mul m {0.5} > y",
        ),
    ),
    "bias_relu": ("x:RC b:C", ("Add x b > a; Relu a > y", "Add b x > a; Max a {0.0} > y")),
    "residual_relu": ("x:RC z:RC", ("Add x z > a; Relu a > y", "Add z x > a; Clip a {0.0} > y")),
    "swiglu": ("x:RC z:RC", ("Sigmoid x > s; Mul x s > g; Mul g z > y",)),
    "scaled_matmul": (
        "a:MK b:KN",
        ("MatMul a b > c; Mul c {0.125} > y", "MatMul a b > c; Div c {8.0} > y", "Gemm a b > y alpha=0.125"),
    ),
    "matmul_bias_relu": (
        "a:MK b:KN d:N",
        (
            "MatMul a b > c; Add c d > e; Relu e > y",
            "Gemm a b d > c; Relu c > y",
            "MatMul a b > c; Add d c > e; Max e {0.0} > y",
        ),
    ),
    "rotary_half": (
        "x:RC z:RC k:RC n:RC",
        ("Mul x k > p; Mul z n > q; Sub p q > y", "Mul k x > p; Neg z > m; Mul n m > q; Add q p > y"),
    ),
    "embedding": ("t:VC i:I", ("Gather t i > y axis=0",)),
}


def write_models(folder: Path) -> Iterator[str]:
    """Write every model; yield a line for each that ONNX does not take."""
    for name, (arguments, texts) in SPELLINGS.items():
        for number, text in enumerate(texts):
            for setting in ("f32", "dynamic", "f16", "bf16"):
                path = folder / f"{name}-onnx-{number}-{setting}.onnx"
                try:
                    onnx.save(make_model(arguments, text, setting), str(path))
                except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
                    yield f"{path.name}: {str(error).splitlines()[0]}"


def make_model(arguments: str, text: str, setting: str) -> onnx.ModelProto:
    """Return the model of a spelling in one setting: an element type, or `dynamic` for f32 with an open batch."""
    element = "f32" if setting == "dynamic" else setting
    inputs = []
    for argument in arguments.split():
        name, _, axes = argument.partition(":")
        shape: list[Any] = list(SHAPES[axes])
        if setting == "dynamic" and axes in OPEN:
            shape[0] = "rows"
        inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64 if axes == "I" else TYPES[element], shape))
    nodes, constants = [], {}
    for line in text.split(";"):
        words = re.findall(r"\{[^}]*\}|\[[^\]]*\]|\S+", line)
        at = words.index(">")
        given = dict(word.split("=", 1) for word in words[at + 2 :])
        taken = []
        for word in words[1:at]:
            if word[0] in "{[":
                constants[f"k{len(constants)}"] = _constant(word, f"k{len(constants)}", element)
                word = f"k{len(constants) - 1}"
            taken.append(word)
        nodes.append(
            helper.make_node(words[0], taken, [words[at + 1]], **{k: ast.literal_eval(v) for k, v in given.items()})
        )
    result = helper.make_tensor_value_info("y", TYPES[element], None)
    graph = helper.make_graph(nodes, "main", inputs, [result], list(constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(inferred)
    return inferred


def _constant(word: str, name: str, element: str) -> onnx.TensorProto:
    if word[0] == "[":
        values = ast.literal_eval(word)
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
    type_ = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}[element]
    data = np.array(float(word[1:-1]), dtype=type_).tobytes()
    return helper.make_tensor(name, TYPES[element], [], data, raw=True)
