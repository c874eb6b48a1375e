"""Writes operations as JAX programs spell them, as StableHLO: `jax_models.py FOLDER`. Runs where jax is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export, lax, nn
from shapes import OPEN, ROWS, SHAPES


def layer_norm(x, w, b):
    mean = jnp.mean(x, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(jnp.var(x, -1, keepdims=True) + 1e-5) * w + b


def batch_norm(x, m, v, w, b):
    m, v, w, b = (t[None, :, None] for t in (m, v, w, b))
    return (x - m) * lax.rsqrt(v + 1e-5) * w + b


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
}
TYPES = {"f32": jnp.float32, "f16": jnp.float16, "bf16": jnp.bfloat16}


def shape_of(axes, type_, rows):
    sizes = list(SHAPES[axes])
    if axes in OPEN and rows is not ROWS:
        sizes[0] = rows
    return jax.ShapeDtypeStruct(tuple(sizes), jnp.int32 if axes == "I" else type_)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (rows,) = export.symbolic_shape("rows")
    for name, (axes, functions) in SPELLINGS.items():
        for number, function in enumerate(functions):
            for type_name, size in (("f32", ROWS), ("f32", rows), ("f16", ROWS), ("bf16", ROWS)):
                setting = type_name if size is ROWS else "dynamic"
                try:
                    arguments = [shape_of(a, TYPES[type_name], size) for a in axes.split()]
                    text = export.export(jax.jit(function))(*arguments).mlir_module()
                    # IREE knows no assertions on sizes
                    text = "\n".join(line for line in text.splitlines() if "@shape_assertion" not in line)
                    (folder / f"{name}-jax-{number}-{setting}.mlir").write_text(text)
                except Exception as error:
                    print(f"not exported: {name} {number} {setting}: {str(error).splitlines()[:1]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
