"""Types of a model's arguments and results, compared with those that IREE computes with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..flags import TRUE, read_flags
from .module import children

if TYPE_CHECKING:
    from iree.compiler import ir

_CONVERSIONS = (
    ("iree-input-demote-f64-to-f32", "f64", "f32", True),
    ("iree-input-demote-i64-to-i32", "i64", "i32", False),
    ("iree-input-demote-f32-to-f16", "f32", "f16", False),
    ("iree-input-promote-f16-to-f32", "f16", "f32", False),
    ("iree-input-promote-bf16-to-f32", "bf16", "f32", False),
)
"""Flags that convert a model to another element type: name, from, to, and whether that is so without the flag."""
_ENCODINGS = {"stream.tensor.import": "result_encoding", "stream.tensor.export": "source_encoding"}
"""Operations that exchange memory with the caller, and the attribute that holds the tensor's type."""


def misread_types(module: ir.Operation, flags: Sequence[str]) -> str:
    """Return a warning about arguments and results whose memory IREE takes for another type; empty if there are none.

    IREE converts the types of a program, but not those of buffers that a frontend has imported or exported already: a
    module of an ONNX model reads f64 as f32, without a conversion and without an error.
    """
    read, found = read_flags(flags), []
    kept = set(_interface_elements(module))
    for name, before, after, default in _CONVERSIONS:
        value = read.last(name)
        if before in kept and (default if value is None else value in TRUE):
            found.append(
                f"the model takes or returns {before} tensors, and IREE (without kernels as well) reads and writes "
                f"their memory as {after}: the results are wrong, or it does not run; --{name}=false keeps {before}"
            )
    return "; ".join(found)


def _interface_elements(op: ir.Operation) -> Iterator[str]:
    """Yield the element types of tensors in memory of the caller."""
    from iree.compiler import ir

    if op.name in _ENCODINGS and _ENCODINGS[op.name] in op.attributes:
        yield str(ir.RankedTensorType(ir.TypeAttr(op.attributes[_ENCODINGS[op.name]]).value).element_type)
    elif not op.name.startswith("hal.executable"):
        for inner in children(op):
            yield from _interface_elements(inner)
