"""Parsers of IREE's attributes and types that the bindings only have as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..model.dispatch import Access, PipelineLayout, Target
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir

_TENSOR = re.compile(r"!iree_tensor_ext\.dispatch\.tensor<(readonly|writeonly|readwrite):(.*)>$", re.DOTALL)
_TARGET = re.compile(r'<"([^"]*)",\s*"([^"]*)"(?:,\s*(\{.*\}))?>$', re.DOTALL)


def read_target(attribute: ir.Attribute) -> Target:
    """Read `#hal.executable.target<"backend", "format", {…}>`."""
    from iree.compiler import ir

    text = str(attribute)
    found = _TARGET.search(text)
    if not found:
        return Target(backend=text.split('"')[1] if '"' in text else text, format="", config=())
    config: list[tuple[str, str]] = []
    if found[3]:
        for named in ir.DictAttr(ir.Attribute.parse(found[3])):
            value = named.attr
            config.append((named.name, value.value if isinstance(value, ir.StringAttr) else str(value)))
    return Target(backend=found[1], format=found[2], config=tuple(config))


def read_layout(attribute: ir.Attribute) -> PipelineLayout:
    """Read `#hal.pipeline.layout<constants = 2, bindings = [#hal.pipeline.binding<storage_buffer, ReadOnly>, …]>`."""
    text = str(attribute)
    constants = re.search(r"constants = (\d+)", text)
    bindings = re.findall(r'#hal\.pipeline\.binding<\w+(?:,\s*"?([^">]*)"?)?>', text)
    return PipelineLayout(constants=int(constants[1]) if constants else 0, bindings=tuple(bindings))


def read_dispatch_tensor(type_: ir.Type) -> tuple[Access, ir.RankedTensorType]:
    """Read `!iree_tensor_ext.dispatch.tensor<readonly:tensor<4x?xf32>>`. Raises `Unread` for other types."""
    from iree.compiler import ir

    found = _TENSOR.match(str(type_))
    if not found:
        raise Unread(f"a binding of type {type_}")
    tensor = ir.RankedTensorType(ir.Type.parse(found[2]))
    if tensor.encoding is not None:
        plain = str(tensor).partition(", ")[0]
        raise Unread(f"an encoded tensor ({plain}>); compile without data tiling")
    return found[1], tensor  # type: ignore[return-value]


def integers(attribute: ir.Attribute) -> list[int]:
    """Return the numbers of `array<i64: 1, 2>` or `[1, 2]`."""
    from iree.compiler import ir

    if isinstance(attribute, ir.DenseI64ArrayAttr):
        return [int(v) for v in attribute]
    return [int(v) for v in re.findall(r"-?\d+", str(attribute).partition(":")[2] or str(attribute))]
