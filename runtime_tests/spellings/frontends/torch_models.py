"""Write operations as PyTorch programs spell them: `torch_models.py FOLDER`.

As MLIR of iree-turbine, and as ONNX files of torch. A standalone script, for an environment with torch and
iree-turbine.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from shapes import OPEN, ROWS, SHAPES, WIDTH
from torch import nn
from torch.nn import functional as F


def layer_norm_by_hand(x, w, b):
    mean = x.mean(-1, keepdim=True)
    var = (x - mean).pow(2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(var + 1e-5) * w + b


def rms_norm_llama(x, w):
    wide = x.to(torch.float32)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return w * wide.to(x.dtype)


SPELLINGS = {
    # operation: (axes of each argument, spelling by spelling)
    "softmax": (
        "RC",
        [
            lambda x: torch.softmax(x, -1),
            lambda x: torch.exp(x - x.amax(-1, True)) / torch.exp(x - x.amax(-1, True)).sum(-1, True),
        ],
    ),
    "log_softmax": ("RC", [lambda x: F.log_softmax(x, -1)]),
    "logsumexp": ("RC", [lambda x: torch.logsumexp(x, -1)]),
    "softmax_mask": ("RC RC", [lambda x, k: torch.softmax(x + k, -1)]),
    "softmax_scale": ("RC", [lambda x: torch.softmax(x * 0.125, -1), lambda x: torch.softmax(x / 8.0, -1)]),
    "layer_norm": ("RC C C", [lambda x, w, b: F.layer_norm(x, (WIDTH,), w, b, 1e-5), layer_norm_by_hand]),
    "layer_norm_plain": ("RC", [lambda x: F.layer_norm(x, (WIDTH,), None, None, 1e-5)]),
    "rms_norm": (
        "RC C",
        [
            lambda x, w: F.rms_norm(x, (WIDTH,), w, 1e-6),
            rms_norm_llama,
            lambda x, w: x * torch.pow((x * x).mean(-1, keepdim=True) + 1e-6, -0.5) * w,
            lambda x, w: x / torch.sqrt((x**2).sum(-1, keepdim=True) / x.shape[-1] + 1e-6) * w,
        ],
    ),
    "rms_norm_plain": (
        "RC",
        [
            lambda x: F.rms_norm(x, (WIDTH,), None, 1e-5),
            lambda x: x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt(),
        ],
    ),
    "l2_normalize": (
        "RC",
        [lambda x: F.normalize(x, dim=-1), lambda x: x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)],
    ),
    "mean": ("RC", [lambda x: x.mean(-1), lambda x: x.sum(-1) / x.shape[-1], lambda x: torch.mean(x, 1, keepdim=True)]),
    "variance": (
        "RC",
        [lambda x: x.var(-1, unbiased=False), lambda x: (x - x.mean(-1, keepdim=True)).square().mean(-1)],
    ),
    "gelu_erf": (
        "RC",
        [
            F.gelu,
            lambda x: x * 0.5 * (1.0 + torch.erf(x / 2.0**0.5)),
            lambda x: 0.5 * x * (1.0 + torch.erf(x * 0.7071067811865476)),
        ],
    ),
    "gelu_tanh": (
        "RC",
        [
            lambda x: F.gelu(x, approximate="tanh"),
            lambda x: 0.5 * x * (1.0 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3.0)))),
            lambda x: 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x))),
        ],
    ),
    "silu": ("RC", [F.silu, lambda x: x * torch.sigmoid(x), lambda x: x / (1 + torch.exp(-x))]),
    "sigmoid": ("RC", [torch.sigmoid, lambda x: 1 / (1 + torch.exp(-x)), lambda x: (1 + (-x).exp()).reciprocal()]),
    "softplus": ("RC", [F.softplus]),
    "mish": ("RC", [F.mish, lambda x: x * torch.tanh(F.softplus(x))]),
    "hardswish": ("RC", [F.hardswish, lambda x: x * F.relu6(x + 3) / 6, lambda x: x * F.relu6(x + 3.0) * (1 / 6)]),
    "hardsigmoid": ("RC", [F.hardsigmoid, lambda x: F.relu6(x + 3) / 6]),
    "relu6": (
        "RC",
        [F.relu6, lambda x: x.clamp(0, 6), lambda x: torch.minimum(torch.relu(x), torch.tensor(6.0, dtype=x.dtype))],
    ),
    "clip": ("RC", [lambda x: x.clamp(-1.5, 2.5), lambda x: F.hardtanh(x, -1.5, 2.5)]),
    "leaky_relu": (
        "RC",
        [F.leaky_relu, lambda x: torch.where(x > 0, x, x * 0.01), lambda x: torch.maximum(x, 0.01 * x)],
    ),
    "elu": ("RC", [F.elu, lambda x: torch.where(x > 0, x, torch.expm1(x))]),
    "batch_norm": ("NCP c c c c", [lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, False, 0.1, 1e-5)]),
    "bias_gelu": ("RC C", [lambda x, b: F.gelu(x + b)]),
    "bias_relu": ("RC C", [lambda x, b: F.relu(x + b), lambda x, b: (x + b).clamp(min=0)]),
    "residual_relu": ("RC RC", [lambda x, z: F.relu(x + z), lambda x, z: (z + x).clamp_min(0)]),
    "swiglu": ("RC RC", [lambda x, z: F.silu(x) * z, lambda x, z: z * (x * torch.sigmoid(x))]),
    "scaled_matmul": (
        "MK KN",
        [lambda a, b: a @ b * 0.125, lambda a, b: (a @ b) / 8.0, lambda a, b: torch.matmul(a, b) / 64**0.5],
    ),
    "matmul_bias_relu": ("MK KN N", [lambda a, b, d: F.relu(a @ b + d), lambda a, b, d: torch.addmm(d, a, b).relu()]),
    "rotary_half": ("RC RC RC RC", [lambda x, z, k, n: x * k - z * n, lambda x, z, k, n: x * k + (-z) * n]),
    "embedding": (
        "VC I",
        [lambda t, i: F.embedding(i, t), lambda t, i: t[i], lambda t, i: torch.index_select(t, 0, i)],
    ),
}
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class Model(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *arguments):
        return self.function(*arguments)


def make_argument(axes, type_):
    if axes == "I":
        return torch.randint(0, ROWS, (ROWS,))
    return torch.rand(SHAPES[axes]).to(type_)


def export(name, number, axes, function, type_name, *, dynamic, folder, onnx):
    import iree.turbine.aot as aot

    arguments = tuple(make_argument(a, TYPES[type_name]) for a in axes.split())
    shapes = None
    if dynamic:
        first = torch.export.Dim("rows", min=2, max=4096)
        shapes = (tuple({0: first} if a in OPEN else None for a in axes.split()),)
    exported = torch.export.export(Model(function), arguments, dynamic_shapes=shapes)
    setting = "dynamic" if dynamic else type_name
    if not onnx:
        (folder / f"{name}-torch-{number}-{setting}.mlir").write_text(str(aot.export(exported).mlir_module))
        return
    inputs = [f"x{n}" for n in range(len(arguments))]
    program = torch.onnx.export(exported, arguments, dynamo=True, input_names=inputs, output_names=["y"], verbose=False)
    program.save(str(folder / f"{name}-torch.onnx-{number}-{setting}.onnx"))


def main(folder):
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    for name, (axes, functions) in SPELLINGS.items():
        for number, function in enumerate(functions):
            for type_name, dynamic in (("f32", False), ("f32", True), ("f16", False), ("bf16", False)):
                for onnx in (False, True):
                    try:
                        export(name, number, axes, function, type_name, dynamic=dynamic, folder=folder, onnx=onnx)
                    except Exception as error:
                        words = str(error).strip().splitlines()[:1]
                        print(f"not exported: {name} {number} {type_name} dynamic={dynamic} onnx={onnx}: {words}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
