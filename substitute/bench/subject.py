"""Subject of a measurement: a model file with inputs and expected results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model file, one set of inputs and the results of its framework for them."""

    name: str
    path: Path
    """Path of the model: `.onnx`, `.mlir` or `.mlirbc`."""
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    expected_from: str
    """Source of `expected`: `onnxruntime`, `torch`, `jax`."""
    note: str = ""
    """Source of the weights, for reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that was not measured, and the reason."""

    name: str
    reason: str


def run_onnxruntime(path: Path, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return all outputs of an ONNX file, on one thread."""
    session = onnxruntime_session(path)
    names = [value.name for value in session.get_inputs()]
    return tuple(session.run(None, dict(zip(names, inputs, strict=True))))


def onnxruntime_session(path: Path) -> Any:
    """Return an `onnxruntime.InferenceSession` on one CPU thread. Raises `UsageError` if it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "onnxruntime is not installed",
            expected="the package onnxruntime, which says what is right",
            found=str(error),
            next_step="pip install 'iree-substitute[demo]'",
        ) from error

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
