"""Inputs for a whole model, drawn from its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DeviceError

if TYPE_CHECKING:
    from ..device.value_type import Function, ValueType

DYNAMIC_SIZE = 8
"""Size that replaces an open one of the function, if no inputs are given."""


def input_types(function: Function, signatures: Mapping[str, tuple[str, ...]]) -> tuple[ValueType, ...] | None:
    """Return the types that the module declares, else those of the model's frontend."""
    from ..device.value_type import ValueType

    if function.inputs is not None:
        return function.inputs
    texts = signatures.get(function.name)
    if texts is None:
        return None
    parts = [text.split("x") for text in texts]
    return tuple(ValueType(element=p[-1], shape=tuple(None if s == "?" else int(s) for s in p[:-1])) for p in parts)


def draw_inputs(
    name: str, types: Sequence[ValueType] | None, seed: int, size: int = DYNAMIC_SIZE
) -> list[np.ndarray[Any, Any]]:
    """Return normal numbers for floating-point inputs; 0 or 1 for integers, which may be indices into small tables.

    `size` replaces open sizes.
    """
    if types is None:
        raise DeviceError(
            f"the inputs of {name} are not known",
            expected="a declaration in the module or the model",
            found="none",
            next_step="give every input with --input",
        )
    random = np.random.default_rng(seed)
    return [_draw(kind, random, size) for kind in types]


def _draw(kind: ValueType, random: np.random.Generator, size: int) -> np.ndarray[Any, Any]:
    shape = tuple(size if s is None else s for s in kind.shape or ())
    if kind.dtype is None:
        raise DeviceError("an input is neither a tensor nor a number", found=str(kind))
    if kind.dtype.kind in "iub":
        return random.integers(0, 2, shape).astype(kind.dtype)
    return random.standard_normal(shape).astype(kind.dtype)
