"""Constants of a body as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import Array, Element, Num, element_of, from_storage, wrap
from .unsupported import Unsupported

if TYPE_CHECKING:
    from iree.compiler import ir


def constant_num(attribute: ir.Attribute, shape: tuple[int, ...], element: Element) -> Num:
    """Return a scalar or dense attribute; without dimensions where all elements are equal. Raises `Unsupported`."""
    from iree.compiler import ir

    if element.part or isinstance(attribute, ir.FloatAttr | ir.IntegerAttr | ir.BoolAttr):
        return Num(_number(attribute, element))
    if isinstance(attribute, ir.DenseElementsAttr) and attribute.is_splat:
        return Num(_number(attribute.get_splat_value(), element))
    from ..model.dispatch import TensorType
    from ..read.constants import constant_bytes

    data = constant_bytes(attribute, TensorType(shape=shape, element=element.name))
    raw = np.frombuffer(data, element.storage)
    if raw.size != int(np.prod(shape)):
        raise Unsupported(f"a constant of {raw.size} elements for {shape}")
    return Num(from_storage(raw.reshape(shape), element))


def printed_num(op: ir.Operation, shape: tuple[int, ...], element: Element) -> Num:
    """A dense constant out of its text, for types of which the bindings give no elements. Raises `Unsupported`."""
    found = re.search(r"dense<(.*)>\s*:", op.get_asm(), re.DOTALL)
    text = found[1] if found else ""
    if text.startswith('"0x'):
        values = _of_bytes(bytes.fromhex(text.strip('"')[2:]), element)
    else:
        values = _of_words(re.findall(r"0x[0-9A-Fa-f]+|-?\d+\.?\d*(?:[eE][-+]?\d+)?", text), element)
    if values.size not in (1, int(np.prod(shape))):
        raise Unsupported(f"a constant of {values.size} elements for {shape}")
    return Num(np.broadcast_to(values.reshape(() if values.size == 1 else shape), shape))


def _of_bytes(data: bytes, element: Element) -> Array:
    """Elements that take whole bytes each."""
    if element.kind != "integer":
        return np.frombuffer(data, element.storage).astype(element.compute)
    width = -(-element.bits // 8)
    padded = np.zeros((len(data) // width, element.storage.itemsize), np.uint8)
    padded[:, :width] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return wrap(padded.view(element.storage).reshape(-1), element)


def _of_words(words: Sequence[str], element: Element) -> Array:
    """Elements as numbers; an infinity prints as its bits."""
    if element.kind == "integer":
        return wrap(np.array([int(word) for word in words], np.int64).astype(element.compute), element)
    part = element_of(element.part or element.name).storage
    bits = np.dtype(f"u{part.itemsize}")
    numbers = [np.array(int(w, 16), bits).view(part) if w.startswith("0x") else float(w) for w in words]
    return np.array(numbers, np.float64).view(element.compute)


def _number(attribute: Any, element: Element) -> Any:
    if element.part:
        real, imaginary = (float(part.value) for part in attribute)
        return np.array(complex(real, imaginary))
    value = attribute.value
    if element.kind == "boolean":
        return np.array(bool(value))
    if element.is_float:
        return np.array(float(value), np.float64)
    bits = element.compute.itemsize * 8
    word = (int(value) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    return np.array(word, element.compute)
