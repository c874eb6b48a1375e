"""Operations as ONNX nodes spell them, made node by node.

A spelling is `Sigmoid x > s; Mul x s > y`; `{2.0}` is a scalar initializer of the model's type, `[1]` one of integers,
and `axis=-1` an attribute.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper

from runtime_tests.spellings.frontends.shapes import INTEGERS, OPEN, SHAPES

_KINDS = {"int64": TensorProto.INT64, "bool": TensorProto.BOOL, "int8": TensorProto.INT8}
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
    "quick_gelu": ("x:RC", ("Mul x {1.702} > a; Sigmoid a > s; Mul x s > y",)),
    "geglu": (
        "x:RC z:RC",
        ("Div x {1.4142135} > d; Erf d > e; Add e {1.0} > a; Mul x a > m; Mul m {0.5} > g; Mul z g > y",),
    ),
    "reglu": ("x:RC z:RC", ("Relu x > r; Mul r z > y",)),
    "squared_relu": ("x:RC", ("Relu x > r; Mul r r > y", "Relu x > r; Pow r {2.0} > y")),
    "log_sigmoid": ("x:RC", ("Neg x > n; Softplus n > s; Neg s > y", "Sigmoid x > s; Log s > y")),
    "selu": ("x:RC", ("Selu x > y",)),
    "softsign": ("x:RC", ("Softsign x > y", "Abs x > a; Add a {1.0} > b; Div x b > y")),
    "tanh_shrink": ("x:RC", ("Tanh x > t; Sub x t > y",)),
    "hard_shrink": ("x:RC", ("Shrink x > y lambd=0.5", "Abs x > a; Greater a {0.5} > g; Where g x {0.0} > y")),
    "soft_shrink": ("x:RC", ("Shrink x > y lambd=0.5 bias=0.5",)),
    "prelu": ("x:RC w:C", ("PRelu x w > y", "Relu x > r; Neg x > n; Relu n > s; Mul w s > t; Sub r t > y")),
    "rms_norm_gemma": (
        "x:RC w:C",
        (
            "Mul x x > q; ReduceMean q [-1] > v; Add v {1e-6} > e; Sqrt e > r; Div x r > n; Add w {1.0} > o; "
            "Mul n o > y",
        ),
    ),
    "rms_norm_residual": (
        "x:RC z:RC w:C",
        ("Add x z > h; Mul h h > q; ReduceMean q [-1] > v; Add v {1e-6} > e; Sqrt e > r; Div h r > n; Mul n w > y",),
    ),
    "layer_norm_residual": (
        "x:RC z:RC w:C b:C",
        ("Add x z > h; LayerNormalization h w b > y axis=-1 epsilon=1e-12",),
    ),
    "instance_norm": ("x:NCP w:c b:c", ("InstanceNormalization x w b > y epsilon=1e-5",)),
    "cosine_similarity": (
        "x:RC z:RC",
        (
            "Mul x z > p; ReduceSum p [-1] > d keepdims=0; ReduceL2 x [-1] > a keepdims=0; "
            "ReduceL2 z [-1] > b keepdims=0; Max a {1e-8} > c; Max b {1e-8} > e; Mul c e > f; Div d f > y",
        ),
    ),
    "l2_distance": ("x:RC z:RC", ("Sub x z > d; ReduceL2 d [-1] > y keepdims=0",)),
    "smooth_l1": (
        "x:RC z:RC",
        ("Sub x z > d; Abs d > a; Less a {1.0} > l; Mul d d > q; Mul q {0.5} > h; Sub a {0.5} > b; Where l h b > y",),
    ),
    "bce_logits": (
        "x:RC z:RC",
        (
            "Relu x > r; Mul x z > p; Sub r p > d; Abs x > a; Neg a > n; Exp n > e; Add e {1.0} > o; Log o > l; "
            "Add d l > y",
        ),
    ),
    "soft_cross_entropy": (
        "x:RC z:RC",
        ("LogSoftmax x > l axis=-1; Mul z l > p; ReduceSum p [-1] > s keepdims=0; Neg s > y",),
    ),
    "root_mean_square": ("x:RC", ("Mul x x > q; ReduceMean q [-1] > m keepdims=0; Sqrt m > y",)),
    "norm": (
        "x:RC",
        (
            "ReduceL2 x [-1] > y keepdims=0",
            "ReduceSumSquare x [-1] > s keepdims=0; Sqrt s > y",
            "LpNormalization x > y",
        ),
    ),
    "global_average_pool": (
        "x:NCP",
        ("GlobalAveragePool x > p; Squeeze p [-1] > y", "ReduceMean x [-1] > y keepdims=0"),
    ),
    "global_max_pool": ("x:NCP", ("GlobalMaxPool x > p; Squeeze p [-1] > y", "ReduceMax x [-1] > y keepdims=0")),
    "squeeze_excite": ("x:NCP g:NC", ("Sigmoid g > s; Unsqueeze s [-1] > u; Mul x u > y",)),
    "layer_scale": ("x:RC w:C z:RC", ("Mul z w > p; Add x p > y",)),
    "modulate": ("x:RC w:C b:C", ("Add w {1.0} > o; Mul x o > p; Add p b > y",)),
    "soft_cap": ("x:RC", ("Div x {30.0} > a; Tanh a > t; Mul t {30.0} > y",)),
    "gated_sigmoid": ("x:RC z:RC", ("Sigmoid z > s; Mul x s > y",)),
    "lerp": (
        "x:RC z:RC w:RC",
        ("Sub z x > d; Mul w d > p; Add x p > y", "Sub {1.0} w > i; Mul x i > p; Mul w z > q; Add p q > y"),
    ),
    "swish_beta": ("x:RC w:C", ("Mul x w > b; Sigmoid b > s; Mul x s > y",)),
    "masked_fill": ("x:RC k:B", ("Where k {-1e4} x > y", "Not k > n; Where n x {-1e4} > y")),
    "softmax_scale_mask": (
        "x:RC k:RC",
        (
            "Mul x {0.125} > s; Add s k > a; Softmax a > y axis=-1",
            "Div x {8.0} > s; Add k s > a; Softmax a > y axis=-1",
        ),
    ),
    "matmul_bias": ("a:MK b:KN d:N", ("MatMul a b > c; Add c d > y", "Gemm a b d > y")),
    "matmul_transposed": (
        "a:MK b:NK",
        ("Gemm a b > y transB=1", "Transpose b > t perm=[1,0]; MatMul a t > y", "Einsum a b > y equation='ij,kj->ik'"),
    ),
    "matmul_residual": ("a:MK b:KN d:MN", ("MatMul a b > c; Add d c > y", "Gemm a b d > y")),
    "matmul_bias_gelu": ("a:MK b:KN d:N", ("MatMul a b > c; Add c d > e; Gelu e > y approximate='none'",)),
    "matmul_bias_silu": ("a:MK b:KN d:N", ("Gemm a b d > e; Sigmoid e > s; Mul e s > y",)),
}


def write_models(folder: Path, settings: Collection[str], only: Collection[str]) -> Iterator[str]:
    """Write the models of these settings and operations (none: all); yield a line for each that ONNX does not take."""
    for name, (arguments, texts) in SPELLINGS.items():
        for number, text in enumerate(texts if not only or name in only else ()):
            for setting in settings:
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
        inputs.append(helper.make_tensor_value_info(name, _KINDS.get(INTEGERS.get(axes, ""), TYPES[element]), shape))
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
