"""Write operations as PyTorch programs spell them: `torch_models.py FOLDER`.

As MLIR of iree-turbine, and as ONNX files of torch. A standalone script, for an environment with torch and
iree-turbine.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from shapes import INTEGERS, OPEN, ROWS, SHAPES, WIDTH
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


def rms_norm_gemma(x, w):
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return (wide * (1.0 + w.float())).type_as(x)


def rms_norm_residual(x, z, w):
    hidden = x + z
    wide = hidden.to(torch.float32)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return w * wide.to(hidden.dtype)


def causal(x):
    return torch.ones(x.shape[0], x.shape[1], dtype=torch.bool).tril()


def below_diagonal(x):
    return torch.arange(x.shape[1])[None, :] <= torch.arange(x.shape[0])[:, None]


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
    "quick_gelu": ("RC", [lambda x: x * torch.sigmoid(1.702 * x), lambda x: F.sigmoid(x * 1.702) * x]),
    "geglu": ("RC RC", [lambda x, z: F.gelu(x) * z, lambda x, z: z * F.gelu(x)]),
    "reglu": ("RC RC", [lambda x, z: F.relu(x) * z, lambda x, z: z * x.clamp(min=0)]),
    "squared_relu": ("RC", [lambda x: F.relu(x).square(), lambda x: torch.pow(F.relu(x), 2), lambda x: F.relu(x) ** 2]),
    "log_sigmoid": ("RC", [F.logsigmoid, lambda x: -F.softplus(-x), lambda x: torch.log(torch.sigmoid(x))]),
    "selu": ("RC", [F.selu]),
    "softsign": ("RC", [F.softsign, lambda x: x / (1 + x.abs())]),
    "tanh_shrink": ("RC", [F.tanhshrink]),
    "hard_shrink": ("RC", [F.hardshrink, lambda x: torch.where(x.abs() > 0.5, x, torch.zeros_like(x))]),
    "soft_shrink": ("RC", [F.softshrink, lambda x: torch.sign(x) * F.relu(x.abs() - 0.5)]),
    "prelu": (
        "RC C",
        [F.prelu, lambda x, w: torch.where(x > 0, x, w * x), lambda x, w: F.relu(x) + w * x.clamp(max=0)],
    ),
    "rms_norm_gemma": ("RC C", [rms_norm_gemma, lambda x, w: F.rms_norm(x, (WIDTH,), 1 + w, 1e-6)]),
    "rms_norm_residual": ("RC RC C", [rms_norm_residual, lambda x, z, w: F.rms_norm(x + z, (WIDTH,), w, 1e-6)]),
    "layer_norm_residual": ("RC RC C C", [lambda x, z, w, b: F.layer_norm(x + z, (WIDTH,), w, b, 1e-12)]),
    "instance_norm": ("NCP c c", [lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-5)]),
    "cosine_similarity": (
        "RC RC",
        [
            lambda x, z: F.cosine_similarity(x, z, dim=-1),
            lambda x, z: (x * z).sum(-1) / (x.norm(dim=-1).clamp(min=1e-8) * z.norm(dim=-1).clamp(min=1e-8)),
            lambda x, z: (F.normalize(x, dim=-1, eps=1e-8) * F.normalize(z, dim=-1, eps=1e-8)).sum(-1),
        ],
    ),
    "l2_distance": ("RC RC", [lambda x, z: (x - z).norm(dim=-1), lambda x, z: ((x - z) ** 2).sum(-1).sqrt()]),
    "smooth_l1": (
        "RC RC",
        [
            lambda x, z: F.smooth_l1_loss(x, z, reduction="none"),
            lambda x, z: F.huber_loss(x, z, reduction="none"),
            lambda x, z: torch.where((x - z).abs() < 1, 0.5 * (x - z) ** 2, (x - z).abs() - 0.5),
        ],
    ),
    "bce_logits": (
        "RC RC",
        [
            lambda x, z: F.binary_cross_entropy_with_logits(x, z, reduction="none"),
            lambda x, z: x.clamp(min=0) - x * z + torch.log1p(torch.exp(-x.abs())),
            lambda x, z: F.softplus(x) - x * z,
        ],
    ),
    "soft_cross_entropy": (
        "RC RC",
        [
            lambda x, z: -(z * F.log_softmax(x, -1)).sum(-1),
            lambda x, z: F.cross_entropy(x, z, reduction="none"),
            lambda x, z: torch.sum(-z * F.log_softmax(x, dim=-1), dim=-1),
        ],
    ),
    "root_mean_square": ("RC", [lambda x: x.pow(2).mean(-1).sqrt(), lambda x: x.norm(dim=-1) / x.shape[-1] ** 0.5]),
    "norm": (
        "RC",
        [lambda x: x.norm(dim=-1), lambda x: torch.linalg.vector_norm(x, dim=-1), lambda x: (x * x).sum(-1).sqrt()],
    ),
    "global_average_pool": ("NCP", [lambda x: F.adaptive_avg_pool1d(x, 1).flatten(1), lambda x: x.mean(-1)]),
    "global_max_pool": ("NCP", [lambda x: F.adaptive_max_pool1d(x, 1).flatten(1), lambda x: x.amax(-1)]),
    "squeeze_excite": (
        "NCP NC",
        [lambda x, g: x * torch.sigmoid(g)[:, :, None], lambda x, g: g.unsqueeze(-1).sigmoid() * x],
    ),
    "layer_scale": ("RC C RC", [lambda x, w, z: x + w * z, lambda x, w, z: torch.addcmul(x, z, w)]),
    "modulate": (
        "RC C C",
        [lambda x, w, b: x * (1 + w) + b, lambda x, w, b: torch.addcmul(b, x, w + 1), lambda x, w, b: x + x * w + b],
    ),
    "soft_cap": ("RC", [lambda x: torch.tanh(x / 30.0) * 30.0, lambda x: 30.0 * (x * (1 / 30.0)).tanh()]),
    "gated_sigmoid": ("RC RC", [lambda x, z: x * torch.sigmoid(z), lambda x, z: F.glu(torch.cat([x, z], -1))]),
    "lerp": (
        "RC RC RC",
        [torch.lerp, lambda x, z, w: x * (1 - w) + z * w, lambda x, z, w: w * z + (1 - w) * x],
    ),
    "swish_beta": ("RC C", [lambda x, w: x * torch.sigmoid(w * x)]),
    "masked_fill": (
        "RC B",
        [
            lambda x, k: x.masked_fill(k, -1e4),
            lambda x, k: torch.where(k, -1e4, x),
            lambda x, k: torch.where(~k, x, -1e4),
        ],
    ),
    "causal_mask": (
        "RC",
        [
            lambda x: x.masked_fill(~causal(x), -1e4),
            lambda x: torch.where(below_diagonal(x), x, -1e4),
            lambda x: x.masked_fill(torch.ones_like(x, dtype=torch.bool).triu(1), -1e4),
        ],
    ),
    "causal_softmax": (
        "RC",
        [
            lambda x: torch.softmax(x.masked_fill(~causal(x), float("-inf")), -1),
            lambda x: torch.softmax(torch.where(below_diagonal(x), x, float("-inf")), -1),
            lambda x: torch.softmax(x + torch.full_like(x, float("-inf")).triu(1), -1),
        ],
    ),
    "softmax_scale_mask": (
        "RC RC",
        [
            lambda x, k: torch.softmax(x * 0.125 + k, -1),
            lambda x, k: torch.softmax(x / 64**0.5 + k, -1, dtype=torch.float32).to(x.dtype),
        ],
    ),
    "dequantize": ("Q C", [lambda q, w: (q.to(w.dtype) - 3) * w, lambda q, w: (q.to(torch.int32) - 3).to(w.dtype) * w]),
    "matmul_bias": (
        "MK KN N",
        [
            lambda a, b, d: a @ b + d,
            lambda a, b, d: torch.addmm(d, a, b),
            lambda a, b, d: F.linear(a, b.t(), d),
            lambda a, b, d: torch.einsum("mk,kn->mn", a, b) + d,
            lambda a, b, d: F.conv1d(a.unsqueeze(-1), b.t().unsqueeze(-1), d).squeeze(-1),
        ],
    ),
    "matmul_transposed": (
        "MK NK",
        [
            lambda a, b: a @ b.T,
            F.linear,
            lambda a, b: torch.einsum("qd,zd->qz", a, b),
            lambda a, b: torch.bmm(a[None], b[None].transpose(1, 2))[0],
            lambda a, b: (b @ a.T).T,
        ],
    ),
    "matmul_residual": ("MK KN MN", [lambda a, b, d: d + a @ b, lambda a, b, d: torch.addmm(d, a, b)]),
    "matmul_bias_gelu": ("MK KN N", [lambda a, b, d: F.gelu(a @ b + d), lambda a, b, d: F.gelu(F.linear(a, b.t(), d))]),
    "matmul_bias_silu": (
        "MK KN N",
        [lambda a, b, d: F.silu(F.linear(a, b.t(), d)), lambda a, b, d: (a @ b + d) * torch.sigmoid(a @ b + d)],
    ),
    "linear_int8": ("MK W N", [lambda a, q, w: (a @ q.to(a.dtype)) * w, lambda a, q, w: a @ (q.to(a.dtype) * w)]),
}
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class Model(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *arguments):
        return self.function(*arguments)


def make_argument(axes, type_):
    if axes in INTEGERS:
        return torch.randint(0, 2 if axes == "B" else ROWS, SHAPES[axes]).to(getattr(torch, INTEGERS[axes]))
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


def main(folder, settings=("f32", "dynamic", "f16", "bf16"), only=()):
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    for name, (axes, functions) in SPELLINGS.items():
        for number, function in enumerate(functions if not only or name in only else ()):
            for setting in settings:
                type_name, dynamic = ("f32", True) if setting == "dynamic" else (setting, False)
                for onnx in (False, True):
                    try:
                        export(name, number, axes, function, type_name, dynamic=dynamic, folder=folder, onnx=onnx)
                    except Exception as error:
                        words = str(error).strip().splitlines()[:1]
                        print(f"not exported: {name} {number} {type_name} dynamic={dynamic} onnx={onnx}: {words}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(tuple(filter(None, words.split(","))) for words in sys.argv[2:]))
