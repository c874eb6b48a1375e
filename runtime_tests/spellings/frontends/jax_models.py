"""Writes operations as JAX programs spell them, as StableHLO: `jax_models.py FOLDER`. Runs where jax is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export, lax, nn
from shapes import INTEGERS, OPEN, ROWS, SHAPES


def layer_norm(x, w, b):
    mean = jnp.mean(x, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(jnp.var(x, -1, keepdims=True) + 1e-5) * w + b


def batch_norm(x, m, v, w, b):
    m, v, w, b = (t[None, :, None] for t in (m, v, w, b))
    return (x - m) * lax.rsqrt(v + 1e-5) * w + b


def below_diagonal(x):
    return jnp.tril(jnp.ones(x.shape, bool))


def huber(x, z):
    size = jnp.abs(x - z)
    inner = jnp.minimum(size, 1.0)
    return 0.5 * inner**2 + (size - inner)


SPELLINGS = {
    "softmax": ("RC", [nn.softmax]),
    "log_softmax": ("RC", [nn.log_softmax]),
    "logsumexp": ("RC", [lambda x: nn.logsumexp(x, -1)]),
    "softmax_mask": ("RC RC", [lambda x, k: nn.softmax(x + k)]),
    "softmax_scale": ("RC", [lambda x: nn.softmax(x * 0.125), lambda x: nn.softmax(x / 8)]),
    "layer_norm": ("RC C C", [lambda x, w, b: nn.standardize(x, epsilon=1e-5) * w + b, layer_norm]),
    "layer_norm_plain": ("RC", [lambda x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)]),
    "rms_norm": (
        "RC C",
        [
            lambda x, w: x * lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * w,
            lambda x, w: w * (x / jnp.sqrt(jnp.mean(lax.square(x), -1, keepdims=True) + 1e-6)),
        ],
    ),
    "rms_norm_plain": ("RC", [lambda x: x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)]),
    "l2_normalize": ("RC", [lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)]),
    "mean": ("RC", [lambda x: jnp.mean(x, -1), lambda x: x.sum(-1) / x.shape[-1]]),
    "variance": ("RC", [lambda x: jnp.var(x, -1)]),
    "gelu_erf": (
        "RC",
        [lambda x: nn.gelu(x, approximate=False), lambda x: 0.5 * x * (1 + lax.erf(x / jnp.sqrt(2.0).astype(x.dtype)))],
    ),
    "gelu_tanh": ("RC", [nn.gelu, lambda x: 0.5 * x * (1 + jnp.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))]),
    "silu": ("RC", [nn.silu, lambda x: x / (1 + jnp.exp(-x))]),
    "sigmoid": ("RC", [nn.sigmoid, lambda x: 1 / (1 + jnp.exp(-x))]),
    "softplus": ("RC", [nn.softplus]),
    "mish": ("RC", [nn.mish]),
    "hardswish": ("RC", [nn.hard_swish, lambda x: x * jnp.clip(x + 3, 0, 6) / 6]),
    "hardsigmoid": ("RC", [nn.hard_sigmoid]),
    "relu6": ("RC", [nn.relu6, lambda x: jnp.clip(x, 0, 6)]),
    "clip": ("RC", [lambda x: jnp.clip(x, -1.5, 2.5)]),
    "leaky_relu": ("RC", [nn.leaky_relu, lambda x: jnp.maximum(x, 0.01 * x)]),
    "elu": ("RC", [nn.elu]),
    "batch_norm": ("NCP c c c c", [batch_norm]),
    "bias_gelu": ("RC C", [lambda x, b: nn.gelu(x + b, approximate=False)]),
    "bias_relu": ("RC C", [lambda x, b: nn.relu(x + b)]),
    "residual_relu": ("RC RC", [lambda x, z: nn.relu(x + z)]),
    "swiglu": ("RC RC", [lambda x, z: nn.silu(x) * z]),
    "scaled_matmul": ("MK KN", [lambda a, b: a @ b / 8, lambda a, b: jnp.dot(a, b) / jnp.sqrt(jnp.array(64, a.dtype))]),
    "matmul_bias_relu": ("MK KN N", [lambda a, b, d: nn.relu(a @ b + d)]),
    "rotary_half": ("RC RC RC RC", [lambda x, z, k, n: x * k - z * n]),
    "embedding": ("VC I", [lambda t, i: t[i], lambda t, i: jnp.take(t, i, axis=0, mode="clip")]),
    "quick_gelu": ("RC", [lambda x: x * nn.sigmoid(1.702 * x)]),
    "geglu": ("RC RC", [lambda x, z: nn.gelu(x, approximate=False) * z]),
    "reglu": ("RC RC", [lambda x, z: nn.relu(x) * z]),
    "squared_relu": ("RC", [lambda x: jnp.square(nn.relu(x)), lambda x: nn.relu(x) ** 2]),
    "log_sigmoid": ("RC", [nn.log_sigmoid, lambda x: -jnp.logaddexp(0, -x)]),
    "selu": ("RC", [nn.selu]),
    "softsign": ("RC", [nn.soft_sign]),
    "tanh_shrink": ("RC", [lambda x: x - jnp.tanh(x)]),
    "hard_shrink": ("RC", [lambda x: jnp.where(jnp.abs(x) > 0.5, x, 0.0)]),
    "soft_shrink": ("RC", [lambda x: jnp.sign(x) * jnp.maximum(jnp.abs(x) - 0.5, 0)]),
    "prelu": ("RC C", [lambda x, w: jnp.where(x >= 0, x, w * x)]),
    "rms_norm_gemma": (
        "RC C",
        [lambda x, w: x * lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6) * (1 + w)],
    ),
    "rms_norm_residual": (
        "RC RC C",
        [lambda x, z, w: (x + z) * lax.rsqrt(jnp.mean((x + z) ** 2, -1, keepdims=True) + 1e-6) * w],
    ),
    "layer_norm_residual": ("RC RC C C", [lambda x, z, w, b: nn.standardize(x + z, epsilon=1e-12) * w + b]),
    "instance_norm": (
        "NCP c c",
        [lambda x, w, b: nn.standardize(x, -1, epsilon=1e-5) * w[:, None] + b[:, None]],
    ),
    "cosine_similarity": (
        "RC RC",
        [
            lambda x, z: (
                jnp.sum(x * z, -1)
                / (jnp.maximum(jnp.linalg.norm(x, axis=-1), 1e-8) * jnp.maximum(jnp.linalg.norm(z, axis=-1), 1e-8))
            )
        ],
    ),
    "l2_distance": ("RC RC", [lambda x, z: jnp.linalg.norm(x - z, axis=-1)]),
    "smooth_l1": ("RC RC", [huber]),
    "bce_logits": (
        "RC RC",
        [
            lambda x, z: -z * nn.log_sigmoid(x) - (1 - z) * nn.log_sigmoid(-x),
            lambda x, z: jnp.maximum(x, 0) - x * z + jnp.log1p(jnp.exp(-jnp.abs(x))),
        ],
    ),
    "soft_cross_entropy": ("RC RC", [lambda x, z: -jnp.sum(z * nn.log_softmax(x, axis=-1), axis=-1)]),
    "root_mean_square": ("RC", [lambda x: jnp.sqrt(jnp.mean(jnp.square(x), -1))]),
    "norm": ("RC", [lambda x: jnp.linalg.norm(x, axis=-1), lambda x: jnp.sqrt(jnp.sum(x**2, -1))]),
    "global_average_pool": ("NCP", [lambda x: x.mean(-1)]),
    "global_max_pool": ("NCP", [lambda x: x.max(-1)]),
    "squeeze_excite": ("NCP NC", [lambda x, g: x * nn.sigmoid(g)[:, :, None]]),
    "layer_scale": ("RC C RC", [lambda x, w, z: x + z * w]),
    "modulate": ("RC C C", [lambda x, w, b: x * (1 + w) + b]),
    "soft_cap": ("RC", [lambda x: 30.0 * jnp.tanh(x / 30.0)]),
    "gated_sigmoid": ("RC RC", [lambda x, z: x * nn.sigmoid(z), lambda x, z: nn.glu(jnp.concatenate([x, z], -1))]),
    "lerp": ("RC RC RC", [lambda x, z, w: x + w * (z - x), lambda x, z, w: (1 - w) * x + w * z]),
    "swish_beta": ("RC C", [lambda x, w: x * nn.sigmoid(w * x)]),
    "masked_fill": ("RC B", [lambda x, k: jnp.where(k, -1e4, x), lambda x, k: jnp.where(jnp.logical_not(k), x, -1e4)]),
    "causal_mask": ("RC", [lambda x: jnp.where(below_diagonal(x), x, -1e4)]),
    "causal_softmax": ("RC", [lambda x: nn.softmax(jnp.where(below_diagonal(x), x, -jnp.inf))]),
    "softmax_scale_mask": ("RC RC", [lambda x, k: nn.softmax(x * 0.125 + k), lambda x, k: nn.softmax(x / 8 + k)]),
    "dequantize": ("Q C", [lambda q, w: (q.astype(w.dtype) - 3) * w]),
    "matmul_bias": ("MK KN N", [lambda a, b, d: a @ b + d, lambda a, b, d: jnp.einsum("...k,kn->...n", a, b) + d]),
    "matmul_transposed": ("MK NK", [lambda a, b: a @ b.T, lambda a, b: jnp.einsum("qd,zd->qz", a, b)]),
    "matmul_residual": ("MK KN MN", [lambda a, b, d: d + a @ b]),
    "matmul_bias_gelu": ("MK KN N", [lambda a, b, d: nn.gelu(a @ b + d, approximate=False)]),
    "matmul_bias_silu": ("MK KN N", [lambda a, b, d: nn.silu(a @ b + d)]),
    "linear_int8": (
        "MK W N",
        [lambda a, q, w: (a @ q.astype(a.dtype)) * w, lambda a, q, w: a @ (q.astype(a.dtype) * w)],
    ),
}
TYPES = {"f32": jnp.float32, "f16": jnp.float16, "bf16": jnp.bfloat16}


def shape_of(axes, type_, rows):
    sizes = list(SHAPES[axes])
    if axes in OPEN and rows is not ROWS:
        sizes[0] = rows
    return jax.ShapeDtypeStruct(tuple(sizes), INTEGERS.get(axes, type_))


def main(folder, settings=("f32", "dynamic", "f16", "bf16"), only=()):
    folder.mkdir(parents=True, exist_ok=True)
    (rows,) = export.symbolic_shape("rows")
    for name, (axes, functions) in SPELLINGS.items():
        for number, function in enumerate(functions if not only or name in only else ()):
            for setting in settings:
                type_name, size = ("f32", rows) if setting == "dynamic" else (setting, ROWS)
                try:
                    arguments = [shape_of(a, TYPES[type_name], size) for a in axes.split()]
                    text = export.export(jax.jit(function))(*arguments).mlir_module()
                    # IREE knows no assertions on sizes
                    text = "\n".join(line for line in text.splitlines() if "@shape_assertion" not in line)
                    (folder / f"{name}-jax-{number}-{setting}.mlir").write_text(text)
                except Exception as error:
                    print(f"not exported: {name} {number} {setting}: {str(error).splitlines()[:1]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(tuple(filter(None, words.split(","))) for words in sys.argv[2:]))
