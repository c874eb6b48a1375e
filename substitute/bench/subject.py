"""What is measured: a model file with inputs and expected results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model file, one set of inputs and the results that its framework gives for them."""

    name: str
    path: Path
    """`.onnx`, `.mlir` or `.mlirbc`."""
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    expected_from: str
    """Who computed `expected`: `onnxruntime`, `torch`, `jax`."""
    note: str = ""
    """Where the weights come from, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that was not measured, and why."""

    name: str
    reason: str


def run_onnxruntime(path: Path, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """All outputs of an ONNX file, on one thread."""
    session = onnxruntime_session(path)
    names = [value.name for value in session.get_inputs()]
    return tuple(session.run(None, dict(zip(names, inputs, strict=True))))


def onnxruntime_session(path: Path) -> Any:
    """An `onnxruntime.InferenceSession` on one thread of the CPU. Raises `UsageError` where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "onnxruntime is not installed", expected="the package onnxruntime, which says what is right",
            found=str(error), next_step="pip install 'iree-substitute[demo]'",
        ) from error  # fmt: skip

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
