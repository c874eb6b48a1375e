"""Builder of ONNX graphs, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .subject import Array

OPSET = 17
"""Old enough for every onnxruntime, new enough for `LayerNormalization`."""
IR_VERSION = 8
SEED = 20240531


class Graph:
    """A graph under construction; its methods return the name of the added value.

    Weights are drawn from a seed, or taken from `weights` if they have a name there.
    """

    def __init__(self, *, seed: int = SEED, weights: Mapping[str, Array] | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.weights = weights
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._known: dict[str, str] = {}
        self._values: list[Array] = []

    def input(self, name: str, value: Array) -> str:
        """Return an input of the shape and type of `value`, which `finish` returns."""
        import onnx

        self._inputs.append(onnx.helper.make_tensor_value_info(name, _element(value), value.shape))
        self._values.append(value)
        return name

    def normal(self, *shape: int) -> Array:
        """Return normal numbers in f32."""
        return self.random.standard_normal(shape).astype(np.float32)

    def output(self, name: str, shape: Sequence[int]) -> None:
        """Make a value of f32 an output."""
        import onnx

        self._outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add one node with one result."""
        return self.add_many(op, 1, *inputs, **attributes)[0]

    def add_many(self, op: str, results: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add one node with several results."""
        import onnx

        names = [f"v{len(self._nodes)}_{at}" for at in range(results)]
        self._nodes.append(onnx.helper.make_node(op, list(inputs), names, **attributes))
        return names

    def constant(self, value: Array) -> str:
        """Return an initializer; equal ones are one."""
        import onnx

        key = f"{value.dtype} {value.shape} {value.tobytes()!r}" if value.nbytes <= 64 else ""
        if not key or key not in self._known:
            name = f"c{len(self._initializers)}"
            self._initializers.append(onnx.numpy_helper.from_array(value, name))
            if not key:
                return name
            self._known[key] = name
        return self._known[key]

    def scalar(self, value: float) -> str:
        """Return an f32 constant without dimensions."""
        return self.constant(np.array(value, np.float32))

    def ints(self, *values: int) -> str:
        """Return a one-dimensional i64 constant: a shape, axes, positions."""
        return self.constant(np.array(values, np.int64))

    def weight(self, name: str, *shape: int, reduced: int, around: float = 0.0) -> str:
        """Return the weight of this name, or normal numbers around `around`.

        They are scaled so that a sum over `reduced` products keeps its size. Raises `KeyError` for a name that the
        given weights lack, `ValueError` for another shape.
        """
        if name and name in self._known:
            return self._known[name]
        if self.weights is not None:
            value = self.weights[name]
            if value.shape != shape:
                raise ValueError(f"{name} is {value.shape}, expected {shape}")
        else:
            value = (around + self.random.standard_normal(shape) / np.sqrt(reduced)).astype(np.float32)
        made = self.constant(value)
        if name:
            self._known[name] = made
        return made

    def dense(self, x: str, inputs: int, outputs: int, *, name: str = "", bias: bool = True) -> str:
        """Return `x · W + b`; given weights are `[outputs, inputs]`, as in torch."""
        if self.weights is None:
            weight = self.weight(f"{name}.weight" if name else "", inputs, outputs, reduced=inputs)
        else:
            key = f"{name}.weight transposed"
            if key not in self._known:
                self._known[key] = self.constant(np.ascontiguousarray(self.weights[f"{name}.weight"].T))
            weight = self._known[key]
        product = self.add("MatMul", x, weight)
        if not bias:
            return product
        return self.add("Add", product, self.weight(f"{name}.bias" if name else "", outputs, reduced=4))

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        pads: Sequence[int] | None = None,
    ) -> str:
        """Return a square 2-D convolution with bias; padding that keeps the size unless given as top, left, bottom,
        right.
        """
        weight = self.weight("", outputs, inputs // groups, kernel, kernel, reduced=inputs // groups * kernel**2)
        return self.add(
            "Conv",
            x,
            weight,
            self.weight("", outputs, reduced=4),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=list(pads or [kernel // 2] * 4),
            group=groups,
        )

    def clip(self, x: str, low: float = 0.0, high: float = 6.0) -> str:
        """Return `min(max(x, low), high)`."""
        return self.add("Clip", x, self.scalar(low), self.scalar(high))

    def layer_norm(self, x: str, width: int, *, name: str = "", epsilon: float = 1e-5) -> str:
        """Return layer normalization over the last axis, with scale and bias."""
        scale = self.weight(f"{name}.weight" if name else "", width, reduced=100, around=1.0)
        bias = self.weight(f"{name}.bias" if name else "", width, reduced=4)
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)

    def gelu(self, x: str) -> str:
        """Return `x / 2 · (1 + erf(x / √2))`."""
        erf = self.add("Erf", self.add("Mul", x, self.scalar(2**-0.5)))
        return self.add("Mul", self.add("Mul", x, self.scalar(0.5)), self.add("Add", erf, self.scalar(1.0)))

    def finish(self, name: str, path: Path) -> tuple[Array, ...]:
        """Check the graph and write it; return the values of its inputs."""
        import onnx

        graph = onnx.helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._initializers)
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
        return tuple(self._values)


def _element(value: Array) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(value.dtype))
