"""Variables of a module in device memory: places and initial values.

Source: PTX ISA 5.4 "Variables".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...payload.ptx.syntax import Float, Initial, Module, Variable
from .layout import function_addresses
from .memory import Memory
from .types import DTYPES


def place_variables(module: Module, memory: Memory) -> dict[str, tuple[int, int]]:
    """Allocate and fill them; return name → (address, bytes)."""
    every = [*module.variables, *(v for function in module.functions for v in function.variables)]
    variables = [v for v in every if v.space in ("global", "const") and v.linkage != "extern"]
    placed = {v.name: (memory.allocate(v.size_bytes, name=v.name), v.size_bytes) for v in variables}
    known = {**{name: (address, 0) for name, address in function_addresses(module).items()}, **placed}
    for variable in variables:
        address, size = placed[variable.name]
        # PTX ISA 5.4.4: "variables in .global and .const state spaces are initialised to zero by default"
        if size:
            memory.write(address, _initial(variable, known))
        if variable.space == "const":
            one = memory.find(address)
            if one is not None:
                one.writable = False
    return placed


def _initial(variable: Variable, placed: Mapping[str, tuple[int, int]]) -> bytes:
    dtype = DTYPES.get(variable.type, DTYPES["u64"])
    data = bytearray(variable.size_bytes)
    for number, value in enumerate(variable.initial or ()):
        raw = _element(value, dtype, placed)
        data[number * dtype.itemsize : (number + 1) * dtype.itemsize] = raw
    return bytes(data)


def _element(value: int | Float | Initial, dtype: np.dtype[Any], placed: Mapping[str, tuple[int, int]]) -> bytes:
    size = dtype.itemsize
    if isinstance(value, Initial):
        number = placed.get(value.symbol, (0, 0))[0] + value.offset
        if value.mask is not None:
            shift = (value.mask & -value.mask).bit_length() - 1
            number = (number & value.mask) >> max(shift, 0)
        return (number & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    if isinstance(value, Float):
        if value.width == 8 * size:
            return value.bits.to_bytes(size, "little")
        return np.array([value.value], f"f{size}").tobytes()
    if dtype.kind == "f":
        return np.array([value], dtype).tobytes()
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
