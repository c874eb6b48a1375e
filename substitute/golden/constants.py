"""Constants of a body as numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import Element, Num, element_of, from_storage, wrap
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

    if element.packed:
        return Num(_listed(attribute, shape, element))
    data = constant_bytes(attribute, TensorType(shape=shape, element=element.name))
    raw = np.frombuffer(data, element.storage)
    if raw.size != int(np.prod(shape)):
        raise Unsupported(f"a constant of {raw.size} elements for {shape}")
    return Num(from_storage(raw.reshape(shape), element))


def complex_num(op: ir.Operation, shape: tuple[int, ...], element: Element) -> Num:
    """A tensor of complex constants out of its text: the bindings raise for its attribute. Raises `Unsupported`."""
    found = re.search(r"dense<(.*)>\s*:", op.get_asm(), re.DOTALL)
    text, part = found[1] if found else "", element_of(element.part).storage
    if text.startswith('"0x'):
        raw = np.frombuffer(bytes.fromhex(text.strip('"')[2:]), element.storage)
        return Num(raw.astype(element.compute).reshape(shape))
    bits = np.dtype(f"u{part.itemsize}")
    numbers = [
        np.array(int(word, 16), bits).view(part) if word.startswith("0x") else float(word)
        for word in re.findall(r"0x[0-9A-Fa-f]+|-?\d+\.?\d*(?:[eE][-+]?\d+)?", text)
    ]
    values = np.array(numbers, np.float64).view(np.complex128)
    if values.size not in (1, int(np.prod(shape))):
        raise Unsupported(f"a constant of {values.size} elements for {shape}")
    return Num(np.broadcast_to(values.reshape(() if values.size == 1 else shape), shape))


def _listed(attribute: Any, shape: tuple[int, ...], element: Element) -> Any:
    """Return packed elements, of which the bindings give one after the other. Raises `Unsupported`."""
    from iree.compiler import ir

    if not isinstance(attribute, ir.DenseIntElementsAttr):
        raise Unsupported(f"a constant with elements of type {element.name}")
    words = np.array([int(word) for word in attribute], np.int64)
    return wrap(words.astype(element.compute), element).reshape(shape)


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
