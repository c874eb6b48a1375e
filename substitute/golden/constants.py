"""Constants of a body as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import Element, Num, from_storage
from .unsupported import Unsupported

if TYPE_CHECKING:
    from iree.compiler import ir


def constant_num(attribute: ir.Attribute, shape: tuple[int, ...], element: Element) -> Num:
    """Return a scalar or dense attribute; without dimensions where all elements are equal. Raises `Unsupported`."""
    from iree.compiler import ir

    if isinstance(attribute, ir.FloatAttr | ir.IntegerAttr | ir.BoolAttr):
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


def _number(attribute: Any, element: Element) -> Any:
    value = attribute.value
    if element.kind == "boolean":
        return np.array(bool(value))
    if element.is_float:
        return np.array(float(value), np.float64)
    bits = element.compute.itemsize * 8
    word = (int(value) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    return np.array(word, element.compute)
